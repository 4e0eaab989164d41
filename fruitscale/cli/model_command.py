"""fruitscale model: the network that makes the features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config
from fruitscale.cli.plain_output import echo

app = typer.Typer(help="Show, export or check the model.", no_args_is_help=True)


@app.command()
def show(config: ConfigFile = None, sets: Sets = None, json: Json = False) -> None:
    """Show the configured model."""
    from fruitscale.cli.screen import out, pairs, size
    from fruitscale.model.quantization import drift_words
    from fruitscale.pipeline.run_model import export_for

    exported = export_for(load_config(config, sets).config)
    facts = {
        "architecture": exported.architecture,
        "weights": exported.weights,
        "weights_sha256": exported.weights_sha256,
        "pretrained": exported.pretrained,
        "runtime": exported.runtime,
        "input_size": exported.input_size,
        "features": exported.features,
        "bytes": len(exported.payload),
        "sha256": exported.sha256,
        "precision": exported.precision,
    }
    if exported.calibration is not None:
        facts["calibration"] = drift_words(exported.calibration)
    if exported.architecture == "file":
        facts |= {"preprocess": exported.preprocess, "output": exported.output}
    if json:
        print_json(facts)
        return
    facts["bytes"] = size(len(exported.payload))
    out().print(pairs("Model", [(name, str(value)) for name, value in facts.items()]))


@app.command("export")
def export_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Write the model to one file, for machines without TensorFlow (model.exported); int8 is calibrated on input.uri."""
    from fruitscale.cli.screen import size
    from fruitscale.model.exported_model import write
    from fruitscale.pipeline.run_model import export_for

    exported = export_for(load_config(config, sets).config)
    write(exported, file)
    echo(f"{file}: {exported.architecture}, {size(len(exported.payload))}, sha256 {exported.sha256}")


@app.command()
def check(config: ConfigFile = None, sets: Sets = None, json: Json = False) -> None:
    """Show what the full network recognises in two well-known photos; of a file without labels, its features."""
    from fruitscale.cli.screen import out, pairs
    from fruitscale.model.check import check as check_model

    result = check_model(load_config(config, sets).config.model)
    if json:
        print_json(result)
        return
    if result.distance is not None:
        echo(
            f"The features differ by up to {result.distance:.2g} (relative) from those that {result.runtime} computes."
        )
    for photo in result.photos:
        guesses = [(f"{guess.probability:.1%}", guess.name) for guess in photo.guesses]
        features = [] if guesses else [("features", str(result.features)), ("length", f"{photo.norm:.4g}")]
        out().print(pairs(photo.photo, guesses + features))
