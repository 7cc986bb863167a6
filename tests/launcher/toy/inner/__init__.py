"""A package that imports a module of its own."""
from .deep import DEPTH

__all__ = ["DEPTH"]
