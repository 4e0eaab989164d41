"""Starts the engine in the background, while the driver lists photos and exports the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from fruitscale.config.schema import Config
from fruitscale.engines import registry
from fruitscale.engines.base import Engine, EngineInfo
from fruitscale.runs.fingerprints import SHARDS, shard_images
from fruitscale.storage.listing import Photo
from fruitscale.uris import is_s3

WARM, WARM_NETWORK, WARM_S3 = (f"fruitscale.stages.{name}" for name in ("warm", "warm_network", "warm_s3"))


class EngineStart:
    """An engine that starts in a thread, at most once."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._executor = ThreadPoolExecutor(1, "engine")
        self._future: Future[Engine] | None = None

    def starting(self, photos: Iterable[Photo]) -> Iterator[Photo]:
        """Yield photos as they are listed, and start the engine once every slot will have a shard."""
        enough = self._photos_for_all_slots()
        for number, photo in enumerate(photos, 1):
            if number == enough:
                self.start()
            yield photo

    def start(self, shards: int | None = None) -> None:
        """Begin to start the engine, unless that was done before, with no more slots than there are shards."""
        if self._future is None:
            slots = registry.slots(self._config)
            slots = slots if shards is None else max(min(slots, shards), 1)
            self._future = self._executor.submit(registry.open_engine, self._config, slots, self._warm_modules())

    def engine(self, shards: int) -> Engine:
        """Return the engine once it has started. Raises EngineError or MissingExtraError if it can't."""
        self.start(shards)
        assert self._future is not None
        return self._future.result()

    def close(self) -> None:
        """Wait for the start to end, and close the engine if it began."""
        self._executor.shutdown()
        if self._future is not None and self._future.exception() is None:
            self._future.result().close()

    def _photos_for_all_slots(self) -> int | None:
        """Return a number of photos from which on there are as many shards as slots; None if there may never be."""
        slots, limit = registry.slots(self._config), self._config.input.limit
        if self._config.shards.images == "auto" and slots > SHARDS:
            return None
        enough = shard_images(self._config, 1) * (slots - 1) + 1
        return enough if limit is None or enough <= limit else None

    def _warm_modules(self) -> tuple[str, ...]:
        """Return the modules that workers import while they wait for the first task."""
        modules = [WARM]
        if self._config.model.architecture != "patch_mean":
            modules.append(WARM_NETWORK)
        if is_s3(self._config.input.uri) or is_s3(self._config.output.uri):
            modules.append(WARM_S3)
        return tuple(modules)


def n_shards(config: Config, n_images: int) -> int:
    """Return the number of shards of a run."""
    return -(-n_images // shard_images(config, n_images))


def is_remote(config: Config, info: EngineInfo) -> bool:
    """Return whether workers may be on other machines, which may lack our folders and have other CPUs."""
    if config.engine == "spark":
        return not (info.master or "").startswith("local")
    return config.engine == "dask" and config.dask.scheduler is not None
