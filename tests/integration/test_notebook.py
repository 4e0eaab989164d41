"""The example notebook, executed as Jupyter does; and the progress display in a notebook."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fruitscale.display.events import Event
from fruitscale.display.notebook import is_notebook, notebook_observer, picture
from tests.conftest import ROOT, Cli

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, "done.ipynb")
"""


@pytest.mark.slow
def test_the_example_notebook_runs(cli: Cli, tmp_path: Path) -> None:
    command = [sys.executable, "-c", EXECUTE, str(ROOT / "docs" / "notebook.ipynb")]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=cli.environment, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells: list[dict[str, Any]] = json.loads((tmp_path / "done.ipynb").read_text())["cells"]
    outputs = "".join(json.dumps(cell["outputs"]) for cell in cells if cell["cell_type"] == "code")
    assert "bit for bit: True" in outputs
    assert "featurized=80" in outputs
    assert "frames of the same turning fruit" in outputs
    run = next(cell for cell in cells if "fruitscale.run(settings)" in "".join(cell["source"]))
    shown = "".join(run["outputs"][0]["data"]["text/html"])  # the last update replaced those before
    assert "featurize: " in shown
    assert "<progress" not in shown
    frame = next(cell for cell in cells if "frame.head(3)" in "".join(cell["source"]))
    assert "components" in "".join(frame["outputs"][-1]["data"]["text/plain"])


def test_a_stage_is_shown_with_its_progress() -> None:
    event = Event("featurize", 500, 2400, rejected=2, message="waits <b>", engine="spark 4", seconds={"list": 0.25})
    shown = picture(event, running=True)
    for text in (
        "spark 4",
        "list: 0.2 s",
        "500 of 2,400 images, 2 rejected",
        "waits &lt;b&gt;",
        'value="500" max="2400"',
    ):
        assert text in shown
    assert "<progress" not in picture(event, running=False)


def test_outside_a_notebook_nothing_is_shown() -> None:
    assert not is_notebook()
    events: list[Event] = []
    with notebook_observer(events.append) as observe:
        observe(Event("list"))
    assert events == [Event("list")]
    with notebook_observer(None) as observe:
        observe(Event("list"))
