"""Fruit photos to image features to principal components, through Spark or Dask."""

__version__ = "0.1.0"
