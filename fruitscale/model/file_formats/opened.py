"""A network read from a file: as OpenVINO converted it, and as its own runtime computes it; what all formats check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fruitscale.errors import ModelError

Layout: TypeAlias = Literal["nhwc", "nchw"]


@dataclass(frozen=True)
class NetworkRequest:
    """What is opened: photos of `size` pixels per side, channels where `layout` says, and the output `node`."""

    path: Path
    size: int
    layout: Literal["auto", "nhwc", "nchw"]
    node: str | None


@dataclass(frozen=True)
class OpenedNetwork:
    """`output` is a port of `network`, an OpenVINO model with one input of a fixed shape.

    `reference(values)` returns the same output of the file's own runtime for one photo's input. `labels` names the output's
    values, if the file does.
    """

    network: Any
    output: Any
    layout: Layout
    reference: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    runtime: str
    labels: tuple[str, ...] = ()


def damaged(path: Path, form: str, error: object) -> ModelError:
    """Return the error of a file that its format's reader refused."""
    reason = next((line.strip() for line in reversed(str(error).strip().splitlines()) if line.strip()), "it is empty")
    return ModelError(f"{path} can't be read as {form}: {reason[:300]}", "It may be truncated: copy it again.")


def find_layout(shape: Sequence[int | None], names: str, usual: Layout, request: NetworkRequest) -> Layout:
    """Return where an input of this shape (None: any) has its channels. Raises ModelError unless it takes square photos.

    `names` describes all inputs, for the message.
    """
    if len(shape) != 4:
        raise ModelError(
            f"{request.path} does not take photos: its input is {names}; a text model, for example, takes other inputs.",
            "Export the image encoder alone, with one 4-D input: docs/own-model.md",
        )
    if request.layout != "auto":
        layout: Layout = request.layout
    elif shape[1] == 3 or shape[3] == 3:
        layout = "nchw" if shape[1] == 3 and (shape[3] != 3 or usual == "nchw") else "nhwc"
    else:
        layout = usual
    channels, sides = (shape[1], shape[2:]) if layout == "nchw" else (shape[3], shape[1:3])
    elsewhere = shape[3] if layout == "nchw" else shape[1]
    if channels not in (3, None) or (channels is None and elsewhere == 3):
        raise ModelError(
            f"{request.path} does not take photos of 3 channels in the layout {layout}: its input is {names}.",
            "Set where its channels are: --set model.preprocess.layout=nhwc or nchw",
        )
    if any(side not in (request.size, None) for side in sides):
        fixed = " × ".join("any" if side is None else str(side) for side in sides)
        side = next(side for side in sides if side not in (request.size, None))
        raise ModelError(
            f"{request.path} takes photos of {fixed} pixels, not {request.size}.", f"Use --set model.input_size={side}"
        )
    return layout


def one_input(inputs: Sequence[tuple[str, str]], path: Path) -> str:
    """Return the only input in words. Raises ModelError if there are others. `inputs` are names and shapes."""
    described = ", ".join(f"{name} ({shape})" for name, shape in inputs)
    if len(inputs) != 1:
        raise ModelError(
            f"{path} has {len(inputs)} inputs: {described}. A network of photos has one.",
            "Export the image encoder alone, with one 4-D input: docs/own-model.md",
        )
    return described


def choose_output(names: Sequence[str], shapes: Sequence[str], path: Path) -> ModelError:
    """Return the error of a network with several outputs of which none was chosen."""
    listed = ", ".join(f"{name} ({shape})" for name, shape in zip(names, shapes, strict=True))
    return ModelError(f"{path} has {len(names)} outputs: {listed}.", f"Choose one: --set model.output.node={names[0]}")


def no_such_node(node: str, names: Sequence[str], path: Path) -> ModelError:
    """Return the error of a node that the network doesn't have."""
    return ModelError(
        f"{path} has no output or node {node}; its outputs are {', '.join(names)}.",
        f"Choose one: --set model.output.node={names[0] if names else '…'}",
    )
