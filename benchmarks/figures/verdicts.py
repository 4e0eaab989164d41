"""How often the bench's verdict is right: for equal runs, and for runs that are 10 % slower.

Benchmarks are resampled from real pairs of equal runs: half of the pairs for the noise floor, half for the comparison,
with 10 % added to one side. Then each case is run live once, with 10 % more photos as the slower side.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.figures import paired
from fruitscale.bench.bench_statistics import Verdict, is_settled, noise_floor, ratio_of, verdict
from fruitscale.config.schema import Config

PAIRS, MAX_PAIRS, RESAMPLES = 40, 20, 1000
SLOWER = 1.1

Pair = tuple[float, float]


def main() -> None:
    """Measure, and print one line per case."""
    options = paired.arguments(__doc__, images=300, rounds=PAIRS).parse_args()
    config = paired.settings(engine="local")
    with paired.working_folder() as work:
        same = str(paired.photos(options.input, options.images, work / "same"))
        more = str(paired.photos(options.input, round(options.images * SLOWER), work / "more"))
        runs = Runs(config, work)
        pairs = [runs.pair(same, same) for _ in range(options.rounds)]
        floor = partial(runs.pair, same, same)
        live = {"A/A": bench(floor, floor), "10 % more": bench(floor, partial(runs.pair, more, same))}
    right = {"A/A": share(pairs, 1.0, "no difference"), "10 % slower": share(pairs, SLOWER, "slower")}
    paired.write_figure("verdicts", {"images": options.images, "pairs": pairs, "right": right, "live": live}, config)
    for kind, fraction in right.items():
        print(f"{kind}: right in {fraction:.1%} of {RESAMPLES:,} benchmarks resampled from {options.rounds} pairs")
    for kind, verdict_text in live.items():
        print(f"live, {kind}: {verdict_text}")


class Runs:
    """Runs the real command and returns featurize seconds."""

    def __init__(self, config: Config, work: Path) -> None:
        self._config, self._work, self._numbers, self._random = config, work, itertools.count(), Random(0)

    def pair(self, subject: str, baseline: str) -> Pair:
        """Run both, in random order."""
        sources = [subject, baseline]
        order = self._random.sample((0, 1), 2)
        seconds = {which: self._seconds(sources[which]) for which in order}
        return seconds[0], seconds[1]

    def _seconds(self, source: str) -> float:
        record, *_ = paired.run(self._config, source, str(self._work / f"run-{next(self._numbers)}"), self._work)
        return float(record["seconds"]["featurize"])


def share(pairs: list[Pair], factor: float, expected: Verdict) -> float:
    """Return the fraction of resampled benchmarks that reach the expected verdict."""
    random, right = Random(1), 0
    for _ in range(RESAMPLES):
        drawn = random.sample(pairs, len(pairs))
        floor, compared = iter(drawn[: len(pairs) // 2]), iter(drawn[len(pairs) // 2 :])
        right += bench(lambda: next(floor), lambda: slowed(next(compared), factor)) == expected  # noqa: B023
    return right / RESAMPLES


def slowed(pair: Pair, factor: float) -> Pair:
    """Return the pair with its subject slowed down by a factor."""
    return pair[0] * factor, pair[1]


def bench(floor_pair: Callable[[], Pair], pair: Callable[[], Pair]) -> Verdict:
    """Take pairs until the stopping rule ends, and return the verdict."""
    return verdict(ratio_of(list(until_settled(pair))), noise_floor(ratio_of(list(until_settled(floor_pair)))))


def until_settled(pair: Callable[[], Pair]) -> Iterator[Pair]:
    """Yield pairs until the stopping rule ends."""
    taken: list[Pair] = []
    while not is_settled(ratio_of(taken) if taken else None, MAX_PAIRS):
        taken.append(pair())
        yield taken[-1]


if __name__ == "__main__":
    main()
