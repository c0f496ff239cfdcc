"""How to spend 256 to 4,096 loops on one hard 9x9 puzzle: tries of every length, whole steps and damped ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from looped_lite.intervals import bootstrap
from looped_lite.model import LoopedTransformer
from looped_lite.pretrained import load_pretrained
from looped_lite.solving import begin
from looped_lite.tasks.sudoku import load_puzzles

from .sweep import Experiment, Job, Known, Row, shipped

LONGEST, EACH = 192, 8  # loops of a try, and tries of each puzzle
EVERY = 4  # loops between two looks at the rules, as in `solve`


def luby(n: int) -> int:
    """The n-th length, from 0, of the universal schedule 1, 1, 2, 1, 1, 2, 4, 1, 1, 2, ... (Luby, Sinclair and
    Zuckerman 1993).
    """
    size = (n + 2).bit_length() - 1
    return 2 ** (size - 1) if n + 2 == 2**size else luby(n + 1 - 2**size)


SCHEDULES: dict[str, Callable[[int], int]] = {
    **{f"fixed {loops}": lambda n, loops=loops: loops for loops in (24, 32, 48, 64, 96, 128, 192)},
    **{f"luby {unit}": lambda n, unit=unit: unit * luby(n) for unit in (16, 32, 64)},
    **{f"growing by {by} from {first}": lambda n, by=by, first=first: first + by * n
       for first, by in ((32, 4), (32, 8), (48, 8), (64, 8), (64, 16))},
    **{f"growing {g:g}-fold from {first}": lambda n, g=g, first=first: 4 * round(first * g**n / 4)
       for first, g in ((32, 1.1), (32, 1.25), (32, 2.0), (48, 1.1))},
    **{f"first {first}, then {then}": lambda n, first=first, then=then: then if n else first
       for first, then in ((32, 64), (128, 48), (128, 64), (64, 48))},
}  # fmt: skip
BUDGETS = (256, 1024, 4096)


@torch.no_grad()
def first_certified(model: LoopedTransformer, x: Tensor, number: int, longest: int, step: float = 1.0) -> Tensor:
    """After how many loops try ``number`` of each puzzle is certified, as `solve` begins and judges it: (batch,), inf
    for never.
    """
    task = model.recipe.task
    loop, z, back = begin(task, model, x, number)
    found, active = torch.full((len(x),), torch.inf), torch.arange(len(x))
    for t in range(1, longest + 1):
        z = torch.lerp(z, loop(z), step)
        if t % EVERY == 0:
            logits = torch.zeros(len(x), x.shape[1], task.classes)
            logits[active] = loop.read_out(z)
            solved = task.certify(x, back(logits))[active]
            found[active[solved]] = t
            if solved.any():
                active, loop, z = active[~solved], loop[~solved], z[~solved]
            if not len(active):
                break
    return found


def spend(times: Tensor, schedule: Callable[[int], int], budget: int, draws: int = 200) -> tuple[Tensor, Tensor]:
    """What a schedule makes of ``times`` (puzzles, tries), inf for never: shares of runs within ``budget`` that solve
    each puzzle, and loops that they take, both (puzzles,). The first try is the first; the others are drawn from the
    puzzle's other tries.
    """
    generator = torch.Generator().manual_seed(5)
    count = len(times)
    left = torch.full((count, draws), float(budget))
    solved = torch.zeros(count, draws, dtype=torch.bool)
    n = 0
    while bool(((left > 0) & ~solved).any()):
        pick = torch.randint(1, times.shape[1], (count, draws), generator=generator)
        need = times.gather(1, pick) if n else times[:, :1].expand(count, draws)
        given = left.clamp_max(schedule(n))
        now = (need <= given) & ~solved & (left > 0)
        left -= torch.where(solved, 0.0, torch.where(now, need, given))
        solved |= now
        n += 1
    return solved.double().mean(1), budget - left.double().mean(1)


HARDEST = 60  # puzzles of a validation split at most, those with most guesses
KINDS = ((1.0, EACH, LONGEST), (0.7, 3, 128))  # step, tries of each puzzle, loops of a try


@cache
def needs(split: str, step: float, tries: int, longest: int) -> tuple[Tensor, Tensor]:
    """`first_certified` of the hardest puzzles of a split, (puzzles, tries), and their guesses."""
    model = load_pretrained("sudoku-9x9")
    puzzles, solutions, guesses = load_puzzles((3, 3), split)
    chosen = guesses.argsort(descending=True, stable=True)[:HARDEST]
    x, _ = model.recipe.task.tensors(puzzles[chosen], solutions[chosen])
    times = [torch.cat([first_certified(model, part, n, longest, step) for part in x.split(25)]) for n in range(tries)]
    return torch.stack(times, 1), guesses[chosen]


def measure_tries(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each puzzle, step and try: after how many loops of this try it is certified; empty if it is not within
    `LONGEST` (steps of 1) or 128 (damped steps).
    """
    rows = []
    for step, tries, longest in KINDS:
        times, guesses = needs(job.part, step, tries, longest)
        for puzzle, found in enumerate(times.tolist()):
            said = {"puzzle": puzzle, "guesses": float(guesses[puzzle]), "step": step}
            rows += [said | {"try": n, "loops": "" if t == math.inf else int(t)} for n, t in enumerate(found)]
    return rows


def measure_restarts(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each schedule, budget and kind of step, by the tries of `measure_tries`. ``gap`` is the share solved
    and ``more_loops`` the loops taken, less those of tries of 64 loops with whole steps.
    """
    found = {
        (name, step, budget): spend(needs(job.part, step, tries, longest)[0], schedule, budget)
        for step, tries, longest in KINDS
        for name, schedule in SCHEDULES.items()
        for budget in BUDGETS
    }
    rows = []
    for (name, step, budget), (solved, loops) in found.items():
        usual, usual_loops = found["fixed 64", 1.0, budget]
        sure = lambda values: bootstrap(values) if values.any() else (0.0, 0.0)
        row = {"schedule": name, "step": step, "budget": budget, "count": len(solved)}
        row |= dict(zip(("solved", "low", "high"), (float(solved.mean()), *sure(solved)), strict=True))
        row |= {"loops": float(loops.mean())}
        gap, more = solved - usual, loops - usual_loops
        row |= dict(zip(("gap", "gap_low", "gap_high"), (float(gap.mean()), *sure(gap)), strict=True))
        row |= dict(zip(("more_loops", "more_low", "more_high"), (float(more.mean()), *sure(more)), strict=True))
        rows.append(row)
    return rows


def on_hardest(known: Known) -> list[Job]:
    return [shipped("sudoku-9x9", "hard_validation")]


def on_mined(known: Known) -> list[Job]:
    return [shipped("sudoku-9x9", "mined_validation")]


of_split = lambda job: {"split": job.part}
EXPERIMENTS = [
    Experiment("tries_each", "tries at hard 9x9 puzzles, one by one", on_hardest, measure_tries, of_split, facts=()),
    Experiment(
        "restarts",
        "256 to 4,096 loops on a hard puzzle, by schedules",
        on_hardest,
        measure_restarts,
        of_split,
        facts=(),
    ),
    Experiment(
        "restarts_mined",
        "the same on mined puzzles",
        on_mined,
        measure_restarts,
        of_split,
        facts=(),
    ),
]
