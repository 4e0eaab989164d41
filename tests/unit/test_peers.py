"""The runner of `benchmarks/peers`: commands, order of runs, checks of the results, and tables."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from benchmarks.peers import answers, pca_input, table, trial, workspace
from benchmarks.peers.__main__ import parse_options, select_contestants
from benchmarks.peers.answers import Deviation, Features
from benchmarks.peers.contestants import PEERS, Contestant, ours
from benchmarks.peers.preparation import Expected
from benchmarks.peers.results import PeerResults
from benchmarks.peers.trial import Sample
from benchmarks.peers.workspace import Workspace
from fruitscale.errors import UsageError

PEER = Contestant("peer", "featurize", "peer_of_the_test")
OURS = Contestant("fruitscale_spark", "featurize", None, "spark", ours=True)
PATHS = ("Apple Red/1.jpg", "Lime/2.jpg")
VALUES = np.array([[3, 4, 0], [0, 0, 2]], np.float32)
EXPECTED = Expected(Features(PATHS, VALUES), retained_variance=0.9)


@pytest.fixture
def here(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, Path(sys.executable), None, 2, 60, {"featurize": 2, "pca": 2})


def write_answer(folder: Path, photos: Path, values: NDArray[np.float32] = VALUES) -> None:
    """Write a result in two files, in another order, with paths as Spark writes them."""
    for i in (1, 0):
        escaped = f"file:{photos}/{PATHS[i]}".replace(" ", "%20")
        features = pa.array([values[i].tolist()], pa.list_(pa.float32()))
        (folder / "features").mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.table({"path": [escaped], "features": features}), folder / "features" / f"part-{1 - i}.parquet"
        )


def pretend(monkeypatch: pytest.MonkeyPatch, here: Workspace, code: str, values: NDArray[np.float32] = VALUES) -> None:
    """Replace a peer by a script; its result is already written."""
    write_answer(here.work / "answer", here.photos, values)
    line = json.dumps({"seconds_featurize": 2.5, "images": 2, "answer": str(here.work / "answer" / "features")})
    monkeypatch.setattr(trial, "command", lambda *_: [sys.executable, "-c", code.replace("LINE", repr(line))])


def test_a_correct_result_has_times(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, here, "print('noise'); print(LINE); print('more noise')")
    sample = trial.measure(here, EXPECTED, PEER, 3)
    assert (sample.contestant, sample.round, sample.outcome, sample.stage_seconds) == ("peer", 3, "ok", 2.5)
    assert sample.off == Deviation(0, 0)
    assert sample.process_seconds is not None
    assert sample.process_seconds > 0


@pytest.mark.parametrize(
    ("code", "outcome", "words"),
    [
        pytest.param("import no_such_library", "failed", "No module named 'no_such_library'", id="no library"),
        pytest.param("print('nothing')", "wrong answer", "it printed no JSON line", id="silent"),
        pytest.param("print('{}')", "wrong answer", "seconds_featurize", id="no seconds"),
    ],
)
def test_a_failure_is_a_result(
    here: Workspace, monkeypatch: pytest.MonkeyPatch, code: str, outcome: str, words: str
) -> None:
    pretend(monkeypatch, here, code)
    sample = trial.measure(here, EXPECTED, PEER, 1)
    assert (sample.outcome, sample.stage_seconds, sample.process_seconds) == (outcome, None, None)
    assert words in sample.message


def test_a_wrong_answer_has_no_time(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, here, "print(LINE)", VALUES * np.array([[1], [1.16]], np.float32))
    sample = trial.measure(here, EXPECTED, PEER, 1)
    assert (sample.outcome, sample.stage_seconds) == ("wrong answer", None)
    assert sample.off is not None
    assert sample.off.worst == pytest.approx(0.16)
    assert sample.off.typical == pytest.approx(0.08)
    more = Features((*PATHS, "Pear/3.jpg"), np.vstack([VALUES, VALUES[:1]]))
    missing = trial.measure(here, Expected(more), PEER, 1)
    assert "2 photos, 1 of 3 are missing" in missing.message


def test_a_peer_that_is_not_installed_is_a_row(here: Workspace) -> None:
    nowhere = replace(here, python=here.work / "no" / "python")
    samples = list(trial.rounds([PEER], 2, 0, lambda one, number: trial.measure(nowhere, EXPECTED, one, number)))
    assert [sample.outcome for sample in samples] == ["not installed"]
    assert "make bench-peers" in table.rows([PEER, OURS], samples, 0).rows[0][1]


@pytest.mark.parametrize(
    ("peer", "off", "more", "words"),
    [
        (PEER, Deviation(0, 0), {"retained_variance": 0.91}, "retains 0.910000"),
        (PEER, Deviation(float("nan"), 0), {}, "the worst by nan"),
        (PEER, Deviation(0.16, 0.01), {}, "the worst by 16.0%"),
        (PEER, Deviation(0.12, 0.09), {}, "off by 9.0%"),
        (replace(PEER, job="pca"), Deviation(2e-9, 0), {}, "off by 2.0e-09"),
        (replace(PEER, job="pca", exact=False), Deviation(0.1, 0.1), {}, None),
        (PEER, Deviation(0.1, 0.04), {"retained_variance": 0.901}, None),
    ],
)
def test_a_wrong_result_is_named(peer: Contestant, off: Deviation, more: dict[str, float], words: str | None) -> None:
    problem = trial.problem_with(peer, off, more, EXPECTED)
    assert problem is None if words is None else words in (problem or "")


def test_rounds_are_interleaved_at_random_after_a_warm_up() -> None:
    started: list[tuple[str, int]] = []

    def run(one: Contestant, number: int) -> Sample:
        started.append((one.name, number))
        return Sample(one.name, number, "failed" if one.name == "mllib" and number == 1 else "ok")

    some = [peer for peer in PEERS if peer.job == "pca"]
    list(trial.rounds(some, 4, 7, run))
    names = [one.name for one in some]
    orders = [[name for name, number in started if number == n] for n in range(5)]
    assert orders[0] == names
    assert sorted(orders[1]) == sorted(names)
    assert all(sorted(order) == sorted(set(names) - {"mllib"}) for order in orders[2:])
    assert len({tuple(order) for order in orders[2:]}) > 1
    assert [one.name for one in trial.order_of(some, 7, 1)] == orders[1]


def test_ratios_are_of_pairs_of_a_round() -> None:
    times = {1: (10.0, 2.0), 2: (30.0, 5.0), 3: (9.0, None)}
    samples = [Sample(one.name, 0, "ok", stage_seconds=1e9, process_seconds=1e9) for one in (PEER, OURS)]
    for number, (theirs, mine) in times.items():
        samples.append(Sample("peer", number, "ok", stage_seconds=theirs, process_seconds=theirs + 2))
        outcome: trial.Outcome = "ok" if mine else "failed"
        samples.append(Sample(OURS.name, number, outcome, "why", stage_seconds=mine, process_seconds=mine))
    found = table.ratio("peer", OURS.name, samples, "stage_seconds", 0)
    assert found is not None
    assert (found.pairs, found.median) == (2, 5.5)
    rows = table.rows([PEER, OURS], samples, 0)
    assert rows.headings[-2:] == ("featurize / spark", "process / spark")
    assert rows.rows[0][:4] == ("peer", "ok", "3", "10.00")
    assert rows.rows[0][-2] == "5.50", "no interval with fewer than 5 pairs"
    assert rows.rows[1][1] == "failed: why"


def test_the_results_are_written_as_json_and_markdown(tmp_path: Path) -> None:
    options = parse_options(["--out", str(tmp_path / "results"), "--input", "secret/place"])
    samples = [Sample(one.name, 1, "ok", "", 4.0, 6.0, off=Deviation(0.1, 0.02)) for one in (PEER, OURS)]
    found = PeerResults(options, "2026-01-02T03:04:05Z", {"ray": "2"}, [[PEER, OURS]], samples, ["2,400 images"])
    written = found.write()
    assert written.name == "peers-20260102T030405Z.json"
    raw = json.loads(written.read_text())
    assert raw["samples"][0]["off"] == {"worst": 0.1, "typical": 0.02}
    assert (raw["peers"], raw["options"]["pairs"]) == ({"ray": "2"}, 5)
    assert "secret" not in written.read_text()
    assert "| peer | ok | 1 | 4.00 | 6.00 | 0.0 | 0 | 1.0e-01 | 1.00" in written.with_suffix(".md").read_text()


def test_exact_ratios_are_those_of_an_svd(tmp_path: Path) -> None:
    rows = pca_input.draw(50, 8)
    expected = np.linalg.svd(rows - rows.mean(axis=0, dtype=np.float64), compute_uv=False) ** 2
    ratios = answers.exact_ratios(rows, 3)
    np.testing.assert_allclose(ratios, (expected / expected.sum())[:3], rtol=1e-12)
    written = tmp_path / "ratios.json"
    written.write_text(json.dumps([ratios[0], ratios[1] + 2e-9, ratios[2]]))
    assert answers.ratios_deviation(written, ratios).worst == pytest.approx(2e-9)
    with pytest.raises(ValueError, match="3 components, expected 2"):
        answers.ratios_deviation(written, ratios[:2])


def test_every_run_has_the_same_threads_and_no_usage_reports(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    monkeypatch.setenv("SPARK_HOME", "/elsewhere")
    contestants = [*PEERS, *ours(["spark", "dask", "local"])]
    for variables in (workspace.environment(here, one) for one in contestants):
        assert (variables["RAY_USAGE_STATS_ENABLED"], variables["DAFT_ANALYTICS_ENABLED"]) == ("0", "0")
        assert variables["TF_NUM_INTRAOP_THREADS"] == "1"
        assert "SPARK_HOME" not in variables
    blas = {one.name: workspace.environment(here, one)["OMP_NUM_THREADS"] for one in contestants}
    assert {name for name, threads in blas.items() if threads != "1"} == {
        "sklearn_pca", "sklearn_pca_eigh", "sklearn_incremental",
    }  # fmt: skip


def test_every_peer_has_its_file() -> None:
    for one in (*PEERS, *ours(["spark"])):
        assert one.module is None or (workspace.HERE / f"{one.module}.py").is_file()


def test_contestants_are_selected_by_name_or_job() -> None:
    names = [
        one.name for one in select_contestants(parse_options(["--only", "dask_tsqr,notebook", "--engines", "dask"]))
    ]
    assert names == ["notebook", "dask_tsqr", "fruitscale_dask", "fruitscale_dask_pca"]
    assert all(one.job == "pca" for one in select_contestants(parse_options(["--only", "pca"])))
    for wrong in (["--only", "tsqr"], ["--engines", "flink"]):
        with pytest.raises(UsageError):
            select_contestants(parse_options(wrong))
