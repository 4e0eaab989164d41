"""scikit-learn's `PCA` in memory with a given solver, and `IncrementalPCA` over one part after another.

https://scikit-learn.org/stable/modules/decomposition.html#principal-component-analysis-pca
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.decomposition import PCA, IncrementalPCA

from benchmarks.peers import pca_input
from benchmarks.peers.peer import parse_task, report_ratios


def main() -> None:
    task = parse_task()
    start = time.perf_counter()
    if task.variant == "incremental":
        fitted = IncrementalPCA(n_components=task.components)
        for features in pca_input.read_all(task.input):
            fitted.partial_fit(features)
        rows = int(fitted.n_samples_seen_)
    else:
        features = np.concatenate(list(pca_input.read_all(task.input)))
        fitted = PCA(n_components=task.components, svd_solver=task.variant, random_state=0).fit(features)
        rows = len(features)
    report_ratios(task, time.perf_counter() - start, rows, list(fitted.explained_variance_ratio_))


if __name__ == "__main__":
    main()
