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
# # 12 · Your own question
#
# **How does a question become a page that others can trust?**
#
# So far the questions were ours. This lesson goes once through the whole way, from a question to a page of findings, on a task that the course has not touched: mazes. Then it is your turn: a template, a rubric by which such pages are read, and six open questions, each with a first step.
#
# **After this lesson you can**
#
# - put a new task into one file, and have it trained, measured and solved by everything that the course has;
# - ask a question that can come out either way, and write the claim as a number with a unit;
# - run a small experiment over seeds, and say with an interval what it shows;
# - write a page of findings, with what failed and with what the claim does not extend to.
#
# **Time**: 90 minutes for you to read and solve, about two for the machine; your own question takes as long as you let it.
# **You need**: lessons 04 and 05; 06 helps.

# %%
import inspect
import time

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display

from experiments import mazes as task_file
from experiments.fill_or_flood import SETTINGS, needed
from experiments.mazes import END, START, WALL, Maze, enlarged
from looped_exercises import lesson_12 as ex
from looped_lite import plots
from looped_lite.intervals import wilson
from looped_lite.model import count_parameters
from looped_lite.recipe import Recipe
from looped_lite.training import train

plots.use_style()
torch.set_num_threads(1)  # these tensors are small: a second thread would only get in the way

# %% [markdown]
# ## 1. A task in one file
#
# A **maze** is a square of walls and floor with a start S and an end E. The answer: the cells on the shortest way from S to E. Mazes are the third classic of this field, after prefix sums and chess: networks that loop have been trained on small ones and asked for large ones since 2021.
#
# Ours are **perfect**: between any two floor cells there is exactly one way. So the answer is unique, and two quite different programs find it. Here are some.


# %%
def picture(mazes, marked=None, titles=None):
    """Mazes (batch, side, side), side by side, with S and E, and the marked cells (batch, side, side) in orange with a dot."""
    with plt.rc_context():
        fig, axes = plt.subplots(1, len(mazes), figsize=(1.9 * len(mazes), 2.15), squeeze=False)
        for number, (ax, maze) in enumerate(zip(axes[0], mazes, strict=True)):
            ax.imshow(maze == WALL, cmap="Greys", vmin=0, vmax=1.4)
            if marked is not None:
                rows, columns = marked[number].nonzero().T
                ax.scatter(columns, rows, s=1400 / len(maze) ** 2 + 12, color="#D55E00")
            for kind, letter in ((START, "S"), (END, "E")):
                row, column = (maze == kind).nonzero()[0].tolist()
                ax.text(column, row, letter, ha="center", va="center", fontweight="bold")
            ax.set(xticks=[], yticks=[], title=titles[number] if titles else "")
            ax.grid(False)
        fig.tight_layout()
        plt.close(fig)
    return fig


generator = torch.Generator().manual_seed(12)
some = Maze(side=9).draw(5, generator)
plots.show(
    picture(some),
    alt="Five small mazes of nine by nine cells with black walls, each with an S and an E on the floor.",
    caption="Five perfect mazes. What to see: some have long corridors, some many short dead ends. That will matter.",
)

# %% [markdown]
# What is the answer, as a program? Let water run from S: at each step it wets what lies beside it. Each cell remembers at which step it became wet.

# %% [markdown]
# ### Exercise 12.1 · a flood
#
# Difficulty 2 of 5 · about 15 minutes
#
# Given `start` and `wall`, both (batch, side, side) booleans, return whole numbers of that shape: how many steps up, down, left or right each cell is from the start, without going through a wall; 0 for the start itself, -1 where no way leads. Batches have mazes of one size, but of any.
#
# <details><summary>Hint 1</summary>
#
# Keep two tensors, what is `wet` and the `distance`. In each loop: new is what lies beside something wet, is no wall, and is not wet yet. Stop when nothing is new.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# What lies beside: `padded = torch.nn.functional.pad(wet, (1, 1, 1, 1))`, then `padded[:, :-2, 1:-1] | padded[:, 2:, 1:-1] | ...`, the four shifted views.
#
# </details>


# %% tags=["exercise"]
@ex.flood
def steps_from(start, wall):
    """Start and walls (batch, side, side) bool -> steps from the start to each cell, -1 where no way leads."""
    ### BEGIN SOLUTION
    wet, distance, loops = start.clone(), start.long() - 1, 0
    while True:
        padded = torch.nn.functional.pad(wet, (1, 1, 1, 1))
        near = padded[:, :-2, 1:-1] | padded[:, 2:, 1:-1] | padded[:, 1:-1, :-2] | padded[:, 1:-1, 2:]
        new = near & ~wall & ~wet
        if not new.any():
            return distance
        loops += 1
        distance[new] = loops
        wet = wet | new
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.flood.state == "solved"
assert torch.as_tensor(steps_from(some == START, some == WALL)).shape == some.shape
### END HIDDEN TESTS

# %% [markdown]
# One flood from S, one from E. A cell lies on a shortest way exactly if its two numbers add up to the length of the way.

# %% [markdown]
# ### Exercise 12.2 · the way, from two floods
#
# Difficulty 2 of 5 · about 15 minutes
#
# Given `mazes` (batch, side, side), whole numbers with `WALL`, 1 for floor, `START` and `END`, return booleans of that shape: the cells on a shortest way from S to E, both ends included. Where there are several shortest ways, the cells of all of them; where there is none, no cell at all.
#
# <details><summary>Hint 1</summary>
#
# `there = torch.as_tensor(steps_from(mazes == START, mazes == WALL))`, and `back` in the same way from E. The length of the way is what `there` says at E.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `length = there.masked_fill(mazes != END, -1).amax((1, 2), keepdim=True)` is -1 where E was not reached. Without a way, S has 0 and -1: that adds up to -1, too. Ask for `there >= 0` and `length >= 0` as well.
#
# </details>


# %% tags=["exercise"]
@ex.the_way
def way(mazes):
    """Mazes (batch, side, side) -> the cells on a shortest way from S to E, (batch, side, side) bool."""
    ### BEGIN SOLUTION
    there = torch.as_tensor(steps_from(mazes == START, mazes == WALL))
    back = torch.as_tensor(steps_from(mazes == END, mazes == WALL))
    length = there.masked_fill(mazes != END, -1).amax((1, 2), keepdim=True)
    return (there >= 0) & (length >= 0) & (there + back == length)
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.the_way.state == "solved"
assert bool(torch.as_tensor(way(some))[some == END].all())
### END HIDDEN TESTS

# %%
ways = torch.as_tensor(way(some))
steps = ways.sum((1, 2)) - 1
plots.show(
    picture(some, ways, [f"{n} steps" for n in steps.tolist()]),
    alt="The same five mazes with orange dots along the one way from S to E.",
    caption="What to see: most of a maze is not on the way.",
)
assert (steps > 0).all()

# %% [markdown]
# That is nearly all that a task needs. The rest is in `experiments/mazes.py`: a frozen dataclass whose fields are the task's settings, and a few methods. `batch` makes training instances, `encode` reads a maze as text, `decode` says what logits mean, `positions` and `architecture` tell attention where cells lie. There is no list of tasks to add it to. A file of yours, anywhere on the disk, is as good.

# %%
display(Markdown(f"```python\n{inspect.getsource(Maze)}```"))

# %% [markdown]
# Read `architecture`. All heads look at the same five cells: the cell itself and the four beside it, with a learned number for each of the five. That is the geometry of a maze, not its rules. And it has no size: weights that were trained on mazes of 5 by 5 cells fit mazes of any side.
#
# ## 2. A question that can come out either way
#
# "Can a loop solve mazes?" is a topic, not yet a question: whatever comes out, you will nod. Look for two answers that exclude each other, and for a measurement on which they differ.
#
# A flood is a loop: one map, applied until it rests, with the walls read again each time. There is another one. A **dead end** is an open cell with at most one open cell beside it, other than S and E. Close all dead ends; that makes new ones; close them, and so on.

# %% [markdown]
# ### Exercise 12.3 · closing dead ends
#
# Difficulty 3 of 5 · about 20 minutes
#
# Given `mazes` (batch, side, side), return two tensors: what stays open in the end, (batch, side, side) booleans, and in how many rounds, (batch,) whole numbers. In a round all dead ends of a maze are closed at once; a look that finds none is no round. S and E are never closed.
#
# <details><summary>Hint 1</summary>
#
# `task_file.beside(is_open)` counts the open cells beside each cell. Begin with `is_open = mazes != WALL`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# In each round `dead = is_open & ~kept & (task_file.beside(is_open) <= 1)`; mazes in which something is dead count one round more: `dead.any(2).any(1)`.
#
# </details>


# %% tags=["exercise"]
@ex.fill
def fill(mazes):
    """Mazes (batch, side, side) -> what stays open, bool, and after how many rounds of closing dead ends, (batch,)."""
    ### BEGIN SOLUTION
    kept, is_open = (mazes == START) | (mazes == END), mazes != WALL
    rounds = torch.zeros(len(mazes), dtype=torch.long)
    while True:
        dead = is_open & ~kept & (task_file.beside(is_open) <= 1)
        if not dead.any():
            return is_open, rounds
        rounds = rounds + dead.any(2).any(1)
        is_open = is_open & ~dead
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.fill.state == "solved"
assert torch.equal(torch.as_tensor(fill(some)[0]), torch.as_tensor(way(some)))
### END HIDDEN TESTS

# %% [markdown]
# Both loops end at the same picture: in a perfect maze what cannot be closed is the way. They differ in how long they take. A flood needs as many loops as the way has steps. Closing needs as many as the deepest dead end.
#
# > **Predict.** Are long ways in mazes with deep dead ends, or rather in mazes without? Which sign will the correlation have?

# %%
crowd = Maze(side=9).draw(400, torch.Generator().manual_seed(3))
length = torch.as_tensor(way(crowd)).sum((1, 2)) - 1
rounds = torch.as_tensor(fill(crowd)[1])
together = float(torch.corrcoef(torch.stack([length, rounds]).double())[0, 1])
fig, ax = plt.subplots(figsize=(5, 3.6))
ax.scatter(length + 0.4 * torch.rand(400), rounds + 0.4 * torch.rand(400), s=12, alpha=0.6)
ax.set(xlabel="steps of the way: loops of a flood", ylabel="rounds until no dead end is left")
plt.close(fig)
plots.show(
    fig,
    alt="A scatter of 400 mazes: steps of the way along the bottom, rounds of closing dead ends upwards. The cloud falls from the upper left to the lower right.",
    caption="What to see: mazes with a long way have shallow dead ends, and the other way round. A little noise is added, so that equal points do not hide each other.",
)
print(f"correlation {together:.2f}")
assert -0.8 < together < -0.5

# %% [markdown]
# That is a gift. Where two explanations predict the same, no experiment can tell them apart; these two predict *opposite* signs. So the question is:
#
# > **Does a loop that was trained on mazes flood, or does it close dead ends?** If it floods, mazes with longer ways take it more loops; if it closes, mazes with deeper dead ends.
#
# As numbers: let a maze need so many loops until the model's answer is right and stays right. Fit *loops = constant + a · steps + b · rounds*. A flood that passes news one cell a loop has $a$ near 1 and $b$ near 0, closing has $a$ near 0 and $b$ near 1. Neither need be so: a trained loop may do two things at once, or something that nobody has written down.
#
# ## 3. One experiment, live
#
# > **Predict.** Write down your $a$ and $b$ before you go on. And: trained on mazes of 5 by 5 cells, what share of mazes of 7 by 7 will it solve?

# %%
recipe = Recipe(Maze(), seed=0, **SETTINGS)
model = recipe.build()
print(f"{count_parameters(model):,} parameters; again: {recipe.command()}")
began = time.perf_counter()
_, run = train(recipe, model=model, on_step=plots.live_training(every=100))
model.eval().requires_grad_(False)
print(f"{run.step} steps in {time.perf_counter() - began:.0f} s")

# %%
sides, count = (5, 7, 9), 300
rows, found = ["| side | right after 64 loops | 95% interval |", "|---|---|---|"], {}
for side in sides:
    larger = enlarged(model, side)
    mazes = larger.recipe.task.draw(count, torch.Generator().manual_seed(1_000 + side))
    loops = needed(larger, *larger.recipe.task.tensors(mazes))
    found[side] = {"mazes": mazes, "loops": loops}
    right = int((loops > 0).sum())
    low, high = wilson(right, count)
    rows.append(f"| {side} | {right} of {count} | {low:.2f} to {high:.2f} |")
display(Markdown("\n".join(rows)))

# %% [markdown]
# ### Exercise 12.4 · which of the two loops is it?
#
# Difficulty 3 of 5 · about 15 minutes
#
# Given `loops`, `length` and `rounds`, each (n,) whole numbers, return the two slopes `(a, b)` of *loops = constant + a · length + b · rounds* by least squares, as numbers.
#
# <details><summary>Hint 1</summary>
#
# A table of three columns: length, rounds, and ones for the constant. `torch.linalg.lstsq(table, loops[:, None].double()).solution` holds the three coefficients.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.stack([length, rounds, torch.ones_like(length)], 1).double()` is the table. Two separate fits would be wrong here: length and rounds go against each other, and each would take over what belongs to the other.
#
# </details>


# %% tags=["exercise"]
@ex.slopes
def slopes(loops, length, rounds):
    """Three (n,) whole numbers -> (a, b): loops for one step more, and for one round more, with a constant, by least squares."""
    ### BEGIN SOLUTION
    table = torch.stack([length, rounds, torch.ones_like(length)], 1).double()
    a, b, _ = torch.linalg.lstsq(table, loops[:, None].double()).solution[:, 0].tolist()
    return a, b
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.slopes.state == "solved"
assert len(slopes(torch.tensor([1, 2, 4, 4]), torch.tensor([1, 2, 3, 5]), torch.tensor([0, 1, 0, 1]))) == 2
### END HIDDEN TESTS
