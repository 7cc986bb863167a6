"""The native layer: what native.h declares, compiled by build.py. Only kernel/ and the journal call it."""
from ._native import ffi, lib

__all__ = ["ffi", "lib"]
