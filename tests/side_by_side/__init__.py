"""The same command lines under Debian's runc and the runtime under test: what a caller of either can tell apart."""
