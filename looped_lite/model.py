"""A looped transformer: embed the input once, apply a block again and again, read the answer off the last state."""

from __future__ import annotations

import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .blocks import Block, RMSNorm, rotary_angles

STARTS = ("input", "zeros", "noise")


def on_a_line(cells: int) -> Tensor:
    """The positions of cells that lie on a line: (cells, 1)."""
    return torch.arange(cells)[:, None]


class Loop:
    """The map of one batch, ``z <- f(z)``, with everything that stays the same while it runs: ``h``, ``Wh h`` and the
    angles.

    ``loop(z)`` is one application, (batch, cells, width) -> (batch, cells, width). All that repeats a block goes
    through it, and every function of `looped_lite.fixed_points` takes it as its ``f``.
    """

    def __init__(self, model: LoopedTransformer, h: Tensor, recalled: list[Tensor | None] | None = None) -> None:
        self.model, self.h = model, h
        self.recalled = [block.recalled(h) for block in model.blocks] if recalled is None else recalled
        self.angles = rotary_angles(model.positions(h.shape[1]).to(h.device), model.head_width)

    def __call__(self, z: Tensor) -> Tensor:
        for block, recalled in zip(self.model.blocks, self.recalled, strict=True):
            z = block(z, recalled, self.angles)
        return z

    def __len__(self) -> int:
        return len(self.h)

    def __getitem__(self, rows: Any) -> Loop:
        """The same loop for some instances only: ``rows`` is a slice, a list, or a tensor of indices or bools."""
        return Loop(self.model, self.h[rows], [None if part is None else part[rows] for part in self.recalled])

    def start(self, start: str | Tensor = "input", generator: torch.Generator | None = None) -> Tensor:
        """The state before the first loop: the embedded input, zeros, unit noise, or a state that you give."""
        if isinstance(start, Tensor):
            if start.shape != self.h.shape:
                raise ValueError(f"start state has shape {tuple(start.shape)}, expected {tuple(self.h.shape)}")
            return start
        if start == "input":
            return self.h
        if start == "zeros":
            return torch.zeros_like(self.h)
        if start == "noise":
            return torch.randn(self.h.shape, generator=generator).to(self.h)
        raise ValueError(f"unknown start {start!r}: expected one of {', '.join(STARTS)}, or a state")

    def read_out(self, z: Tensor) -> Tensor:
        """State (batch, cells, width) -> logits (batch, cells, classes)."""
        return self.model.read_out(z)

    def states(
        self, loops: int, start: str | Tensor = "input", generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        """Yield the states after 1, 2, ..., ``loops`` loops. Nothing is kept: memory does not grow with ``loops``
        unless gradients are on or you keep the states yourself."""
        if loops < 1:
            raise ValueError(f"loops must be at least 1, got {loops}")
        z = self.start(start, generator)
        for _ in range(loops):
            z = self(z)
            yield z


def join(loops: Sequence[Loop]) -> Loop:
    """One loop for the instances of several of one model and length, in order."""
    recalled = zip(*(loop.recalled for loop in loops), strict=True)
    joined = [None if parts[0] is None else torch.cat(parts) for parts in recalled]
    return Loop(loops[0].model, torch.cat([loop.h for loop in loops]), joined)


class LoopedTransformer(nn.Module):
    """``z[t+1] = f(z[t], h)``: a stack of ``blocks`` blocks (one, usually) that is applied ``loops`` times.

    ``features`` is the number of input channels a cell, ``classes`` the number of logits a cell. ``positions`` says
    where so many cells lie, cells -> (cells, axes): on a line unless you give another function. ``cells`` adds a
    learned vector for each of so many cells. With ``across`` the logits are read the other way round, (batch, classes,
    cells): each class is a question, and the cells are its possible answers. Everything else goes to `Block` and
    `Attention`: ``heads``, ``window``, ``mask``, ``offsets``.

    The paper's *fixed* baseline, 15 unshared layers without a loop, is ``blocks=15, recall="none"`` run for one loop.
    """

    recipe: Any = None  # what made this model, where something did (see `looped_lite.recipe`)

    def __init__(
        self,
        features: int,
        classes: int,
        width: int = 64,
        blocks: int = 1,
        recall: str = "internal",
        norm: str = "post",
        positions: Callable[[int], Tensor] = on_a_line,
        cells: int | None = None,
        across: bool = False,
        **block: Any,
    ):
        super().__init__()
        if blocks < 1:
            raise ValueError(f"blocks must be at least 1, got {blocks}")
        self.positions, self.across = positions, across
        self.embed = nn.Linear(features, width)
        self.cell_embedding = None if cells is None else nn.Parameter(torch.zeros(cells, width))
        self.blocks = nn.ModuleList([Block(width, recall, norm, **block) for _ in range(blocks)])
        self.head = nn.Sequential(RMSNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, classes))

    @property
    def head_width(self) -> int:
        attention = self.blocks[0].attention
        return attention.qkv.in_features // attention.heads

    def encode(self, x: Tensor) -> Tensor:
        """Input channels (batch, cells, features) -> embedded input ``h`` (batch, cells, width), on our device."""
        h = self.embed(x.to(self.embed.weight.device))
        return h if self.cell_embedding is None else h + self.cell_embedding

    def loop(self, x: Tensor) -> Loop:
        """The `Loop` of the inputs ``x`` (batch, cells, features)."""
        return Loop(self, self.encode(x))

    def step(self, z: Tensor, h: Tensor) -> Tensor:
        """One loop as a map of two arguments, state and embedded input, both (batch, cells, width)."""
        return Loop(self, h)(z)

    def read_out(self, z: Tensor) -> Tensor:
        """State (batch, cells, width) -> logits (batch, cells, classes), or (batch, classes, cells) if read across."""
        logits = self.head(z)
        return logits.transpose(1, 2) if self.across else logits

    def states(
        self, x: Tensor, loops: int, start: str | Tensor = "input", generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        """`Loop.states` of the inputs ``x`` (batch, cells, features)."""
        return self.loop(x).states(loops, start, generator)

    def forward(
        self, x: Tensor, loops: int, start: str | Tensor = "input", generator: torch.Generator | None = None
    ) -> Tensor:
        """Logits (batch, cells, classes) after ``loops`` loops on ``x`` (batch, cells, features)."""
        (last,) = deque(self.states(x, loops, start, generator), maxlen=1)
        return self.read_out(last)


def compile_blocks(model: LoopedTransformer, dynamic: bool = False) -> LoopedTransformer:
    """``model``, whose blocks the next call will translate to machine code for the shape that it meets, or with
    ``dynamic`` for all shapes at once: a loop then takes half the time or less, and differs in the last bits.

    ValueError if this machine has no C++ compiler, which `torch.compile` needs.
    """
    compiler = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    if shutil.which(compiler) is None:
        raise ValueError(
            f"compiled blocks need the C++ compiler {compiler}: expected it on the PATH, or another in CXX"
        )
    torch.compiler.reset()  # else the models before this one count towards the limit on recompilation
    for block in model.blocks:
        block.compile(dynamic=dynamic)
    return model


def count_parameters(model: nn.Module) -> int:
    """The number of trainable numbers in a model."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
