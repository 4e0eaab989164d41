"""Decodes a photo into a square of RGB pixels; for a bad photo it returns a Rejection and never raises.

simplejpeg (libjpeg-turbo, in strict mode) decodes JPEG, the format of nearly every photo. For PNG, WebP, BMP, TIFF and
GIF, Pillow's reader of exactly that format is called, so a crafted file can reach no other of Pillow's many readers.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Images
from fruitscale.kernels.exif import INVERSE, ORIENTATION_TAG, UPRIGHT, jpeg_orientation, orient
from fruitscale.kernels.jpeg_header import jpeg_frame

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

Pixels = NDArray[np.uint8]

_DEFAULTS = Images()
_MAGIC = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_UNREAD = {"HEIC or AVIF": b"ftyp", "JPEG 2000": b"jP  ", "Photoshop": b"8BPS"}
_END_OF_PNG = b"IEND\xaeB`\x82"
_SIGNED = 2
_BITS_PER_SAMPLE, _SAMPLE_FORMAT = 258, 339


@dataclass(frozen=True)
class Rejection:
    """Why a photo can't be used: `reason` is one of a few fixed phrases, `detail` an explanation for people.

    Both are written to the rejects' parts, so changing a text changes the bytes of a run's output.
    """

    reason: str
    """empty, not an image, unsupported format, too large, too many pixels, truncated or damaged."""
    detail: str


def decode(content: bytes, size: int, settings: Images = _DEFAULTS) -> Pixels | Rejection:
    """Decode a photo and stretch it to a square: uint8 RGB of shape (size, size, 3).

    The format is recognised by content: JPEG, PNG, WebP, BMP, TIFF (first page) or GIF (first frame). Transparent pixels are
    composited on white, the background of the fruit. Greys of more than 8 bits are scaled by the range of their type;
    floats range from 0 to 1, or to 255 or 65535 if a value exceeds 1 or 255. Every CMYK JPEG is read as inverted, as
    Photoshop writes it and browsers read it. Shrinking averages areas, enlarging is bilinear.

    A photo of more than `settings.max_pixels` is rejected by its header, before memory is allocated. Never raises for
    a bad photo.
    """
    if (rejection := too_large(len(content), settings)) is not None:
        return rejection
    max_pixels, exif_orientation = settings.max_pixels, settings.exif_orientation == "apply"
    if content.startswith(b"\xff\xd8"):
        return _decode_jpeg(content, size, max_pixels, exif_orientation)
    kind = _kind(content)
    if isinstance(kind, Rejection):
        return kind
    if kind in _unfinished(content):
        return Rejection("truncated", f"The {kind} file ends before its end mark.")
    try:
        with _no_warnings:
            return _decode_other(kind, content, size, max_pixels, exif_orientation)
    except Exception as error:  # noqa: BLE001  damaged bytes make Pillow raise nearly anything
        return _rejection(kind, error)


def too_large(n_bytes: int, settings: Images) -> Rejection | None:
    """Return a Rejection for a file of more than `settings.max_bytes`, which need not be read for this."""
    if n_bytes <= settings.max_bytes:
        return None
    return Rejection("too large", f"It has {n_bytes:,} bytes; files of up to {settings.max_bytes:,} are read.")


def resize(pixels: Pixels, size: int) -> Pixels:
    """Stretch (height, width, 3) to (size, size, 3): area mean along a side that shrinks, bilinear along one that grows."""
    cv2 = _cv2()
    height, width = pixels.shape[:2]
    if height > size or width > size:  # OpenCV's area filter averages only if no side grows
        pixels = cv2.resize(pixels, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    if height < size or width < size:
        pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    return pixels


def encode_png(pixels: Pixels) -> bytes:
    """Encode RGB pixels (height, width, 3) as a PNG file."""
    cv2 = _cv2()
    content: bytes = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))[1].tobytes()
    return content


def _decode_jpeg(content: bytes, size: int, max_pixels: int, exif_orientation: bool) -> Pixels | Rejection:
    frame = jpeg_frame(content)
    if frame is None:
        return _jpeg_rejection(content, ValueError("there is no frame header"))
    if frame.unsupported is not None:  # scaled decoding of a lossless frame writes beyond the decoder's buffer
        return Rejection("unsupported format", f"It is {frame.unsupported}, which is not read.")
    decoder = _simplejpeg()
    try:
        height, width, colours, _ = decoder.decode_jpeg_header(content)
        if height * width > max_pixels:
            return _too_many(width, height, max_pixels)
        # At least 1.5 times the target: a 12-megapixel photo is decoded at 1/8 scale, in half the time.
        least = size + (size + 1) // 2
        if min(height, width) <= least:
            least = 0  # full scale: a scaled transform would blur the short side
        ink = colours in ("CMYK", "YCCK")
        # The accurate transform and chroma: 5 % slower than the fast ones, but the same pixels as Pillow's.
        pixels = decoder.decode_jpeg(
            content,
            "CMYK" if ink else "RGB",
            fastdct=False,
            fastupsample=False,
            min_height=least,
            min_width=least,
            strict=True,
        )
        pixels = resize(_rgb_from_ink(pixels) if ink else pixels, size)
    except Exception as error:  # noqa: BLE001  mostly ValueError, also MemoryError and OpenCV's own
        return _jpeg_rejection(content, error)
    return orient(pixels, jpeg_orientation(content)) if exif_orientation else pixels


def _rgb_from_ink(ink: Pixels) -> Pixels:
    """Convert inverted CMYK, shape (height, width, 4), to RGB: each channel times black."""
    light = ink[..., :3].astype(np.uint16) * ink[..., 3:]
    return ((light + 127) // 255).astype(np.uint8)


def _jpeg_rejection(content: bytes, error: Exception) -> Rejection:
    cut = "premature end" in str(error).lower() or not content.rstrip(b"\0").endswith(b"\xff\xd9")
    return Rejection("truncated" if cut else "damaged", _detail("JPEG", error))


def _kind(content: bytes) -> str | Rejection:
    """Return the format by the first bytes, or a Rejection."""
    for kind, magic in _MAGIC.items():
        if content.startswith(magic):
            return kind
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WebP"
    if not content:
        return Rejection("empty", "The file has no content.")
    for name, mark in _UNREAD.items():
        if mark in (content[:4], content[4:8]):
            return Rejection(
                "unsupported format", f"It looks like {name}; JPEG, PNG, WebP, BMP, TIFF and GIF are read."
            )
    return Rejection("not an image", f"It begins with {content[:8]!r}, as no JPEG, PNG, WebP, BMP, TIFF or GIF does.")


def _unfinished(content: bytes) -> tuple[str, ...]:
    """Return the formats in which this file would be truncated; Pillow decodes some of those without an error."""
    riff_bytes = int.from_bytes(content[4:8], "little")
    return tuple(
        kind for kind, cut in (("PNG", _END_OF_PNG not in content), ("WebP", riff_bytes > len(content) - 8)) if cut
    )


def _decode_other(kind: str, content: bytes, size: int, max_pixels: int, exif_orientation: bool) -> Pixels | Rejection:
    """Decode with Pillow. Raises whatever Pillow raises."""
    image = _open(kind, content)
    width, height = image.size
    if width * height > max_pixels:
        return _too_many(width, height, max_pixels)
    applied = _orientation_applied_on_load(image)
    image.load()
    pixels = resize(_rgb(image), size)
    if applied is None:
        pixels = orient(pixels, _orientation(image)) if exif_orientation else pixels
    elif not exif_orientation:
        pixels = orient(pixels, INVERSE.get(applied, applied))
    return np.require(pixels, requirements=("C", "W"))


def _open(kind: str, content: bytes) -> ImageFile:
    """Read the header with Pillow's reader of this format, without decoding pixels."""
    from PIL import BmpImagePlugin, GifImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

    readers: dict[str, type[ImageFile]] = {
        "PNG": PngImagePlugin.PngImageFile,
        "WebP": WebPImagePlugin.WebPImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "GIF": GifImagePlugin.GifImageFile,
    }
    return readers[kind](io.BytesIO(content))


def _rgb(image: ImageFile) -> Pixels:
    """Convert a loaded image of any mode to RGB on white, shape (height, width, 3)."""
    from PIL import Image

    if image.mode == "F" or image.mode.startswith("I"):
        grey = _grey_from_floats(image) if image.mode == "F" else _grey_from_integers(image)
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    layer = image.convert("RGBA")
    page = Image.new("RGB", image.size, "white")
    page.paste(layer, mask=layer.getchannel("A"))
    return np.asarray(page)


def _grey_from_integers(image: ImageFile) -> Pixels:
    """Scale integers of more than 8 bits by the range of their type; negative values become black."""
    tags = getattr(image, "tag_v2", None) or {}  # a PNG has none: 16 bits, unsigned
    bits, signed = tags.get(_BITS_PER_SAMPLE, (16,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED
    values = np.asarray(image)
    if bits == 32 and not signed:  # Pillow stores these as signed
        values = values.view(np.uint32)
    return _grey(values, 2 ** (bits - signed) - 1)


def _grey_from_floats(image: ImageFile) -> Pixels:
    """Scale floats by the smallest usual range that includes the maximum; NaN and infinities become black."""
    values = np.nan_to_num(np.asarray(image), nan=0, posinf=0, neginf=0)
    largest = float(values.max())
    return _grey(values, next((top for top in (1, 255, 65535) if largest <= top), largest))


def _grey(values: NDArray[np.generic], top: float) -> Pixels:
    scaled: NDArray[np.float32] = values.astype(np.float32) * np.float32(255 / top)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _orientation_applied_on_load(image: ImageFile) -> int | None:
    """Return the orientation of a TIFF, which Pillow applies and drops on load; None for other formats."""
    tags = getattr(image, "tag_v2", None)
    return None if tags is None else tags.get(ORIENTATION_TAG, UPRIGHT)


def _orientation(image: ImageFile) -> int:
    try:
        stored = image.getexif().get(ORIENTATION_TAG, UPRIGHT)
    except Exception:  # noqa: BLE001  damaged EXIF, good pixels
        return UPRIGHT
    return stored if isinstance(stored, int) else UPRIGHT


def _too_many(width: int, height: int, max_pixels: int) -> Rejection:
    return Rejection(
        "too many pixels",
        f"{width} x {height} is {width * height:,} pixels; up to {max_pixels:,} are decoded.",
    )


def _rejection(kind: str, error: Exception) -> Rejection:
    """Return the Rejection for one of Pillow's exceptions."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or "decompression bomb" in text:
        reason = "too many pixels"
    elif "unknown pixel mode" in text:
        reason = "unsupported format"
    else:
        reason = "truncated" if "truncated" in text else "damaged"
    return Rejection(reason, _detail(kind, error))


def _detail(kind: str, error: Exception) -> str:
    """Return an error as one short line that is the same in every process: without addresses of objects."""
    text = " ".join(re.sub(r" at 0x[0-9a-f]+", "", str(error)).split()) or type(error).__name__
    return f"{kind}: {text}"[:200]


def import_libraries() -> None:
    """Import the decoding and resizing libraries before the first photo needs them."""
    _simplejpeg()
    _cv2()


@cache
def _simplejpeg() -> Any:  # noqa: ANN401  an untyped module
    import simplejpeg

    return simplejpeg


@cache
def _cv2() -> Any:  # noqa: ANN401  an untyped module
    import cv2

    cv2.setNumThreads(1)  # engines run one task per core: more threads would only compete
    return cv2


class _WarningFilter:
    """Ignores warnings while any thread is inside.

    warnings.catch_warnings alone restores the wrong filters if threads overlap.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


_no_warnings = _WarningFilter()
