"""The limits from which on a photo is a finding; each can be set, and is shown with what it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from fruitscale.errors import UsageError


@dataclass(frozen=True)
class InspectionLimits:
    """All limits.

    `copy_difference`: root mean square of the grey levels by which two photos differ at 32 x 32 pixels, times the square
    root of one less the correlation of their details. `label_share`: the share of the `neighbours` that agree on another
    label. `outlier_score`, `blur_score`: modified z-scores among the photos of the label (Iglewicz and Hoaglin, 1993, who
    recommend 3.5; sharpness varies more). `dark`, `light` and `aspect` are cleanvision's, `contrast` is scikit-image's.
    `empty_bits`: entropy. `size_factor`: how many times larger or smaller a side is than the median.
    """

    copy_difference: float = 0.3
    neighbours: int = 10
    label_share: float = 0.6
    outlier_score: float = 3.5
    blur_score: float = 5.0
    dark: float = 0.37
    light: float = 0.95
    contrast: float = 0.05
    empty_bits: float = 2.0
    size_factor: float = 4.0
    aspect: float = 0.35

    def changed(self, given: Sequence[str]) -> InspectionLimits:
        """Return the limits with those of `NAME=VALUE` changed. Raises UsageError."""
        kinds = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        values: dict[str, float] = {}
        for text in given:
            name, _, value = text.partition("=")
            if name not in kinds:
                raise UsageError(f"There is no limit {name!r}.", f"The limits: {', '.join(kinds)}.")
            try:
                values[name] = kinds[name](value)
            except ValueError:
                raise UsageError(
                    f"{text}: {value!r} is not a number.", f"Give one, as in {self.example(name)}."
                ) from None
            if not 0 < values[name] < float("inf"):
                raise UsageError(f"{text}: a limit is more than 0.", f"For example {self.example(name)}.")
        return replace(self, **values)  # type: ignore[arg-type]

    def example(self, name: str) -> str:
        """Return a limit as it is given: `dark=0.37`."""
        return f"{name}={getattr(self, name):g}"
