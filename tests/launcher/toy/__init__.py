"""What stands in for pyrunc.cli in a launcher, to show what the interpreter there can do."""
