"""Prefix sums: every recall and norm, more lengths, lesson 04's training from many seeds, structured strings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from looped_lite.evaluation import accuracy_over_loops, logits_over_loops
from looped_lite.fixed_points import leading_eigenvalues
from looped_lite.model import LoopedTransformer
from looped_lite.recipe import Recipe, variants
from looped_lite.solving import solve
from looped_lite.tasks import correct_cells
from looped_lite.tasks.prefix_sums import PrefixSums, random_bits

from .grid import grid_jobs, variant_columns
from .measures import how_it_ends, rho_Wz, stability
from .measures import run as end_of
from .sweep import Experiment, Job, Known, Row, shipped

# strings of random bits only: what the first grid was trained on
RANDOM = PrefixSums(uniform=1.0, biased=0.0, last_loops=None)
MIXED = PrefixSums()
MANY = {32: 256, 64: 128, 128: 64, 256: 32, 512: 16}  # bits: how many test strings
FEW = {32: 64, 64: 32, 128: 16, 256: 8, 512: 6}
SEEDS = (0, 1, 2)
STILL = 1e-6  # a string whose state a loop moves by less than this share of its length keeps its answer


def strings(count: int, bits: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random test strings, as inputs and targets."""
    return MIXED.tensors(random_bits(count, bits, generator))


def loops_for(model: LoopedTransformer, loops: int) -> int:
    """As many, or one for a stack that is no loop."""
    return 1 if model.recipe.task.most_loops == 1 else loops


@torch.no_grad()
def measure_accuracy(model: LoopedTransformer, job: Job, counts: dict[int, int] = MANY, seed: int = 1_000) -> Row:
    """Exact match on random strings of each length with loops = length, from the input, and from noise at 32 and 128
    bits with twice that; and `how_it_ends` on 16 strings of 32 bits."""
    generator, row = torch.Generator().manual_seed(seed), {}
    for bits, count in counts.items():
        x, y = strings(count, bits, generator)
        loops = loops_for(model, bits)
        row[f"exact_{bits}"] = float(
            accuracy_over_loops(model, x, y, [loops], at_once=16, still=STILL)[loops].float().mean()
        )
        if bits in (32, 128):
            loops = loops_for(model, 2 * bits)
            right = accuracy_over_loops(model, x, y, [loops], "noise", generator, 16, STILL)[loops]
            row[f"noise_{bits}"] = float(right.float().mean())
    return row | how_it_ends(model, strings(16, 32, generator)[0]) | {"rho_Wz": rho_Wz(model)}


@torch.no_grad()
def validation(model: LoopedTransformer) -> float:
    """What rates are chosen by: exact match on strings of 4 to 32 bits, drawn apart from the test's."""
    generator, shares = torch.Generator().manual_seed(3_000), []
    for bits in (4, 8, 16, 32):
        x, y = MIXED.batch(64, bits, generator)
        loops = loops_for(model, max(bits, 8))
        shares.append(float(accuracy_over_loops(model, x, y, [loops])[loops].float().mean()))
    return sum(shares) / len(shares)


def measure_grid(model: LoopedTransformer, job: Job) -> Row:
    """`measure_accuracy` on fewer strings, whether 32 bits stay right for 256 loops, and `stability` of a loop."""
    generator = torch.Generator().manual_seed(2_000)
    x, y = strings(32, 32, generator)
    row = {"validation": validation(model), **measure_accuracy(model, job, FEW)}
    if loops_for(model, 2) == 1:
        return row
    held = accuracy_over_loops(model, x, y, [256])[256]
    zeros = accuracy_over_loops(model, x, y, [64], "zeros")[64]
    row |= {"held_32": float(held.float().mean()), "zeros_32": float(zeros.float().mean())}
    return row | stability(model, x[:8], y[:8])


def grid(known: Known) -> list[Job]:
    return grid_jobs(known, MIXED, PrefixSums(most_loops=1, last_loops=None), steps=600)


# ---- beside the grid: a gentler rate, and the spectral radii on the way


def gentle(known: Known) -> list[Job]:
    """External recall at a third of the smallest rate of the grid, with more than twice its steps."""
    settings = {"recall": "external", "lr": 3e-4, "steps": 1500, "beta2": 0.95}
    return [Job(Recipe(MIXED, norm=norm, seed=seed, **settings)) for norm in ("pre", "post") for seed in SEEDS]


MOMENTS = (1, 50, 150, 400)


def on_the_way(known: Known) -> list[Job]:
    """Outer norm after 1 to 400 steps at a rate that does not fall: the model of 50 is that of 400 at its fiftieth."""
    settings = {"task": PrefixSums(last_level=16, last_loops=None), "decay": 1e-9, "beta2": 0.95}
    return [
        Job(Recipe(recall=recall, steps=steps, seed=seed, **settings))
        for steps in MOMENTS
        for recall in ("internal", "external")
        for seed in SEEDS
    ]


def measure_way(model: LoopedTransformer, job: Job) -> Row:
    """Exact match on 64 random strings of 16 bits after 16 loops; spectral radii of Wz, and of the loop after 64 loops,
    mean over 4 strings."""
    x, y = strings(64, 16, torch.Generator().manual_seed(2_000))
    right = accuracy_over_loops(model, x, y, [16])[16]
    loop = model.loop(x[:4])
    found = leading_eigenvalues(loop, end_of(loop, loop.start(), 64), count=2, size=30, restarts=3, tol=1e-2)
    return {"exact_16": float(right.float().mean()), "rho_Wz": rho_Wz(model), "rho_loop": float(found.radius.mean())}


# ---- more lengths


@torch.no_grad()
def measure_lengths(model: LoopedTransformer, job: Job) -> Row:
    """Exact match at each length with that many loops and twice that; up to 128 bits also from noise."""
    generator, row = torch.Generator().manual_seed(2_000 + job.recipe.seed), {}
    for bits, count in {64: 200, 128: 200, 256: 60, 512: 40}.items():
        x, y = strings(count, bits, generator)
        right = accuracy_over_loops(model, x, y, [bits, 2 * bits], at_once=20)
        found = {"exact": right[bits], "twice": right[2 * bits]}
        if bits <= 128:
            found["noise"] = accuracy_over_loops(model, x, y, [2 * bits], "noise", generator, at_once=20)[2 * bits]
        row |= {f"strings_{bits}": count, **{f"{name}_{bits}": float(v.float().mean()) for name, v in found.items()}}
    return row


# ---- the training of lesson 04


def live_jobs(known: Known) -> list[Job]:
    """Six seeds of each way; of the second also three on two threads, and one with 200 steps at 32 bits."""
    ways = [(0.95, 24, 200), (0.95, 32, 180), (0.95, 20, 250), (0.999, 20, 250)]  # beta2, N at 32 bits, settle

    def job(beta2: float, last_loops: int, settle: int, seed: int, threads: int = 1) -> Job:
        task = PrefixSums(uniform=1.0, biased=0.0, last_loops=last_loops)
        return Job(Recipe(task, steps=1200, settle=settle, lr=2e-3, beta2=beta2, seed=seed), threads=threads)

    jobs = [job(*way, seed) for way in ways for seed in range(6)]
    return [*jobs, *(job(*ways[1], seed, threads=2) for seed in SEEDS), job(0.95, 32, 200, 0)]


def measure_live(model: LoopedTransformer, job: Job) -> Row:
    """How many of 4,096 strings of 32 bits are right after 32 and after 64 loops."""
    x, y = strings(4096, 32, torch.Generator().manual_seed(2024))
    right = accuracy_over_loops(model, x, y, [32, 64], at_once=64)
    return {"strings": len(x)} | {f"right_{loops}": int(hits.sum()) for loops, hits in right.items()}


def live_columns(job: Job) -> Row:
    recipe = job.recipe
    said = {"beta2": recipe.beta2, "last_loops": recipe.task.last_loops, "settle": recipe.settle, "seed": recipe.seed}
    return said | {"threads": job.threads}


# ---- strings with a structure

FAMILY_LENGTHS = (8, 16, 32, 64, 128, 256, 512, 1024)


def families(bits: int, seed: int = 5) -> Iterator[tuple[str, Tensor]]:
    """Strings with a structure, each family with its name: (strings, bits). Also random ones, to compare."""
    place, generator = torch.arange(bits), torch.Generator().manual_seed(seed + bits)
    yield "ones", torch.ones(1, bits, dtype=torch.long)
    yield "zeros", torch.zeros(1, bits, dtype=torch.long)
    yield "alternating", torch.stack([place % 2, 1 - place % 2])
    for period in range(3, 9):
        rare, other = (place % period == 0).long(), torch.randint(2, (period,), generator=generator)[place % period]
        yield f"period {period}", torch.stack([rare, 1 - rare, other])
    yield "one 1 at an end", torch.stack([place == 0, place == bits - 1]).long()
    yield "halves", torch.stack([place < bits // 2, place >= bits // 2]).long()
    for density in (0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97):
        yield f"density {density:g}", (torch.rand(2, bits, generator=generator) < density).long()


def families_of(job: Job) -> Iterator[tuple[int, list[tuple[str, Tensor]]]]:
    """Each length that a job asks for, with its `families`. ``part`` may name one length; of more than 1,024 bits there
    is one string a family."""
    for bits in (int(job.part),) if job.part else FAMILY_LENGTHS:
        yield bits, [(family, x[:1] if bits > 1024 else x) for family, x in families(bits)]


def measure_families(model: LoopedTransformer, job: Job) -> list[Row]:
    """For each family and length how many strings are right in every bit, after as many loops as bits, and how many
    bits are wrong."""
    rows = []
    for bits, some in families_of(job):
        for family, texts in some:
            x, y = MIXED.tensors(texts)
            wrong = torch.zeros(len(x), dtype=torch.long)
            for place in range(len(x)):  # one at a time stays in the processor's cache
                logits = logits_over_loops(model, x[place, None], [bits], still=STILL)[bits]
                wrong[place] = (~correct_cells(logits, y[place, None])).sum()
            counts = {"strings": len(x), "exact": int((wrong == 0).sum()), "wrong_bits": int(wrong.sum())}
            rows.append({"bits": bits, "family": family, **counts})
    return rows


def solved(model: LoopedTransformer, x: Tensor, loops: int | None = None) -> Row:
    """What `solve` makes of strings (strings, bits), within ``loops`` or its own budget: how many end settled, how many
    are right in every bit, how many bits are wrong in all, and after how many loops."""
    texts = ["".join(map(str, row)) for row in x.tolist()]
    right = ["".join(map(str, row)) for row in (x.cumsum(1) % 2).tolist()]
    found = list(solve(model, texts, loops=loops))
    wrong = [sum(a != b for a, b in zip(one.answer or "", y, strict=True)) for one, y in zip(found, right, strict=True)]
    took = [one.loops for one in found]
    row = {"strings": len(x), "settled": sum(one.status == "settled" for one in found)}
    row |= {"exact": wrong.count(0), "wrong_bits": sum(wrong)}
    return row | {"least_loops": min(took), "mean_loops": sum(took) / len(took), "most_loops": max(took)}


def measure_far(model: LoopedTransformer, job: Job, count: int = 64, bits: int = 4096) -> Row:
    """`solved` random strings of 128 times the training length."""
    x = random_bits(count, bits, torch.Generator().manual_seed(4_096))
    return {"bits": bits} | solved(model, x, loops=2 * bits)


AT_RANDOM = {8: 200, 16: 200, 32: 200, 64: 200, 128: 200, 256: 200, 512: 200, 1024: 20, 4096: 4}  # bits: strings


def measure_solved(model: LoopedTransformer, job: Job) -> list[Row]:
    """`solved` strings of each length and family, and random ones."""
    rows = []
    for bits, some in families_of(job):
        at_random = random_bits(AT_RANDOM[bits], bits, torch.Generator().manual_seed(6_000 + bits))
        rows += [{"bits": bits, "family": name} | solved(model, x) for name, x in [*some, ("random", at_random)]]
    return rows


FIRST = [f"prefix-sums-{recall}-post-seed{seed}" for seed in SEEDS for recall in ("internal", "external")]


def mixed_jobs() -> list[Job]:
    """The shipped models of lesson 04's recipe, trained on mixed strings: internal and external recall by turns."""
    jobs = [Job(mixed(seed, recall=recall)) for seed in SEEDS for recall in ("internal", "external")]
    return [replace(job, pretrained=default_name(job)) for job in jobs]


def mixed(seed: int, **other: Any) -> Recipe:
    """Lesson 04's recipe on mixed strings."""
    return Recipe(MIXED, seed=seed, **({"steps": 1200, "settle": 200, "lr": 2e-3, "beta2": 0.95} | other))


def longer_jobs(known: Known) -> list[Job]:
    """Lesson 04's recipe with 800 steps instead of 200 after the curriculum has come to 32 bits."""
    jobs = [Job(mixed(seed, steps=2000, settle=800), pretrained=f"prefix-sums-longer-seed{seed}") for seed in SEEDS]
    return [*jobs, *(replace(job, part="4096") for job in jobs)]


def quick_jobs(known: Known) -> list[Job]:
    """Models made to be quick, of which `solve` uses one: half the width, news that may travel four cells a loop, and
    no more loops in training than that takes."""
    task = PrefixSums(window=9, last_level=64, most_loops=14, last_loops=16)
    settings = {"width": 32, "heads": 2, "steps": 4000, "settle": 1000, "lr": 2e-3, "beta2": 0.95}
    jobs = [Job(Recipe(task, seed=seed, **settings), pretrained=f"prefix-sums-quick-seed{seed}") for seed in SEEDS]
    return [*jobs, replace(jobs[0], part="4096")]


def family_jobs(known: Known) -> list[Job]:
    """The models of lesson 04's recipe, trained on mixed strings and, to compare, on random ones as the first
    grid was.
    """
    mixed = mixed_jobs()
    return [*mixed, *(shipped(name) for name in FIRST[::2]), *(replace(job, part="4096") for job in mixed[::2])]


def default_name(job: Job) -> str:
    return f"prefix-sums{'' if job.recipe.recall == 'internal' else '-' + job.recipe.recall}-seed{job.recipe.seed}"


def name_of(job: Job, label: str = "") -> str:
    return f"prefix-sums-{job.recipe.recall}-{job.recipe.norm}{label}-seed{job.recipe.seed}"


def all_shipped(known: Known) -> list[Job]:
    """The models of the first grid, and those with patience."""
    first = [name_of(Job(recipe)) for recipe in first_grid()]
    return [shipped(name) for name in [*first, *(f"prefix-sums-none-post-long-seed{seed}" for seed in SEEDS)]]


def first_grid() -> list[Recipe]:
    return [recipe for seed in SEEDS for recipe in variants(RANDOM, seed=seed)]


def no_recall(known: Known) -> list[Job]:
    return [Job(Recipe(RANDOM, recall="none", steps=2000, lr=1e-3, seed=seed)) for seed in SEEDS]


short = lambda job: {name: getattr(job.recipe, name) for name in ("recall", "norm", "seed")}
with_strings = lambda job: short(job) | {"trained_on": "random" if job.recipe.task.uniform == 1 else "mixed"}

EXPERIMENTS = [
    Experiment(
        "prefix_sums_grid",
        "every recall and norm on random strings, 600 steps at one rate",
        lambda known: [Job(recipe) for recipe in first_grid()],
        measure_accuracy,
        short,
        ship=name_of,
    ),
    Experiment(
        "prefix_sums_no_recall",
        "no recall with patience: 2,000 steps at 1e-3",
        no_recall,
        measure_accuracy,
        short,
        ship=partial(name_of, label="-long"),
    ),
    Experiment(
        "prefix_sums_lengths",
        "recall with outer norm on more strings: lesson 04's recipe, and the first grid's",
        lambda known: [*mixed_jobs(), *(shipped(name) for name in FIRST)],
        measure_lengths,
        with_strings,
        facts=(),
    ),
    Experiment(
        "prefix_sums_live",
        "the training of lesson 04 from several seeds",
        live_jobs,
        measure_live,
        live_columns,
        facts=("arrived", "steps"),
    ),
    Experiment(
        "prefix_sums_families",
        "strings with a structure, 8 to 4,096 bits",
        family_jobs,
        measure_families,
        with_strings,
        facts=(),
    ),
    Experiment(
        "prefix_sums_solved",
        "strings with a structure and random ones, by solve and models that were trained longer",
        longer_jobs,
        measure_solved,
        short,
        facts=(),
    ),
    Experiment(
        "prefix_sums_quick",
        "the same by models made to be quick, of which solve uses one",
        quick_jobs,
        measure_solved,
        short,
        facts=(),
    ),
    Experiment(
        "prefix_sums_far",
        "64 random strings of 4,096 bits, by the first model of lesson 04's recipe",
        lambda known: mixed_jobs()[:1],
        measure_far,
        with_strings,
        facts=(),
    ),
    Experiment(
        "shipped_prefix_sums", "the three axes on the grid's models", all_shipped, measure_grid, variant_columns
    ),
    Experiment("prefix_sums_gentle", "external recall at 3e-4 for 1,500 steps", gentle, measure_grid, variant_columns),
    Experiment("prefix_sums_on_the_way", "spectral radii during training", on_the_way, measure_way, variant_columns),
    Experiment("grid_prefix_sums", "the grid: recall x norm, a rate for each", grid, measure_grid, variant_columns),
]
