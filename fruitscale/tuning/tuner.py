"""Tunes: measures the candidates on a sample of the photos in two rounds, and recommends the cheapest that is good enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fruitscale.config.schema import Config
from fruitscale.display.formatting import counted
from fruitscale.errors import FruitscaleError
from fruitscale.kernels import cpu_kind
from fruitscale.runs.environment import environment
from fruitscale.storage.scratch import ScratchFolder
from fruitscale.tuning.candidates import Candidate, Grid, Wanted, make_grid
from fruitscale.tuning.judging import Judged, judge
from fruitscale.tuning.photo_sample import Sample, take_sample
from fruitscale.tuning.trials import CandidateTrial, run_trial
from fruitscale.tuning.tuning_results import Measure, Tuning, price_of, recommended, rows_of

PHOTOS = 2000
FIRST_SHARE = 8
"""The first round takes an eighth of the sample,"""
FIRST_LEAST = 240
"""but at least this many photos."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class TuneRequest:
    """What to tune for. `tolerance` is a difference in accuracy (0.01: one point); no trial begins after `minutes`."""

    config: Config
    test: Config | None = None
    wanted: Wanted = field(default_factory=Wanted)
    photos: int = PHOTOS
    tolerance: float = 0.01
    series: str | None = None
    seed: int = 0
    minutes: float = 10


def tune(request: TuneRequest, log: Log = lambda line: None) -> Tuning:
    """Measure the candidates and recommend the cheapest that is good enough. Raises a FruitscaleError.

    Each candidate is run on the local engine with the config's slots. Those that a first round of few photos shows to be
    hopeless are not run on the whole sample (successive halving, Jamieson and Talwalkar, arXiv:1502.07943, with a statistical
    test instead of a fixed share).
    """
    began = time.monotonic()
    grid = make_grid(request.config.model, request.wanted)
    sample = take_sample(request.config, request.test, request.photos, request.series, request.seed)
    log(f"{counted(sample.photos, 'photo')}: {sample.how}")
    with ScratchFolder("tune") as work:
        rounds = _Rounds(request, grid, sample, work, log, began + 60 * request.minutes)
        judged, dropped = rounds.run()
    measure: Measure = "accuracy" if sample.series else "agreement"
    rows, hopeless = (rows_of(some, measure, request.tolerance, price_of(request.config)) for some in (judged, dropped))
    best, machine = recommended(rows), environment()
    return Tuning(
        measure=measure,
        how=sample.how,
        photos=sample.photos,
        compared=len(judged[0].trial.keys),
        tolerance=request.tolerance,
        reference=rows[0],
        recommended=best,
        speedup=rows[0].ms_per_photo / best.ms_per_photo,
        rows=tuple(sorted(rows, key=lambda row: row.ms_per_photo)),
        dropped=tuple(hopeless[1:]),
        left_out=(*grid.missing, *rounds.left_out),
        cpu=machine.cpu,
        cpu_features=tuple(cpu_kind.shown_flags()),
        slots=rounds.slots,
        seconds=round(time.monotonic() - began, 1),
        date=datetime.now(UTC).date().isoformat(),
    )


class _Rounds:
    """Two rounds of trials; `left_out` says what was not tried, or failed."""

    def __init__(self, request: TuneRequest, grid: Grid, sample: Sample, work: Path, log: Log, ends: float) -> None:
        self._request, self._grid, self._sample = request, grid, sample
        self._work, self._log, self._ends = work, log, ends
        self.left_out: list[str] = []
        self.slots = 0

    def run(self) -> tuple[list[Judged], list[Judged]]:
        """Return the judged candidates of the last round, and those that the first one dropped, after the reference's."""
        reference, candidates = self._grid.reference, list(self._grid.candidates)
        few = max(self._request.photos // FIRST_SHARE, FIRST_LEAST)
        dropped: list[Judged] = []
        if few < self._sample.photos:
            quick = [each for each in candidates if each.precision != "int8" or each == reference]
            first = self._round("First", quick, few)
            dropped = (
                [one for one in first[1:] if one.is_hopeless(self._request.tolerance)] if self._sample.series else []
            )
            hopeless = {_network_of(one.trial.candidate) for one in dropped}
            candidates = [each for each in candidates if each == reference or _network_of(each) not in hopeless]
            dropped = [first[0], *dropped]
        return self._round("Second" if dropped else "Only", candidates, self._request.photos), dropped

    def _round(self, name: str, candidates: Sequence[Candidate], photos: int) -> list[Judged]:
        lists = self._sample.write_lists(photos, self._work)
        trials: list[CandidateTrial] = []
        for number, candidate in enumerate(candidates, 1):
            if trials and time.monotonic() > self._ends:
                self.left_out += [f"{each}: the time was up (--minutes)." for each in candidates[number - 1 :]]
                break
            trial = self._try(lists, candidate)
            if trial is not None:
                trials.append(trial)
                spent = f"{trial.ms_per_photo:.1f} ms per photo and core"
                self._log(f"{name} round, {number} of {len(candidates)}: {candidate}: {spent}")
        return judge(trials, self._sample.series, self._request.seed)

    def _try(self, lists: Sequence[Path], candidate: Candidate) -> CandidateTrial | None:
        try:
            trial = run_trial(self._sample.configs, lists, candidate, self._work)
        except FruitscaleError as error:
            if candidate == self._grid.reference:
                raise
            self.left_out.append(f"{candidate}: {error.message}")
            return None
        self.slots = trial.slots
        return trial


def _network_of(candidate: Candidate) -> tuple[str, int]:
    """Return what decides quality most: precision and groups change it little."""
    return candidate.architecture, candidate.input_size
