"""config.json: read strictly, checked once, typed for mypy (comfortable tools: schema.py, diagnosis.py)."""
