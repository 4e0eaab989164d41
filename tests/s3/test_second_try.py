"""A task that is tried again finds the parts of its first try, also in a run that began with none."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fruitscale import stages
from fruitscale.config.schema import Config, Input, Model
from fruitscale.kernels.backbone import F32
from fruitscale.model import exported_model
from fruitscale.runs import manifest, parts, run_folder
from fruitscale.storage import listing, lock
from tests.s3.bucket import Bucket

SHARD, N_SHARDS = 16, 3


@dataclass(frozen=True)
class Held:
    """Bytes that need no engine to be shared."""

    payload: bytes

    def value(self) -> bytes:
        return self.payload


@pytest.mark.parametrize("kept", [(), (1,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("fresh", [True, False])
def test_a_second_try_keeps_what_is_there(
    few_on_s3: Bucket, bucket: Bucket, fresh: bool, kept: tuple[int, ...]
) -> None:
    config, store = Config(), bucket.store()
    exported = exported_model.export(Model(architecture="patch_mean"))
    listed = manifest.build(listing.list_photos(Input(uri=few_on_s3.uri), bucket.storage()))
    job = stages.Job(
        run_id="run", input_uri=few_on_s3.uri, output_uri=bucket.uri, storage=bucket.storage(), images=config.images,
        manifest=listed.read_from, manifest_sha256=listed.sha256 + listed.versions_sha256, model_sha256=exported.sha256,
        execution=F32, input_size=exported.input_size, features=exported.features, shard_images=SHARD, fresh=fresh,
    )  # fmt: skip
    shards = tuple(stages.Shard(index, index * SHARD, (index + 1) * SHARD) for index in range(N_SHARDS))
    with lock.locked(store, "run"):
        manifest.write(listed, store)
        first = stages.featurize_shards(stages.ShardBatch(job, shards), Held(exported.payload))
        made = bucket.parts()
        assert [report.featurized for report in first] == [SHARD] * N_SHARDS
        assert not any(report.resumed for report in first)
        for index in set(range(N_SHARDS)) - set(kept):
            store.delete(parts.name(run_folder.FEATURES, index))
        again = stages.featurize_shards(stages.ShardBatch(job, shards), Held(exported.payload))
    assert [report.resumed for report in again] == [index in kept for index in range(N_SHARDS)]
    assert [report.featurized for report in again] == [SHARD] * N_SHARDS
    assert bucket.parts() == made
