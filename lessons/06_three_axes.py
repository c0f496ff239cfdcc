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
# # 06 · Three axes
#
# **Reachability, input-dependence, geometry: how do you measure each?**
#
# Lesson 05 asked whether a loop still gives right answers on strings longer than any it was trained on. This lesson asks *why*. The paper behind this course (A. Labovich, arXiv 2604.15259) says that a looped transformer
# needs three things at once:
#
# 1. **Reachability**: the loop gets to a fixed point, and to the same one wherever it starts.
# 2. **Input-dependence**: the fixed point moves when the question does, and smoothly.
# 3. **Geometry**: near the fixed point the loop is calm. What is added to the state there fades from loop to loop, and so do gradients on their way back: nothing blows up. (Fading sounds like a loss. You will see what makes it harmless.)
#
# You measure each of them on twelve trained models: four variants, three seeds each.
#
# **After this lesson you can**
#
# - score path independence, and detect a cycle in a state of thousands of numbers;
# - measure how far a fixed point moves with its input, by experiment and by implicit differentiation;
# - read a spectrum, and say what it does *not* tell;
# - lay many trajectories into one plane, and colour a slice of state space by where it leads;
# - say why recall and an outer norm *together* give all three, and which steps of that are proved.
#
# **Time**: about 90 minutes for you, about a minute for the machine. **You need**: lesson 01 (fixed points, spectral radius) and the names of lesson 03 (recall, norm). Nothing is trained here.

# %%
import statistics

import torch
from tqdm.auto import tqdm

from looped_exercises import lesson_06 as ex
from looped_exercises import report
from looped_lite import PrefixSums, load_pretrained, plots, tables, widgets
from looped_lite import fixed_points as fp
from looped_lite.tasks import exact_match

torch.set_num_threads(1)  # these tensors are small: a second thread would only wait for the first
variants, seeds = [("internal", "post"), ("external", "post"), ("none", "post"), ("internal", "peri")], (0, 1, 2)
long = {("none", "post"): "none-post-long"}  # trained for 2,000 steps instead of 600: the text below says why
models = {
    (*variant, seed): load_pretrained(f"prefix-sums-{long.get(variant, '-'.join(variant))}-seed{seed}").requires_grad_(
        False
    )
    for variant in variants
    for seed in seeds
}
first = {variant: models[(*variant, 0)] for variant in variants}

# %%
task = PrefixSums(uniform=1, biased=0)  # strings of random bits
x, y = task.batch(8, 16, torch.Generator().manual_seed(6))  # 8 strings of 16 bits, for most of the lesson


def loop_of(model, x=x):
    """The loop as a map of the state, and the embedded input."""
    f = model.loop(x)
    return f, f.h.detach()


def share_right(model, z, y=y):
    return float(exact_match(model.read_out(z), y).float().mean())


# %% [markdown]
# ## What they can do
#
# All twelve are from the grid of lesson 05 and its patient models. They were trained on running parity, on strings of up to 32 bits and for up to 20 loops. Nine of them had 600 steps. The three without recall had 2,000, at a third of the learning rate: no recall needs patience, and after the 600 steps of the others such a model
# solves nothing (lesson 05). From a model that has learned nothing you could not tell what the missing recall does. So these are not twelve models at equal steps; the comparison is generous to the variant without recall.
#
# Ask each for the answers to 8 strings of 16 bits after 30 loops. Then let it go on to 400.

# %%
after_30 = {key: fp.iterate(*loop_of(model), 30).z for key, model in models.items()}
after_400 = {key: fp.iterate(loop_of(model)[0], after_30[key], 370).z for key, model in models.items()}
right_of = lambda ends, variant: tuple(share_right(models[(*variant, seed)], ends[(*variant, seed)]) for seed in seeds)
home = {variant: right_of(after_30, variant) for variant in variants}
away = {variant: right_of(after_400, variant) for variant in variants}
header = ["share of strings right, three seeds", "after 30 loops", "after 400 loops"]
tables.show(header, [[" + ".join(variant), home[variant], away[variant]] for variant in variants])

# %% tags=["claims"]
# Check the claims
for variant in (("internal", "post"), ("external", "post")):
    assert home[variant] == away[variant] == (1, 1, 1)
assert home["none", "post"] == (1, 1, 1) and sorted(away["none", "post"])[1:] == [1, 1]
assert 0.5 < min(away["none", "post"]) < 1
assert home["internal", "peri"] == (1, 1, 1) and min(away["internal", "peri"]) < 0.5
steps_of = {key: int(model.card["steps"]) for key, model in models.items()}
assert all(steps == (2000 if key[0] == "none" else 600) for key, steps in steps_of.items())
assert all(model.recipe.lr == (0.001 if key[0] == "none" else 0.003) for key, model in models.items())

# %% [markdown]
# After 30 loops everybody is right. With recall and the outer norm: right, and right for ever. Without recall two seeds stay right, and one loses two of its eight strings. Internal recall with
# peri norm: one of the three seeds loses most of its answers while you watch, and two keep them, on these short strings. (Lesson 05 drew that fall.)
#
# By this table you would hardly tell them apart. Three axes should.
#
# ## Axis 1: reachability
#
# > **Predict.** For each variant: does the length of a step go to zero? Remember lesson 01: absolute steps.

# %%
steps, lengths = {}, {}
for variant, model in first.items():
    f, h = loop_of(model)
    run = fp.iterate(f, h, 400)
    steps[variant], lengths[variant] = run.steps, run.norms
plots.show(
    plots.residual_curves(steps, title="One model of each variant, 8 strings of 16 bits"),
    alt="Step sizes against loops for four variants. Three fall to rounding error; internal recall with peri norm stays near 30.",
    caption="What to see: the three variants with the outer norm (post) fall to the floor of single precision, about 1e-5. Internal + peri moves by the same amount at every loop, for ever.",
)
plots.show(
    plots.state_norms(lengths, log_y=False, title="The length of the state"),
    alt="Length of the state against loops: constant for the three post variants, growing without bound for internal recall with peri norm.",
    caption="What to see: that constant step leads away in a straight line. The relative step falls like 1/t, and nothing has settled.",
)

# %% tags=["claims"]
# Check the claims
for variant in variants[:3]:
    assert steps[variant][-1].max() < 1e-4 and lengths[variant][-1].max() < 60
drift = steps["internal", "peri"]
assert 0.8 < drift[-1].mean() / drift[100].mean() < 1.2 and drift[-1].min() > 10 and 25 < drift[-1].median() < 35
assert all(steps[variant][-100:].max() < 3e-5 for variant in variants[:3])
assert 1.7 < lengths["internal", "peri"][-1].mean() / lengths["internal", "peri"][199].mean() < 2.3

# %% [markdown]
# Why does peri drift? Count equations. With internal recall behind the pre-norm, a branch sees only the *direction* of the state, and its output is normalized to a fixed length: it cannot vanish. For a fixed point the attention branch and the MLP branch would have to
# cancel each other exactly. Nothing makes them, so every loop adds a step of about the same length.
#
# ### From where?
#
# Settling is half of it. Does every start lead to the *same* end? Five starts for each string: the embedded input (as in training), zeros, unit noise, noise ten times as large, and the state in which *another* string ended.

# %% [markdown]
# ### Exercise 06.1 · path independence as a score
#
# Difficulty 2 of 5 · about 10 minutes
#
# `ends` holds where each start led: `(starts, batch, ...)`. For every instance, return the share of *pairs* of different starts that agree. Two ends agree when their distance is at most `tol` times the mean length of all ends of that instance.
#
# <details><summary>Hint 1</summary>
#
# Flatten each state to one vector: `ends.flatten(2)` is `(starts, batch, numbers)`. Then `itertools.combinations(range(len(ends)), 2)` gives each pair once.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Stack one row of bools for each pair, `(pairs, batch)`, and take `.float().mean(0)`.
#
# </details>


# %% tags=["exercise"]
@ex.path_score
def path_score(ends, tol=1e-2):
    """Ends (starts, batch, ...) -> share of pairs of starts that agree, (batch,)."""
    ### BEGIN SOLUTION
    ends = ends.flatten(2)
    unit = ends.norm(dim=2).mean(0)
    agree = []
    for i in range(len(ends)):
        for j in range(i):
            agree.append((ends[i] - ends[j]).norm(dim=1) <= tol * unit)
    return torch.stack(agree).float().mean(0)
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
ends = torch.randn(5, 3, 2, 4)
assert path_score(ends).tolist() == [0, 0, 0] and path_score(ends, tol=10).tolist() == [1, 1, 1]
assert torch.equal(path_score(ends, tol=1.4), fp.agreement(ends, 1.4)[0])
assert ex.path_score.state == "solved"
### END HIDDEN TESTS

# %%
names = ["input", "zeros", "noise", "noise x 10", "another's end"]


def ends_from_everywhere(model, loops=120):
    """Where five starts lead: (5, batch, cells, width)."""
    f, h = loop_of(model)
    g = torch.Generator().manual_seed(1)
    starts = [h, torch.zeros_like(h), torch.randn(h.shape, generator=g), 10 * torch.randn(h.shape, generator=g)]
    ends = [fp.iterate(f, start, loops).z for start in starts]
    return torch.stack([*ends, fp.iterate(f, ends[0].roll(1, 0), loops).z])


everywhere = {
    key: ends_from_everywhere(model) for key, model in tqdm(models.items(), desc="five starts, twelve models")
}
score = {key: path_score(ends) for key, ends in everywhere.items()}
right = {key: [share_right(models[key], z) for z in ends] for key, ends in everywhere.items()}
header = ["model", "seed", "path independence, mean of 8", *(f"right from {name}" for name in names)]
tables.show(
    header, [[f"{key[0]} + {key[1]}", key[2], float(score[key].mean()), *right[key]] for key in models], digits=2
)

# %% [markdown]
# With recall and the outer norm the starts of a string come together, whatever they were, and the answer is right from everywhere. Without recall the start is all that the loop ever learns about the question, so
# different starts end in different places, and the answer is there from one start alone: of zeros, noise and another's end none gave a right answer, in none of three seeds. What looked like skill in the first table was a good start. And peri never ends anywhere, so its states are still apart. Look at its last column: where the loop starts in the state
# that another string has left behind, no answer is right, in none of three seeds. That state is so long that the new question's steps hardly turn it.

# %% tags=["claims"]
# Check the claims
mean_score = {variant: statistics.mean(float(score[(*variant, seed)].mean()) for seed in seeds) for variant in variants}
print({" + ".join(variant): round(value, 2) for variant, value in mean_score.items()})
for variant in (("internal", "post"), ("external", "post")):
    assert mean_score[variant] > 0.9
    assert all(share >= 0.85 for seed in seeds for share in right[(*variant, seed)])
assert (
    all(right["internal", "peri", seed][4] == 0 for seed in seeds)
    and min(right["internal", "post", seed][4] for seed in seeds) > 0.85
)
assert all(share == 0 for seed in seeds for share in right["none", "post", seed][1:])
assert min(right["none", "post", seed][0] for seed in seeds) > 0.5
assert mean_score["none", "post"] < 0.25 and mean_score["internal", "peri"] < 0.25

# %% [markdown]
# ### An end that is not a fixed point
#
# Does coming together mean coming to rest? On these eight strings it does. But lesson 01 warned you: fixed points are not the only ends. Take more strings, 32 of 32 bits, and one of the good models, internal + post with seed 1. All its answers are right. Do all its states settle?

# %% [markdown]
# ### Exercise 06.2 · a cycle detector
#
# Difficulty 3 of 5 · about 15 minutes
#
# `states` holds an orbit `(loops + 1, batch, ...)`. For each instance find the smallest `p` from 1 to `longest` such that the last `p` states repeat the `p` states before them: each distance at most `tol`. A fixed point has period 1. Return a list of whole numbers, 0 where there is no such `p`.
#
# <details><summary>Hint 1</summary>
#
# The last `p` states are `path[-p:]`, the `p` before them are `path[-2 * p : -p]`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# One pair of close states may be chance. Take the largest of the `p` distances. Go through `p` in order and stop at the first that fits.
#
# </details>


# %% tags=["exercise"]
@ex.period
def period(states, longest=8, tol=1e-3):
    """Orbits (loops + 1, batch, ...) -> the period of each instance's end, a list; 0 for none."""
    ### BEGIN SOLUTION
    found = []
    for path in states.flatten(2).unbind(1):
        answer = 0
        for p in range(1, longest + 1):
            if (path[-p:] - path[-2 * p : -p]).norm(dim=1).max() <= tol:
                answer = p
                break
        found.append(answer)
    return found
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
walk = torch.tensor([0.0, 1.0, 2.0]).repeat(8)[:, None, None]
assert list(period(walk)) == [3] and list(period(walk, longest=2)) == [0]
assert ex.period.state == "solved"
### END HIDDEN TESTS

# %%
restless = models["internal", "post", 1]
parts = [task.batch(16, 32, torch.Generator().manual_seed(seed)) for seed in (0, 1)]
many, targets = (torch.cat(part) for part in zip(*parts, strict=True))
f_many, h_many = loop_of(restless, many)
run = fp.iterate(f_many, fp.iterate(f_many, h_many, 180).z, 20, keep=True)
periods = list(period(run.states))
print("periods of 32 ends:", periods)
who = [i for i, p in enumerate(periods) if p == 2]
apart = (run.states[-1] - run.states[-2]).norm(dim=-1)[who]  # (strings, cells)
for string, cells in zip(who, apart, strict=True):
    most, length = int(cells.argmax()), run.z[string, int(cells.argmax())].norm()
    print(f"string {string}: cell {most} moves by {cells.max():.2f} at every loop (its length is {length:.1f})")

# %% [markdown]
# Some strings end in a **cycle of period 2**: mostly one cell flips between two states, loop after loop, for ever, and both states read out as the right answer. Nothing is broken, and no accuracy would have told you. But a program that waits for the residual to fall would wait for ever, and the path
# independence score of such a string is not 1.
#
# Where does a cycle of two come from? In lesson 01 the fixed point of the logistic map did not vanish when the cycle appeared: its slope passed $-1$, and it began to repel. Newton's method finds fixed points that repel. Start it between the two states of the cycle.

# %%
exact_one = load_pretrained("prefix-sums-internal-post-seed1").double()  # a copy in double precision
f_who, _ = loop_of(exact_one, many[who].double())
middle = (run.states[-1] + run.states[-2])[who].double() / 2
hidden = fp.newton_krylov(f_who, middle, 2000, tol=1e-9, krylov=30)
spectrum = fp.leading_eigenvalues(f_who, hidden.z, count=3)
for string, settled, values in zip(who, hidden.settled, spectrum.values, strict=True):
    listed = ", ".join(f"{value:.3f}" for value in values.tolist())
    print(f"string {string}: fixed point found: {bool(settled)}, its leading eigenvalues: {listed}")

# %% tags=["claims"]
# Check the claims
assert set(periods) == {1, 2} and 1 <= len(who) <= 6 and run.z[0].numel() == 2112
assert share_right(restless, run.states[-1], targets) == share_right(restless, run.states[-2], targets) == 1
kinds = [str(end) for end in fp.classify_end(*loop_of(restless, many[who]), 200)]
assert kinds == ["cycle of period 2"] * len(who)
assert (
    hidden.settled.all() and (spectrum.values[:, 0].real < -1).all() and (spectrum.values[:, 0].imag.abs() < 1e-6).all()
)
assert (apart.max(1).values > 5 * apart.topk(2).values[:, 1]).all()  # mostly one cell

# %% [markdown]
# There it is: a fixed point, with one eigenvalue beyond $-1$. The same mechanism as in a map of one number, inside a transformer with a state of 2,112.
#
# ## Trajectories in one plane
#
# Numbers convince; pictures explain. A state of 1,088 numbers cannot be drawn, but its projection on a plane can, and the best plane is the one that keeps most of the variance: **principal component analysis**.

# %% [markdown]
# ### Exercise 06.3 · one plane for many trajectories
#
# Difficulty 3 of 5 · about 10 minutes
#
# Given states `(loops, batch, ...)`, return the centre `(numbers,)`, which is the mean of *all* states, and the two axes `(2, numbers)`: orthogonal, of length 1, the direction of most variance first.
#
# <details><summary>Hint 1</summary>
#
# `states.flatten(0, 1).flatten(1)` puts every state of every trajectory in a row of one matrix.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Subtract the centre, then `torch.linalg.svd(points, full_matrices=False)` returns three things. The rows of the third are the directions, in order.
#
# </details>


# %% tags=["exercise"]
@ex.shared_plane
def shared_plane(states):
    """States (loops, batch, ...) -> centre (numbers,) and axes (2, numbers) of the plane of most variance."""
    ### BEGIN SOLUTION
    points = states.flatten(0, 1).flatten(1)
    centre = points.mean(0)
    _, _, directions = torch.linalg.svd(points - centre, full_matrices=False)
    return centre, directions[:2]
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
cloud = torch.randn(30, 4, 5) * torch.tensor([1.0, 9.0, 1.0, 4.0, 1.0])
centre, axes = shared_plane(cloud)
assert (
    axes[0].abs().argmax() == 1
    and axes[1].abs().argmax() == 3
    and torch.allclose(centre, cloud.mean((0, 1)), atol=1e-5)
)
assert ex.shared_plane.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# Three strings, five starts each, 40 loops. One colour for each string; a ring is a start, a filled mark is where it is.
#
# > **Predict.** How many end points will there be for internal + post? For none + post?


# %%
def trajectories_of(model, loops=40, count=3):
    """States (loops + 1, 5 starts x strings, cells, width), the string of each, and their plane."""
    f, h = loop_of(model, x[:count].repeat(5, 1, 1))
    g = torch.Generator().manual_seed(2)
    starts = h.view(5, count, *h.shape[1:]).clone()
    starts[1] = 0
    starts[2:] = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1) * torch.randn(3, *starts.shape[1:], generator=g)
    states = fp.iterate(f, starts.flatten(0, 1), loops, keep=True).states
    return states, torch.arange(count).repeat(5), plots.plane_of(states, *shared_plane(states))


walks = {
    variant: trajectories_of(first[variant])
    for variant in (("internal", "post"), ("none", "post"), ("internal", "peri"))
}
strings = ["string 1", "string 2", "string 3"]
share = lambda variant: f"{' + '.join(variant)}: 40 loops, {walks[variant][2].share:.0%} of the variance"

# %%
plots.show(
    plots.trajectories(*walks["internal", "post"], names=strings, title=share(("internal", "post"))),
    alt="Fifteen paths in a plane end in three points, one for each string.",
    caption="What to see: three strings, three ends; the five starts of each string meet there.",
)
plots.show(
    plots.trajectories(*walks["none", "post"], names=strings, title=share(("none", "post"))),
    alt="Fifteen paths in a plane end in many points; those of one string do not meet.",
    caption="What to see: the colours mix. Where a path ends depends on where it began. (At the far right three paths end in one point and hide each other: the starts from zeros, one for each string.)",
)
plots.show(
    plots.trajectories(*walks["internal", "peri"], names=strings, title=share(("internal", "peri"))),
    alt="Fifteen paths in a plane leave a common corner in nearly straight lines, each in its own direction.",
    caption="What to see: nothing ends. The paths walk away, each in its own direction, and the scale of the axes is hundreds instead of tens.",
)

# %% [markdown]
# With recall and outer norm the question alone decides where a path ends; without recall, the start does. From zeros a loop without recall cannot even tell the three strings apart: three paths in one.
#
# Watch the first one move. Press play, or drag the slider; where widgets do not run, the animation below it shows the same.

# %%
widgets.trajectory_player(*walks["internal", "post"], strings)

# %%
plots.show(
    plots.trajectory_gif(*walks["internal", "post"], strings, frames=16),
    alt="Animation: fifteen paths from scattered starts; within about fifteen loops they run together in three points, one for each string.",
    caption="What to see: the starts of one string find each other within about fifteen loops, long before the last steps die out.",
)

# %% tags=["claims"]
# Check the claims: distances between the ends of one string, and between strings, relative to the length of a state
early = walks["internal", "post"][0].view(41, 5, 3, -1)  # (loops + 1, starts, strings, numbers)
spread = torch.stack([torch.stack([torch.pdist(points[:, s]).mean() for s in range(3)]).max() for points in early])
print(
    "internal + post, mean distance of five starts, loops 0, 5, 10, 15, 20:",
    [round(float(spread[t]), 3) for t in (0, 5, 10, 15, 20)],
)
assert spread[15] < 0.02 * spread[0]
for variant, meets in ((("internal", "post"), True), (("none", "post"), False)):
    ends = walks[variant][0][-1].view(5, 3, -1)
    unit = ends.norm(dim=-1).mean()
    within = torch.stack([torch.pdist(ends[:, s]).mean() for s in range(3)]).max() / unit
    between = torch.pdist(ends.mean(0)).min() / unit
    print(f"{variant[0]} + {variant[1]}: within a string at most {within:.3f}, between strings at least {between:.2f}")
    assert (within < 0.05 * between) == meets
silent_plane = walks["none", "post"]
from_zeros = silent_plane[0][:, 3:6].flatten(2)  # the second start of each string
assert torch.equal(from_zeros[:, 0], from_zeros[:, 1]) and torch.equal(from_zeros[:, 0], from_zeros[:, 2])
across = plots.project(silent_plane[0], silent_plane[2])[-1, :, 0]
assert across[3] > across[[0, 1, 2, *range(6, 15)]].max() + 10, "and it is the end at the far right"
far = plots.project(*walks["internal", "peri"][::2])[-1]
assert abs(far).max() > 500

# %% [markdown]
# ## Axis 2: input-dependence
#
# Does the end know the question, and does it move *smoothly* with it? First a loop of one number that has many fixed points, $g(z) = z - \frac{1}{7}\sin 2\pi z$, whose attracting fixed points are the whole numbers.
#
# - without recall: $z' = g(z)$, started at the input $x$;
# - with recall: $z' = \frac12 g(z) + \frac12 x$, started anywhere.
#
# > **Predict.** Draw the end $z^*$ as a function of $x$, for both.

# %%
g = lambda z: z - torch.sin(2 * torch.pi * z) / 7
inputs = torch.linspace(-2.4, 2.4, 481, dtype=torch.float64)[:, None]
without = fp.iterate(g, inputs, 600).z
with_recall = fp.iterate(lambda z: g(z) / 2 + inputs / 2, torch.zeros_like(inputs), 600).z
curves = {"no recall": (inputs[:, 0], without[:, 0]), "with recall": (inputs[:, 0], with_recall[:, 0])}
dots = {"color": plots.RECALL_COLOURS["none"], "linestyle": "", "marker": ".", "markersize": 3, "markevery": 1}
look = {"no recall": dots, "with recall": {"color": plots.RECALL_COLOURS["external"], "linestyle": "-", "marker": ""}}
plots.show(
    plots.lines(curves, "input x", "end of the loop z*", styles=look),
    alt="The end of the loop against the input. Without recall a staircase; with recall a rising curve without jumps.",
    caption="What to see: without recall the end is a staircase. It jumps where the start crosses from one basin to the next, and between jumps its slope is exactly 0. With recall it is a smooth curve.",
)

# %% tags=["claims"]
# Check the claims
near_whole = (without - without.round()).abs().max()
inside = (inputs - inputs.floor() - 0.5).abs()[:, 0] > 0.02  # not on a border between basins
assert near_whole < 1e-9 or (without[inside] - without[inside].round()).abs().max() < 1e-9
assert torch.equal(without[inside].round(), inputs[inside].round())
assert (with_recall.diff(dim=0) > 0).all() and with_recall.diff(dim=0).max() < 0.12

# %% [markdown]
# This staircase is no accident. Three steps make an argument of it:
#
# 1. The fixed points of $z' = f(z)$ do not know $x$. The input only says where to start.
# 2. A fixed point whose slope $s$ is not 1 **stands alone**: close to it $f(z) - z \approx (s - 1)(z - z^*)$, and that is 0 at $z^*$ only. With many numbers in the place of one: if 1 is not an eigenvalue of $J_z$, then $I - J_z$ can be inverted, and the same holds. Points that stand alone can be counted. There are *at most countably many*.
# 3. A function of $x$ that takes countably many values can get from one to another only by a jump: on the way it would have to take all the values in between, and those are not countable. So wherever the end is continuous in $x$ it is constant, $dz^*/dx = 0$.
#
# The input can do no more than choose a basin. (A discrete answer can hide in that choice, and in the three models without recall it does: the string picks a basin, and in the basin lies its answer. What is lost is smoothness, and every start that is not the input.)
#
# Is there no way out? Try all slopes. Between $-1$ and 1 a fixed point attracts, and there is the staircase. Above 1 or below $-1$ it repels: nobody arrives. At $-1$ it still stands alone. What is left is exactly 1. Take $g_a(z) = z - \frac{a}{2\pi}\sin 2\pi z$, with slope $1 - a$ at whole numbers and $1 + a$ halfway between. At $a = 0$ it moves nothing: *every* number is a fixed point, uncountably many, and the end is $x$ itself.
#
# > **Predict.** Now let the weight $a$ be off by a little: 0.02. Where is the state after 30, 100 and 1,000 loops?


# %%
def g_a(z, a):
    return z - a / (2 * torch.pi) * torch.sin(2 * torch.pi * z)


ends_of = {loops: fp.iterate(lambda z: g_a(z, 0.02), inputs, loops).z for loops in (30, 100, 1000)}
curves = {"a = 0": (inputs[:, 0], fp.iterate(lambda z: g_a(z, 0.0), inputs, 3000).z[:, 0])}
curves |= {f"a = 0.02, {loops:,} loops": (inputs[:, 0], ends[:, 0]) for loops, ends in ends_of.items()}
looks = zip(curves, (plots.INK, *plots.shades(3)), (":", "-", "--", "-"), strict=True)
look = {name: {"color": colour, "linestyle": line, "marker": ""} for name, colour, line in looks}
plots.show(
    plots.lines(curves, "input x", "state after the loops", styles=look),
    alt="The end of the loop against the input. For a = 0 a straight diagonal line. For a = 0.02 a line that is slightly wavy after 30 loops, a staircase with rounded edges after 100 and one with sharp edges after 1,000.",
    caption="What to see: with a slope of exactly 1 the end can follow the input. The smallest change of the weights ends it: sooner or later there is a staircase again.",
)

# %% tags=["claims"]
# Check the claims: all fixed points between -2.2 and 2.2 stand alone; those that repel lose their neighbours; slope 1 is fragile
found = fp.newton_krylov(g, torch.linspace(-2.2, 2.2, 45, dtype=torch.float64)[:, None], 400, tol=1e-12)
points = found.z[found.settled & (found.z.abs() < 2.2)[:, 0]].mul(2).round().unique() / 2
assert points.tolist() == [-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2]
slopes = {float(z): float(fp.jacobian_product(g, z[None, None])(torch.ones(1, 1).double())) for z in points}
print("fixed points and their slopes:", {z: round(slope, 2) for z, slope in slopes.items()})
assert all(slope < 0.2 if z == round(z) else slope > 1.8 for z, slope in slopes.items())
beside = torch.tensor([[0.5 - 1e-9], [0.5 + 1e-9]], dtype=torch.float64)
assert fp.iterate(g, beside, 600).z.round().flatten().tolist() == [0, 1]  # a hair beside a point that repels
assert torch.equal(fp.iterate(lambda z: g_a(z, 0.0), inputs, 3000).z, inputs)
rough = {loops: float((ends[inside] - inputs[inside].round()).abs().max()) for loops, ends in ends_of.items()}
print("a = 0.02, largest distance from the staircase:", {loops: f"{value:.1e}" for loops, value in rough.items()})
assert rough[30] > 0.3 and 0.1 < rough[100] < 0.5 and rough[1000] < 1e-6

# %% [markdown]
# With recall, $z^* = f(z^*, x)$, and the fixed point moves with $x$. By how much? Two ways to know. The first is an experiment.

# %% [markdown]
# ### Exercise 06.4 · input sensitivity by experiment
#
# Difficulty 2 of 5 · about 10 minutes
#
# `f(z, x)` is a loop with its input `x`. Run it for `loops` loops from `z` on the input `x + step * dx`, and again on `x - step * dx`, and return how far the end moves per unit: the difference of the two ends, divided by `2 * step`.
#
# <details><summary>Hint 1</summary>
#
# The input stays the same in all loops of a run; only `z` changes. Both runs start at the same `z`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `fp.iterate(lambda z: f(z, there), z, loops).z` is the end of a run on the input `there`.
#
# </details>


# %% tags=["exercise"]
@ex.sensitivity
def sensitivity(f, z, x, dx, loops, step=1e-2):
    """How the end of the loop z -> f(z, x) moves when x moves by dx: like z."""
    ### BEGIN SOLUTION
    ends = []
    for there in (x + step * dx, x - step * dx):
        ends.append(fp.iterate(lambda z, there=there: f(z, there), z, loops).z)
    return (ends[0] - ends[1]) / (2 * step)
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
one = torch.ones(3, 1)
assert torch.allclose(sensitivity(lambda z, x: z / 2 + 3 * x, one, one, 2 * one, 60), 12 * one, atol=1e-3)
assert ex.sensitivity.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# The second way needs no second run. Differentiate $z^* = f(z^*, x)$: the change $dz$ of the fixed point must satisfy $dz = J_z\, dz + J_x\, dx$, so
#
# $$dz = (I - J_z)^{-1} J_x\, dx = \sum_{k \ge 0} J_z^k\, (J_x\, dx).$$
#
# $J_x dx$ is the push that the input gives in one loop, and the sum is what the loop makes of it. The series converges exactly when $\rho(J_z) < 1$: the same condition under which the fixed point attracts what starts *near* it. (That it is reached from everywhere is more than that, and no spectral radius says it: a loop can have many such fixed points.)

# %% [markdown]
# ### Exercise 06.5 · the same by (I − J)⁻¹, as a series
#
# Difficulty 2 of 5 · about 8 minutes
#
# Sum the first `terms` terms of $\sum_k J^k b$, knowing $J$ only as `product`: v ↦ Jv. The first term is $b$ (here `push`) itself.
#
# <details><summary>Hint 1</summary>
#
# Keep two tensors: the newest term and the total. The next term is `product(term)`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `total = term = push`, then `terms - 1` times: `term = product(term)` and `total = total + term`. With `total += term` you would write into `push`.
#
# </details>


# %% tags=["exercise"]
@ex.neumann
def neumann(product, push, terms):
    """push + J push + J^2 push + ..., `terms` terms in all; product is v -> J v."""
    ### BEGIN SOLUTION
    total = term = push
    for _ in range(terms - 1):
        term = product(term)
        total = total + term
    return total
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert torch.allclose(neumann(lambda v: 0.9 * v, torch.ones(2, 2), 400), torch.full((2, 2), 10.0), atol=1e-3)
assert ex.neumann.state == "solved"
### END HIDDEN TESTS

# %%
dh = fp.random_like(
    loop_of(first["internal", "post"])[1], torch.Generator().manual_seed(3)
)  # a random direction of length 1
moved = {}
for key, model in tqdm(models.items(), desc="two ways to know"):
    if key[1] == "peri":
        continue  # no fixed point, nothing to differentiate: below
    step = lambda z, h, model=model: model.step(z, h)
    z, h = everywhere[key][0], loop_of(model)[1]
    push = fp.input_product(step, z, h, dh)
    implicit = neumann(fp.jacobian_product(lambda z, h=h, step=step: step(z, h), z), push, 80)
    measured = sensitivity(step, z, h, dh, 80, 1e-1) if key[2] == 0 else None  # one seed each will do as a check
    moved[key] = fp.lengths(implicit), measured
for (recall, norm, seed), (implicit, measured) in moved.items():
    experiment = "" if measured is None else f" (by experiment {fp.lengths(measured).mean():.3f})"
    print(f"{recall} + {norm} {seed}: the fixed point moves by {implicit.mean():.3f} per unit of input{experiment}")

# %% [markdown]
# Without recall the answer is 0: not small, 0, since $J_x$ is. But is that fair? That loop gets its input through the start. So move the start, by a little, and by more and more. (A start has a length of about 14.)
#
# > **Predict.** How far does the end move when the start moves by 0.1? By 1? By 10?

# %%
pushes = (0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0)


def pushed(variant):
    """How far each string's end moves for each push of the start, (8, pushes); and the share of answers still right."""
    f, h = loop_of(first[variant])
    rest = fp.iterate(f, h, 120).z
    ends = [fp.iterate(f, h + push * dh, 120).z for push in pushes]
    return torch.stack([fp.lengths(end - rest) for end in ends], 1), [share_right(first[variant], end) for end in ends]


through_start, kept = zip(*(pushed(variant) for variant in (("internal", "post"), ("none", "post"))), strict=True)
# %%
curves = {
    (variant, i): (pushes, found[i].clamp_min(1e-6))
    for variant, found in zip((("internal", "post"), ("none", "post")), through_start, strict=True)
    for i in range(8)
}
look = {key: plots.line_style(*key[0]) | {"alpha": 0.6, "markersize": 4} for key in curves}
labels = "how far the start is moved", "how far the end moves"
plots.show(
    plots.lines(curves, *labels, log="xy", ticks=pushes, styles=look),
    alt="How far the end moves against how far the start is moved, eight strings each. With internal recall it stays at rounding error. Without recall it stays there for small pushes and then, at a different push for each string, jumps to about the length of a state.",
    caption="What to see: with recall nothing happens, however far you push. Without it nothing happens up to a point, and then the end jumps by as much as a whole state is long. A staircase.",
)

# %%
f_peri, h_peri = loop_of(first["internal", "peri"])
walk = lambda loops: sensitivity(lambda z, h: first["internal", "peri"].step(z, h), h_peri, h_peri, dh, loops, 0.1)
growth = {loops: float(fp.lengths(walk(loops)).mean()) for loops in (50, 100, 200)}
print(
    "none + post, share of answers still right:", dict(zip(pushes, [round(share, 2) for share in kept[1]], strict=True))
)
print(
    "internal + peri, by experiment:", {loops: round(value) for loops, value in growth.items()}, "after so many loops"
)

# %% [markdown]
# The end does not care where exactly the start was, as long as it is in the same basin: it moves by 0, up to rounding. Then, at another push for each string, the start crosses a border, and the new end has nothing to do with the old one; most answers are gone with it. So the slope is 0 or there is none. A staircase, in a transformer. And peri? Its state does depend on the input, more and more: the effect grows with the loops as the state itself does. It never becomes *an answer* to "how far does the fixed point move", because there is no fixed point.

# %% tags=["claims"]
# Check the claims
for (recall, _, _), (implicit, measured) in moved.items():
    if recall == "none":
        assert implicit.max() == 0 and (measured is None or measured.abs().max() == 0)
    else:
        assert 0.1 < implicit.mean() < 1
        assert measured is None or ((implicit - fp.lengths(measured)).abs() / implicit).median() < 0.01
with_recall_moved, silent_moved = through_start
start_length = float(fp.lengths(loop_of(first["none", "post"])[1]).mean())
assert silent_moved[:, :3].max() < 1e-3 and silent_moved[:, -1].min() > 5
assert ((silent_moved < 1e-3) | (silent_moved > 1)).all(), "nothing between a still end and a jump"
assert kept[1][0] == 1 and kept[1][-1] < 0.5 and 13 < start_length < 15
assert with_recall_moved.max() < 1e-3 and min(kept[0]) == 1
assert 1.5 < growth[100] / growth[50] < 2.6 and 1.5 < growth[200] / growth[100] < 2.6

# %% [markdown]
# ## Axis 3: geometry
#
# Now the spectrum: the eigenvalues of $J_z$ at the end of each run, the 20 largest of them, for four models and 8 strings. They come from Arnoldi's method, which needs products $Jv$ only (`fp.leading_eigenvalues`).
#
# > **Predict.** All four variants in one picture with the unit circle. Which lie inside? Where do you expect peri?

# %%
spectra = {}
for variant, model in first.items():
    f, h = loop_of(model)
    spectra[variant] = fp.leading_eigenvalues(f, everywhere[(*variant, 0)][0], count=20, restarts=3).values
plots.show(
    plots.eigenvalues(spectra, "The 20 largest eigenvalues, 8 strings each"),
    alt="Eigenvalues in the complex plane. Those of the three post variants lie inside the unit circle; those of internal recall with peri norm crowd around 1.",
    caption="What to see: three variants have all their eigenvalues inside the circle. Peri's crowd at 1: a state that is long and moves at a constant step is hardly turned by one more loop, so every change of it stays.",
)

# %%
rho, at_rest = {}, {}
for key, model in tqdm(models.items(), desc="spectral radius"):
    f, h = loop_of(model)
    z = everywhere[key][0]
    rho[key] = fp.leading_eigenvalues(f, z, count=4, tol=1e-2).radius
    at_rest[key] = fp.lengths(f(z) - z) < 1e-2
rows = []
for variant in variants:
    values, still = (torch.cat([part[(*variant, seed)] for seed in seeds]) for part in (rho, at_rest))
    of = lambda part: f"{part.min():.3f} to {part.max():.3f}" if len(part) else "none"
    rows.append([" + ".join(variant), int(still.sum()), of(values), of(values[still])])
tables.show(["24 ends: 3 seeds, 8 strings", "at rest", "spectral radius", "of those at rest"], rows)

# %% [markdown]
# Where a state has come to rest, in any of the three post variants, the spectral radius is below 1: it attracts what is near. So 1 is no eigenvalue there, and these fixed points stand alone, as the argument of the second axis wants it. The four ends of none + post that are not at rest all belong to one seed: cycles, or nearly so, as you met them above. That is the seed that lost two strings.

# %% [markdown]
# ### The same number rules the gradient
#
# Training sends a gradient backwards through the loops, multiplying it by $J^T$ at every one. So what the spectrum says about states it says about gradients too. Run 100 loops, then 60 more with gradients on, take the gradient of a loss at the end, and look at its length on the way back.


# %%
def gradient_on_the_way_back(model, loops=60):
    """Length of the gradient of the cross-entropy at each of the last states, latest first: (loops, batch)."""
    f, h = loop_of(model)
    z = fp.iterate(f, h, 100).z.requires_grad_()
    states = [z]
    for _ in range(loops):
        states.append(f(states[-1]))
    logits = model.read_out(states[-1])[:, 1:]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y[:, 1:].flatten(), reduction="sum")
    gradients = torch.autograd.grad(loss, states)
    return torch.stack([fp.lengths(gradient) for gradient in reversed(gradients)])


back = {variant: gradient_on_the_way_back(model) for variant, model in first.items()}
relative = {variant: (values / values[0]).clamp_min(1e-30) for variant, values in back.items()}
fig = plots.state_norms(relative, first=0, title="The gradient on its way back through the loops")
fig.axes[0].set(xlabel="loops back from the end", ylabel="length of the gradient, 1 at the end", ylim=(1e-12, 10))
plots.show(
    fig,
    alt="Length of the gradient against loops back. For the three post variants it falls geometrically; for internal recall with peri norm it stays level.",
    caption="What to see: in the post variants a gradient fades geometrically, to less than a millionth within 60 loops, so the last few dozen loops hold all of it. In peri it does not fade: every loop ever run has its say.",
)

# %% tags=["claims"]
# Check the claims
for variant in variants[:3]:
    values, still = (torch.cat([part[(*variant, seed)] for seed in seeds]) for part in (rho, at_rest))
    assert values[still].max() < 1, variant
    assert int(still.sum()) == (20 if variant[0] == "none" else 24)
    assert relative[variant][60].median() < 1e-6
assert all(rho[key][at_rest[key]].max() < 1 for key in models if at_rest[key].any())
restless_ends = {seed: int((~at_rest["none", "post", seed]).sum()) for seed in seeds}
assert sorted(restless_ends.values()) == [0, 0, 4]
assert away["none", "post"][max(restless_ends, key=restless_ends.get)] < 1  # the seed that lost two strings
peri = torch.cat([rho["internal", "peri", seed] for seed in seeds])
assert peri.min() > 0.99 and peri.max() < 1.05
assert (spectra["internal", "peri"].abs() > 0.98).float().mean() > 0.5
assert 0.2 < relative["internal", "peri"][60].median() < 5

# %% [markdown]
# What does the fading cost? With recall nothing: $h$ comes in at every loop, and the last few dozen loops tell the weights all that there is to know. Without recall the question sits in the start, at the far end of the fading, and what the embedding should do with it is learned from short runs or not at all. That fits the
# patience that these models needed.
#
# Now look at none + post as a whole. Its geometry is as good as that of the best: spectral radius below 1 wherever it comes to rest, gradients that fade. And from any start but one it has no answer. **A small spectral radius is not a virtue in itself.** It says that the loop comes to rest. It does not say where, nor whether the question has a say in it.
#
# ### Spectra against accuracy
#
# Each of the twelve models came with a card: its exact match on 128 bits, four times the trained length, and the spectral radius of its recall matrix $W_z$. Does either spectral radius tell who extrapolates? (Mind what is set side by side: the loop's radius was measured on your 8 strings of 16 bits, the exact match on others of 128.)

# %%
exact = {key: float(model.card["scores"]["exact_128"]) for key, model in models.items()}
radius_wz = {key: float(model.card["scores"]["rho_Wz"]) for key, model in models.items() if key[0] != "none"}
dots = {variant: {"linestyle": "", "markersize": 8, "alpha": 0.75} for variant in variants}
of = lambda variant, found: [float(torch.as_tensor(found[(*variant, seed)]).median()) for seed in seeds]
against = lambda found: {
    variant: (of(variant, found), of(variant, exact)) for variant in variants if (*variant, 0) in found
}
labels = ["spectral radius of the loop's Jacobian (median)", "spectral radius of the matrix Wz"]
plots.show(
    plots.lines(
        [against(rho), against(radius_wz)],
        labels,
        "exact match at 128 bits",
        y_limits=(-0.05, 1.08),
        styles=dots,
        marks={"1": 1},
        share_y=True,
    ),
    alt="Two scatter plots of exact match at 128 bits. Left against the spectral radius of the loop, right against that of the matrix Wz.",
    caption="What to see: left, the models that extrapolate lie below 1, but so do two without recall that do not. Right, every matrix Wz lies above 1, those of the best models too.",
)

# %% tags=["claims"]
# Check the claims
good = [key for key in models if key[0] != "none" and key[1] == "post"]
assert all(exact[key] > 0.95 and rho[key].max() < 1 for key in good)
silent = [key for key in models if key[0] == "none"]
assert sorted(exact[key] for key in silent) == [0, 0, 1] and all(rho[key].median() < 1 for key in silent)
assert all(float(models[key].card["scores"]["noise_128"]) == 0 for key in silent)
assert all(exact[key] < 0.5 for key in models if key[1] == "peri")
assert min(radius_wz.values()) > 1

# %% [markdown]
# One model without recall does solve 128 bits, started at the question; the two others solve none. (From noise, their cards say, all three solve none.) So, of these twelve models: where a loop rests, its Jacobian's spectral radius is below 1, and that is not enough to know the question; $W_z$ alone says nothing about stability here, since attention, MLP and norm stand between it and the loop. Twelve models of one task are no law.
#
# ## A map of basins
#
# Take the ends of three strings of 8 bits and the plane through them. Start the loop at every point of that plane, always with *the first string* as the question, and colour the point by where it ends.
#
# > **Predict.** How many colours for internal + post? For none + post?

# %%
short, _ = task.batch(3, 8, torch.Generator().manual_seed(4))


def basins_of(model):
    """Basins on the plane through the ends of three strings, with the first of them as the question."""
    three = fp.iterate(*loop_of(model, short), 150).z
    f, _ = loop_of(model, short[:1])  # one question for all starts; it is repeated for each of them as they are added
    u, v = three[1] - three[0], three[2] - three[0]
    return fp.basins(f, three.mean(0), u, v, 1.2, resolution=36, loops=100, tol=1e-4, same=2e-2, chunk=1296)


# %%
maps = {variant: basins_of(first[variant]) for variant in (("internal", "post"), ("none", "post"))}
count_ends = {
    variant: f"{len(found.ends)} {'end' if len(found.ends) == 1 else 'ends'}" for variant, found in maps.items()
}
captions = ["What to see: with recall the whole slice is one basin. The question is in the loop, so the start has nothing to say.",
            "What to see: without recall the same kind of slice is a patchwork: the start is all there is."]  # fmt: skip
look = {"most": 6, "x_label": "towards the end of string 2", "y_label": "towards the end of string 3"}
for (variant, found), caption in zip(maps.items(), captions, strict=True):
    name = " + ".join(variant)
    fig = plots.basin_map(found.labels, (-1.2, 1.2, -1.2, 1.2), title=f"{name}: {count_ends[variant]}", **look)
    alt = f"A slice of the state space of {name}, coloured by the end that each start reaches: {count_ends[variant]} in all."
    plots.show(fig, alt=alt, caption=caption)

# %% tags=["claims"]
# Check the claims
assert len(maps["internal", "post"].ends) == 1 and (maps["internal", "post"].labels == 0).all()
assert len(maps["none", "post"].ends) >= 3

# %% [markdown]
# ## All of it, in one table
#
# One row for each variant: reachability (two columns), input-dependence, geometry, and what it is good for. Behind each number stands a 95% interval over seeds *and* inputs. It comes from a **bootstrap**
# in two stages: draw three seeds from the three with replacement, for each of them eight strings from its eight, compute the number again; 2,000 times; the middle 95% of what comes out. (With three seeds to draw from it is too narrow rather than too wide; and where all 24 runs, 3 seeds by 8 strings, agree, it has no width at all. Runs of one seed are not independent, so an interval for 24 independent ones would claim too much.) The first four columns are measured on 16 bits, the last on 128. The last column is known for whole models only: the mean over seeds, the lowest and the highest.


# %%
def over_seeds_and_inputs(values, middle=torch.Tensor.mean):
    """(seeds, strings) -> (estimate, low, high): mean over seeds of the mean (or another middle) over strings, and its interval."""
    values, g = values.double(), torch.Generator().manual_seed(0)
    drawn_seeds = torch.randint(len(values), (2000, len(values), 1), generator=g)
    drawn = values[drawn_seeds, torch.randint(values.shape[1], (2000, *values.shape), generator=g)]
    estimate = lambda part: middle(part, dim=-1).mean(-1)
    low, high = estimate(drawn).quantile(torch.tensor([0.025, 0.975]).double())
    return float(estimate(values)), float(low), float(high)


median = lambda values, dim: values.median(dim).values  # an end that is still in motion has a radius that means little
ended = {
    key: [end.kind for end in fp.classify_end(*loop_of(model), 180)] for key, model in tqdm(models.items(), desc="ends")
}
rests = {key: torch.tensor([kind == "fixed point" for kind in kinds]) for key, kinds in ended.items()}

# %%
together = lambda found, variant: torch.stack([found[(*variant, seed)] for seed in seeds])
input_moves = {key: implicit for key, (implicit, _) in moved.items()}
table = {}
for variant in variants:
    shares = [exact[(*variant, seed)] for seed in seeds]
    table[variant] = {
        "reaches a fixed point": over_seeds_and_inputs(together(rests, variant)),
        "path independence": over_seeds_and_inputs(together(score, variant)),
        "input moves it by": None if variant[1] == "peri" else over_seeds_and_inputs(together(input_moves, variant)),
        "spectral radius": over_seeds_and_inputs(together(rho, variant), median),
        "right at 128 bits": (statistics.mean(shares), min(shares), max(shares)),
    }
in_words = lambda value: "no fixed point" if value is None else "{:.2f} [{:.2f}, {:.2f}]".format(*value)
rows = [[" + ".join(variant), *map(in_words, row.values())] for variant, row in table.items()]
tables.show(["variant", *table["internal", "post"]], rows)

# %% tags=["claims"]
# Check the claims: with recall and outer norm all three axes; the two others lack path independence and one more axis each
kinds = {variant: [kind for seed in seeds for kind in ended[(*variant, seed)]] for variant in variants}
assert set(kinds["internal", "peri"]) == {"diverging"}
assert all(kinds[variant].count("fixed point") >= 22 for variant in variants[:2])
assert kinds["none", "post"].count("fixed point") == 20 and kinds["none", "post"].count("cycle") >= 2
assert all(moved[(*variant, seed)][0].mean() > 0.1 for variant in variants[:2] for seed in seeds)
good, silent, drifting = [table[variant] for variant in variants[:2]], table["none", "post"], table["internal", "peri"]
for row in good:
    reach, paths, moves, radius, solved = row.values()
    assert reach[1] > 0.7 and paths[1] > 0.9 and moves[1] > 0.15 and radius[2] < 0.9 and solved[1] > 0.95
    assert reach[1] > drifting["reaches a fixed point"][2] and paths[1] > silent["path independence"][2] + 0.5
    assert moves[1] > silent["input moves it by"][2]
assert silent["input moves it by"] == (0, 0, 0) and silent["path independence"][2] < 0.3
assert silent["spectral radius"][2] < 1 and silent["reaches a fixed point"][1] > drifting["reaches a fixed point"][2]
assert drifting["reaches a fixed point"][0] == 0 and drifting["spectral radius"][1] > 0.99
assert drifting["path independence"][2] < 0.1 and silent["path independence"][0] < 0.2

# %% [markdown]
# Read it row by row. **Internal + post** and **external + post** have all three: they get to a fixed point from everywhere, it moves with the input, and the loop around it is calm. They are also the ones that solve 128 bits. **None + post** is calm and mostly comes to rest, but each start has an end of its own, and the end does not move with
# the input: the question can choose a basin and nothing more. That choice was enough for 16 bits, and in one seed of three for 128; it is gone as soon as the start is not the question. **Internal + peri** depends on its input and has nowhere to
# arrive. From another start neither of them gives the same end: path independence is near 0 for both. But the reasons differ, and it takes the other columns to see them: the one arrives and does not listen, the other listens and does not arrive.
# Nor does a spectral radius below 1 stand for reachability. It says that what starts *near* the end comes to it. None + post has it everywhere it rests, and a path independence near 0.
#
# ## Why recall with an outer norm has all three
#
# Now the pieces fit together. What is *proved* is marked as such; the rest is measured, here.
#
# 1. **There is somewhere to arrive.** With an outer norm the state stays on a bounded set, and the map sends a ball around it into itself. A continuous map of a ball into itself has a fixed point, for *every* input (Brouwer; proved). Without it, a pre-norm branch with internal recall has one equation too many (lesson 03: counted, and proved for one branch), and
#    in training nothing makes the two branches cancel: all twelve peri and pre models of the grid drift, or run away.
# 2. **The end knows the question.** With recall the map itself contains $h$. Where 1 is no eigenvalue of $J_z$, the fixed point moves smoothly with it, $dz = (I - J_z)^{-1} J_h\,dh$ (proved: the implicit function theorem). Without recall $J_h = 0$, and the end cannot move, only jump (proved, above).
# 3. **It is calm there.** At the vector $w = z + F$ the norm has the Jacobian $\frac{\sqrt d}{\lVert w\rVert}\bigl(I - \frac{w w^\top}{\lVert w\rVert^2}\bigr)$, times its gains (proved: differentiate). It takes out the direction of $w$, along which pre and peri drift, and *divides* all others by how much longer than $\sqrt d$ the sum is. So the identity path, which
#    with pre and peri passes everything on undiminished, passes on a fraction. How large a fraction, is a matter of the weights: measured in the next cell.
# 4. **And forgetting costs nothing.** Where the loop is calm, states and gradients from long ago fade. Without recall this wipes out the question, for it came long ago. With recall $h$ comes in at every loop: what fades is only the start. So recall makes the calm harmless, and the norm makes recall's end one that can be reached. Either alone has a hole that the other one fills.
#
# What is **not** proved: that the loop arrives. Bounded does not mean settled, as you saw: a string of internal + post, seed 1, went to and fro for ever. The division by a norm does not bound what the branches add to $J$, and another end may lie elsewhere. That the trained loops rest, in all or nearly all of the 48 runs of the table, and at one end from everywhere, is measured. Why training finds such weights is a guess: progressive loss asks for the
# same answer at any depth, and a loop that rests on it is the simplest way to give it.


# %%
def divided_by(model, z):
    """By how much each of the two outer norms divides, in every cell, at the state z of internal recall: (2, batch, cells)."""
    w, loop = model.blocks[0], model.loop(x)
    first_sum = z + w.attention(w.branch_input(z, w.recalled(loop.h), 0), loop.angles)
    between = w.norm_out[0](first_sum)
    second_sum = between + w.mlp(w.branch_input(between, w.recalled(loop.h), 1))
    return torch.stack([first_sum, second_sum]).norm(dim=-1) / z.shape[-1] ** 0.5


divisors = [divided_by(models["internal", "post", seed], everywhere["internal", "post", seed][0]) for seed in seeds]
rows = [
    [seed, *found.mean((1, 2)).tolist(), float(found.prod(0).mean())]
    for seed, found in zip(seeds, divisors, strict=True)
]
tables.show(["internal + post, seed", "the first norm divides by", "the second by", "together"], rows, digits=1)

# %% tags=["claims"]
# Check the claims: the norm's Jacobian; by how much it divides here; and that the other norms of the grid drift or run away
from looped_lite import read_results

w = torch.randn(64, generator=torch.Generator().manual_seed(0)).double()
unit = w / w.norm()
formula = 8 / w.norm() * (torch.eye(64).double() - torch.outer(unit, unit))
measured_jacobian = torch.autograd.functional.jacobian(lambda v: torch.nn.functional.rms_norm(v, (64,)), w)
assert torch.allclose(formula, measured_jacobian, atol=1e-6)
assert all(float(found.mean((1, 2)).min()) > 3.5 and float(found.prod(0).mean()) > 15 for found in divisors)
assert all(
    0.9 < float(norm.gain.mean()) < 1.05
    for seed in seeds
    for norm in models["internal", "post", seed].blocks[0].norm_out
)
ways = [
    float(row["step_400"])
    for row in read_results("prefix_sums_grid")
    if row["norm"] in ("pre", "peri") and row["recall"] != "none"
]
assert len(ways) == 12 and all(not step < 1 for step in ways), (
    "twelve models: a long step after 400 loops, or overflow (nan)"
)
at_rest_of_48 = sum(int(rests[(*variant, seed)].sum()) for variant in variants[:2] for seed in seeds)
print(f"recall and outer norm: {at_rest_of_48} of 48 runs end in a fixed point")
assert at_rest_of_48 >= 44

# %% [markdown]
# In these models the two norms divide what passes straight through by 15 and more, together. The identity path, which alone would be an eigenvalue 1, all but vanishes; what the loop still passes on, the branches must bring.
#
# What is known, and what is not: these are twelve models of about 60,000 parameters on one task, and the three without recall were trained longer than the others. That recall with an outer norm has all three axes is the paper's claim, and it holds here in 6 of 6 models up to the rare cycle you found. That it is the only way is *not* claimed: a contracting external recall, or a scaled residual, can give fixed points too (lesson 03).
#
# ## Recap
#
# - **Reachability**: classify the end by absolute steps; then start from everywhere and score agreement. Cycles are possible, and accuracy does not show them.
# - **Input-dependence**: move the input and see the end move, or solve $(I - J_z)\, dz = J_x\, dx$. Without recall the answer is 0 and the input can only choose a basin.
# - **Geometry**: $\rho(J_z)$ at the end. Below 1 it attracts what is near, and states and gradients are forgotten geometrically, which recall makes harmless; at 1 (a drift) nothing is forgotten.
# - None of the three is enough alone. A low spectral radius can be the calm of a loop that does not know the question.
#
# ## Self-test
#
# **1.** Here is a spectrum: nearly all of its 20 largest eigenvalues lie within 0.02 of 1. Which of the four variants made it, and what does its state do?
#
# <details><summary>Answer</summary>
#
# Internal + peri. The state drifts: it gets longer by a constant step at every loop, and one more loop hardly changes differences between states.
#
# </details>
#
# **2.** A loop has path independence 1 on every string. Must its answers be right?
#
# <details><summary>Answer</summary>
#
# No. It may end in the same wrong place from everywhere; a map that sends everything to zero has score 1. Path independence says that the start is forgotten, not that the input is known.
#
# </details>
#
# **3.** Why does the series for $dz$ fail to converge at a fixed point with an eigenvalue of $-1.2$, although the fixed point does move smoothly with the input?
#
# <details><summary>Answer</summary>
#
# The series is $\sum_k J^k b$, and its terms grow like $1.2^k$. The inverse $(I - J)^{-1}$ exists all the same, as 1 is no eigenvalue: solve the system in another way, for example by GMRES (`fp.gmres`). But no run of the loop will show you that fixed point: it repels.
#
# </details>
#
# ## Further reading
#
# - A. Labovich, *Stability and Generalization in Looped Transformers*, arXiv 2604.15259: the three axes, with proofs.
# - C. Anil and others, *Path Independent Equilibrium Models Can Better Exploit Test-Time Computation*, arXiv 2211.09961: the score's origin.
# - S. Bai, J. Z. Kolter, V. Koltun, *Deep Equilibrium Models*, arXiv 1909.01377: implicit differentiation at a fixed point, at scale.
#
# Next: lesson 07 gives the loop a problem with no light cone: sudoku.

# %%
report(ex)
