"""Imports square, which imports this."""
from .square import SIDE

RADIUS = SIDE / 2
