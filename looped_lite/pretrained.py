"""Models that were trained before you came. A model is one safetensors file: its weights, and in the header a card that
people can read (``looped-lite card NAME``): the recipe that rebuilds and retrains it, steps, minutes, threads, and what
it scored."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

from .checkpoints import load_into, load_tensors, save_tensors
from .checks import short
from .model import LoopedTransformer, count_parameters
from .paths import data_path, model_path
from .recipe import Recipe


def pretrained_names() -> list[str]:
    """The names that `load_pretrained` knows, in order."""
    return sorted(path.stem for path in data_path("checkpoints").glob("*.safetensors"))


def load_pretrained(name: str | Path) -> LoopedTransformer:
    """The model called ``name``, ready to use: in evaluation mode, with ``.recipe`` and ``.card``.

    ``name`` is one of `pretrained_names`, or the path of a file that `save_pretrained` wrote. Raises ValueError, with
    near names or the reason, when there is no such model or its file is damaged or belongs to something else.
    """
    path = model_path(name)
    if not os.path.isfile(path):  # False, too, for a name that no file can have
        raise ValueError(f"no pretrained model {short(str(name))}: {short(str(path), 120)} is missing{near(str(name))}")
    tensors, card = load_tensors(path)
    if "recipe" not in card:
        raise ValueError(f"{path} holds no model: expected a file saved by save_pretrained")
    try:
        recipe = Recipe.from_dict(card["recipe"])
        model = recipe.build()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    load_into(model, tensors, path)
    model.card = card
    return model.eval()


def save_pretrained(model: LoopedTransformer, name: str | Path, card: dict[str, Any] | None = None) -> Path:
    """Save ``model`` with its ``card`` under ``name`` (or at a path that ends in ``.safetensors``); returns the path.

    The recipe, the number of parameters and the line that trains it again are filled in here; the rest of the card is
    yours: steps, minutes, threads, scores. The file that was there before stays whole if the disk is full or read-only
    (OSError), and a model that could not be rebuilt from its recipe, or whose weights are not finite, is refused
    (ValueError).
    """
    if model.recipe is None:
        raise ValueError(
            "save_pretrained needs a model that knows its recipe: build it with recipe.build() or train it"
        )
    path, recipe = model_path(name), model.recipe
    load_into(Recipe.from_dict(recipe.to_dict()).build(), model.state_dict(), path)
    known = {"name": path.stem, "recipe": recipe.to_dict(), "command": recipe.command()}
    card = known | {key: value for key, value in (card or {}).items() if key not in known}
    save_tensors(path, model.state_dict(), card | {"parameters": count_parameters(model)})
    return path


def near(name: str) -> str:
    """The end of an error message about ``name``: names that look like it, or all there are."""
    names = pretrained_names()
    close = difflib.get_close_matches(name[:200], names, n=4, cutoff=0.4)
    if not names:
        return f" (no models in {data_path('checkpoints')})"
    if close:
        return f"; did you mean {', '.join(sorted(close))}?"
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"; known are {', '.join(names[:6])}{more}"
