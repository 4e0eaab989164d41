"""Starts the engine in the background, while the driver lists photos and exports the model."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from fruitscale.config.schema import Config
from fruitscale.engines import registry
from fruitscale.engines.base import Engine
from fruitscale.uris import is_s3

WARM, WARM_NETWORK, WARM_S3 = (f"fruitscale.stages.{name}" for name in ("warm", "warm_network", "warm_s3"))


class EngineStart:
    """An engine that starts in a thread, at most once."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._executor = ThreadPoolExecutor(1, "engine")
        self._future: Future[Engine] | None = None

    def start(self) -> None:
        """Begin to start the engine, unless that was done before."""
        if self._future is None:
            slots = registry.slots(self._config)
            self._future = self._executor.submit(registry.open_engine, self._config, slots, self._warm_modules())

    def engine(self) -> Engine:
        """Return the engine once it has started. Raises EngineError or MissingExtraError if it can't."""
        self.start()
        assert self._future is not None
        return self._future.result()

    def close(self) -> None:
        """Wait for the start to end, and close the engine if it began."""
        self._executor.shutdown()
        if self._future is not None and self._future.exception() is None:
            self._future.result().close()

    def _warm_modules(self) -> tuple[str, ...]:
        """Return the modules that workers import while they wait for the first task."""
        modules = [WARM]
        if self._config.model.architecture != "patch_mean":
            modules.append(WARM_NETWORK)
        if is_s3(self._config.input.uri) or is_s3(self._config.output.uri):
            modules.append(WARM_S3)
        return tuple(modules)
