"""Everything of distributed that we use and it does not promise, each with its reason.

tests/contract/test_private_names.py fails, and names the item, if an upgrade takes one away.
"""

from __future__ import annotations

from typing import Any


def open_dashboard(cluster: Any) -> None:  # noqa: ANN401  distributed is untyped here
    """Put Dask's pages on the HTTP server of a running scheduler.

    The public way, `dashboard: True` when the scheduler starts, imports the libraries of the pages first: 0.7 s before the
    first task. This way they are imported while tasks run.
    """
    from distributed.dashboard.scheduler import connect

    scheduler = cluster.scheduler
    cluster.loop.add_callback(connect, scheduler.http_application, scheduler.http_server, scheduler)


def scheduler_plugin(scheduler: Any, name: str) -> Any:  # noqa: ANN401
    """Return a scheduler's plugin. Only a worker's plugins are documented; without this, retries can't be counted."""
    return scheduler.plugins[name]
