"""Objects under an s3:// prefix, through obstore; our own retries, bounded in time and counted."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from fruitscale.config.schema import Storage
from fruitscale.errors import (
    ChangedObjectError,
    DeniedObjectError,
    FruitscaleError,
    MissingObjectError,
    StorageError,
    UnansweredObjectError,
)
from fruitscale.storage import aws, conditional_requests, credentials, obstore_internals
from fruitscale.storage.conditional_requests import Access
from fruitscale.storage.object_errors import UnlistableKeyError, as_storage_error
from fruitscale.storage.retries import RetryCounts
from fruitscale.storage.waiting import report_unavailable
from fruitscale.uris import parse_s3

if TYPE_CHECKING:
    from obstore.store import S3Store as ObjectStore

T = TypeVar("T")
FIRST_WAIT, LONGEST_WAIT = 0.1, 15.0
"""Initial and maximum backoff in seconds; it doubles with each retry."""
PHOTO_ATTEMPTS = 4
"""Requests for one photo that may time out."""
PROBED = ".fruitscale-probe"
"""A name that no object has: any answer about it shows that the store answers."""
BRIEF_SECONDS = 5.0
REPORT_AFTER_SECONDS = 4.0
"""How long a request is retried before the wait is reported."""
PAGE = 1000
"""Keys per listing request: the most that S3 returns."""
_PARTICIPLES = {"read": "read", "photo": "read", "write": "written", "list": "listed"}


class ListedObject(NamedTuple):
    """One object of a listing: its name under the store's prefix, its size in bytes and its ETag."""

    name: str
    size: int
    etag: str


class S3Store:
    """Objects under one prefix. Safe to use from many threads."""

    is_remote = True

    def __init__(self, uri: str, storage: Storage) -> None:
        self.uri = uri.rstrip("/")
        self.location = parse_s3(uri)
        self.storage = storage
        self.retries = RetryCounts()
        self._counting = threading.Lock()
        self._generation = credentials.generation()
        self._objects = _client(self.location.bucket, storage, self._generation)

    def brief(self, timeout_seconds: float = BRIEF_SECONDS) -> S3Store:
        """Return this store with a short timeout and retry budget, for heartbeats and final status writes."""
        limits = {
            "retry_seconds": min(self.storage.retry_seconds, BRIEF_SECONDS),
            "timeout_seconds": min(self.storage.timeout_seconds, timeout_seconds),
        }
        return S3Store(self.uri, self.storage.model_copy(update=limits))

    def read(self, name: str, version: str | None = None) -> bytes:
        """Return an object's content; with an ETag, of that version only."""
        import obstore

        def get(key: str) -> bytes:
            return bytes(obstore.get(self._objects, key, options=options).bytes())

        options: Any = {"if_match": version} if version is not None else None
        return self._request("read" if version is None else "photo", name, get)

    def read_head(self, name: str, size: int) -> tuple[bytes, str]:
        """Return the first bytes of an object that may be a photo, and its Content-Type."""
        import obstore

        def get(key: str) -> tuple[bytes, str]:
            result = obstore.get(self._objects, key, options={"range": (0, size)})
            return bytes(result.bytes()), str(result.attributes.get("Content-Type", ""))

        return self._request("photo", name, get)

    def answers(self) -> bool:
        """Return whether the store answers now, be it with an error."""
        try:
            self.brief().exists(PROBED)
        except DeniedObjectError:
            return True
        except StorageError:
            return False
        return True

    def read_etag(self, name: str) -> tuple[bytes, str]:
        """Return an object's content and its ETag."""
        import obstore

        def get(key: str) -> tuple[bytes, str]:
            result = obstore.get(self._objects, key)
            return bytes(result.bytes()), result.meta["e_tag"] or ""

        return self._request("read", name, get)

    def stat(self, name: str) -> tuple[int, str]:
        """Return an object's size in bytes and its ETag."""
        import obstore

        meta = self._request("read", name, lambda key: obstore.head(self._objects, key))
        return meta["size"], meta["e_tag"] or ""

    def write(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """Put an object, in one request; S3 confirms durable writes only."""
        self._put(name, content, "overwrite")

    def sync(self, names: Collection[str]) -> None:
        """Do nothing: S3 confirms durable writes only."""

    def move(self, old: str, new: str) -> None:
        """Let the store copy the object, on condition that its ETag is unchanged, then remove it."""
        _, etag = self.stat(old)

        def copy(key: str) -> bool:
            return conditional_requests.copy(self._access, self.key(old), key, etag)

        if not self._request("write", new, copy):  # the store has no copies
            self.write(new, self.read(old))
        self.delete_version(old, etag)

    def delete_version(self, name: str, etag: str) -> None:
        """Remove an object that has this ETag, if there is one. Raises ChangedObjectError if it has another.

        A store without conditional deletions removes the object whatever its ETag is.
        """
        try:
            if not self._request("write", name, lambda key: conditional_requests.delete(self._access, key, etag)):
                S3Store.delete(self, name)
        except (ChangedObjectError, MissingObjectError):
            if self.exists(name):  # else our own request, whose response was lost, removed it
                raise

    @property
    def _access(self) -> Access:
        return Access(self.storage, self._generation, self.location.bucket)

    def create(self, name: str, content: bytes) -> str:
        """Put a new object; return its ETag. Raises ChangedObjectError if it exists."""
        return self._put(name, content, "create")

    def replace(self, name: str, content: bytes, etag: str) -> str:
        """Replace an object that has this ETag; return the new ETag. Raises ChangedObjectError if it has another."""
        return self._put(name, content, {"e_tag": etag})

    def exists(self, name: str) -> bool:
        """Return whether the object exists."""
        import obstore

        try:
            self._request("read", name, lambda key: obstore.head(self._objects, key))
        except MissingObjectError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Remove an object."""
        import obstore

        def remove(key: str) -> None:
            obstore.delete(self._objects, key)

        try:
            self._request("write", name, remove)
        except MissingObjectError:
            return

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names under a prefix."""
        for entry in self.entries(prefix):
            yield entry.name

    def entries(self, prefix: str = "", after: str | None = None) -> Iterator[ListedObject]:
        """Yield the objects under a prefix in order of key, after a name if one is given; one page at a time.

        Raises UnlistableKeyError at a key that obstore refuses, StorageError if the store fails.
        """
        while True:
            page = self._list(prefix, after)
            is_last = obstore_internals.is_last_page(page, PAGE)
            page = page if is_last else obstore_internals.restartable(page)
            if not is_last and (not page or page[-1].name == after):
                raise UnlistableKeyError(self.uri, after)
            yield from (entry for entry in page if entry.name != prefix.rstrip("/"))
            if is_last:
                return
            after = page[-1].name

    def _list(self, prefix: str, after: str | None) -> list[ListedObject]:
        try:
            return self._request("list", prefix, lambda _: self._page(prefix, after))
        except UnlistableKeyError:
            raise UnlistableKeyError(self.uri, after) from None

    def _page(self, prefix: str, after: str | None) -> list[ListedObject]:
        """List one page, as a listing of its own: a retry then repeats that page only."""
        import obstore

        base = f"{self.location.prefix}/" if self.location.prefix else ""
        offset = None if after is None else base + after
        pages = obstore.list(self._objects, (base + prefix).rstrip("/") or None, offset=offset, chunk_size=PAGE)
        metas = next(iter(pages), [])
        return [ListedObject(meta["path"][len(base) :], meta["size"], meta["e_tag"] or "") for meta in metas]

    def key(self, name: str) -> str:
        """Return the full key of a name."""
        return f"{self.location.prefix}/{name}" if self.location.prefix else name

    def _put(self, name: str, content: bytes, mode: Any) -> str:  # noqa: ANN401  obstore's PutMode
        import obstore

        def put(key: str) -> str:
            return obstore.put(self._objects, key, content, mode=mode, use_multipart=False)["e_tag"] or ""

        return self._request("write", name, put)

    def _request(self, verb: str, name: str, send: Callable[[str], T]) -> T:
        """Make a request; retry transient errors for `retry_seconds`, raise permanent ones as StorageError.

        A photo (verb: photo) that does not answer while the store does raises UnansweredObjectError, after `PHOTO_ATTEMPTS`
        timeouts or after `retry_seconds`.
        """
        first_failure, wait, is_renewed, timeouts = None, FIRST_WAIT, False, 0
        while True:
            generation = self._generation
            try:
                return send(self.key(name))
            except FruitscaleError:
                raise
            except Exception as error:  # noqa: BLE001  obstore raises its own and Python's
                if obstore_internals.is_expired(error) and not is_renewed:
                    is_renewed = True
                    self._renew_credentials(generation)
                    continue
                now = time.monotonic()
                first_failure = first_failure or now
                waited = now - first_failure
                is_transient, is_late = obstore_internals.is_transient(error), waited >= self.storage.retry_seconds
                timeouts += obstore_internals.is_timeout(error)
                is_due = verb == "photo" and is_transient and (is_late or timeouts >= PHOTO_ATTEMPTS)
                if is_due and self.answers():
                    raise UnansweredObjectError(f"{self.uri}/{name} does not answer, though the store does.") from None
                if is_late or not is_transient:
                    raise as_storage_error(f"{self.uri}/{name}", _PARTICIPLES[verb], error) from None
            self._count_retry(verb)
            pause = wait + random.uniform(0, FIRST_WAIT)  # noqa: S311  jitter
            if waited + pause > REPORT_AFTER_SECONDS:
                report_unavailable(self.location.bucket, self.storage.retry_seconds)
            time.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)

    def _renew_credentials(self, expired: int) -> None:
        generation = credentials.renew(expired)
        self._objects = _client(self.location.bucket, self.storage, generation)
        self._generation = generation  # last: no thread takes the old client for one of the new generation

    def _count_retry(self, verb: str) -> None:
        with self._counting:
            if verb == "write":
                self.retries.writes += 1
            else:
                self.retries.reads += 1


@lru_cache(maxsize=8)
def _client(bucket: str, storage: Storage, generation: int) -> ObjectStore:
    """Return this process's client of a bucket, for credentials of this generation.

    Every setting is explicit, so the environment overrides none.
    """
    from obstore.store import S3Store as ObjectStore

    endpoint, as_path = aws.s3_endpoint(storage), aws.uses_path_style(storage)
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
        client_options={  # type: ignore[arg-type]
            "allow_http": endpoint.startswith("http://"),
            "timeout": seconds,
            "connect_timeout": min(seconds, timedelta(seconds=aws.CONNECT_SECONDS)),
            **obstore_internals.same_host_only(endpoint),
        },
        retry_config={"max_retries": 0},
        credential_provider=credentials.provide,
    )
