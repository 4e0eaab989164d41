"""What the listing decides by a file's name alone: hidden and system files, photos by extension, and the user's globs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

from wcmatch import glob

from fruitscale.config.schema import PHOTO_GLOB, Input
from fruitscale.errors import UsageError

Verdict: TypeAlias = Literal["photo", "excluded", "other", "unknown"]
"""unknown: the content decides."""

_DOTS = re.compile(r"(?<![^/])\.{1,2}(?![^/])")
_EXTENSION = re.compile(r"[a-z0-9]{1,10}")
_EXTENSIONS = frozenset(PHOTO_GLOB.partition("{")[2].rstrip("}").split(","))

_SYSTEM = frozenset(
    {
        "@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "__macosx", "$recycle.bin", "recycler",
        "system volume information", "lost+found", "found.000", "lost.dir", "network trash folder", "temporary items",
        "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r",
    }
)  # fmt: skip
"""What systems put beside photos: recycle bins, thumbnails and snapshots of NAS boxes, Windows, macOS and Android."""

_OTHER = frozenset(
    {
        # videos and sound
        "mp4", "mov", "m4v", "avi", "mkv", "webm", "3gp", "3g2", "mts", "m2ts", "mpg", "mpeg", "wmv", "flv", "ogv", "lrv",
        "insv", "mp3", "m4a", "aac", "wav", "flac", "ogg", "opus", "wma", "amr",
        # images that are not read: RAW, drawings, other formats
        "dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "srf", "sr2", "orf", "rw2", "raf", "pef", "srw", "raw", "rwl", "x3f",
        "3fr", "erf", "kdc", "dcr", "mrw", "iiq", "insp", "svg", "svgz", "psd", "psb", "xcf", "ai", "eps", "ico", "cur", "icns",
        "jxl", "jp2", "j2k", "jpx", "jpf", "jxr", "wdp", "hdr", "exr", "dcm", "heics", "tga", "pcx", "emf", "wmf",
        # sidecars and albums
        "aae", "xmp", "thm", "pp3", "dop", "lrcat", "lrdata", "picasa", "mie", "exif",
        # unfinished downloads and editors' copies
        "part", "partial", "crdownload", "download", "tmp", "temp", "swp", "bak",
        # text, tables, documents
        "txt", "md", "rst", "rtf", "csv", "tsv", "json", "jsonl", "geojson", "xml", "yaml", "yml", "toml", "ini", "cfg", "conf",
        "log", "html", "htm", "css", "pdf", "doc", "docx", "odt", "xls", "xlsx", "ods", "ppt", "pptx", "pages", "key",
        "parquet", "feather", "arrow", "avro", "orc", "npy", "npz", "h5", "hdf5", "pkl", "pickle", "pt", "pth", "onnx", "db",
        "sqlite", "sqlite3", "mat", "tfrecord", "tfrecords", "cache", "lock", "md5", "sha1", "sha256", "crc", "par2", "torrent",
        # archives, programs, code
        "zip", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar", "tar", "iso", "dmg", "exe", "msi", "dll", "so", "dylib", "apk",
        "jar", "class", "o", "a", "py", "pyc", "ipynb", "js", "ts", "c", "h", "cpp", "java", "r", "sh", "bat", "ps1", "php",
        "go", "rs", "lnk", "url", "webloc", "desktop", "ttf", "otf", "woff", "woff2", "crt", "pem", "ics", "vcf", "eml",
    }
)  # fmt: skip
"""Extensions that photos don't have: such files are never opened."""


NO_EXTENSION = "without extension"


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden or a system's own: `.trashed-*`, `._*`, `.git`, `@eaDir`, `Thumbs.db`."""
    return (name[:1] == "." and name not in (".", "..")) or name.lower() in _SYSTEM


def extension(path: str) -> str:
    """Return the extension for the account, as `.mov`; NO_EXTENSION if there is none that could be one."""
    stem, dot, last = path.rpartition("/")[2].rpartition(".")
    last = last.lower()
    is_one = stem and dot and _EXTENSION.fullmatch(last) and not last.isdigit()
    return f".{last}" if is_one else NO_EXTENSION


def is_known(extension: str) -> bool:
    """Return whether an extension (`.mov`) is of a kind that the listing knows."""
    return extension[1:] in _EXTENSIONS or extension[1:] in _OTHER


def verdicts(source: Input) -> Callable[[str], Verdict]:
    """Return the function that judges relative paths by `input.include` and `input.exclude`. Raises UsageError."""
    no = _matcher(source.exclude)
    if source.include == (PHOTO_GLOB,):
        judge = _by_extension
    else:
        yes = _matcher(source.include)
        judge = lambda path: "photo" if yes(path) else "other"  # noqa: E731
    if not source.exclude:
        return judge

    def test(path: str) -> Verdict:
        verdict = judge(path)
        return "excluded" if verdict != "other" and no(path) else verdict

    return test


def name_filter(include: tuple[str, ...], exclude: tuple[str, ...]) -> Callable[[str], bool]:
    """Return the test of a relative path: it matches one of `include` and none of `exclude`, ignoring case."""
    yes, no = _matcher(include), _matcher(exclude)
    return lambda path: yes(path) and not no(path)


def _by_extension(path: str) -> Verdict:
    last = path.rpartition(".")[2].lower()
    if last in _EXTENSIONS and len(last) < len(path):
        return "photo"
    return "other" if last in _OTHER else "unknown"


def _matcher(globs: tuple[str, ...]) -> Callable[[str], bool]:
    flags = glob.GLOBSTAR | glob.BRACE | glob.IGNORECASE | glob.DOTGLOB | glob.FORCEUNIX
    try:
        patterns = glob.translate(list(globs), flags=flags)[0] if globs else []
    except Exception as error:  # noqa: BLE001  the one for too many braces is private
        raise UsageError(f"input.include or input.exclude: {error}.", "Give shorter globs.") from None
    compiled = [re.compile(pattern, re.DOTALL) for pattern in patterns]  # DOTALL: a name may hold a newline

    def test(path: str) -> bool:
        path = _DOTS.sub("_", path)  # globs never match dot segments, which a key may have
        return any(pattern.fullmatch(path) for pattern in compiled)

    return test
