"""Names the variants of a benchmark in words, by what differs between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fruitscale.bench.bench_plan import Variant
from fruitscale.display.formatting import counted

TITLES = {"local": "local", "spark": "Spark", "dask": "Dask"}
AXES = ("slots", "images", "precision")


def title(engine: str) -> str:
    """Return an engine's name as people write it."""
    return TITLES.get(engine, engine)


@dataclass(frozen=True)
class VariantWords:
    """Names variants; what all of them share is left out, and is in `shared`."""

    variants: tuple[Variant, ...]

    def name(self, variant: Variant) -> str:
        """Return a name such as `Spark, 2,000 photos`."""
        return ", ".join([title(variant.engine), *(_words(variant, axis) for axis in self._varying)])

    def pair(self, subject: Variant, baseline: Variant) -> str:
        """Return the name of a comparison, such as `Spark / local, 2,000 photos`."""
        apart = [axis for axis in AXES if getattr(subject, axis) != getattr(baseline, axis)]
        shared = [_words(subject, axis) for axis in self._varying if axis not in apart]
        if subject.engine != baseline.engine:
            return ", ".join([f"{title(subject.engine)} / {title(baseline.engine)}", *shared])
        ends = " / ".join(", ".join(_words(v, axis) for axis in apart) for v in (subject, baseline))
        return f"{', '.join([title(subject.engine), *shared])}: {ends}" if ends != " / " else self.name(subject)

    def line(self, engine: str, slots: int, precision: str) -> str:
        """Return the name of the line through all numbers of photos."""
        variant = Variant(engine, slots, self.variants[0].images, precision)
        return ", ".join([title(engine), *(_words(variant, axis) for axis in self._varying if axis != "images")])

    @property
    def shared(self) -> str:
        """What all variants share, such as `2 slots, f32`; empty if they share nothing."""
        return ", ".join(_words(self.variants[0], axis) for axis in AXES if axis not in self._varying)

    @property
    def _varying(self) -> tuple[str, ...]:
        return tuple(axis for axis in AXES if len({getattr(v, axis) for v in self.variants}) > 1)


def listed(words: Iterable[str], last: str = "and") -> str:
    """Return words as a list in a sentence: `a, b and c`."""
    *most, final = words
    return f"{', '.join(most)} {last} {final}" if most else final


def _words(variant: Variant, axis: str) -> str:
    value = getattr(variant, axis)
    return {
        "slots": lambda: counted(value, "slot"),
        "images": lambda: counted(value, "photo"),
        "precision": lambda: str(value),
    }[axis]()
