"""What lesson 12 asks of mazes: does a trained loop flood from S and E, or does it close dead ends? And does it do so
in larger mazes?
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

from looped_lite.evaluation import logits_over_loops
from looped_lite.model import LoopedTransformer
from looped_lite.recipe import Recipe
from looped_lite.tasks import exact_match

from .mazes import Maze, enlarged, filling, way
from .sweep import Experiment, Job, Known, Row

SIDES = (5, 7, 9)
MAZES, LOOPS = 300, 64
LATE = 20  # mazes that need more loops than this are the few that least squares listens to most
SETTINGS = {"width": 32, "batch": 48, "steps": 700, "lr": 6e-3, "beta2": 0.95, "muon": 0.02}


def needed(model: LoopedTransformer, x: Tensor, y: Tensor, loops: int = LOOPS) -> Tensor:
    """After how many loops each instance is right and stays so up to ``loops``: (batch,) whole numbers, 0 where it is
    wrong in the end.
    """
    right = torch.stack(
        [exact_match(logits, y) for logits in logits_over_loops(model, x, range(1, loops + 1)).values()]
    )
    stays = right.flip(0).long().cumprod(0).sum(0)  # how many of the last loops are right
    return torch.where(stays > 0, loops + 1 - stays, 0)


def slopes(loops: Tensor, length: Tensor, rounds: Tensor) -> tuple[float, float]:
    """Three (n,) -> loops for one step more of the way, and for one round more of filling: least squares, with a
    constant.
    """
    table = torch.stack([length, rounds, torch.ones_like(length)], 1).double()
    per_step, per_round, _ = torch.linalg.lstsq(table, loops.double()[:, None]).solution[:, 0].tolist()
    return per_step, per_round


def tested(model: LoopedTransformer, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """On fresh mazes of so many cells a side, each (mazes,): loops `needed`, steps of the way, rounds of filling."""
    larger = enlarged(model, side)
    mazes = larger.recipe.task.draw(MAZES, torch.Generator().manual_seed(1_000 + side))
    return needed(larger, *larger.recipe.task.tensors(mazes)), way(mazes).sum((1, 2)) - 1, filling(mazes)[1]


@torch.no_grad()
def measure(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each side: exact match after some numbers of loops on fresh mazes, and the two slopes over those that
    are right in the end.
    """
    rows = []
    for side in SIDES:
        found = tested(model, side)
        loops = found[0]
        solved = loops > 0
        row = {"side": side, "mazes": MAZES, "right": int(solved.sum())}
        for most in (8, 16, 32):
            row[f"right_{most}"] = int((solved & (loops <= most)).sum())
        if solved.sum() >= 30:
            row["mean_loops"] = float(loops[solved].double().mean())
            row["per_step"], row["per_round"] = slopes(*(part[solved] for part in found))
        rows.append(row)
    return rows


def jobs(known: Known) -> list[Job]:
    """Three seeds with recall and three without; and what did not work, one seed each."""
    recipes = [
        Recipe(Maze(), recall=recall, seed=seed, **SETTINGS) for recall in ("internal", "none") for seed in range(3)
    ]
    failed = [Recipe(Maze(attention="full"), **SETTINGS), Recipe(Maze(), **(SETTINGS | {"muon": None}))]
    return [Job(recipe) for recipe in [*recipes, *failed]]


def columns(job: Job) -> Row:
    recipe = job.recipe
    said = {name: getattr(recipe, name) for name in ("recall", "norm", "seed")}
    return {"attention": recipe.task.attention, "muon": recipe.muon or "", **said}


def instructions() -> str:
    """Which instructions torch, and the library that multiplies its matrices, use in this process."""
    return f"{torch.backends.cpu.get_cpu_capability().lower()}-{os.environ.get('MKL_CBWR', 'any').lower()}"


@torch.no_grad()
def measure_late(model: LoopedTransformer, job: Job) -> Row:
    """On the mazes of 5 by 5: how many are right, how many of these late, and the slopes with and without those."""
    found = tested(model, SIDES[0])
    loops = found[0]
    row: Row = {"mazes": MAZES, "right": int((loops > 0).sum()), "late": int((loops > LATE).sum())}
    for name, chosen in (("", loops > 0), ("_calm", (loops > 0) & (loops <= LATE))):
        row[f"per_step{name}"], row[f"per_round{name}"] = slopes(*(part[chosen] for part in found))
    return row


EXPERIMENTS = [
    Experiment("mazes", "lesson 12: does a loop flood, or close dead ends? three seeds", jobs, measure, columns),
    Experiment(
        "mazes_processors",
        "lesson 12: seed 0 of it once more, on this processor",
        lambda known: [Job(Recipe(Maze(), **SETTINGS), instructions())],
        measure_late,
        lambda job: {"instructions": job.part, "seed": job.recipe.seed},
    ),
]
