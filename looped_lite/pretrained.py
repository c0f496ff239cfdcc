"""Models that were trained before you came: weights in one safetensors file, and beside it a card that people can read.

The card (JSON) says which task and which settings rebuild the model, how it was trained (seed, steps, minutes, command) and
what it scored; it holds the checksum of the weights, so that a damaged pair is refused instead of giving wrong answers.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from .checkpoints import load_into, load_tensors, pack, write_together
from .model import LoopedTransformer, count_parameters
from .paths import data_path
from .tasks import Task

# where each task lives; imported only when asked for. A task of your own: TASKS["maze"] = "my_maze:Maze"
TASKS = {
    "prefix-sums": "looped_lite.tasks.prefix_sums:PrefixSums",
    "sudoku": "looped_lite.tasks.sudoku:Sudoku",
    "chess": "looped_lite.tasks.chess:Chess",
}


def get_task(name: str, **settings: Any) -> Task:
    """The task called ``name``, e.g. ``get_task("prefix-sums", window=7)``. ValueError for one that does not exist."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: expected one of {', '.join(TASKS)}")
    module, _, kind = TASKS[name].partition(":")
    try:
        return getattr(import_module(module), kind)(**settings)
    except TypeError as error:
        raise ValueError(f"task {name!r} cannot be made with {settings}: {error}") from error


def pretrained_names() -> list[str]:
    """The names that `load_pretrained` knows, in order."""
    return sorted(card.stem for card in data_path("checkpoints").glob("*.json"))


def checkpoint_files(name: str | Path) -> tuple[Path, Path]:
    """The weights and the card of a name, or of a path that ends in ``.safetensors``."""
    path = Path(name)
    if path.suffix != ".safetensors":
        path = data_path("checkpoints", f"{name}.safetensors")
    return path, path.with_suffix(".json")


def load_pretrained(name: str | Path) -> LoopedTransformer:
    """The model called ``name``, ready to use: in evaluation mode, with ``.task`` and ``.card``.

    ``name`` is one of `pretrained_names`, or the path of a checkpoint that `save_pretrained` wrote. Raises ValueError, with near names
    or the reason, when there is no such model or its files are damaged or belong to something else.
    """
    weights, card_file = checkpoint_files(name)
    for file in (card_file, weights):
        if not file.is_file():
            raise ValueError(f"no pretrained model {str(name)!r}: {file} is missing{near(str(name))}")
    try:
        card = json.loads(card_file.read_text(encoding="utf-8"))
        task_name, task_settings, model_settings = card["task"], card["task_settings"], card["model"]
        checksum = card["sha256"]
        if not (isinstance(task_settings, dict) and isinstance(model_settings, dict)):
            raise TypeError("task_settings and model must be objects")
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{card_file} is not a model card ({error}): expected JSON saved by save_pretrained"
        ) from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"{card_file} is not a model card ({error}): expected one saved by save_pretrained") from error
    tensors, _ = load_tensors(weights)  # first: it can say more about a damaged file than a checksum
    if hashlib.sha256(weights.read_bytes()).hexdigest() != checksum:
        raise ValueError(
            f"{weights} does not match the sha256 in {card_file.name}: one of the two is damaged or replaced"
        )
    model = rebuild(task_name, task_settings, model_settings)
    load_into(model, tensors, weights)
    model.card = card
    return model.eval()


def save_pretrained(model: LoopedTransformer, name: str | Path, card: dict[str, Any]) -> Path:
    """Save ``model`` and its ``card`` under ``name`` (or at a path that ends in ``.safetensors``); returns the weights' path.

    What rebuilds the model (task, task_settings, model) and its number of parameters and checksum are filled in here; the rest
    of the card is yours: seed, command, steps, minutes, threads, scores. The pair that was there before stays whole if the
    disk is full or read-only (OSError), and a model that could not be rebuilt from its card is refused (ValueError).
    """
    if model.task is None:
        raise ValueError("save_pretrained needs a model that knows its task: build it with task.model()")
    weights, card_file = checkpoint_files(name)
    task_name, task_settings = describe_task(model.task)
    tensors = model.state_dict()
    data = pack(tensors)
    known = {
        "name": weights.stem,
        "task": task_name,
        "task_settings": task_settings,
        "model": describe_model(model) | card.get("model", {}),
    }
    measured = {"parameters": count_parameters(model), "sha256": hashlib.sha256(data).hexdigest()}
    card = json.loads(json.dumps(known | {key: card[key] for key in card if key not in known} | measured))
    load_into(rebuild(card["task"], card["task_settings"], card["model"]), tensors, weights)
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    write_together({weights: data, card_file: text.encode()})
    return weights


def describe_task(task: Task) -> tuple[str, dict[str, Any]]:
    """The name of a task in TASKS, and the settings in which it differs from the default."""
    kind = f"{type(task).__module__}:{type(task).__qualname__}"
    names = [name for name, place in TASKS.items() if place == kind]
    if not names:
        raise ValueError(f"task {task.name!r} is not in looped_lite.pretrained.TASKS: add it, as {kind!r}")
    if not is_dataclass(task):
        return names[0], {}
    default = lambda f: f.default if f.default_factory is MISSING else f.default_factory()
    return names[0], {
        f.name: getattr(task, f.name) for f in fields(task) if f.init and getattr(task, f.name) != default(f)
    }


def describe_model(model: LoopedTransformer) -> dict[str, Any]:
    """The settings of `LoopedTransformer` that can be read off a model; its task fixes the others."""
    block = model.blocks[0]
    return {
        "recall": block.recall_at,
        "norm": block.norm_at,
        "width": model.embed.out_features,
        "heads": block.attention.heads,
        "mlp_ratio": block.mlp.up.out_features // block.mlp.up.in_features,
        "blocks": len(model.blocks),
    }


def rebuild(task_name: str, task_settings: dict[str, Any], model_settings: dict[str, Any]) -> LoopedTransformer:
    """A fresh model from what a card says. JSON has no tuples, so its lists become tuples."""
    tuples = lambda settings: {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}
    task = get_task(task_name, **tuples(task_settings))
    try:
        return task.model(**tuples(model_settings))
    except TypeError as error:
        raise ValueError(f"a {task_name} model cannot be made with {model_settings}: {error}") from error


def near(name: str) -> str:
    """The end of an error message about ``name``: names that look like it, or all there are."""
    names = pretrained_names()
    close = difflib.get_close_matches(name, names, n=4, cutoff=0.4)
    if not names:
        return f" (no models in {data_path('checkpoints')})"
    if close:
        return f"; did you mean {', '.join(sorted(close))}?"
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"; known are {', '.join(names[:6])}{more}"
