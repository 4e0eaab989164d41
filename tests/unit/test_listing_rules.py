"""Which files are photos, and the account of the others: phones', Macs', NAS boxes' and browsers' folders as they are."""

from __future__ import annotations

import io
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fruitscale.config.schema import Config, Input, Storage
from fruitscale.errors import InputError
from fruitscale.pipeline.input_listing import list_input
from fruitscale.pipeline.progress import RunProgress
from fruitscale.storage import signatures
from fruitscale.storage.listing import list_photos
from fruitscale.storage.listing_account import MANY, MOST_KINDS, ListingAccount, in_words
from fruitscale.storage.residency import StorageAccess
from tests.unit.test_listing import fill


def picture(kind: str, colour: str = "red") -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(sink, kind)
    return sink.getvalue()


JPEG = picture("JPEG")
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
MOV = b"\0\0\0\x14ftypqt  \0\0\0\0qt  "


def look(root: Path, known_only: bool = False, **options: Any) -> tuple[list[str], ListingAccount]:
    account = ListingAccount(known_only=known_only)
    photos = list_photos(Input(uri=str(root), **options), Storage(), account)
    return sorted(photo.path for photo in photos), account


def counts(root: Path, **options: Any) -> dict[str, int]:
    return look(root, **options)[1].counts()


@pytest.mark.parametrize("suffix", ["jfif", "JPE", "avif", "mpo", "heic", "HEIF", "hif", "jpg", "TIFF"])
def test_every_extension_of_photos_is_taken(tmp_path: Path, suffix: str) -> None:
    fill(tmp_path, f"a/1.{suffix}")
    assert look(tmp_path) == ([f"a/1.{suffix}"], ListingAccount())


@pytest.mark.parametrize(
    "content",
    [
        *(pytest.param(picture(kind), id=kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF")),
        pytest.param(HEIC, id="HEIC"),
        pytest.param(b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", id="HEIF"),
    ],
)
@pytest.mark.parametrize(
    "name", ["IMG_1", "a.JPG_large", "b.jpg!d", "c.2024", "3f1c9d2e-71b2-4d3a-9a51-1f4c0d9a7a11", "é"]
)
def test_a_photo_without_a_photos_extension_is_recognized(tmp_path: Path, name: str, content: bytes) -> None:
    fill(tmp_path, f"x/{name}", content=content)
    assert look(tmp_path)[0] == [f"x/{name}"]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        pytest.param("a", b"text", "without extension", id="text"),
        pytest.param("a", b"", "without extension", id="empty"),
        pytest.param("a.", JPEG[:2], "without extension", id="two-bytes-of-a-jpeg"),
        pytest.param("BMW", b"BMW 3 series, a list of parts", "without extension", id="two-letters-of-a-bmp"),
        pytest.param("clip", MOV, "without extension", id="a-video"),
        pytest.param("a.xyz", b"?", ".xyz", id="unknown-extension"),
        pytest.param("a.mov", MOV, ".mov", id="known-extension"),
        pytest.param("a.JPG.crdownload", JPEG, ".crdownload", id="an-unfinished-download"),
        pytest.param("a.thm", JPEG, ".thm", id="a-videos-thumbnail"),
        pytest.param("a.tar.GZ", b"\x1f\x8b", ".gz", id="upper-case"),
        pytest.param("jpg", b"?", "without extension", id="only-jpg"),
        pytest.param("a.1234", b"?", "without extension", id="digits"),
    ],
)
def test_what_is_no_photo_is_counted_by_extension(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    fill(tmp_path, f"b/{name}", content=content)
    assert look(tmp_path)[0] == []
    assert counts(tmp_path) == {kind: 1}


def test_with_globs_of_your_own_no_content_is_looked_at(tmp_path: Path) -> None:
    fill(tmp_path, "a/1", "a/2.jpg", "a/3.png", content=JPEG)
    assert look(tmp_path, include=["**/*.png"])[0] == ["a/3.png"]
    assert counts(tmp_path, include=["**/*.png"]) == {".jpg": 1, "without extension": 1}
    assert look(tmp_path, include=["**"])[0] == ["a/1", "a/2.jpg", "a/3.png"]


def test_what_you_exclude_is_counted(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "a/2", "b/3.jpg", "b/4.txt", content=JPEG)
    assert look(tmp_path, exclude=["b/**"])[0] == ["a/1.jpg", "a/2"]
    assert counts(tmp_path, exclude=["b/**"]) == {"excluded by input.exclude": 1, ".txt": 1}


HIDDEN = [
    ".trashed-1700000000-IMG_1.jpg",
    ".pending-1700000000-IMG_2.jpg",
    "DCIM/.thumbnails/1.jpg",
    ".ipynb_checkpoints/a-checkpoint.png",
    "DCIM/._IMG_1.jpg",
    ".DS_Store",
    "album/@eaDir/IMG.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "#recycle/1.jpg",
    "__MACOSX/album/._1.jpg",
    "$RECYCLE.BIN/S-1-5/$R1.jpg",
    "lost+found/#12.jpg",
    ".git/objects/ab/1.jpg",
    ".Spotlight-V100/1.jpg",
    ".Trashes/501/1.jpg",
    "album/Thumbs.db",
    "album/desktop.ini",
    "System Volume Information/1.jpg",
]


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_deleted_and_system_files_are_no_photos(tmp_path: Path, name: str) -> None:
    fill(tmp_path, name, "album/1.jpg", content=JPEG)
    assert look(tmp_path) == (["album/1.jpg"], ListingAccount(not_taken=look(tmp_path)[1].not_taken))
    assert counts(tmp_path) == {"hidden or system files": 1}


def test_hidden_files_are_counted_below_hidden_folders_and_links_there_are_not_followed(tmp_path: Path) -> None:
    fill(tmp_path, ".a/b/1.jpg", ".a/b/2.txt", ".a/3.jpg", "1.jpg")
    (tmp_path / ".a" / "up").symlink_to(tmp_path)
    (tmp_path / ".empty").mkdir()
    assert counts(tmp_path) == {"hidden or system files": 4}


def test_hidden_files_are_taken_on_request(tmp_path: Path) -> None:
    fill(tmp_path, *HIDDEN, content=JPEG)
    taken = [name for name in HIDDEN if not name.endswith((".db", ".ini"))]
    assert look(tmp_path, hidden="take")[0] == sorted(taken)


def test_the_input_itself_may_be_hidden(tmp_path: Path) -> None:
    fill(tmp_path, ".photos/@eaDir/a/1.jpg")
    assert look(tmp_path / ".photos" / "@eaDir") == (["a/1.jpg"], ListingAccount())


def test_a_list_may_name_hidden_files(tmp_path: Path) -> None:
    fill(tmp_path, ".a/1.jpg")
    (tmp_path / "list.csv").write_text("path\n.a/1.jpg\n")
    assert look(tmp_path, list=str(tmp_path / "list.csv"))[0] == [".a/1.jpg"]


def _dangling(path: Path) -> None:
    path.symlink_to("nothing")


def _circular(path: Path) -> None:
    path.symlink_to(".")


def _endless(path: Path) -> None:
    path.symlink_to(path.name)


def _to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        pytest.param(_dangling, "links to nothing", id="dangling"),
        pytest.param(_endless, "links to nothing", id="to-itself"),
        pytest.param(_circular, "links to a folder above", id="circular"),
        pytest.param(os.mkfifo, "special files", id="fifo"),
        pytest.param(_socket, "special files", id="socket"),
        pytest.param(_to_a_device, "special files", id="device"),
    ],
)
def test_links_and_special_files_are_counted(tmp_path: Path, make: Callable[[Path], None], kind: str) -> None:
    fill(tmp_path, "a/1.jpg")
    for name in ("x.jpg", "y"):
        make(tmp_path / "a" / name)
    assert look(tmp_path)[0] == ["a/1.jpg"]
    assert counts(tmp_path) == {kind: 2}


def test_folders_nested_a_thousand_deep_are_listed(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("1.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    try:
        assert look(tmp_path)[0] == ["d/" * 1500 + "1.jpg"]
    finally:  # pytest's own removal is recursive
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_the_account_names_a_bounded_number_of_extensions(tmp_path: Path) -> None:
    fill(tmp_path, *(f"a.x{i}" for i in range(MOST_KINDS + 50)))
    found = counts(tmp_path)
    assert len(found) == MOST_KINDS + 1
    assert found[MANY] == 50


def test_with_hashed_paths_only_known_extensions_are_named(tmp_path: Path) -> None:
    fill(tmp_path, "jean.dupont", "a.mov", "b")
    assert look(tmp_path, known_only=True)[1].counts() == {".mov": 1, MANY: 1, "without extension": 1}


def test_the_account_in_words() -> None:
    assert in_words({".mov": 3, ".txt": 1, "links to nothing": 50}) == "50 links to nothing, 3 .mov, 1 .txt"
    assert in_words({"links to nothing": 1, ".mov": 12345}) == "12,345 .mov, 1 link to nothing"
    assert in_words({f".{i:02d}": 100 - i for i in range(20)}).endswith("93 .07, 1,038 of 12 other kinds")


def listed(root: Path, **options: Any) -> Any:
    config = Config(input=Input(uri=str(root), **options))
    return list_input(config, StorageAccess(config.storage), RunProgress("x", lambda event: None))


def test_a_folder_without_photos_says_what_it_holds(tmp_path: Path) -> None:
    fill(tmp_path, "1.mov", "2.MOV", "3.txt", ".x.jpg")
    with pytest.raises(InputError) as caught:
        listed(tmp_path)
    assert caught.value.message == (
        f"There are no photos in {tmp_path}; not taken: 2 .mov, 1 .txt, 1 hidden or system file."
    )
    assert "input.hidden: take" in (caught.value.hint or "")


def test_an_empty_folder_is_called_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it has no files"):
        listed(tmp_path)


def test_photos_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, *(f"a/{i}.jpg" for i in range(100)))
    assert listed(tmp_path, limit=70).account.counts() == {"beyond input.limit": 30}


def test_labels_of_several_folders_are_noticed(tmp_path: Path) -> None:
    fill(tmp_path, "2023/apple/1.jpg", "2024/apple/1.jpg", "2024/apple/2.jpg", "2024/pear/1.jpg", "1.jpg")
    assert look(tmp_path)[1].shared_labels == {"apple"}
    assert look(tmp_path, label="none")[1].shared_labels == set()
    photos = list_photos(Input(uri=str(tmp_path), label="path"), Storage())
    assert {photo.label for photo in photos} == {"2023/apple", "2024/apple", "2024/pear", tmp_path.name}
    assert look(tmp_path, label="path")[1].shared_labels == set()


def test_a_video_is_no_photo_though_it_is_of_the_same_container() -> None:
    assert signatures.is_photo(HEIC)
    assert not signatures.is_photo(MOV)
    assert not signatures.is_photo(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42")
    assert not signatures.is_photo(b"")
