"""Executes docs/notebook.ipynb in a temporary folder, and writes its outputs into it: `python docs/notebook.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent / "notebook.ipynb"
LONGEST = 1000
"""Characters of plain text that are kept beside HTML."""


def main() -> None:
    """Execute the notebook and write it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = [short(output) for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, NOTEBOOK)


def short(output: Any) -> Any:  # noqa: ANN401  nbformat's own nodes
    """Return an output without long plain text that its HTML makes superfluous."""
    data = output.get("data", {})
    if "text/html" in data and len(data.get("text/plain", "")) > LONGEST:
        data["text/plain"] = "(shown as HTML)"
    return output


if __name__ == "__main__":
    main()
