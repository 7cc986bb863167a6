"""Paths, options and mounts of a container's root: no steps. Used by steps/ and criu/."""
