"""Run fruitscale and every peer, interleaved, and print one table per job: `python -m benchmarks.peers --input photos`."""

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
from benchmarks.peers.preparation import Expected
from benchmarks.peers.results import Options, PeerResults
from benchmarks.peers.trial import Sample
from benchmarks.peers.workspace import HERE, ROOT, Workspace
from fruitscale.errors import FruitscaleError, UsageError


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Parse the command line."""

    def words(text: str) -> list[str]:
        return [word for word in text.split(",") if word]

    names = ", ".join(peer.name for peer in PEERS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--input", help="the folder of photos, one subfolder per label")
    parser.add_argument("--images", type=int, default=2400, help="photos to featurize (2400)")
    parser.add_argument("--rows", type=int, default=38_000, help="rows of the PCA input (38000)")
    parser.add_argument(
        "--pairs", type=int, default=5, help="timed rounds after the warm-up (5); 0: only check the results"
    )
    parser.add_argument("--slots", type=int, default=2, help="parallel tasks, and cores that each tool may use (2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of runs and of the bootstrap")
    parser.add_argument(
        "--engines", type=words, default=["spark", "dask", "local"], help="our engines: spark,dask,local"
    )
    parser.add_argument("--only", type=words, default=[], help=f"jobs or peers: featurize, pca, {names}")
    parser.add_argument(
        "--components", type=int, default=64, help="components of the notebook's PCA and of fruitscale's runs (64)"
    )
    parser.add_argument("--k", type=int, default=256, help="components of the pca job (256)")
    parser.add_argument("--python", type=Path, default=HERE / ".venv" / "bin" / "python", help="the peers' Python")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the JSON and Markdown"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="such as another network, for all tools",
    )
    parser.add_argument("--timeout", type=float, default=1800, help="timeout of a run in seconds (1800)")
    return Options(**vars(parser.parse_args(arguments)))


def select_contestants(options: Options) -> list[Contestant]:
    """Return the chosen peers, and fruitscale in the same jobs. Raises UsageError for unknown names."""
    known = {peer.name for peer in PEERS} | {peer.job for peer in PEERS}
    if unknown := set(options.only) - known:
        raise UsageError(
            f"Unknown peer or job: {', '.join(sorted(unknown))}.", f"Choose from {', '.join(sorted(known))}."
        )
    if unknown := set(options.engines) - {"spark", "dask", "local"}:
        raise UsageError(f"Unknown engine: {', '.join(sorted(unknown))}.", "Choose from spark, dask, local.")
    peers = [peer for peer in PEERS if not options.only or {peer.name, peer.job} & set(options.only)]
    jobs = {peer.job for peer in peers}
    return [*peers, *(one for one in ours(options.engines) if one.job in jobs)]


def main() -> int:
    options = parse_options()
    try:
        contestants = select_contestants(options)
        if options.input is None and any(one.job == "featurize" for one in contestants):
            raise UsageError("--input is missing: there are no photos to featurize.", "Give --input, or --only pca.")
        return compare(options, contestants)
    except FruitscaleError as error:
        sys.stderr.write(f"Error: {error.message}\n{error.hint or ''}\n")
        return 1


def compare(options: Options, contestants: Sequence[Contestant]) -> int:
    """Prepare and run all jobs; print and write the results, also partial ones after an interruption."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.slots])  # inherited by all children
    results = PeerResults(
        options, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), preparation.versions(options.python)
    )
    try:
        with tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as name:
            java = preparation.java_home(results.installed.get("pyspark"))
            components: dict[JobName, int] = {"featurize": options.components, "pca": options.k}
            workspace = Workspace(
                Path(name), options.python, java, options.slots, options.timeout, components, options.set
            )
            for job in ("featurize", "pca"):
                in_job = [one for one in contestants if one.job == job]
                if in_job:
                    results.contestants.append(in_job)
                    expected = prepare(workspace, options, job, results.notes)
                    results.samples.extend(
                        trial.rounds(in_job, options.pairs, options.seed, partial(run, workspace, expected))
                    )
    finally:
        if results.samples:
            _log(f"written: {results.write()}")
            sys.stdout.write(results.text)
    return 0


def prepare(workspace: Workspace, options: Options, job: str, notes: list[str]) -> Expected:
    """Write the inputs of a job, and return its expected results."""
    _log(f"{job}: preparing")
    if job == "pca":
        notes.append(f"PCA: {options.rows:,} × {preparation.WIDTH}, k = {options.k}")
        return preparation.pca_input_and_ratios(workspace, options.rows)
    assert options.input is not None
    note = preparation.photos_and_model(workspace, options.input, options.images)
    notes.append(note or f"{options.images:,} images")
    notes.extend(options.set)
    return preparation.reference_run(workspace)


def run(workspace: Workspace, expected: Expected, contestant: Contestant, number: int) -> Sample:
    """Measure one run and log it."""
    sample = trial.measure(workspace, expected, contestant, number)
    message = sample.message
    if sample.off is not None and sample.stage_seconds is not None:
        message = f"{sample.stage_seconds:.2f} s, off by {sample.off.typical:.1e}, at worst {sample.off.worst:.1e}"
    _log(f"round {number or '0 (warm-up)'}: {contestant.name}: {sample.outcome}, {message}")
    return sample


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
