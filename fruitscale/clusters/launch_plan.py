"""Plans a launch without creating anything: its machines, price, checks and requests."""

from __future__ import annotations

from dataclasses import dataclass

from fruitscale.clusters import cluster_config, launch_checks, photo_count, prices, run_estimate
from fruitscale.clusters import launch as launches
from fruitscale.clusters.bundle import PLANNED
from fruitscale.clusters.check_results import CheckVerdict, LaunchCheck
from fruitscale.clusters.launcher import Request
from fruitscale.clusters.launcher_registry import launcher_of
from fruitscale.clusters.prices import PriceLine
from fruitscale.clusters.run_estimate import RunEstimate
from fruitscale.config.schema import Config
from fruitscale.errors import FruitscaleError, NothingNewError
from fruitscale.pipeline import precision_advice


@dataclass(frozen=True)
class LaunchPlan:
    """What a launch would create. Prices are None if cluster.prices lacks them.

    `estimate` is the one for these photos, or the reason there is none. `most` is the highest possible cost of the launch, if
    it lasts `hours`: max_hours, or less with max_cost.
    """

    kind: str
    region: str
    lines: tuple[PriceLine, ...]
    checks: tuple[LaunchCheck, ...]
    requests: tuple[Request, ...]
    max_hours: float
    currency: str
    prices_date: str | None
    hours: float
    limit: str
    most: float | None
    estimate: RunEstimate | str
    advice: str | None = None
    """What would make the run faster, in words."""

    @property
    def hour(self) -> float | None:
        """The maximum price per hour of all machines; None if a machine's price is missing."""
        return prices.at_most(self.lines)

    @property
    def left_out(self) -> list[str]:
        """What has no price, and is not in the sums."""
        unpriced = () if isinstance(self.estimate, str) else self.estimate.left_out
        return list(dict.fromkeys([*prices.left_out(self.lines), *unpriced]))

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(check.verdict is CheckVerdict.FAIL for check in self.checks)


def plan(config: Config, measured: str | None = None) -> LaunchPlan:
    """Return what a launch of a config would create, with read-only checks; creates nothing. Raises FruitscaleError.

    `measured` is a run whose speed the estimate uses.
    """
    config = cluster_config.settle(config)
    photos, images = _photos(config)
    launch = launches.new(config, images)
    launcher = launcher_of(launch)
    cluster, kms_key, hours = launch.cluster, config.storage.kms_key, launch.lifetime_seconds / 3600
    return LaunchPlan(
        cluster.kind,
        launch.region,
        tuple(prices.lines(cluster, kms_key)),
        (photos, *launch_checks.find(launch)),
        tuple(launcher.requests(PLANNED)),
        cluster.max_hours,
        cluster.prices.currency,
        cluster.prices.date,
        hours,
        launch.limit,
        run_estimate.most(cluster, kms_key, images, hours),
        run_estimate.try_estimate(config, images, measured),
        precision_advice.on_instances(config, getattr(cluster, "worker_types", ())),
    )


def _photos(config: Config) -> tuple[LaunchCheck, int | None]:
    """Return the check of the listing, and the number of photos."""
    try:
        found = photo_count.count(config)
    except NothingNewError as nothing:
        return LaunchCheck("photos", CheckVerdict.PASS, f"{nothing.message} Nothing would be launched"), None
    except FruitscaleError as error:
        return LaunchCheck("photos", CheckVerdict.FAIL, error.message, error.hint or ""), None
    if found.images is None:
        return LaunchCheck("photos", CheckVerdict.UNKNOWN, found.problem), None
    return LaunchCheck("photos", CheckVerdict.PASS, f"{found.images:,} in {config.input.uri}"), found.images
