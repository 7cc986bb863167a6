"""Driving a runtime: its command line, bundles, what is seen from inside, and what is left afterwards."""
