"""Erasing photos from the tables of a run."""
