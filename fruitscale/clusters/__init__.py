"""Runs on machines that AWS lends for the purpose, and what is checked before."""
