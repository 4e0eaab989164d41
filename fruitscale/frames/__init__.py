"""The kernels inside somebody's own Spark or Dask job: columns in, columns out, lazily."""
