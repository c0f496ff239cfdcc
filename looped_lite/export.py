"""A trained model as two ONNX graphs, which run wherever ONNX runs: in onnxruntime, and in a browser.

``encode.onnx``: the inputs ``x`` (batch, cells, features) -> ``h``, which is also the start state, and ``recalled_0``,
..., what every loop adds of it (none for a model without recall). ``step.onnx``: a state ``z`` and ``recalled_0``, ...
-> the next ``z``, its ``logits``, and how far it moved: ``residual`` (relative), ``moved`` and ``size`` (lengths), each
(batch,). ``model.json`` says what else it takes to run them.

Needs the packages of the extra ``export``; importing this file does not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from inspect import signature
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .checkpoints import check_writable, write_atomic
from .fixed_points import lengths
from .model import Loop, LoopedTransformer, count_parameters

TINY = 1e-30  # as in `looped_lite.solving`: a state of length 0 that stays there has residual 0
SAMPLES, SAMPLE_LOOPS = 32, 48  # of a task's own instances, for the plane in which paths are drawn


class Encode(nn.Module):
    """Inputs (batch, cells, features) -> ``h`` and, for each block with recall, ``Wh h``: all (batch, cells, width)."""

    def __init__(self, model: LoopedTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        h = self.model.encode(x)
        return h, *(block.recalled(h) for block in self.model.blocks if block.recall is not None)


class Step(nn.Module):
    """One loop with everything that is read off it: state and recalled parts -> state, logits, residual,
    moved, size.
    """

    def __init__(self, model: LoopedTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, *recalled: Tensor) -> tuple[Tensor, ...]:
        parts = iter(recalled)
        held = [None if block.recall is None else next(parts) for block in self.model.blocks]
        after = Loop(self.model, z, held)(z)
        size, moved = lengths(after), lengths(after - z)
        return after, self.model.read_out(after), moved / size.clamp_min(TINY), moved, size


def fixed_cells(model: LoopedTransformer) -> int | None:
    """The number of cells that every instance of this model has; None where instances have lengths of their own."""
    attention = model.blocks[0].attention
    for part in (attention.mask, attention.offsets, model.cell_embedding):
        if part is not None:
            return part.shape[-2]
    found = [len(model.positions(cells)) for cells in (7, 11)]
    return None if found == [7, 11] else found[0]


def graphs(model: LoopedTransformer) -> tuple[bytes, bytes]:
    """The two graphs, `Encode` and `Step`, as the bytes of ONNX files. Batches are of any size, and so are instances
    without `fixed_cells`.

    ImportError, with what to install, where the extra ``export`` is missing; RuntimeError for a model that ONNX cannot
    express.
    """
    needed()
    model = model.eval()
    cells, width = fixed_cells(model), model.embed.out_features
    x = torch.zeros(2, cells or 9, model.embed.in_features)
    recalled = [f"recalled_{place}" for place, block in enumerate(model.blocks) if block.recall is not None]
    z = torch.zeros(2, cells or 9, width)
    sizes = {0: torch.export.Dim("batch", min=1)} | ({} if cells else {1: torch.export.Dim("cells", min=2)})
    encode = convert(Encode(model), (x,), ["x"], ["h", *recalled], (sizes,))
    outputs = ["next_z", "logits", "residual", "moved", "size"]
    arguments = (z, *(torch.zeros_like(z) for _ in recalled))
    shapes = (sizes, *[tuple(sizes for _ in recalled)] * bool(recalled))
    return encode, convert(Step(model), arguments, ["z", *recalled], outputs, shapes)


def needed() -> None:
    """ImportError, in a line, where something that exporting needs is missing or too old."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(name)
        except ImportError as error:
            message = f'exporting needs the package {name}: pip install "looped-lite[export]"'
            raise ImportError(message) from error
    if "dynamic_shapes" not in signature(torch.onnx.export).parameters:
        raise ImportError(f"exporting needs a newer PyTorch than {torch.__version__}: pip install --upgrade torch")


def convert(
    module: nn.Module, arguments: Sequence[Tensor], inputs: list[str], outputs: list[str], shapes: Any
) -> bytes:
    """The bytes of the ONNX file of a module. RuntimeError, in a line, if there can be none."""
    with quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "graph.onnx")
        try:
            program = torch.onnx.export(
                module.eval(),
                tuple(arguments),
                dynamo=True,
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=shapes,
                opset_version=18,
                verbose=False,
            )
            for part in (program.model, program.model.graph, *program.model.graph.all_nodes()):
                part.metadata_props.clear()  # where in whose files each node was made: more bytes than the weights
                part.doc_string = None
            program.save(str(path), external_data=False)
        except Exception as error:  # the exporter has a dozen kinds of its own
            cause = error.__cause__ or error
            reason = re.sub(r"\x1b\[\d*m", "", (str(cause).strip().splitlines() or [type(cause).__name__])[0])
            raise RuntimeError(f"this model cannot be written as ONNX: {reason[:200]}") from error
        return path.read_bytes()


@contextmanager
def quiet():
    """Nothing of what the exporter says on its way."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def run(encode: bytes, step: bytes, x: Tensor, loops: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The graphs in onnxruntime, on the processor: inputs (batch, cells, features) -> state, logits and residual after
    ``loops`` loops.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    open_graph = lambda data: onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    h, *recalled = open_graph(encode).run(None, {"x": x.numpy()})
    session, z, logits, residual = open_graph(step), h, h, h
    for _ in range(loops):
        z, logits, residual = session.run(
            ["next_z", "logits", "residual"], {"z": z, **{f"recalled_{i}": part for i, part in enumerate(recalled)}}
        )
    return z, logits, residual


def samples(model: LoopedTransformer) -> Tensor:
    """A few of the task's own instances (batch, cells, features), always the same, as hard as the task trains on."""
    task = model.recipe.task
    return task.batch(SAMPLES, task.last_level, torch.Generator().manual_seed(0))[0]


@torch.no_grad()
def plane(model: LoopedTransformer, x: Tensor) -> dict[str, list]:
    """A plane for the paths of states: ``mean`` (width,) and two ``axes`` (2, width), the principal ones of where the
    model goes on ``x``.

    A state has a vector for each cell, and as many as there are cells: what is drawn is their mean over the cells.
    """
    states = torch.stack([z.mean(1) for z in model.states(x, SAMPLE_LOOPS)]).flatten(0, 1)
    states = states[states.isfinite().all(1)].double()
    mean = states.mean(0)
    axes = torch.linalg.svd(states - mean, full_matrices=False).Vh[:2]
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()  # an axis has no direction of its own
    return {"mean": mean.tolist(), "axes": axes.tolist()}


def export(model: LoopedTransformer, folder: str | Path) -> Path:
    """Write encode.onnx, step.onnx and model.json into ``folder``; returns it. Files there are replaced, each whole or
    not at all.

    The graphs are run first, in onnxruntime, and refused (RuntimeError) if they do not do what the model does.
    """
    if model.recipe is None:
        raise ValueError("export needs a model that knows its recipe: a pretrained one, or recipe.build()")
    needed()
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: expected a folder, or the name of a new one")
    check_writable(folder / "model.json")
    encode, step = graphs(model)
    x, recipe = samples(model), model.recipe
    compare(model, encode, step, x[:2])
    files = {"encode.onnx": encode, "step.onnx": step}
    facts = {
        "name": getattr(model, "card", {}).get("name"),
        "task": recipe.task.name,
        "recall": recipe.recall,
        "norm": recipe.norm,
        "steps": getattr(model, "card", {}).get("steps", recipe.steps),
        "parameters": count_parameters(model),
        "cells": fixed_cells(model),
        "features": recipe.task.features,
        "width": recipe.width,
        "blocks": recipe.blocks,
        "restart_every": recipe.task.restart_every,
        "guess_after": recipe.task.guess_after,
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        },
        "plane": plane(model, x),
    }
    for name, data in files.items():
        write_atomic(folder / name, data)
    write_atomic(folder / "model.json", (json.dumps(facts) + "\n").encode())
    return folder


@torch.no_grad()
def compare(model: LoopedTransformer, encode: bytes, step: bytes, x: Tensor) -> None:
    """RuntimeError unless the graphs give on ``x`` the logits that the model gives after one loop, to a thousandth."""
    _, logits, _ = run(encode, step, x, 1)
    wanted = model(x, 1).numpy()
    apart = float(np.abs(logits - wanted).max() / max(1.0, np.abs(wanted).max()))
    if not apart < 1e-3:
        raise RuntimeError(f"the graphs do not do what the model does: logits differ by {apart:.1e} after one loop")
