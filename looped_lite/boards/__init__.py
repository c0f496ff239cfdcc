"""How instances and their answers look after any number of loops: one file a task, and `plain` for a task that has
none.
 Each file has one entry, ``draw(seen, task) -> (draw, describe)``: from a watched instance
(`looped_lite.solving.Watched`) to two functions of a loop, one that returns a Figure and one that says the same in a
sentence. A task names its entry in an attribute, ``board = "module:function"``; `board_of` finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from matplotlib.figure import Figure

from ..solving import Watched

Draw = Callable[[int], Figure]
Describe = Callable[[int], str]
PLAIN = "looped_lite.boards.plain:draw"


def board_of(task: Any) -> Callable[[Watched, Any], tuple[Draw, Describe]]:
    """The function ``draw(seen, task)`` that ``task.board`` names as "module:function", or the plain board's.

    ValueError where the name leads nowhere.
    """
    address = getattr(task, "board", None) or PLAIN
    module, _, name = str(address).partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"no board at {str(address)[:80]!r}: expected module:function ({error})") from error


def __getattr__(name: str) -> Any:
    """``boards.sudoku``, imported when first asked for."""
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error
