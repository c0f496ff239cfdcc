"""One model whose weights are the mean of those of several, which must be of one shape:

    python data/average_models.py MODEL ... --out NAME

Models are names or files, in the order in which they were trained. The new one has the recipe of the last, and its card
says how each of them was made, under ``averaged``; run it where the files lie that they began with. Means make sense
for models that share a training up to some point: those from different seeds mean something else by the same weight.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works without installing the package

from looped_lite.checkpoints import load_into
from looped_lite.model import LoopedTransformer
from looped_lite.pretrained import load_pretrained, save_pretrained

SHAPE = ("recall", "norm", "width", "heads", "mlp_ratio", "blocks")


def made(model: LoopedTransformer) -> dict:
    """What the card of an average says of one of its parts: how it was trained, or what it is an average of, and the
    same of the file that it began with, if that is no shipped model."""
    facts = ("name", "command", "steps", "minutes", "threads", "averaged")
    part = {key: model.card[key] for key in facts if key in model.card}
    if model.recipe.begin.endswith(".safetensors") and "averaged" not in part:
        part["begin"] = made(load_pretrained(model.recipe.begin))
    return part


def trainings(part: dict) -> dict[str, dict]:
    """All trainings behind a part, by name: one that several parts share counts once."""
    found = {} if "averaged" in part else {part["name"]: part}
    for other in [*part.get("averaged", []), *([part["begin"]] if "begin" in part else [])]:
        found |= trainings(other)
    return found


def average(models: list[LoopedTransformer]) -> LoopedTransformer:
    """A model with the recipe of the last of ``models`` and the mean of all their weights, summed in double precision.
    ValueError if they are fewer than two, of several shapes, or of tasks that need other weights."""
    shapes = {tuple(getattr(model.recipe, name) for name in SHAPE) for model in models}
    if len(models) < 2 or len(shapes) > 1:
        found = "; ".join(", ".join(map(str, shape)) for shape in sorted(shapes))
        raise ValueError(
            f"expected two models or more that are equal in {', '.join(SHAPE)}, got {len(models)}: {found}"
        )
    last = models[-1].recipe
    mean = replace(last, begin=Path(last.begin).stem).build()
    for model in models:  # refuses, by its name, one whose weights do not fit
        load_into(mean, model.state_dict(), model.card["name"])
    for name, weight in mean.state_dict().items():
        weight.copy_(torch.stack([model.state_dict()[name].double() for model in models]).mean(0))
    return mean.eval()


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--out", required=True, help="name or file of the new model")
    asked = parser.parse_args(words)
    try:
        models = [load_pretrained(name) for name in asked.models]
        card = {"trained_on": "CPU", "threads": 1, "averaged": [made(model) for model in models]}
        parts = trainings(card).values()
        card |= {key: round(sum(part.get(key, 0) for part in parts), 3) for key in ("steps", "minutes")}
        print(save_pretrained(average(models), asked.out, card))
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
