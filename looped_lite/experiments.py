"""Train and measure every variant at equal steps. One function makes one row of a table; a grid is many rows.

python -m looped_lite.experiments prefix-sums            train every recall x norm: data/results/prefix_sums_grid.csv
python -m looped_lite.experiments prefix-sums-lengths    test recall + outer norm: data/results/prefix_sums_lengths.csv
python -m looped_lite.experiments prefix-sums-live       train as in lesson 04, from many seeds: data/results/prefix_sums_live.csv
python -m looped_lite.experiments sudoku-6x6             train recall x norm on 6x6: data/results/sudoku_6x6_grid.csv
python -m looped_lite.experiments sudoku-9x9             test the shipped 9x9 model: data/results/sudoku_9x9*.csv
python -m looped_lite.experiments chess                  train recall x norm on mates in one and two: data/results/chess.csv
python -m looped_lite.experiments chess-best             test the shipped long-trained models: data/results/chess_best.csv
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import torch

from .blocks import NORMS, RECALLS
from .checkpoints import write_atomic
from .fixed_points import iterate
from .model import LoopedTransformer, count_parameters
from .paths import data_path
from .pretrained import load_pretrained, save_pretrained
from .tasks import IGNORE, exact_match
from .tasks.chess import Chess, Positions, load_positions, score_moves, select
from .tasks.prefix_sums import PrefixSums
from .tasks.sudoku import Sudoku, load_puzzles, try_again
from .tasks.sudoku_puzzles import parse, show
from .training import accuracy_over_loops, train

Row = dict[str, Any]
LENGTHS = {32: 256, 64: 128, 128: 64, 256: 32, 512: 16}  # bits: how many test strings, for each of many models
MANY = {64: 200, 128: 200, 256: 60, 512: 40}  # and for a few of them


@torch.no_grad()
def measure_prefix_sums(model: LoopedTransformer, lengths: dict[int, int] = LENGTHS, seed: int = 1_000) -> Row:
    """Exact match at each length with loops = length, from the input, and from noise at 32 and 128 bits with twice that; and
    how the loop ends: step size, relative step size and state norm (mean over 16 strings of 32 bits) after 400 loops."""
    generator = torch.Generator().manual_seed(seed)
    task, row = PrefixSums(), {}
    for bits, count in lengths.items():
        x, y = task.batch(count, bits, generator)
        row[f"exact_{bits}"] = float(accuracy_over_loops(model, x, y, [bits])[bits].float().mean())
        if bits in (32, 128):
            right = accuracy_over_loops(model, x, y, [2 * bits], start="noise", generator=generator)[2 * bits]
            row[f"noise_{bits}"] = float(right.float().mean())
    x, _ = task.batch(16, 32, generator)
    f, h = model.loop(x)
    end = iterate(f, h, loops=400)
    row["step_400"] = float(end.steps[-1].mean())
    row["relative_step_400"] = float((end.steps[-1] / end.norms[-1]).mean())
    row["norm_400"] = float(end.norms[-1].mean())
    recall = model.blocks[0].recall
    row["rho_Wz"] = "" if recall is None else float(torch.linalg.eigvals(recall.Wz.weight).abs().max())
    return row


def prefix_sums_row(
    recall: str, norm: str, seed: int, steps: int = 600, lr: float = 3e-3, label: str = "", progress: bool = False
) -> Row:
    """Train one prefix-sum model, ship it as ``prefix-sums-RECALL-NORM[-LABEL]-seedSEED``, and measure it."""
    task = PrefixSums()
    settings = {"recall": recall, "norm": norm, "seed": seed}
    model = task.model(**settings)
    run = train(model, task, steps, seed=seed, lr=lr, progress=progress)
    row = {**settings, "steps": run.step, "parameters": count_parameters(model), "level": run.level}
    row |= {"minutes": run.seconds / 60, "threads": torch.get_num_threads(), **measure_prefix_sums(model.eval())}
    ship(model, "prefix-sums", row, lr, label)
    return row


def lengths_row(recall: str, norm: str, seed: int, counts: dict[int, int] = MANY) -> Row:
    """Test a shipped prefix-sum model on more strings: exact match at each length with loops = length and with twice that,
    and up to 128 bits with twice that from noise. The strings are none that training or the grid saw."""
    model = load_pretrained(f"prefix-sums-{recall}-{norm}-seed{seed}")
    generator = torch.Generator().manual_seed(2_000 + seed)
    row: Row = {"recall": recall, "norm": norm, "seed": seed}
    for bits, count in counts.items():
        x, y = model.task.batch(count, bits, generator)
        found: dict[str, list[torch.Tensor]] = {"exact": [], "twice": [], "noise": []}
        for part in zip(x.split(20), y.split(20), strict=True):  # small batches stay in the processor's cache
            right = accuracy_over_loops(model, *part, [bits, 2 * bits])
            found["exact"].append(right[bits])
            found["twice"].append(right[2 * bits])
            if bits <= 128:
                noise = accuracy_over_loops(model, *part, [2 * bits], start="noise", generator=generator)
                found["noise"].append(noise[2 * bits])
        row |= {f"strings_{bits}": count}
        row |= {f"{name}_{bits}": float(torch.cat(parts).float().mean()) for name, parts in found.items() if parts}
    return row


LIVE = [  # beta2, N at 32 bits, settle; lesson 04 takes the first
    (0.95, 24, 200),
    (0.95, 32, 180),
    (0.95, 20, 250),
    (0.999, 20, 250),
]


def live_row(beta2: float, last_loops: int, settle: int, seed: int, threads: int) -> Row:
    """Train as lesson 04 does, and test on 4,096 strings of 32 bits with 32 and with 64 loops. ``arrived``: the step at which the
    curriculum came to 32 bits."""
    torch.set_num_threads(threads)
    task = PrefixSums(last_loops=last_loops)
    model = task.model(seed)
    run = train(model, task, 1200, settle=settle, seed=seed, lr=2e-3, beta2=beta2, progress=False)
    levels = run.history["level"]
    arrived = levels.index(task.last_level) + 1 if task.last_level in levels else ""
    x, y = task.batch(4096, 32, torch.Generator().manual_seed(2024))
    right = accuracy_over_loops(model, x, y, [32, 64], at_once=64)
    row: Row = {"beta2": beta2, "last_loops": last_loops, "settle": settle, "seed": seed, "threads": threads}
    row |= {"arrived": arrived, "steps": run.step, "strings": len(x)}
    return row | {f"right_{loops}": int(hits.sum()) for loops, hits in right.items()}


def measure_live() -> None:
    """`live_row` for six seeds of each recipe in `LIVE`; of the second also for three seeds on two threads, and once with 200 steps."""
    path = data_path("results", "prefix_sums_live.csv")
    runs = [(*recipe, seed, 1) for recipe in LIVE for seed in range(6)]
    runs += [(*LIVE[1], seed, 2) for seed in range(3)] + [(0.95, 32, 200, 0, 1)]
    for run in runs:
        rows = read_rows(path)
        known = [tuple(row[key] for key in ("beta2", "last_loops", "settle", "seed", "threads")) for row in rows]
        if tuple(f"{value:g}" for value in run) not in known:
            write_rows(path, [*rows, live_row(*run)])
            print(read_rows(path)[-1], flush=True)


@torch.no_grad()
def measure_sudoku(model: LoopedTransformer, count: int = 200, seed: int = 1_000) -> Row:
    """Exact match on ``count`` easy and ``count`` hard test puzzles after 16 to 256 loops from the input (hard ones 1,024, too),
    and after 256 from zeros and from noise; the step after 400 loops (mean over 100 hard puzzles); and the spectral radius of Wz."""
    generator, row = torch.Generator().manual_seed(seed), {}
    for name, split, longest in (("easy", "test", 256), ("hard", "hard", 1024)):
        x, y = model.task.split(split, count)
        usual = [loops for loops in (16, 64, 256, 1024) if loops <= longest]
        for start, loops in (("input", usual), ("zeros", [256]), ("noise", [256])):
            found = accuracy_over_loops(model, x, y, loops, start, generator, at_once=50)
            prefix = name if start == "input" else f"{start}_{name}"
            row |= {f"{prefix}_{t}": float(right.float().mean()) for t, right in found.items()}
    f, h = model.loop(x[:100])
    end = iterate(f, h, loops=400)
    row["step_400"] = float(end.steps[-1].mean())
    recall = model.blocks[0].recall
    row["rho_Wz"] = "" if recall is None else float(torch.linalg.eigvals(recall.Wz.weight).abs().max())
    return row


def sudoku_row(recall: str, norm: str, seed: int, steps: int = 600, lr: float = 3e-3, label: str = "") -> Row:
    """Train one 6x6 sudoku model, ship it as ``sudoku-6x6-RECALL-NORM[-LABEL]-seedSEED``, and measure it."""
    task = Sudoku((2, 3))
    settings = {"recall": recall, "norm": norm, "seed": seed}
    model = task.model(**settings)
    run = train(model, task, steps, seed=seed, lr=lr, progress=False)
    row = {**settings, "steps": run.step, "parameters": count_parameters(model), "level": run.level}
    row |= {"minutes": run.seconds / 60, "threads": torch.get_num_threads(), **measure_sudoku(model.eval())}
    ship(model, "sudoku-6x6", row, lr, label)
    return row


SUDOKU_SETS = {"test": 1000, "hard": 1000, "extreme": 100}
QQWING = ("simple", "easy", "intermediate", "expert")
BEST_LOOPS = (1, 2, 4, 8, 16, 32, 64, 100, 1000)
SUDOKU_LOOPS = (16, 32, 64, 128, 256, 512, 1024)


def sudoku_set(name: str) -> tuple[list[str], torch.Tensor, torch.Tensor, list[float]]:
    """Puzzles as text, inputs, targets and guesses of one 9x9 test set: a split, or ``qqwing-DIFFICULTY``."""
    if name in SUDOKU_SETS:
        puzzles, solutions, guesses = (part[: SUDOKU_SETS[name]] for part in load_puzzles((3, 3), name))
    else:
        rows = [r for r in read_rows(data_path("sudoku_9x9_qqwing.csv")) if r["difficulty"] == name.split("-")[1]]
        puzzles, solutions = (torch.tensor([parse(row[key]) for row in rows]) for key in ("puzzle", "solution"))
        guesses = torch.tensor([float(row["guesses"]) for row in rows])
    return [show(p) for p in puzzles.tolist()], *Sudoku().tensors(puzzles, solutions), guesses.tolist()


@torch.no_grad()
def logits_over_loops(
    model: LoopedTransformer, x: torch.Tensor, loops: Iterable[int], still: float = 1e-5
) -> dict[int, torch.Tensor]:
    """What is read off after each of the given numbers of ``loops``: {loops: (batch, ...)}. Instances whose state a loop moves by
    less than ``still`` of its length are taken out and keep their answer: most of them, soon."""
    wanted, found = sorted(set(loops)), {}
    h = model.encode(x)
    angles, z, active = model.angles(h), h, torch.arange(len(x))
    logits = model.read_out(z).clone()
    for t in range(1, wanted[-1] + 1):
        after = model.step(z, h, angles)
        moving = (after - z).flatten(1).norm(dim=1) > still * after.flatten(1).norm(dim=1)
        z = after
        if t in wanted or not moving.all():
            logits[active] = model.read_out(z)
            z, h, active = z[moving], h[moving], active[moving]
        if t in wanted:
            found[t] = logits.clone()
        if not len(active):
            return found | {t: logits for t in wanted if t not in found}
    return found


@torch.no_grad()
def measure_sudoku_set(model: LoopedTransformer, name: str) -> tuple[list[Row], list[Row]]:
    """Exact match of a 9x9 model on one test set at `SUDOKU_LOOPS`: a row for each number of loops, and a row for each puzzle.

    A puzzle counts as reported solved where the rules alone say so, without its solution; ``wrong`` counts the reports
    that are wrong.
    """
    texts, x, y, guesses = sudoku_set(name)
    right, reported = [], []
    for number, part in enumerate(x.split(50)):
        first = 50 * number
        kept = logits_over_loops(model, part, SUDOKU_LOOPS)
        for logits, text, target in zip(torch.stack(list(kept.values()), 1), texts[first:], y[first:], strict=False):
            right.append([bool(exact_match(each[None], target[None])) for each in logits])
            reported.append([model.task.decode(text, each)["solved"] for each in logits])
    by_loops = [
        {
            "split": name, "loops": loops, "count": len(texts), "right": sum(row[i] for row in right),
            "solved": sum(row[i] for row in reported),
            "wrong": sum(said[i] and not row[i] for said, row in zip(reported, right, strict=True)),
        }
        for i, loops in enumerate(SUDOKU_LOOPS)
    ]  # fmt: skip
    each = []
    for index, row in enumerate(right):
        stays = [loops for i, loops in enumerate(SUDOKU_LOOPS) if all(row[i:])]
        each.append({"split": name, "index": index, "guesses": guesses[index], "right_at": min(stays, default="")})
    return by_loops, each


TRIES, LOOPS_A_TRY = 16, 64  # 1,024 loops at most; chosen on validation puzzles


def measure_sudoku_tries(model: LoopedTransformer, name: str, seed: int = 0) -> list[Row]:
    """How many puzzles of one 9x9 test set are solved, and rightly, by up to 1, 2, ... tries of equally many loops."""
    _, x, y, _ = sudoku_set(name)
    answers, solved = try_again(model, x, LOOPS_A_TRY, TRIES, torch.Generator().manual_seed(seed))
    right = ((answers == y + 1) | (y == IGNORE)).all(-1)
    rows = []
    for tries in range(1, TRIES + 1):
        reported = (solved > 0) & (solved <= tries)
        counts = {"solved": int(reported.sum()), "wrong": int((reported & ~right).sum())}
        rows.append({"split": name, "loops": LOOPS_A_TRY, "tries": tries, "count": len(x), **counts})
    return rows


def measure_sudoku_9x9(model_name: str = "sudoku-9x9") -> None:
    """Test the shipped 9x9 model on every set; sets that are in the results already are kept."""
    model = load_pretrained(model_name)
    for block in model.blocks:
        block.compile(dynamic=True)
    paths = [data_path("results", f"sudoku_9x9{part}.csv") for part in ("", "_each", "_tries")]
    for name in (*(f"qqwing-{difficulty}" for difficulty in QQWING), *SUDOKU_SETS):
        if any(row["split"] == name for row in read_rows(paths[0])):
            continue
        found = *measure_sudoku_set(model, name), measure_sudoku_tries(model, name)
        for path, new in zip(paths, found, strict=True):
            write_rows(path, [*read_rows(path), *new])
        print(
            name,
            {
                row["loops"]: round(int(row["right"]) / int(row["count"]), 3)
                for row in read_rows(paths[0])
                if row["split"] == name
            },
        )


CHESS_SETS = ((1, "random"), (1, "engine"), (2, "random"), (2, "engine"), (3, "engine"), (4, "engine"))
BEST_CHESS = ("chess", "chess-mate1")  # trained for long: on mates in one and two, and on mates in one
CHESS_LOOPS = (1, 2, 4, 8, 16, 32, 64, 128)
CHESS_TASKS = {  # by label: what is trained on
    "": Chess(depths=(1, 2), mirrored=0.5, curriculum=False),
    "mate1": Chess(depths=(1,), mirrored=0.5),
    "short": Chess(depths=(1, 2), mirrored=0.5, curriculum=False, most_loops=4),
}


@torch.no_grad()
def measure_chess(model: LoopedTransformer, count: int = 300, seed: int = 1_000) -> list[Row]:
    """How often both squares of the move are right, on ``count`` test positions of each depth and source: a row for each number of
    loops from the input, and one for 64 loops from noise."""
    generator, rows = torch.Generator().manual_seed(seed), []
    for depth, source in CHESS_SETS:
        x, y = model.task.split(depth, "test", source, count)
        for start, loops in (("input", list(CHESS_LOOPS)), ("noise", [64])):
            found = accuracy_over_loops(model, x, y, loops, start, generator, at_once=50)
            asked = {"depth": depth, "source": source, "start": start}
            rows += [{**asked, "loops": t, "count": len(x), "right": int(right.sum())} for t, right in found.items()]
    return rows


def chess_rows(recall: str, norm: str, seed: int, steps: int, label: str) -> list[Row]:
    """Train one chess model with the block compiled, ship it as ``chess-RECALL-NORM[-LABEL]-seedSEED``, and measure it."""
    task = CHESS_TASKS[label]
    settings = {"recall": recall, "norm": norm, "seed": seed}
    model = task.model(**settings)
    torch.compiler.reset()  # else the models before this one count towards the limit on recompilation
    for block in model.blocks:
        block.compile(dynamic=False)
    run = train(model, task, steps, seed=seed, muon=0.02, progress=False)
    rows = measure_chess(model.eval())
    name = "-".join(filter(None, ["chess", recall, norm, label, f"seed{seed}"]))
    end = {
        f"mate{row['depth']}_{row['source']}_64": row["right"] / row["count"]
        for row in rows
        if (row["start"], row["loops"]) == ("input", 64)
    }
    row = {**settings, "steps": run.step, "minutes": run.seconds / 60, "threads": torch.get_num_threads(), **end}
    ship(model, "chess", row, 3e-3, label)
    return [{"model": name, **settings, "label": label, "steps": run.step, **row} for row in rows]


def measure_chess_grid(recalls: Any, norms: Any, seeds: list[int], steps: int, label: str) -> None:
    """`chess_rows` for each variant; models that are in the results already are kept."""
    path = data_path("results", "chess.csv")
    variants = [("internal", "post"), ("none", "post"), ("external", "post"), ("internal", "peri")]
    for seed, (recall, norm) in product(seeds, variants):
        if recall not in (recalls or RECALLS) or norm not in (norms or NORMS):
            continue
        known = [(row["recall"], row["norm"], row["seed"], row["label"]) for row in read_rows(path)]
        if (recall, norm, str(seed), label) not in known:
            rows = chess_rows(recall, norm, seed, steps, label)
            write_rows(path, [*read_rows(path), *rows])
            print(
                {f"{r['depth']} {r['source']}": r["right"] for r in rows if (r["start"], r["loops"]) == ("input", 64)},
                flush=True,
            )


@torch.no_grad()
def measure_chess_best(count: int = 1000) -> None:
    """Test the long-trained models on ``count`` test positions of each depth and source, with the rules of chess: see `score_moves`."""
    path = data_path("results", "chess_best.csv")
    models = {name: load_pretrained(name) for name in BEST_CHESS}
    for (name, model), (depth, source) in product(models.items(), CHESS_SETS):
        if (name, str(depth), source) in [(row["model"], row["depth"], row["source"]) for row in read_rows(path)]:
            continue
        positions = select(load_positions(depth, "test"), source)
        positions = Positions(*(part[:count] for part in positions))
        x, _ = model.task.tensors(positions.boards, positions.targets)
        parts = [logits_over_loops(model, part, BEST_LOOPS) for part in x.split(50)]
        rows = []
        for t in BEST_LOOPS:
            answers = score_moves(positions, torch.cat([part[t] for part in parts]))
            scores = {key: int(values.sum()) for key, values in answers.items()}
            rows.append({"model": name, "depth": depth, "source": source, "loops": t, "count": len(x), **scores})
        write_rows(path, [*read_rows(path), *rows])
        print(rows[-1], flush=True)


def ship(model: LoopedTransformer, experiment: str, row: Row, lr: float, label: str) -> None:
    """Save a model of a grid with its card: ``EXPERIMENT-RECALL-NORM[-LABEL]-seedSEED``."""
    recall, norm, seed, steps = (row[key] for key in ("recall", "norm", "seed", "steps"))
    command = f"python -m looped_lite.experiments {experiment} --recalls {recall} --norms {norm} --seeds {seed}"
    command += f" --steps {steps} --lr {lr:g}" + f" --label {label}" * bool(label)
    recipe = {key: row[key] for key in ("seed", "steps", "minutes", "threads")}
    settings = {"recall": recall, "norm": norm, "seed": seed}
    card = {"model": settings, "command": command, "trained_on": "CPU", **recipe, "lr": lr, "scores": row}
    save_pretrained(model, "-".join(filter(None, [experiment, recall, norm, label, f"seed{seed}"])), card)


def read_rows(path: str | Path) -> list[Row]:
    """The rows of a results file; none if there is no such file."""
    path = Path(path)
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def write_rows(path: str | Path, rows: Iterable[Row]) -> None:
    """Write rows of equal columns as CSV, whole or not at all."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)
    write_atomic(path, text.getvalue().encode())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train and measure variants at equal steps. Rows that exist are kept.")
    parser.add_argument("experiment", choices=[*EXPERIMENTS, "chess", *SINGLE])
    parser.add_argument("--results", type=Path, help="(default: the file named above)")
    parser.add_argument("--recalls", nargs="+", choices=RECALLS)
    parser.add_argument("--norms", nargs="+", choices=NORMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--label", default="", help="a word for the names of the checkpoints, to keep them apart")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # one core a run, so that several runs fit side by side
    if arguments.experiment in SINGLE:
        return SINGLE[arguments.experiment]()
    if arguments.experiment == "chess":
        grid = arguments.recalls, arguments.norms, arguments.seeds, arguments.steps, arguments.label
        return measure_chess_grid(*grid)
    row_of, file, recalls, norms = EXPERIMENTS[arguments.experiment]
    training = row_of is not lengths_row
    recipe = {"steps": arguments.steps, "lr": arguments.lr, "label": arguments.label} if training else {}
    path = arguments.results or data_path("results", file)
    for seed, recall, norm in product(arguments.seeds, arguments.recalls or recalls, arguments.norms or norms):
        rows = read_rows(path)
        wanted = {"recall": recall, "norm": norm, "seed": str(seed)}
        wanted |= {"steps": str(arguments.steps)} if training else {}
        if any(all(row[key] == value for key, value in wanted.items()) for row in rows):
            continue
        row = row_of(recall, norm, seed, **recipe)
        write_rows(path, [*read_rows(path), row])  # read again: another run may have added its own
        print({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}, flush=True)


# what makes a row, the file it goes to, and the variants
EXPERIMENTS = {
    "prefix-sums": (prefix_sums_row, "prefix_sums_grid.csv", RECALLS, NORMS),
    "prefix-sums-lengths": (lengths_row, "prefix_sums_lengths.csv", ("internal", "external"), ("post",)),
    "sudoku-6x6": (sudoku_row, "sudoku_6x6_grid.csv", RECALLS, ("post", "pre", "peri")),
}
SINGLE = {  # these take no options
    "prefix-sums-live": measure_live,
    "sudoku-9x9": measure_sudoku_9x9,
    "chess-best": measure_chess_best,
}

if __name__ == "__main__":
    main()
