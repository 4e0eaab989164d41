"""Erasing names that a run does not have: the error names near ones, or examples, and stays fast for long manifests."""

from __future__ import annotations

import pyarrow as pa
import pytest

from fruitscale.errors import InputError
from fruitscale.runs.selection import Selection, choose, nearest, nothing_selected

TABLE = pa.table({"path": ["Kiwi/1.jpg", "Kiwi/2.jpg", "Lemon/1.jpg"], "label": ["Kiwi", "Kiwi", "Lemon"]})


def test_a_wrong_path_gets_the_nearest_ones() -> None:
    with pytest.raises(InputError) as caught:
        choose(TABLE, Selection(paths=("Kiwi/1.jpeg",)))
    assert "Did you mean Kiwi/1.jpg" in str(caught.value.hint)


def test_a_wrong_label_gets_the_nearest_or_examples() -> None:
    assert "Did you mean Kiwi?" in str(nothing_selected(TABLE, Selection(label="kiwi")).hint)
    assert "For example: Kiwi, Lemon." in str(nothing_selected(TABLE, Selection(label="xyz")).hint)


def test_a_long_manifest_is_searched_by_folder_and_file_name() -> None:
    names = [f"{folder}/{i}.jpg" for folder in ("Kiwi", "Lemon") for i in range(50_000)]
    assert nearest("Kiwy/49999.jpg", names) == "Did you mean Kiwi/49999.jpg or Lemon/49999.jpg? "
