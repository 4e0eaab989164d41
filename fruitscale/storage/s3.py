"""Objects under an s3:// prefix, through obstore; retries are ours, so that they are bounded and counted."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from fruitscale.config.schema import Storage
from fruitscale.errors import ChangedObjectError, FruitscaleError, MissingObjectError, StorageError
from fruitscale.storage import credentials
from fruitscale.uris import parse_s3

if TYPE_CHECKING:
    from obstore.store import S3Store as ObjectStore
    from tenacity import RetryCallState, Retrying

T = TypeVar("T")
CONNECT_SECONDS = 5.0
FIRST_WAIT, LONGEST_WAIT = 0.1, 15.0
BRIEF_SECONDS = 5.0
TOLD_AFTER_SECONDS, TOLD_EVERY_SECONDS = 4.0, 30.0
"""From when on, and how often, a process says that it waits for a store."""
PAGE = 1000
"""Keys a request for a listing: what S3 answers at most."""
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
WAITING = logging.getLogger("fruitscale.waiting")
"""Told in words that a store does not answer: its bucket, and no key."""
WAITING.addHandler(logging.NullHandler())
_DONE = {"read": "read", "write": "written", "list": "listed"}
_STATUS = re.compile(r"status code: (\d{3})")
_DENIED = "(code: AccessDenied)"
"""How obstore tells of an object that may not be deleted: S3 answers 200, and says it inside."""


@dataclass
class RetryCounts:
    """How many requests of this process had to be made again."""

    reads: int = 0
    writes: int = 0


RETRIED = RetryCounts()


class UnlistableKeyError(StorageError):
    """A listing met a key that obstore can't address: with empty or dot segments, or control characters.

    `after` is the last key below the store's prefix that it did list, or None.
    """

    def __init__(self, uri: str, after: str | None = None) -> None:
        super().__init__(f"{uri} has keys that obstore can't list.")
        self.args, self.after = (uri, after), after  # what pickle calls __init__ with


class ListedObject(NamedTuple):
    """One object of a listing: its name under the store's prefix, its bytes and its ETag."""

    name: str
    size: int
    etag: str


class S3Store:
    """Objects under one prefix. Safe to use from many threads."""

    def __init__(self, uri: str, storage: Storage) -> None:
        self.uri = uri.rstrip("/")
        self.location = parse_s3(uri)
        self.storage = storage
        self._objects = _client(self.location.bucket, storage)

    def brief(self) -> S3Store:
        """Return the same place for what must not wait as long as the run's own work: a sign of life, a last word."""
        patience = {"retry_seconds": min(self.storage.retry_seconds, BRIEF_SECONDS)}
        return S3Store(self.uri, self.storage.model_copy(update=patience))

    def read(self, name: str, version: str | None = None) -> bytes:
        """Return an object's content, of this ETag if one is given."""
        import obstore

        options: Any = {"if_match": version} if version is not None else None
        return self._ask("read", name, lambda key: bytes(obstore.get(self._objects, key, options=options).bytes()))

    def read_etag(self, name: str) -> tuple[bytes, str]:
        """Return an object's content and its ETag."""
        import obstore

        def get(key: str) -> tuple[bytes, str]:
            result = obstore.get(self._objects, key)
            return bytes(result.bytes()), result.meta["e_tag"] or ""

        return self._ask("read", name, get)

    def stat(self, name: str) -> tuple[int, str]:
        """Return an object's bytes and its ETag."""
        import obstore

        meta = self._ask("read", name, lambda key: obstore.head(self._objects, key))
        return meta["size"], meta["e_tag"] or ""

    def write(self, name: str, content: bytes) -> None:
        """Put an object, in one request."""
        self._put(name, content, "overwrite")

    def create(self, name: str, content: bytes) -> str:
        """Put an object that is not there yet; return its ETag. Raises ChangedObjectError when it is there."""
        return self._put(name, content, "create")

    def replace(self, name: str, content: bytes, etag: str) -> str:
        """Put an object in place of one with this ETag; return the new one. Raises ChangedObjectError."""
        return self._put(name, content, {"e_tag": etag})

    def exists(self, name: str) -> bool:
        """Tell whether there is such an object."""
        import obstore

        try:
            self._ask("read", name, lambda key: obstore.head(self._objects, key))
        except MissingObjectError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Remove an object."""
        import obstore

        def remove(key: str) -> None:
            obstore.delete(self._objects, key)

        try:
            self._ask("write", name, remove)
        except MissingObjectError:
            return

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names under a prefix."""
        for entry in self.entries(prefix):
            yield entry.name

    def entries(self, prefix: str = "", after: str | None = None) -> Iterator[ListedObject]:
        """Yield the objects under a prefix in order of key, after a name if one is given; a page at a time.

        Raises UnlistableKeyError at a key that obstore can't address, StorageError when the store gives no answer.
        """
        while True:
            page = self._list(prefix, after)
            ends = len(page) < PAGE  # obstore fills a page as long as there are keys
            # A console's folder is an empty object `x/`, which obstore names `x`; after `x` it would come again. So
            # the next page begins after an object that is surely none.
            page = page if ends else page[: _last_with_bytes(page) + 1]
            if not ends and (not page or page[-1].name == after):
                raise UnlistableKeyError(self.uri, after)
            yield from (entry for entry in page if entry.name != prefix.rstrip("/"))
            if ends:
                return
            after = page[-1].name

    def _list(self, prefix: str, after: str | None) -> list[ListedObject]:
        try:
            return self._ask("list", prefix, lambda _: self._page(prefix, after))
        except UnlistableKeyError:
            raise UnlistableKeyError(self.uri, after) from None

    def _page(self, prefix: str, after: str | None) -> list[ListedObject]:
        """List one page. Each is a listing of its own, so that a page that fails is asked for again, and no other."""
        import obstore

        base = f"{self.location.prefix}/" if self.location.prefix else ""
        offset = None if after is None else base + after
        pages = obstore.list(self._objects, (base + prefix).rstrip("/") or None, offset=offset, chunk_size=PAGE)
        metas = next(iter(pages), [])
        return [ListedObject(meta["path"][len(base) :], meta["size"], meta["e_tag"] or "") for meta in metas]

    def key(self, name: str) -> str:
        """Return the whole key of a name."""
        return f"{self.location.prefix}/{name}" if self.location.prefix else name

    def _put(self, name: str, content: bytes, mode: Any) -> str:  # noqa: ANN401  obstore's PutMode
        import obstore

        def put(key: str) -> str:
            return obstore.put(self._objects, key, content, mode=mode, use_multipart=False)["e_tag"] or ""

        return self._ask("write", name, put)

    def _ask(self, verb: str, name: str, request: Callable[[str], T]) -> T:
        """Make a request, again and again while its failure may pass; what is final is raised as our own error."""
        key = self.key(name)
        try:
            try:
                return request(key)  # without more ado: the retries' machinery takes a third as long as a small read
            except Exception as error:
                if not _is_transient(error):
                    raise
                failed = [error]

            def attempt() -> T:
                if failed:
                    raise failed.pop()
                return request(key)

            return self._patience(verb)(attempt)
        except FruitscaleError:
            raise
        except Exception as error:  # noqa: BLE001  obstore raises its own and Python's; each is told
            raise _refused(f"{self.uri}/{name}", _DONE[verb], error) from None

    def _patience(self, verb: str) -> Retrying:
        """Return what calls a request until it succeeds, fails for good, or time is over; it counts, and tells."""
        from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential, wait_random

        def count(state: RetryCallState) -> None:
            if verb == "write":
                RETRIED.writes += 1
            else:
                RETRIED.reads += 1
            if (state.seconds_since_start or 0) + state.upcoming_sleep > TOLD_AFTER_SECONDS:
                _tell_waiting(self.location.bucket)

        return Retrying(
            stop=stop_after_delay(self.storage.retry_seconds),
            wait=wait_exponential(FIRST_WAIT, LONGEST_WAIT) + wait_random(0, FIRST_WAIT),
            retry=retry_if_exception(_is_transient),
            before_sleep=count,
            reraise=True,
        )


_told_at = -TOLD_EVERY_SECONDS


def _tell_waiting(bucket: str) -> None:
    """Say that a store does not answer, once for all the requests that wait now."""
    global _told_at  # noqa: PLW0603  one for the process, as its requests are made side by side
    if time.monotonic() - _told_at > TOLD_EVERY_SECONDS:
        _told_at = time.monotonic()
        WAITING.warning("s3://%s does not answer; it is asked again for as long as storage.retry_seconds says", bucket)


def _last_with_bytes(page: list[ListedObject]) -> int:
    """Return the index of the last object that is not empty, or -1."""
    return next((i for i in reversed(range(len(page))) if page[i].size), -1)


@lru_cache(maxsize=8)
def _client(bucket: str, storage: Storage) -> ObjectStore:
    """Return this process's client of a bucket. Everything is said, so that no environment says otherwise."""
    from obstore.store import S3Store as ObjectStore

    assert storage.region is not None
    endpoint = storage.endpoint or f"https://s3.{storage.region}.amazonaws.com"
    as_path = storage.path_style if storage.path_style != "auto" else storage.endpoint is not None
    if not as_path:
        scheme, _, host = endpoint.partition("://")
        endpoint = f"{scheme}://{bucket}.{host}"
    config: dict[str, Any] = {
        "region": storage.region,
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "virtual_hosted_style_request": not as_path,
    }
    if storage.encryption is not None:
        config["server_side_encryption"] = "AES256" if storage.encryption == "sse-s3" else "aws:kms"
    if storage.kms_key is not None:
        config["sse_kms_key_id"] = storage.kms_key
    seconds = timedelta(seconds=storage.timeout_seconds)
    return ObjectStore(
        bucket,
        config=config,  # type: ignore[arg-type]
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "timeout": seconds,
            "connect_timeout": min(seconds, timedelta(seconds=CONNECT_SECONDS)),
        },
        retry_config={"max_retries": 0},
        credential_provider=credentials.provide,
    )


def _is_transient(error: BaseException) -> bool:
    """Tell a failure that may pass: no connection, a broken one, a time-out, a busy server."""
    from obstore.exceptions import GenericError

    if not isinstance(error, GenericError):
        return False
    status = _STATUS.search(str(error))
    if _DENIED in str(error):
        return False
    return status is None or int(status[1]) in TRANSIENT_STATUS


def _refused(what: str, done: str, error: Exception) -> StorageError:
    """Turn what obstore raised into our own error; its text has the request, never a credential."""
    from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, PreconditionError, UnauthenticatedError

    text = str(error)
    if "NoSuchBucket" in text:
        return StorageError(f"{what} can't be {done}: there is no such bucket.", "Check the URI.")
    if "invalid path" in text:
        return UnlistableKeyError(what)
    if isinstance(error, FileNotFoundError):
        return MissingObjectError(f"{what} does not exist.")
    if isinstance(error, (PreconditionError, AlreadyExistsError)):
        return ChangedObjectError(f"{what} changed since it was listed.")
    status = _STATUS.search(text)  # a listing that is denied has no class of its own
    denied = _DENIED in text or (status is not None and status[1] in ("401", "403"))
    if denied or isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        credentials.provide()  # raises what is wrong where there are none: obstore says "unauthenticated" then
        return StorageError(f"{what} can't be {done}: access is denied.", "Check the credentials and their policy.")
    first = text.split("\n\nDebug source", 1)[0].splitlines()
    return StorageError(
        f"{what} can't be {done}: {first[0] if first else type(error).__name__}",
        "Check the network and storage.endpoint; then run the same command again: it resumes.",
    )
