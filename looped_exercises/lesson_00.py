"""The one exercise of lesson 00: small on purpose, to show how exercises work."""

from itertools import accumulate

import torch

from looped_lite.tasks.prefix_sums import prefix_sums

from . import Case, Exercise, Mistake, after


def parity_cases(generator):
    bits = torch.randint(0, 2, (9,), generator=generator).tolist()
    given = [[1, 0, 1, 1, 0, 1], [0], [1] * 5, bits]
    return [Case(f"running_parity({bits})", bits) for bits in given]


def in_words(bits):
    return [sum(bits[: i + 1]) % 2 for i in range(len(bits))]


running_parity = Exercise(
    "00.1", "running parity", lambda bits: prefix_sums(torch.tensor(bits)).tolist(), parity_cases,
    seen="You just wrote in a line what the model of this lesson learned from examples.",
    styles=[in_words, lambda bits: list(accumulate(bits, int.__xor__)), lambda bits: torch.tensor(bits).cumsum(0) % 2],
    mistakes=[
        Mistake("these are running sums; take each one modulo 2", lambda bits: list(accumulate(bits))),
        Mistake("you leave the bit itself out; bit i of the answer counts bits 0 to i, i included",
                lambda bits: [0, *in_words(bits)[:-1]]),
        Mistake("every entry is the parity of the whole string; stop at bit i",
                lambda bits: [sum(bits) % 2] * len(bits)),
        Mistake("this is the last entry alone; return one for each bit", lambda bits: sum(bits) % 2),
        Mistake("this stops after the first bit: is the return inside the loop? It belongs below it",
                after(in_words, lambda found: found[:1])),
        Mistake("this compares neighbours only; carry the parity of everything before along",
                lambda bits: [a ^ b for a, b in zip(bits, [0, *bits], strict=False)]),
        Mistake("this is 1 where the count is even; it should be 1 where it is odd",
                after(in_words, lambda found: [1 - bit for bit in found])),
        Mistake("this counts the zeros; count the ones", lambda bits: in_words([1 - bit for bit in bits])),
        Mistake("with two ones the parity is 0 again; here a one (or a zero) decides for good",
                lambda bits: list(accumulate(bits, max)), lambda bits: list(accumulate(bits, min))),
        Mistake("this is the parity of the place; count the ones alone",
                *(lambda bits, first=first: [(i + first) % 2 for i in range(len(bits))] for first in (0, 1))),
        Mistake("these are the input bits, unchanged", list),
        Mistake("each bit is compared with the first one alone", lambda bits: [bit ^ bits[0] for bit in bits]),
        Mistake("this begins at the end of the string; begin at bit 0", lambda bits: in_words(bits[::-1])[::-1]),
        Mistake("this has an entry too many: no bits at all have no entry", lambda bits: [0, *in_words(bits)]),
    ],
)  # fmt: skip
