"""How a notebook shows the record of a run, an evaluation and a drift; and the outputs of the example notebook."""

from __future__ import annotations

import json

from fruitscale.evaluation.drift import Drift, LabelDrift
from fruitscale.evaluation.nearest_neighbours import ComponentScore, Evaluation, Score
from tests.conftest import ROOT
from tests.unit.report_records import record


def test_a_record_is_a_table() -> None:
    shown = record(2400, "s3://photos/<in>")._repr_html_()
    for text in ("Run 20260101T000000Z-000000: complete", "2,400 featurized, 0 rejected", "8 of 8", "40 photos/s"):
        assert text in shown


def test_a_drift_is_a_table_of_labels() -> None:
    groups = tuple(LabelDrift(f"<label {n}>", 10, 5, 0.5, 1.5, 0.2) for n in range(25))
    shown = Drift("runs/a", "runs/b", "noticeable", LabelDrift(None, 250, 125, 0.25, 1.45, 0.02), groups)._repr_html_()
    assert "Drift of runs/b from runs/a: noticeable" in shown
    assert shown.count("<tr>") == 1 + 1 + 20
    assert "&lt;label 0&gt;" in shown
    assert "5 more labels drifted less." in shown


def test_an_evaluation_shows_its_caveats() -> None:
    points = (ComponentScore(0.9, 0.1, 1), ComponentScore(0.95, None, 8))
    found = Evaluation(
        "runs/a", "runs/b", 100, 50, 3, "imagenet", 5, 1280, 8, 8, points, Score(0.95, 0.2), None, ("A caveat.",)
    )
    shown = found._repr_html_()
    for text in ("1 component<", "95.0%", "all 1,280 features", "1,280 features: 8 components.", "A caveat."):
        assert text in shown


def test_the_example_notebook_has_outputs_without_logs_or_paths() -> None:
    text = (ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    assert all(cell["outputs"] for cell in cells)
    assert not [output for cell in cells for output in cell["outputs"] if output.get("name") == "stderr"]
    assert "/tmp/" not in text
    assert "/home/" not in text
