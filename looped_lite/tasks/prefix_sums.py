"""Prefix sums: bit i of the answer is the parity of bits 1..i of the input. Trained on 32 bits, asked for thousands.

A BOS (begin of sequence) cell stands before the bits. Without it the task cannot be learned: with relative positions
alone, a constant string looks the same from every cell, so every cell would have to give the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import batch_size, integers, keep, number, plain_text, short, whole
from . import IGNORE, Task, TestSet

BOS = 2


def one_hot(bits: Tensor) -> Tensor:
    """Bits (batch, length) -> inputs (batch, 1 + length, 3): one-hot over {0, 1, BOS}, the BOS cell first."""
    return F.one_hot(F.pad(integers("bits", bits, 0, 1), (1, 0), value=BOS), 3).float()


def prefix_sums(bits: Tensor) -> Tensor:
    """Running parity along the last axis: (..., length) -> (..., length)."""
    return bits.cumsum(-1) % 2


def read_bits(text: str) -> list[int]:
    """Bits as people write them, with spaces, line breaks, underscores and a leading 0b; ValueError for others."""
    bits = "".join(plain_text(text).split()).replace("_", "")
    bits = bits[2:] if bits[:2] in ("0b", "0B") else bits
    if not bits:
        raise ValueError("an empty string has no prefix sums: expected bits such as 0110")
    for place, character in enumerate(bits, start=1):
        if character not in "01":
            raise ValueError(f"character {place} of {short(bits)} is {short(character)}: expected only 0 and 1")
    return [int(bit) for bit in bits]


def random_bits(size: int, length: int, generator: torch.Generator) -> Tensor:
    """Strings (size, length) in which each bit is 1 with probability a half: nearly all strings look like this."""
    return torch.randint(2, (size, length), generator=generator)


def biased_bits(size: int, length: int, generator: torch.Generator) -> Tensor:
    """Strings (size, length), each with a density of ones of its own, drawn from [0, 1]."""
    density = torch.rand(size, 1, generator=generator)
    return (torch.rand(size, length, generator=generator) < density).long()


def switching_bits(size: int, length: int, generator: torch.Generator) -> Tensor:
    """Strings (size, length) that run: each bit differs from the last one with a rate that its string draws."""
    rate = torch.rand(size, 1, generator=generator)
    switches = (torch.rand(size, length, generator=generator) < rate).long()
    return (torch.randint(2, (size, 1), generator=generator) + switches.cumsum(-1)) % 2


@dataclass(frozen=True)
class PrefixSums(Task):
    """The task. ``level`` is the length of the strings in bits; the curriculum goes from ``first_level`` to
    ``last_level``.

    Of each training batch a share ``uniform`` is `random_bits`, a share ``biased`` is `biased_bits`, and the rest
    `switching_bits`: trained on random bits alone, a model may never have seen thirty ones in a row, and fail on them.
    """

    first_level: int = 4
    last_level: int = 32
    window: int = 5
    most_loops: int = 20  # N of the progressive loss; 32 bits need 16 loops at window 5
    last_loops: int | None = 24  # the same at the last level, if it differs there
    shorter: float = 0.3  # the share of batches drawn at a random shorter length
    uniform: float = 0.4
    biased: float = 0.3

    name = "prefix-sums"
    features = 3
    classes = 2
    board = "looped_lite.boards.prefix_sums:draw"
    examples = {"all ones": "1" * 16, "one 1, then zeros": "1" + "0" * 31, "64 bits": "01101" * 12 + "0110"}  # noqa: RUF012

    def __post_init__(self) -> None:
        keep(self, whole, 1, 10**6, "first_level", "window", "most_loops")
        if self.last_loops is not None:
            keep(self, whole, 1, 10**6, "last_loops")
        keep(self, whole, self.first_level, 10**6, "last_level")
        keep(self, number, 0, 1, "shorter", "uniform", "biased")
        if self.window % 2 == 0:
            raise ValueError(f"window must be an odd number of cells, got {self.window}")
        if self.uniform + self.biased > 1:
            raise ValueError(f"uniform and biased are shares of a batch, got {self.uniform} and {self.biased}")

    def tensors(self, bits: Tensor) -> tuple[Tensor, Tensor]:
        """Strings of bits (batch, length) -> inputs (batch, 1 + length, 3), targets (batch, 1 + length)."""
        bits = integers("bits", bits, 0, 1, axes=2)
        return one_hot(bits), F.pad(prefix_sums(bits), (1, 0), value=IGNORE)

    def batch(self, size: int, level: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``size`` training strings of ``level`` bits: inputs (size, 1 + level, 3), targets (size, 1 + level)."""
        level = whole("the length of a string", level, 1, 10**6)
        size = batch_size(size, level + 1, self.features, generator)
        first, second = round(size * self.uniform), round(size * (self.uniform + self.biased))
        kinds = ((random_bits, first), (biased_bits, second - first), (switching_bits, size - second))
        return self.tensors(torch.cat([draw(count, level, generator) for draw, count in kinds if count]))

    def draw_level(self, level: int, generator: torch.Generator) -> int:
        if level == self.first_level or torch.rand((), generator=generator) >= self.shorter:
            return level
        return int(torch.randint(self.first_level, level, (), generator=generator))

    def harder(self, level: int) -> int:
        return min(level + max(2, level // 4), self.last_level)

    def loops(self, level: int) -> int:
        most = self.last_loops if level == self.last_level and self.last_loops else self.most_loops
        return min(most, level)

    def architecture(self, heads: int) -> dict[str, Any]:
        return {"window": self.window}

    def encode(self, text: str) -> Tensor:
        return one_hot(torch.tensor([read_bits(text)]))

    def decode(self, text: str, logits: Tensor) -> dict[str, Any]:
        return {"answer": "".join(str(bit) for bit in logits[1:].argmax(-1).tolist())}

    def max_loops(self, x: Tensor) -> int:
        return 2 * x.shape[1] + 100  # short strings settle more slowly than they are solved

    def default_model(self, text: str) -> str:
        return "prefix-sums-quick-seed0"

    def test_sets(self, size: int, levels: Iterable[int] | None, generator: torch.Generator) -> Iterator[TestSet]:
        """Random strings, of the usual lengths or of those that you name."""
        for bits in (32, 64, 128, 256, 512) if levels is None else levels:
            bits = whole("the length of a string", bits, 1, 10**6)
            strings = random_bits(batch_size(size, bits + 1, self.features, generator), bits, generator)
            yield f"{bits} bits", *self.tensors(strings), [bits, 2 * bits]
