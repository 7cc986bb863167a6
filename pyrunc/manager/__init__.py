"""Many containers from one asyncio program: `from pyrunc.manager import Manager` (docs/runciter.md)."""
from .container import Container
from .events import Event, Gap
from .manager import Manager
from .process import Process
from .stats import Stats
from .values import (
    Exit,
    File,
    Health,
    Http,
    Info,
    Log,
    Null,
    Pipe,
    Probe,
    Restart,
    Result,
    Stdio,
    Stop,
    Watch,
)

__all__ = ["Container", "Event", "Exit", "File", "Gap", "Health", "Http", "Info", "Log", "Manager", "Null", "Pipe",
           "Probe", "Process", "Restart", "Result", "Stats", "Stdio", "Stop", "Watch"]
