"""Chess: recall and norm on mates in one and two, and the shipped models on every test set, with the rules."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from looped_lite.evaluation import accuracy_over_loops, logits_over_loops
from looped_lite.fixed_points import lengths
from looped_lite.model import LoopedTransformer
from looped_lite.recipe import Recipe
from looped_lite.tasks import exact_match
from looped_lite.tasks.chess import (
    DEPTHS,
    Chess,
    Positions,
    load_positions,
    mates_at_once,
    move_probabilities,
    positions_of,
    read_fen,
    rules,
    score_moves,
    select,
)

from .grid import grid_jobs, variant_columns
from .measures import how_it_ends, rho_Wz, stability
from .sweep import Experiment, Job, Known, Row, shipped

SETS = ((1, "random"), (1, "engine"), (2, "random"), (2, "engine"), (3, "engine"), (4, "engine"))
LOOPS = (1, 2, 4, 8, 16, 32, 64, 128)
STILL = 1e-6  # a position whose state a loop moves by less than this share of its length keeps its answer
BOTH = Chess(depths=(1, 2), mirrored=0.5, curriculum=False)
TASKS = {  # by label: what is trained on
    "": BOTH,
    "mate1": Chess(depths=(1,), mirrored=0.5),
    "short": Chess(depths=(1, 2), mirrored=0.5, curriculum=False, most_loops=4),
}
VARIANTS = (("internal", "post"), ("none", "post"), ("external", "post"), ("internal", "peri"))


@torch.no_grad()
def measure_loops(model: LoopedTransformer, job: Job, count: int = 300, seed: int = 1_000) -> list[Row]:
    """How often both squares of the move are right, on ``count`` test positions of each depth and source: a row for
    each number of loops from the input, and one for 64 loops from noise."""
    generator, rows = torch.Generator().manual_seed(seed), []
    for depth, source in SETS:
        x, y = model.recipe.task.split(depth, "test", source, count)
        for start, loops in (("input", list(LOOPS)), ("noise", [64])):
            found = accuracy_over_loops(model, x, y, loops, start, generator, at_once=50)
            asked = {"depth": depth, "source": source, "start": start}
            rows += [{**asked, "loops": t, "count": len(x), "right": int(right.sum())} for t, right in found.items()]
    return rows


@torch.no_grad()
def measure_grid(model: LoopedTransformer, job: Job, count: int = 100) -> Row:
    """Both squares right on validation positions (mates in one and two after 16 loops, by which rates are chosen); on
    test positions of each depth, half of them from games of random moves where there are such, from the input, zeros
    and noise; and `stability`."""
    task, generator, row = model.recipe.task, torch.Generator().manual_seed(1_000), {}
    looped = task.most_loops > 1

    def share(depth: int, split: str, loops: list[int], start: str = "input") -> dict[int, float]:
        parts = [task.split(depth, split, source, count) for source in ("random", "engine") if (depth, source) in SETS]
        found = [accuracy_over_loops(model, x, y, loops, start, generator, 50, STILL) for x, y in parts]
        return {t: sum(float(one[t].float().mean()) for one in found) / len(found) for t in loops}

    first = 16 if looped else 1
    row["validation"] = sum(share(depth, "validation", [first])[first] for depth in (1, 2)) / 2
    for depth in (1, 2, 3):
        found = share(depth, "test", [16, 64] if looped else [1])
        row |= {f"mate{depth}_{t}": value for t, value in found.items()}
    if not looped:
        return row
    for start in ("zeros", "noise"):
        row[f"{start}_mate1_64"] = share(1, "test", [64], start)[64]
    row["mate1_256"] = share(1, "test", [256])[256]
    x, y = task.split(1, "test", "engine", 16)
    return row | how_it_ends(model, x) | {"rho_Wz": rho_Wz(model)} | stability(model, x[:8], y[:8])


def label_of(job: Job) -> str:
    return next((label for label, task in TASKS.items() if task == job.recipe.task), "other")


def name_of(job: Job) -> str:
    recipe = job.recipe
    return "-".join(filter(None, ["chess", recipe.recall, recipe.norm, label_of(job), f"seed{recipe.seed}"]))


def first_grid(known: Known) -> list[Job]:
    """Four variants with three seeds each; internal recall with outer norm also on mates in one alone, and with short
    runs.
    """
    of = lambda label, recall, norm, seed: Job(
        Recipe(TASKS[label], recall=recall, norm=norm, muon=0.02, compiled=True, seed=seed)
    )
    jobs = [of("", *variant, seed) for seed in range(3) for variant in VARIANTS]
    return [*jobs, *(of(label, "internal", "post", seed) for label in ("mate1", "short") for seed in range(3))]


def labelled(job: Job) -> Row:
    said = {"model": name_of(job), "recall": job.recipe.recall, "norm": job.recipe.norm, "seed": job.recipe.seed}
    return said | {"label": label_of(job)}


def all_shipped(known: Known) -> list[Job]:
    return [shipped(name_of(job)) for job in first_grid({}) if label_of(job) == ""]


def grid(known: Known) -> list[Job]:
    unlooped = Chess(depths=(1, 2), mirrored=0.5, curriculum=False, most_loops=1)
    return grid_jobs(known, BOTH, unlooped, steps=600)


# ---- few loops in training: is what has come to rest right?

LOOPS_BEYOND = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LESSON = Recipe(Chess(depths=(1,), sources=("random",), mirrored=0.5, most_loops=4), steps=900, decay=0.5, beta2=0.95)


def few_loops(known: Known) -> list[Job]:
    """The training run of lesson 08, section 5, three seeds; and the shipped models of 600 steps with N = 4 and 16."""
    names = [f"chess-internal-post{label}-seed{seed}" for label in ("-short", "") for seed in range(3)]
    return [
        *(Job(replace(LESSON, seed=seed), "section-5") for seed in range(3)),
        *(shipped(name, "shipped") for name in names),
    ]


@torch.no_grad()
def measure_beyond(model: LoopedTransformer, job: Job, count: int = 300, still: float = 1e-4) -> list[Row]:
    """On mates in one of random play, a row for each number of loops: ``right``; ``settled``, a loop moves the state by
    less than 1e-4 of its length; ``settled_wrong``; of those that were right after 4 loops, ``kept`` and ``left``:
    settled on a wrong move; and the relative step.
    """
    x, y = model.recipe.task.split(1, "test", "random", count)
    states, rows = model.states(x, LOOPS_BEYOND[-1]), []
    before, at_four = model.encode(x), torch.zeros(len(x), dtype=torch.bool)
    for t, z in enumerate(states, 1):
        if t in LOOPS_BEYOND:
            step = lengths(z - before) / lengths(z)
            right, rest = exact_match(model.read_out(z), y), step < still
            at_four = right if t == 4 else at_four
            wrong = rest & ~right
            found = {"right": right, "settled": rest, "settled_wrong": wrong, "right_at_4": at_four}
            found |= {"kept": at_four & right, "left": at_four & wrong}
            low, middle, high = step.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
            counts = {name: int(values.sum()) for name, values in found.items()}
            rows.append({"loops": t, "count": len(x), **counts, "step_low": low, "step": middle, "step_high": high})
        before = z
    return rows


def trained_how(job: Job) -> Row:
    label = job.part.replace("shipped", f"shipped-{job.recipe.task.most_loops}")
    return {"model": label, "most_loops": job.recipe.task.most_loops, "seed": job.recipe.seed}


# ---- the long-trained models

BEST_LOOPS = (1, 2, 4, 8, 16, 32, 64, 100, 1000)


def best(known: Known) -> list[Job]:
    names = ("chess", "chess-mate1", "chess-all", "chess-longer", "chess-averaged")
    return [shipped(name, f"{depth}-{source}") for name in names for depth, source in SETS]


def composed(known: Known) -> list[Job]:
    names = ("chess", "chess-all", "chess-longer", "chess-averaged")
    return [shipped(name, f"{depth}-composed") for name in names for depth in DEPTHS]


@torch.no_grad()
def measure_best(
    model: LoopedTransformer, job: Job, count: int = 1000, loops: tuple[int, ...] = BEST_LOOPS
) -> list[Row]:
    """With the rules of chess, on up to ``count`` test positions: see `score_moves`. A row for each number of loops."""
    depth, source = job.part.split("-")
    positions = Positions(*(part[:count] for part in positions_of(int(depth), "test", source)))
    x, _ = model.recipe.task.tensors(positions.boards, positions.targets)
    parts = [logits_over_loops(model, part, loops, still=1e-5) for part in x.split(50)]
    rows = []
    for t in loops:
        answers = score_moves(positions, torch.cat([part[t] for part in parts]))
        rows.append({"loops": t, "count": len(x), **{key: int(values.sum()) for key, values in answers.items()}})
    return rows


def at_home(known: Known) -> list[Job]:
    """The recipe of the shipped model `chess`, a tenth as long, three seeds."""
    task = Chess(depths=(1, 2), mirrored=0.5, curriculum=False, shares="positions", most_loops=12)
    return [
        Job(Recipe(task, width=160, steps=1500, decay=0.7, muon=0.02, bfloat16=True, compiled=True, seed=seed))
        for seed in range(3)
    ]


def measure_home(model: LoopedTransformer, job: Job) -> list[Row]:
    """`measure_best` after 16 loops, on up to 1,000 test positions of each set."""
    sets = [*SETS, *((depth, "composed") for depth in DEPTHS)]
    found = [measure_best(model, replace(job, part=f"{depth}-{source}"), loops=(16,))[0] for depth, source in sets]
    return [{"depth": depth, "source": source, **row} for (depth, source), row in zip(sets, found, strict=True)]


@torch.no_grad()
def best_moves(model: LoopedTransformer, fens: list[str], loops: int = 16) -> list[str]:
    """The likeliest legal move of each position after so many loops."""
    x = torch.cat([model.recipe.task.encode(fen) for fen in fens])
    logits = torch.cat([model(part, loops) for part in x.split(50)])
    return [next(iter(move_probabilities(fen, one)[0])) for fen, one in zip(fens, logits, strict=True)]


def measure_played(model: LoopedTransformer, job: Job, count: int = 100) -> Row:
    """Mates in two played to their end: in how many of ``count`` positions the ``first`` move is right, and after it
    every defence is answered with mate (``every``); and how many ``defences`` there were in all, and how many of them
    were ``mated``.
    """
    chess, found = rules(), {"count": count, "first": 0, "every": 0, "defences": 0, "mated": 0}
    positions = select(load_positions(2, "test"), job.part)
    for fen, right, move in zip(
        positions.fens, positions.moves, best_moves(model, positions.fens[:count]), strict=False
    ):
        if move != right:
            continue
        board = chess.Board(fen)
        board.push_uci(move)
        after = [board.copy() for _ in board.legal_moves]
        for one, defence in zip(after, board.legal_moves, strict=True):
            one.push(defence)
        answers = best_moves(model, [one.fen() for one in after])
        mated = [mates_at_once(one, one.parse_uci(answer)) for one, answer in zip(after, answers, strict=True)]
        counts = {"first": 1, "every": all(mated), "defences": len(mated), "mated": sum(mated)}
        found = {name: number + counts.get(name, 0) for name, number in found.items()}
    return found


def measure_each(model: LoopedTransformer, job: Job) -> list[Row]:
    """A row for each of the first 300 game-like test positions (600 of mates in two and three, whose first moves can be
    quiet): does the right move give ``check``, and from which loop of the first 16 on are both of its squares the
    likeliest (empty: not at the end).
    """
    positions, rows = select(load_positions(int(job.part), "test"), "engine"), []
    count = 600 if job.part in ("2", "3") else 300
    x, y = model.recipe.task.tensors(positions.boards[:count], positions.targets[:count])
    found = torch.stack(list(accuracy_over_loops(model, x, y, range(1, 17), at_once=50).values()))
    for i, (fen, move) in enumerate(zip(positions.fens[:count], positions.moves[:count], strict=True)):
        stays = [t for t in range(1, 17) if found[t - 1 :, i].all()]
        check = int(read_fen(fen).gives_check(rules().Move.from_uci(move)))
        rows.append({"index": i, "check": check, "right_at": min(stays, default="")})
    return rows


def each(known: Known) -> list[Job]:
    return [shipped("chess", str(depth)) for depth in (1, 2, 3, 4)]


def played(known: Known) -> list[Job]:
    return [shipped("chess", source) for source in ("random", "engine")]


def asked(job: Job) -> Row:
    depth, source = job.part.split("-")
    return {"model": job.pretrained, "depth": int(depth), "source": source}


EXPERIMENTS = [
    Experiment(
        "chess",
        "recall x norm on mates in one and two, 600 steps",
        first_grid,
        measure_loops,
        labelled,
        facts=("steps",),
        ship=name_of,
    ),
    Experiment(
        "chess_few_loops",
        "few loops in training, many afterwards",
        few_loops,
        measure_beyond,
        trained_how,
        facts=("steps",),
    ),
    Experiment("chess_best", "the long-trained models, with the rules", best, measure_best, asked, facts=()),
    Experiment(
        "chess_composed",
        "the long-trained models on positions like composed ones, 1 to 1,024 loops",
        composed,
        partial(measure_best, loops=tuple(2**power for power in range(11))),
        asked,
        facts=(),
    ),
    Experiment(
        "chess_at_home",
        "the recipe of `chess` a tenth as long, three seeds: what a reader gets",
        at_home,
        measure_home,
        lambda job: {"seed": job.recipe.seed},
    ),
    Experiment(
        "chess_played",
        "mates in two, played against every defence",
        played,
        measure_played,
        lambda job: {"source": job.part},
        facts=(),
    ),
    Experiment(
        "chess_each",
        "the long-trained model, position by position",
        each,
        measure_each,
        lambda job: {"depth": job.part},
        facts=(),
    ),
    Experiment(
        "shipped_chess", "the three axes, on the models of the first grid", all_shipped, measure_grid, variant_columns
    ),
    Experiment("grid_chess", "the grid: recall x norm, a rate for each", grid, measure_grid, variant_columns),
]
