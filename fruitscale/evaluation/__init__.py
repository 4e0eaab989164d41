"""Evaluates a PCA: whether its components are enough, and whether new photos still resemble the fitted ones."""
