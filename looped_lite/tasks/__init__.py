"""The problems that the course trains on. A task is one object with the handful of methods below: to add a fourth, write one file.

Training asks a task for batches; evaluation asks it which answers are right; `LoopedTransformer.solve` asks it to read and
write instances. ``level`` is the task's own measure of difficulty (bits of a string, share of givens shown): a curriculum
raises it, and a task with one difficulty returns its level unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

# a name, inputs (size, cells, features), targets (size, cells), and the numbers of loops worth looking at
TestSet = tuple[str, Tensor, Tensor, list[int]]

IGNORE = -100  # the target of a cell that is not scored (torch's own ignore_index)


class Task(Protocol):
    """What training, evaluation and ``solve`` need to know about a problem."""

    name: str
    features: int  # input channels a cell
    classes: int  # logits a cell
    first_level: float  # where a curriculum starts
    last_level: float  # and ends

    def batch(self, size: int, level: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Fresh training instances: inputs (size, cells, features), targets (size, cells) of class numbers or IGNORE."""

    def draw_level(self, level: float, generator: torch.Generator) -> float:
        """The level of the next batch: mostly ``level``, now and then an easier one so that nothing is unlearned."""

    def harder(self, level: float) -> float:
        """The level after this one; the last level is its own successor."""

    def loops(self, level: float) -> int:
        """N, the most loops that training runs at this level."""

    def positions(self, cells: int) -> Tensor:
        """Where the cells lie, (cells, axes), for rotary positions."""

    def model(self, seed: int = 0, **changes: Any) -> torch.nn.Module:
        """A fresh model with this task's defaults; ``changes`` go to `LoopedTransformer`."""

    def encode(self, text: str) -> Tensor:
        """An instance as text -> inputs (1, cells, features). ValueError says what is wrong with the text."""

    def decode(self, text: str, logits: Tensor) -> dict[str, Any]:
        """What ``logits`` (cells, classes) say about the instance ``text``: ``answer``, and what else the task can tell."""

    def max_loops(self, x: Tensor) -> int:
        """How many loops ``solve`` allows an instance."""

    # A task whose ``decode`` tells right from wrong by itself, as ``solved``, has one more, to try again another way:
    # image(x, generator) -> a symmetric image of each instance of x, and a function that brings logits for it back to x.

    # The command line asks for two more:

    def default_model(self, text: str) -> str:
        """The name of the pretrained model that ``looped-lite solve`` takes for the instance ``text``."""

    def test_sets(self, size: int, levels: Iterable[float] | None, generator: torch.Generator) -> Iterator[TestSet]:
        """What ``looped-lite eval`` measures: up to ``size`` unseen instances at each of ``levels`` (None: the usual ones)."""


def correct_cells(logits: Tensor, targets: Tensor) -> Tensor:
    """Which scored cells are right: (batch, cells, classes), (batch, cells) -> (batch, cells); unscored cells count as right."""
    return (logits.argmax(-1) == targets) | (targets == IGNORE)


def exact_match(logits: Tensor, targets: Tensor) -> Tensor:
    """Which instances are right in every scored cell: (batch, cells, classes), (batch, cells) -> (batch,)."""
    return correct_cells(logits, targets).all(-1)
