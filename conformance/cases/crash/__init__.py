"""A runtime that is killed at any moment: the profile `crash`. What it leaves, `delete --force` has to take away."""
