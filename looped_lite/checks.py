"""Small refusals that several files share: a value that cannot be is named in one line, with what was expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
    """``value`` if it is a number from ``low`` to ``high`` (numpy's and torch's, of one element, too); ValueError otherwise."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high  # nan is not
    if not fits or (kind == "a whole number" and value != int(value)):
        raise ValueError(f"{name} must be {kind} from {low:,} to {high:,}, got {short(value)}")
    return value


def keep(setting_of: Any, check: Callable[..., Any], low: float, high: float, *names: str) -> None:
    """Check these settings of a frozen dataclass with `whole` or `number`, and keep them as plain int or float: 3.0 from a file, or a numpy
    number, is the same setting as 3."""
    kind = int if check is whole else float
    for name in names:
        object.__setattr__(setting_of, name, kind(check(name, getattr(setting_of, name), low, high)))
