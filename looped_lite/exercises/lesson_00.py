"""The one exercise of lesson 00: small on purpose, to show how exercises work."""

from collections.abc import Callable

import torch

from ..tasks.prefix_sums import prefix_sums
from . import Exercise, expect


def running_parity(bits: list[int]) -> list[int]:
    """The course's own answer: bit i is the parity of bits 0..i."""
    return prefix_sums(torch.tensor(bits)).tolist()


def check_running_parity(f: Callable) -> None:
    bits = [1, 0, 1, 1, 0, 1]
    expect(
        f(list(bits)),
        [1, 1, 0, 1, 1, 0],
        f"running_parity({bits})",
        mistakes={
            "these are running sums; take each one modulo 2": [1, 1, 2, 3, 3, 4],
            "you leave the bit itself out; bit i of the answer counts bits 0 to i, i included": [0, 1, 1, 0, 1, 1],
            "every entry is the parity of the whole string; stop at bit i": [0] * 6,
            "this compares neighbours only; carry the parity of everything before along": [1, 1, 1, 0, 1, 1],
            "this is 1 where the count is even; it should be 1 where it is odd": [0, 0, 1, 0, 0, 1],
            "these are the input bits, unchanged": bits,
        },
    )
    expect(f([0]), [0], "running_parity([0])")
    expect(f([1] * 5), [1, 0, 1, 0, 1], "running_parity([1, 1, 1, 1, 1])")
    kept = list(bits)
    f(kept)
    expect(kept, bits, "the list you were given, afterwards (make a new one, the caller still needs the old one)")


running_parity = Exercise(
    "00.1",
    "running parity",
    running_parity,
    check_running_parity,
    seen="You just wrote in a line what the model of this lesson learned from examples.",
)
