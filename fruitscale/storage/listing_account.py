"""Counts what a listing did not take, and what it noticed about the photos it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from fruitscale.storage.name_rules import NO_EXTENSION, extension, is_known

MOST_KINDS = 200
"""Kinds that are counted by name: extensions may be anything."""
MANY = "other extensions"
HIDDEN, EXCLUDED = "hidden or system files", "excluded by input.exclude"
DANGLING, CIRCULAR, SPECIAL = "links to nothing", "links to a folder above", "special files"
MARKER = "folder markers with content"
UNREADABLE, GONE, ARCHIVED = "unreadable", "gone while listing", "archived, of unknown type"
BEYOND_LIMIT, IN_EARLIER_RUNS = "beyond input.limit", "in earlier runs"
SHOWN_KINDS = 8
_ONE = {
    HIDDEN: "hidden or system file",
    DANGLING: "link to nothing",
    CIRCULAR: "link to a folder above",
    SPECIAL: "special file",
}


@dataclass
class ListingAccount:
    """What a listing found beside the photos.

    Files not taken, by extension or reason; photos in archive classes of S3, by class; labels of several folders.
    """

    not_taken: Counter[str] = field(default_factory=Counter)
    archived: Counter[str] = field(default_factory=Counter)
    shared_labels: set[str] = field(default_factory=set)
    known_only: bool = False
    """Whether to name only extensions of known kinds: any other may be a part of a person's name."""

    def leave(self, reason: str, files: int = 1) -> None:
        """Count files that were not taken for a reason."""
        if files:
            self.not_taken[reason] += files

    def leave_by_name(self, path: str) -> None:
        """Count a file that is no photo by its extension."""
        kind = extension(path)
        if self.known_only and kind != NO_EXTENSION and not is_known(kind):
            kind = MANY
        self.not_taken[kind if kind in self.not_taken or len(self.not_taken) < MOST_KINDS else MANY] += 1

    def counts(self) -> dict[str, int]:
        """Return the files not taken by extension or reason, the most frequent first."""
        return dict(sorted(self.not_taken.items(), key=lambda item: (-item[1], item[0])))


def in_words(counts: Mapping[str, int]) -> str:
    """Return counts as text, the most frequent first: "3 .mov, 1 .txt, 50 links to nothing"."""
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {_ONE.get(kind, kind) if count == 1 else kind}" for kind, count in most[:SHOWN_KINDS]]
    rest = sum(count for _, count in most[SHOWN_KINDS:])
    return ", ".join([*shown, *([f"{rest:,} of {len(most) - SHOWN_KINDS} other kinds"] if rest else [])])
