"""The results of a comparison: tables as Markdown, and every run as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.peers import table
from benchmarks.peers.answers import RATIO_TOLERANCE, TYPICAL_TOLERANCE, WORST_TOLERANCE
from benchmarks.peers.contestants import Contestant
from benchmarks.peers.trial import VARIANCE_TOLERANCE, Sample
from benchmarks.peers.workspace import CONFIG
from fruitscale.bench import bench_environment
from fruitscale.bench.bench_environment import BenchEnvironment
from fruitscale.bench.result_tables import Rows, to_markdown
from fruitscale.config.loading import load


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

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
class PeerResults:
    """The options, the installed versions of the peers, and the runs of each job's contestants."""

    options: Options
    started: str
    installed: dict[str, str]
    contestants: list[list[Contestant]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def tables(self) -> list[Rows]:
        """Return one table per job."""
        return [table.rows(job, self.samples, self.options.seed) for job in self.contestants]

    @property
    def text(self) -> str:
        """Return the environment, the notes and the tables as Markdown."""
        options, environment = self.options, self._environment()
        notes = "; ".join(self.notes)
        commit = f"{(environment.commit or '-')[:12]}{' with changes' if environment.dirty else ''}"
        lines = [
            f"{self.started}, {environment.cpu}, {options.slots} slots, {options.pairs} pairs, seed {options.seed}; {notes}",
            f"fruitscale {environment.fruitscale}, commit {commit}, {_list(environment.packages)}",
            f"Peers: {_list(self.installed) or 'not installed'}",
        ]
        return "".join(f"- {line}\n" for line in lines) + "\n" + "\n".join(map(to_markdown, self.tables))

    def write(self) -> Path:
        """Write the runs as JSON and the text beside it; return the path of the JSON."""
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
        return bench_environment.read_environment(load(str(CONFIG), sets=self.options.set).config)


def _list(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
