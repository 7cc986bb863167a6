"""The steps of container setup, one subject a file; their order is in plan.py and nowhere else."""
