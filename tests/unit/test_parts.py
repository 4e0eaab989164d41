"""Parts: the same rows are the same bytes, and no damage goes unseen."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fruitscale.errors import MissingObjectError, OutputError
from fruitscale.runs import parts
from fruitscale.runs.parts import DamagedPartError, Part, Reject
from fruitscale.storage.store import LocalStore

NAME = "features/part-00042.parquet"


def part(labels: list[str | None], width: int = 6, rejects: int = 0) -> Part:
    paths = [f"{label}/é {i}.jpg" for i, label in enumerate(labels)]
    values = np.random.default_rng(0).normal(size=(len(labels), width)).astype(np.float32)
    return Part(paths, labels, values, rejects)


SAMPLE = part(["a", None, "é", "", None], rejects=3)
REJECTS = [
    Reject("a/1.jpg", "a", "truncated", "at byte 3"),
    Reject("b\n.jpg", None, "empty", ""),
    Reject("c", "", "x", "é"),
]


def is_same(one: Part, other: Part) -> bool:
    texts = (one.paths, one.labels, one.rejects) == (other.paths, other.labels, other.rejects)
    texts = texts and one.warnings == other.warnings
    return texts and one.values.dtype == other.values.dtype and one.values.tobytes() == other.values.tobytes()


def written(store: LocalStore, sample: Part = SAMPLE) -> Path:
    parts.write_vectors(store, NAME, "features", sample)
    return store.root / NAME


def test_a_name_has_five_digits() -> None:
    assert parts.name("features", 42) == "features/part-00042.parquet"
    assert parts.name("_run/rejects", 123456) == "_run/rejects/part-123456.parquet"


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(SAMPLE, id="labels-and-nulls"),
        pytest.param(part([None, None]), id="only-nulls"),
        pytest.param(replace(SAMPLE, warnings={1: "stray bytes", 4: "é"}), id="warnings"),
        pytest.param(part([], rejects=7), id="no-row"),
        pytest.param(part(["a"], width=1), id="width-1"),
        pytest.param(part(["x"] * 700, width=320), id="many-rows"),
        pytest.param(Part(["a"], ["b"], np.array([[np.nan, -0.0, np.inf, 1e-45]], np.float32)), id="odd-numbers"),
    ],
)
def test_round_trip(tmp_path: Path, sample: Part) -> None:
    store = LocalStore(tmp_path)
    parts.write_vectors(store, NAME, "features", sample)
    read = parts.read_vectors(store, NAME, "features")
    assert is_same(read, sample)
    assert read.values.shape == sample.values.shape


TEXT = st.text(max_size=6)
ROWS = st.lists(st.tuples(TEXT, st.none() | TEXT, st.lists(st.floats(width=32), min_size=3, max_size=3)), max_size=8)


@settings(deadline=None)
@given(rows=ROWS, rejects=st.integers(0, 2**40))
def test_any_rows_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str | None, list[float]]], rejects: int
) -> None:
    store = LocalStore(tmp_path_factory.getbasetemp() / "any-part")
    values = np.array([row[2] for row in rows], np.float32).reshape(-1, 3)
    sample = Part([row[0] for row in rows], [row[1] for row in rows], values, rejects)
    written(store, sample)
    assert is_same(parts.read_vectors(store, NAME, "features"), sample)


def test_the_columns_are_those_promised(tmp_path: Path) -> None:
    table = pq.read_table(written(LocalStore(tmp_path)))
    vectors = pa.list_(pa.float32(), 6)
    assert [(field.name, field.type) for field in table.schema] == [
        ("path", pa.string()), ("label", pa.string()), ("features", vectors),
    ]  # fmt: skip
    assert [field.nullable for field in table.schema] == [False, True, False]
    assert table["label"].to_pylist() == SAMPLE.labels


def test_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    strided = Part([*SAMPLE.paths], [*SAMPLE.labels], np.asfortranarray(SAMPLE.values), SAMPLE.rejects)
    first = written(LocalStore(tmp_path / "one")).read_bytes()
    assert written(LocalStore(tmp_path / "two"), strided).read_bytes() == first
    assert written(LocalStore(tmp_path / "two"), strided).read_bytes() == first


def test_warnings_are_in_the_footer_only_if_there_are_any(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    plain = pq.read_metadata(written(store)).metadata
    assert parts.WARNINGS not in plain
    warned = pq.read_metadata(written(store, replace(SAMPLE, warnings={0: "stray bytes"}))).metadata
    assert warned[parts.WARNINGS] == b'{"0": "stray bytes"}'
    assert warned[parts.CHECKSUM] != plain[parts.CHECKSUM]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(Part(["other", *SAMPLE.paths[1:]], SAMPLE.labels, SAMPLE.values, 3), id="path"),
        pytest.param(Part(SAMPLE.paths, [None, *SAMPLE.labels[1:]], SAMPLE.values, 3), id="label"),
        pytest.param(Part(SAMPLE.paths, SAMPLE.labels, SAMPLE.values + np.float32(1e-6), 3), id="values"),
        pytest.param(Part(SAMPLE.paths, SAMPLE.labels, SAMPLE.values, 4), id="rejects"),
    ],
)
def test_other_rows_are_other_bytes_and_another_checksum(tmp_path: Path, changed: Part) -> None:
    files = written(LocalStore(tmp_path / "one")), written(LocalStore(tmp_path / "two"), changed)
    assert files[0].read_bytes() != files[1].read_bytes()
    sums = {pq.read_metadata(file).metadata[parts.CHECKSUM] for file in files}
    assert len(sums) == 2


def flips(content: bytes, step: int) -> list[bytes]:
    """Every step-th byte with all its bits turned, then with one."""
    masks = (0xFF, 0x01)
    return [
        content[:i] + bytes([content[i] ^ mask]) + content[i + 1 :]
        for start, mask in enumerate(masks)
        for i in range(start, len(content), step)
    ]


def test_flipped_bytes_are_caught_or_change_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    path = written(store)
    caught, wrong = 0, []
    for i, damaged in enumerate(flips(path.read_bytes(), 5)):
        path.write_bytes(damaged)
        try:
            if not is_same(parts.read_vectors(store, NAME, "features"), SAMPLE):
                wrong.append(i)
        except DamagedPartError:
            caught += 1
    assert wrong == []
    assert caught > 200


def test_flipped_bytes_of_the_vectors_are_all_caught(tmp_path: Path) -> None:
    store, sample = LocalStore(tmp_path), part(["a"] * 40, width=64)
    path = written(store, sample)
    column = pq.read_metadata(path).row_group(0).column(2)
    content = path.read_bytes()
    start = column.data_page_offset + 100  # past the page's header
    stop = column.data_page_offset + column.total_compressed_size
    assert stop - start > 5000
    for i in range(start, stop, 251):
        path.write_bytes(content[:i] + bytes([content[i] ^ 0x10]) + content[i + 1 :])
        with pytest.raises(DamagedPartError):
            parts.read_vectors(store, NAME, "features")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_part_is_caught(tmp_path: Path, share: float) -> None:
    store = LocalStore(tmp_path)
    path = written(store)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DamagedPartError, match=rf"{re.escape(NAME)} is damaged\.") as caught:
        parts.read_vectors(store, NAME, "features")
    assert isinstance(caught.value, OutputError)
    assert caught.value.hint == "Run the same command again: it rewrites the part."


def test_another_column_is_caught(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    written(store)
    with pytest.raises(DamagedPartError):
        parts.read_vectors(store, NAME, "components")


@pytest.mark.parametrize("metadata", [None, {parts.CHECKSUM: b"0" * 64}, {parts.REJECTS: b"x"}])
def test_a_table_of_another_making_is_caught(tmp_path: Path, metadata: dict[bytes, bytes] | None) -> None:
    store = LocalStore(tmp_path)
    path = written(store)
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    with pytest.raises(DamagedPartError):
        parts.read_vectors(store, NAME, "features")


def test_rows_in_another_order_are_caught(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    path = written(store)
    pq.write_table(pq.read_table(path).take([1, 0, 2, 3, 4]), path)
    with pytest.raises(DamagedPartError):
        parts.read_vectors(store, NAME, "features")


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with pytest.raises(MissingObjectError):
        parts.read_vectors(store, NAME, "features")
    with pytest.raises(MissingObjectError):
        parts.read_rejects(store, NAME)


@pytest.mark.parametrize("rejects", [[], REJECTS[:1], REJECTS], ids=["none", "one", "several"])
def test_rejects_come_back(tmp_path: Path, rejects: list[Reject]) -> None:
    store = LocalStore(tmp_path)
    parts.write_rejects(store, "rejects.parquet", rejects)
    assert parts.read_rejects(store, "rejects.parquet") == rejects
    assert pq.read_table(tmp_path / "rejects.parquet").column_names == ["path", "label", "reason", "detail"]


def test_the_same_rejects_are_the_same_bytes(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    parts.write_rejects(store, "one", REJECTS)
    parts.write_rejects(store, "two", list(REJECTS))
    assert store.read("one") == store.read("two")


def test_damaged_rejects_are_caught_or_unchanged(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    parts.write_rejects(store, "one", REJECTS)
    caught, wrong = 0, []
    for i, damaged in enumerate([b"", *flips(store.read("one"), 9)]):
        store.write("one", damaged)
        try:
            if parts.read_rejects(store, "one") != REJECTS:
                wrong.append(i)
        except DamagedPartError:
            caught += 1
    assert wrong == []
    assert caught > 100
