"""Names whose accents are one character or two: they are equal where photos are searched for."""

from __future__ import annotations

import unicodedata

import pytest

from fruitscale.storage.spelling import alike, composed, spellings

NFC, NFD = (unicodedata.normalize(form, "Pêche") for form in ("NFC", "NFD"))


def test_both_spellings_are_composed_alike() -> None:
    assert NFC != NFD
    assert composed(NFC) == composed(NFD) == NFC
    assert composed("apple") == "apple"


@pytest.mark.parametrize("given", [NFC, NFD])
def test_a_name_is_spelled_in_every_form(given: str) -> None:
    names = list(spellings(f"{given}/é.jpg"))
    assert names[0] == f"{given}/é.jpg"
    file = unicodedata.normalize("NFD", "é")
    assert set(names) == {f"{folder}/{name}.jpg" for folder in (NFC, NFD) for name in ("é", file)}


def test_long_names_are_spelled_by_folder_and_file() -> None:
    folder, file = "é" * 30, "한국어 사진 이름.jpg"
    forms = [[unicodedata.normalize(form, name) for form in ("NFC", "NFD")] for name in (folder, file)]
    assert set(spellings(f"{folder}/{file}")) == {f"{a}/{b}" for a in forms[0] for b in forms[1]}
    assert len(list(spellings("/".join(["é" * 9] * 40)))) < 5000  # bounded, however deep


def test_a_character_that_no_form_keeps_is_tried_as_given() -> None:
    angstrom = "\u212b.jpg"
    assert composed(angstrom) == "Å.jpg"
    assert angstrom in spellings(angstrom)


def test_labels_that_look_the_same_are_grouped() -> None:
    assert alike([NFC, NFD, "Apple", "apple", None]) == [tuple(sorted([NFC, NFD]))]
    assert alike([NFC, "Apple"]) == []
