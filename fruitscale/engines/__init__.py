"""Engines run picklable functions over tasks, and know nothing about pictures."""
