"""Prefix sums: bit i of the answer is the parity of bits 1..i of the input. Trained on 32 bits, asked for 512.

A BOS (begin of sequence) cell stands before the bits. Without it the task cannot be learned: with relative positions
alone, a constant string looks the same from every cell, so every cell would have to give the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model import LoopedTransformer
from . import IGNORE, TestSet

BOS = 2


def one_hot(bits: Tensor) -> Tensor:
    """Bits (batch, length) -> inputs (batch, 1 + length, 3): one-hot over {0, 1, BOS}, the BOS cell first."""
    return F.one_hot(F.pad(bits, (1, 0), value=BOS), 3).float()


def prefix_sums(bits: Tensor) -> Tensor:
    """Running parity along the last axis: (..., length) -> (..., length)."""
    return bits.cumsum(-1) % 2


@dataclass(frozen=True)
class PrefixSums:
    """The task. ``level`` is the length of the strings in bits; the curriculum goes from ``first_level`` to ``last_level``."""

    name: str = "prefix-sums"
    first_level: int = 4
    last_level: int = 32
    window: int = 5
    most_loops: int = 20  # N of the progressive loss; 32 bits need 16 loops at window 5
    last_loops: int | None = None  # the same at the last level, if it differs there
    shorter: float = 0.3  # the share of batches drawn at a random shorter length

    features = 3
    classes = 2
    board = "looped_lite.boards.prefix_sums:draw"
    examples = MappingProxyType(
        {"all ones": "1" * 16, "one 1, then zeros": "1" + "0" * 31, "64 bits": "01101" * 12 + "0110"}
    )

    def batch(self, size: int, level: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``size`` random strings of ``level`` bits: inputs (size, 1 + level, 3), targets (size, 1 + level)."""
        bits = torch.randint(2, (size, level), generator=generator)
        return one_hot(bits), F.pad(prefix_sums(bits), (1, 0), value=IGNORE)

    def draw_level(self, level: int, generator: torch.Generator) -> int:
        if level == self.first_level or torch.rand((), generator=generator) >= self.shorter:
            return level
        return int(torch.randint(self.first_level, level, (), generator=generator))

    def harder(self, level: int) -> int:
        return min(level + max(2, level // 4), self.last_level)

    def loops(self, level: int) -> int:
        most = self.last_loops if level == self.last_level and self.last_loops else self.most_loops
        return min(most, level)

    def positions(self, cells: int) -> Tensor:
        return torch.arange(cells)[:, None]

    def model(self, seed: int = 0, **changes: Any) -> LoopedTransformer:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return LoopedTransformer(3, 2, **{"heads": 4, "window": self.window, "task": self, **changes})

    def encode(self, text: str) -> Tensor:
        if not text:
            raise ValueError("an empty string has no prefix sums: expected bits such as 0110")
        for place, character in enumerate(text, start=1):
            if character not in "01":
                raise ValueError(f"character {place} of {text!r} is {character!r}: expected only 0 and 1")
        return one_hot(torch.tensor([[int(character) for character in text]]))

    def decode(self, text: str, logits: Tensor) -> dict[str, Any]:
        return {"answer": "".join(str(bit) for bit in logits[1:].argmax(-1).tolist())}

    def max_loops(self, x: Tensor) -> int:
        return 2 * x.shape[1] + 100  # short strings settle more slowly than they are solved

    def default_model(self, text: str) -> str:
        return "prefix-sums-internal-post-seed0"

    def test_sets(self, size: int, levels: Iterable[int] | None, generator: torch.Generator) -> Iterator[TestSet]:
        for bits in levels or (32, 64, 128, 256, 512):
            if bits < 1 or bits != int(bits):
                raise ValueError(f"a string has a whole number of bits, at least 1, got {bits}")
            yield f"{bits} bits", *self.batch(size, bits, generator), [bits, 2 * bits]
