"""A module of a package."""
DEPTH = 3
