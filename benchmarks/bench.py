"""One table of ratios, measured side by side: ``make bench``, or ``python benchmarks/bench.py [WORD ...]`` for the
parts whose names hold a word; the others' rows stay as they are.

Writes bench.md, bench.csv and bench.png beside this file. One thread; processor time; the ways take turns
(`timing.take_turns`). A ratio below 1 means that the first way is quicker.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from timing import Ratio, ratio, take_turns
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from experiments.stopping import AT_ONCE, MODELS, plain, stream, sudoku_puzzles
from experiments.sweep import write_rows
from looped_lite import plots
from looped_lite.blocks import windowed_attention
from looped_lite.checkpoints import write_atomic
from looped_lite.model import LoopedTransformer
from looped_lite.paths import read_results, read_rows
from looped_lite.pretrained import load_pretrained
from looped_lite.recipe import Recipe
from looped_lite.solving import LOOK_EVERY, solve
from looped_lite.stopping import Rule, certified, run_until, still
from looped_lite.tasks import IGNORE, exact_match
from looped_lite.tasks.prefix_sums import PrefixSums, random_bits
from looped_lite.tasks.sudoku_puzzles import show
from looped_lite.tasks.sudoku_puzzles import solve as search
from looped_lite.training import Run, train

HERE = Path(__file__).resolve().parent
# the first way, the one that it is compared with, and how many times as long it took
Found = Iterator[tuple[str, str, Ratio]]


def dial(part: str, rule: str) -> float:
    """The setting of a rule that validation data chose (`python -m experiments stopping`)."""
    return next(
        float(r["setting"])
        for r in read_results("stopping")
        if (r["stream"], r["rule"], r["chosen"]) == (part, rule, "1")
    )


# ---- the parts


Part = list[tuple[Tensor, Tensor]]  # groups of inputs and targets, each of one number of cells


@torch.no_grad()
def looking(model: LoopedTransformer, stop: Rule, most: int, groups: Part) -> None:
    for x, y in groups:
        size = 32 if x.shape[1] > 64 else 64  # what stays in the processor's cache
        for a, b in zip(x.split(size), y.split(size), strict=True):
            run_until(model, a, stop, most, b != IGNORE, every=LOOK_EVERY)


def blind(model: LoopedTransformer, loops: int, at_once: int, groups: Part) -> None:
    for x, _ in groups:
        plain(model, x, loops, at_once * max(1, 512 // x.shape[1]) if len(groups) > 1 else at_once)


def stopping_early() -> Found:
    """Each instance as long as it needs, at most as long as the fixed number of loops that is as accurate on validation
    data, against that number for all. Strings come in seven lengths, once equally many strings of each, once equally
    many bits.
    """
    for part, rule, every in (("bits", "residual", 4), ("sudoku", "certificate", 1), ("mates", "residual", 4)):
        model, fixed = load_pretrained(MODELS[part]), int(dial(part, "fixed"))
        stop = certified if rule == "certificate" else still(dial(part, rule))
        groups = [(x[::every], y[::every]) for x, y, _ in stream(part, "test")]
        way, other = f"{part}: halt by {rule}", f"{fixed} loops for all"
        look, fix = partial(looking, model, stop, fixed), partial(blind, model, fixed, AT_ONCE[part])
        if part != "bits":
            ways = {"look": partial(look, groups), "fixed": partial(fix, groups)}
            if part == "sudoku":
                texts = [show(grid) for grid in sudoku_puzzles("test", 40)[0].tolist()[::every]]
                ways["tries"] = lambda texts=texts, model=model, fixed=fixed: list(solve(model, texts, fixed))
            times = take_turns(ways, 3)
            yield way, other, ratio(times, "look", "fixed")
            if part == "sudoku":
                yield (
                    f"sudoku: solver, within {fixed} loops for all tries together",
                    other,
                    ratio(times, "tries", "fixed"),
                )
            continue
        # each length is timed by itself, and the two streams are put together from these times
        times = take_turns({(how, x.shape[1]): partial(run, [(x, y)]) for x, y in groups
                            for how, run in (("look", look), ("fixed", fix))}, 3)  # fmt: skip
        for stream_of, weight in (("strings", lambda cells: 1), ("bits", lambda cells: 512 / (cells - 1))):
            total = {how: [sum(weight(cells) * seconds[k] for (one, cells),
            seconds in times.items() if one == how) for k in range(3)]
                     for how in ("look", "fixed")}  # fmt: skip
            yield f"{way}, as many {stream_of} of each length", other, ratio(total, "look", "fixed")


def pooling() -> Found:
    """The solver, which steps many instances together, against the same loop one by one, and against a search
    program.
    """
    model = load_pretrained("sudoku-9x9")
    grids = sudoku_puzzles("test", 6)[0].tolist()
    texts = [show(grid) for grid in grids]
    run = lambda **options: list(solve(model, texts, **options))
    times = take_turns(
        {"pool": run, "one": partial(run, at_once=1), "search": lambda: [search(grid) for grid in grids]}, 3
    )
    yield "sudoku: solver, many together", "solver, one by one", ratio(times, "pool", "one")
    yield "sudoku: solver, many together", "search program, pure Python", ratio(times, "pool", "search")


@torch.no_grad()
def attention() -> Found:
    """Windowed attention, window 5, 4 heads of 16 channels, against dense attention under the same mask."""
    for cells in (64, 256, 1024, 4096):
        q, k, v = torch.randn(3, max(1, 1024 // cells), 4, cells, 16, generator=torch.Generator().manual_seed(0))
        place = torch.arange(cells)
        mask = (place[:, None] - place).abs() <= 2
        window, dense = partial(windowed_attention, q, k, v, 5), partial(F.scaled_dot_product_attention, q, k, v, mask)
        times = take_turns({"window": repeat(window), "dense": repeat(dense, 2)}, 7)
        yield (
            f"attention over {cells:,} cells: window of 5",
            "dense",
            Ratio(*(r / 10 for r in ratio(times, "window", "dense")[:3]), 7),
        )


def repeat(way: Callable[[], object], often: int = 20) -> Callable[[], None]:
    def again() -> None:
        with torch.no_grad():
            for _ in range(often):
                way()

    return again


def products(block: torch.nn.Module, z: Tensor, wide: Tensor) -> None:
    """The matrix products of one step, and nothing else."""
    (
        block.recall.Wz(z),
        block.recall.Wz(z),
        block.attention.qkv(z),
        block.attention.out(z),
        block.mlp.up(z),
        block.mlp.down(wide),
    )


@torch.no_grad()
def floor() -> Found:
    """A block's own matrix products, and nothing else, against a whole step: what is left to gain."""
    for part, count in (("bits", 5), ("sudoku", 16), ("mates", 16)):
        model = load_pretrained(MODELS[part])
        x = PrefixSums().tensors(random_bits(count, 256, torch.Generator().manual_seed(0)))[0]
        x = x if part == "bits" else stream(part, "test")[0][0][:count]
        loop, block = model.loop(x), model.blocks[0]
        z, wide = loop.start(), torch.randn(*loop.h.shape[:2], block.mlp.up.out_features)
        ways = {"products": repeat(partial(products, block, z, wide)), "step": repeat(partial(loop, z))}
        yield f"{part}: the products of a step", "a step", ratio(take_turns(ways, 7), "products", "step")


# ---- learning: another block, and no curriculum


class Convolution(nn.Module):
    """A recurrent block of convolutions that sees the input in every loop, after the published Deep-Thinking nets with
    recall: mix state and input, then a residual pair of convolutions. News travels three cells a loop.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        convolution = lambda: nn.Conv1d(width, width, 3, padding=1)
        self.of_state, self.of_input, self.first, self.second = (convolution() for _ in range(4))

    def recalled(self, h: Tensor) -> Tensor:
        return self.of_input(h.mT).mT

    def forward(self, z: Tensor, recalled: Tensor, angles: Tensor) -> Tensor:
        u = F.relu(self.of_state(z.mT) + recalled.mT)
        return F.relu(u + self.second(F.relu(self.first(u)))).mT


class ConvolutionalLoop(LoopedTransformer):
    """The course's loop, embedding and head around a block of convolutions."""

    head_width = 2  # no rotary positions here

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        super().__init__(recipe.task.features, recipe.task.classes, recipe.width, heads=recipe.heads)
        self.blocks, self.recipe = nn.ModuleList([Convolution(recipe.width)]), recipe


def seconds_until_exact(recipe: Recipe, convolutions: bool) -> tuple[float, int]:
    """Processor seconds and steps of training until 256 of 256 other strings of 32 bits are right after 64 loops;
    infinite seconds if they never are. What the looking costs does not count.
    """
    x, y = PrefixSums().tensors(random_bits(256, 32, torch.Generator().manual_seed(2_000)))
    model = ConvolutionalLoop(recipe) if convolutions else recipe.build()
    began, found = time.process_time(), []

    def look(run: Run) -> bool:
        nonlocal began
        if run.step % 20 or run.level < 32:
            return False
        now = time.process_time()
        with torch.no_grad():
            right = all(exact_match(model(a, 64), b).all() for a, b in zip(x.split(64), y.split(64), strict=True))
        found.extend([now - began] if right else [])
        began += time.process_time() - now
        return right

    _, run = train(recipe, model=model, on_step=look, progress=False)
    return (found[0] if found else math.inf), run.step


def learning() -> Found:
    """Training until strings of 32 bits are all right, lesson 04's recipe: with this course's block and with one of
    convolutions (at the better of two rates), with the curriculum and on 32 bits from the first step. Three seeds.
    """
    ways = {(block, how): [] for block in ("attention", "convolutions") for how in ("curriculum", "32 bits at once")}
    for block, how in ways:
        task, settle = (PrefixSums(), 200) if how == "curriculum" else (PrefixSums(first_level=32), None)
        tried = []
        for lr in (2e-3, 1e-3) if block == "convolutions" else (2e-3,):
            recipes = [Recipe(task, steps=1200, settle=settle, lr=lr, beta2=0.95, seed=seed) for seed in range(3)]
            try:
                tried.append([seconds_until_exact(recipe, block == "convolutions") for recipe in recipes])
            except FloatingPointError as error:
                print(f"{block}, {how}, rate {lr}: {error}")
            else:
                print(f"{block}, {how}, rate {lr}: (seconds, steps) {tried[-1]}", flush=True)
        ways[block, how] = [seconds for seconds, _ in min(tried, key=lambda seeds: sorted(s for s, _ in seeds)[1])]
    ours = ways["attention", "curriculum"]
    for (block, how), seconds in ways.items():
        if seconds is not ours:
            yield f"training, {block}, {how}", "attention, curriculum", ratio({"a": seconds, "b": ours}, "a", "b")


# ---- scaling: loops, length


PEAK = """
import resource, sys, torch
from looped_lite.pretrained import load_pretrained
torch.set_num_threads(1)
model = load_pretrained("prefix-sums-seed0")
x = model.recipe.task.tensors(torch.randint(2, (1, 4096)))[0]
with torch.no_grad():
    model(x, int(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def scaling() -> Found:
    """A string until it settles against one of half the length: twice the loops on twice the cells. And the memory of
    20 times as many loops.
    """
    model, generator = load_pretrained("prefix-sums-seed0"), torch.Generator().manual_seed(7)
    words = {n: "".join(map(str, random_bits(1, n, generator)[0].tolist())) for n in (256, 512, 1024, 2048)}
    times = take_turns({n: partial(lambda text: list(solve(model, [text])), words[n]) for n in words}, 3)
    for n in (512, 1024, 2048):
        yield f"{n:,} bits until they settle", f"{n // 2:,} bits", ratio(times, n, n // 2)
    run = lambda loops: float(subprocess.run([sys.executable, "-c", PEAK, str(loops)], capture_output=True, check=True,
                                             text=True, cwd=HERE.parent).stdout)  # fmt: skip
    peaks = {loops: [run(loops) for _ in range(3)] for loops in (20, 400)}
    yield "peak memory, 4,096 bits, 400 loops", "20 loops", ratio(peaks, 400, 20)


PARTS = {"stopping early": stopping_early, "pooling": pooling, "attention": attention, "floor": floor,
         "scaling": scaling, "learning": learning}  # fmt: skip

# ---- the table


def picture(rows: list[dict]) -> Figure:
    """Each ratio as a dot, from its least to its most, on a logarithmic axis; 1 is a draw."""
    fig = Figure(figsize=(8.2, 0.34 * len(rows) + 1.0))
    ax = fig.subplots()
    for place, row in enumerate(rows):
        ax.plot([row["least"], row["most"]], [-place] * 2, color=plots.PALETTE[0], linewidth=3, alpha=0.5)
        ax.plot(row["ratio"], -place, marker="o", color=plots.PALETTE[0])
    ax.axvline(1, color=plots.INK, linewidth=1, linestyle=(0, (1, 2)))
    ax.set_yticks(
        [-i for i in range(len(rows))], [f"{row['way']}\nagainst {row['against']}" for row in rows], fontsize=7
    )
    ax.set_xscale("log")
    ax.set(xlabel="processor time, as a multiple of the other's (left of 1: quicker)")
    return fig


def main(words: list[str]) -> None:
    torch.set_num_threads(1)
    plots.use_style()
    rows, before = [], read_rows(HERE / "bench.csv", numbers=True)
    for name, part in PARTS.items():
        if words and not any(word in name for word in words):
            rows += [row for row in before if row["part"] == name]
        else:
            for way, against, found in part():
                rows.append(
                    {
                        "part": name,
                        "way": way,
                        "against": against,
                        **dict(zip(("ratio", "least", "most", "rounds"), found, strict=True)),
                    }
                )
                print(f"{way} against {against}: {found}", flush=True)
    lines = ["| way | against | time, as a multiple (least to most) |", "|---|---|---|"]
    lines += [f"| {r['way']} | {r['against']} | {r['ratio']:.3g} ({r['least']:.3g} to {r['most']:.3g}) |" for r in rows]
    write_rows(HERE / "bench.csv", rows)
    write_atomic(HERE / "bench.md", ("\n".join(lines) + "\n").encode())
    write_atomic(HERE / "bench.png", plots.png(picture(rows)))


if __name__ == "__main__":
    main(sys.argv[1:])
