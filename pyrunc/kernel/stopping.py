"""The signals that ask a command to stop: what an operator or an engine sends to a runtime that takes too long."""
from __future__ import annotations

from _signal import SIGHUP, SIGINT, SIGTERM

STOPPING = (SIGTERM, SIGINT, SIGHUP)
