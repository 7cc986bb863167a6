"""Files that are exchanged below a runtime, and commands at the same time: the profile `race`."""
