"""The PCA against scikit-learn's, which is given the same float32 features as float64."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from fruitscale.errors import InputError, OutputError
from fruitscale.kernels.moments import (
    BLOCK,
    SIGN_RULE,
    Components,
    Moments,
    choose,
    fit,
    group_edges,
    merge,
    moments,
    moments_of,
    project,
)

Features = NDArray[np.float32]
ARRAYS = ("mean", "scale", "components", "explained_variance", "ratio")


def features(n: int, width: int, seed: int = 0) -> Features:
    """Correlated features far from 0, with variances that fall off, as a network's are."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(n, width)) * np.geomspace(5, 0.05, width) @ random.normal(size=(width, width))
    return (mixed + random.uniform(0, 20, width)).astype(np.float32)


def oracle(rows: Features, requested: float, *, standardize: bool) -> tuple[PCA, NDArray[np.float64]]:
    values = rows.astype(np.float64)
    if standardize:
        values = StandardScaler().fit_transform(values)
    pca = PCA(n_components=requested, svd_solver="full").fit(values)
    return pca, pca.transform(values)


def assert_is_oracle(fitted: Components, rows: Features, requested: float, *, standardize: bool) -> None:
    """Compare after giving scikit-learn's components our signs, which are a choice."""
    pca, scores = oracle(rows, requested, standardize=standardize)
    k = fitted.k
    assert k == pca.n_components_
    signs = np.sign(np.sum(fitted.components * pca.components_, axis=1))
    np.testing.assert_allclose(fitted.ratio[:k], pca.explained_variance_ratio_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(fitted.explained_variance[:k], pca.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(fitted.components, pca.components_ * signs[:, None], rtol=0, atol=1e-6)
    ours = project(rows, fitted)
    assert ours.dtype == np.float32
    assert np.abs(ours - scores * signs).max() <= 1e-5 * np.abs(scores).max()


plain_and_standardized = pytest.mark.parametrize("standardize", [False, True], ids=["plain", "standardized"])


@plain_and_standardized
@pytest.mark.parametrize(
    ("n", "width", "requested"),
    [
        pytest.param(400, 32, 0.95, id="fraction"),
        pytest.param(400, 32, 0.5, id="half"),
        pytest.param(400, 32, 10, id="count"),
        pytest.param(400, 32, 32, id="all"),
        pytest.param(400, 32, 1, id="one"),
        pytest.param(20, 50, 0.95, id="fewer-rows-than-features"),
        pytest.param(20, 50, 18, id="fewer-rows-than-features-count"),
        pytest.param(2, 5, 1, id="two-rows"),
    ],
)
def test_it_is_scikit_learns(n: int, width: int, requested: float, standardize: bool) -> None:
    rows = features(n, width)
    fitted = fit(moments(rows), requested, standardize=standardize)
    assert_is_oracle(fitted, rows, requested, standardize=standardize)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("requested", [0.3, 0.8, 0.95, 0.999])
def test_a_fraction_picks_the_same_count(seed: int, requested: float) -> None:
    rows = features(150, 40, seed)
    pca, _ = oracle(rows, requested, standardize=False)
    fitted = fit(moments(rows), requested)
    assert fitted.k == pca.n_components_
    assert fitted.retained_variance > requested
    assert fitted.ratio[: fitted.k - 1].sum() <= requested


@plain_and_standardized
def test_k_may_be_n_less_1(standardize: bool) -> None:
    rows = features(12, 30)
    fitted = fit(moments(rows), 11, standardize=standardize)
    assert fitted.k == 11
    assert fitted.retained_variance == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(fitted.components @ fitted.components.T, np.eye(11), atol=1e-10)
    # all distances between rows are kept, which is what being complete means
    scaled = (rows - fitted.mean) / fitted.scale
    scores = project(rows, fitted).astype(np.float64)
    np.testing.assert_allclose(scores @ scores.T, scaled @ scaled.T, rtol=1e-4, atol=1e-4 * np.abs(scaled).max() ** 2)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.1, -3.7], ids=str)
def test_a_constant_feature_is_scaled_by_1(value: float) -> None:
    rows = features(50, 6)
    rows[:, 2] = value
    halves = merge(moments(rows[:17]), moments(rows[17:]))
    for total in (moments(rows), halves):
        fitted = fit(total, 5, standardize=True)
        assert fitted.scale[2] == 1
        np.testing.assert_allclose(fitted.components[:, 2], 0, atol=1e-9)
        assert_is_oracle(fitted, rows, 5, standardize=True)


def test_a_feature_that_is_constant_but_for_rounding_is_scaled_by_1() -> None:
    rows = features(49, 3).astype(np.float64)
    rows[:, 1] = 0.1
    total = moments(rows)
    assert total.scatter[1, 1] > 0  # the mean of 49 times 0.1 is not 0.1
    assert fit(total, 2, standardize=True).scale[1] == 1


def test_every_direction_has_its_variance() -> None:
    rows = features(10, 30)
    fitted = fit(moments(rows), 3)
    assert fitted.explained_variance.shape == fitted.ratio.shape == (30,)
    assert np.all(np.diff(fitted.explained_variance) <= 0)
    assert np.all(fitted.explained_variance >= 0)
    assert fitted.explained_variance.sum() == pytest.approx(np.var(rows.astype(np.float64), axis=0, ddof=1).sum())
    assert fitted.ratio.sum() == pytest.approx(1)
    assert fitted.n == 10


def test_moments_are_count_mean_and_scatter() -> None:
    rows = features(40, 5)
    total = moments(rows)
    assert total.count == 40
    assert total.mean.dtype == total.scatter.dtype == np.float64
    np.testing.assert_allclose(total.mean, rows.astype(np.float64).mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(total.scatter / 39, np.cov(rows.astype(np.float64), rowvar=False), rtol=1e-10)


def assert_close(one: Moments, other: Moments) -> None:
    assert one.count == other.count
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(one.scatter, other.scatter, rtol=1e-9, atol=1e-9 * (1 + np.abs(other.scatter).max()))


@settings(deadline=None)
@given(n=st.integers(0, 60), cuts=st.lists(st.integers(0, 60), max_size=8), far=st.sampled_from([0, 1e3]))
def test_a_merge_of_any_split_is_the_whole(n: int, cuts: list[int], far: float) -> None:
    rows = features(n, 4) + np.float32(far)
    pieces = [moments(piece) for piece in np.split(rows, sorted(min(cut, n) for cut in cuts))]
    whole = moments(rows)
    assert_close(reduce(merge, pieces), whole)
    assert_close(reduce(merge, reversed(pieces)), whole)


@pytest.mark.parametrize("sizes", [[], [0], [3], [BLOCK], [BLOCK - 1, 2, 0, 5], [1] * 9, [2 * BLOCK + 7, 3]], ids=str)
def test_parts_in_blocks_are_the_whole(sizes: list[int]) -> None:
    rows = features(sum(sizes), 3)
    pieces = np.split(rows, np.cumsum(sizes)[:-1]) if sizes else []
    assert_close(moments_of(pieces, 3), moments(rows))


@pytest.mark.parametrize(
    ("n_parts", "n_rows", "n_groups"),
    [
        (1, 5, 1),
        (38, 2400, 1),
        (157, 10_000, 2),
        (594, 38_000, 4),
        (1000, 90_380, 8),
        (1000, 4_000_000, 32),
        (3, 10**6, 2),
    ],
)
def test_groups_depend_on_the_rows_and_have_every_part_once(n_parts: int, n_rows: int, n_groups: int) -> None:
    edges = group_edges(n_parts, n_rows)
    assert (edges[0], edges[-1], len(edges)) == (0, n_parts, n_groups + 1)
    assert all(start < stop for start, stop in pairwise(edges))


def test_blocks_do_not_depend_on_the_laziness_of_parts() -> None:
    pieces = np.split(features(9000, 3), [100, 5000, 8000])
    one, two = moments_of(pieces, 3), moments_of(iter(pieces), 3)
    assert one.mean.tobytes() == two.mean.tobytes()
    assert one.scatter.tobytes() == two.scatter.tobytes()


@pytest.mark.parametrize("width", [1, 2, 7, 64])
def test_a_triangle_of_the_scatter_is_kept(width: int) -> None:
    rows = features(30, width).astype(np.float64)
    total = merge(moments(rows[:11]), moments(rows[11:]))
    assert total.triangle.shape == (width * (width + 1) // 2,)
    assert np.array_equal(total.triangle, total.scatter[np.triu_indices(width)])
    assert np.array_equal(total.scatter, total.scatter.T)
    np.testing.assert_allclose(
        total.scatter, np.cov(rows, rowvar=False).reshape(width, width) * 29, rtol=1e-9, atol=1e-9
    )


@plain_and_standardized
def test_the_largest_loading_is_positive(standardize: bool) -> None:
    for rows in (features(60, 12), -features(60, 12)):
        fitted = fit(moments(rows), 12, standardize=standardize)
        largest = np.abs(fitted.components).argmax(axis=1)
        assert np.all(fitted.components[np.arange(12), largest] > 0)
    assert fitted.summary()["sign_rule"] == SIGN_RULE


@pytest.mark.parametrize(
    ("n", "requested", "message"),
    [
        pytest.param(0, 0.95, "0 usable photos: principal components need at least 2.", id="no-row"),
        pytest.param(1, 0.95, "1 usable photo: principal components need at least 2.", id="one-row"),
        pytest.param(1, 1, "1 usable photo: principal components need at least 2.", id="one-row-count"),
        pytest.param(
            5, 5, "pca.components is 5; 5 photos with 6 features have at most 4 components.", id="as-many-as-rows"
        ),
        pytest.param(
            50, 7, "pca.components is 7; 50 photos with 6 features have at most 6 components.", id="more-than-features"
        ),
    ],
)  # fmt: skip
def test_too_few_rows_or_too_many_components(n: int, requested: float, message: str) -> None:
    with pytest.raises(InputError) as caught:
        fit(moments(features(n, 6)), requested)
    assert caught.value.message == message


@plain_and_standardized
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.1], ids=str)
def test_rows_that_are_all_alike(value: float, standardize: bool) -> None:
    rows = np.full((7, 4), value, np.float32)
    for total in (moments(rows), merge(moments(rows[:2]), moments(rows[2:]))):
        with pytest.raises(InputError, match="All photos have the same features"):
            fit(total, 0.95, standardize=standardize)


def test_features_that_are_no_numbers() -> None:
    rows = features(7, 4)
    rows[3, 2] = np.nan
    with pytest.raises(InputError, match="Some features are not numbers"):
        fit(moments(rows), 2)


@pytest.mark.parametrize(
    ("requested", "n", "k"),
    [
        pytest.param(0.5, 100, 2, id="equal-is-not-enough"),
        pytest.param(0.49, 100, 1, id="below"),
        pytest.param(0.76, 100, 3, id="above"),
        pytest.param(0.9999, 100, 4, id="nearly-all"),
        pytest.param(0.9999, 3, 2, id="no-more-than-rows-less-1"),
        pytest.param(3, 100, 3, id="count"),
    ],
)
def test_choose(requested: float, n: int, k: int) -> None:
    assert choose(np.array([0.5, 0.25, 0.125, 0.125]), requested, n) == k


def test_a_summary_is_what_was_fitted() -> None:
    fitted = fit(moments(features(40, 5)), 2)
    assert fitted.summary() == {
        "components": 2,
        "features": 5,
        "n": 40,
        "retained_variance": fitted.ratio[0] + fitted.ratio[1],
        "explained_variance_ratio": [fitted.ratio[0], fitted.ratio[1]],
        "sign_rule": SIGN_RULE,
    }


def test_projecting_no_row() -> None:
    fitted = fit(moments(features(40, 5)), 2)
    assert project(np.empty((0, 5), np.float32), fitted).shape == (0, 2)


def is_same(one: Components, other: Components) -> bool:
    return one.n == other.n and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)


def test_bytes_come_back() -> None:
    fitted = fit(moments(features(40, 5)), 0.9, standardize=True)
    back = Components.from_bytes(fitted.to_bytes())
    assert is_same(back, fitted)
    assert type(back.n) is int
    assert fitted.to_bytes() == back.to_bytes()


def test_flipped_bytes_are_told_or_change_nothing() -> None:
    fitted = fit(moments(features(40, 5)), 2)
    content = fitted.to_bytes()
    told, wrong = 0, []
    for i in range(len(content)):
        try:
            if not is_same(Components.from_bytes(content[:i] + bytes([content[i] ^ 0xFF]) + content[i + 1 :]), fitted):
                wrong.append(i)
        except OutputError:
            told += 1
    assert wrong == []
    assert told > 1000


def test_a_shape_that_says_less_is_told() -> None:
    row = np.ones(2000)
    content = Components(row, row, np.ones((2, 2000)), row, row, 40).to_bytes()
    assert content.count(b"(2000,)") == 4
    with pytest.raises(OutputError, match=r"pca\.npz is damaged"):
        Components.from_bytes(content.replace(b"(2000,)", b"(1000,)"))


def npz(**arrays: object) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    return sink.getvalue()


def npy(array: object) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.asarray(array), allow_pickle=True)
    return sink.getvalue()


RIGHT: dict[str, object] = {**{name: [1.0] for name in ARRAYS}, "n": 3}
DAMAGED: list[tuple[str, Callable[[], bytes]]] = [
    ("empty", lambda: b""),
    ("text", lambda: b"not an npz"),
    ("truncated", lambda: npz(**RIGHT)[:-30]),
    ("an-array-missing", lambda: npz(**{k: v for k, v in RIGHT.items() if k != "scale"})),
    ("n-missing", lambda: npz(**{k: v for k, v in RIGHT.items() if k != "n"})),
    ("an-array-too-many", lambda: npz(**RIGHT, other=1)),
    ("n-is-many", lambda: npz(**{**RIGHT, "n": [3, 4]})),
    ("npy", lambda: npy([1.0])),
]


@pytest.mark.parametrize("make", [case[1] for case in DAMAGED], ids=[case[0] for case in DAMAGED])
def test_what_is_no_pca_is_told(make: Callable[[], bytes]) -> None:
    with pytest.raises(OutputError, match=r"^pca\.npz is damaged: "):
        Components.from_bytes(make())


class Trap:
    """Tells when a pickle of it is opened."""

    opened = False

    def __reduce__(self) -> tuple[Callable[[str, str, bool], None], tuple[type[Trap], str, bool]]:
        return setattr, (Trap, "opened", True)


@pytest.mark.parametrize("make", [lambda trap: npz(**{**RIGHT, "mean": [trap]}), lambda trap: npy([trap])])
def test_a_pickle_is_refused_unopened(make: Callable[[Trap], bytes]) -> None:
    content = make(Trap())
    with pytest.raises(OutputError, match=re.escape("pca.npz is damaged")):
        Components.from_bytes(content)
    assert not Trap.opened
