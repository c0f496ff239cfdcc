"""The paper's claims beside what was measured here: ``claims.csv``; and accuracy by budget: ``budget.csv``.

A claim is written down as numbers that it says are large, one for each seed. Their mean gets Student's 95% interval
over seeds (a rank correlation over models, Fisher's), and the verdict is a function of the intervals alone: see `seen`
and `verdict`. Nothing is trained here: the rows are those of the other experiments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from looped_lite.intervals import spearman, t_interval
from looped_lite.paths import data_path, read_results

from .budget import table_of_budgets
from .grid import chosen
from .sweep import Row, write_rows

P, S, C = TASKS = ("prefix sums", "sudoku 6x6", "chess")
SCALAR = "scalar model"
GRID = {P: "grid_prefix_sums", S: "grid_sudoku_6x6", C: "grid_chess"}
FIRST = {P: "prefix_sums_grid", S: "sudoku_6x6_grid", C: "chess"}  # older tables: one rate for all
PATIENT = {P: "prefix_sums_no_recall", S: "sudoku_6x6_no_recall"}  # no recall, with more steps
WAY = "prefix_sums_on_the_way"
USUAL = {P: "exact_128", S: "hard_256", C: "mate1_64"}  # exact match on a test on which the better variants differ
HARD = {P: "exact_512", S: "hard_256", C: "mate3_64"}  # exact match on what is harder than anything in training
OVERFLOW = float(np.finfo(np.float32).max)  # stands for the length of a state that is no number any more
LEAST = 3  # seeds behind an interval, at least

BOTH, BARE, OUTER = ("internal", "external"), ("pre", "peri"), ("post", "sandwich")
OUTER_CELLS = [f"{recall}+{norm}" for recall in BOTH for norm in OUTER]
RECALL_CELLS = [f"{recall}+{norm}" for recall in BOTH for norm in (*BARE, *OUTER, "gru")]
LOOP_CELLS = [*RECALL_CELLS, *(f"none+{norm}" for norm in (*BARE, *OUTER, "gru"))]

Seeds = dict[str, float]  # a number for each seed


# ---- the rule


def seen(low: float, high: float, margin: float) -> str:
    """Is a number that should lie above ``margin`` seen to? "yes" if its whole interval does, "no" if none of it does,
    else "open"."""
    return "yes" if low > margin else "no" if high < margin else "open"


def verdict(answers: list[str]) -> str:
    """On a claim for one task, from what `seen` says of each of its measurements: it holds if all say yes, with an
    exception if at least half of them do."""
    if not answers:
        return "not run"
    yes = answers.count("yes")
    return "holds" if yes == len(answers) else "holds with an exception" if 2 * yes >= len(answers) else "not seen here"


@dataclass(frozen=True)
class Part:
    """One measurement: the claim says that ``effect`` is above ``margin``. Behind it are ``count`` seeds or models."""

    measurement: str
    table: str
    effect: float
    low: float
    high: float
    count: int
    unit: str = "seeds"
    margin: float = 0.0


@dataclass(frozen=True)
class Claim:
    """``place`` says where in the paper it stands. ``measure(task)`` gives its parts; None for one that was not run."""

    name: str
    place: str
    measure: Callable[[str], list[Part | None]]
    tasks: tuple[str, ...] = TASKS


# ---- reading rows


@cache
def rows_of(table: str) -> tuple[Row, ...]:
    """The rows of a table, none if it is not there. Of a grid's those at each cell's own rate; of `chess`, those of the
    models that learn mates in one and two."""
    rows = read_results(table)
    if table == "chess":
        rows = [row | {"share": float(row["right"]) / float(row["count"])} for row in rows if row["label"] == ""]
    return tuple(chosen(rows) if table in GRID.values() else rows)


def number(value: str) -> float:
    """A cell of a table; a state that overflowed is as long as a float can be."""
    return float(value) if math.isfinite(float(value)) else OVERFLOW


def at(table: str, column: str, cell: str, **where: str) -> Seeds:
    """A column of the models of one cell, such as "internal+post", by seed."""
    where |= dict(zip(("recall", "norm"), cell.split("+"), strict=True))
    rows = [row for row in rows_of(table) if all(row[name] == value for name, value in where.items())]
    return {row["seed"]: number(row[column]) for row in rows if row[column] != ""}


def minus(a: Seeds, b: Seeds) -> Seeds:
    """Seed by seed, where both are known."""
    return {seed: a[seed] - b[seed] for seed in a if seed in b}


def each(change: Callable[[float], float], values: Seeds) -> Seeds:
    return {seed: change(value) for seed, value in values.items()}


def log10(value: float) -> float:
    return math.log10(max(value, 1e-12))


# ---- measurements


def mean(measurement: str, table: str, values: Seeds, margin: float = 0.0) -> Part | None:
    """The mean over seeds with its interval; None where fewer than three were run."""
    if len(values) < LEAST:
        return None
    numbers = list(values.values())
    return Part(measurement, table, float(np.mean(numbers)), *t_interval(numbers), len(numbers), margin=margin)


def gap(
    what: str, table: str, column: str, a: str, b: str, change: Callable = float, margin: float = 0.0, **where: str
):
    """How much larger is a column in cell ``a`` than in cell ``b``, seed by seed?"""
    values = minus(*(each(change, at(table, column, cell, **where)) for cell in (a, b)))
    return mean(f"{what}: {a} less {b}", table, values, margin)


def within(what: str, table: str, late: str, early: str, cell: str, margin: float = 0.0) -> Part | None:
    """By how much one column of a cell lies above another, seed by seed?"""
    return mean(f"{what}: {cell}", table, minus(at(table, late, cell), at(table, early, cell)), margin)


def order(what: str, table: str, x: list[float], y: list[float]) -> Part | None:
    """Spearman's correlation over models; None for fewer than four, or where one side is constant."""
    if len(x) < 4 or len(set(x)) < 2 or len(set(y)) < 2:
        return None
    return Part(what, table, *spearman(x, y), len(x), "models")


def order_over(cells: list[str], what: str, task: str, x: str, y: str, sign: int) -> Part | None:
    """``sign`` times Spearman's correlation of two columns over cells, for each seed; the interval is over seeds."""
    columns = [(at(GRID[task], x, cell), at(GRID[task], y, cell)) for cell in cells]
    values = {}
    for seed in ("0", "1", "2"):
        pairs = [(a[seed], b[seed]) for a, b in columns if seed in a and seed in b]
        if len(pairs) >= 4 and all(len(set(side)) > 1 for side in zip(*pairs, strict=True)):
            values[seed] = sign * spearman(*zip(*pairs, strict=True))[0]
    return mean(what, GRID[task], values)


# ---- input-dependence


def lost(task: str) -> list[Part | None]:
    what = "right from the input less right from noise"
    if task == C:
        grid, older = within(what, GRID[C], "mate1_16", "noise_mate1_64", "none+post"), FIRST[C]
        of = lambda start, loops: at(
            older, "share", "none+post", depth="1", source="engine", start=start, loops=loops, label=""
        )
        return [grid, mean(f"{what}, older models: none+post", older, minus(of("input", "16"), of("noise", "64")))]
    columns = {P: ("exact_32", "noise_32"), S: ("hard_256", "noise_hard_256")}[task]
    return [within(f"{what}, with patience", PATIENT[task], *columns, "none+post")]


def known_from_noise(task: str) -> list[Part | None]:
    column = {P: "noise_128", S: "noise_hard_64", C: "noise_mate1_64"}[task]
    what = "right from a start of noise"
    return [gap(what, GRID[task], column, f"{recall}+{norm}", f"none+{norm}") for recall in BOTH for norm in OUTER]


def apart(task: str) -> list[Part | None]:
    what = "distance of the ends of two inputs, from the same noise"
    return [gap(what, GRID[task], "apart", f"{recall}+post", "none+post") for recall in BOTH]


def smooth(task: str) -> list[Part | None]:
    what = "log10 of how far the end moves for a small move of the input"
    pairs = [(f"{recall}+{norm}", f"{recall}+post") for recall in BOTH for norm in BARE]
    return [gap(what, GRID[task], "gain", *pair, log10) for pair in pairs]


# ---- reachability


def settles(task: str) -> list[Part | None]:
    what = "share that a loop moves by less than 0.1% after 256 loops"
    pairs = [(f"{recall}+{norm}", f"{recall}+pre") for recall in BOTH for norm in OUTER]
    return [gap(what, GRID[task], "settled", *pair) for pair in pairs]


def grows(task: str) -> list[Part | None]:
    what = "log10 of the length of the state after 400 loops"
    pairs = [(f"{recall}+{norm}", f"{recall}+post") for recall in ("none", *BOTH) for norm in BARE]
    return [gap(what, GRID[task], "norm_400", *pair, log10) for pair in pairs]


def one_end(task: str) -> list[Part | None]:
    what = "share of pairs of starts with one end"
    return [gap(what, GRID[task], "paths", f"{recall}+{norm}", f"none+{norm}") for recall in BOTH for norm in OUTER]


def paths_and_accuracy(task: str) -> list[Part | None]:
    what = "rank correlation of path independence and accuracy on the hard test, all cells with recall"
    return [order_over(RECALL_CELLS, what, task, "paths", HARD[task], 1)]


def stays(task: str) -> list[Part | None]:
    columns = {P: ("held_32", "exact_32"), S: ("hard_256", "hard_64"), C: ("mate1_256", "mate1_16")}[task]
    what = "accuracy after 256 loops less accuracy before"
    return [within(what, GRID[task], *columns, cell, -0.05) for cell in OUTER_CELLS]


# ---- geometry


def gradients(task: str) -> list[Part | None]:
    """Models whose gradients vanished in an overflowing state (a factor of exactly 1, see `gradient_growth`) are left
    out."""
    what = "log10 of the growth of a gradient through 32 loops"
    found = lambda cell: {s: 32 * log10(v) for s, v in at(GRID[task], "gradient", cell).items() if v != 1}
    pairs = [(f"{recall}+{norm}", f"{recall}+post") for recall in BOTH for norm in BARE]
    return [mean(f"{what}: {a} less {b}", GRID[task], minus(found(a), found(b))) for a, b in pairs]


def radius_and_accuracy(task: str) -> list[Part | None]:
    what = "minus the rank correlation of the loop's spectral radius and accuracy on the hard test"
    groups = ((LOOP_CELLS, "every recall and norm"), (OUTER_CELLS, "recall and outer norm alone"))
    return [order_over(cells, f"{what}, {which}", task, "rho_loop", HARD[task], -1) for cells, which in groups]


def radius_of_wz(task: str) -> list[Part | None]:
    """Over all models with external recall and pre or peri norm, whatever their rate."""
    column = {P: "exact_32", S: "hard_16", C: "mate1_64"}[task]
    tables = [GRID[P], FIRST[P]] if task == P else [GRID[task]]
    rows = [row for table in tables for row in read_results(table)]
    rows = [row for row in rows if row["recall"] == "external" and row["norm"] in BARE and row["rho_Wz"]]
    x, y = ([sign * float(row[name]) for row in rows] for name, sign in (("rho_Wz", -1), (column, 1)))
    what = "minus the rank correlation of the spectral radius of Wz and accuracy: external, pre and peri, every rate"
    return [order(what, " and ".join(tables), x, y)]


def during_training(task: str) -> list[Part | None]:
    radius = lambda cell, steps: at(WAY, "rho_loop", cell, steps_allowed=steps)
    cells = [f"{recall}+post" for recall in BOTH]
    end = "1 less the loop's spectral radius after 400 steps"
    fall = "the loop's spectral radius after 1 step less after 400"
    ends = [mean(f"{end}: {cell}", WAY, each(lambda rho: 1 - rho, radius(cell, "400"))) for cell in cells]
    return [*ends, *(mean(f"{fall}: {cell}", WAY, minus(radius(cell, "1"), radius(cell, "400"))) for cell in cells)]


def anisotropy(task: str, points: int = 10_000) -> list[Part | None]:
    """Random (x, y) of unit variance are moved to the nearest place where the scalar model is stable. Balance is the
    smaller of |x| and |y| there, divided by the larger: by how much is its mean higher for external recall, in three
    draws?"""
    values = {}
    for seed in range(LEAST):
        drawn = np.random.default_rng(seed).normal(size=(points, 2))
        sizes = (np.abs(move(drawn)) for move in (nearest_external, nearest_internal))
        external, internal = (float((size.min(1) / size.max(1)).mean()) for size in sizes)
        values[str(seed)] = external - internal
    return [mean("balance at the nearest stable point: external less internal", "drawn anew", values)]


def nearest(drawn: np.ndarray, curve: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """For each of the points (n, 2) the nearest of a curve y(x), among 4,000 of its points: (n, 2)."""
    fine = np.geomspace(1e-2, 20, 2_000)
    x = np.concatenate([-fine[::-1], fine])
    edge = np.stack([x, curve(x)], 1)
    parts = [((part[:, None] - edge) ** 2).sum(-1).argmin(1) for part in np.array_split(drawn, 20)]
    return edge[np.concatenate(parts)]


def nearest_of(drawn: np.ndarray, stable: np.ndarray, places: list[np.ndarray]) -> np.ndarray:
    """The nearest of several ``places`` for each point; those that are ``stable`` stay."""
    found = np.stack(places)
    best = ((found - drawn) ** 2).sum(-1).argmin(0)
    return np.where(stable[:, None], drawn, found[best, np.arange(len(drawn))])


def nearest_internal(drawn: np.ndarray) -> np.ndarray:
    """|1 + xy| <= 1: between the axes and xy = -2."""
    places = [drawn * [0, 1], drawn * [1, 0], nearest(drawn, lambda x: -2 / x)]
    return nearest_of(drawn, np.abs(1 + drawn.prod(1)) <= 1, places)


def nearest_external(drawn: np.ndarray) -> np.ndarray:
    """|(1 + y) x| <= 1."""
    places = [nearest(drawn, lambda x, side=side: side / x - 1) for side in (1, -1)]
    return nearest_of(drawn, np.abs((1 + drawn[:, 1]) * drawn[:, 0]) <= 1, places)


# ---- accuracy


def outer_norm(task: str) -> list[Part | None]:
    pairs = [(f"{recall}+post", f"{recall}+{norm}") for recall in BOTH for norm in BARE]
    found = [gap("right on the hard test", GRID[task], HARD[task], *pair) for pair in pairs]
    older = [gap("the same, older models", FIRST[P], HARD[P], *pair) for pair in pairs] if task == P else []
    return found + older


def no_recall(task: str) -> list[Part | None]:
    pairs = [(f"{recall}+{norm}", f"none+{norm}") for recall in BOTH for norm in OUTER]
    found = [gap("right on the hard test", GRID[task], HARD[task], *pair) for pair in pairs]
    if task in PATIENT:
        values = minus(at(FIRST[task], HARD[task], "internal+post"), at(PATIENT[task], HARD[task], "none+post"))
        tables = f"{FIRST[task]} and {PATIENT[task]}"
        found.append(mean("the same, without recall with patience: internal+post less none+post", tables, values))
    return found


def rivals(task: str, margin: float = -0.05) -> list[Part | None]:
    pairs = [(f"internal+{norm}", f"external+{norm}") for norm in OUTER]
    found = [gap("right", GRID[task], USUAL[task], *pair, margin=margin) for pair in pairs]
    column, where = HARD[task], {}
    if task == C:
        column, where = "share", {"depth": "1", "source": "engine", "start": "input", "loops": "64"}
    return [*found, gap("right, older models", FIRST[task], column, *pairs[0], margin=margin, **where)]


def better(task: str) -> list[Part | None]:
    return [part and replace(part, margin=0.0) for part in rivals(task)]


def gains(task: str) -> list[Part | None]:
    lead = lambda norm: minus(*(at(GRID[task], USUAL[task], f"{recall}+{norm}") for recall in BOTH))
    what = "internal less external with post, less the same with"
    return [mean(f"{what} {norm}", GRID[task], minus(lead("post"), lead(norm))) for norm in BARE]


def preliminary(task: str) -> list[Part | None]:
    tables = (GRID[P], FIRST[P], "prefix_sums_gentle")
    return [gap("right, 64 bits", table, "exact_64", "external+pre", "external+post") for table in tables]


def unshared(task: str) -> list[Part | None]:
    """Against the stack with the norm that is best for it on validation data."""
    looped, once = {P: ("exact_32", "exact_32"), S: ("hard_256", "hard_1"), C: ("mate1_64", "mate1_1")}[task]
    stacks = {row["norm"]: [] for row in rows_of(GRID[task]) if row["recall"] == "fixed"}
    if not stacks:
        return []
    best = max(stacks, key=lambda norm: sum(at(GRID[task], "validation", f"fixed+{norm}").values()))
    values = {cell: minus(at(GRID[task], looped, cell), at(GRID[task], once, f"fixed+{best}")) for cell in OUTER_CELLS}
    return [
        mean(f"right: {cell} less 16 unshared blocks with {best}", GRID[task], values[cell]) for cell in OUTER_CELLS
    ]


def more_loops(task: str) -> list[Part | None]:
    if task == P:
        what = "right at 512 bits, where less than 256 loops cannot be right"
        return [mean(f"{what}: {cell}", GRID[P], at(GRID[P], "exact_512", cell)) for cell in OUTER_CELLS]
    few = {S: "hard_16", C: "mate3_16"}[task]
    return [within(f"{HARD[task]} less {few}", GRID[task], HARD[task], few, cell) for cell in OUTER_CELLS]


def tokens(task: str, published: float = 0.574) -> list[Part | None]:
    cells = ((FIRST[S], "internal+post"), (FIRST[S], "external+post"), (PATIENT[S], "none+post"))
    below = lambda table, cell: each(lambda share: published - share, at(table, "hard_256", cell))
    return [mean(f"{published} less ours, hard puzzles: {cell}", table, below(table, cell)) for table, cell in cells]


# ---- the table

CLAIMS = [
    Claim("without recall the question is only in the start", "abstract: countable fixed points", lost),
    Claim("with recall and outer norm noise at the start does no harm", "abstract: input-dependent", known_from_noise),
    Claim("with recall the end depends on the input, without it cannot", "abstract: input-dependence", apart),
    Claim("the outer norm makes the end smooth in the input", "abstract: locally smooth", smooth),
    Claim("with recall and outer norm the loop reaches a fixed point", "abstract: reachable", settles),
    Claim("without the outer norm the state grows", "abstract: outer normalization", grows),
    Claim("with recall and outer norm every start has one end", "abstract: reachable", one_end),
    Claim("path independence goes with accuracy", "abstract: performance tracks the framework", paths_and_accuracy),
    Claim("with recall and outer norm answers stay (lose at most 0.05)", "abstract: reachable", stays),
    Claim("with the outer norm gradients grow less through the loop", "abstract: stable backpropagation", gradients),
    Claim("a smaller spectral radius of the loop, a higher accuracy", "abstract: geometry", radius_and_accuracy),
    Claim("external recall without outer norm wants a small radius of Wz", "appendix B.4", radius_of_wz),
    Claim("training brings the loop's spectral radius below 1", "abstract: geometry", during_training, (P,)),
    Claim("internal recall's stable region is less balanced", "appendix B.2", anisotropy, (SCALAR,)),
    Claim("with recall the outer norm carries over to harder problems", "abstract", outer_norm),
    Claim("without recall there is less to carry over", "abstract", no_recall),
    Claim("with outer norm internal recall competes (at most 0.05 behind)", "abstract", rivals),
    Claim("on sudoku internal recall is substantially better", "abstract", better, (S,)),
    Claim("the outer norm helps internal recall more than external", "abstract", gains),
    Claim("external recall on prefix sums: pre above post", "authors' code: residual_path", preliminary, (P,)),
    Claim("a loop beats a stack of unshared blocks", "appendix B.5", unshared),
    Claim("harder problems gain from more loops than training had", "figure 3", more_loops),
    Claim("one looped block without memory tokens stays near 0.574", "elsewhere, Sudoku-Extreme", tokens, (S,)),
]


def table_of_claims() -> list[Row]:
    """A row for each measurement, claim after claim and task after task; for a task without rows one that says so."""
    rows = []
    for place, claim in enumerate(CLAIMS, start=1):
        for task in claim.tasks:
            parts = [part for part in claim.measure(task) if part]
            answers = [seen(part.low, part.high, part.margin) for part in parts]
            said = {"number": place, "claim": claim.name, "place": claim.place, "task": task}
            said["verdict"] = verdict(answers)
            rows += [said | {"seen": one} | vars(part) for part, one in zip(parts, answers, strict=True)] or [said]
    return rows


def write() -> None:
    """Make both tables anew."""
    rows_of.cache_clear()
    rows = table_of_claims()
    write_rows(data_path("results", "claims.csv"), rows)
    write_rows(data_path("results", "budget.csv"), table_of_budgets())
    for row in {(row["number"], row["task"]): row for row in rows}.values():
        print(f"{row['number']:3} {row['claim']} · {row['task']}: {row['verdict']}")
