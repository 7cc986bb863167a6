from .hierarchy import tree

__all__ = ["tree"]
