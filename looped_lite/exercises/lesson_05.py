"""Exercises of lesson 05, thinking longer than trained: two accuracies, schoop curves, other starts, loops against length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..evaluation import accuracy_over_loops
from ..model import Loop, LoopedTransformer
from ..recipe import Recipe
from ..tasks import IGNORE, correct_cells, exact_match
from ..tasks.prefix_sums import PrefixSums
from . import Exercise, Mistake, expect, unchanged

# ---------------------------------------------------------------- 05.1


def scores(logits: Tensor, targets: Tensor) -> tuple[float, float]:
    """The share of instances right in every scored cell, and the share of scored cells that are right."""
    scored = targets != IGNORE
    return float(exact_match(logits, targets).float().mean()), float(
        correct_cells(logits, targets)[scored].float().mean()
    )


def check_scores(f: Callable) -> None:
    targets = torch.tensor([[IGNORE, 1, 0, 1], [IGNORE, 0, 0, 1], [IGNORE, 1, 1, 1], [IGNORE, 0, 1, IGNORE]])
    answers = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1]])
    logits = torch.nn.functional.one_hot(answers, 2).float() * 3 - 1
    kept = logits.clone(), targets.clone()
    got = f(logits, targets)
    right = (0.5, 7 / 11)
    expect(
        got,
        right,
        "scores of 4 instances, of which 2 are right in every scored cell, and 7 of 11 scored cells",
        mistakes={
            "the order is exact match first, then cells": right[::-1],
            "cells with the target IGNORE are not scored: leave them out of both shares": (0.0, 7 / 16),
            "the BOS cell and other cells with the target IGNORE must not make an instance wrong": (0.0, 7 / 11),
            "cells with the target IGNORE must not be counted, neither as right nor as wrong: divide by the scored cells": (
                0.5,
                7 / 16,
            ),
            "cells with the target IGNORE must not be counted as right": (0.5, 12 / 16),
            "these are counts: divide by the number of instances, and of scored cells": (2, 7),
            "leave out what has the target IGNORE, which is not always just the first cell": (0.25, 7 / 12),
            "an instance is right if all its scored cells are, not if any is": (0.75, 7 / 11),
        },
    )
    unchanged(kept[0], logits, "logits")
    unchanged(kept[1], targets, "targets")
    long = torch.full((1, 512), 1)
    wrong = torch.nn.functional.one_hot(long, 2).float()
    wrong[0, 300] = wrong[0, 300].flip(0)
    expect(f(wrong, long), (0.0, 511 / 512), "one string of 512 bits with one wrong bit")


# ---------------------------------------------------------------- 05.2


def schoop(model: LoopedTransformer, x: Tensor, targets: Tensor, loops: Sequence[int]) -> dict[int, float]:
    """Exact match after each number of ``loops``, in one pass: {loops: share of the batch}."""
    return {t: float(right.float().mean()) for t, right in accuracy_over_loops(model, x, targets, list(loops)).items()}


def check_schoop(f: Callable) -> None:
    task = PrefixSums(uniform=1, biased=0, last_loops=None)
    model = Half(task)
    x, y = task.batch(8, 6, torch.Generator().manual_seed(0))
    asked = [1, 3, 6, 9]
    right = {t: share_after(t) for t in asked}
    got = f(model, x, y, asked)
    expect(
        got,
        right,
        f"the curve at loops {asked}",
        mistakes={
            "you are one loop early: the first state of model.states is after 1 loop": {
                t: share_after(t - 1) for t in asked
            },
            "you are one loop late": {t: share_after(t + 1) for t in asked},
            "count loops from 1, enumerate(..., start=1): the first state of model.states is after 1 loop": {
                t: share_after(t + 1) for t in asked[:-1]
            },
            "this is the share of cells; count an instance only if all its cells are right": {
                t: 1 - (1 - share_after(t)) / 2 for t in asked
            },
            "these are counts: divide by the number of instances": {t: 8 * share_after(t) for t in asked},
            "keep only the numbers of loops that were asked for": {t: share_after(t) for t in range(1, 10)},
        },
    )
    if model.loops_run > 2 * max(asked):
        raise Mistake(
            f"right, but it ran {model.loops_run} loops for a curve that ends at {max(asked)}: go once through model.states(x, "
            "max(loops)) and look at the states on the way."
        )
    expect(f(model, x, y, [9, 3]), {3: right[3], 9: right[9]}, "the curve at loops [9, 3], not in order")


def share_after(t: int) -> float:
    """Exact match of the stand-in model below after ``t`` loops: one more of 8 strings is right after each loop, up to 6."""
    return min(max(t, 0), 6) / 8


class CountedLoop(Loop):
    """The loop of `Half`."""

    def __call__(self, z: Tensor) -> Tensor:
        return self.model.step(z, self.h)


class Half(LoopedTransformer):
    """A stand-in whose answers are known: after t loops the first t of 8 strings are right, the others in about half their cells.

    Its state counts loops; `step` is counted, so that a curve from many separate runs can be told from one pass.
    """

    def __init__(self, task: PrefixSums) -> None:
        super().__init__(3, 2, width=8, heads=2, window=5)
        self.loops_run = 0

    def encode(self, x: Tensor) -> Tensor:
        """The state carries the right answers along (channels 0 and 1), how many loops were run (2) and the row (3)."""
        answers = x[..., 1].cumsum(1).long() % 2
        h = torch.zeros(*x.shape[:2], 8)
        h[..., 0], h[..., 1] = (answers == 0).float(), (answers == 1).float()
        h[..., 3] = torch.arange(len(x))[:, None]
        return h

    def loop(self, x: Tensor) -> Loop:
        return CountedLoop(self, self.encode(x))

    def step(self, z: Tensor, h: Tensor) -> Tensor:
        self.loops_run += 1
        return torch.cat([z[..., :2], z[..., 2:3] + 1, z[..., 3:]], dim=-1)

    def read_out(self, z: Tensor) -> Tensor:
        done = (z[..., 3] < z[..., 2].clamp(max=6)) | (torch.arange(z.shape[1]) % 2 == 1)
        return torch.where(done[..., None], z[..., :2], z[..., :2].flip(-1))


# ---------------------------------------------------------------- 05.3


def from_noise(model: LoopedTransformer, x: Tensor, loops: int, scale: float, generator: torch.Generator) -> Tensor:
    """Logits after ``loops`` loops from ``scale`` times unit noise instead of the embedded input."""
    return model(x, loops, scale * torch.randn(model.encode(x).shape, generator=generator))


def check_from_noise(f: Callable) -> None:
    task = PrefixSums(uniform=1, biased=0, last_loops=None)
    model = Recipe(task, seed=4, width=16, heads=2).build()
    x, _ = task.batch(2, 5, torch.Generator().manual_seed(0))
    seeded = lambda: torch.Generator().manual_seed(11)
    with torch.no_grad():
        h = model.encode(x)
        noise = torch.randn(h.shape, generator=seeded())
        got = f(model, x, 3, 2.0, seeded())
        known = {
            "this starts from unit noise: multiply it by scale": model(x, 3, noise),
            "the noise is added to the embedded input: the start must be noise alone, with nothing of the question in it": model(
                x, 3, h + 2 * noise
            ),
            "this starts from the embedded input": model(x, 3),
            "this starts from zeros": model(x, 3, "zeros"),
            "one loop too many": model(x, 4, 2 * noise),
            "one loop is missing": model(x, 2, 2 * noise),
            "this is the state: read it out": list(model.states(x, 3, 2 * noise))[-1],
        }
        right = model(x, 3, 2 * noise)
        try:
            expect(got, right, "logits after 3 loops from noise of scale 2", mistakes=known)
        except Mistake:
            again = f(model, x, 3, 2.0, seeded())
            if (
                type(again) is Tensor
                and type(got) is Tensor
                and again.shape == got.shape
                and not torch.equal(again, got)
            ):
                raise Mistake(
                    "two calls with equally seeded generators give different answers: draw the noise with generator=generator."
                ) from None
            raise
        expect(
            f(model, x, 3, 0.0, seeded()),
            model(x, 3, "zeros"),
            "logits from noise of scale 0, which is a start from zeros",
        )


# ---------------------------------------------------------------- 05.4


def right_for_good(right: Tensor) -> Tensor:
    """``right`` (loops, batch) bool -> (batch,) the first loop, counted from 1, from which an answer is right and stays right.

    loops + 1 where the answer is wrong at the end.
    """
    return len(right) + 1 - right.flip(0).long().cumprod(0).sum(0)


def check_right_for_good(f: Callable) -> None:
    columns = ["0011111", "1111111", "0000000", "0100111", "0111110", "0000001"]
    right = torch.tensor([[c == "1" for c in column] for column in columns]).T.contiguous()
    kept = right.clone()
    answer = [3, 1, 8, 5, 8, 7]
    ever = [3, 1, 1, 2, 2, 7]  # what argmax says
    expect(
        f(right),
        answer,
        f"right for good, for the columns {', '.join(columns)}",
        mistakes={
            "this is the first loop at which it is right; some are wrong again later": ever,
            "this is the first loop at which it is right; some are wrong again later, and some never are right": [
                3,
                1,
                8,
                2,
                2,
                7,
            ],
            "count loops from 1: row 0 is after one loop": [a - 1 for a in answer],
            "wrong at the end must give loops + 1, here 8": [3, 1, 7, 5, 7, 7],
            "this is the number of loops at which it is right; say from which loop on it stays right": right.sum(
                0
            ).tolist(),
            "this is for how many loops it has been right at the end; say since which loop": [8 - a for a in answer],
            "this is the last loop at which it is wrong: it is right from the next one on": [a - 1 for a in answer],
        },
    )
    unchanged(kept, right, "right")
    expect(f(torch.tensor([[True], [True]])), [1], "an answer that is right from the first loop on")


# ---------------------------------------------------------------- 05.5


def least_squares(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Least squares: ``(slope, intercept)`` of the line through the points."""
    x, y = torch.as_tensor(x, dtype=torch.float64), torch.as_tensor(y, dtype=torch.float64)
    dx = x - x.mean()
    slope = (dx * y).sum() / (dx * dx).sum()
    return float(slope), float(y.mean() - slope * x.mean())


def check_fit_line(f: Callable) -> None:
    x, y = [1.0, 2.0, 4.0, 9.0], [3.0, 4.0, 9.0, 17.0]
    slope, intercept = least_squares(x, y)
    back, other = least_squares(y, x)
    expect(
        f(list(x), list(y)),
        (slope, intercept),
        f"the line through x = {x}, y = {y}",
        mistakes={
            "the order is slope, intercept": (intercept, slope),
            "x and y are exchanged": (back, other),
            "the line need not go through the origin: subtract the means first": (
                sum(a * b for a, b in zip(x, y, strict=True)) / sum(a * a for a in x),
                0.0,
            ),
            "this joins the first and the last point; least squares uses all of them": (14 / 8, 3 - 14 / 8),
            "the slope is right; the intercept is mean(y) - slope * mean(x)": (slope, sum(y) / 4),
        },
        tol=1e-3,
    )
    expect(f([32, 64, 128], [20, 36, 68]), (0.5, 4.0), "the line through (32, 20), (64, 36), (128, 68)", tol=1e-3)


scores = Exercise(
    "05.1",
    "exact match and bits",
    scores,
    check_scores,
    seen="One wrong bit of 512: 0.998 of the bits, and not solved.",
)
schoop = Exercise(
    "05.2", "the schoop curve", schoop, check_schoop, seen="One pass gives the whole curve, however many points it has."
)
from_noise = Exercise(
    "05.3",
    "start from noise",
    from_noise,
    check_from_noise,
    seen="Only recall can tell the loop now what the question was.",
)
right_for_good = Exercise(
    "05.4",
    "right for good",
    right_for_good,
    check_right_for_good,
    seen="A lucky moment on the way does not count.",
)
fit_line = Exercise("05.5", "loops against length", least_squares, check_fit_line, seen="Loops per bit is the slope.")
