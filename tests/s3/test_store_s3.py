"""S3Store against SeaweedFS, through a proxy that makes the network bad; what only other stores do is shown at moto."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from fruitscale.config.schema import Input
from fruitscale.errors import ChangedObjectError, MissingObjectError, StorageError
from fruitscale.storage.listing import list_photos
from fruitscale.storage.s3 import S3Store
from tests.s3.bucket import Bucket
from tests.s3.proxy import Faults, Proxy

NAMES = [
    "a b.jpg", " lead and trail ", "100%20.jpg", "a%2Fb.jpg", "kiwi#1", "kiwi #1.jpg", "🍓.jpg", "a=b+c.jpg",
    "é e\u0301.jpg", "日本/リンゴ.jpg", "a?b&c.jpg", "*[x]{y}.jpg", "~'\"`^|<>.jpg", "a:b@c;d,e$f!.jpg", "...jpg", "dot.",
    "-x", "\u202eright.jpg", "x" * 255, "/".join(["d" * 199] * 4) + "/" + "x" * 95 + ".jpg",
]  # fmt: skip
"""The last has 899 characters; SeaweedFS takes 255 between two slashes, and takes a backslash for a slash."""
LONGEST = "k" * 900
RAISES = Callable[[S3Store], object]


def names_of(store: S3Store, prefix: str = "") -> list[str]:
    return list(store.names(prefix))


def test_any_name_goes_there_and_comes_back(bucket: Bucket) -> None:
    store = bucket.store()
    for name in NAMES:
        store.write(name, name.encode())
    assert sorted(names_of(store)) == sorted(NAMES)
    assert sorted(bucket.names()) == sorted(NAMES)  # they are the same keys to everyone
    for entry in list(store.entries()):
        assert entry.size == len(entry.name.encode())
        assert store.read(entry.name, entry.etag) == entry.name.encode()
        store.delete(entry.name)
        assert not store.exists(entry.name)


def test_a_key_of_900_characters_goes_where_the_server_takes_it(bucket: Bucket, moto_bucket: Bucket) -> None:
    store = moto_bucket.store()
    store.write(LONGEST, b"long")
    assert store.read(LONGEST, next(store.entries()).etag) == b"long"
    with pytest.raises(StorageError, match="can't be written"):  # and elsewhere it is told at once
        bucket.store().write(LONGEST, b"long")


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 40_000], ids=["empty", "short", "10 MB"])
def test_content_goes_in_one_request_and_comes_back(bucket: Bucket, proxy: Proxy, content: bytes) -> None:
    store = bucket.store(proxy.url)
    store.write("x", content)
    assert store.read("x") == content
    assert store.stat("x")[0] == len(content)
    assert [(seen.method, seen.target.partition("?")[2]) for seen in proxy.seen] == [
        ("PUT", ""),
        ("GET", ""),
        ("HEAD", ""),
    ]
    store.write("x", b"after")
    assert store.read("x") == b"after"


def test_a_read_is_of_the_version_that_was_listed(bucket: Bucket) -> None:
    store = bucket.store()
    store.write("x", b"one")
    listed = next(store.entries()).etag
    assert store.read("x", listed) == b"one"
    store.write("x", b"two")
    with pytest.raises(ChangedObjectError, match="x changed since it was listed"):
        store.read("x", listed)
    store.delete("x")
    with pytest.raises(MissingObjectError, match="x does not exist"):
        store.read("x", listed)
    store.delete("x")  # what is not there can be deleted


REQUESTS: dict[str, RAISES] = {
    "read": lambda store: store.read("a.jpg"),
    "read-version": lambda store: store.read("a.jpg", '"1"'),
    "write": lambda store: store.write("a.jpg", b""),
    "create": lambda store: store.create("a.jpg", b""),
    "list": names_of,
}


@pytest.mark.parametrize(
    ("server", "name"),
    [(server, name) for server in ("weed", "moto") for name in REQUESTS if (server, name) != ("weed", "read-version")],
)
def test_a_bucket_that_is_not_there_is_no_missing_photo(request: pytest.FixtureRequest, server: str, name: str) -> None:
    """SeaweedFS answers a conditional read as if the bucket were there, and is not asked for one."""
    endpoint: str = request.getfixturevalue(server)
    store = S3Store("s3://no-such-bucket/in", Bucket(endpoint, "", "", None).storage())
    with pytest.raises(StorageError, match="there is no such bucket") as caught:
        REQUESTS[name](store)
    assert type(caught.value) is StorageError


def test_create_and_replace_keep_their_conditions(bucket: Bucket) -> None:
    store = bucket.store()
    first = store.create("x", b"one")
    with pytest.raises(ChangedObjectError):
        store.create("x", b"another")
    assert store.read("x", first) == b"one"
    second = store.replace("x", b"two", first)
    with pytest.raises(ChangedObjectError):
        store.replace("x", b"three", first)
    assert store.read_etag("x") == (b"two", second)
    store.delete("x")
    with pytest.raises(ChangedObjectError):
        store.replace("x", b"three", second)
    assert not store.exists("x")


def test_one_of_many_creates_wins(bucket: Bucket) -> None:
    store = bucket.store()

    def create(number: int) -> int | None:
        try:
            store.create("x", str(number).encode())
        except ChangedObjectError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(create, range(8)) if number is not None]
    assert [str(number).encode() for number in won] == [store.read("x")]


def test_a_listing_has_many_pages_and_goes_on_after_one_that_failed(bucket: Bucket, proxy: Proxy) -> None:
    expected = [f"{i % 7}/{i:04d}.jpg" for i in range(1100)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: bucket.store().write(name, b"x"), expected))
    store = bucket.store(proxy.url)
    proxy.expect(["pass", "busy", "reset", "lost", "broken"])
    assert names_of(store) == sorted(expected)
    assert store.retries.reads == 4
    lists = [seen.target for seen in proxy.requests("GET")]
    assert len(lists) == 4 + 2, lists  # a thousand and a hundred
    assert len(set(lists)) == 2  # what failed was asked for again, and nothing else
    assert names_of(store, "3/") == sorted(name for name in expected if name.startswith("3/"))


@pytest.mark.parametrize(
    "keys",
    [["a/", "a/b.jpg", "z.jpg", "z/"], ["x.jpg", "x/"], ["x.jpg", "x/", "y.jpg"], ["only/"], ["", "a.jpg", "a/"], [""]],
)
@pytest.mark.parametrize("server", ["weed", "moto"])
def test_a_listing_ends_where_a_console_made_folders(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, server: str, keys: list[str]
) -> None:
    place: Bucket = request.getfixturevalue("bucket" if server == "weed" else "moto_bucket")
    for key in keys:
        place.put(key, b"" if key.endswith("/") or not key else b"photo")
    photos = [key for key in keys if key.endswith(".jpg")]
    for page in (1000, 3, 2, 1):
        monkeypatch.setattr("fruitscale.storage.s3.PAGE", page)
        found = list_photos(Input(uri=place.uri), place.storage())
        assert [photo.path for photo in itertools.islice(found, 50)] == photos


def test_what_may_pass_is_asked_for_again_and_counted(bucket: Bucket, proxy: Proxy) -> None:
    for fate in ("busy", "broken", "reset", "lost"):
        store = bucket.store(proxy.url)
        proxy.expect([fate, fate])
        store.write("x", fate.encode() * 1000)
        proxy.expect([fate])
        assert store.read("x") == fate.encode() * 1000
        assert (store.retries.reads, store.retries.writes) == (1, 2)


def test_a_request_that_takes_too_long_is_made_again(bucket: Bucket, proxy: Proxy) -> None:
    store = bucket.store(proxy.url, timeout_seconds=1.0)
    proxy.faults = Faults(stall_seconds=60)
    store.write("x", b"content")
    proxy.expect(["stall"])
    assert store.read("x") == b"content"
    assert store.retries.reads == 1


def test_retries_end_with_retry_seconds(bucket: Bucket, proxy: Proxy) -> None:
    store = bucket.store(proxy.url, retry_seconds=1.0)
    proxy.down = True
    with pytest.raises(StorageError, match="can't be read") as caught:
        store.read("x")
    assert caught.value.hint is not None
    assert "run the same command again" in caught.value.hint
    assert 2 <= len(proxy.seen) <= 6  # after 0.1, 0.2, 0.4 and 0.8 seconds, each a little longer
    assert store.retries.reads == len(proxy.seen) - 1
