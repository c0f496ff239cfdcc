"""Sudoku: recall and norm on 6x6, and the shipped 9x9 model on every test set, by loops and by tries."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor

from looped_lite.evaluation import accuracy_over_loops, logits_over_loops
from looped_lite.intervals import wilson
from looped_lite.model import LoopedTransformer
from looped_lite.paths import data_path, read_rows
from looped_lite.recipe import Recipe, variants
from looped_lite.solving import solve
from looped_lite.tasks import exact_match
from looped_lite.tasks.sudoku import Sudoku, load_puzzles
from looped_lite.tasks.sudoku_puzzles import parse, show

from .grid import grid_jobs, variant_columns
from .measures import how_it_ends, rho_Wz, stability
from .sweep import Experiment, Job, Known, Row, known_jobs, run_job, shipped
from .techniques import needed

SIX = Sudoku((2, 3))
STILL = 1e-6  # a puzzle whose state a loop moves by less than this share of its length keeps its answer


# ---- 6x6


@torch.no_grad()
def measure_accuracy(model: LoopedTransformer, job: Job, count: int = 200, seed: int = 1_000) -> Row:
    """Exact match on ``count`` easy and ``count`` hard test puzzles after 16 to 256 loops from the input (hard ones
    1,024, too), and after 256 from zeros and from noise; the step after 400 loops (mean over 100 hard puzzles); and the
    spectral radius of Wz."""
    generator, row = torch.Generator().manual_seed(seed), {}
    for name, split, longest in (("easy", "test", 256), ("hard", "hard", 1024)):
        x, y = model.recipe.task.split(split, count)
        usual = [loops for loops in (16, 64, 256, 1024) if loops <= longest]
        for start, loops in (("input", usual), ("zeros", [256]), ("noise", [256])):
            found = accuracy_over_loops(model, x, y, loops, start, generator, at_once=50)
            prefix = name if start == "input" else f"{start}_{name}"
            row |= {f"{prefix}_{t}": float(right.float().mean()) for t, right in found.items()}
    return row | {"step_400": how_it_ends(model, x[:100])["step_400"], "rho_Wz": rho_Wz(model)}


def measure_grid(model: LoopedTransformer, job: Job, count: int = 100) -> Row:
    """The share of validation puzzles that is right (easy and hard ones, after 16 loops, by which rates are chosen);
    exact match on test puzzles from the input, zeros and noise; and `stability`."""
    task, generator, row = model.recipe.task, torch.Generator().manual_seed(1_000), {}
    looped = task.most_loops > 1
    share = lambda split, loops, start="input": {
        t: float(v.float().mean())
        for t, v in accuracy_over_loops(model, *task.split(split, count), loops, start, generator, 50, STILL).items()
    }
    first = 16 if looped else 1
    row["validation"] = sum(share(split, [first])[first] for split in ("validation", "hard_validation")) / 2
    for name, split in (("easy", "test"), ("hard", "hard")):
        found = share(split, [16, 64, 256] if looped else [1])
        row |= {f"{name}_{t}": value for t, value in found.items()}
    if not looped:
        return row
    for start in ("zeros", "noise"):
        row[f"{start}_hard_64"] = share("hard", [64], start)[64]
    x, y = task.split("hard", 16)
    return row | how_it_ends(model, x) | {"rho_Wz": rho_Wz(model)} | stability(model, x[:8], y[:8])


def name_of(job: Job, label: str = "") -> str:
    return f"sudoku-6x6-{job.recipe.recall}-{job.recipe.norm}{label}-seed{job.recipe.seed}"


def first_grid(known: Known) -> list[Job]:
    """Outer norm with five seeds, pre and peri with one."""
    recipes = [
        r for seed in range(5) for r in variants(SIX, norms=["post", "pre", "peri"][: 1 if seed else 3], seed=seed)
    ]
    return [Job(recipe) for recipe in recipes]


def no_recall(known: Known) -> list[Job]:
    return [Job(Recipe(SIX, recall="none", steps=1500, lr=1e-3, seed=seed)) for seed in range(5)]


def all_shipped(known: Known) -> list[Job]:
    names = [name_of(job) for job in first_grid({})] + [name_of(job, "-long") for job in no_recall({})]
    return [shipped(name) for name in names]


def grid(known: Known) -> list[Job]:
    return grid_jobs(known, SIX, Sudoku((2, 3), most_loops=1), steps=400)


# ---- 9x9

NINES = ("sudoku-9x9", "sudoku-9x9-mined", "sudoku-9x9-averaged")
SETS = {"test": 1000, "hard": 1000, "extreme": 100, "mined": 110}
QQWING = ("simple", "easy", "intermediate", "expert")
LOOPS = (16, 32, 64, 128, 256, 512, 1024)
TRIES, LOOPS_A_TRY = 16, 64  # 1,024 loops at most; chosen on validation puzzles


def qqwing(difficulty: str = "") -> tuple[Tensor, Tensor, Tensor]:
    """The puzzles of another generator, of one difficulty or all, 75 of each in order: puzzles, solutions, guesses."""
    rows = read_rows(data_path("sudoku_9x9_qqwing.csv"))
    rows = [row for row in rows if difficulty in ("", row["difficulty"])]
    puzzles, solutions = (torch.tensor([parse(row[key]) for row in rows]) for key in ("puzzle", "solution"))
    return puzzles, solutions, torch.tensor([float(row["guesses"]) for row in rows])


def test_set(name: str) -> tuple[list[str], Tensor, Tensor, list[float]]:
    """Puzzles as text, inputs, targets and guesses of one 9x9 test set: a split, or ``qqwing-DIFFICULTY``."""
    if name in SETS:
        puzzles, solutions, guesses = (part[: SETS[name]] for part in load_puzzles((3, 3), name))
    else:
        puzzles, solutions, guesses = qqwing(name.split("-")[1])
    return [show(p) for p in puzzles.tolist()], *Sudoku().tensors(puzzles, solutions), guesses.tolist()


def right_and_solved(model: LoopedTransformer, name: str) -> tuple[Tensor, Tensor]:
    """Which puzzles are right after each number of loops, and which the rules say are solved: (loops, puzzles) bool."""
    _, x, y, _ = test_set(name)
    right, solved = [], []
    for part, target in zip(x.split(50), y.split(50), strict=True):
        kept = logits_over_loops(model, part, LOOPS, still=1e-5)
        right.append(torch.stack([exact_match(logits, target) for logits in kept.values()]))
        solved.append(torch.stack([model.recipe.task.certify(part, logits) for logits in kept.values()]))
    return torch.cat(right, 1), torch.cat(solved, 1)


def measure_loops(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each number of loops. Solved is what the rules say, without the solution; ``wrong`` counts errors."""
    right, solved = right_and_solved(model, job.part)
    counts = {"right": right, "solved": solved, "wrong": solved & ~right}
    return [
        {"loops": loops, "count": right.shape[1], **{name: int(values[i].sum()) for name, values in counts.items()}}
        for i, loops in enumerate(LOOPS)
    ]


def measure_each(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each puzzle: its rating, and the smallest of the numbers of loops from which on it is right."""
    right, rows = right_and_solved(model, job.part)[0], []
    for index, guesses in enumerate(test_set(job.part)[3]):
        stays = [loops for i, loops in enumerate(LOOPS) if right[i:, index].all()]
        rows.append({"index": index, "guesses": guesses, "right_at": min(stays, default="")})
    return rows


def solve_set(model: LoopedTransformer, name: str, restart: int, guess: bool = True) -> list[tuple[int | None, bool]]:
    """Of each puzzle of a test set: after how many loops `solve` has it solved, None if not within 1,024; and is the
    answer the solution?"""
    texts, x, y, _ = test_set(name)
    found = list(solve(model, texts, TRIES * LOOPS_A_TRY, restart, guess=guess))
    answers = torch.tensor([parse(one.answer) for one in found])
    right = ((answers == y + 1) | (x.argmax(-1) > 0)).all(-1).tolist()
    return [(one.loops if one.status == "solved" else None, r) for one, r in zip(found, right, strict=True)]


def within(found: list[tuple[int | None, bool]], loops: int) -> list[bool]:
    """Of those that are solved within so many loops: is it the solution?"""
    return [right for taken, right in found if taken is not None and taken <= loops]


def measure_tries(model: LoopedTransformer, job: Job) -> list[Row]:
    """How many puzzles are solved, and rightly, within as many loops as 1, 2, ... tries of 64 take, as `solve` tries;
    and how many, ``without``, if no try guesses a digit."""
    usual, without = (solve_set(model, job.part, LOOPS_A_TRY, guess) for guess in (True, False))
    rows = []
    for tries in range(1, TRIES + 1):
        said, unguessed = (within(found, tries * LOOPS_A_TRY) for found in (usual, without))
        counts = {"solved": len(said), "wrong": said.count(False), "without": len(unguessed)}
        rows.append({"loops": LOOPS_A_TRY, "tries": tries, "count": len(usual), **counts})
    return rows


def measure_one_run(model: LoopedTransformer, job: Job) -> list[Row]:
    """How many puzzles are solved, and rightly, within each number of loops of one run, which ends as soon as the rules
    say solved."""
    found, rows = solve_set(model, job.part, TRIES * LOOPS_A_TRY), []
    for loops in LOOPS:
        said = within(found, loops)
        rows.append({"loops": loops, "count": len(found), "solved": len(said), "wrong": said.count(False)})
    return rows


# what a shipped model should reach: test set, with restarts or in one run, share right within 1,024 loops
GOALS = [
    ("hard", True, 0.995),
    ("extreme", True, 0.97),
    ("qqwing-expert", True, 0.99),
    ("mined", True, 0.95),
    ("hard", False, 0.85),
]


def measure_goals(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each of the `GOALS`, with Wilson's interval, from the rows by tries and of one run, which are measured
    first where they are missing. ``wrong`` counts grids that the rules call solved and that are not the solution.
    """
    rows = []
    for split, restarts, goal in GOALS:
        experiment = BY_TRIES if restarts else ONE_RUN
        wanted = replace(job, part=split)
        while not run_job(experiment, wanted):  # done already, or done now, unless another process is at it
            time.sleep(1)
        last = known_jobs(experiment)[wanted.key]["rows"][-1]
        right, count = last["solved"] - last["wrong"], last["count"]
        low, high = (float(end) for end in wilson(right, count))
        row = {"split": split, "restarts": restarts, "loops": last["loops"] * last.get("tries", 1), "count": count}
        row |= {"right": right, "wrong": last["wrong"], "share": right / count, "low": low, "high": high}
        rows.append(row | {"goal": goal, "met": right / count >= goal})
    return rows


def nine(known: Known, names: tuple[str, ...] = NINES) -> list[Job]:
    return [shipped(name, part) for name in names for part in (*(f"qqwing-{word}" for word in QQWING), *SETS)]


# ---- what a reader gets at home


def at_home(known: Known) -> list[Job]:
    """The first stage of the shipped model's recipe, a fifth as long, three seeds."""
    return [
        Job(Recipe(Sudoku(), width=96, steps=1500, decay=0.75, muon=0.02, compiled=True, seed=seed))
        for seed in range(3)
    ]


@torch.no_grad()
def measure_home(model: LoopedTransformer, job: Job, count: int = 300) -> list[Row]:
    """A row for each of three test sets: right after 64 loops of one run, and solved within 1,024 loops by `solve`."""
    rows = []
    for name in ("test", "hard", "extreme"):
        texts, x, y, _ = (part[:count] for part in test_set(name))
        right = accuracy_over_loops(model, x, y, [64], at_once=50)[64]
        solved = sum(one.status == "solved" for one in solve(model, texts, TRIES * LOOPS_A_TRY))
        rows.append({"split": name, "count": len(texts), "right_64": int(right.sum()), "solved_1024": solved})
    return rows


# ---- what a person would need

TECHNIQUES = ("naked singles", "hidden singles", "pointing", "X-wing", "more")
UNSEEN = ("test", "validation", "hard", "hard_validation", "extreme")


@cache
def by_technique(most: int = 200) -> dict[str, list[tuple[list[int], list[int]]]]:
    """Up to ``most`` puzzles, and their solutions, of which none was trained on, by the technique that they
    `needed`.
    """
    found: dict[str, list] = {name: [] for name in TECHNIQUES}
    for split in UNSEEN:
        puzzles, solutions, _ = load_puzzles((3, 3), split)
        for puzzle, solution in zip(puzzles.tolist(), solutions.tolist(), strict=True):
            some = found.get(needed(puzzle), [])
            some += [(puzzle, solution)] * (len(some) < most)
    return found


def measure_technique(model: LoopedTransformer, job: Job) -> list[Row]:
    """How many of the puzzles that need a technique are right after each number of loops, in one run from the puzzle;
    and one such puzzle.
    """
    some = by_technique()[job.part.replace("-singles", " singles")]
    x, y = model.recipe.task.tensors(*(torch.tensor(part) for part in zip(*some, strict=True)))
    loops = sorted({1, 2, 4, 6, 8, 12, 16, 24, 32, 48, *LOOPS[1:5]})
    found = accuracy_over_loops(model, x, y, loops, at_once=20)
    return [{"loops": t, "count": len(x), "right": int(found[t].sum()), "example": show(some[0][0])} for t in loops]


def techniques(known: Known) -> list[Job]:
    return [shipped("sudoku-9x9", name.replace(" ", "-")) for name in TECHNIQUES]


short = lambda job: {name: getattr(job.recipe, name) for name in ("recall", "norm", "seed")}
of_set = lambda job: {"split": job.part}
of_model_and_set = lambda job: {"model": job.pretrained, "split": job.part}

BY_LOOPS = Experiment("sudoku_9x9", "the shipped 9x9 models, by loops", nine, measure_loops, of_model_and_set, facts=())
BY_TRIES = Experiment("sudoku_9x9_tries", "the same, by tries", nine, measure_tries, of_model_and_set, facts=())
ONE_RUN = Experiment(
    "sudoku_9x9_one_run",
    "the same, one run of 1,024 loops that ends when the rules say solved",
    lambda known: [shipped(name, part) for name in NINES for part in SETS],
    measure_one_run,
    of_model_and_set,
    facts=(),
)

EXPERIMENTS = [
    Experiment(
        "sudoku_6x6_grid",
        "recall x norm on 6x6, 600 steps at one rate",
        first_grid,
        measure_accuracy,
        short,
        ship=name_of,
    ),
    Experiment(
        "sudoku_6x6_no_recall",
        "no recall with patience: 1,500 steps at 1e-3",
        no_recall,
        measure_accuracy,
        short,
        ship=partial(name_of, label="-long"),
    ),
    BY_LOOPS,
    BY_TRIES,
    ONE_RUN,
    Experiment(
        "sudoku_9x9_each",
        "the first of them, puzzle by puzzle",
        partial(nine, names=NINES[:1]),
        measure_each,
        of_set,
        facts=(),
    ),
    Experiment(
        "sudoku_9x9_goals",
        "the 9x9 models, against what they should reach",
        lambda known: [shipped(name) for name in NINES],
        measure_goals,
        lambda job: {"model": job.pretrained},
        facts=(),
    ),
    Experiment(
        "sudoku_9x9_at_home",
        "the 9x9 recipe, a fifth of its first stage, three seeds: what a reader gets",
        at_home,
        measure_home,
        lambda job: {"seed": job.recipe.seed},
    ),
    Experiment(
        "sudoku_techniques",
        "the first of them, by the technique that a person needs",
        techniques,
        measure_technique,
        lambda job: {"technique": job.part},
        facts=(),
    ),
    Experiment(
        "shipped_sudoku_6x6",
        "the three axes, on the models of the 6x6 grid",
        all_shipped,
        measure_grid,
        variant_columns,
    ),
    Experiment("grid_sudoku_6x6", "the grid: recall x norm, a rate for each", grid, measure_grid, variant_columns),
]
