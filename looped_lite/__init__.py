"""Looped transformers from scratch: the helper package of the course. See README.md for where to begin.

The floors, from the ground up; a file imports only from floors below its own:

0. `checks`, `tables`
1. `blocks`, `fixed_points`, `checkpoints`, `intervals`, `paths`
2. `model`, `tasks`, `plots`
3. `recipe`
4. `training`, `solving`, `evaluation`, `stopping`, `pretrained`, `export`
5. `boards`
6. `widgets`, `doctor`
7. `cli`
"""

__version__ = "0.1.0"

PLACES = {
    "LoopedTransformer": "model",
    "PrefixSums": "tasks.prefix_sums",
    "Recipe": "recipe",
    "accuracy_over_loops": "evaluation",
    "correct_cells": "tasks",
    "count_parameters": "model",
    "exact_match": "tasks",
    "load_pretrained": "pretrained",
    "pretrained_names": "pretrained",
    "read_results": "paths",
    "save_pretrained": "pretrained",
    "solve": "solving",
    "solve_one": "solving",
    "train": "training",
    "watch": "solving",
}


def __getattr__(name: str):
    """``looped_lite.Recipe``, ``looped_lite.train``, ``looped_lite.solve`` and the like, imported when first asked for:
    a lesson takes what it needs in one line.
    """
    if name not in PLACES:
        raise AttributeError(f"module 'looped_lite' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{PLACES[name]}", __name__), name)
