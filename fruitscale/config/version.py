"""The version of fruitscale: part of what features depend on, and of every record."""

__version__ = "0.2.0"
