"""The grid: every recall and a stack without a loop, times every norm, at equal steps, each at its own best rate."""

from __future__ import annotations

from itertools import product

from looped_lite.recipe import Recipe
from looped_lite.tasks import Task

from .sweep import Job, Known, Row

RATES = (3e-3, 1e-3)  # for each cell the better one is chosen, on validation data, with seed 0; of equal ones the first
SEEDS = (0, 1, 2)
CELLS = [  # what is most telling comes first
    *product(("internal", "external", "none"), ("post", "pre", "peri")),
    *product(("internal", "external", "none"), ("sandwich", "gru")),
    *product(("fixed",), ("post", "pre", "peri", "sandwich", "gru")),
]
DEPTH = 16  # blocks of the stack: as many as the longest run in training has loops, about


def cell_of(recipe: Recipe) -> tuple[str, str]:
    """Recall and norm; recall is "fixed" for a stack without a loop."""
    return "fixed" if recipe.task.most_loops == 1 else recipe.recall, recipe.norm


def grid_jobs(known: Known, task: Task, unlooped: Task, steps: int, cells: list[tuple[str, str]] = CELLS) -> list[Job]:
    """Cell after cell: seed 0 at every rate, then the other seeds at the rate with the best ``validation``.
    ``unlooped`` is the task for a stack of blocks that is run once."""
    jobs = []
    for recall, norm in cells:
        stack = {"recall": "none", "blocks": DEPTH} if recall == "fixed" else {"recall": recall}
        settings = {"norm": norm, "steps": steps, "beta2": 0.95, **stack}
        settings["task"] = unlooped if recall == "fixed" else task
        at = lambda lr, seed, settings=settings: Job(Recipe(**settings, lr=lr, seed=seed))
        tried = {lr: at(lr, 0) for lr in RATES}
        jobs += tried.values()
        if all(job.key in known for job in tried.values()):
            rate = max(RATES, key=lambda lr: score(known[tried[lr].key]))
            jobs += [at(rate, seed) for seed in SEEDS[1:]]
    return jobs


def score(found: Row) -> float:
    """What a finished job has on validation data; a training that failed has less than nothing."""
    return float(found["rows"][0]["validation"]) if found["rows"] else -1.0


def chosen(rows: list[Row]) -> list[Row]:
    """Rows of a grid's table at each cell's own rate: of two the one with the better validation at seed 0."""
    best: dict[tuple[str, str], tuple[float, float]] = {}
    for row in rows:
        if row["seed"] == "0":
            cell, value = (row["recall"], row["norm"]), (float(row["validation"] or -1), float(row["lr"]))
            best[cell] = max(best.get(cell, value), value)
    return [row for row in rows if float(row["lr"]) == best.get((row["recall"], row["norm"]), (0, 0))[1]]


def variant_columns(job: Job) -> Row:
    recall, norm = cell_of(job.recipe)
    recipe = job.recipe
    return {"recall": recall, "norm": norm, "lr": recipe.lr, "seed": recipe.seed, "steps_allowed": recipe.steps}
