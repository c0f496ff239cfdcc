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
# # 09 · Spend loops where they are needed
#
# **How much compute does each instance need, and when may you trust an answer?**
#
# A stack of layers does as much work for a string of eight bits as for a hard sudoku: all of it. A loop may stop. It has no exit sign, though. All it can see is its own state, how far that still moves, and the answer that it would give. From that you decide, for each instance, whether another loop is worth its price.
#
# **After this lesson you can**
#
# - stop each instance of a batch by a rule of your own, let it leave, and give every answer to the one who asked;
# - tune a rule on validation data, and judge it on test data, beside others on equal terms;
# - say with a number how well a residual tells right answers from wrong ones, and when not to trust it;
# - spend a budget of loops on many short tries instead of one long one;
# - say where a clever solver helps a loop, and where the light cone forbids it.
#
# **Time**: 90 minutes for you, about two for the machine. Nothing is trained here.
# **You need**: lessons 05 and 07; lesson 08 for the chess model.

# %%
import time

import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from looped_exercises import lesson_09 as ex
from looped_exercises import report
from looped_lite import plots, widgets
from looped_lite.fixed_points import lengths, picard
from looped_lite.intervals import auc, spearman
from looped_lite.paths import data_path, read_rows
from looped_lite.pretrained import load_pretrained
from looped_lite.solving import solve_one
from looped_lite.tasks import IGNORE, exact_match
from looped_lite.tasks.chess import Chess
from looped_lite.tasks.prefix_sums import PrefixSums, random_bits
from looped_lite.tasks.sudoku import load_puzzles
from looped_lite.tasks.sudoku_puzzles import parse, show

plots.use_style()
torch.set_num_threads(1)  # these tensors are small: a second thread would only get in the way
nine, chess, bits = (
    load_pretrained(name).requires_grad_(False) for name in ("sudoku-9x9", "chess", "prefix-sums-seed0")
)


def table_of(name):
    """A table of data/results, with numbers where there are numbers."""

    def number(text):
        try:
            return float(text)
        except ValueError:
            return text

    return [
        {key: number(value) for key, value in row.items()} for row in read_rows(data_path("results", f"{name}.csv"))
    ]


# %% [markdown]
# ## 1. A queue
#
# Twelve easy sudokus, twelve hard ones and twelve of another generator stand in one line. The first way gives every puzzle 128 loops. The second stops a puzzle as soon as its grid keeps the rules, and begins again, from another start, where 64 loops have not brought that about (lesson 07).
#
# > **Predict.** Which way is done first, by which factor? Which solves more?

# %%
FIXED = 128
queue = [
    (show(p.tolist()), s.tolist())
    for split in ("test", "hard")
    for p, s in zip(*(part[100:112] for part in load_puzzles((3, 3), split)[:2]), strict=True)
]
queue += [(row["puzzle"], parse(row["solution"])) for row in read_rows(data_path("sudoku_9x9_qqwing.csv"))[::25]]
queue = [queue[i] for i in torch.randperm(36, generator=torch.Generator().manual_seed(9)).tolist()]
texts, solutions = [text for text, _ in queue], [solution for _, solution in queue]


@torch.no_grad()
def by_fixed_loops(text):
    """The answer after FIXED loops, and how many were run."""
    x = nine.recipe.task.encode(text)
    return torch.where(x.argmax(-1) > 0, x.argmax(-1), nine(x, FIXED).argmax(-1) + 1)[0].tolist(), FIXED


def by_solve(text):
    """The answer of `solve`, and how many loops it took in all tries."""
    found = solve_one(nine, text)
    return parse(found.answer), found.loops


runs, spent = {}, {}
for name, answer in ((f"{FIXED} loops each", by_fixed_loops), ("loops where needed", by_solve)):
    clock, when, right, loops = time.process_time(), [], [], []
    for text, solution in zip(texts, solutions, strict=True):
        digits, run = answer(text)
        when.append(time.process_time() - clock)
        right.append(digits == solution)
        loops.append(run)
    runs[name], spent[name] = (when, right), sum(loops)
widgets.queue_player(runs)

# %% tags=["hide-input"]
slow, quick = runs
plots.show(
    plots.queues(runs, 0.3 * runs[slow][0][-1]),
    alt="Two queues of 36 squares after three tenths of the time that the first takes. In the first about a third of the squares are filled, some of them crossed out as wrong; in the second many more are filled, none crossed out.",
    caption="One clock for both, three tenths of the time that the first queue takes. What to see: on the left every puzzle takes equally long, and some are wrong in the end; on the right most are gone at once, and now and then one takes its time.",
)
solved = {name: sum(right) for name, (_, right) in runs.items()}
print(f"seconds of processor time: {slow} {runs[slow][0][-1]:.1f}, {quick} {runs[quick][0][-1]:.1f}")
print(f"loops: {spent};  right, of 36: {solved}")
assert spent[quick] < 0.5 * spent[slow] and solved[quick] > solved[slow] and solved[quick] >= 35

# %% [markdown]
# Fewer than half of the loops, and more puzzles solved. (Seconds on your machine are yours. They count what one core worked on this, so that other programs do not disturb; loops can be counted exactly.)
#
# How does one build that? And what if the task has no rules to check an answer by?
#
# ## 2. Halt on the residual
#
# The **relative residual** of lesson 01 is what a loop can always see: $\lVert f(z) - z \rVert / \lVert f(z) \rVert$. Where it is small, another loop changes little.

# %% [markdown]
# ### Exercise 09.1 · halt on the residual
#
# Difficulty 1 of 5 · about 8 minutes
#
# `residuals` (loops, batch) holds the relative residual of each instance in each loop; row 0 belongs to loop 1. Return for each instance the number of the first loop, counted from 1, whose residual is at most `tol`: (batch,). Where there is none, all loops were run: return their number. A residual that is not a number (the state overflowed) is not at rest.
#
# <details><summary>Hint 1</summary>
#
# `rest = residuals <= tol` is a table of truths, and nan is never `<=` anything. Which row of a column is the first True?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `rest.long().argmax(0)` is the first row with the largest value. In a column without any True it is 0: use `torch.where` and `rest.any(0)`.
#
# </details>


# %% tags=["exercise"]
@ex.halt
def halt(residuals, tol):
    """(loops, batch) relative residuals -> the first loop, from 1, that is at rest; all loops where none is: (batch,)."""
    ### BEGIN SOLUTION
    rest = residuals <= tol
    return torch.where(rest.any(0), rest.long().argmax(0) + 1, len(residuals))
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.halt.state == "solved"
assert halt(torch.tensor([[1.0, 0.1], [0.05, 0.2]]), 0.1).tolist() == [2, 1]
### END HIDDEN TESTS

# %% [markdown]
# Strings of 8 to 256 bits are a stream of mixed difficulty with a known lower bound. With a window of five cells news travels two cells a loop (the **light cone** of lesson 02), so no string of $L$ bits can be done before loop $L/2$.
#
# > **Predict.** Halt at a residual of 0.01. How many loops more than $L/2$ does a string take? Does the surplus grow with the length?

# %%
sizes = (8, 16, 32, 64, 128, 256)
generator = torch.Generator().manual_seed(1)
strings = {size: PrefixSums().tensors(random_bits(8, size, generator)) for size in sizes}


@torch.no_grad()
def watch_residuals(model, x, loops):
    """Relative residuals (loops, batch) of a run from the input, and the state after each loop."""
    loop = model.loop(x)
    z, found, states = loop.start(), [], []
    for _ in range(loops):
        before, z = z, loop(z)
        found.append(lengths(z - before) / lengths(z))
        states.append(z)
    return torch.stack(found), states


halted, right_then = {}, {}
for size, (x, y) in strings.items():
    residuals, states = watch_residuals(bits, x, size // 2 + 60)
    halted[size] = torch.as_tensor(halt(residuals, 0.01))
    ends = torch.stack([states[t - 1][i] for i, t in enumerate(halted[size].tolist())])
    right_then[size] = exact_match(bits.read_out(ends), y)
    print(
        f"{size:4} bits: light cone {size // 2:4}, halted after {halted[size].min()} to {halted[size].max()} loops, {int(right_then[size].sum())} of 8 right"
    )
fig = Figure(figsize=(6.6, 3.5))
ax = fig.subplots()
for i, (name, points) in enumerate(
    {
        "halted at 0.01": [(size, t) for size, values in halted.items() for t in values.tolist()],
        "light cone, half the bits": [(size, size / 2) for size in sizes],
    }.items()
):
    ax.plot(
        *zip(*points, strict=True),
        color=plots.PALETTE[3 * i],
        linestyle="-" if i else "",
        marker="" if i else "o",
        label=name,
    )
ax.set(xlabel="bits", ylabel="loops")
ax.legend()
plots.show(
    fig,
    alt="Loops against bits. The points of all strings lie close to a straight line that is about a third steeper than the straight line of the light cone below them.",
    caption="What to see: all strings of one length halt at nearly the same loop, a little above the bound.",
)
middle = {size: float(values.double().median()) for size, values in halted.items()}
slope = (middle[256] - middle[64]) / (256 - 64)
print(f"from 64 to 256 bits each bit costs {slope:.2f} loops; the light cone asks for 0.50 at least")
assert all(found.all() for found in right_then.values()) and all(halted[size].min() >= size / 2 for size in sizes)
assert 0.6 < slope < 0.75

# %% [markdown]
# Every string was right when it halted. Each bit costs about 0.7 loops, where the light cone asks for half a loop: this model walks at three quarters of the speed of light. A fixed number of loops would have had to be that of the longest string, for all of them.

# %% [markdown]
# ### Exercise 09.2 · leave the batch, and keep your place
#
# Difficulty 3 of 5 · about 20 minutes
#
# Knowing when an instance could have stopped saves nothing. It must **leave the batch**, so that the next loop is smaller. And then row 3 of the batch is no longer instance 3.
#
# `step(z, rows)` is one loop of the instances `rows` (a tensor of their numbers) whose states are `z`, one row for each. Loop each instance until its relative residual is at most `tol`, for at most `most` loops; one that is done must not be stepped again. Return the last states (batch, ...) and the number of loops of each (batch,), both in the order of the `z` that you were given.
#
# <details><summary>Hint 1</summary>
#
# Keep `active`, the numbers of those that still run, beside their states `z`. Before the loop make `end = z.clone()` and `loops` for everybody.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# After a loop: `done = residual <= tol`, and everybody is done in the last loop. `end[active[done]] = after[done]`, the same for `loops`, then `active, z = active[~done], after[~done]`, until nobody is left.
#
# </details>


# %% tags=["exercise"]
@ex.settle
def settle(step, z, tol, most):
    """Loop each instance to rest and let it leave: last states (batch, ...), loops (batch,), in the order of `z`."""
    ### BEGIN SOLUTION
    end, loops = z.clone(), torch.zeros(len(z), dtype=torch.long)
    active = torch.arange(len(z))
    for t in range(1, most + 1):
        after = step(z, active)
        residual = (after - z).flatten(1).norm(dim=1) / after.flatten(1).norm(dim=1)
        done = (residual <= tol) | (t == most)
        end[active[done]], loops[active[done]] = after[done], t
        active, z = active[~done], after[~done]
        if not len(active):
            break
    return end, loops
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.settle.state == "solved"
_, counted = settle(lambda z, rows: z * 0 + 1, torch.zeros(2, 3), 0.1, 5)
assert counted.tolist() == [2, 2]
### END HIDDEN TESTS

# %% [markdown]
# Try it on chess, where nobody knows beforehand how long a position takes: 48 positions, mate in one to four.

# %%
parts = [Chess().split(depth, "test", "engine", 12) for depth in (1, 2, 3, 4)]
x_chess, y_chess = (torch.cat(each) for each in zip(*parts, strict=True))
whole_loop = chess.loop(x_chess)
with torch.no_grad():
    began = time.process_time()
    plain_end = picard(whole_loop, whole_loop.start(), 64, tol=1e-12).z
    middle = time.process_time()
    end, loops = settle(lambda z, rows: whole_loop[rows](z), whole_loop.start(), 0.01, 64)
    finished = time.process_time()
same = (chess.read_out(plain_end).argmax(-1) == chess.read_out(end).argmax(-1)).all(-1)
loops = torch.as_tensor(loops)
print(f"loops: median {loops.float().median():.0f}, {int((loops == 64).sum())} of 48 not at rest after 64")
print(
    f"time: {(finished - middle) / (middle - began):.2f} of that of 64 loops for all; same answer {int(same.sum())} of 48"
)

# %% [markdown]
# ## 3. Other signs, on equal terms
#
# The residual is one sign. Four others:
#
# - **fixed**: no sign at all, everybody gets $T$ loops. This is what the others have to beat.
# - **unchanged**: the answer has been the same for $k$ loops.
# - **certificate**: the task's own rules say that the answer is right. Sudoku has some, prefix sums and chess have none.
# - **learned head**: a logistic regression reads the residual, how long the answer has stood, how sure the least sure cell is, and the mean state, and says how likely the answer is right. Stop above a bar.
#
# In `looped_lite.stopping` each is a function of what was seen, a line or two long:
#
# ```python
# def still(tol):
#     return lambda seen: seen.residual <= tol
# ```
#
# Each has one dial, and whoever turns dials must not look at the test.

# %% [markdown]
# ### Exercise 09.3 · choose tol on validation data only
#
# Difficulty 2 of 5 · about 12 minutes
#
# `validation` and `test` are dictionaries {tol: (right, loops)}; `right` (n,) bool says which instances were answered rightly with this tol, `loops` (n,) after how many loops. Among the tols whose accuracy is at most `slack` below the best accuracy of all tols, choose the one with the fewest loops on average. Return `(tol, accuracy, mean loops)`, the last two as you would report them.
#
# <details><summary>Hint 1</summary>
#
# All that chooses comes from `validation`. All that is reported comes from `test`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `float(right.float().mean())` is an accuracy. Collect the tols with `accuracy >= best - slack`, then `min(..., key=...)` by mean loops.
#
# </details>


# %% tags=["exercise"]
@ex.choose_tol
def choose_tol(validation, test, slack):
    """Two dictionaries {tol: (right, loops)} -> (tol, its accuracy, its mean loops)."""
    ### BEGIN SOLUTION
    accuracy = {tol: float(right.double().mean()) for tol, (right, _) in validation.items()}
    good = [tol for tol in validation if accuracy[tol] >= max(accuracy.values()) - slack]
    chosen = min(good, key=lambda tol: float(validation[tol][1].double().mean()))
    right, loops = test[chosen]
    return chosen, float(right.double().mean()), float(loops.double().mean())
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.choose_tol.state == "solved"
toy = {
    0.1: (torch.tensor([True, False]), torch.tensor([1, 1])),
    0.01: (torch.tensor([True, True]), torch.tensor([5, 7])),
}
assert choose_tol(toy, toy, 0.1) == (0.01, 1.0, 6.0)
### END HIDDEN TESTS

# %% [markdown]
# Now all five rules on three mixed streams: strings of 8 to 512 bits, sudokus (easy, hard, extreme, and from qqwing), mates in one to four. Each dial was set on validation data, at most half a percent of accuracy below what the best fixed number of loops reaches there; then everybody was judged on the same test instances, and timed live, the rules taking turns. `python -m experiments stopping` repeats it in some minutes.
#
# > **Predict.** On which stream does stopping early save most? Which rule wins where there is no certificate?

# %%
stopping = table_of("stopping")
chosen = {(row["stream"], row["rule"]): row for row in stopping if row["chosen"] == 1}
lines = ["| stream | rule | dial | right | against fixed (95%) | mean loops | time |", "|---" * 7 + "|"]
for (stream, rule), row in chosen.items():
    base = chosen[stream, "fixed"]
    clock = f"{row['seconds'] / base['seconds']:.2f}" if row["seconds"] != "" else ""
    lines.append(
        f"| {stream} | {rule} | {row['setting']:g} | {row['right'] / row['count']:.3f} | {row['gap']:+.3f} ({row['gap_low']:+.3f} to {row['gap_high']:+.3f}) "
        f"| {row['loops']:.0f} | {clock} |"
    )
display(Markdown("\n".join(lines)))

# %% [markdown]
# ### Exercise 09.4 · draw the front
#
# Difficulty 2 of 5 · about 10 minutes
#
# A dial has many settings, and each is a point: mean loops, accuracy. A rule is **beaten** by another that is at least as accurate with no more loops, and better in one of the two. What nobody beats is the **front**.
#
# `points` is a dictionary {name: (loops, accuracy)}. Return the list of the names on the front, from few loops to many.
#
# <details><summary>Hint 1</summary>
#
# Go through the names sorted by loops (of equal loops the more accurate first), and keep who sets a record.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `sorted(points, key=lambda name: (points[name][0], -points[name][1]))` is that order.
#
# </details>


# %% tags=["exercise"]
@ex.front
def front(points):
    """{name: (loops, accuracy)} -> the names that no other beats, from few loops to many."""
    ### BEGIN SOLUTION
    kept, best = [], -1.0
    for name in sorted(points, key=lambda name: (points[name][0], -points[name][1])):
        if points[name][1] > best:
            kept.append(name)
            best = points[name][1]
    return kept
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.front.state == "solved"
assert front({"a": (3.0, 0.5), "b": (2.0, 0.5), "c": (4.0, 0.6)}) == ["b", "c"]
### END HIDDEN TESTS

# %%
streams = ("bits", "sudoku", "mates")
for stream in streams:
    points = {
        (row["rule"], row["setting"]): (row["loops"], row["right"] / row["count"])
        for row in stopping
        if row["stream"] == stream
    }
    best = front(points)
    curves = {}
    for rule in dict.fromkeys(rule for rule, _ in points):
        own = sorted(points[name] for name in points if name[0] == rule)
        if len(own) > 1:
            rows = sorted(
                (row["loops"], row["right"] / row["count"], row["low"], row["high"])
                for row in stopping
                if (row["stream"], row["rule"]) == (stream, rule)
            )
            curves[rule] = tuple(zip(*rows, strict=True))
    plots.show(
        plots.accuracy_curves(curves, x_label="mean loops", title=f"{stream}: accuracy against mean loops, test"),
        alt=f"Accuracy against mean loops on the {stream} stream, one curve for each rule; the curve of fixed loops lies below and to the right of the others.",
        caption="What to see: at the same accuracy every rule that looks lies to the left of fixed loops.",
    )
    print(stream, "front:", ", ".join(f"{rule} {setting:g}" for rule, setting in best))

# %% [markdown]
# ## 4. When may you trust a loop that stopped?
#
# So far "at rest" has decided when to stop. Does it also say that the answer is right? Treat the residual as a **judge**. Take a right and a wrong answer at random: how often does the right one have the smaller residual? That share is the **AUC**, the area under the ROC curve. At 1 the judge separates right from wrong, at 0.5 it throws a coin.
#
# > **Predict.** The AUC of the residual on hard and extreme 9x9 puzzles after 64 loops. And with steps of 0.7?

# %%
mixed = [nine.recipe.task.split(split, count) for split, count in (("hard", 40), ("extreme", 40))]
x_nine, y_nine = (torch.cat(each) for each in zip(*mixed, strict=True))


@torch.no_grad()
def end_of(model, x, y, loops, step):
    """Which answers are right after so many loops with steps of a size, and the residual of the loop there."""
    loop = model.loop(x)
    z = loop.start()
    for _ in range(loops):
        z = torch.lerp(z, loop(z), step)
    after = loop(z)
    logits = loop.read_out(z)
    two = logits.softmax(-1).topk(2, -1).values
    margin = (two[..., 0] - two[..., 1]).masked_fill(y == IGNORE, 1.0).amin(-1)
    return exact_match(logits, y), lengths(after - z) / lengths(after), margin


judged = {}
for name, step in (("whole steps", 1.0), ("steps of 0.7", 0.7)):
    ends = [end_of(nine, *part, 64, step) for part in zip(x_nine.split(20), y_nine.split(20), strict=True)]
    right, residual, margin = (torch.cat(each) for each in zip(*ends, strict=True))
    judged[f"residual, {name}"] = -residual, right
    if step == 1.0:
        judged["margin, whole steps"] = margin, right
worth = {name: auc(*pair) for name, pair in judged.items()}
plots.show(
    plots.roc_curves(judged, "80 hard and extreme 9x9 puzzles, 64 loops"),
    alt="Three ROC curves. The residual with whole steps lies below the diagonal or near it; the residual with steps of 0.7 and the margin rise along the left edge to the top.",
    caption="What to see: with whole steps the residual is a bad judge. With smaller steps the same number is nearly perfect.",
)
for name, (value, low, high) in worth.items():
    print(f"{name:25} AUC {value:.3f} ({low:.3f} to {high:.3f})")

# %% [markdown]
# The same for other shipped models: at rest means a residual of at most 0.001.

# %%
judges = table_of("judges")
lines = [
    "| model | right | at rest | of these right | residual | absolute | damped | margin | tries that agree |",
    "|---" * 9 + "|",
]
by_judge = {(row["model"], row["judge"]): row for row in judges}
for model in dict.fromkeys(row["model"] for row in judges):
    first = by_judge[model, "residual"]
    cells = []
    for judge in ("residual", "absolute residual", "damped", "margin", "tries that agree"):
        row = by_judge[model, judge]
        cells.append("" if row["auc"] == "" else f"{row['auc']:.2f} ({row['low']:.2f} to {row['high']:.2f})")
    rest = f"{first['still_right'] / first['still']:.2f}" if first["still"] else ""
    lines.append(
        f"| {model} | {first['right'] / first['count']:.2f} | {first['still'] / first['count']:.2f} | {rest} | "
        + " | ".join(cells)
        + " |"
    )
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## 5. Another try
#
# Where the rules can tell that an answer is wrong, or where tries disagree, one may begin again. How long should a try be? Too short, and none succeeds; too long, and a hopeless one eats the budget.
#
# For the 80 hard validation puzzles with the most guesses it was noted, try by try, after how many loops the grid was right (`python -m experiments tries-each`).

# %%
noted = [row for row in table_of("tries_each") if row["step"] == 1]
needs = {}
for row in noted:
    needs.setdefault(int(row["puzzle"]), []).append(float("inf") if row["loops"] == "" else row["loops"])
times = torch.tensor([needs[i] for i in sorted(needs)])
ends = list(range(16, 257, 16))
plots.show(
    plots.accuracy_curves(
        {
            "first try, from the input": {t: times[:, 0] <= t for t in ends},
            "further tries, from noise": {t: (times[:, 1:] <= t).flatten() for t in ends},
        },
        x_label="loops of one try",
        y_label="share of tries that are right",
        title="the 80 hardest of the validation puzzles",
    ),
    alt="Share of tries that succeeded against loops of the try: both curves rise steeply until about 64 loops and then slowly.",
    caption="What to see: a try that has not succeeded after some sixty loops will hardly ever succeed.",
)
print({t: round(float((times <= t).float().mean()), 2) for t in (32, 64, 128, 256)})

# %% [markdown]
# ### Exercise 09.5 · Luby's lengths
#
# Difficulty 3 of 5 · about 12 minutes
#
# What if you do not know how long the right try is? The **universal** schedule of Luby, Sinclair and Zuckerman (1993) is at most a logarithmic factor worse than the best one, whatever that is: 1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8, ... Write the sequence so far twice, then the double of its last number, and so on. Return its `n`-th entry, counted from 0.
#
# <details><summary>Hint 1</summary>
#
# The entries that end a copy stand at n = 0, 2, 6, 14, ...: where n + 2 is a power of two. There the entry is half of n + 2.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Or build the list: `found = [1]`, then `found = [*found, *found, 2 * found[-1]]` until it is long enough.
#
# </details>


# %% tags=["exercise"]
@ex.luby
def luby(n):
    """The n-th length, from 0, of 1, 1, 2, 1, 1, 2, 4, 1, 1, 2, ..."""
    ### BEGIN SOLUTION
    found = [1]
    while len(found) <= n:
        found = [*found, *found, 2 * found[-1]]
    return found[n]
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.luby.state == "solved"
assert [luby(n) for n in range(7)] == [1, 1, 2, 1, 1, 2, 4]
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 09.6 · spend a budget on tries
#
# Difficulty 3 of 5 · about 15 minutes
#
# `needs` is a list: try `n` of a puzzle is right after `needs[n]` loops, or never (`float("inf")`). `schedule(n)` is how many loops try `n` gets; the last one gets what is left of `budget`. A try that is right ends at once. Return `(solved, loops)`: is some try right within the budget, and how many loops were spent, on all tries together. When the list is at its end there are no more tries.
#
# <details><summary>Hint 1</summary>
#
# Count `used` up from 0. Try `n` gets `min(schedule(n), budget - used)`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# If `needs[n]` is at most that, return `(True, used + needs[n])`. Otherwise add what it got and go on.
#
# </details>


# %% tags=["exercise"]
@ex.spend
def spend(needs, schedule, budget):
    """Loops that each try needs, a schedule n -> loops, a budget -> (solved, loops spent)."""
    ### BEGIN SOLUTION
    used = 0
    for n, need in enumerate(needs):
        given = min(schedule(n), budget - used)
        if need <= given:
            return True, float(used + need)
        used += given
    return False, float(used)
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.spend.state == "solved"
assert spend([float("inf"), 10.0], lambda n: 32, 100) == (True, 42.0)
### END HIDDEN TESTS

# %% [markdown]
# With your two functions any schedule can be judged without running the model again: draw the tries of each puzzle in random order, a few times, and count.

# %%
schedules = {
    "fixed 32": lambda n: 32,
    "fixed 64": lambda n: 64,
    "fixed 128": lambda n: 128,
    "universal, unit 32": lambda n: 32 * luby(n),
    "one long run": lambda n: 256,
}
order = torch.Generator().manual_seed(2)
outcomes = {name: [] for name in schedules}
for puzzle in times:
    for _ in range(4):
        mixed_up = [float(puzzle[0]), *puzzle[1 + torch.randperm(len(puzzle) - 1, generator=order)].tolist()]
        for name, schedule in schedules.items():
            outcomes[name].append(spend(mixed_up, schedule, 256))
for name, found in outcomes.items():
    share = sum(ok for ok, _ in found) / len(found)
    print(f"{name:20} solved within 256 loops {share:.3f}, loops spent {sum(n for _, n in found) / len(found):.0f}")

# %% [markdown]
# ## 6. Can a clever solver do with fewer loops?
#
# A fixed point may be reached faster than by plain repetition. **Anderson acceleration** keeps the last $m + 1$ states $z_i$ and what the loop made of them, $f(z_i)$, and mixes: with weights $a_i$ of sum 1 for which the mixed gap $\sum a_i (f(z_i) - z_i)$ is as short as possible, the next state is $\sum a_i f(z_i)$. For a linear $f$ that is as good as it gets.

# %% [markdown]
# ### Exercise 09.7 · Anderson acceleration of depth m
#
# Difficulty 4 of 5 · about 20 minutes
#
# `points` (m + 1, numbers) holds the last states of one instance, the newest in the last row, `images` what the loop made of each. Return the next state (numbers,).
#
# <details><summary>Hint 1</summary>
#
# Get rid of the constraint: with $g_i = f(z_i) - z_i$ and the newest gap $g_m$, a mixture of weights of sum 1 is $g_m - \sum_{i<m} c_i (g_m - g_i)$ for free numbers $c_i$. The next state is the same mixture of the images.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.linalg.lstsq((gaps[-1] - gaps[:-1]).T, gaps[-1][:, None]).solution[:, 0]` finds the $c_i$.
#
# </details>


# %% tags=["exercise"]
@ex.anderson_mix
def anderson_mix(points, images):
    """The last states and their images, both (m + 1, numbers), newest last -> the next state (numbers,)."""
    ### BEGIN SOLUTION
    gaps = images - points
    mix = torch.linalg.lstsq((gaps[-1] - gaps[:-1]).T, gaps[-1][:, None]).solution[:, 0]
    return images[-1] - mix @ (images[-1] - images[:-1])
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.anderson_mix.state == "solved"
line = torch.tensor([[0.0], [1.0]])
assert torch.allclose(anderson_mix(line, 0.5 * line + 3), torch.tensor([6.0]), atol=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# Let it loose on one string of 64 bits, from the embedded input and from late in the run, when every bit knows its answer and only the tail is left.
#
# > **Predict.** In which of the two does it save loops? Think of the light cone.

# %%
x_one, y_one = PrefixSums().tensors(random_bits(1, 64, torch.Generator().manual_seed(5)))
loop_one = bits.loop(x_one)


@torch.no_grad()
def evaluations(z, memory, tol=1e-6, most=400):
    """Evaluations of the loop until its relative residual is at most tol, with your mix over so many older states (0: plain)."""
    points, images = [], []
    for t in range(1, most + 1):
        after = loop_one(z)
        if float(lengths(after - z) / lengths(after)) <= tol:
            return t
        points, images = [*points, z.flatten()][-memory - 1 :], [*images, after.flatten()][-memory - 1 :]
        mixed = memory and len(points) > 1
        z = anderson_mix(torch.stack(points), torch.stack(images)).view_as(after) if mixed else after
    return most


with torch.no_grad():
    late = loop_one.start()
    while float(lengths(loop_one(late) - late) / lengths(late)) > 1e-2:
        late = loop_one(late)
counts = {
    (where, m): evaluations(z, m) for where, z in (("input", loop_one.start()), ("tail", late)) for m in (0, 1, 3, 5)
}
for where in ("input", "tail"):
    print(f"{where:6}", "  ".join(f"depth {m}: {counts[where, m]}" for m in (0, 1, 3, 5)))

# %% [markdown]
# And instance by instance, on all three tasks (`python -m experiments acceleration`). *At rest* is a relative residual of at most 0.0001 within the budget; *broke* counts instances that plain loops answered rightly and this solver did not, *mended* the other way round.

# %%
lines = [
    "| instances | solver | at rest | right | loops, median | faster than plain | broke | mended |",
    "|---" * 8 + "|",
]
solver_rows = {(row["set"], row["solver"]): row for row in table_of("acceleration")}
for (name, solver), row in solver_rows.items():
    count = int(row["count"])
    lines.append(
        f"| {name} | {solver} | {int(row['settled'])} of {count} | {int(row['right'])} | {row['evaluations']:.0f} | {int(row['helped'])} | {int(row['broke'])} | {int(row['mended'])} |"
    )
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## 7. Does difficulty predict loops?
#
# > **Predict.** Rank correlations (1: the same order, 0: none) of difficulty and the loop from which on an instance is right: bits against length, sudokus against guesses of a search, mates against their distance.

# %%
each = table_of("difficulty")
ranked = {}
for stream in streams:
    rows = [row for row in each if row["stream"] == stream and row["right_at"] != ""]
    ranked[stream] = spearman([row["difficulty"] for row in rows], [row["right_at"] for row in rows])
    print(
        f"{stream:7} {len(rows)} instances that were solved: rank correlation {ranked[stream][0]:.2f} ({ranked[stream][1]:.2f} to {ranked[stream][2]:.2f})"
    )

# %% [markdown]
# ## Recap
#
# - A loop can stop where it likes. What it sees of itself is enough for a rule: residual, how long the answer has stood, how sure it is, a certificate, or a learned mixture.
# - What has stopped must **leave the batch**, and its answer must find its way home.
# - A rule has a dial. **Validation data turn it, test data judge it.**
# - The **residual** says how far the loop is from rest. Whether rest means right is another question, and the answer depends on the training: measure it (AUC, with an interval) before you trust it.
# - Where answers certify themselves, **another try** beats a longer one.
# - **Clever solvers** shorten the tail, where the loop is nearly linear. They cannot outrun the light cone, and before the tail they do harm.
#
# ## Self-test
#
# **1.** You stop 10,000 strings at a residual of 0.001, and later find that at 0.01 all of *these* would have been right, too. May you report the time at 0.01?
#
# <details><summary>Answer</summary>
#
# Not on these strings: they chose the dial. Fresh strings may be judged with it, and their time is the one to report.
#
# </details>
#
# **2.** A model is always at rest after 20 loops, and right in six cases of ten. What is the AUC of "is it at rest?" as a judge? What would you try instead?
#
# <details><summary>Answer</summary>
#
# 0.5: it says the same of every answer. Look at how sure the least sure cell is, at whether several starts or symmetric images agree, or, if there are rules, at the rules.
#
# </details>
#
# **3.** A solver promises to halve the loops on prefix sums of 512 bits, window 5. What do you answer?
#
# <details><summary>Answer</summary>
#
# News travels two cells a loop: below 256 evaluations the last bit cannot know the first. Plain loops take about 0.7 loops a bit, some 340. No solver that calls this loop can halve that.
#
# </details>
#
# ## Further reading
#
# - A. Graves, *Adaptive Computation Time for Recurrent Neural Networks*, arXiv 1603.08983: a network that learns when to stop. A. Banino, J. Balaguer and C. Blundell, *PonderNet*, arXiv 2107.05407, does it with a probability.
# - S. Bai, J. Z. Kolter and V. Koltun, *Deep Equilibrium Models*, arXiv 1909.01377: the fixed point as the model, found by Anderson or Broyden.
# - M. Luby, A. Sinclair and D. Zuckerman, *Optimal Speedup of Las Vegas Algorithms*, 1993: restarts when you know nothing of the times.
# - H. F. Walker and P. Ni, *Anderson Acceleration for Fixed-Point Iterations*, 2011.

# %%
report(ex)

# %% [markdown]
# Next: **10 · the whole grid**, where the paper's claims are held against all that was trained here.
