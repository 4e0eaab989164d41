"""Credentials are in the environment, and nowhere else: not in files, logs, arguments or tasks."""

from __future__ import annotations

import base64
import io
import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fruitscale import stages
from fruitscale.config.schema import Config
from fruitscale.kernels.backbone import F32
from tests.conftest import Cli
from tests.s3 import servers
from tests.s3.bucket import Bucket
from tests.s3.leaks import leaks
from tests.s3.proxy import Proxy
from tests.s3.runs import Watched, arguments

SECRETS = (servers.KEY_ID, servers.SECRET)


def planted(kind: str, secret: str) -> tuple[str, bytes]:
    sink = io.BytesIO()
    encoded = base64.b64encode(f"..{secret}..".encode()).decode()
    if kind == "parquet":
        pq.write_table(pa.table({"path": ["a", f"b {secret}"]}), sink, compression="zstd")
    elif kind == "parquet-footer":
        pq.write_table(pa.table({"path": ["a"]}).replace_schema_metadata({"note": encoded}), sink)
    elif kind == "npz":
        np.savez_compressed(sink, mean=np.zeros(4), note=np.frombuffer(secret.encode(), np.uint8))
    elif kind == "json":
        sink.write(json.dumps({"a": [{"b": secret.replace("-", "\u002d")}]}).replace("-", "\\u002d").encode())
    elif kind == "json-key":
        sink.write(json.dumps({"a": {secret: 1}}).encode())
    elif kind == "html":
        sink.write(f"<p>{secret.replace('-', '&#45;')}</p>".encode())
    elif kind == "html-base64":
        sink.write(f"<img src='data:image/png;base64,{encoded}'>".encode())
    else:
        sink.write(f"INFO a line with {secret}\n".encode())
    return f"x.{kind.partition('-')[0]}", sink.getvalue()


@pytest.mark.parametrize("kind", ["parquet", "parquet-footer", "npz", "json", "json-key", "html", "html-base64", "log"])
@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_planted_is_found(kind: str, secret: str) -> None:
    name, content = planted(kind, secret)
    assert leaks({name: content}, SECRETS) == [f"{name}: {secret}"]
    assert leaks(dict([planted(kind, "nothing-to-hide")]), SECRETS) == []


def test_a_run_keeps_no_credential(watched: Watched) -> None:
    expected = {"run.json", "_run/plan.json", "_run/progress.json", "manifest.parquet", "pca/pca.npz", "err.log"}
    assert expected <= set(watched.files)
    assert len(watched.commands) > 1  # workers too
    assert leaks(watched.files, SECRETS) == []


def test_a_failure_tells_no_credential(s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket, proxy: Proxy) -> None:
    for fate in ("denied", "down"):
        proxy.rule = lambda _, fate=fate: fate  # type: ignore[misc]
        ran = s3_cli(*arguments("local", few_on_s3, bucket, proxy.url, retry_seconds=0.5), "--verbose")
        assert ran.code == 1
        assert "Traceback" in ran.err  # --verbose shows it whole
        assert leaks({"out.log": ran.out.encode(), "err.log": ran.err.encode()}, SECRETS) == []


def test_a_task_carries_no_credential(bucket: Bucket) -> None:
    config = Config()
    bucket.store().write("x", b"")  # so that a client is there, and holds some
    job = stages.Job(
        run_id="run",
        input_uri=bucket.uri,
        output_uri=bucket.uri,
        storage=bucket.storage(),
        images=config.images,
        manifest="manifest.parquet",
        manifest_sha256="0",
        model_sha256="0",
        execution=F32,
        input_size=64,
        features=1280,
        shard_images=8,
    )
    tasks = [
        stages.ShardBatch(job, (stages.Shard(0, 0, 8),)),
        stages.PartGroup(job, 0, 0, 1),
        stages.ProjectionTask(job, 0, 1, "0"),
    ]
    for task in tasks:
        content = pickle.dumps(task)
        assert pickle.loads(content) == task
        assert leaks({"task.log": content}, SECRETS) == []
