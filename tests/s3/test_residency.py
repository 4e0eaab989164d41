"""A bucket in the wrong place, or in a place nobody knows, is refused before any object is asked for.

moto answers the regions of buckets, as only AWS does otherwise; a proxy before it keeps what was asked.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fruitscale.config.schema import Storage
from fruitscale.storage.s3 import S3Store
from tests.conftest import QUICK, Cli, Ran, take
from tests.s3 import servers
from tests.s3.bucket import Bucket
from tests.s3.proxy import Proxy, Seen, proxied

BUCKETS = {"paris": "eu-west-3", "dublin": "eu-west-1", "london": "eu-west-2", "virginia": "us-east-1"}
KMS_KEY = "arn:aws:kms:eu-west-3:123456789012:key/00000000-1111-2222-3333-444444444444"


@pytest.fixture(scope="module")
def tiny(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 photos of 3 labels."""
    return take(few, tmp_path_factory.mktemp("tiny") / "in", labels=3, each=4)


@pytest.fixture(scope="module")
def regions(moto: str, tiny: Path) -> str:
    """A bucket in each of four regions, with the same photos."""
    for name, region in BUCKETS.items():
        client = servers.client(moto, region)
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=name, **where)
        Bucket(moto, name, "in", client).put_folder(tiny)
    return moto


@pytest.fixture
def asked(regions: str) -> Iterator[Proxy]:
    with proxied(regions) as proxy:
        yield proxy


def run(cli: Cli, proxy: Proxy, bucket: str, *more: object, **settings: object) -> Ran:
    storage = {"endpoint": proxy.url, "region": "eu-west-3", **settings}
    sets = [part for k, v in storage.items() if v is not None for part in ("--set", f"storage.{k}={v}")]
    where = ["-i", f"s3://{bucket}/in", "-o", f"s3://{bucket}/out"]
    return cli("run", "-e", "local", *QUICK, "--set", "pca.components=4", *where, *sets, *more)


def test_a_bucket_in_its_region_runs_and_every_object_is_encrypted(s3_cli: Cli, asked: Proxy) -> None:
    ran = run(s3_cli, asked, "paris", "--json", encryption="sse-kms", kms_key=KMS_KEY)
    assert ran.record["residency"] == {
        "region": "eu-west-3", "endpoint": asked.url, "place": None, "rule": "checked",
    }  # fmt: skip
    first, *rest = asked.seen
    assert (first.method, first.target) == ("HEAD", "/paris")
    assert rest
    puts = asked.requests("PUT")
    assert len(puts) > 8  # lock, plan, manifest, parts, PCA, record and more
    for put in puts:
        assert put.headers.get("x-amz-server-side-encryption") == "aws:kms", put.target
        assert put.headers.get("x-amz-server-side-encryption-aws-kms-key-id") == KMS_KEY, put.target


REFUSED = [
    pytest.param("virginia", {"region": "us-east-1"}, 1, "us-east-1 is not in storage.allowed_regions", 0, id="usa"),
    pytest.param("virginia", {}, 1, "it is in us-east-1, and storage.region is eu-west-3", 1, id="usa-as-paris"),
    pytest.param("dublin", {}, 1, "it is in eu-west-1, and storage.region is eu-west-3", 1, id="other-region"),
    pytest.param("london", {"region": "eu-west-2"}, 1, "eu-west-2 is not in storage.allowed_regions", 0, id="uk"),
    pytest.param("nowhere", {}, 1, "s3://nowhere: there is no such bucket", 1, id="no-bucket"),
    pytest.param("paris", {"residency": "declared"}, 2, "storage.place is not set", 0, id="no-place"),
    pytest.param("paris", {"region": None}, 2, "storage.region is not set", 0, id="no-region"),
    pytest.param(
        "paris", {"allowed_regions": "[eu-north-1]"}, 1, "eu-west-3 is not in storage.allowed_regions", 0, id="list"
    ),
]


def check_refused(ran: Ran, proxy: Proxy, bucket: str, code: int, told: str, heads: int) -> None:
    assert ran.code == code, ran.err
    assert told in ran.err
    assert "Hint: " in ran.err
    assert "Traceback" not in ran.err
    assert not ran.out
    asked = {(seen.method, seen.target) for seen in proxy.seen}
    assert asked == ({("HEAD", f"/{bucket}")} if heads else set())


@pytest.mark.parametrize(("bucket", "settings", "code", "told", "heads"), REFUSED)
def test_another_place_is_refused(
    s3_cli: Cli, asked: Proxy, bucket: str, settings: dict[str, object], code: int, told: str, heads: int
) -> None:
    ran = run(s3_cli, asked, bucket, **settings)
    check_refused(ran, asked, bucket, code, told, heads)


@pytest.mark.parametrize(
    ("fates", "told"),
    [
        pytest.param(["denied"], "the store does not report its region (HTTP 403)", id="denied"),
        pytest.param(["regionless"], "the store does not report its region (HTTP 200)", id="silent"),
        pytest.param(["down"], "can't find out its region", id="down"),
    ],
)
def test_no_answer_is_no_run(s3_cli: Cli, asked: Proxy, fates: list[str], told: str) -> None:
    asked.rule = lambda _: fates[0]
    check_refused(run(s3_cli, asked, "paris"), asked, "paris", 1, told, heads=1)


def test_a_bucket_that_may_not_be_read_still_says_where_it_is(s3_cli: Cli, asked: Proxy) -> None:
    def heads_pass(seen: Seen) -> str | None:
        return None if seen.method == "HEAD" and seen.target == "/paris" else "denied"

    asked.rule = heads_pass
    ran = run(s3_cli, asked, "paris")
    assert ran.code == 1
    assert "access is denied" in ran.err
    assert "Check the credentials and their policy." in ran.err


@pytest.mark.parametrize("which", ["input", "output", "list"])
def test_every_bucket_is_asked(s3_cli: Cli, asked: Proxy, tmp_path: Path, tiny: Path, which: str) -> None:
    uris = {"input": "s3://paris/in", "output": "s3://paris/out-2", "list": "s3://paris/list.csv"}
    uris[which] = uris[which].replace("paris", "dublin")
    sets = ["--set", f"storage.endpoint={asked.url}", "--set", "storage.region=eu-west-3"]
    sets += ["--set", f"input.list={uris['list']}"]
    ran = s3_cli("run", "-e", "local", *QUICK, "-i", uris["input"], "-o", uris["output"], *sets)
    assert ran.code == 1
    assert "s3://dublin: it is in eu-west-1" in ran.err
    assert {seen.method for seen in asked.seen} == {"HEAD"}
    assert {seen.target for seen in asked.seen} <= {"/paris", "/dublin"}


def test_the_region_of_the_environment_counts(s3_cli: Cli, asked: Proxy) -> None:
    ran = s3_cli(
        "run", "-e", "local", *QUICK, "-i", "s3://dublin/in", "-o", "s3://dublin/out", "--dry-run", "--json",
        AWS_REGION="eu-west-1", AWS_ENDPOINT_URL=asked.url,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["images"] == 12
    assert not asked.requests("PUT", "POST", "DELETE")


def findings(ran: Ran) -> dict[str, Any]:
    return {finding["what"]: finding for finding in json.loads(ran.out)}


def test_doctor_tells_of_each_bucket(s3_cli: Cli, asked: Proxy, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        f"engine: local\nmodel: {{architecture: efficientnet_lite0, weights: packaged}}\n"
        f"input: {{uri: s3://paris/in}}\noutput: {{uri: s3://dublin/out}}\n"
        f"storage: {{region: eu-west-3, endpoint: '{asked.url}'}}\n"
    )
    ran = s3_cli("doctor", "--config", config, "--json")
    told = findings(ran)
    assert ran.code == 1
    assert told["input"]["ok"]
    assert told["input"]["found"] == "s3://paris/in: the bucket is in eu-west-3"
    assert not told["output"]["ok"]
    assert told["output"]["found"] == "s3://dublin: it is in eu-west-1, and storage.region is eu-west-3."
    assert told["output"]["remedy"]
    ran = s3_cli("doctor", "--config", config, "--set", "output.uri=s3://paris/out")
    assert ran.code == 0, ran.out
    assert "s3://paris/out: the bucket is in eu-west-3" in ran.out
    ran = s3_cli(
        "doctor", "--config", config, "--json", "--set", "storage.residency=declared", "--set", "storage.place=Lyon"
    )
    assert findings(ran)["output"]["found"] == "s3://dublin/out: declared, not checked: Lyon"
    assert {seen.method for seen in asked.seen} == {"HEAD"}


HOSTILE = [
    "Apple/../evil.jpg", "../evil.jpg", "Apple//double.jpg", "/leading.jpg", "Apple/tab\there.jpg", "Apple/./dot.jpg",
    "Apple/bell\x07.jpg",
]  # fmt: skip


def test_keys_that_cannot_be_addressed_are_rejects_and_harm_no_other(
    s3_cli: Cli, asked: Proxy, regions: str, tiny: Path
) -> None:
    client = servers.client(regions)
    place, out = (Bucket(regions, "paris", f"hostile/{name}", client) for name in ("in", "out"))
    place.put_folder(tiny)
    photo = next(tiny.rglob("*.jpg")).read_bytes()
    for name in (*HOSTILE, "Apple/slash.jpg/"):
        place.put(name, photo)
    Bucket(regions, "paris", "hostile", client).put("evil.jpg", photo)  # what `../evil.jpg` would reach
    ran = s3_cli(
        "run", "-e", "local", *QUICK, "--json", "-i", place.uri, "-o", out.uri, "--set", "pca.components=4",
        "--set", "images.max_reject_fraction=0.9", "--set", "storage.region=eu-west-3",
        "--set", f"storage.endpoint={asked.url}",
    )  # fmt: skip
    expected = sorted(HOSTILE)
    assert ran.record["images"] == {"featurized": 12, "rejected": len(expected), "resumed": 0}
    assert ran.record["input"]["not_taken"] == {"folder markers with content": 1}
    rejects = pq.read_table(io.BytesIO(out.get("rejects.parquet"))).to_pylist()
    assert [reject["path"] for reject in rejects] == expected
    assert {reject["reason"] for reject in rejects} == {"name"}
    assert not [seen.target for seen in asked.requests("GET") if "evil" in seen.target]
    manifest = pq.read_table(io.BytesIO(out.get("manifest.parquet"))).to_pylist()
    names = {path.relative_to(tiny).as_posix() for path in tiny.rglob("*.jpg")}
    assert {row["path"] for row in manifest} == names | set(expected)


def test_sse_kms_is_asked_for_with_conditional_writes_too(asked: Proxy) -> None:
    storage = Storage(region="eu-west-3", endpoint=asked.url, encryption="sse-kms", kms_key=KMS_KEY)
    store = S3Store("s3://paris/sse", storage)
    store.replace("x", b"two", store.create("x", b"one"))
    keys = [seen.headers.get("x-amz-server-side-encryption-aws-kms-key-id") for seen in asked.requests("PUT")]
    assert keys == [KMS_KEY, KMS_KEY]


@pytest.mark.slow
def test_each_command_asks_each_bucket_once(s3_cli: Cli, asked: Proxy, tiny: Path) -> None:
    """Also the commands that open several runs, and the photos again for the page's thumbnails."""
    sets = [part for key, value in {"endpoint": asked.url, "region": "eu-west-3"}.items()
            for part in ("--set", f"storage.{key}={value}")]  # fmt: skip
    quick, label = ["-e", "local", *QUICK, *sets], min(folder.name for folder in tiny.iterdir())
    paths = sorted(path.relative_to(tiny).as_posix() for path in tiny.rglob("*.jpg"))
    photos, fitted, applied = "s3://paris/in", "s3://paris/fitted", "s3://paris/applied"
    commands: list[list[str]] = [
        ["run", *quick, "--set", "pca.components=4", "--set", "report=true", "-i", photos, "-o", fitted],
        ["apply", "--pca", fitted, "-e", "local", *sets, "-i", photos, "-o", applied],
        ["report", fitted, *sets],
        ["drift", fitted, applied, *sets],
        ["evaluate", fitted, applied, *sets],
        ["similar", fitted, f"{photos}/{paths[0]}", *sets],
        ["classify", fitted, photos, *sets],
        ["gdpr", "access", fitted, "--path", paths[0], *sets],
        ["erase", fitted, "--label", label, *sets],
    ]
    counts = {}
    for command in commands:
        before = len(asked.seen)
        ran = s3_cli(*command)
        assert ran.code == 0, (command[0], ran.err)
        seen = asked.seen[before:]
        counts[command[0]] = sum(request.method == "HEAD" and request.target == "/paris" for request in seen)
        assert (seen[0].method, seen[0].target) == ("HEAD", "/paris"), command[0]
    assert counts == {command[0]: 1 for command in commands}
