"""The kernels inside your own Spark or Dask job: columns in, columns out, lazily."""
