"""The time that `cluster.max_cost` pays for, at the highest price of all machines of a launch."""

from __future__ import annotations

from fruitscale.clusters import prices
from fruitscale.clusters.prices import AnyCluster
from fruitscale.errors import UsageError

END_SECONDS = 360
"""Reserved for the end: the driver's last log and status (a minute), and the time until AWS stops charging for machines."""
LEAST_SECONDS = 600
"""The shortest run that is worth a launch."""
TABLE = "cluster.prices"
REFRESH = "Set them, or fill the table in from AWS's price list: fruitscale cluster prices --refresh --config …"


def paid_seconds(cluster: AnyCluster, kms_key: str | None, images: int = 0) -> float | None:
    """Return how long a launch may run if its end must be paid for, too; None without max_cost or a price.

    `images` is the number of photos to be read; their requests cost money, too.
    """
    hour = prices.at_most(prices.lines(cluster, kms_key))
    if cluster.max_cost is None or not hour:
        return None
    rest = cluster.max_cost - prices.requests(cluster, images, kms_key)[0]
    return rest / hour * 3600 - END_SECONDS


def check(cluster: AnyCluster, kms_key: str | None, images: int = 0) -> None:
    """Raise UsageError if max_cost is set, but a price is missing or it pays for too short a time."""
    if cluster.max_cost is None:
        return
    made = prices.lines(cluster, kms_key)
    missing = [f"{TABLE}.{line.missing}" for line in made if line.missing]
    for what in prices.requests(cluster, images, kms_key)[1]:
        missing.append(f"{TABLE}.{'kms_10000' if what.startswith('KMS') else 's3_get_1000'}")
    if missing:
        raise UsageError(
            f"cluster.max_cost needs prices that are not set: {', '.join(dict.fromkeys(missing))}.", REFRESH
        )
    seconds = paid_seconds(cluster, kms_key, images)
    if seconds is not None and seconds < LEAST_SECONDS:
        hour, currency = prices.at_most(made) or 0.0, cluster.prices.currency
        least = hour * (LEAST_SECONDS + END_SECONDS) / 3600 + prices.requests(cluster, images, kms_key)[0]
        raise UsageError(
            f"cluster.max_cost ({cluster.max_cost:g} {currency}) is too small: these machines cost up to {hour:.2f} "
            f"{currency} per hour, and a launch needs at least {least:.2f} {currency}.",
            "Raise it, or use fewer or smaller machines.",
        )
