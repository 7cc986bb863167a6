"""pyrunc: an OCI runtime whose container setup is a readable list of named steps (docs/tour.md)."""

__version__ = "0.1.0"
