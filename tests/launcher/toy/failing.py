"""Cannot be imported."""
raise LookupError("not today")
