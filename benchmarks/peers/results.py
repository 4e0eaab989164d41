"""What was found: the tables as text, and every run as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.peers import table
from benchmarks.peers.answers import RATIO_TOLERANCE, TYPICAL_TOLERANCE, WORST_TOLERANCE
from benchmarks.peers.contestants import Contestant
from benchmarks.peers.ground import CONFIG
from benchmarks.peers.trial import VARIANCE_TOLERANCE, Sample
from fruitscale.bench import bench_environment
from fruitscale.bench.bench_environment import BenchEnvironment
from fruitscale.bench.result_tables import Rows, to_markdown
from fruitscale.config.loading import load


@dataclass(frozen=True)
class Options:
    """The command line."""

    input: str | None
    images: int
    rows: int
    pairs: int
    slots: int
    seed: int
    engines: Sequence[str]
    only: Sequence[str]
    components: int
    k: int
    python: Path
    out: Path
    timeout: float
    set: Sequence[str] = ()


@dataclass
class Results:
    """What was asked for, which versions of the peers are there, and the runs of the jobs' contestants."""

    options: Options
    started: str
    installed: dict[str, str]
    contestants: list[list[Contestant]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def tables(self) -> list[Rows]:
        """Return a table a job."""
        return [table.rows(these, self.samples, self.options.seed) for these in self.contestants]

    @property
    def text(self) -> str:
        """Return everything that a reader wants, in Markdown."""
        given, here = self.options, self._environment()
        commit = f"{(here.commit or '-')[:12]}{' and changes' if here.dirty else ''}"
        lines = [
            f"{self.started}, {here.cpu}, {given.slots} slots, {given.pairs} pairs, seed {given.seed}; {'; '.join(self.notes)}",
            f"fruitscale {here.fruitscale}, commit {commit}, {_list(here.packages)}",
            f"Peers: {_list(self.installed) or 'not installed'}",
        ]
        return "".join(f"- {line}\n" for line in lines) + "\n" + "\n".join(map(to_markdown, self.tables))

    def write(self) -> Path:
        """Write the runs as JSON, and the text beside it; return the JSON's path."""
        options = {
            name: value for name, value in asdict(self.options).items() if name not in ("input", "python", "out")
        }
        raw = {
            "started": self.started,
            "options": options,
            "environment": asdict(self._environment()),
            "peers": self.installed,
            "tolerances": {
                "features": {"typical": TYPICAL_TOLERANCE, "worst": WORST_TOLERANCE},
                "ratio": RATIO_TOLERANCE,
                "variance": VARIANCE_TOLERANCE,
            },
            "notes": self.notes,
            "samples": [asdict(sample) for sample in self.samples],
            "tables": [asdict(rows) for rows in self.tables],
        }
        self.options.out.mkdir(parents=True, exist_ok=True)
        path = self.options.out / f"peers-{self.started.translate(str.maketrans('', '', '-:'))}.json"
        path.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(self.text, encoding="utf-8")
        return path

    def _environment(self) -> BenchEnvironment:
        return bench_environment.look(load(str(CONFIG), sets=self.options.set).config)


def _list(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
