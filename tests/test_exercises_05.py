"""Lesson 05's checks: wrong answers are rejected with a word about why, right ones are accepted however they are written."""

import numpy as np
import torch
from mutants import *  # noqa: F403 - the tests, and the hook that deals out the answers
from mutants import exercises_of

from looped_lite.exercises import lesson_05 as ex
from looped_lite.tasks import exact_match

EXERCISES = exercises_of(ex)


# ---------------------------------------------------------------- 05.1


def scores_by_rows(logits, targets):
    exact = cells = scored = 0
    for answer, target in zip(logits.argmax(-1).tolist(), targets.tolist(), strict=True):
        row = [a == t for a, t in zip(answer, target, strict=True) if t != -100]
        exact, cells, scored = exact + all(row), cells + sum(row), scored + len(row)
    return [exact / len(logits), cells / scored]


def scores_as_tensors(logits, targets):
    scored, right = targets != -100, logits.argmax(-1) == targets
    return (right | ~scored).all(-1).double().mean(), right[scored].double().mean()


def parts(logits, targets):
    return logits.argmax(-1) == targets, targets != -100


def scores_any(logits, targets):
    right, scored = parts(logits, targets)
    return float(right.any(-1).float().mean()), float(right[scored].float().mean())


def scores_unmasked(logits, targets):
    right, _ = parts(logits, targets)
    return float(right.all(-1).float().mean()), float(right.float().mean())


def scores_ignore_as_right(logits, targets):
    right, scored = parts(logits, targets)
    right = right | ~scored
    return float(right.all(-1).float().mean()), float(right.float().mean())


def scores_ignore_first(logits, targets):
    right, _ = parts(logits, targets)
    return float(right[:, 1:].all(-1).float().mean()), float(right[:, 1:].float().mean())


def scores_counts(logits, targets):
    right, scored = parts(logits, targets)
    return int((right | ~scored).all(-1).sum()), int(right[scored].sum())


def scores_in_place(logits, targets):
    found = scores_as_tensors(logits, targets)
    targets[targets == -100] = 0
    return found


# ---------------------------------------------------------------- 05.2


def curve(
    model, x, targets, loops, first=1, of=lambda logits, targets: exact_match(logits, targets), scale=1, only=True
):
    found = {}
    for t, z in enumerate(model.states(x, max(loops) + 1), start=first):
        if t in loops or (not only and t <= max(loops)):
            found[t] = scale * float(of(model.read_out(z), targets).float().mean())
    return found


def curve_by_hand(model, x, targets, loops):
    f = model.loop(x)
    z = f.h
    found = {}
    for t in range(1, max(loops) + 1):
        z = f(z)
        if t in loops:
            found[t] = exact_match(model.read_out(z), targets).float().mean()
    return found


def curve_early(model, x, targets, loops):
    f = model.loop(x)
    z = f.h
    found = {}
    for t in range(1, max(loops) + 1):
        if t in loops:
            found[t] = float(exact_match(model.read_out(z), targets).float().mean())
        z = f(z)
    return found


def curve_many_runs(model, x, targets, loops):
    return {t: float(exact_match(model(x, t), targets).float().mean()) for t in loops}


# ---------------------------------------------------------------- 05.3


def noise(model, x, generator, scale=1.0):
    return scale * torch.randn(model.encode(x).shape, generator=generator)


def noise_in_steps(model, x, loops, scale, generator):
    h = model.encode(x)
    z = torch.empty_like(h).normal_(generator=generator).mul_(scale)
    for _ in range(loops):
        z = model.step(z, h)
    return model.read_out(z)


# ---------------------------------------------------------------- 05.4


def good_by_columns(right):
    found = []
    for column in right.T.tolist():
        loop = len(column) + 1
        while loop > 1 and column[loop - 2]:
            loop -= 1
        found.append(loop)
    return found


def good_by_last_wrong(right):
    wrong = (~right).numpy()
    return torch.tensor([int(np.flatnonzero(column)[-1]) + 2 if column.any() else 1 for column in wrong.T])


def good_in_place(right):
    found = good_by_columns(right)
    right.fill_(True)
    return found


# ---------------------------------------------------------------- 05.5


def line(x, y):
    slope, intercept = np.polyfit(x, y, 1)
    return slope, intercept


def line_by_lstsq(x, y):
    A = torch.tensor([[a, 1.0] for a in x])
    return torch.linalg.lstsq(A, torch.tensor(y, dtype=torch.float32)[:, None]).solution[:, 0]


RIGHT = {
    "05.1": [scores_by_rows, scores_as_tensors],
    "05.2": [curve, curve_by_hand],
    "05.3": [
        lambda model, x, loops, scale, generator: model(x, loops, noise(model, x, generator, scale)),
        noise_in_steps,
    ],
    "05.4": [good_by_columns, good_by_last_wrong],
    "05.5": [line, line_by_lstsq],
}
WRONG = {
    "05.1": [
        (scores_any, "not if any is"),
        (scores_unmasked, "not scored"),
        (scores_ignore_as_right, "counted as right"),
        (scores_ignore_first, "not always just the first"),
        (scores_counts, "these are counts"),
        (lambda *a: scores_by_rows(*a)[::-1], "order is exact match first"),
        (lambda *a: scores_by_rows(*a)[0], "expected a tuple of 2"),
        (scores_in_place, "changed in place"),
    ],
    "05.2": [
        (lambda *a: curve(*a, first=0), "one loop late"),
        (lambda m, x, y, loops: {t: v for t, v in curve(m, x, y, loops, 0).items() if t < max(loops)}, "start=1"),
        (curve_early, "one loop early"),
        (lambda *a: curve(*a, of=lambda logits, targets: (logits.argmax(-1) == targets)[:, 1:]), "share of cells"),
        (lambda *a: curve(*a, scale=8), "these are counts"),
        (lambda *a: curve(*a, only=False), "that were asked for"),
        (curve_many_runs, "go once through"),
        (lambda *a: list(curve(*a).values()), "expected a dict"),
    ],
    "05.3": [
        (lambda model, x, loops, scale, generator: model(x, loops, noise(model, x, generator)), "multiply it by scale"),
        (
            lambda model, x, loops, scale, generator: model(
                x, loops, model.encode(x) + noise(model, x, generator, scale)
            ),
            "noise alone",
        ),
        (lambda model, x, loops, scale, generator: model(x, loops), "from the embedded input"),
        (lambda model, x, loops, scale, generator: model(x, loops, "zeros"), "from zeros"),
        (
            lambda model, x, loops, scale, generator: model(x, loops, scale * torch.randn(2, 6, 16)),
            "generator=generator",
        ),
        (
            lambda model, x, loops, scale, generator: model(x, loops + 1, noise(model, x, generator, scale)),
            "one loop too many",
        ),
        (
            lambda model, x, loops, scale, generator: list(model.states(x, loops, noise(model, x, generator, scale)))[
                -1
            ],
            "read it out",
        ),
    ],
    "05.4": [
        (lambda right: right.long().argmax(0) + 1, "first loop at which it is right"),
        (lambda right: [a - 1 for a in good_by_columns(right)], "count loops from 1"),
        (lambda right: right.sum(0), "number of loops at which it is right"),
        (lambda right: [len(right) + 1 - a for a in good_by_columns(right)], "since which loop"),
        (lambda right: [min(a, len(right)) for a in good_by_columns(right)], "loops + 1"),
        (good_in_place, "changed in place"),
        (lambda right: good_by_columns(right)[:-1], "6 entries, got 5"),
    ],
    "05.5": [
        (lambda x, y: line(x, y)[::-1], "order is slope"),
        (lambda x, y: line(y, x), "exchanged"),
        (lambda x, y: (float(np.dot(x, y) / np.dot(x, x)), 0.0), "through the origin"),
        (
            lambda x, y: ((y[-1] - y[0]) / (x[-1] - x[0]), y[0] - (y[-1] - y[0]) / (x[-1] - x[0]) * x[0]),
            "first and the last",
        ),
        (lambda x, y: (line(x, y)[0], float(np.mean(y))), "slope is right"),
    ],
}
