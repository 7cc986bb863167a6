"""What to make of a trace: a waterfall in the terminal, a page, a file for Perfetto, a comparison of two."""
