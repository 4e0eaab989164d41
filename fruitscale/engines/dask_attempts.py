"""The futures of a map, resubmitted after they killed workers, so that the task knows that it is a retry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import distributed

from fruitscale.engines.base import SharedValue, attempt_all

DEATHS_ALLOWED = 3
RETRIES = 2


@dataclass
class ChunkAttempt:
    """A chunk of tasks, and how many workers it has killed."""

    tasks: Sequence[Any]
    deaths: int = 0


class MapAttempts:
    """Submits chunks, and those that killed a worker again.

    Dask itself retries such a task `allowed-failures` times, but a task can't find that out. So a scheduler of ours allows
    none, and on somebody's scheduler the retries that know follow Dask's own.
    """

    def __init__(
        self,
        client: distributed.Client,
        function: Callable[..., Any],
        chunks: Sequence[Sequence[Any]],
        shared: SharedValue | None,
        name: str,
    ) -> None:
        self._client = client
        self._call = partial(attempt_all, function, shared=shared)
        self._chunks = {f"{name}-{index:06d}": ChunkAttempt(tasks) for index, tasks in enumerate(chunks)}
        self.resubmitted = 0

    def start(self) -> list[Any]:
        """Submit every chunk; return the futures."""
        tasks = [chunk.tasks for chunk in self._chunks.values()]
        futures: list[Any] = self._client.map(self._call, tasks, key=list(self._chunks), pure=False, retries=RETRIES)
        return futures

    def resubmit_killers(self, batch: list[Any]) -> list[Any]:
        """Remove from a batch of completed futures those that killed workers, and return those that replace them.

        A future that killed too many workers, also as a retry, stays in the batch.
        """
        new = []
        for future in [future for future in batch if future.status == "error"]:
            error = future.exception()
            if not isinstance(error, distributed.KilledWorker):
                continue
            chunk, was_retry = self._chunks[future.key], self._chunks[future.key].deaths > 0
            chunk.deaths += error.allowed_failures + 1
            if was_retry and chunk.deaths > DEATHS_ALLOWED:
                continue
            batch.remove(future)
            self.resubmitted += 1
            key = f"{future.key}-again"
            self._chunks[key] = self._chunks.pop(future.key)
            new.append(
                self._client.submit(partial(self._call, retry=True), chunk.tasks, key=key, pure=False, retries=RETRIES)
            )
        return new

    def deaths(self, future: Any) -> int:  # noqa: ANN401
        """Return how many workers a future's tasks have killed."""
        return self._chunks[future.key].deaths
