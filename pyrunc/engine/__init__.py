"""Runs plans: steps, what they find out, the two processes, who watches, and what went wrong."""
