"""One operation in each file: what the command line calls."""
