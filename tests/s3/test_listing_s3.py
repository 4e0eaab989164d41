"""Which objects of a bucket are photos: by key, by content, by Content-Type, by storage class; and keys of any kind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fruitscale.config.schema import Input
from fruitscale.errors import ArchivedObjectError, DeniedObjectError, StorageError, UnansweredObjectError
from fruitscale.kernels.images import Rejection
from fruitscale.runs import manifest
from fruitscale.stages import absent
from fruitscale.storage.folder_listing import UNADDRESSABLE
from fruitscale.storage.listing import Photo, list_photos
from fruitscale.storage.listing_account import ListingAccount
from fruitscale.storage.object_listing import list_keys, parse_contents
from tests.s3.bucket import Bucket
from tests.s3.proxy import Proxy, Seen
from tests.unit.test_listing_rules import HEIC, JPEG, MOV


def look(place: Bucket, endpoint: str | None = None, **options: Any) -> tuple[list[Photo], ListingAccount]:
    account = ListingAccount()
    source = Input.model_validate({"uri": place.uri, **options})
    photos = list(list_photos(source, place.storage(endpoint, timeout_seconds=2.0, retry_seconds=1.0), account))
    return sorted(photos), account


def paths(place: Bucket, **options: Any) -> list[str]:
    return [photo.path for photo in look(place, **options)[0]]


def test_a_photo_is_described_as_obstore_reads_it(bucket: Bucket) -> None:
    etag = bucket.put("apple/É 1+2%20&.jpg", JPEG)
    assert look(bucket) == ([Photo("apple/É 1+2%20&.jpg", "apple", len(JPEG), etag)], ListingAccount())
    assert bucket.store().read("apple/É 1+2%20&.jpg", etag) == JPEG


def test_keys_without_an_extension_are_recognized(bucket: Bucket) -> None:
    ids = [f"00c0ffee-0000-4000-8000-{i:012x}" for i in range(5)]
    for i, content in zip(ids, (JPEG, HEIC, MOV, b"text", b""), strict=True):
        bucket.put(f"up/{i}", content)
    key = f"{bucket.prefix}/up/encoded"
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"\x1f\x8b", ContentType="image/jpeg")
    bucket.client.put_object(
        Bucket=bucket.name, Key=f"{bucket.prefix}/up/svg", Body=b"<svg/>", ContentType="image/svg+xml"
    )
    bucket.put("up/a.mov", JPEG)
    photos, account = look(bucket)
    assert [photo.path for photo in photos] == [f"up/{ids[0]}", f"up/{ids[1]}", "up/encoded"]
    assert account.counts() == {"without extension": 4, ".mov": 1}


def test_only_unknown_kinds_are_read(bucket: Bucket, proxy: Proxy) -> None:
    for name in ("a/1.jpg", "a/2.txt", "a/unknown", ".trashed-1-x.jpg", "@eaDir/x/1.jpg"):
        bucket.put(name, JPEG)
    photos, account = look(bucket, proxy.url)
    assert [photo.path for photo in photos] == ["a/1.jpg", "a/unknown"]
    assert account.counts() == {"hidden or system files": 2, ".txt": 1}
    reads = [seen for seen in proxy.requests("GET") if "list-type" not in seen.target]
    assert [(seen.target.rsplit("/", 1)[-1], seen.headers["range"]) for seen in reads] == [("unknown", "bytes=0-63")]


def test_more_keys_than_a_page(bucket: Bucket) -> None:
    names = [f"a/{i:04d}.jpg" for i in range(2300)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: bucket.put(name, b"x"), names))
    assert paths(bucket) == names


@pytest.mark.parametrize("server", ["bucket", "moto_bucket"])
def test_a_folders_marker_is_no_photo(request: pytest.FixtureRequest, server: str) -> None:
    place: Bucket = request.getfixturevalue(server)
    place.put("a/x.jpg/", b"")
    place.put("a/", b"")
    place.put("y.jpg/", b"")
    assert paths(place) == []
    if server == "moto_bucket":  # SeaweedFS has no file beside a folder of one name
        place.put("a/x.jpg", JPEG)
        assert look(place)[0] == [Photo("a/x.jpg", "a", len(JPEG), place.store().stat("a/x.jpg")[1])]


def test_keys_that_obstore_refuses_are_listed_as_unaddressable(moto_bucket: Bucket) -> None:
    for name in ("a//1.jpg", "a/./2.jpg", "a/3\x01.jpg", "a//4", "a/5.jpg"):
        moto_bucket.put(name, JPEG)
    photos, account = look(moto_bucket)
    versions = {photo.path: photo.version for photo in photos}
    assert [path for path, version in versions.items() if version == UNADDRESSABLE] == [
        "a/./2.jpg",
        "a//1.jpg",
        "a/3\x01.jpg",
    ]
    assert versions["a/5.jpg"] != UNADDRESSABLE
    assert account.counts() == {"without extension": 1}


def test_archived_photos_are_counted_and_rejected(moto_bucket: Bucket) -> None:
    classes = {"a.jpg": "STANDARD", "b.jpg": "GLACIER", "c.jpg": "DEEP_ARCHIVE", "d.jpg": "GLACIER_IR", "e": "GLACIER"}
    for name, kind in classes.items():
        key = f"{moto_bucket.prefix}/{name}"
        moto_bucket.client.put_object(Bucket=moto_bucket.name, Key=key, Body=JPEG, StorageClass=kind)
    photos, account = look(moto_bucket)
    assert [photo.path for photo in photos] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert account.archived == {"GLACIER": 1, "DEEP_ARCHIVE": 1}
    assert account.counts() == {"archived, of unknown type": 1}
    read = [absent.read_photo(moto_bucket.store(), photo) for photo in photos]
    reasons = [content.reason if isinstance(content, Rejection) else "" for content in read]
    assert reasons == ["", "archived", "archived", ""]


def test_what_s3_calls_an_invalid_state_is_archived_and_not_denied(bucket: Bucket, proxy: Proxy) -> None:
    bucket.put("a.jpg", JPEG)
    proxy.expect(["archived"])
    with pytest.raises(ArchivedObjectError, match="is archived"):
        bucket.store(proxy.url).read("a.jpg", '"1"')
    proxy.expect(["denied"])
    with pytest.raises(DeniedObjectError, match="access is denied"):
        bucket.store(proxy.url).read("a.jpg", '"1"')


@pytest.mark.parametrize("fates", [["busy", "reset", "broken", "down"], ["short", "late error"]], ids="+".join)
def test_a_page_is_listed_again_while_the_store_fails(bucket: Bucket, proxy: Proxy, fates: list[str]) -> None:
    bucket.put("a.jpg", JPEG)
    proxy.expect(fates)
    store = bucket.store(proxy.url, retry_seconds=30.0)
    assert [key.name for key in list_keys(store)] == ["a.jpg"]
    assert store.retries.reads == len(fates)


@pytest.mark.parametrize(
    ("fate", "problem"), [("denied", "access is denied"), ("down", "can't be listed: ")], ids=["denied", "down"]
)
def test_a_listing_that_fails(bucket: Bucket, proxy: Proxy, fate: str, problem: str) -> None:
    proxy.rule = lambda seen: fate
    with pytest.raises(StorageError, match=problem):
        look(bucket, proxy.url)


def test_a_bucket_that_does_not_exist(weed: str) -> None:
    place = Bucket(weed, "no-such-bucket", "in", None)
    with pytest.raises(StorageError, match="there is no such bucket"):
        look(place)


def never(name: str) -> Callable[[Seen], str | None]:
    return lambda seen: "stall" if seen.target.partition("?")[0].endswith(f"/{name}") else None


def test_one_object_that_never_answers_is_a_reject(bucket: Bucket, proxy: Proxy) -> None:
    versions = {name: bucket.put(name, JPEG) for name in ("a.jpg", "b.jpg")}
    proxy.rule = never("b.jpg")
    proxy.faults = type(proxy.faults)(stall_seconds=30)
    store = bucket.store(proxy.url, timeout_seconds=0.3, retry_seconds=600.0)
    assert store.read("a.jpg", versions["a.jpg"]) == JPEG
    with pytest.raises(UnansweredObjectError, match=r"b\.jpg does not answer, though the store does"):
        store.read("b.jpg", versions["b.jpg"])
    content = absent.read_photo(store, Photo("b.jpg", None, len(JPEG), versions["b.jpg"]))
    assert isinstance(content, Rejection)
    assert content.reason == "unanswered"


def test_a_store_that_never_answers_is_no_reject(bucket: Bucket, proxy: Proxy) -> None:
    etag = bucket.put("b.jpg", JPEG)
    proxy.rule = lambda seen: "stall"
    proxy.faults = type(proxy.faults)(stall_seconds=30)
    store = bucket.store(proxy.url, timeout_seconds=0.1, retry_seconds=2.0)
    with pytest.raises(StorageError) as caught:
        store.read("b.jpg", etag)
    assert type(caught.value) is StorageError


def test_an_unknown_object_that_never_answers_is_taken_and_rejected_later(bucket: Bucket, proxy: Proxy) -> None:
    bucket.put("b", JPEG)
    proxy.rule = never("b")
    proxy.faults = type(proxy.faults)(stall_seconds=30)
    source = Input(uri=bucket.uri)
    storage = bucket.storage(proxy.url, timeout_seconds=0.3, retry_seconds=600.0)
    assert [photo.path for photo in list_photos(source, storage)] == ["b"]


def test_a_list_on_s3_is_looked_up(bucket: Bucket) -> None:
    for name in ("b/1.jpg", "b/2.jpg"):
        bucket.put(name, JPEG)
    bucket.put("lists/night.csv", b"Path ; Label\r\n./b//2.jpg;x\r\nb/1.jpg;y\r\n")
    photos = manifest.build(
        list_photos(Input(uri=bucket.uri, list=f"{bucket.uri}/lists/night.csv"), bucket.storage())
    ).table
    assert photos["path"].to_pylist() == ["b/1.jpg", "b/2.jpg"]
    assert photos["label"].to_pylist() == ["y", "x"]


KEY = "<Contents><Key>{}</Key>{}<Size>{}</Size>{}</Contents>"


def test_answers_of_other_stores_are_read() -> None:
    """MinIO escapes ETags by number, some stores leave out classes or ETags."""
    text = KEY.format("in/a&amp;b", "<ETag>&#34;1&#34;</ETag>", 5, "<StorageClass>GLACIER</StorageClass>")
    text += KEY.format("in/\nb", "", 0, "")
    assert list(zip(*parse_contents(text), strict=True)) == [("in/a&b", 5, '"1"', "GLACIER"), ("in/\nb", 0, "", "")]


@pytest.mark.parametrize("text", ["<Contents><Key>a</Key></Contents>", "<Contents><!-- --></Contents>"])
def test_answers_that_lack_a_key_or_a_size_are_refused(text: str) -> None:
    with pytest.raises(StorageError, match="lacks its key or size"):
        parse_contents(text)
