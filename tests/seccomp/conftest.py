"""Hypothesis without a clock: a machine may be busy with other things."""
from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
