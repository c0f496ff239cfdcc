"""The problems that the course trains on. A task is one file and needs nothing else in the house: derive a frozen
dataclass from `Task`.

The fields of the dataclass are the settings of the task. The minimum is ``name``, ``features``, ``classes`` and three
methods: ``batch``, ``encode`` and ``decode``. All the rest has a default. ``level`` is the task's own measure of
difficulty (bits of a string, share of givens shown): a curriculum raises it, and a task with one difficulty leaves it
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

# a name, inputs (size, cells, features), targets (size, cells), and the numbers of loops worth looking at
TestSet = tuple[str, Tensor, Tensor, list[int]]

IGNORE = -100  # the target of a cell that is not scored (torch's own ignore_index)


class Task(Protocol):
    """What training, evaluation and solving need to know about a problem."""

    # ---- the minimum

    name: str
    features: int  # input channels a cell
    classes: int  # logits a cell

    def batch(self, size: int, level: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Fresh training instances: inputs (size, cells, features), targets (size, cells), a class number or IGNORE."""
        raise NotImplementedError(f"a task needs batch(size, level, generator): {type(self).__name__} has none")

    def encode(self, text: str) -> Tensor:
        """An instance as text -> inputs (1, cells, features). ValueError says what is wrong with the text."""
        raise NotImplementedError(f"to solve instances a task needs encode(text): {type(self).__name__} has none")

    def decode(self, text: str, logits: Tensor) -> dict[str, Any]:
        """What ``logits`` (cells, classes) say about the instance ``text``: ``answer``, and what else can be told."""
        raise NotImplementedError(
            f"to solve instances a task needs decode(text, logits): {type(self).__name__} has none"
        )

    # ---- how it is trained

    first_level: float = 0  # where a curriculum starts
    last_level: float = 0  # and ends
    most_loops: int = 16  # N of the progressive loss

    def draw_level(self, level: float, generator: torch.Generator) -> float:
        """The level of the next batch: mostly ``level``, now and then an easier one so that nothing is unlearned."""
        return level

    def harder(self, level: float) -> float:
        """The level after this one; the last level is its own successor."""
        return self.last_level

    def loops(self, level: float) -> int:
        """N, the most loops that training runs at this level."""
        return self.most_loops

    # ---- how its model is built

    def positions(self, cells: int) -> Tensor:
        """Where the cells lie, (cells, axes), for rotary positions: on a line."""
        return torch.arange(cells)[:, None]

    def architecture(self, heads: int) -> dict[str, Any]:
        """What its model needs besides a recipe: ``window``, ``mask``, ``offsets``, ``cells``, ``across``."""
        return {}

    # ---- how it is solved

    def certify(self, x: Tensor, logits: Tensor) -> Tensor | None:
        """Which answers are right by the task's own rules, without knowing the right ones: (batch,) bool; None if it
        cannot tell.

        An answer that is certified ends its run; while there is none, the loop begins again, as long as its budget
        lasts.
        """
        return None

    def image(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """A random symmetric image of each instance of ``x``, and what brings logits for it back to ``x``."""
        return x, lambda logits: logits

    def guess(self, x: Tensor, logits: Tensor, generator: torch.Generator) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """What to try when ``guess_after`` tries have failed, the last with ``logits`` for ``x``: ``x`` with something
        assumed in addition, and what puts the assumption into logits for it. By default nothing is."""
        return x, lambda logits: logits

    def max_loops(self, x: Tensor) -> int:
        """How many loops an instance is given, all tries together."""
        return 8 * self.most_loops

    restart_every: int = 64  # loops of one try, where answers are certified
    guess_after: int = 4  # tries without a guess

    # ---- how it is tested and shown

    def in_words(self, text: str, answer: str, extra: Mapping[str, Any]) -> list[str]:
        """What a person wants to know besides the answer, a few words each. ``extra`` is what ``decode`` told."""
        return [f"{name} {value:.2f}" for name, value in extra.items() if isinstance(value, float)]

    def drawn(self, answer: str) -> str:
        """The answer as a terminal shows it: on one line or on several."""
        return answer

    examples: ClassVar[Mapping[str, str]] = {}  # a few instances as text, by name
    board: ClassVar[str] = "looped_lite.boards.plain:draw"  # what draws an instance over loops

    def default_model(self, text: str) -> str:
        """The name of the pretrained model that solves the instance ``text``."""
        raise ValueError(f"{self.name} has no model of its own: name one")

    def test_sets(self, size: int, levels: Iterable[float] | None, generator: torch.Generator) -> Iterator[TestSet]:
        """What an evaluation measures: up to ``size`` unseen instances at each of ``levels`` (None: the usual ones)."""
        for level in (self.last_level,) if levels is None else levels:
            x, y = self.batch(size, level, generator)
            yield f"{self.name} {level:g}", x, y, [self.most_loops, 4 * self.most_loops]


def correct_cells(logits: Tensor, targets: Tensor) -> Tensor:
    """Which scored cells are right: (batch, cells, classes), (batch, cells) -> (batch, cells); unscored cells count as
    right.

    A cell whose logits are not numbers is wrong, whatever class ``argmax`` makes of them.
    """
    right = (logits.argmax(-1) == targets) & ~logits.isnan().any(-1)
    return right | (targets == IGNORE)


def exact_match(logits: Tensor, targets: Tensor) -> Tensor:
    """Which instances are right in every scored cell: (batch, cells, classes), (batch, cells) -> (batch,)."""
    return correct_cells(logits, targets).all(-1)
