"""A looped transformer: embed the input once, apply the same block again and again, read the answer off the last state."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .blocks import Block, RMSNorm, rotary_angles
from .fixed_points import iterate

STARTS = ("input", "zeros", "noise")


@dataclass(frozen=True)
class Solution:
    """What `LoopedTransformer.solve` says about one instance. ``residual`` is relative, at the last loop run."""

    input: str
    answer: str
    loops: int
    residual: float
    settled: bool
    extra: dict[str, Any] = field(default_factory=dict)  # what else the task can tell, such as ``solved`` for a sudoku

    def as_dict(self) -> dict[str, Any]:
        """All of it in one flat dictionary."""
        facts = asdict(self)
        return facts | facts.pop("extra")


class LoopedTransformer(nn.Module):
    """``z[t+1] = f(z[t], h)``: a stack of ``blocks`` blocks (one, usually) that is applied ``loops`` times.

    ``features`` is the number of input channels a cell, ``classes`` the number of logits a cell. ``task`` (see
    `looped_lite.tasks`) tells the model where its cells lie and how to read and write instances; the loop itself does
    not need it. Everything else goes to `Block` and `Attention`: ``heads``, ``window``, ``mask``, ``offsets``.

    The paper's *fixed* baseline, 15 unshared layers without a loop, is ``blocks=15, recall="none"`` run for one loop.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        width: int = 64,
        blocks: int = 1,
        recall: str = "internal",
        norm: str = "post",
        cells: int | None = None,
        task: Any = None,
        **block: Any,
    ):
        super().__init__()
        if blocks < 1:
            raise ValueError(f"blocks must be at least 1, got {blocks}")
        self.task = task
        self.embed = nn.Linear(features, width)
        self.cell_embedding = None if cells is None else nn.Parameter(torch.zeros(cells, width))
        self.blocks = nn.ModuleList([Block(width, recall, norm, **block) for _ in range(blocks)])
        self.head = nn.Sequential(RMSNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, classes))

    @property
    def head_width(self) -> int:
        attention = self.blocks[0].attention
        return attention.qkv.in_features // attention.heads

    def encode(self, x: Tensor) -> Tensor:
        """Input channels (batch, cells, features) -> embedded input ``h`` (batch, cells, width)."""
        h = self.embed(x)
        return h if self.cell_embedding is None else h + self.cell_embedding

    def angles(self, h: Tensor) -> Tensor:
        """Rotary angles for the cells of ``h``. Computed once a run, not once a loop."""
        cells = h.shape[1]
        positions = torch.arange(cells)[:, None] if self.task is None else self.task.positions(cells)
        return rotary_angles(positions.to(h.device), self.head_width)

    def step(self, z: Tensor, h: Tensor, angles: Tensor | None = None) -> Tensor:
        """One loop: all blocks once. (batch, cells, width) -> (batch, cells, width)."""
        angles = self.angles(h) if angles is None else angles
        for block in self.blocks:
            z = block(z, h, angles)
        return z

    def loop(self, x: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """The loop as a map of the state alone, for `looped_lite.fixed_points`. Returns ``(f, h)``, ``f(z) = step(z, h)``."""
        h = self.encode(x)
        return partial(self.step, h=h, angles=self.angles(h)), h

    def start(self, h: Tensor, start: str | Tensor = "input", generator: torch.Generator | None = None) -> Tensor:
        """The state before the first loop: the embedded input, zeros, unit noise, or a state that you give."""
        if isinstance(start, Tensor):
            if start.shape != h.shape:
                raise ValueError(f"start state has shape {tuple(start.shape)}, expected {tuple(h.shape)}")
            return start
        if start == "input":
            return h
        if start == "zeros":
            return torch.zeros_like(h)
        if start == "noise":
            return torch.randn(h.shape, generator=generator).to(h)
        raise ValueError(f"unknown start {start!r}: expected one of {', '.join(STARTS)}, or a state")

    def read_out(self, z: Tensor) -> Tensor:
        """State (batch, cells, width) -> logits (batch, cells, classes)."""
        return self.head(z)

    def states(
        self, x: Tensor, loops: int, start: str | Tensor = "input", generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        """Yield the states after 1, 2, ..., ``loops`` loops. Nothing is kept: memory does not grow with ``loops``
        unless gradients are on or you keep the states yourself."""
        if loops < 1:
            raise ValueError(f"loops must be at least 1, got {loops}")
        f, h = self.loop(x)
        z = self.start(h, start, generator)
        for _ in range(loops):
            z = f(z)
            yield z

    def forward(
        self, x: Tensor, loops: int, start: str | Tensor = "input", generator: torch.Generator | None = None
    ) -> Tensor:
        """Logits (batch, cells, classes) after ``loops`` loops on ``x`` (batch, cells, features)."""
        (last,) = deque(self.states(x, loops, start, generator), maxlen=1)
        return self.read_out(last)

    def attempts(
        self, x: Tensor, tries: int
    ) -> Iterator[tuple[Callable[[Tensor], Tensor], Tensor, Callable[[Tensor], Tensor]]]:
        """Ways to run the loop on ``x``: first from the input, then from noise of a fixed seed on symmetric images of it.

        Yields ``(f, z, back)``: the map, its start state, and what brings logits for the image back to ``x``. Only a task with
        ``image`` (see `looped_lite.tasks`) has more than one.
        """
        generator = torch.Generator().manual_seed(0)
        for number in range(tries):
            view, back = self.task.image(x, generator) if number else (x, lambda logits: logits)
            f, h = self.loop(view)
            yield f, self.start(h, "noise" if number else "input", generator), back

    @torch.no_grad()
    def solve(
        self, instances: str | Sequence[str], loops: int | None = None, tol: float = 1e-4, tries: int = 16
    ) -> Solution | list[Solution]:
        """Solve instances written as text (bits, a puzzle, a FEN), each until its state settles or ``loops`` are spent.

        Where a task can tell that an answer is wrong without knowing the right one (``solved`` is False: sudoku has its rules)
        the loop starts again, from noise and on a symmetric image of the instance, up to ``tries`` times; the loops of all
        tries are counted. Settled means that a loop moves the state by less than ``tol`` of its length. Raises ValueError, with
        the reason, for an instance that is not well formed. One string in, one `Solution` out; a list in, a list out.
        """
        if isinstance(instances, str):
            return self.solve([instances], loops, tol, tries)[0]
        if self.task is None:
            raise ValueError("solve needs a model that knows its task: use load_pretrained or task.model()")
        if loops is not None and loops < 1:
            raise ValueError(f"loops must be at least 1, got {loops}")
        if tries < 1:  # before anything is solved
            raise ValueError(f"tries must be at least 1, got {tries}")
        solutions = []
        for text in instances:  # one by one: they may differ in length
            x = self.task.encode(text).to(self.embed.weight.device)
            used = 0
            for f, start, back in self.attempts(x, tries):
                end = iterate(f, start, loops or self.task.max_loops(x), tol)
                extra, used = self.task.decode(text, back(self.read_out(end.z))[0]), used + int(end.loops[0])
                if extra.get("solved", True):
                    break
            moved = float(end.steps[-1, 0] / end.norms[-1, 0])
            solutions.append(Solution(text, extra.pop("answer"), used, moved, bool(end.settled[0]), extra))
        return solutions


def count_parameters(model: nn.Module) -> int:
    """The number of trainable numbers in a model."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
