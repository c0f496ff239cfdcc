"""Looped transformers from scratch: the helper package of the course. See README.md for where to begin.

The floors, from the ground up; a file imports only from floors below its own:

0. `checks`, `tables`
1. `blocks`, `fixed_points`, `checkpoints`, `intervals`, `paths`
2. `model`, `tasks`, `plots`
3. `recipe`
4. `training`, `solving`, `evaluation`, `stopping`, `pretrained`
5. `boards`
6. `widgets`, `doctor`
7. `cli`
"""

__version__ = "0.1.0"

PLACES = {
    "LoopedTransformer": "model",
    "Recipe": "recipe",
    "train": "training",
    "solve": "solving",
    "load_pretrained": "pretrained",
    "save_pretrained": "pretrained",
    "pretrained_names": "pretrained",
}


def __getattr__(name: str):
    """``looped_lite.Recipe``, ``looped_lite.train``, ``looped_lite.solve`` and the like, imported when first asked for."""
    if name not in PLACES:
        raise AttributeError(f"module 'looped_lite' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{PLACES[name]}", __name__), name)
