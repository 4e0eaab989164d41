"""The photos most similar to one, as `fruitscale.similar` returns them."""

from __future__ import annotations

from dataclasses import dataclass

from fruitscale.runs import html_table


@dataclass(frozen=True)
class SimilarPhoto:
    """A photo of the run, with its Euclidean distance to the photo asked about."""

    path: str
    label: str | None
    distance: float


@dataclass(frozen=True)
class SimilarPhotos:
    """The photos of a run most similar to `photo`, nearest first; of equally near ones, the first by path.

    `path` is the photo's own path in the run, None if it is not in it; `compared` counts the photos it was compared with,
    `by` names the vectors. `seconds` is the time of the search with reading the run's parts, without the model's.
    """

    run: str
    photo: str
    path: str | None
    label: str | None
    by: str
    width: int
    compared: int
    seconds: float
    photos: tuple[SimilarPhoto, ...]
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """Return the photos as a notebook shows them."""
        rows = [(p.path, p.label or "", f"{p.distance:#.4g}") for p in self.photos]
        title = f"Most similar to {self.photo}, by {self.width:,} {self.by}"
        return html_table.table(title, ("path", "label", "distance"), rows, list(self.notes))
