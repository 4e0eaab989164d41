"""Tuning: which network, input size and precision is the cheapest that is good enough for these photos, on this CPU."""
