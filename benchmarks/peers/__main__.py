"""Run every peer and ours, interleaved, and print one table a job: `python -m benchmarks.peers --input photos`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.peers import preparation, trial
from benchmarks.peers.contestants import PEERS, Contestant, JobName, ours
from benchmarks.peers.ground import HERE, ROOT, Ground
from benchmarks.peers.preparation import Expected
from benchmarks.peers.results import Options, Results
from benchmarks.peers.trial import Sample
from fruitscale.errors import FruitscaleError, UsageError


def options(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""

    def words(text: str) -> list[str]:
        return [word for word in text.split(",") if word]

    names = ", ".join(peer.name for peer in PEERS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--input", help="the folder with the photos, one folder a label")
    parser.add_argument("--images", type=int, default=2400, help="photos to featurize (2400)")
    parser.add_argument("--rows", type=int, default=38_000, help="rows of the matrix that PCAs are fitted on (38000)")
    parser.add_argument("--pairs", type=int, default=5, help="timed rounds, after one for warm-up (5); 0: answers only")
    parser.add_argument("--slots", type=int, default=2, help="tasks at once, and the cores that all may use (2)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the runs, and of the bootstrap")
    parser.add_argument("--engines", type=words, default=["spark", "dask", "local"], help="ours: spark,dask,local")
    parser.add_argument("--only", type=words, default=[], help=f"peers, and jobs: featurize, pca, {names}")
    parser.add_argument(
        "--components", type=int, default=64, help="components of the notebook's PCA and of our runs (64)"
    )
    parser.add_argument("--k", type=int, default=256, help="components of the PCAs that are timed alone (256)")
    parser.add_argument("--python", type=Path, default=HERE / ".venv" / "bin" / "python", help="the peers' Python")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="where the raw JSON goes")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another network, for all")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds a run may take (1800)")
    return Options(**vars(parser.parse_args(arguments)))


def chosen(given: Options) -> list[Contestant]:
    """Return who takes part: all peers or those named, and ours in the same jobs. Raises UsageError for unknown names."""
    known = {peer.name for peer in PEERS} | {peer.job for peer in PEERS}
    if unknown := set(given.only) - known:
        raise UsageError(f"There is no peer {', '.join(sorted(unknown))}.", f"There are {', '.join(sorted(known))}.")
    if unknown := set(given.engines) - {"spark", "dask", "local"}:
        raise UsageError(f"There is no engine {', '.join(sorted(unknown))}.", "There are spark, dask, local.")
    peers = [peer for peer in PEERS if not given.only or {peer.name, peer.job} & set(given.only)]
    jobs = {peer.job for peer in peers}
    return [*peers, *(one for one in ours(given.engines) if one.job in jobs)]


def main() -> int:
    given = options()
    try:
        contestants = chosen(given)
        if given.input is None and any(one.job == "featurize" for one in contestants):
            raise UsageError("There are no photos to featurize.", "Give --input, or --only pca.")
        return compare(given, contestants)
    except FruitscaleError as error:
        sys.stderr.write(f"Error: {error.message}\n{error.hint or ''}\n")
        return 1


def compare(given: Options, contestants: Sequence[Contestant]) -> int:
    """Prepare, run, print and write: also what there is when it is interrupted."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.slots])  # what is started inherits it
    results = Results(given, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), preparation.versions(given.python))
    try:
        with tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as name:
            java = preparation.java_home(results.installed.get("pyspark"))
            kept: dict[JobName, int] = {"featurize": given.components, "pca": given.k}
            ground = Ground(Path(name), given.python, java, given.slots, given.timeout, kept, given.set)
            for job in ("featurize", "pca"):
                these = [one for one in contestants if one.job == job]
                if these:
                    results.contestants.append(these)
                    expected = prepare(ground, given, job, results.notes)
                    results.samples.extend(trial.rounds(these, given.pairs, given.seed, partial(run, ground, expected)))
    finally:
        if results.samples:
            _tell(f"written: {results.write()}")
            sys.stdout.write(results.text)
    return 0


def prepare(ground: Ground, given: Options, job: str, notes: list[str]) -> Expected:
    """Make what a job needs, and its right answers."""
    _tell(f"{job}: preparing")
    if job == "pca":
        notes.append(f"PCA: {given.rows:,} × {preparation.WIDTH}, k = {given.k}")
        return preparation.matrix_and_ratios(ground, given.rows)
    assert given.input is not None
    repeated = preparation.photos_and_model(ground, given.input, given.images)
    notes.append(repeated or f"{given.images:,} images")
    notes.extend(given.set)
    return preparation.reference_run(ground)


def run(ground: Ground, expected: Expected, contestant: Contestant, number: int) -> Sample:
    """Measure one run, and say so."""
    sample = trial.measure(ground, expected, contestant, number)
    told = sample.message
    if sample.off is not None and sample.stage_seconds is not None:
        told = f"{sample.stage_seconds:.2f} s, off by {sample.off.typical:.1e}, at worst {sample.off.worst:.1e}"
    _tell(f"round {number or '0 (warm-up)'}: {contestant.name}: {sample.outcome}, {told}")
    return sample


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
