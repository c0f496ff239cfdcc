"""Stopping rules on equal terms, on three streams of mixed difficulty; and whether difficulty predicts loops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

import torch
from torch import Tensor

from looped_lite.intervals import bootstrap, wilson
from looped_lite.model import LoopedTransformer
from looped_lite.pretrained import load_pretrained
from looped_lite.solving import LOOK_EVERY, solve
from looped_lite.stopping import (
    ROWS,
    Rule,
    Seen,
    certified,
    fit_head,
    fixed,
    run_until,
    still,
    stops,
    sure,
    trace,
    unchanged,
)
from looped_lite.tasks import IGNORE
from looped_lite.tasks.chess import Chess
from looped_lite.tasks.prefix_sums import PrefixSums, random_bits
from looped_lite.tasks.sudoku import Sudoku, load_puzzles
from looped_lite.tasks.sudoku_puzzles import parse, show

from .sudoku import qqwing
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
    counts = sorted({round(most * 2 ** (-k / 12)) for k in range(60)})
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
    return Seen(parts[0].loops, *(torch.cat([getattr(part, name) for part in parts]) for name in ROWS))


def looks(name: str) -> int:
    """After how many loops a rule of this name is asked: looking costs time, too."""
    return 1 if name in ("fixed", "unchanged") else LOOK_EVERY


def outcome(name: str, rule: Rule, found: Sequence[Traced]) -> tuple[Tensor, Tensor]:
    """Loops and right answers of all instances under a rule of this name: both (instances,)."""
    loops = [stops(rule, seen, looks(name)) for seen, _ in found]
    right = [hits[t - 1, torch.arange(len(t))] for t, (_, hits) in zip(loops, found, strict=True)]
    return torch.cat(loops), torch.cat(right)


def half(found: Sequence[Traced], odd: int) -> list[Traced]:
    """Every second instance of each group."""
    return [([s[torch.arange(odd, len(s), 2)] for s in seen], right[:, odd::2]) for seen, right in found]


SLACK = 0.005  # of accuracy on validation data, below the best that any fixed number of loops reaches


def choose(name: str, rules: dict[float, Rule], found: Sequence[Traced], best: float) -> float:
    """The setting with the fewest loops on validation data among those that are as good as ``best``, less `SLACK`; if
    none is, the most accurate.
    """
    scored = {}
    for setting, rule in rules.items():
        loops, right = outcome(name, rule, found)
        scored[setting] = float(right.float().mean()), float(loops.float().mean())
    good = [s for s in rules if scored[s][0] >= best - SLACK]
    return min(good, key=lambda s: scored[s][1]) if good else max(rules, key=lambda s: scored[s])


def judged(right: Tensor, loops: Tensor, reference: Tensor) -> Row:
    """How many of the instances are right, with interval, after how many loops, and the paired gap to those of
    ``reference``; all (instances,).
    """
    low, high = wilson(int(right.sum()), len(right))
    gap = (right.double() - reference.double()).numpy()
    gap_low, gap_high = bootstrap(gap) if gap.any() else (0.0, 0.0)
    return {
        "count": len(right), "right": int(right.sum()), "low": float(low), "high": float(high),
        "loops": float(loops.float().mean()), "gap": float(gap.mean()), "gap_low": gap_low, "gap_high": gap_high,
    }  # fmt: skip


def measure_rules(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each rule and setting, judged on test data; ``chosen`` marks the one that validation data chose, and
    only that is timed: seconds for the whole stream, live, the rules taking turns (median, least and most of
    ``REPEATS``).
    """
    most = MOST[job.part]
    found = {split: traced(job.part, split) for split in ("validation", "test")}
    fit, tune = half(found["validation"], 0), half(found["validation"], 1)
    learning = [together([seen[t] for seen, _ in fit]) for t in range(most)]
    head = fit_head(learning, torch.cat([right for _, right in fit], 1))
    every = rules(job.part, head)
    best = max(float(outcome("fixed", rule, found["validation"])[1].float().mean()) for rule in every["fixed"].values())
    picks, rows = {}, []
    for name, settings in every.items():
        on = tune if name == "learned head" else found["validation"]
        picks[name] = choose(name, settings, on, best)
    reference = outcome("fixed", every["fixed"][picks["fixed"]], found["test"])[1]
    for name, settings in every.items():
        for setting, rule in settings.items():
            loops, right = outcome(name, rule, found["test"])
            before = outcome(name, rule, tune if name == "learned head" else found["validation"])
            rows.append({
                "rule": name, "setting": setting, "chosen": int(setting == picks[name]),
                **judged(right, loops, reference),
                "validation": float(before[1].float().mean()), "validation_loops": float(before[0].float().mean()),
            })  # fmt: skip
    chosen = {name: every[name][picks[name]] for name in every}
    rows += tries_rows(model, job, reference, int(picks["fixed"]))
    budgets = [int(row["setting"]) for row in rows if row["rule"] == TRIES and row["setting"] < 1024]
    clock = time_rules(model, stream(job.part, "test"), chosen, int(picks["fixed"]), budgets, job)
    for row in rows:
        row |= clock.get((row["rule"], row["setting"]) if row["rule"] == TRIES else row["chosen"] and row["rule"], {})
    return rows


REPEATS = 3
TIMED = {"bits": 4, "sudoku": 40, "mates": 20}  # instances of a kind that are run live


def time_rules(
    model: LoopedTransformer,
    groups: Sequence[Group],
    chosen: dict[str, Rule],
    fixed_loops: int,
    budgets: Sequence[int],
    job: Job,
) -> dict[object, Row]:
    """Seconds of one core that each chosen rule takes on a part of the stream, and `solve` within each of ``budgets``,
    all taking turns (processor time, so that others on the machine do not count). With a fixed number of loops nothing
    is looked at on the way: that is a plain run of the model.
    """
    step = max(1, STREAMS[job.part][2] // TIMED[job.part])

    def live(name: str, rule: Rule) -> None:
        for x, y, _ in groups:
            size = min(128, AT_ONCE[job.part] * max(1, 512 // x.shape[1]) if job.part == "bits" else 32)
            for part, target in zip(x[::step].split(size), y[::step].split(size), strict=True):
                if name == "fixed":
                    plain(model, part, fixed_loops, AT_ONCE[job.part])
                else:
                    run_until(model, part, rule, MOST[job.part], target != IGNORE, every=looks(name))

    ways: dict[object, Callable[[], object]] = {name: partial(live, name, rule) for name, rule in chosen.items()}
    if budgets:
        texts = [show(grid) for grid in sudoku_puzzles("test", STREAMS["sudoku"][2])[0].tolist()[::step]]
        ways |= {
            (TRIES, budget): lambda budget=budget: list(solve(model, texts, budget, guess=False)) for budget in budgets
        }
    times: dict[object, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            began = time.process_time()
            way()
            times[name].append(time.process_time() - began)
    return {n: {"seconds": sorted(t)[len(t) // 2], "least": min(t), "most": max(t)} for n, t in times.items()}


@torch.no_grad()
def plain(model: LoopedTransformer, x: Tensor, loops: int, at_once: int) -> Tensor:
    return torch.cat([model(part, loops) for part in x.split(at_once)])


TRIES = "certificate and tries"


def tries_rows(model: LoopedTransformer, job: Job, reference: Tensor, fixed_loops: int) -> list[Row]:
    """On sudoku also `solve`, with tries: within as many loops as the fixed number, as the rules had, and 1,024."""
    if job.part != "sudoku":
        return []
    rows = []
    puzzles, solutions, _ = sudoku_puzzles("test", STREAMS["sudoku"][2])
    texts = [show(p) for p in puzzles.tolist()]
    for budget in sorted({fixed_loops, MOST["sudoku"], 1024}):
        said = list(solve(model, texts, budget, guess=False))
        right = torch.tensor([parse(one.answer) == s for one, s in zip(said, solutions.tolist(), strict=True)])
        loops = torch.tensor([one.loops for one in said])
        rows.append({"rule": TRIES, "setting": budget, "chosen": int(budget == MOST["sudoku"]),
                     **judged(right, loops, reference)})  # fmt: skip
    return rows


def streams(known: Known) -> list[Job]:
    return [shipped(MODELS[stream], stream) for stream in STREAMS]


of_stream = lambda job: {"stream": job.part}

# ---- does difficulty predict loops?


def measure_difficulty(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each test instance: how hard it is (bits; guesses of a search; moves to mate), from which loop on it is
    right (empty if it is not right in the end), and after how many its state is at rest to 1e-3 (empty if never).
    """
    rows = []
    for (_, _, hard), (seen, right) in zip(stream(job.part, "test"), traced(job.part, "test"), strict=True):
        from_there = right.flip(0).long().cumprod(0).sum(0)  # for how many loops, at the end, it was right
        still_at = torch.stack([one.residual <= 1e-3 for one in seen])
        for i, value in enumerate(hard.tolist()):
            right_at = len(seen) - int(from_there[i]) + 1 if from_there[i] else ""
            rest = int(still_at[:, i].long().argmax()) + 1 if still_at[:, i].any() else ""
            rows.append({"index": len(rows), "difficulty": value, "right_at": right_at, "still_at": rest})
    return rows


EXPERIMENTS = [
    Experiment("stopping", "stopping rules on three mixed streams", streams, measure_rules, of_stream, facts=()),
    Experiment("difficulty", "does difficulty predict loops?", streams, measure_difficulty, of_stream, facts=()),
]
