"""What pyrunc remembers of a container between two invocations, and how it finds out whether it still runs."""
