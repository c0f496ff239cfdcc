"""Beyond one block: does a loss that rewards standing still help; does an answer last for 10,000 loops; more blocks and other widths."""

from __future__ import annotations

import torch
from torch import Tensor

from looped_lite.fixed_points import lengths
from looped_lite.model import LoopedTransformer
from looped_lite.recipe import Recipe
from looped_lite.tasks import Task, exact_match
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.tasks.sudoku import Sudoku

from .prefix_sums import strings
from .sweep import Experiment, Job, Known, Row

SEEDS = (0, 1, 2)

# ---- a loss that rewards a small last step

STILL_WEIGHTS = (0.0, 0.1, 1.0)
STILL_LOOPS = (16, 64, 256, 1024)
SIX = Sudoku((2, 3), most_loops=10)
SHORT = PrefixSums(last_level=16, most_loops=12, last_loops=None)


def test_set(task: Task, count: int = 48) -> tuple[Tensor, Tensor]:
    """Test instances: 6x6 puzzles, half of them hard; or strings of 32 bits, twice as long as those of training."""
    if isinstance(task, Sudoku):
        parts = task.split("test", count // 2), task.split("hard", count // 2)
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))
    return strings(count, 2 * task.last_level, torch.Generator().manual_seed(1_000))


def still_jobs(known: Known) -> list[Job]:
    """Seed after seed, so that a sweep that is cut off has whole seeds."""
    settings = {"batch": 48, "beta2": 0.95}
    return [
        Job(Recipe(task, norm=norm, steps=steps, still=weight, seed=seed, **settings))
        for seed in SEEDS
        for task, steps in ((SIX, 200), (SHORT, 300))
        for norm in ("post", "pre")
        for weight in STILL_WEIGHTS
    ]


@torch.no_grad()
def measure_still(model: LoopedTransformer, job: Job) -> Row:
    """Exact match, step relative to the state, and length of the state after 16 to 1,024 loops: means over `test_set`."""
    x, y = test_set(model.recipe.task)
    loop, row = model.loop(x), {}
    z = loop.start()
    for t in range(1, STILL_LOOPS[-1] + 1):
        before, z = z, loop(z)
        if t in STILL_LOOPS:
            size = lengths(z)
            row[f"exact_{t}"] = float(exact_match(loop.read_out(z), y).float().mean())
            row[f"step_{t}"] = float((lengths(z - before) / size).mean())
            row[f"norm_{t}"] = float(size.mean())
    return row


def still_columns(job: Job) -> Row:
    recipe = job.recipe
    return {"task": recipe.task.name, "norm": recipe.norm, "still": recipe.still, "seed": recipe.seed}


EXPERIMENTS = [
    Experiment("still", "a loss that rewards a small last step: three weights", still_jobs, measure_still, still_columns),
]  # fmt: skip
