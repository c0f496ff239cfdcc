# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 11 · Beyond one block
#
# **What changes with more blocks, with 10,000 loops, and with bigger machines?**
#
# So far one block was the loop, a few hundred loops were long, and a core of a laptop was the machine. Each of the three was a choice. This lesson takes them back one by one: it puts two and three blocks into a loop, scales the residual, lets models run for 10,000 loops, asks whether a loss should reward standing still,
# and then leaves the laptop: two processes that train one model, half precision, a cluster, and the bill for the paper's 432 runs.
#
# **After this lesson you can**
#
# - loop a stack of blocks, and say what that does to the light cone and to the bill;
# - say why a residual scaled by $a < 1$ has fixed points where a plain one has none, and train one;
# - test a horizon of 10,000 loops without running most of them, and tell drift from rounding;
# - split a batch over processes so that the gradient is the same, and start such a run with `torchrun`;
# - work out what a training run costs before you start it.
#
# **Time**: about 75 minutes for you, about one for the machine on a free core. **You need**: lessons 03 to 06.

# %% tags=["plumbing"]
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from looped_exercises import lesson_11 as ex
from looped_exercises import report
from looped_lite import PrefixSums, Recipe, count_parameters, exact_match, load_pretrained, plots, read_results, tables
from looped_lite.blocks import rms_norm
from looped_lite.fixed_points import iterate, lengths
from looped_lite.intervals import difference
from looped_lite.paths import data_path
from looped_lite.training import train

torch.set_num_threads(1)  # these tensors are small: a second thread would only wait for the first
started = time.perf_counter()

# %% [markdown]
# ## 1. Two blocks in a loop
#
# Nothing in the idea of a loop asks for one block. Take two, each with weights of its own, and repeat the pair:
#
# $$ z \leftarrow f_2(f_1(z, h), h). $$
#
# That is one map again, so fixed points, residual, spectral radius mean what they meant. The counting changes: one loop now costs as much as two did.

# %% [markdown]
# ### Exercise 11.1 · loop two blocks
#
# Difficulty 1 of 5 · about 5 minutes
#
# `blocks` is a list of maps of a state. Return the state after `loops` loops, where one loop is all blocks, one after another.
#
# <details><summary>Hint 1</summary>
#
# Two `for`, one in the other. Which is outside?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `for _ in range(loops):` outside, `for block in blocks:` inside, and each block reads what the one before it wrote.
#
# </details>


# %% tags=["exercise"]
@ex.loop_blocks
def loop_blocks(blocks, z, loops):
    """The state after `loops` runs of the whole stack `blocks`, which starts at `z`."""
    ### BEGIN SOLUTION
    for _ in range(loops):
        for block in blocks:
            z = block(z)
    return z
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.loop_blocks.state == "solved"
assert loop_blocks([lambda z: z + 1, lambda z: 2 * z], torch.tensor(0.0), 2) == 6
### END HIDDEN TESTS

# %% [markdown]
# In a recipe it is one setting: `blocks=2`. Compare the stack with your function, and see how far news travels in one loop. With a window of 5 cells a block looks 2 cells to either side.
#
# > **Predict.** You change one bit of the input. After one loop of two blocks, how many cells to the left and right of it have changed?

# %%
task = PrefixSums(last_level=12, most_loops=10, last_loops=None)
stacks = {count: Recipe(task, blocks=count).build() for count in (1, 2, 3)}
bits = torch.zeros(2, 33, dtype=torch.long)
bits[1, 16] = 1
with torch.no_grad():
    reach = {}
    for count, model in stacks.items():
        loop = model.loop(task.tensors(bits)[0])
        yours = loop_blocks(
            [
                lambda z, i=i, loop=loop, model=model: model.blocks[i](z, loop.recalled[i], loop.angles)
                for i in range(count)
            ],
            loop.h,
            1,
        )
        assert torch.equal(yours, loop(loop.h))
        moved = (yours[0] != yours[1]).any(-1).nonzero()[:, 0] - 17  # the BOS cell stands before the bits
        reach[count] = int(moved.max())
        print(
            f"{count} blocks: {count_parameters(model):7,} parameters; a changed bit reaches cells {int(moved.min())} to {reach[count]}"
        )

# %% tags=["claims"]
# Check the claims
assert reach == {1: 2, 2: 4, 3: 6}

# %% [markdown]
# The **light cone** of lesson 02 opens twice as fast: 4 cells a loop with two blocks, 6 with three. So $L$ bits need at least $L/4$ or $L/6$ loops. In block applications nothing is won: two blocks go as far in one loop as one block in two.
#
# So what is a second block good for? It can do *another* thing than the first. Small models were trained beforehand (`python -m experiments blocks`): one, two and three blocks a loop of width 32, with as many fewer loops in training, and one block of width 16 and 64; strings of up to 12 bits, 500 steps, three seeds of each.
#
# > **Predict.** Tested on 48 bits, four times the length of training: do more blocks help, hurt, or neither?

# %%
block_rows = read_results("blocks")
names = {("1", "32"): "1 block", ("2", "32"): "2 blocks", ("3", "32"): "3 blocks", ("1", "16"): "width 16", ("1", "64"): "width 64"}  # fmt: skip
of_shape = {name: [r for r in block_rows if (r["blocks"], r["width"]) == key] for key, name in names.items()}
seeds_of = lambda rows, column: [float(row[column]) for row in rows]
tables.show(
    ["", "parameters", "loops at 48 bits (the cone)", "exact there", "at twice as many loops", "at 16 times", "relative step there"],
    [
        [name, rows[0]["parameters"], rows[0]["loops_48"]]
        + [" ".join(f"{v:.2f}" for v in seeds_of(rows, f"{when}_48")) for when in ("cone", "twice", "far")]
        + [" ".join(f"{v:.0e}" for v in seeds_of(rows, "step_48"))]
        for name, rows in of_shape.items()
    ],
)  # fmt: skip
plots.show(
    plots.seed_bars(
        {name: {"12 bits": seeds_of(rows, "far_12"), "48 bits": seeds_of(rows, "far_48")} for name, rows in of_shape.items()},
        "exact match at 16 times the cone",
        legend="length",
    ),
    alt="Bars of exact match for one, two and three blocks and for widths 16 and 64, with a dot for each seed, at 12 and at 48 bits. One and two blocks are at 1 or close to it in every seed; three blocks, width 16 and width 64 have at 48 bits both a seed near 1 and a seed at 0.",
    caption="What to see: one and two blocks are right at four times the trained length, in every seed. With three blocks, and with width 64, one seed of three had learned nothing; with width 16 only one seed gets far.",
)  # fmt: skip

# %% tags=["claims"]
# Check the claims
far_48 = {name: seeds_of(rows, "far_48") for name, rows in of_shape.items()}
assert all(len(values) == 3 for values in far_48.values())
assert min(far_48["1 block"]) == 1 and min(far_48["2 blocks"]) > 0.93 and sorted(far_48["2 blocks"])[1] == 1
assert sorted(far_48["3 blocks"]) == [0, 1, 1] and round(32 * min(far_48["2 blocks"])) == 30
assert sorted(far_48["width 64"]) == [0, 0.9375, 1] and sorted(far_48["width 16"])[:2] == [0, 0]
assert 0.9 < max(far_48["width 16"]) < 0.91 and max(seeds_of(of_shape["width 16"], "far_12")) == 1
learned = {name: min(seeds_of(rows, "far_12")) for name, rows in of_shape.items()}
assert learned["3 blocks"] == learned["width 64"] == 0 and learned["1 block"] == learned["2 blocks"] == 1
assert all(seeds_of(rows, "twice_48") == far_48[name] for name, rows in of_shape.items())
effect = {name: difference(values, far_48["1 block"]) for name, values in far_48.items() if name != "1 block"}
assert all(low < 0 < high for _, low, high in effect.values()), effect
assert -0.03 < effect["2 blocks"][0] < -0.02 and effect["2 blocks"][1] > -0.12 and effect["2 blocks"][2] < 0.07

# %% [markdown]
# One and two blocks do the same: at twice as many loops as the light cone asks for, every string of 48 bits is right in each seed but one, which has 30 of 32, and it stays so. With two blocks that is half as many loops, and the same number of block applications. Seed by seed two blocks less one block is $-0.02$, with a 95% interval from $-0.11$ to $+0.07$.
#
# The others each have a seed that fails. Of three runs with three blocks, and of three with width 64, two are as good as one block of width 32, nearly; the third had not even learned 12 bits after its 500 steps. (All ran at one rate, the one that suits width 32.) Of the runs with width 16 only one had learned 12 bits.
#
# So against one block of width 32 every interval holds 0, and prefix sums is a task that one block solves. What the table does show: nothing about a stack keeps it from settling and from going far beyond its training. That it is *better* is not seen here.

# %% [markdown]
# ## 2. A residual that forgets
#
# Lesson 03 counted equations. With a pre-norm, $z \leftarrow z + F(N(z))$: a fixed point needs $F(N(z)) = 0$, that is $d$ equations, and what can be chosen is a direction only, $d - 1$ numbers. So in general there is none, and the state drifts.
#
# Now scale what stays on the stream by a number $a$ below 1:
#
# $$ z \leftarrow a\,z + F(N(z)). $$
#
# At rest, $(1 - a)\,z^* = F(N(z^*))$: $d$ equations for the $d$ numbers of $z^*$. The length of the state has become one of the unknowns: whatever length $F$ has, a state $1/(1-a)$ times as long answers it. And if $F$ is bounded by $B$, the state can never be longer than $B/(1-a)$ for long. (Fixed-point reasoning models of 2026, arXiv 2606.18206, take this way instead of an outer norm.)

# %% [markdown]
# ### Exercise 11.2 · a scaled residual and where it rests
#
# Difficulty 2 of 5 · about 12 minutes
#
# `branch` maps a *normalized* state to an update; `rms_norm` is the one of lesson 02. Run `loops` loops of $z \leftarrow a z + F(N(z))$. Return two things: the state, and for each instance the **gap** there: the length of $(1-a)z - F(N(z))$ divided by the length of $F(N(z))$. It is 0 at a fixed point.
#
# <details><summary>Hint 1</summary>
#
# `branch(rms_norm(z))` is $F(N(z))$. Compute it once more after the last loop, for the gap.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# States here are `(batch, width)`, so `.norm(dim=-1)` gives a length for each instance.
#
# </details>


# %% tags=["exercise"]
@ex.scaled_residual
def scaled_residual(branch, z, a, loops):
    """The state (batch, width) after `loops` loops of z <- a z + branch(rms_norm(z)), and its relative gap (batch,)."""
    ### BEGIN SOLUTION
    for _ in range(loops):
        z = a * z + branch(rms_norm(z))
    F = branch(rms_norm(z))
    gap = ((1 - a) * z - F).norm(dim=-1) / F.norm(dim=-1)
    return z, gap
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.scaled_residual.state == "solved"
end, gap = scaled_residual(lambda u: torch.ones_like(u), torch.zeros(2, 3), 0.5, 60)
assert torch.allclose(end, torch.full((2, 3), 2.0)) and float(gap.max()) < 1e-5
### END HIDDEN TESTS

# %% [markdown]
# Your function in a small experiment: one branch for all, and several $a$.
#
# > **Predict.** The end is $F/(1-a)$. How much longer is it for $a = 0.9$ than for $a = 0.5$? And what does $a = 1$, the plain residual, do?

# %%
g = torch.Generator().manual_seed(0)
A, push = 0.25 * torch.randn(8, 8, generator=g), torch.randn(1, 8, generator=g)
small_branch = lambda u: torch.tanh(u @ A) + push
ends = {}
for a in (0.0, 0.5, 0.9, 0.99, 1.0):
    z, gap = scaled_residual(small_branch, torch.randn(1, 8, generator=g), a, 2000)
    ends[a] = float(z.norm()), float(gap)
tables.show(["a", "length of the state after 2,000 loops", "relative gap"], [[a, *found] for a, found in ends.items()])

# %% tags=["claims"]
# Check the claims
assert all(ends[a][1] < 1e-4 for a in (0.0, 0.5, 0.9)) and 4.5 < ends[0.9][0] / ends[0.5][0] < 5.5
assert ends[1.0][0] > 1000 and ends[1.0][1] > 0.99

# %% [markdown]
# Five times as long, $0.5/0.1$: the direction is much the same, the length is what $1/(1-a)$ asks for. And $a = 1$ adds the same update for ever.
#
# Does it train? In the course's block the residual is added in one place, `Block.add`. Put another function there, and train by the same recipe, pre-norm with internal recall: the variant that drifted in every lesson so far.
#
# > **Predict.** $a < 1$ keeps the state within a bound. Does a state that is kept within a bound come to rest? For $a = 0.9$, for $a = 0.5$?

# %%
pre = Recipe(task, norm="pre", width=32, steps=500, batch=32, lr=5e-3, beta2=0.95)
residuals, norms, solved, models = {}, {}, {}, {}
x, y = task.tensors(torch.randint(2, (16, 24), generator=torch.Generator().manual_seed(11)))
for name, a in (("a = 1 (plain)", 1.0), ("a = 0.9", 0.9), ("a = 0.5", 0.5)):
    model = pre.build()
    for block in model.blocks:
        block.add = lambda z, update, branch, a=a: a * z + update
    model, run = train(pre, model=model, progress=False)
    models[name] = model.eval().requires_grad_(False)
    path = iterate(loop := model.loop(x), loop.h, 300)
    residuals[name], norms[name] = path.steps, path.norms
    solved[name] = float(exact_match(loop.read_out(path.z), y).float().mean())
    resting = int((path.steps[-1] < 0.1).sum())
    print(f"{name:14} reached {run.level} bits; of 16 strings of 24 bits, after 300 loops:")
    print(f"{'':14} right {16 * solved[name]:.0f}, at rest {resting}, longest step {float(path.steps[-1].max()):.1g}")

# %%
plots.show(
    plots.residual_curves(residuals, title="Pre-norm, internal recall, 24 bits: the length of a step"),
    alt="Length of a step against loops for the plain residual and two scaled ones. The plain one stays level, in the hundreds; the scaled ones fall geometrically to the floor of single precision.",
    caption="What to see: the plain residual makes a step of the same length for ever. The scaled ones fall geometrically, down to rounding: for a = 0.5 nearly every string, for a = 0.9 most.",
)
plots.show(
    plots.state_norms(norms, log_y=False, title="The length of the state"),
    alt="Length of the state against loops. With the plain residual it grows in a straight line; with the scaled ones it comes to a bound.",
    caption="What to see: a straight line upwards, and two bounds.",
)

# %% tags=["claims"]
# Check the claims
grown = {name: float(norms[name][-1].mean() / norms[name][99].mean()) for name in models}
assert grown["a = 1 (plain)"] > 2 and max(grown["a = 0.9"], grown["a = 0.5"]) < 1.2, grown
still = {name: int((steps[-1] < 0.1).sum()) for name, steps in residuals.items()}
assert still["a = 1 (plain)"] == 0 and still["a = 0.9"] >= 8 and still["a = 0.5"] >= 13, still
level = residuals["a = 1 (plain)"].median(1).values
assert 0.8 < level[-1] / level[100] < 1.2 and 100 < level[-1] < 1000, level[-1]

# %% [markdown]
# One model of each, so this is a demonstration and no comparison. With $a = 1$ each loop adds a step of the same length. With $a < 1$ the state stays within its bound, and most states come to rest, geometrically, as behind an outer norm. Most: a bound alone does not make a map contract, and a state may circle inside it. The smaller $a$, the less is left of what circles: with $a = 0.5$ nearly all of them rest.
#
# At rest is not *right*: the lines above say how many strings were, and 500 steps are few, so a model may rest on a wrong answer. How many are right, and how many rest, changes with the seed and even with the kind of processor, which rounds in its own way. Outer norm is sufficient for reachability, and it is not the only way (lesson 06 said so).
#
# ## 3. Ten thousand loops
#
# Lesson 05 stopped at twice as many loops as bits, lesson 06 at 400. If a state has settled, does it stay? A computer adds a question of its own: each loop rounds. **float32** keeps about 7 decimal digits, **float64** about 16. Do 10,000 roundings add up?
#
# Here is a thought that makes far horizons cheap. A loop is a function, and the same bits in give the same bits out. So if a loop changes *nothing*, not even the last bit, it never will again.

# %% [markdown]
# ### Exercise 11.3 · a horizon without running it all
#
# Difficulty 2 of 5 · about 10 minutes
#
# Run `f` from `z` for at most `loops` loops. Stop after the first loop that leaves the state exactly as it was, in all its numbers. Return `(state, number of loops that were run)`; the loop that changed nothing counts. Call `f` no more often than you must.
#
# <details><summary>Hint 1</summary>
#
# `torch.equal(a, b)` is True if all numbers are equal. A tolerance is no substitute: a state that creeps by a billionth a loop never repeats.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `before, z = z, f(z)` keeps the state that you need for the comparison.
#
# </details>


# %% tags=["exercise"]
@ex.run_far
def run_far(f, z, loops):
    """(the state after `loops` loops from `z`, how many were run before it stopped changing)."""
    ### BEGIN SOLUTION
    for t in range(1, loops + 1):
        before, z = z, f(z)
        if torch.equal(before, z):
            return z, t
    return z, loops
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.run_far.state == "solved"
assert run_far(lambda z: (z / 2).floor(), torch.tensor([9.0]), 10_000)[1] == 5
### END HIDDEN TESTS

# %% [markdown]
# > **Predict.** A trained model, internal recall with outer norm, 8 strings of 32 bits one by one, at most 500 loops: ten times as many as it takes to settle. How many of the eight come to a state that no loop changes any more, not even by rounding?

# %%
steady = load_pretrained("prefix-sums-internal-post-seed0").requires_grad_(False)
bits32, answers32 = task.tensors(torch.randint(2, (8, 32), generator=torch.Generator().manual_seed(3)))
whole_loop = steady.loop(bits32)
found = []
for i in range(8):
    one = whole_loop[i : i + 1]
    end, used = run_far(one, one.start(), 500)
    step = float(lengths(one(end) - end))
    found.append((used, step))
    print(f"string {i}: {'bit for bit at rest' if step == 0 else f'still moves by {step:.1e}'} after {used:,} loops")

# %% tags=["claims"]
# Check the claims
assert all(used == 500 and 0 < step < 3e-5 for used, step in found)
assert 1000 < whole_loop.h[0].numel() < 3000 and 40 < float(lengths(end)) < 50

# %% [markdown]
# Not one. Each state is about 45 long and moves by $10^{-5}$ at every loop: that is the last digit of float32. It does not creep anywhere, it *trembles*: each loop rounds some 2,000 numbers up or down, and the next one rounds them otherwise. There are finitely many states, so one day a state must come back, and then all goes round for ever; but that day can be far.
#
# So "at rest" means: as still as rounding allows. The experiment behind the next table (`python -m experiments horizons`) compares with older states, too, at loop 1, 2, 4, 8, ... (Brent's method), and would stop where a whole batch came back bit for bit.
#
# Eighteen shipped models, six for each task, 4 instances each, in both precisions: 32-bit strings, 6x6 puzzles (two easy, two hard), mates in one. Four are few: this table asks whether an answer *stays*, not how often it is right.
#
# > **Predict.** Which variants still have their answers after 10,000 loops? In which does float32 end far from float64?

# %%
far_rows = read_results("horizons")
FAR = (32, 100, 1_000, 10_000)
of_model: dict = {}
for row in far_rows:
    of_model.setdefault(row["model"], {})[row["precision"], int(row["loops"])] = row
table = []
for name, rows in of_model.items():
    last = rows["float32", FAR[-1]]
    right_of = [" ".join(rows[kind, t]["right"] for t in FAR) for kind in ("float32", "float64")]
    steps_of = " ".join(f"{float(rows['float32', t]['step']):.0e}" for t in FAR)
    table.append([name, *right_of, steps_of, f"{float(last['length']):,.0f}", f"{float(last['apart']):.0e}"])
tables.show(
    ["model", "right of 4 at 32, 100, 1,000, 10,000 loops", "the same in float64", "relative step (float32)",
     "length at the end", "from float32 to float64"],
    table,
)  # fmt: skip

# %% tags=["claims"]
# Check the claims
row_at = lambda name, t=10_000, kind="float32": of_model[f"{name}-seed0"][kind, t]
entry = lambda name, column, t=10_000, kind="float32": float(row_at(name, t, kind)[column])
right_at = lambda name: [int(row_at(name, t)["right"]) for t in FAR]
assert len(of_model) == 18 and all(len(rows) == 8 for rows in of_model.values())
assert all(sum(name.startswith(task) for name in of_model) == 6 for task in ("prefix", "sudoku", "chess"))
alike = [row["right"] == of_model[row["model"]]["float64", int(row["loops"])]["right"] for row in far_rows]
assert all(alike), "both precisions say the same"
KEPT = [
    f"{task}-{recall}-post" for task in ("prefix-sums", "sudoku-6x6", "chess") for recall in ("internal", "external")
]
TO_AND_FRO = "chess-internal-post-mate1"
for name in [*KEPT, "prefix-sums-none-post-long", "sudoku-6x6-none-post", "chess-internal-post-short", TO_AND_FRO]:
    assert len(set(right_at(name))) == 1 and all(1e-7 < entry(name, "apart", t) < 5e-7 for t in FAR)
    assert 5e-8 < entry(name, "step") < 1e-6 or name == TO_AND_FRO
steps = [entry(TO_AND_FRO, "step", t, kind) for t in FAR[1:] for kind in ("float32", "float64")]
assert all(0.0173 < step < 0.0174 for step in steps)
assert right_at("sudoku-6x6-none-post") == [0] * 4 and entry("sudoku-6x6-none-post", "step", 32) < 1e-7
assert right_at("chess-none-post") == [2, 1, 0, 0] and 4e-4 < entry("chess-none-post", "step") < 5e-4
assert 4e-4 < entry("chess-none-post", "step", 1_000, "float64") < 5e-4
drift = [
    "prefix-sums-internal-peri",
    "prefix-sums-internal-pre",
    "sudoku-6x6-internal-peri",
    "sudoku-6x6-internal-pre",
    "chess-internal-peri",
]
for name in drift:
    assert 9.5 < entry(name, "length") / entry(name, "length", 1_000) < 10.2
    assert 4e-5 < entry(name, "apart") < 1e-4 and all(int(row_at(name, t)["alike"]) == 4 for t in FAR)
assert [right_at(name) for name in drift] == [[2, 2, 1, 0], [0] * 4, [4] * 4, [2, 3, 3, 3], [2] * 4]
for name in ("prefix-sums", "sudoku-6x6"):
    assert row_at(f"{name}-external-pre")["step"] == "nan" and right_at(f"{name}-external-pre")[-1] == 0

# %% [markdown]
# Read the rows in four groups.
#
# - **Recall and outer norm** (eight rows): every answer that is there at 32 loops is there at 10,000. In seven of them the relative step falls to a few times $10^{-7}$, the rounding of float32, and stays there (the eighth comes below). And float32 ends as near to float64 as rounding allows, $3 \cdot 10^{-7}$ of the state's length, at loop 100 and at loop 10,000: the roundings do *not* add up, since a contraction shrinks each error before the next one comes.
# - **Outer norm without recall** (three rows), a case for each fate. On prefix sums the patient model keeps its four answers. On sudoku the states are at rest by loop 32, on four wrong answers. On chess they never rest: at loop 1,000 and at loop 10,000 a loop moves the state by 4 parts in 10,000, in float64 too, and of two right answers one is lost by loop 100 and both by loop 1,000. An outer norm bounds a state; bounded is not settled.
# - **Internal recall with peri or pre** (five rows): the state is 10 times as long after 10 times as many loops, and the relative step falls like $1/t$ without anything having settled. The two precisions drift apart, to $5 \cdot 10^{-5}$ and more, but answer alike. On sudoku and chess the answers stay all the same. On prefix sums peri had two of four strings right at loop 32 and has none at 10,000.
# - **External recall with pre** (two rows): no numbers any more.
#
# ### Where one goes to and fro
#
# One model with recall and outer norm, the chess model trained for long on mates in one, has a mean step of 0.017 at 100 loops, at 1,000 and at 10,000, in both precisions.
#
# > **Predict.** Is it one position that does not rest, or all four? And does it wander, or go round?

# %%
unquiet = load_pretrained("chess-internal-post-mate1-seed0").requires_grad_(False)
mates, moves = unquiet.recipe.task.split(1, "test", "engine", 4)
loop = unquiet.loop(mates)
z, late_states = loop.start(), []
for _ in range(203):
    z = loop(z)
    late_states.append(z)
for back in (1, 2):
    distance = lengths(z - late_states[-1 - back]) / lengths(z)
    print(f"from the state {back} loops before:", " ".join(f"{value:.0e}" for value in distance.tolist()))
answers = [loop.read_out(state) for state in late_states[-2:]]
print("right:", *(exact_match(answer, moves).tolist() for answer in answers))

# %% tags=["claims"]
# Check the claims
one_back, two_back = (lengths(z - late_states[-1 - back]) / lengths(z) for back in (1, 2))
assert (one_back > 0.05).tolist() == [False, True, False, False] and float(two_back.max()) < 1e-6
assert all(exact_match(answer, moves).tolist() == [False, True, True, False] for answer in answers)
assert abs(float(one_back.mean()) - entry(TO_AND_FRO, "step")) < 1e-3

# %% [markdown]
# One of four. It goes to and fro between two states, 7 hundredths of its length apart, and after two loops it is where it was, to the last digits: a **cycle** of period 2, as lesson 01 had it where the slope at a fixed point falls below $-1$. Both states are read as the same move, the right one. So a loop with recall and outer norm need not come to rest; a solver that waits for that would wait for ever, which is why `solve` looks for cycles, too.
#
# ### Where one breaks: a direction that never stops turning
#
# Take a model of internal recall with peri norm, whose state grows at a constant step (lesson 06). Since a branch sees only the *direction* of the state, ask how far that direction turns from loop $t$ to loop $2t$: the cosine of the angle between the two states.
#
# > **Predict.** The state gets longer and longer, so a step of constant length turns it less and less. Does the direction come to rest?

# %%
drifting = load_pretrained("prefix-sums-internal-peri-seed0").requires_grad_(False)
doublings = [8 * 2**i for i in range(9)]  # 8 to 2,048 loops
bits4, answers4 = task.tensors(torch.randint(2, (4, 32), generator=torch.Generator().manual_seed(1_000)))

# %%
turned, across, held = {}, {}, {}
for name, model in (("internal + peri", drifting), ("internal + post", steady)):
    loop = model.loop(bits4)
    z, kept, right = loop.start(), [], []
    for t in range(1, doublings[-1] + 1):
        before, z = z, loop(z)
        if t in doublings:
            kept.append(z.flatten(1) / lengths(z)[:, None])
            right.append(int(exact_match(loop.read_out(z), answers4).sum()))
    step = (z - before).flatten(1)
    along = (step * kept[-1]).sum(1)
    sideways = (lengths(step) ** 2 - along**2).sqrt()
    across[name] = float((sideways / lengths(step)).mean()), float((sideways / along).mean())
    turned[name] = [float((a * b).sum(1).mean()) for a, b in pairwise(kept)]
    held[name] = right
    print(name, "right of 4 at", dict(zip(doublings, right, strict=True)))

# %%
print("cosine from t to 2t:", [round(value, 3) for value in turned["internal + peri"]])
share, ratio = across["internal + peri"]
expected = math.cos(ratio * math.log(2))
print(
    f"of the last step of internal + peri, {share:.2f} of its length lies across the state; expected cosine {expected:.3f}"
)
plots.show(
    plots.lines(
        {tuple(name.split(" + ")): (doublings[:-1], values) for name, values in turned.items()},
        "t", "cosine of the states at t and 2t", "4 strings of 32 bits", "x", doublings[:-1], (0.95, 1.003),
    ),
    alt="Cosine between the states at loop t and 2t, for t from 8 to 1,024. With the outer norm it is 1 from 64 loops on. With peri norm it stays below 1 at every t.",
    caption="What to see: with the outer norm the direction is at rest. With peri it turns as far from 1,000 to 2,000 loops as it did from 100 to 200.",
)  # fmt: skip

# %% tags=["claims"]
# Check the claims
late = turned["internal + peri"][3:]
assert min(late) > 0.965 and max(late) < 0.985 and min(turned["internal + post"][3:]) > 0.999
assert abs(expected - late[-1]) < 0.01 and 0.25 < share < 0.35
assert held["internal + post"][-1] == 4 and held["internal + peri"][-1] <= 1 and max(held["internal + peri"]) == 3


def share_across(name):
    """Of a late step in float64: what is not growth of the state, from the table."""
    grown = (entry(name, "length", kind="float64") - entry(name, "length", 1_000, "float64")) / 9_000
    return (
        max(0.0, 1 - (grown / (entry(name, "step", kind="float64") * entry(name, "length", kind="float64"))) ** 2)
        ** 0.5
    )


assert 0.25 < share_across("prefix-sums-internal-peri") < 0.35
assert all(share_across(name) < 0.05 for name in ("sudoku-6x6-internal-peri", "chess-internal-peri"))

# %% [markdown]
# It does not. Three tenths of the step lie *across* the state, and that part turns it. At loop $t$ the state is about $ct$ long, so a loop turns it by an angle of about $s/(ct)$, with $s$ the part across. Add that up from $t$ to $2t$: $\frac{s}{c}\left(\frac1t + \dots + \frac1{2t}\right) \approx \frac{s}{c}\ln 2$, whatever $t$ is: the cosine of that angle is the one expected above, and the one measured. These are the steps of $1/t$ of lesson 01: each is smaller than the one before, and their sum has no bound.
# So the angle grows like $\log t$, without end, and an answer read off a direction is lost sooner or later: of four strings three were right at loop 128, and none or one is at loop 2,048. Rounding has no part in it: float64 does the same (the table above).
#
# Must peri turn? No. On sudoku and on chess less than a twentieth of a late step lies across the state (the table is enough to work it out: the length of a step, and by how much the state became longer). There the state has found a direction to grow along, and its answers stay. Nothing in the block promises that; it is up to the trained weights.

# %% [markdown]
# ### Where another breaks: a linear part that grows
#
# The table has a model with numbers beyond all bounds: external recall with pre-norm. Its loop begins with $w = W_z z + W_h h$, and then adds branches that see directions only, so they stay of one size. Once $z$ is long, the loop is $z \leftarrow W_z z$ and little else: it grows by a factor $\rho(W_z)$ each time, if that is above 1. A float32 ends at $3.4 \cdot 10^{38}$, a float64 at $1.8 \cdot 10^{308}$.
#
# > **Predict.** $\rho(W_z)$ of this model is 2.06. After how many loops is a number too large for float32? For float64?

# %%
growing = load_pretrained("prefix-sums-external-pre-seed0").requires_grad_(False)
rho = float(torch.linalg.eigvals(growing.blocks[0].recall.Wz.weight).abs().max())
overflow = {}
for kind in (torch.float32, torch.float64):
    loop = growing.to(kind).loop(bits4.to(kind))
    z, t = loop.start(), 0
    while z.isfinite().all() and t < 2000:
        z, t = loop(z), t + 1
    predicted = math.log(torch.finfo(kind).max) / math.log(rho)
    overflow[kind] = t, predicted
    print(
        f"{str(kind)[6:]}: the largest number fits for {t - 1} loops; log(largest) / log({rho:.2f}) = {predicted:.0f}"
    )

# %% tags=["claims"]
# Check the claims
assert round(rho, 2) == 2.06
assert all(abs(t - predicted) < 0.06 * predicted for t, predicted in overflow.values())

# %% [markdown]
# Here precision does decide, though only over when: 16 digits buy eight times as many loops, and the end is the same. (A *length* fails sooner than that, since it adds up squares: in float32 at about $10^{19}$.) This model had learned nothing in its 600 steps; with $\rho(W_z) < 1$ the same variant settles. Where a loop is to run far, look at what carries the state from loop to loop, and at nothing else first.
#
# ## 4. A dispute: should the loss reward standing still?
#
# If fixed points are the aim, why not ask for them? Add to the loss the squared length of the last step, relative to the state's, times a weight $w$:
#
# $$ \text{loss} = \text{cross-entropy} + w\,\frac{|z_T - z_{T-1}|^2}{|z_T|^2}. $$
#
# People disagree. Some build on such a term; one public project tried four such losses and saw all of them hurt. In a recipe it is the setting `still`. A small experiment was run for it (`python -m experiments still`): 6x6 sudoku and prefix sums, outer norm and pre-norm, weights 0, 0.1 and 1, three seeds; 36 short runs of 300 to 500 steps, each asked for 40 test instances: puzzles, half of them hard, or strings twice as long as those of training.
#
# > **Predict.** For the outer norm, which settles anyway? For pre-norm, which does not? And where could such a term be *cheated*?

# %%
still_rows = read_results("still")
LOOPS = (16, 64, 256, 1024)
WEIGHTS = ("0", "0.1", "1")
cell = lambda task, norm, weight, column: [
    float(row[column])
    for row in sorted(still_rows, key=lambda row: row["seed"])
    if (row["task"], row["norm"], row["still"]) == (task, norm, weight)
]
TASKS = ("prefix-sums", "sudoku-6x6")
pairs = [(task, norm) for task in TASKS for norm in ("post", "pre")]
mean = lambda values: sum(values) / len(values)
tables.show(
    ["task", "norm", "weight", *(f"right at {t:,}" for t in LOOPS), "relative step at 64", "at 1,024", "length there"],
    [
        [kind, norm, weight, *(f"{mean(cell(kind, norm, weight, f'exact_{t}')):.2f}" for t in LOOPS)]
        + [f"{mean(cell(kind, norm, weight, f'step_{t}')):.1e}" for t in (64, 1024)]
        + [f"{mean(cell(kind, norm, weight, 'norm_1024')):,.0f}"]
        for kind, norm in pairs
        for weight in WEIGHTS
    ],
)  # fmt: skip

# %%
plots.show(
    plots.seed_bars(
        {f"{kind}\n{norm}": {w: cell(kind, norm, w, "exact_1024") for w in WEIGHTS} for kind, norm in pairs},
        "right after 1,024 loops",
        legend="weight",
    ),
    alt="Bars of exact match after 1,024 loops for two tasks and two norms at weights 0, 0.1 and 1, with a dot for each of three seeds. Outer norm on prefix sums is at 1 but for one seed without the term. On sudoku bars rise with the term for both norms, and the dots spread widely. Pre-norm on prefix sums has dots from 0 to 1 at weights 0 and 0.1, and near 0 at weight 1.",
    caption="What to see: dots as far from each other as the bars are. On sudoku the term tends upwards; for pre-norm on prefix sums, a large weight goes down.",
)

# %% [markdown]
# One seed says nothing about the next. So take the difference to $w = 0$ seed by seed, with Student's 95% interval over the three, which is wide: 4.3 standard errors to either side.

# %%
verdicts, judged = [], []
for kind, norm in pairs:
    for weight in WEIGHTS[1:]:
        effects = [difference(*(cell(kind, norm, w, f"exact_{t}") for w in (weight, "0"))) for t in LOOPS]
        words = ["helps" if low > 0 else "hurts" if high < 0 else "nothing seen" for _, low, high in effects]
        spans = [f"{middle:+.2f} [{low:+.2f}, {high:+.2f}]" for middle, low, high in effects]
        verdicts.append([kind, norm, weight, *spans])
        judged += [(kind, norm, weight, t, word) for t, word in zip(LOOPS, words, strict=True)]
tables.show(["task", "norm", "weight", *(f"effect at {t:,}" for t in LOOPS)], verdicts)
print({word: sum(word == verdict[-1] for verdict in judged) for word in ("helps", "hurts", "nothing seen")})
print([verdict for verdict in judged if verdict[-1] != "nothing seen"])

# %% tags=["claims"]
# Check the claims
assert all(len(cell(*pair, weight, "exact_64")) == 3 for pair in pairs for weight in WEIGHTS)
assert [v for v in judged if v[-1] != "nothing seen"] == [("sudoku-6x6", "post", "0.1", 16, "helps")] and len(
    judged
) == 32
gain = lambda kind, norm, weight, t=1024: [
    a - b for a, b in zip(*(cell(kind, norm, w, f"exact_{t}") for w in (weight, "0")), strict=True)
]
assert min(gain("sudoku-6x6", "post", "0.1")) > 0.07 and min(gain("sudoku-6x6", "pre", "1")) > 0.14
assert (
    round(mean(gain("sudoku-6x6", "post", "0.1")), 2) == 0.14 and round(mean(gain("sudoku-6x6", "pre", "1")), 2) == 0.32
)
for weight, calm in (("0", False), ("0.1", True), ("1", True)):
    rest = [cell(kind, "post", weight, "step_1024") for kind in TASKS]
    assert (max(map(max, rest)) < 1.5e-5) == calm and sum(v > 1e-3 for part in rest for v in part) == (0 if calm else 3)
for kind in TASKS:
    for weight in WEIGHTS:
        assert all(abs(1024 * v - 1) < 0.4 for v in cell(kind, "pre", weight, "step_1024"))
    longer = mean(cell(kind, "pre", "0", "norm_1024")) / mean(cell(kind, "pre", "1", "norm_1024"))
    assert 9 < longer < 200
assert (
    min(cell("prefix-sums", "pre", "1", "exact_16")) > 0.97
    and max(cell("prefix-sums", "pre", "1", "exact_1024")) < 0.13
)

# %% [markdown]
# Thirty-two intervals, and one of them lies on one side of 0: *helps*, outer norm on sudoku, weight 0.1, after 16 loops. Of 32 intervals around effects that are all nil, one or two miss by chance. So that one row is no finding, and the verdict is: **nothing seen**, in either direction. That such terms always hurt is not seen here either.
#
# If you had to bet, look at signs: on sudoku all three seeds end higher with weight 0.1 behind an outer norm, by 0.14 on average, and all three with weight 1 in pre-norm, by 0.32. Worth seeds 3 to 9; `python -m experiments still` shows how to ask.
#
# Two things are plain without any test, because they are not small.
#
# - **Behind an outer norm** the term does what it is for. Without it three of six models still move after 1,024 loops, by a thousandth of their length and more; with either weight five of six are as still as rounding allows, and the sixth moves by some hundred-thousandth.
# - **In pre-norm it is cheated.** The relative step at 1,024 loops is about $1/1024$ *whatever the weight*. The state grows in a straight line, and after $t$ equal steps one step is $1/t$ of the whole, however short it is. Training did make the states ten to a hundred times shorter. None of them stands still, and on prefix sums weight 1 buys nearly all strings right at 16 loops, and leaves nearly none right at 1,024.
#
# Standing still and being right are two things, and a *relative* step is not standing still.

# %% [markdown]
# ## 5. Two processes, one model
#
# A model too slow for one core, or one GPU, is trained by several: each holds a copy of the weights, works on a share of the batch, and before every step the copies exchange gradients. In PyTorch this is `torch.distributed`; the operation is called **all-reduce**, and it leaves in every process the mean of what all of them had.
#
# If it is done right, nothing else changes: the same loss as with one process, at the same batch over all.

# %% [markdown]
# ### Exercise 11.4 · a batch for two processes, and the same gradient
#
# Difficulty 3 of 5 · about 12 minutes
#
# `gradient(x, y)` is the gradient of the *mean* loss over the rows it is given. Process $r$ of `count` takes rows $r$, $r + $ `count`, $r + 2\,$`count`, ... Return a tensor with one row for each process: what it hands to the all-reduce, such that the **mean** of these rows is `gradient(x, y)` of the whole batch. The batch need not divide evenly.
#
# <details><summary>Hint 1</summary>
#
# `x[r::count]` are the rows of process $r$. A mean over 4 rows and a mean over 3 rows must not count the same.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Multiply each share's gradient by its rows over all rows, and by `count`, since the all-reduce divides by it.
#
# </details>


# %% tags=["exercise"]
@ex.share_gradient
def share_gradient(gradient, x, y, count):
    """(count, ...): what each process hands to the all-reduce; their mean is the gradient of the whole batch."""
    ### BEGIN SOLUTION
    found = []
    for rank in range(count):
        mine = slice(rank, None, count)
        found.append(count * len(x[mine]) / len(x) * gradient(x[mine], y[mine]))
    return torch.stack(found)
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.share_gradient.state == "solved"
slope = lambda x, y: (x * y[:, None]).mean(0)
rows, marks = torch.randn(7, 3), torch.randn(7)
assert torch.allclose(share_gradient(slope, rows, marks, 3).mean(0), slope(rows, marks), atol=1e-6)
### END HIDDEN TESTS

# %% [markdown]
# `train` does this by itself once its process has joined a group. Each process draws the whole batch, from the same seed, and works on its rows. `torchrun` starts the processes and tells each its number; the program is `experiments/together.py`, some 20 lines. Here are two on this machine, and one in this notebook for comparison. Two on two machines differ by an address on the command line, and on GPUs each process takes one.

# %%
pair = Recipe(task, width=32, steps=60, batch=48, beta2=0.95)
root = data_path().resolve().parent
with tempfile.TemporaryDirectory() as folder:
    recipe_file, losses_file = Path(folder, "recipe.json"), Path(folder, "losses.csv")
    recipe_file.write_text(json.dumps(pair.to_dict()))
    line = ["--nproc-per-node", "2", "--standalone", "-m", "experiments.together"]
    torchrun = [sys.executable, "-m", "torch.distributed.run"]  # what the command torchrun runs
    done = subprocess.run(
        [*torchrun, *line, str(recipe_file), str(losses_file)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-800:]
    both = [float(text.split(",")[1]) for text in losses_file.read_text().splitlines()[1:]]

# %%
_, one = train(pair, progress=False)
alone = one.history["loss"]
apart = [abs(a - b) for a, b in zip(both, alone, strict=True)]
print(f"{len(both)} steps; the two curves differ by {max(apart):.1e} at most, and at the first step by {apart[0]:.1e}")
steps = range(1, len(both) + 1)
plots.show(
    plots.lines(
        [{"one process": (steps, alone), "two processes": (steps, both)}, {"_difference": (steps, [max(v, 1e-9) for v in apart])}],
        "step", ["loss", "difference"], ["the same recipe", "how far apart"], ["", "y"],
        styles={"two processes": {"linestyle": "--"}},
    ),
    alt="Left, two loss curves over 60 steps that lie on each other. Right, their difference on a logarithmic scale, far below the loss.",
    caption="What to see: one curve on the other. Sums taken in another order round differently, and that is all the difference there is (equal losses are drawn at 1e-9).",
)  # fmt: skip

# %% tags=["claims"]
# Check the claims
assert len(both) == 60 and max(apart) < 1e-3 and apart[0] < 1e-5

# %% [markdown]
# They are not equal to the last bit: a sum of two partial sums rounds differently from one sum. That the difference is small here does not mean that it stays small for ever, as training is a loop, too.
#
# ### Half precision, and a GPU where there is one
#
# Two more settings need no other code. `bfloat16=True` computes matrix products in 16 bits (8 of them for the exponent, so 2 to 3 decimal digits are left); weights, norms and the loss stay in 32. And `train(recipe, device="cuda")` trains on a GPU.

# %%
_, half = train(replace(pair, bfloat16=True), progress=False)
gaps = lambda losses: [abs(a - b) for a, b in zip(losses, alone, strict=True)]
off = gaps(half.history["loss"])
print(
    f"bfloat16 against float32, 60 steps: losses differ by {max(off):.3f} at most, {sum(off) / len(off):.4f} on average"
)
if torch.cuda.is_available():
    _, there = train(pair, progress=False, device="cuda")
    print(f"{torch.cuda.get_device_name()} against this processor: {max(gaps(there.history['loss'])):.1e} at most")
else:
    print("There is no GPU here: the numbers of one are quoted below.")

# %% tags=["claims"]
# Check the claims
assert max(apart) < max(off) < 0.2

# %% [markdown]
# ### A sweep on a cluster
#
# Many independent runs are easier than one large one. Every experiment of this course is a list of jobs; each is named by the digest of its recipe, claimed by a lock, resumed where it stood, and its row is written whole or not at all. So it does not matter where the jobs run:
#
# ```
# python -m experiments still                                       # here, one after another
# python -m experiments still --processes 8                         # here, eight side by side
# python -m experiments still --scheduler tcp://head-node:8786      # on the workers of a Dask cluster
# ```
#
# For the last one, `dask scheduler` runs on one machine and `dask worker tcp://head-node:8786` on each of the others; they share the course's folder. A job killed on the way is gone on with by the next sweep.
#
# ## 6. The paper's run, and its bill
#
# The paper's models are 256 wide with 8 heads, trained in batches of 500 with up to 30 loops, on 32 bits. That is a recipe like any other. It builds, and takes a step; the first steps of its curriculum are short strings, so even this machine is soon done with one.

# %%
paper_task = PrefixSums(uniform=1.0, biased=0.0, most_loops=30, last_loops=None)
paper = Recipe(paper_task, width=256, heads=8, batch=500, lr=1e-3, beta2=0.95, steps=3112)
print(paper.command())
model = paper.build()
_, first = train(replace(paper, steps=1), model=model, progress=False)
print(f"{count_parameters(model):,} parameters; one step on strings of 4 bits: {first.seconds:.1f} s, loss {first.history['loss'][0]:.3f}")  # fmt: skip

# %% [markdown]
# What does a step cost at 32 bits? Count it: `FlopCounterMode` adds up the multiplications and additions of all matrix products (**FLOPs**, floating-point operations). Run one loop and two; the difference is a loop, what is left of the first is encoding and read-out.

# %%
batch, _ = paper_task.batch(500, 32, torch.Generator().manual_seed(0))
counted, took = {}, {}
for loops in (1, 2):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        began = time.process_time()
        model(batch, loops)
        took[loops] = time.process_time() - began
    counted[loops] = counter.get_total_flops()
loop_flops = counted[2] - counted[1]
rest_flops = counted[1] - loop_flops
here = counted[2] / took[2]
print(f"encode + one loop + read-out: {counted[1]:,} FLOPs; a loop {loop_flops:,}, the rest {rest_flops:,}")
print(f"one core of this machine: {here / 1e9:.0f} billion a second of computing")

# %% tags=["claims"]
# Check the claims
assert counted[1] == 34_645_248_000 and count_parameters(model) == 986_890

# %% [markdown]
# ### Exercise 11.5 · what a run costs
#
# Difficulty 3 of 5 · about 12 minutes
#
# Given the FLOPs of a forward pass of one `loop`, those of the `rest` (encoding and read-out), $N$ and the number of `steps`, return the expected FLOPs of a training run. Per step: $n$ loops without gradient, $n$ uniform in $0 \dots N-1$, then $k$ with gradient, $k$ uniform in $1 \dots N-n$. A backward pass costs twice its forward pass. Encoding and read-out happen once a step, with gradient.
#
# <details><summary>Hint 1</summary>
#
# A loop without gradient costs 1, a loop with it 3 (forward 1, backward 2). So a step costs $\mathrm{E}[n] + 3\,\mathrm{E}[k]$ loops, and 3 times the rest.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# $\mathrm{E}[n] = (N-1)/2$. Given $n$, the mean of $k$ is $(N-n+1)/2$; put the mean of $n$ into it and get $(N+3)/4$.
#
# </details>


# %% tags=["exercise"]
@ex.training_flops
def training_flops(loop, rest, most, steps):
    """The expected FLOPs of `steps` steps of progressive loss with N = `most`."""
    ### BEGIN SOLUTION
    without, within = (most - 1) / 2, (most + 3) / 4
    return steps * ((without + 3 * within) * loop + 3 * rest)
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.training_flops.state == "solved"
assert abs(training_flops(1, 0, 30, 1) - 39.25) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# One such run was made on one GPU, an NVIDIA H200 that four other small jobs shared, with this code unchanged (`train(recipe, device="cuda")`); its numbers are kept in `data/results/one_gpu.csv`. It had $N = 20$, this course's number.
#
# > **Predict.** 20 or 30 loops at most, a million parameters, batches of 500: how long did it take to 32 bits, and how far does it generalize?

# %%
gpu = read_results("one_gpu")
large, small_one = ([row for row in gpu if row["recipe"] == name] for name in ("paper", "lesson 04"))
tables.show(
    ["recipe", "bits", "loops", "strings", "exact match", "seconds to solve them"],
    [[row["recipe"], row["bits"], row["loops"] or "-", row["strings"], row["exact"], row["solve_seconds"] or "-"] for row in gpu],
)  # fmt: skip
steps_there, seconds_there = int(large[0]["steps"]), float(large[0]["seconds"])
cost_20 = training_flops(loop_flops, rest_flops, 20, 1)
cost_30 = training_flops(loop_flops, rest_flops, 30, 1)
rate = cost_20 / (float(large[0]["ms_a_step"]) / 1000)
run_30 = steps_there * cost_30
print(f"a step at 32 bits: {cost_20 / 1e12:.2f} TFLOPs with N = 20, {cost_30 / 1e12:.2f} with N = 30")
print(
    f"52 ms a step is {rate / 1e12:.0f} TFLOPs a second; with N = 30 a step would take {1000 * cost_30 / rate:.0f} ms"
)
print(
    f"a run of {steps_there:,} steps with N = 30: {run_30:.1e} FLOPs at most, {run_30 / rate / 60:.1f} minutes there,"
)
print(f"{run_30 / here / 3600:.0f} hours on one core of this machine, at the rate that it showed above")

# %% tags=["claims"]
# Check the claims
assert (steps_there, seconds_there, large[0]["ms_a_step"]) == (3112, 149.9, "52")
assert int(large[0]["parameters"]) == 986_890 and int(large[0]["flops"]) == counted[1]
assert all(float(row["exact"]) == 1 for row in gpu) and int(small_one[0]["parameters"]) == 62_406
assert round(cost_20 / 1e12, 2) == 0.82 and round(cost_30 / 1e12, 2) == 1.2 and round(rate / 1e12) == 16
assert 7.3e-2 < cost_30 / rate < 7.9e-2 and 3.7e15 < run_30 < 3.8e15 and 3.8 < run_30 / rate / 60 < 4.1
assert max(int(row["bits"]) for row in large) == 512 and max(int(row["bits"]) for row in small_one) == 4096

# %% [markdown]
# 3,112 steps in 149.9 seconds, two and a half minutes, to running accuracy 1 at 32 bits; and then every one of 128 strings right at 32, 64, 128 and 512 bits, at as many loops as bits and at twice that. Late in the run a step took 52 ms. (The recipe of lesson 04, sixteen times smaller, took 541 steps and 21.4 seconds there, and had 64 of 64 strings right at up to 4,096 bits: for *this* task the small model is enough.)
#
# The estimate says "at most", because it takes every step for one at 32 bits, and the early ones are shorter.
#
# Now 432 of them, as many as the paper has.

# %%
runs = 432
gpu_days = runs * run_30 / rate / 86_400
core_days = runs * run_30 / here / 86_400
tables.show(
    ["432 runs of 3,112 steps, N = 30", "days on one", "to be done in a day"],
    [
        ["NVIDIA H200, shared, as measured", f"{gpu_days:.1f}", f"{gpu_days:.1f} GPUs"],
        ["one core of this machine, as measured above", f"{core_days:,.0f}", f"{core_days:,.0f} cores"],
    ],
)
minutes = mean([float(row["minutes"]) for row in still_rows])
print(f"432 runs of this course's short recipes: {432 * minutes / 60:.0f} hours on one core, {minutes:.1f} minutes each (on a busy machine)")  # fmt: skip

# %% tags=["claims"]
# Check the claims
assert 1.1 < gpu_days < 1.3 and core_days > 100 * gpu_days

# %% [markdown]
# About 1.2 days of one such GPU, if every run stopped at 3,112 steps and every variant cost the same. The paper says more than four days of a B200, a faster one: 100 epochs a run is more steps than this model needed, and two of its three tasks are larger. On one core of a laptop it is a matter of hundreds of days; divided over machines it is a matter of machines, since the runs do not know of each other.
#
# This is why the course's models are small. Whether what is seen in 60,000 parameters holds in a million is a question that such a bill lets you ask before you pay.
#
# ## Recap
#
# - **More blocks** a loop: still one map. The light cone opens faster in loops, not in block applications.
# - **A scaled residual** $a z + F(N(z))$, $a < 1$: as many equations as unknowns again, a bounded state, and rest at $F/(1-a)$.
# - **10,000 loops**: with recall and an outer norm answers stay and roundings do not add up, though one state in a cycle never rests. A direction can turn for ever as $\log t$, and a linear part can overflow; a second precision tells drift from rounding.
# - **A reward for standing still** is a setting. Here it makes models behind an outer norm rest, and cannot make pre-norm rest; that it helps or hurts answers is not seen with three seeds.
# - **Two processes**: shares with weights, the mean of the gradients, the same curve up to rounding.
# - **A bill**: FLOPs of a loop, counted once, times $(N-1)/2 + 3(N+3)/4$, times steps.
#
# ## Self-test
#
# **1.** A loop of three blocks with a window of 5 cells: how many loops does a prefix sum of 120 bits need at least?
#
# <details><summary>Answer</summary>
#
# 20: three blocks move news by 6 cells a loop.
#
# </details>
#
# **2.** Two processes share a batch of 10 puzzles, 5 each. The one's puzzles have 20 empty cells each, the other's 10, and the loss is a mean over empty cells. May the all-reduce average the two gradients as they are?
#
# <details><summary>Answer</summary>
#
# No. The mean over all 150 empty cells gives the first 100/150 of the weight: multiply by $2 \cdot 100/150$ and $2 \cdot 50/150$ first. `train` does so.
#
# </details>
#
# **3.** A float32 loop repeats bit for bit with period 2 from loop 700 on. What is its state after loop 10,001?
#
# <details><summary>Answer</summary>
#
# That after loop 701: both are an odd number of loops.
#
# </details>
#
# ## Further reading
#
# - A. Labovich, *Stability and Generalization in Looped Transformers*, arXiv 2604.15259: the configuration and the 432 runs.
# - S. Bai, J. Z. Kolter, V. Koltun, *Deep Equilibrium Models*, arXiv 1909.01377: loops of many blocks, at scale.
# - PyTorch's tutorials on `torch.distributed` and `torchrun`.
#
# Next: lesson 12 is yours.

# %%
report(ex)
