"""What tells a right answer from a wrong one without knowing it; and what damped steps and Anderson acceleration do, by
instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor

from looped_lite.fixed_points import Solved, anderson, lengths, picard
from looped_lite.intervals import auc
from looped_lite.model import LoopedTransformer
from looped_lite.solving import begin
from looped_lite.stopping import TINY, margin
from looped_lite.tasks import IGNORE, exact_match
from looped_lite.tasks.chess import Chess
from looped_lite.tasks.prefix_sums import PrefixSums, random_bits
from looped_lite.tasks.sudoku import Sudoku

from .prefix_sums import families
from .sweep import Experiment, Job, Known, Row, shipped

TRIES = 2  # more, from noise, whose answers are compared with the first
ENDS = {"sudoku": 64, "chess": 48, "prefix": 128}  # loops after which a run is judged
JUDGED = [
    "sudoku-9x9", "chess", "prefix-sums-seed0", "prefix-sums-internal-post-seed0", "prefix-sums-none-post-long-seed0",
    "prefix-sums-internal-peri-seed0", "chess-internal-post-short-seed0",
    *(f"sudoku-6x6-internal-{n}-seed0" for n in ("post", "pre")),
]  # fmt: skip


def judged_set(model: LoopedTransformer) -> tuple[Tensor, Tensor]:
    """Test instances of which some are too hard: hard and extreme puzzles, mates in one to four, strings of 64 bits
    with and without structure (ones, zeros, a period, few ones, long runs).
    """
    task = model.recipe.task
    if task.name == "chess":
        parts = [task.split(depth, "test", "engine", 20) for depth in (1, 2, 3, 4)]
    elif task.name == "prefix-sums":
        generator = torch.Generator().manual_seed(21)
        mixed = PrefixSums(uniform=0.3, biased=0.4)
        parts = [mixed.batch(40, 64, generator), mixed.tensors(torch.cat([s for _, s in families(64)]))]
    else:
        parts = [task.split("hard", 50), task.split("extreme", 50)]
    return tuple(torch.cat(each) for each in zip(*parts, strict=True))


@torch.no_grad()
def last_of(
    model: LoopedTransformer, x: Tensor, y: Tensor, number: int, loops: int, step: float = 1.0
) -> dict[str, Tensor]:
    """How try ``number`` of each instance ends: answer, is it right, |f(z) - z| absolute and relative to |f(z)|, and
    margin.
    """
    loop, z, back = begin(model.recipe.task, model, x, number)
    for _ in range(loops):
        z = torch.lerp(z, loop(z), step)
    after, asked = loop(z), y != IGNORE
    logits = back(loop.read_out(z))
    moved = lengths(after - z)
    return {
        "answer": torch.where(asked, logits.argmax(-1), 0),
        "right": exact_match(logits, y),
        "absolute": moved,
        "residual": moved / lengths(after).clamp_min(TINY),
        "margin": margin(logits, asked),
    }


def measure_judges(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each judge: how often it ranks a right answer above a wrong one (AUC), how many are right, and of those
    at rest (residual at most 1e-3) how many there are and how many are right. ``damped`` judges the answers of a run
    with steps of 0.7 by its residual.
    """
    loops = ENDS[model.recipe.task.name.split("-")[0]]
    x, y = judged_set(model)
    parts = list(zip(x.split(20), y.split(20), strict=True))
    run = lambda number, step: {
        name: torch.cat(values)
        for name, values in group(last_of(model, a, b, number, loops, step) for a, b in parts).items()
    }
    usual, damped = run(0, 1.0), run(0, 0.7)
    others = [run(number, 1.0)["answer"] for number in range(1, 1 + TRIES)]
    agreeing = torch.stack([(other == usual["answer"]).all(-1) for other in others]).double().mean(0)
    judges = {
        "residual": (-usual["residual"], usual), "absolute residual": (-usual["absolute"], usual),
        "margin": (usual["margin"], usual), "tries that agree": (agreeing, usual), "damped": (-damped["residual"],
        damped),
    }  # fmt: skip
    rows = []
    for name, (score, end) in judges.items():
        right = end["right"]
        at_rest = end["residual"] <= 1e-3
        counts = {
            "count": len(x),
            "right": int(right.sum()),
            "still": int(at_rest.sum()),
            "still_right": int((at_rest & right).sum()),
        }
        worth = {"auc": "", "low": "", "high": ""}
        score = torch.nan_to_num(score.double(), nan=-1e30, posinf=1e30, neginf=-1e30)
        if 5 <= right.sum() <= len(right) - 5:
            worth = dict(zip(worth, auc(score, right.long()), strict=True))
        rows.append({"judge": name, "loops": loops, **counts, **worth})
    return rows


def group(found: Iterable[dict[str, Tensor]]) -> dict[str, list[Tensor]]:
    together: dict[str, list[Tensor]] = {}
    for one in found:
        for name, value in one.items():
            together.setdefault(name, []).append(value)
    return together


# ---- clever solvers, instance by instance

SOLVERS: dict[str, Callable[..., Solved]] = {
    "plain": picard,
    **{f"damped {s:g}": lambda f, z, n, tol, s=s: picard(lambda z: torch.lerp(z, f(z), s), z, n,
    tol * s) for s in (0.8, 0.7, 0.5)},
    "Anderson 2": partial(anderson, memory=2),
    "Anderson 5": partial(anderson, memory=5),
    "Anderson 5 below 0.1": partial(anderson, memory=5, begin=0.1),
    "Anderson 5 below 0.01": partial(anderson, memory=5, begin=0.01),
    "Anderson 5, damped 0.7": lambda f, z, n, tol: anderson(lambda z: torch.lerp(z, f(z), 0.7), z, n, tol * 0.7,
    memory=5),
}  # fmt: skip
SOLVED_SETS = {"64 bits": 8, "256 bits": 4, "hard": 12, "mates": 12}


def solver_set(part: str) -> tuple[Tensor, Tensor]:
    count = SOLVED_SETS[part]
    if part == "mates":
        parts = [Chess().split(depth, "test", "engine", count // 4) for depth in (1, 2, 3, 4)]
        return tuple(torch.cat(each) for each in zip(*parts, strict=True))
    if part == "hard":
        return Sudoku().split("hard", count)
    return PrefixSums().tensors(random_bits(count, int(part.split()[0]), torch.Generator().manual_seed(31)))


@torch.no_grad()
def measure_solvers(model: LoopedTransformer, job: Job, tol: float = 1e-4) -> list[Row]:
    """A row for each solver: how many instances come to rest (relative residual of the loop at most ``tol``), how many
    answers are right, and evaluations of the block (median over instances; those that never rest count with all).
    ``helped`` rest in fewer than by plain loops, ``broke`` are right by plain loops and not by this solver, ``mended``
    the other way round.
    """
    x, y = solver_set(job.part)
    budget = {"64 bits": 128, "256 bits": 400, "hard": 128, "mates": 64}[job.part]
    rows, usual = [], None
    for name, solver in SOLVERS.items():
        parts = []
        for a, b in zip(x.split(12), y.split(12), strict=True):
            loop = model.loop(a)
            end = solver(loop, loop.start(), budget, tol)
            parts.append((end.settled, end.evaluations, exact_match(loop.read_out(end.z), b)))
        settled, used, right = (torch.cat(each) for each in zip(*parts, strict=True))
        usual = (settled, used, right) if usual is None else usual
        rows.append({
            "solver": name, "count": len(x), "settled": int(settled.sum()), "right": int(right.sum()),
            "evaluations": float(used.double().median()), "helped": int((settled & (used < usual[1])).sum()),
            "broke": int((usual[2] & ~right).sum()), "mended": int((right & ~usual[2]).sum()),
        })  # fmt: skip
    return rows


def solver_jobs(known: Known) -> list[Job]:
    models = {"hard": "sudoku-9x9", "mates": "chess"}
    return [shipped(models.get(part, "prefix-sums-seed0"), part) for part in SOLVED_SETS]


EXPERIMENTS = [
    Experiment(
        "judges", "what tells right answers from wrong ones", lambda known: [shipped(name) for name in JUDGED],
        measure_judges,
        lambda job: {"model": job.pretrained}, facts=(),
    ),
    Experiment(
        "acceleration", "damped steps and Anderson, by instance", solver_jobs, measure_solvers,
        lambda job: {"set": job.part}, facts=(),
    ),
]  # fmt: skip
