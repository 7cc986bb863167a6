"""What to make of a plan that does not run: a table in the terminal, a choice of its steps, a comparison of two."""
