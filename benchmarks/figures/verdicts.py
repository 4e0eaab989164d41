"""How often the bench's verdict is right: on pairs of runs of the same thing, and with one of each pair 10 % slower.

Pairs are real runs; benches are made of them by drawing, half for the noise floor and half for the comparison. Then one
bench is tried live for each: the slower one has 10 % more photos.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.figures import paired
from fruitscale.bench.statistics import Verdict, is_settled, noise_floor, ratio_of, verdict
from fruitscale.config.schema import Config

PAIRS, MOST_PAIRS, DRAWS = 40, 20, 1000
SLOWER = 1.1

Pair = tuple[float, float]


def main() -> None:
    """Measure, and print one line a kind of bench."""
    given = paired.arguments(__doc__, images=300, rounds=PAIRS).parse_args()
    config = paired.settings(engine="local")
    with paired.workplace() as work:
        same = str(paired.photos(given.input, given.images, work / "same"))
        more = str(paired.photos(given.input, round(given.images * SLOWER), work / "more"))
        runs = Runs(config, work)
        pairs = [runs.pair(same, same) for _ in range(given.rounds)]
        floor = partial(runs.pair, same, same)
        live = {"A/A": bench(floor, floor), "10 % more": bench(floor, partial(runs.pair, more, same))}
    right = {"A/A": share(pairs, 1.0, "no difference"), "10 % slower": share(pairs, SLOWER, "slower")}
    paired.keep("verdicts", {"images": given.images, "pairs": pairs, "right": right, "live": live}, config)
    for kind, fraction in right.items():
        print(f"{kind}: right in {fraction:.1%} of {DRAWS:,} benches drawn from {given.rounds} pairs")
    for kind, told in live.items():
        print(f"live, {kind}: {told}")


class Runs:
    """Makes real runs, and keeps their featurize seconds."""

    def __init__(self, config: Config, work: Path) -> None:
        self._config, self._work, self._numbers, self._random = config, work, itertools.count(), Random(0)

    def pair(self, subject: str, baseline: str) -> Pair:
        """Run both, in an order drawn anew."""
        sources = [subject, baseline]
        order = self._random.sample((0, 1), 2)
        seconds = {which: self._seconds(sources[which]) for which in order}
        return seconds[0], seconds[1]

    def _seconds(self, source: str) -> float:
        record, *_ = paired.run(self._config, source, str(self._work / f"run-{next(self._numbers)}"), self._work)
        return float(record["seconds"]["featurize"])


def share(pairs: list[Pair], factor: float, expected: Verdict) -> float:
    """Return how many of the benches that are drawn from the pairs come to the verdict that is expected."""
    random, right = Random(1), 0
    for _ in range(DRAWS):
        drawn = random.sample(pairs, len(pairs))
        floor, compared = iter(drawn[: len(pairs) // 2]), iter(drawn[len(pairs) // 2 :])
        right += bench(lambda: next(floor), lambda: slowed(next(compared), factor)) == expected  # noqa: B023
    return right / DRAWS


def slowed(pair: Pair, factor: float) -> Pair:
    """Return a pair whose subject took longer."""
    return pair[0] * factor, pair[1]


def bench(same: Callable[[], Pair], pair: Callable[[], Pair]) -> Verdict:
    """Take pairs for as long as the bench would, and return its verdict."""
    return verdict(ratio_of(list(enough(pair))), noise_floor(ratio_of(list(enough(same)))))


def enough(pair: Callable[[], Pair]) -> Iterator[Pair]:
    """Yield pairs until they are enough."""
    taken: list[Pair] = []
    while not is_settled(ratio_of(taken) if taken else None, MOST_PAIRS):
        taken.append(pair())
        yield taken[-1]


if __name__ == "__main__":
    main()
