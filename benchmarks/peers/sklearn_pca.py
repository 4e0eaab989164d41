"""scikit-learn's `PCA` of the matrix in memory, by the solver that is named, and `IncrementalPCA` of part after part.

https://scikit-learn.org/stable/modules/decomposition.html#principal-component-analysis-pca
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.decomposition import PCA, IncrementalPCA

from benchmarks.peers import matrix
from benchmarks.peers.peer import tell_ratios, told


def main() -> None:
    task = told()
    start = time.perf_counter()
    if task.variant == "incremental":
        fitted = IncrementalPCA(n_components=task.components)
        for features in matrix.read_all(task.input):
            fitted.partial_fit(features)
        rows = int(fitted.n_samples_seen_)
    else:
        whole = np.concatenate(list(matrix.read_all(task.input)))
        fitted = PCA(n_components=task.components, svd_solver=task.variant, random_state=0).fit(whole)
        rows = len(whole)
    tell_ratios(task, time.perf_counter() - start, rows, list(fitted.explained_variance_ratio_))


if __name__ == "__main__":
    main()
