"""Lists the objects under an S3 prefix with their storage class, through boto3.

obstore's listing has no storage class, refuses some keys, and names a folder's marker `x/` like an object `x`. boto3's own
parsers take 100 ms for a page of 1,000 keys; here four regular expressions read it in 2 ms, while the next page is under way.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import lru_cache, partial
from html import unescape
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from fruitscale.errors import StorageError
from fruitscale.storage import aws, credentials, s3
from fruitscale.storage.s3 import FIRST_WAIT, LONGEST_WAIT, REPORT_AFTER_SECONDS, S3Store
from fruitscale.storage.waiting import report_unavailable

ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Objects of these classes can't be read unless they were restored. GLACIER_IR can be read at once."""
_PARSING = "before-parse.*.ListObjectsV2"
"""With a wildcard for the service, it precedes botocore's search for errors, which parses the whole answer (8 ms)."""
_FIELDS = tuple(re.compile(f"<{name}>([^<]*)</{name}>") for name in ("Key", "Size", "ETag", "StorageClass"))
_QUOTES = (b"&quot;", b"&#34;")
_END = b"</Contents>"
_MARKER = re.compile(r"/$", re.MULTILINE)
_QUOTED = re.compile("[%+]")


class ListedKey(NamedTuple):
    """One object: its key under the store's prefix, its size in bytes, its ETag and its storage class."""

    name: str
    size: int
    etag: str
    storage_class: str


class _Columns(NamedTuple):
    """The fields of ListedKey, one list each."""

    names: list[str]
    sizes: list[int]
    etags: list[str]
    classes: list[str]


class _Page(NamedTuple):
    keys: list[ListedKey]
    following: dict[str, str] | None
    """The parameters of the next page's request; None: this is the last one."""


def list_keys(store: S3Store) -> Iterator[ListedKey]:
    """Yield every object under the store's prefix in order of key, without folders' empty markers. Raises StorageError."""
    client = aws.s3_client(store.storage, attempts=1)
    client.meta.events.register(_PARSING, _take_contents)
    base = store.key("")

    def request(following: dict[str, str]) -> _Page:
        answer = client.list_objects_v2(Bucket=store.location.bucket, Prefix=base, MaxKeys=s3.PAGE, **following)
        if "Name" not in answer:  # boto3 takes any page, such as HTML, for an empty listing
            raise StorageError(
                f"{store.uri} can't be listed: the answer is not a listing.",
                "Check storage.endpoint, and that no proxy or sign-in page of the network answers instead.",
            )
        names, *columns = answer["Columns"]
        listed = map(ListedKey, [name[len(base) :] for name in names], *columns)
        keys = (
            [key for key in listed if key.name[-1:] != "/" or key.size]
            if _MARKER.search("\n".join(names))
            else [*listed]
        )
        if answer.get("IsTruncated"):
            return _Page(keys, {"ContinuationToken": answer["NextContinuationToken"]})
        # SeaweedFS takes a full page that begins with the prefix's own marker for the last one
        return _Page(keys, {"StartAfter": names[-1]} if len(names) >= s3.PAGE else None)

    following: dict[str, str] | None = {}
    upcoming = _in_background(partial(request, {}))
    while following is not None:
        page = _answer(store, upcoming, partial(request, following))
        following = page.following
        if following is not None:
            upcoming = _in_background(partial(request, following))
        yield from page.keys


def _in_background(request: Callable[[], _Page]) -> Callable[[], _Page]:
    """Start a request; return the function that waits for its answer. A daemon thread does not hold up Ctrl-C."""
    future: Future[_Page] = Future()

    def work() -> None:
        try:
            future.set_result(request())
        except BaseException as error:  # noqa: BLE001  raised where the page is due
            future.set_exception(error)

    threading.Thread(target=work, name="list", daemon=True).start()
    return future.result


def _answer(store: S3Store, first: Callable[[], _Page], again: Callable[[], _Page]) -> _Page:
    """Return a page; retry transient errors for `storage.retry_seconds`."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    deadline, wait, attempt = None, FIRST_WAIT, first
    while True:
        try:
            return attempt()
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            now = time.monotonic()
            deadline = deadline or now + store.storage.retry_seconds
            if now >= deadline or not aws.is_transient(error):
                raise _failure(store, error) from None
        store.retries.reads += 1
        if wait > REPORT_AFTER_SECONDS:
            report_unavailable(store.location.bucket, store.storage.retry_seconds)
        time.sleep(wait)
        wait, attempt = min(2 * wait, LONGEST_WAIT), again


def _take_contents(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Read the keys of an answer, and leave boto3 the rest of it to parse."""
    if response_dict["status_code"] != 200:
        return
    body: bytes = response_dict["body"]
    begin, end = body.find(b"<Contents"), body.rfind(_END)
    columns, rest = _Columns([], [], [], []), body
    if begin >= 0 and end >= 0:
        end += len(_END)
        contents, rest = body[begin:end], body[:begin] + body[end:]
        for quote in _QUOTES:  # of every ETag
            contents = contents.replace(quote, b'"')
        columns = parse_contents(contents.decode())
    if b"<EncodingType>url</EncodingType>" in rest:
        columns = columns._replace(names=[*map(_unquoted, columns.names)])
    customized_response_dict["Columns"] = columns
    response_dict["body"] = rest


def parse_contents(text: str) -> _Columns:
    """Return the keys of an answer's `Contents` elements, as they are written. Raises StorageError."""
    columns = [pattern.findall(text) for pattern in _FIELDS]
    n_keys = text.count(_END.decode())
    if any(len(column) != n_keys for column in columns[:2]) or "<!" in text:
        raise StorageError(
            "The store's listing can't be read: an object lacks its key or size.", "Check storage.endpoint."
        )
    names, sizes, etags, classes = columns
    etags = etags if len(etags) == n_keys else [_first(_FIELDS[2], one) for one in _each(text)]
    classes = classes if len(classes) == n_keys else [_first(_FIELDS[3], one) for one in _each(text)]
    return _Columns(_unescaped(names), [*map(int, sizes)], _unescaped(etags), classes)


def _unquoted(key: str) -> str:
    folder, slash, name = key.rpartition("/")
    return _unquoted_folder(folder) + slash + (unquote_plus(name) if _QUOTED.search(name) else name)


@lru_cache(maxsize=64)
def _unquoted_folder(folder: str) -> str:
    return unquote_plus(folder)


def _each(text: str) -> list[str]:
    return text.split(_END.decode())[:-1]


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return "" if found is None else found[1]


def _unescaped(texts: list[str]) -> list[str]:
    return [unescape(text) if "&" in text else text for text in texts]


def _failure(store: S3Store, error: Exception) -> StorageError:
    if aws.code(error) == "NoSuchBucket":
        return StorageError(f"{store.uri} can't be listed: there is no such bucket.", "Check the URI.")
    if aws.status(error) in (None, 401, 403):
        credentials.provide()  # raises the true reason if there are no credentials
    if aws.status(error) in (401, 403):
        return StorageError(
            f"{store.uri} can't be listed: access is denied.", "Check the credentials and their policy."
        )
    return StorageError(
        f"{store.uri} can't be listed: {error}",
        "Check the network and storage.endpoint; then run the same command again: it resumes.",
    )
