"""Small refusals that several files share: a value that cannot be is named in one line, with what was expected."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

INVISIBLE = "\ufe0e\ufe0f\u20e3"  # variation selectors, the frame of a key


def short(value: Any, most: int = 60) -> str:
    """``repr`` of any value, cut to less than a line: for messages."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an integer of more digits than Python writes out, an object whose repr fails
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else text[: most - 3] + "..."


def whole(name: str, value: Any, low: int, high: int = 10**9) -> int:
    """``value`` as an int, if it is a whole number from ``low`` to ``high``; ValueError otherwise."""
    return int(number(name, value, low, high, "a whole number"))


def number(name: str, value: Any, low: float, high: float, kind: str = "a number") -> float:
    """``value`` if it is a number (numpy's and torch's, too) from ``low`` to ``high``; ValueError otherwise."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high  # nan is not
    if not fits or (kind == "a whole number" and value != int(value)):
        raise ValueError(f"{name} must be {kind} from {low:,} to {high:,}, got {short(value)}")
    return value


def one_of(name: str, value: Any, words: Iterable[str]) -> Any:
    """``value`` if it is one of ``words``; ValueError otherwise."""
    if value not in (words := tuple(words)):
        raise ValueError(f"unknown {name} {short(value)}: expected one of {', '.join(words)}")
    return value


def keep(setting_of: Any, check: Callable[..., Any], low: float, high: float, *names: str) -> None:
    """Check these settings of a frozen dataclass with `whole` or `number`, and keep them as plain int or float: 3.0
    from a file, or a numpy number, is the same setting as 3."""
    kind = int if check is whole else float
    for name in names:
        object.__setattr__(setting_of, name, kind(check(name, getattr(setting_of, name), low, high)))


def plain_text(text: Any) -> str:
    """``text`` as people mean it: invisible characters are left out (byte-order marks, zero-width spaces and the like),
    spaces of any kind become plain ones, full-width characters narrow ones. Lines stay lines. ValueError if it is no
    string."""
    if not isinstance(text, str):
        raise ValueError(f"expected text, got {short(text)}")
    return text if text.isascii() else "".join(map(plain_character, text))


def plain_character(character: str) -> str:
    """What `plain_text` makes of one character."""
    if unicodedata.category(character) == "Cf" or character in INVISIBLE:
        return ""
    if unicodedata.category(character) == "Zs":
        return " "
    wide = unicodedata.east_asian_width(character) == "F"
    return unicodedata.normalize("NFKC", character) if wide else character


def integers(name: str, values: Any, low: int, high: int, axes: int | None = None) -> Tensor:
    """``values`` as a long tensor of ``axes`` axes (None: any): a tensor, an array or nested lists of whole numbers
    from ``low`` to ``high``, be they bool, int or float. ValueError for anything else."""
    try:
        tensor = values if isinstance(values, Tensor) else torch.from_numpy(plain_array(values))
        found = tensor.real.long()
        fits = axes in (None, found.ndim) and bool(((found == tensor) & (found >= low) & (found <= high)).all())
    except (ValueError, TypeError, RuntimeError, OverflowError):
        fits = False
    if not fits:
        shape = getattr(values, "shape", None)
        got = short(values) if shape is None else f"{getattr(values, 'dtype', '')} of shape {tuple(shape)}"
        kind = "whole numbers" if axes is None else f"whole numbers with {axes} ax{'i' if axes == 1 else 'e'}s"
        raise ValueError(f"{name} must be {kind} from {low:,} to {high:,}, got {got}")
    return found


def plain_array(values: Any) -> np.ndarray:
    """Whole or real numbers as an array that torch can take, whatever their byte order and strides; or TypeError."""
    array = np.array(values)
    if array.dtype.kind not in "biuf":
        raise TypeError("no numbers")
    return array.astype(np.float64 if array.dtype.kind == "f" else np.int64)


def check_device(name: str) -> None:
    """ValueError if PyTorch has no device of this name, such as cpu or cuda, that can be computed on."""
    try:
        torch.zeros((), device=name).item()
    except Exception as error:  # PyTorch has a class for each kind of device that it lacks
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise ValueError(f"no device {short(name)}: expected cpu, or cuda where there is one ({reason})") from error


def memory() -> int:
    """The bytes of memory of this machine; much, where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**50


def batch_size(size: Any, cells: int, features: int, generator: Any) -> int:
    """``size`` as a number of instances to draw. ValueError if it is none, too many, or ``generator`` is none."""
    size = whole("size", size, 1, 10**9)
    needed = 12 * size * cells * (features + 2)  # one-hot integers, then floats; the cells, and their targets
    if needed > memory():
        raise ValueError(
            f"{size:,} instances of {cells:,} cells take {needed / 1e9:,.0f} GB, this machine has {memory() / 1e9:,.0f}"
        )
    if not isinstance(generator, torch.Generator):
        raise ValueError(
            f"generator must be a torch.Generator, e.g. torch.Generator().manual_seed(0), got {short(generator)}"
        )
    return size
