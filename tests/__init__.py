"""Tests of pyrunc: run them with `make test`, or `python -m pytest`."""
