"""Config files that no one should write: alias bombs, pipes, devices, files of a gigabyte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fruitscale.config import loading
from fruitscale.errors import UsageError


def _bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(_bomb(9), id="lists"),
        pytest.param(
            "\n".join(["a0: &a0 {x: 1}", *(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40))]),
            id="merges",
        ),
        pytest.param("spark: {conf: [" + "1," * 20_000 + "]}", id="without-aliases"),
    ],
)
def test_a_config_with_too_many_values_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match="with its aliases it has more than 10,000 values"):
        loading.read_yaml(path)
    with pytest.raises(UsageError):
        loading.load(None, [f"spark.conf={{{text}}}"])


def test_aliases_as_people_use_them_are_read(tmp_path: Path) -> None:
    path = tmp_path / "aliases.yaml"
    path.write_text("input: &photos {uri: photos, label: none}\noutput: {uri: out}\nstorage: {place: &p here}\n")
    assert loading.read_yaml(path)["input"] == {"uri": "photos", "label": "none"}


def test_a_config_that_is_no_regular_file_or_too_large_is_refused(tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe.yaml", tmp_path / "large.yaml"
    os.mkfifo(pipe)
    large.write_text("#" * 1_000_001)
    for path, reason in (
        (pipe, "It is not a regular file"),
        ("/dev/zero", "It is not a regular file"),
        (large, "1 MB"),
    ):
        with pytest.raises(UsageError, match=reason):
            loading.read_yaml(path)
