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
from experiments.mazes import END, START, WALL, Maze, as_text, enlarged
from looped_exercises import lesson_12 as ex
from looped_exercises import report
from looped_lite import plots, tables, widgets
from looped_lite.intervals import t_interval, wilson
from looped_lite.model import count_parameters
from looped_lite.paths import read_results
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


# %% tags=["plumbing"]
def picture(mazes, marked=None, titles=None):
    """Mazes (batch, side, side), side by side, with S and E, and the marked cells (batch, side, side) in orange with a dot."""
    fig, axes = plt.subplots(1, len(mazes), figsize=(1.9 * len(mazes), 2.15), squeeze=False)
    for number, (ax, maze) in enumerate(zip(axes[0], mazes, strict=True)):
        ax.imshow(maze == WALL, cmap="Greys", vmin=0, vmax=1.4)
        if marked is not None:
            rows, columns = (marked[number] & (maze < START)).nonzero().T
            ax.scatter(columns, rows, s=1400 / len(maze) ** 2 + 12, color="#D55E00")
        for kind, letter in ((START, "S"), (END, "E")):
            row, column = (maze == kind).nonzero()[0].tolist()
            ax.text(column, row, letter, ha="center", va="center", fontweight="bold")
        ax.set(xticks=[], yticks=[], title=titles[number] if titles else "")
        ax.grid(False)
        ax.spines[:].set_visible(True)
    plt.close(fig)
    return fig


# %%
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
parameters = count_parameters(model)
print(f"{parameters:,} parameters; again: {recipe.command()}")
began = time.perf_counter()
_, run = train(recipe, model=model, on_step=plots.live_training(every=100))
model.eval().requires_grad_(False)
print(f"{run.step} steps in {time.perf_counter() - began:.0f} s")

# %%
sides, count = (5, 7, 9), 300
rows, found = [], {}
for side in sides:
    larger = enlarged(model, side)
    mazes = larger.recipe.task.draw(count, torch.Generator().manual_seed(1_000 + side))
    loops = needed(larger, *larger.recipe.task.tensors(mazes))
    found[side] = {"mazes": mazes, "loops": loops}
    right = int((loops > 0).sum())
    low, high = wilson(right, count)
    rows.append([side, f"{right} of {count}", f"{low:.2f} to {high:.2f}"])
tables.show(["side", "right after 64 loops", "95% interval"], rows)

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

# %%
for side in (5, 7):
    mazes, loops = found[side]["mazes"], found[side]["loops"]
    solved = loops > 0
    found[side] |= {
        "solved": solved,
        "length": (torch.as_tensor(way(mazes)).sum((1, 2)) - 1)[solved],
        "rounds": torch.as_tensor(fill(mazes)[1])[solved],
        "loops": loops[solved],
    }
    a, b = (float(part) for part in slopes(found[side]["loops"], found[side]["length"], found[side]["rounds"]))
    found[side] |= {"a": a, "b": b}
    print(f"side {side}: {a:.2f} loops for a step more of the way, {b:.2f} for a round more of closing")

# %%
five = found[5]
labels = {"length": "steps of the way", "rounds": "rounds of closing"}
panels = []
for kind in labels:
    jitter, most = 0.5 * torch.rand(2, len(five["loops"])) - 0.25, int(five[kind].max())
    dots = five[kind] + jitter[0], five["loops"] + jitter[1]
    panels.append({"a maze": dots, "one loop for each": ([0, most], [0, most])})
look = {"a maze": {"linestyle": "", "marker": "o", "markersize": 3.5, "alpha": 0.5, "markevery": 1}}
look["one loop for each"] = {"linestyle": "--", "marker": "", "color": plots.INK}
fig = plots.lines(panels, list(labels.values()), ["loops until right for good", ""], styles=look, share_y=True)
plots.show(
    fig,
    alt="Two scatters of loops until right for good, against steps of the way on the left and rounds of closing on the right. In neither do the points lie along the dashed line of one loop for each.",
    caption="Mazes of 5 by 5 cells. What to see: neither picture alone shows a line, which is why the two slopes are fitted together. And look for mazes that lie far above all others.",
)

# %%
calm = five["loops"] <= 20
without = tuple(float(part) for part in slopes(five["loops"][calm], five["length"][calm], five["rounds"][calm]))
print(f"your run, {len(calm)} mazes: a = {five['a']:.2f}, b = {five['b']:.2f}")
print(f"without the {int((~calm).sum())} that took more than 20 loops: a = {without[0]:.2f}, b = {without[1]:.2f}")

# %% tags=["claims"]
# Check the claims: of a run on any processor, little can be said beforehand
assert five["solved"].sum() >= 200 and found[7]["solved"].sum() >= 100
assert (~calm).sum() <= 60

# %% [markdown]
# What did you predict? If your run is like ours, the model does neither of the two things that we had written down: both slopes lie well above 0, and both below 1. A fine story: a bit of both.
#
# Before you believe it, look at the picture again. Most mazes take 4 to 12 loops. In many runs a handful takes far more, and least squares listens most to those who are far away.
#
# And another thing: *is* your run like ours? You began with the same seed. But processors of different kinds add up the same products in a different order, and so they round the last digit differently. We trained this very model four times on one machine, and each time told it to use the instructions of another kind of processor (`python -m experiments mazes-processors`).
#
# > **Predict.** 700 steps after four models began as the same, bit for bit: do they solve the same number of mazes? Do they have the same slopes?

# %%
processors = read_results("mazes_processors")
shown = ("per_step", "per_round", "per_step_calm", "per_round_calm")
tables.show(
    ["instructions", "right, of 300", "of these after more than 20 loops", "a", "b", "a without these", "b without these"],
    [[row["instructions"], row["right"], row["late"], *(f"{float(row[name]):.2f}" for name in shown)] for row in processors],
)  # fmt: skip

# %% tags=["claims"]
# Check the claims
of_all = {name: sorted(round(float(row[name]), 2) for row in processors) for name in ("right", "late", *shown)}
assert len(processors) == 4 and {row["seed"] for row in processors} == {"0"}
assert of_all["right"] == [256, 299, 299, 300]
assert of_all["late"][0] == 0 and of_all["late"][-1] == 6
assert (of_all["per_step"][0], of_all["per_step"][-1]) == (0.52, 0.66)
assert (of_all["per_round"][0], of_all["per_round"][-1]) == (0.60, 0.80)
assert (of_all["per_step_calm"][0], of_all["per_step_calm"][-1]) == (0.45, 0.52)
worst = max(processors, key=lambda row: int(row["late"]))
assert worst["right"] == "256" and round(float(worst["per_step"]), 2) == 0.66
assert round(float(worst["per_step_calm"]), 2) == 0.52

# %% [markdown]
# Three of the four solve 299 or 300 mazes, one solves 256. **The same seed on another processor is another run**: a training repeats bit for bit on one machine, and nowhere else for certain. So whatever you report, say on what it ran, and never lean on a number that a rounding could move.
#
# The story survives: all four have slopes between 0 and 1, $a$ from 0.52 to 0.66 and $b$ from 0.60 to 0.80. In the run with most late mazes, six of 256 carry a good part of the first slope: without them it is 0.52 instead of 0.66. Which of the two fits is right? Both are; they answer different questions, and which one you meant had to be said *before* the run. We had said: all mazes. So that is what stands on the page.
#
# Now be careful. Four processors are still one seed: the same weights at the start, the same mazes in the same order. And there is a choice of ours in the numbers: only mazes that are right in the end have a number of loops, so whatever it fails at is not in the fit. On 5 by 5 cells that may be next to nothing; on 7 by 7 it is not.
#
# ## 4. Three seeds, and what may be said
#
# The same was run beforehand from three seeds, and without recall, too: `python -m experiments mazes` makes the rows, one small file each, and goes on where it was stopped. How such an experiment is declared, you can read in `experiments/fill_or_flood.py`: a list of jobs, and a function that measures one model.

# %%
table = read_results("mazes")


def over_seeds(column, side, attention="beside", muon="0.02", recall="internal"):
    """The numbers of one column of the table, one for each seed."""
    wanted = {"side": str(side), "attention": attention, "muon": muon, "recall": recall}
    return [
        float(row[column]) for row in table if all(row[name] == value for name, value in wanted.items()) and row[column]
    ]


in_words = lambda values: ", ".join(f"{value:.2f}" for value in values)
rows = [
    [f"{side} by {side}", *(in_words(over_seeds(column, side)) for column in ("per_step", "per_round"))]
    for side in (5, 7)
]
tables.show(["mazes", "seeds: a", "seeds: b"], rows)

# %% [markdown]
# ### Exercise 12.5 · what may be said
#
# Difficulty 2 of 5 · about 15 minutes
#
# Given `values`, a list with one number for each seed, and a `bar`, return four things: their mean, the two ends of Student's 95% interval for the mean, and a word: `"above"` if the whole interval lies above the bar, `"below"` if it lies below, `"open"` if the bar is inside.
#
# <details><summary>Hint 1</summary>
#
# `t_interval(values)`, imported above, returns `(low, high)`: with three seeds it reaches 4.3 standard errors to each side.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `sum(values) / len(values)`, then two comparisons: of `low` with the bar, of `high` with the bar. What is left is open.
#
# </details>


# %% tags=["exercise"]
@ex.verdict
def verdict(values, bar):
    """One number a seed, a bar -> (mean, low, high, word): Student's 95% interval, and above, below or open."""
    ### BEGIN SOLUTION
    low, high = t_interval(values)
    word = "above" if low > bar else "below" if high < bar else "open"
    return sum(values) / len(values), low, high, word
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.verdict.state == "solved"
assert verdict([1.0, 1.1, 0.9], 0.0)[3] == "above"
### END HIDDEN TESTS

# %%
words, rows = {}, []
for side in (5, 7):
    for name, column in (("a, loops a step", "per_step"), ("b, loops a round", "per_round")):
        values = over_seeds(column, side)
        mean, low, high, zero = verdict(values, 0.0)
        one = verdict(values, 1.0)[3]
        words[side, name[0]] = (zero, one)
        rows.append([f"{side} by {side}", name, f"{mean:.2f}", f"{low:.2f} to {high:.2f}", zero, one])
tables.show(["mazes", "slope", "mean", "95% interval", "against 0", "against 1"], rows)

# %% tags=["claims"]
# Check the claims
a5, b5 = over_seeds("per_step", 5), over_seeds("per_round", 5)
assert [round(value, 2) for value in a5] == [0.68, 0.49, 2.21] and [round(value, 2) for value in b5] == [
    0.72,
    0.64,
    0.02,
]
assert all(word == "open" for side in (5, 7) for slope in "ab" for word in words[side, slope])
assert [int(value) for value in over_seeds("right", 5)] == [300, 293, 222]

# %% [markdown]
# **Open, all of it.** Seed 0, the one that you trained (its row is of one more machine), would have made a fine story: a loop that does a bit of both. Seed 1 would have agreed. Seed 2 takes more than two loops for every step of the way and does not care about dead ends, and it solves only 222 of 300 mazes where the others solve 300 and 293. With three seeds of which one is so different, the interval holds 0, and 1, and much besides.
#
# What do you do now? There are two ways to go wrong.
#
# - *Drop seed 2*, since it "did not learn". Whether a seed learned is part of what happened. If you want to speak of models that solve 95% of their mazes, say so **before** you look, and train until they do.
# - *Train more seeds until it comes out*. If you decide after each seed whether to go on, the intervals no longer mean what they say.
#
# What you may do: write down what you found, that it is open, and what the next experiment is (longer runs, ten seeds, a bar for "has learned" that is fixed beforehand). That is a finding. It cost three short runs, and it kept a wrong sentence off the page.
#
# ## 5. What the same rows do say
#
# A run answers more than the question that it was made for. Two more questions were written down beforehand. How does a model that knows mazes of 5 by 5 cells do on larger ones? And what if the maze is shown only at the start, without **recall**?

# %%
shares = {
    (recall, side): [int(v) / 300 for v in over_seeds("right", side, recall=recall)]
    for recall in ("internal", "none")
    for side in (5, 7, 9)
}
rows = [[recall, *(in_words(shares[recall, side]) for side in (5, 7, 9))] for recall in ("internal", "none")]
tables.show(["recall", "5 by 5", "7 by 7", "9 by 9"], rows)
plots.show(
    plots.seed_dots(
        {f"{recall}\n{side} by {side}": shares[recall, side] for recall in ("internal", "none") for side in (5, 7, 9)},
        "share of 300 mazes right after 64 loops",
        limits=(0, 1.02),
    ),
    alt="Dots, one for each of three seeds, in six columns: internal recall on mazes of 5, 7 and 9 cells a side, then no recall on the same.",
    caption="One dot a seed, the line is the mean. Trained on 5 by 5 cells only.",
)

# %%
drop = [small - large for small, large in zip(shares["internal", 5], shares["internal", 7], strict=True)]
gap = [with_it - without for with_it, without in zip(shares["internal", 5], shares["none", 5], strict=True)]
for name, values in (("from 5 to 7 cells a side, the share falls by", drop), ("recall brings, on 5 by 5", gap)):
    mean, low, high, word = verdict(values, 0.0)
    print(f"{name} {mean:.2f} ({low:.2f} to {high:.2f}): {word} 0")

# %% tags=["claims"]
# Check the claims
assert verdict(gap, 0.0)[3] == "above" and max(shares["none", 5]) < 0.05 and min(gap) > 0.7
assert all(value > 0 for value in drop) and verdict(drop, 0.0)[3] == "open"

# %% [markdown]
# **Recall** brings so much that three seeds are plenty: the interval lies far above 0. (Its upper end lies above 1, which no difference of shares can reach: Student knows nothing of shares. The lower end is what the sentence needs.) **Larger mazes** are harder for every one of the three seeds, and still the interval holds 0, if only just: three differences of one sign are what a coin does in one case of four. The sentence for the page is "lower in three of three seeds, by 0.20 on average; with three seeds the 95% interval still holds 0".
#
# ## 6. What failed
#
# A page without this section is not finished: it saves the next person the same hours, and it shows how many things were tried before one worked.

# %%
tries = {
    "as above": {},
    "every cell sees the whole maze": {"attention": "full"},
    "AdamW for all weights, no Muon": {"muon": ""},
}
right = {(name, side): int(over_seeds("right", side, **how)[0]) for name, how in tries.items() for side in (5, 7)}
rows = [[name, right[name, 5], right[name, 7]] for name in tries]
tables.show(["seed 0, the same 700 steps", "right on 5 by 5, of 300", "on 7 by 7"], rows)
assert [right[name, 5] for name in tries] == [300, 200, 300]
assert [right[name, 7] for name in tries] == [270, 11, 270]

# %% [markdown]
# - **Attention over the whole maze**, with rotary positions, as the paper has it: 200 of 300 on the size that it was trained on, and 11 of 300 on the next. What it learns is tied to that size; four neighbours are the same everywhere.
# - **A belief of ours.** Muon (an optimizer that gives all directions of a matrix steps of the same size) is in the recipe because it was ahead in our first short tries, which were not even of equal batches. After 700 steps AdamW alone, the optimizer of lesson 04, solves just as many. It stays in the recipe for one reason: the rows had been made with it.
# - Two more were tried once, briefly, and are not in the table, so take them as hearsay: beginning with small mazes inside a large square of wall, and letting cells see diagonal neighbours. Both seemed slower.
# - **A row that is too short.** We kept only what is right after 64 loops. Were the models without recall right at 12 loops, for which they were trained, and lost it later, as in lesson 08? The rows cannot say, and the models are gone. Decide what a row should hold *before* the run: a number costs nothing then.
#
# ## 7. The page
#
# Everything above as one page. This is the form in which you hand yours in.
#
# > ### Do loops that solve mazes flood, or do they close dead ends?
# >
# > **Question.** Two programs find the way in a perfect maze: a flood, whose loops grow with the steps of the way, and closing dead ends, whose rounds grow with their depth. In random mazes the two go against each other (correlation -0.58 on 9 by 9 cells). Which does a trained loop resemble?
# >
# > **Claim, as numbers.** In *loops = constant + a · steps + b · rounds*, a flood has a = 1, b = 0, closing a = 0, b = 1.
# >
# > **Experiment.** One block of 15,898 parameters, internal recall, outer norm, attention to the four neighbours; 700 steps on mazes of 5 by 5 cells, at most 12 loops; seeds 0, 1, 2. Test: 300 fresh mazes of each size, 64 loops; loops until right for good.
# >
# > **Found.** a = 0.68, 0.49, 2.21 and b = 0.72, 0.64, 0.02 for the three seeds on 5 by 5: neither can be told from 0 or from 1 (Student's 95% interval). Two seeds say "both at once" (so does seed 0 with the instructions of four kinds of processor: a = 0.52 to 0.66, b = 0.60 to 0.80); the third solves 222 of 300 mazes and does something slower. **Open.**
# > Without recall nothing is right after 64 loops, with it 0.91 on average: the difference is far from 0. On 7 by 7 cells the share is lower by 0.20 on average, in three of three seeds, interval just across 0.
# >
# > **What failed.** Attention over the whole maze: 200 of 300 on 5 by 5, 11 of 300 on 7 by 7 (one seed). Muon turned out not to matter: AdamW alone solves as many. And the rows do not hold accuracy at the loops of training.
# >
# > **To what this does not extend.** Perfect mazes only: with several ways the two programs differ in their answers, too. One width, one number of steps. Fits are over mazes that were solved: on 7 by 7 that leaves out more than a quarter.
# >
# > **Next.** 1,400 steps, ten seeds, "has learned" fixed beforehand as 95% on 5 by 5; and a push on the state in mid-run (lesson 06), to see from which cells the answer is rebuilt.
# >
# > **Again.** `python -m experiments mazes`; rows in `data/results/mazes.csv`.

# %% tags=["claims"]
# Check the page
assert round(together, 2) == -0.58 and parameters == 15_898
mean_share = {key: sum(values) / 3 for key, values in shares.items()}
assert round(mean_share["internal", 5], 2) == 0.91 and round(sum(drop) / 3, 2) == 0.20
assert 0.2 < 1 - mean_share["internal", 7] < 0.3 and max(shares["none", 5]) == 0

# %% [markdown]
# ## 8. Your turn: the template
#
# Copy this cell. Fill in the first three parts *before* you train anything, and show them to somebody. One page, not more; figures beside it.
#
# ```
# ### <the question, as a question>
#
# **Question.** Why it can come out either way, and who would be surprised by which.
# **Claim, as numbers.** What is measured, in which unit; what one answer predicts and what the other.
# **Experiment.** Task, model, steps, seeds, test instances; what a row holds. What would refute the claim.
# **Found.** Numbers with intervals over seeds, and the word: above, below, open.
# **What failed.** All that was tried, also once and briefly (and say so).
# **To what this does not extend.**
# **Next.** The experiment that you would do with one more day.
# **Again.** The command that makes the rows.
# ```
#
# For the task, copy `experiments/mazes.py` and change it, or stay with one of the course's. For the experiment, copy `experiments/fill_or_flood.py`: a list of recipes, a function that measures one model. `looped-lite train my_file:MyTask --setting side=7 --steps 200` trains without any of that, to begin with.
#
# ## 9. The rubric
#
# By this your page is read, two points a row.
#
# | | 0 | 1 | 2 |
# |---|---|---|---|
# | question | a topic | can be answered | can be answered with what is measured, and could come out either way |
# | experiment | one run | variants at equal steps | and seeds, with intervals |
# | evidence | a number without a unit | a figure that shows it | and what would have refuted it, and what failed |
# | claim | more than was measured | what was measured | and to what it does not extend |
#
# Note what is not in it: whether the answer is yes. The page above says "open" and has full marks.
#
# ## 10. Six open questions, with a first step each
#
# Nobody has told us the answers, and none needs more than a laptop and an evening to begin.
#
# 1. **Flood or fill, decided.** Does longer training bring the seeds together? *First step*: `SETTINGS | {"steps": 1400}`, three seeds, and the bar of 95% written down first.
# 2. **Mazes with several ways.** Where a maze has circles, closing dead ends is no longer enough. Does a loop that was trained on them flood? *First step*: in `carve`, let one wall in ten fall; look at `filling` and `way` on 100 of these mazes.
# 3. **Sorting.** Bubble sort is a loop with a light cone; so is a window of three. *First step*: a task of one file: a line of numbers from 0 to 9, one-hot, target the sorted line. How many loops does a line of length 16 take, against its number of inversions?
# 4. **Reachability.** Can E be reached from S at all? One bit, and no partial credit on the way. *First step*: random walls at 40%, target 1 or 0 at S alone (the rest `IGNORE`). Does it learn without the way as a target?
# 5. **What does the residual know?** In lesson 07 still meant right. In mazes? *First step*: `solve(enlarged(model, 9), texts)`, and compare `residual` of right and wrong answers, by `looped_lite.intervals.auc`.
# 6. **Does width buy loops?** A wider model may need fewer loops for the same maze. *First step*: widths 16, 32, 64 at equal steps, `mean_loops` over the mazes that all of them solve.
#
# ## Try it
#
# One of the mazes that the model was not trained for, loop by loop. Type your own: 49 characters, `#` for wall, one S and one E; with circles, if you want to see it at a loss.

# %%
seven = enlarged(model, 7)
examples = {
    f"a maze of {n} steps": as_text(maze)
    for maze, n in zip(
        found[7]["mazes"][:3], (torch.as_tensor(way(found[7]["mazes"][:3])).sum((1, 2)) - 1).tolist(), strict=True
    )
}
examples["no wall at all"] = "S" + "." * 47 + "E"
widgets.solver(seven, next(iter(examples.values())), examples, label="your maze", loops=64)

# %% [markdown]
# ## Recap
#
# - A task is one file: instances to tensors and back, and where cells lie. Everything else follows.
# - A **question** can come out either way. Look for two explanations that predict different numbers, and make the instances such that they do.
# - A **claim** is a number with a unit and an interval. Above, below and open are all findings.
# - **One seed is a story.** Ours was good, and the third seed ended it. The same seed on another processor is another run, too.
# - Fix beforehand what counts, what a row holds and how many seeds there are. Afterwards is too late for all three.
# - Say what failed, and to what the claim does not extend.
#
# ## Self-test
#
# **1.** You compare two variants on three seeds. All three differences are positive, 0.10, 0.29 and 0.20. Somebody writes "significantly better". What do you answer?
#
# <details><summary>Answer</summary>
#
# With three seeds the interval reaches 4.3 standard errors to each side: here from about -0.04 to 0.43, and 0 lies inside. Three equal signs happen by chance in one case of four. "Better in three of three seeds, by 0.20 on average" is true, and the next experiment is two seeds more, fixed beforehand.
#
# </details>
#
# **2.** Why were the two slopes fitted together, and not one after the other?
#
# <details><summary>Answer</summary>
#
# Length and rounds go against each other. If loops really grow with both, each slope alone is too small, since a maze that is long has fewer rounds: the effect of one hides that of the other. Together each is "one more of this, at the same number of that".
#
# </details>
#
# **3.** The fit is over mazes that the model solves. Suppose it solves only mazes with short ways. What happens to the slopes?
#
# <details><summary>Answer</summary>
#
# The range of lengths shrinks, so the slope of the length is badly known; and among long mazes only those are left that were quick for another reason, so it comes out too small. On 9 by 9 cells, where a third and more is missing, the slopes are not to be believed: that is why the page does not mention them.
#
# </details>
#
# ## Further reading
#
# - A. Schwarzschild and others, *Can You Learn an Algorithm? Generalizing from Easy to Hard Problems with Recurrent Networks*, arXiv 2106.04537: mazes, small to large, with convolutional loops.
# - A. Bansal and others, *End-to-end Algorithm Synthesis with Recurrent Networks: Logical Extrapolation Without Overthinking*, arXiv 2202.05826: recall, and the progressive loss that this course trains with.
# - A. Labovich, *Stability and Generalization in Looped Transformers*, arXiv 2604.15259.

# %%
report(ex)
