"""Beyond one block: does a loss that rewards a small last step help; does an answer last for 10,000 loops; more blocks
in a loop, and other widths.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from looped_lite.fixed_points import lengths
from looped_lite.model import Loop, LoopedTransformer
from looped_lite.recipe import Recipe
from looped_lite.tasks import Task, exact_match
from looped_lite.tasks.chess import Chess
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.tasks.sudoku import Sudoku

from .prefix_sums import strings
from .sweep import Experiment, Job, Known, Row, shipped

SEEDS = (0, 1, 2)
SMALL = {"width": 32, "batch": 32, "lr": 5e-3, "beta2": 0.95}  # a run takes some 20 seconds

# ---- a loss that rewards a small last step

STILL_WEIGHTS = (0.0, 0.1, 1.0)
STILL_LOOPS = (16, 64, 256, 1024)
SIX = Sudoku((2, 3), most_loops=10)
SHORT = PrefixSums(last_level=12, most_loops=10, last_loops=None)


def test_set(task: Task, count: int) -> tuple[Tensor, Tensor]:
    """Test instances: puzzles, half of them hard; mates in one; or strings twice as long as those of training."""
    if isinstance(task, Chess):
        return task.split(1, "test", "engine", count)
    if isinstance(task, Sudoku):
        parts = task.split("test", count // 2), task.split("hard", count // 2)
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))
    return strings(count, 2 * task.last_level, torch.Generator().manual_seed(1_000))


def still_jobs(known: Known) -> list[Job]:
    """Seed after seed, so that a sweep that is cut off has whole seeds. Pre-norm learns sudoku more slowly: its models
    are wider there, and trained for longer.
    """
    wider = {"width": 64, "batch": 32, "lr": 3e-3, "beta2": 0.95}
    ways = [
        {"task": SHORT, "norm": "post", "steps": 500, **SMALL},
        {"task": SHORT, "norm": "pre", "steps": 500, **SMALL},
        {"task": SIX, "norm": "post", "steps": 300, **SMALL},
        {"task": SIX, "norm": "pre", "steps": 400, **wider},
    ]
    return [Job(Recipe(**way, still=weight, seed=seed)) for seed in SEEDS for way in ways for weight in STILL_WEIGHTS]


@torch.no_grad()
def measure_still(model: LoopedTransformer, job: Job, count: int = 40) -> Row:
    """Exact match, relative step, and length of the state after 16 to 1,024 loops: means over `test_set`."""
    x, y = test_set(model.recipe.task, count)
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


# ---- horizons

FAR = (32, 100, 1_000, 10_000)
OTHERS = ("external-post", "internal-peri", "internal-pre", "external-pre")
SHIPPED = [
    *(f"prefix-sums-{name}-seed0" for name in ("internal-post", "none-post-long", *OTHERS)),
    *(f"sudoku-6x6-{name}-seed0" for name in ("internal-post", "none-post", *OTHERS)),
    *(f"chess-{name}-seed0" for name in ("internal-post", "none-post", *OTHERS[:2])),
    *(f"chess-internal-post-{name}-seed0" for name in ("short", "mate1")),
]


@torch.no_grad()
def states_at(loop: Loop, wanted: Sequence[int]) -> tuple[dict[int, tuple[Tensor, Tensor]], int, int]:
    """The states before and after each of the ``wanted`` loops; the loop from which on all states repeat, bit for bit,
    and with what period (0 and 0 where they do not). What follows a repetition is known without running it.
    """
    z, anchor, mark, found = loop.start(), None, 0, {}
    for t in range(1, max(wanted) + 1):
        before, z = z, loop(z)
        if t in wanted:
            found[t] = before, z
        if anchor is not None and torch.equal(z, anchor):  # Brent: compare with the state at loop 1, 2, 4, 8, ...
            break
        if t & (t - 1) == 0:
            anchor, mark = z, t
    else:
        return found, 0, 0
    period = t - mark
    for later in (w for w in wanted if w > t):
        pair = before, z
        for _ in range((later - t) % period):
            pair = pair[1], loop(pair[1])
        found[later] = pair
    return found, mark, period


@torch.no_grad()
def measure_horizon(model: LoopedTransformer, job: Job, count: int = 4) -> list[Row]:
    """A row for each precision and number of loops: right answers, step relative to the state, length of the state;
    how far the two precisions are apart there, and for how many instances (with finite states) they are read alike.
    """
    (x, y), rows, kept = test_set(model.recipe.task, count), [], {}
    if isinstance(model.recipe.task, PrefixSums):
        x, y = strings(count, 32, torch.Generator().manual_seed(1_000))
    for name, kind in (("float64", torch.float64), ("float32", torch.float32)):
        loop = model.to(kind).loop(x.to(kind))
        found, closed, period = states_at(loop, FAR)
        for t, (before, z) in found.items():
            size, answers = lengths(z), loop.read_out(z)
            other, said = kept.setdefault(t, (z, answers.argmax(-1)))
            same = ((answers.argmax(-1) == said) | (y < 0)).all(-1) & size.isfinite()
            rows.append({
                "precision": name, "loops": t, "count": count, "right": int(exact_match(answers, y).sum()),
                "step": float((lengths(z - before) / size).mean()), "length": float(size.mean()),
                "apart": float((lengths(z.double() - other) / lengths(other)).mean()), "alike": int(same.sum()),
                "repeats_from": closed, "period": period,
            })  # fmt: skip
    return rows


def named(job: Job) -> Row:
    recipe = job.recipe
    return {"task": recipe.task.name, "model": job.pretrained, "recall": recipe.recall, "norm": recipe.norm}


# ---- more blocks, other widths


def block_jobs(known: Known) -> list[Job]:
    """One, two and three blocks a loop, with as many fewer loops; and three widths."""
    task = lambda blocks: PrefixSums(last_level=12, most_loops=12 // blocks, last_loops=None)
    of = lambda seed, blocks=1, **settings: Job(
        Recipe(task(blocks), blocks=blocks, steps=500, seed=seed, **{**SMALL, **settings})
    )
    ways = [{}, {"blocks": 2}, {"blocks": 3}, {"width": 16}, {"width": 64}]
    return [of(seed, **way) for seed in SEEDS for way in ways]


@torch.no_grad()
def measure_blocks(model: LoopedTransformer, job: Job, count: int = 32) -> Row:
    """On strings of 12 and 48 bits: exact match after as many loops as the light cone asks for, after twice and after
    16 times that, and the relative step there.
    """
    row: Row = {}
    for bits in (12, 48):
        x, y = strings(count, bits, torch.Generator().manual_seed(1_000))
        least = -(-bits // (2 * job.recipe.blocks))
        found, _, _ = states_at(loop := model.loop(x), [least, 2 * least, 16 * least])
        for name, (_, z) in zip(("cone", "twice", "far"), found.values(), strict=True):
            row[f"{name}_{bits}"] = float(exact_match(loop.read_out(z), y).float().mean())
        before, z = found[16 * least]
        row |= {f"loops_{bits}": least, f"step_{bits}": float((lengths(z - before) / lengths(z)).mean())}
    return row


def shape(job: Job) -> Row:
    return {name: getattr(job.recipe, name) for name in ("blocks", "width", "seed")}


EXPERIMENTS = [
    Experiment(
        "still", "a loss that rewards a small last step: three weights", still_jobs, measure_still, still_columns
    ),
    Experiment(
        "horizons", "shipped models for 10,000 loops, in two precisions", lambda known: [shipped(n) for n in SHIPPED],
        measure_horizon, named, facts=(),
    ),
    Experiment("blocks", "one, two and three blocks a loop; widths", block_jobs, measure_blocks, shape),
]  # fmt: skip
