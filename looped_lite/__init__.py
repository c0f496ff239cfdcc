"""Looped transformers from scratch: the helper package of the course. See README.md for where to begin.

The modules, in the order in which one builds on the other: `blocks`, `model`, `fixed_points`, `training`, `tasks`,
`pretrained`, `experiments`; at the leaves `plots`, `widgets`, `exercises`, `cli`.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    """``looped_lite.load_pretrained`` and ``looped_lite.LoopedTransformer``, imported when first asked for."""
    if name in ("load_pretrained", "save_pretrained", "pretrained_names"):
        from . import pretrained

        return getattr(pretrained, name)
    if name == "LoopedTransformer":
        from .model import LoopedTransformer

        return LoopedTransformer
    raise AttributeError(f"module 'looped_lite' has no attribute {name!r}")
