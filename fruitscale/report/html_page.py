"""Renders a self-contained HTML page: template, style, script and figures in one file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fruitscale.config.version import __version__
from fruitscale.display import formatting
from fruitscale.errors import MissingExtraError
from fruitscale.report import palette

if TYPE_CHECKING:
    from bokeh.models import Plot

TEMPLATES = Path(__file__).parent / "templates"
ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
"""Characters that would end a script element, or a line of one, inside a JSON string."""


def check_installed() -> None:
    """Raise MissingExtraError unless Bokeh and Jinja are installed."""
    try:
        import bokeh  # noqa: F401
        import jinja2  # noqa: F401
    except ImportError:
        raise MissingExtraError("Bokeh, which draws report.html,", "report") from None


def render(template: str, facts: Mapping[str, Any], data: Mapping[str, Any], plots: Mapping[str, Plot]) -> bytes:
    """Return the page: a template filled with (escaped) facts; its script gets `data` and the plots.

    A plot goes into the element whose id is the plot's name. The Content-Security-Policy allows only the page's own
    scripts (by hash) and embedded images, and no connections.
    """
    from bokeh.embed import json_item
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    items = {name: json_item(plot, name) for name, plot in plots.items()}
    scripts = [bokeh_script(), script("page.js")] if plots else [script("page.js")]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    formats = (formatting.number, formatting.seconds, formatting.size, formatting.cost)
    environment.filters |= {each.__name__: each for each in formats}
    text: str = environment.get_template(template).render(
        facts,
        version=__version__,
        policy=policy(scripts),
        style=script("style.css"),
        tones={"light": palette.LIGHT, "dark": palette.DARK},
        scripts=scripts,
        data=to_json({**data, "figures": items}),
    )
    return text.encode()


def policy(scripts: list[str]) -> str:
    """Return the Content-Security-Policy for a page with these scripts."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def to_json(value: object) -> str:
    """Return JSON that is safe inside a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(ESCAPES)


@cache
def script(name: str) -> str:
    """Return the text of a template file."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


@cache
def bokeh_script() -> str:
    """Return the core of BokehJS. Raises AssertionError if it can't be embedded."""
    from bokeh.resources import Resources

    text: str = Resources(mode="inline", components=["bokeh"], minified=True).js_raw[0]
    assert "</script" not in text.lower() and "\r" not in text
    return text
