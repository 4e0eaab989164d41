"""Looks photos up by their likeness: nearest photos, and labels by nearest neighbours."""
