"""Runs with a network that comes as a file: cropped photos, kept when nothing changed, refused when a setting did."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.conftest import QUICK, Cli, part_bytes
from tests.contract import own_networks as nets

SIZE = 32


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of 96 × 64 pixels, uncompressed, whose middle square is 64 pixels wide."""
    folder = tmp_path_factory.mktemp("wide")
    random = np.random.default_rng(0)
    for index in range(6):
        pixels = random.integers(0, 256, (8, 12, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        (folder / f"label{index % 2}").mkdir(exist_ok=True)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "png")
        (folder / f"label{index % 2}" / f"{index}.png").write_bytes(content.getvalue())
    return folder


def arguments(network: Path, photos: Path, out: Path, *more: str) -> list[str]:
    own = [f"model.architecture=file model.file={network} model.input_size={SIZE} pca.components=2", *more]
    sets = [part for setting in " ".join(own).split() for part in ("--set", setting)]
    return ["run", "--engine", "local", *QUICK, *sets, "-i", str(photos), "-o", str(out), "--json"]


CLS = ("model.preprocess.preset=clip", "model.output.node=last_hidden_state", "model.output.pooling=cls")


def test_a_transformer_runs_resumes_and_is_not_mixed(cli: Cli, wide: Path, tmp_path: Path) -> None:
    network, out = nets.save(nets.vit(SIZE), tmp_path / "vit.onnx"), tmp_path / "run"
    record = cli(*arguments(network, wide, out, *CLS)).record
    model = record["model"]
    assert (model["architecture"], model["weights"], model["features"]) == ("file", str(network), nets.WIDTH)
    assert json.loads(model["preprocess"])["keep"] == 1.0
    assert json.loads(model["output"]) == {"node": "last_hidden_state", "pooling": "cls", "l2": False}

    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    [part] = sorted((out / "features").glob("part-*.parquet"))
    for row in pq.read_table(part).to_pylist():
        middle = np.asarray(Image.open(wide / row["path"]))[:, 16:80]
        small = np.rint(middle.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3)))  # halved: the mean of 2 × 2 pixels
        values = (small / 255 - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
        [tokens] = session.run(
            ["last_hidden_state"], {"pixel_values": values.transpose(2, 0, 1)[None].astype(np.float32)}
        )
        theirs = tokens[0, 0]
        assert np.linalg.norm(np.array(row["features"]) - theirs) < 1e-3 * np.linalg.norm(theirs)

    before = part_bytes(out)
    assert cli(*arguments(network, wide, out, *CLS)).code == 0
    assert part_bytes(out) == before
    refused = cli(*arguments(network, wide, out, *CLS, "model.preprocess.resize=squash"))  # the same graph
    assert refused.code == 1
    assert "model.preprocess was" in refused.err
    preview = cli(*arguments(network, wide, tmp_path / "new", *CLS), "--dry-run")
    assert str(network) in preview.out
    plan = json.loads((out / "_run" / "plan.json").read_text())
    assert plan["features"]["model.weights"] == model["weights_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["spark", "dask"])
def test_every_engine_gives_the_same_parts(cli: Cli, wide: Path, tmp_path: Path, engine: str) -> None:
    network = nets.save(nets.vit(SIZE), tmp_path / "vit.onnx")
    for name in ("local", engine):
        ran = cli(*[name if word == "local" else word for word in arguments(network, wide, tmp_path / name, *CLS)])
        assert ran.code == 0, ran.err
    assert part_bytes(tmp_path / "local") == part_bytes(tmp_path / engine)


def test_a_file_with_code_in_it_ends_the_command_without_a_traceback(cli: Cli, wide: Path, tmp_path: Path) -> None:
    network = nets.save(nets.custom_operator(), tmp_path / "custom.onnx")
    refused = cli(*arguments(network, wide, tmp_path / "run"))
    assert refused.code == 1
    assert "my.company.FancyRelu" in refused.err
    assert "Traceback" not in refused.err
    assert not (tmp_path / "run" / "run.json").exists()
    doctor = cli("doctor", "--set", "model.architecture=file", "--set", f"model.file={network}", "--json")
    assert doctor.code == 1
    assert "custom operators" in doctor.out
