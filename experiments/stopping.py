"""Stopping rules on equal terms, how to spend many loops on one hard puzzle, what tells right from wrong, solvers, and difficulty."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial

import torch
from torch import Tensor

from looped_lite.fixed_points import Solved, anderson, lengths, picard
from looped_lite.intervals import auc, bootstrap, wilson
from looped_lite.model import LoopedTransformer
from looped_lite.paths import data_path, read_rows
from looped_lite.pretrained import load_pretrained
from looped_lite.solving import begin, solve
from looped_lite.stopping import Rule, Seen, certified, fit_head, fixed, run_until, still, stops, sure, trace, unchanged
from looped_lite.tasks import IGNORE, exact_match
from looped_lite.tasks.chess import Chess
from looped_lite.tasks.prefix_sums import PrefixSums, random_bits
from looped_lite.tasks.sudoku import Sudoku, load_puzzles
from looped_lite.tasks.sudoku_puzzles import parse, show

from .prefix_sums import families
from .sweep import Experiment, Job, Known, Row, shipped

Group = tuple[Tensor, Tensor, Tensor]  # inputs, targets, and a number that says how hard each instance is

# ---- the streams: instances of mixed difficulty, in groups of one number of cells

BITS = (8, 16, 32, 64, 128, 256, 512)
MOST = {"bits": 400, "sudoku": 256, "mates": 64}
MODELS = {"bits": "prefix-sums-seed0", "sudoku": "sudoku-9x9", "mates": "chess"}
AT_ONCE = {"bits": 8, "sudoku": 16, "mates": 20}  # instances of the largest size that stay in the processor's cache


def bits_stream(split: str, count: int) -> Iterator[Group]:
    """``count`` strings of each length."""
    generator = torch.Generator().manual_seed({"validation": 11, "test": 12}[split])
    for bits in BITS:
        x, y = PrefixSums().tensors(random_bits(count, bits, generator))
        yield x, y, torch.full((count,), float(bits))


def qqwing() -> tuple[Tensor, Tensor, Tensor]:
    """The puzzles of another generator: puzzles, solutions, guesses. 75 of each of four kinds, in order."""
    rows = read_rows(data_path("sudoku_9x9_qqwing.csv"))
    puzzles, solutions = (torch.tensor([parse(row[key]) for row in rows]) for key in ("puzzle", "solution"))
    return puzzles, solutions, torch.tensor([float(row["guesses"]) for row in rows])


def sudoku_puzzles(split: str, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """``count`` easy and as many hard puzzles; for the test also as many from qqwing, and half as many extreme ones."""
    names = {"validation": ("validation", "hard_validation"), "test": ("test", "hard")}[split]
    parts = [tuple(part[:count] for part in load_puzzles((3, 3), name)) for name in names]
    if split == "test":
        parts += [tuple(part[:: max(1, 300 // count)][:count] for part in qqwing())]
        parts += [tuple(part[: count // 2] for part in load_puzzles((3, 3), "extreme"))]
    return tuple(torch.cat(each) for each in zip(*parts, strict=True))


def sudoku_stream(split: str, count: int) -> Iterator[Group]:
    puzzles, solutions, guesses = sudoku_puzzles(split, count)
    yield *Sudoku().tensors(puzzles, solutions), guesses


def mates_stream(split: str, count: int) -> Iterator[Group]:
    """``count`` positions with mate in one, two, three and four each, from games of an engine."""
    parts = [Chess().split(depth, split, "engine", count) for depth in (1, 2, 3, 4)]
    x, y = (torch.cat(each) for each in zip(*parts, strict=True))
    yield x, y, torch.arange(1.0, 5.0).repeat_interleave(count)


# by name: what makes it, and how many instances of a kind there are in validation and in test data
STREAMS: dict[str, tuple[Callable[[str, int], Iterator[Group]], int, int]] = {
    "bits": (bits_stream, 8, 16),
    "sudoku": (sudoku_stream, 50, 40),
    "mates": (mates_stream, 30, 40),
}

# ---- rules on equal terms


def rules(stream: str, head: Callable[[Seen], Tensor]) -> dict[str, dict[float, Rule]]:
    """Every rule, at every setting that is tried."""
    most = MOST[stream]
    counts = sorted({round(most * 2 ** (-k / 4)) for k in range(20)})
    found = {
        "fixed": {t: fixed(t) for t in counts},
        "residual": {tol: still(tol) for tol in (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5)},
        "unchanged": {k: unchanged(k) for k in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)},
        "learned head": {p: sure(head, p) for p in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)},
    }
    return found | ({"certificate": {1: certified}} if stream == "sudoku" else {})


Traced = tuple[list[Seen], Tensor]


def stream(name: str, split: str) -> list[Group]:
    make, validation, test = STREAMS[name]
    return list(make(split, validation if split == "validation" else test))


@cache
def traced(name: str, split: str) -> list[Traced]:
    """A `trace` for each group of a stream, by the model that is asked for it; a few instances at a time."""
    model, most, at_once, found = load_pretrained(MODELS[name]), MOST[name], AT_ONCE[name], []
    for x, y, _ in stream(name, split):
        parts = [trace(model, a, b, most) for a, b in zip(x.split(at_once), y.split(at_once), strict=True)]
        seen = [together([part[0][t] for part in parts]) for t in range(most)]
        found.append((seen, torch.cat([right for _, right in parts], 1)))
    return found


def together(parts: Sequence[Seen]) -> Seen:
    join = lambda name: torch.cat([getattr(part, name) for part in parts])
    return Seen(parts[0].loops, *(join(name) for name in ("residual", "unchanged", "certified", "margin", "state")))


def outcome(rule: Rule, found: Sequence[Traced]) -> tuple[Tensor, Tensor]:
    """Loops and right answers of all instances under a rule: both (instances,)."""
    loops = [stops(rule, seen) for seen, _ in found]
    right = [hits[t - 1, torch.arange(len(t))] for t, (_, hits) in zip(loops, found, strict=True)]
    return torch.cat(loops), torch.cat(right)


def rows_of(seen: Seen, rows: Tensor) -> Seen:
    return Seen(
        seen.loops, *(getattr(seen, n)[rows] for n in ("residual", "unchanged", "certified", "margin", "state"))
    )


def half(found: Sequence[Traced], odd: int) -> list[Traced]:
    """Every second instance of each group."""
    return [([rows_of(s, torch.arange(odd, len(s), 2)) for s in seen], right[:, odd::2]) for seen, right in found]


SLACK = 0.005  # of accuracy on validation data, below the best that any fixed number of loops reaches


def choose(rules: dict[float, Rule], found: Sequence[Traced], best: float) -> float:
    """The setting with the fewest loops on validation data among those that are as good as ``best``, less `SLACK`; if none is, the most
    accurate."""
    scored = {}
    for setting, rule in rules.items():
        loops, right = outcome(rule, found)
        scored[setting] = float(right.float().mean()), float(loops.float().mean())
    good = [s for s in rules if scored[s][0] >= best - SLACK]
    return min(good, key=lambda s: scored[s][1]) if good else max(rules, key=lambda s: scored[s])


def measure_rules(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each rule and setting, judged on test data; ``chosen`` marks the one that validation data chose, and only that is timed:
    seconds for the whole stream, live, the rules taking turns (median, least and most of ``REPEATS``)."""
    most = MOST[job.part]
    found = {split: traced(job.part, split) for split in ("validation", "test")}
    fit, tune = half(found["validation"], 0), half(found["validation"], 1)
    learning = [together([rows_of(seen[t], ...) for seen, _ in fit]) for t in range(most)]
    head = fit_head(learning, torch.cat([right for _, right in fit], 1))
    every = rules(job.part, head)
    best = max(float(outcome(rule, found["validation"])[1].float().mean()) for rule in every["fixed"].values())
    picks, rows = {}, []
    for name, settings in every.items():
        on = tune if name == "learned head" else found["validation"]
        picks[name] = choose(settings, on, best)
    reference = outcome(every["fixed"][picks["fixed"]], found["test"])[1]
    for name, settings in every.items():
        for setting, rule in settings.items():
            loops, right = outcome(rule, found["test"])
            low, high = wilson(int(right.sum()), len(right))
            gap = (right.double() - reference.double()).numpy()
            gap_low, gap_high = bootstrap(gap) if gap.any() else (0.0, 0.0)
            before = outcome(rule, tune if name == "learned head" else found["validation"])
            rows.append({
                "rule": name, "setting": setting, "chosen": int(setting == picks[name]), "count": len(right),
                "right": int(right.sum()), "low": float(low), "high": float(high), "loops": float(loops.float().mean()),
                "gap": float(gap.mean()), "gap_low": gap_low, "gap_high": gap_high,
                "validation": float(before[1].float().mean()), "validation_loops": float(before[0].float().mean()),
            })  # fmt: skip
    clock = time_rules(
        model, stream(job.part, "test"), {name: every[name][picks[name]] for name in every}, picks["fixed"], job
    )
    for row in rows:
        row |= clock[row["rule"]] if row["chosen"] else {}
    return rows + tries_row(model, job, reference, clock)


REPEATS = 3
TIMED = {"bits": 4, "sudoku": 20, "mates": 20}  # instances of a kind that are run live


def time_rules(
    model: LoopedTransformer, groups: Sequence[Group], chosen: dict[str, Rule], fixed_loops: float, job: Job
) -> dict[str, Row]:
    """Seconds of one core that each chosen rule takes on a part of the stream, the rules taking turns (processor time, so that others on the
    machine do not count). With a fixed number of loops nothing is looked at
    on the way: that is a plain run of the model."""
    step = max(1, STREAMS[job.part][2] // TIMED[job.part])
    times: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(REPEATS):
        for name, rule in chosen.items():
            began = time.process_time()
            for x, y, _ in groups:
                size = min(128, AT_ONCE[job.part] * max(1, 512 // x.shape[1]) if job.part == "bits" else 64)
                for part, target in zip(x[::step].split(size), y[::step].split(size), strict=True):
                    if name == "fixed":
                        plain(model, part, int(fixed_loops), AT_ONCE[job.part])
                    else:
                        run_until(model, part, rule, MOST[job.part], target != IGNORE)
            times[name].append(time.process_time() - began)
    return {n: {"seconds": sorted(t)[len(t) // 2], "least": min(t), "most": max(t)} for n, t in times.items()}


@torch.no_grad()
def plain(model: LoopedTransformer, x: Tensor, loops: int, at_once: int) -> Tensor:
    return torch.cat([model(part, loops) for part in x.split(at_once)])


def tries_row(model: LoopedTransformer, job: Job, reference: Tensor, clock: dict[str, Row]) -> list[Row]:
    """On sudoku also `solve`, with tries: within as many loops as the rules had, and within 1,024."""
    if job.part != "sudoku":
        return []
    rows = []
    puzzles, solutions, _ = sudoku_puzzles("test", STREAMS["sudoku"][2])
    texts = [show(p) for p in puzzles.tolist()]
    for budget in (MOST["sudoku"], 1024):
        began = time.process_time()
        said = list(solve(model, texts, budget))
        seconds = time.process_time() - began
        right = torch.tensor([parse(one.answer) == s for one, s in zip(said, solutions.tolist(), strict=True)])
        low, high = wilson(int(right.sum()), len(right))
        gap = (right.double() - reference.double()).numpy()
        gap_low, gap_high = bootstrap(gap)
        loops = torch.tensor([float(one.loops) for one in said]).mean()
        rows.append({
            "rule": "certificate and tries", "setting": budget, "chosen": int(budget == MOST["sudoku"]), "count": len(right),
            "right": int(right.sum()), "low": float(low), "high": float(high), "loops": float(loops),
            "gap": float(gap.mean()), "gap_low": gap_low, "gap_high": gap_high, "all_seconds": seconds,
        })  # fmt: skip
    return rows


def streams(known: Known) -> list[Job]:
    return [shipped(MODELS[stream], stream) for stream in STREAMS]


# ---- does difficulty predict loops?


def measure_difficulty(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each test instance: how hard it is (bits; guesses of a search; moves to mate), from which loop on it is right (empty if it
    is not right in the end), and after how many its state is at rest to 1e-3 (empty if never)."""
    rows = []
    for (_, _, hard), (seen, right) in zip(stream(job.part, "test"), traced(job.part, "test"), strict=True):
        from_there = right.flip(0).long().cumprod(0).sum(0)  # for how many loops, at the end, it was right
        still_at = torch.stack([one.residual <= 1e-3 for one in seen])
        for i, value in enumerate(hard.tolist()):
            right_at = len(seen) - int(from_there[i]) + 1 if from_there[i] else ""
            rest = int(still_at[:, i].long().argmax()) + 1 if still_at[:, i].any() else ""
            rows.append({"index": len(rows), "difficulty": value, "right_at": right_at, "still_at": rest})
    return rows


# ---- how to spend many loops on one hard puzzle

LONGEST, EACH = 384, 10  # loops of a try, and tries of each puzzle
EVERY = 4  # loops between two looks at the rules, as in `solve`


def luby(n: int) -> int:
    """The n-th length, from 0, of the universal schedule 1, 1, 2, 1, 1, 2, 4, 1, 1, 2, ... (Luby, Sinclair and Zuckerman 1993)."""
    size = (n + 2).bit_length() - 1
    return 2 ** (size - 1) if n + 2 == 2**size else luby(n + 1 - 2**size)


SCHEDULES: dict[str, Callable[[int], int]] = {
    **{f"fixed {loops}": lambda n, loops=loops: loops for loops in (24, 32, 48, 64, 96, 128, 256, 512)},
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
    """After how many loops try ``number`` of each puzzle is certified, as `solve` begins and judges it: (batch,), inf for never."""
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
    """What a schedule makes of ``times`` (puzzles, tries), inf for never: shares of runs within ``budget`` that solve each puzzle, and loops
    that they take, both (puzzles,). The first try is the first; the others are drawn from the puzzle's other tries."""
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


HARDEST = 100  # hard validation puzzles, those with most guesses
KINDS = ((1.0, EACH, LONGEST), (0.7, 5, 256))  # step, tries of each puzzle, loops of a try


@cache
def needs(step: float, tries: int, longest: int) -> tuple[Tensor, Tensor]:
    """`first_certified` of the hardest validation puzzles, (puzzles, tries), and their guesses."""
    model = load_pretrained("sudoku-9x9")
    puzzles, solutions, guesses = load_puzzles((3, 3), "hard_validation")
    chosen = guesses.argsort(descending=True, stable=True)[:HARDEST]
    x, _ = model.recipe.task.tensors(puzzles[chosen], solutions[chosen])
    times = [torch.cat([first_certified(model, part, n, longest, step) for part in x.split(25)]) for n in range(tries)]
    return torch.stack(times, 1), guesses[chosen]


def measure_tries(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each puzzle, step and try: after how many loops of this try it is certified; empty if it is not within `LONGEST` (steps of 1) or
    256 (damped steps)."""
    rows = []
    for step, tries, longest in KINDS:
        times, guesses = needs(step, tries, longest)
        for puzzle, found in enumerate(times.tolist()):
            said = {"puzzle": puzzle, "guesses": float(guesses[puzzle]), "step": step}
            rows += [said | {"try": n, "loops": "" if t == math.inf else int(t)} for n, t in enumerate(found)]
    return rows


def measure_restarts(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each schedule, budget and kind of step, by the tries of `measure_tries`. ``gap`` is the share solved and ``more_loops`` the loops
    taken, less those of tries of 64 loops with whole steps."""
    found = {
        (name, step, budget): spend(needs(step, tries, longest)[0], schedule, budget)
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


# ---- what tells right from wrong

TRIES = 3  # more, from noise, whose answers are compared with the first
ENDS = {"sudoku": 64, "chess": 64, "prefix": 128}  # loops after which a run is judged
JUDGED = [
    "sudoku-9x9", "sudoku-6x6", *(f"sudoku-6x6-{r}-{n}-seed0" for r in ("internal", "external") for n in ("post", "pre", "peri")),
    "sudoku-6x6-none-post-long-seed0", "chess", *(f"chess-{r}-post-seed0" for r in ("internal", "external", "none")),
    "chess-internal-peri-seed0", "chess-internal-post-short-seed0", "prefix-sums-seed0", "prefix-sums-internal-peri-seed0",
    *(f"prefix-sums-{r}-post-seed0" for r in ("internal", "external", "none")), "prefix-sums-none-post-long-seed0",
]  # fmt: skip


def judged_set(model: LoopedTransformer) -> tuple[Tensor, Tensor]:
    """Test instances of which some are too hard: hard and extreme puzzles, mates in one to four, strings of 64 bits with and without
    structure (ones, zeros, a period, few ones, long runs)."""
    task = model.recipe.task
    if task.name == "chess":
        parts = [task.split(depth, "test", "engine", 30) for depth in (1, 2, 3, 4)]
    elif task.name == "prefix-sums":
        generator = torch.Generator().manual_seed(21)
        mixed = PrefixSums(uniform=0.3, biased=0.4)
        parts = [mixed.batch(60, 64, generator), mixed.tensors(torch.cat([s for _, s in families(64)]))]
    else:
        parts = [task.split("hard", 80), task.split("extreme", 80)]
    return tuple(torch.cat(each) for each in zip(*parts, strict=True))


@torch.no_grad()
def last_of(
    model: LoopedTransformer, x: Tensor, y: Tensor, number: int, loops: int, step: float = 1.0
) -> dict[str, Tensor]:
    """How try ``number`` of each instance ends: answer, is it right, |f(z) - z| absolute and relative to |f(z)|, and margin."""
    loop, z, back = begin(model.recipe.task, model, x, number)
    for _ in range(loops):
        z = torch.lerp(z, loop(z), step)
    after, asked = loop(z), y != IGNORE
    logits = back(loop.read_out(z))
    best = logits.softmax(-1).topk(2, dim=-1).values
    moved = lengths(after - z)
    return {
        "answer": torch.where(asked, logits.argmax(-1), 0), "right": exact_match(logits, y), "absolute": moved,
        "residual": moved / lengths(after).clamp_min(1e-30), "margin": (best[..., 0] - best[..., 1]).masked_fill(~asked, 1.0).amin(-1),
    }  # fmt: skip


def measure_judges(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each judge: how often it ranks a right answer above a wrong one (AUC), how many are right, and of those at rest (residual at
    most 1e-3) how many there are and how many are right. ``damped`` judges the answers of a run with steps of 0.7 by its residual."""
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
        "margin": (usual["margin"], usual), "tries that agree": (agreeing, usual), "damped": (-damped["residual"], damped),
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
    **{f"damped {s:g}": lambda f, z, n, tol, s=s: picard(lambda z: torch.lerp(z, f(z), s), z, n, tol * s) for s in (0.8, 0.7, 0.5)},
    "Anderson 2": partial(anderson, memory=2),
    "Anderson 5": partial(anderson, memory=5),
    "Anderson 5 below 0.1": partial(anderson, memory=5, begin=0.1),
    "Anderson 5 below 0.01": partial(anderson, memory=5, begin=0.01),
    "Anderson 5, damped 0.7": lambda f, z, n, tol: anderson(lambda z: torch.lerp(z, f(z), 0.7), z, n, tol * 0.7, memory=5),
}  # fmt: skip
SOLVED_SETS = {"64 bits": 8, "256 bits": 6, "hard": 24, "mates": 24}


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
    """A row for each solver: how many instances come to rest (relative residual of the loop at most ``tol``), how many answers are right, and
    evaluations of the block (median over instances; those that never rest count with all). ``helped`` rest in fewer than by plain loops,
    ``broke`` are right by plain loops and not by this solver, ``mended`` the other way round."""
    x, y = solver_set(job.part)
    budget = {"64 bits": 128, "256 bits": 400, "hard": 192, "mates": 96}[job.part]
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


def on_hardest(known: Known) -> list[Job]:
    return [shipped("sudoku-9x9", "hard_validation")]


of = lambda name: lambda job: {name: job.part}
EXPERIMENTS = [
    Experiment("stopping", "stopping rules on three mixed streams", streams, measure_rules, of("stream"), facts=()),
    Experiment("difficulty", "does difficulty predict loops?", streams, measure_difficulty, of("stream"), facts=()),
    Experiment("tries_each", "tries at hard 9x9 puzzles, one by one", on_hardest, measure_tries, of("split"), facts=()),
    Experiment(
        "restarts", "how to spend 256 to 4,096 loops on a hard puzzle",
        on_hardest, measure_restarts, of("split"), facts=(),
    ),
    Experiment(
        "judges", "what tells right answers from wrong ones", lambda known: [shipped(name) for name in JUDGED], measure_judges,
        lambda job: {"model": job.pretrained}, facts=(),
    ),
    Experiment("acceleration", "damped steps and Anderson, by instance", solver_jobs, measure_solvers, of("set"), facts=()),
]  # fmt: skip
