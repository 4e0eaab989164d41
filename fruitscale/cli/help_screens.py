"""What the help screens show: panels of commands, one example for each, and no types where a word says more."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

PANELS = {
    "Run": ("init", "run", "sample"),
    "Look": ("show", "report", "evaluate", "inspect", "export", "similar"),
    "Apply": ("apply", "classify", "drift"),
    "Operate": ("cluster", "gdpr", "erase", "config", "model"),
    "Benchmark": ("bench", "tune"),
    "Help": ("doctor",),
}
EXAMPLES = {
    "init": "init fruitscale.yaml",
    "run": "run --engine spark --input photos --output results/run",
    "sample": "sample photos --classes 12 --per-class 60",
    "show": "show results/run",
    "report": "report results/run --open",
    "evaluate": "evaluate results/run results/test --plot accuracy.html",
    "inspect": "inspect results/run --test results/test --output results/inspected",
    "export": "export results/run --to csv --output components.csv",
    "apply": "apply --pca results/run --input new-photos --output results/new",
    "classify": "classify results/run new-photos --output labels.csv",
    "drift": "drift results/run results/new",
    "similar": "similar results/run photos/kiwi.jpg --k 10 --page similar.html",
    "erase": "erase results/run --label 'Apple Red' --dry-run",
    "doctor": "doctor --engine spark",
    "bench": "bench --input photos --engines local,spark,dask --images 500,2000 --output results/bench",
    "tune": "tune --config configs/quickstart.yaml --input photos --output results/tune",
    "bench overhead": "bench overhead --engines spark,dask",
    "bench recovery": "bench recovery --input photos --engines spark,dask",
    "cluster plan": "cluster plan --config my-emr.yaml",
    "cluster prices": "cluster prices --refresh --config my-emr.yaml",
    "cluster schedule": "cluster schedule --config my-emr.yaml --cron '0 2 * * *' --template schedule.yaml",
    "cluster setup": "cluster setup --config my-emr.yaml --apply",
    "cluster status": "cluster status --config my-emr.yaml",
    "cluster logs": "cluster logs --config my-emr.yaml",
    "cluster resume": "cluster resume --config my-emr.yaml",
    "cluster stop": "cluster stop --config my-emr.yaml",
    "cluster reap": "cluster reap --config my-emr.yaml --dry-run",
    "config show": "config show --config configs/local.yaml",
    "config schema": "config schema > fruitscale.schema.json",
    "gdpr access": "gdpr access results/run --path 'Apple Red/visitor-17.jpg' --output access.md",
    "gdpr audit": "gdpr audit --config my-emr.yaml --markdown",
    "model show": "model show",
    "model export": "model export efficientnet.model",
    "model check": "model check",
}


class _Words:
    """Leaves out the types of flags and arguments, whose names say what they take."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401  click's own signature
        """Return the parameters of a command."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False) or param.param_type_name == "argument":
                param.display_type_rich = _nothing
        return params


class Command(_Words, TyperCommand):
    """A command."""


class Group(_Words, TyperGroup):
    """A group of commands."""


def _nothing(ctx: Any) -> str:  # noqa: ANN401
    return ""


def panel(name: str) -> str:
    """Return the panel of a command or group of the root."""
    return next(title for title, names in PANELS.items() if name in names)
