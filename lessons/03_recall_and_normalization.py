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
# # 03 · Recall and normalization
#
# **Where does the input enter the loop, and where does the norm sit?**
#
# Two choices, each a line of code, and between them they decide whether a loop can come to rest at all. You write every variant as one small change
# to the block of lesson 02: three kinds of recall times five places for the norm. You predict which of the fifteen keep their state bounded, and you let them run for 1,000 loops. Then you count
# equations and unknowns, and see why it had to come out like that.
#
# **After this lesson you can**
#
# - say what none, external and internal recall do, and build each from the block without it;
# - place a norm in four ways, and say what is left on the stream in each;
# - tell a state that settles from one that drifts, and not be fooled by a residual that falls;
# - argue by counting why some loops have fixed points and others have none, and know where the argument stops.
#
# **Time**: 75 minutes for you, about a minute for the machine. Nothing is trained here: every loop in this lesson has random weights.
# **You need**: lesson 02 for the block, lesson 01 for fixed points and residuals.

# %%
from itertools import product

import torch

from looped_exercises import lesson_03 as ex
from looped_exercises import report
from looped_lite import PrefixSums, Recipe, plots, tables
from looped_lite.blocks import NORMS, RECALLS, Block, rotary_angles
from looped_lite.fixed_points import gauss_newton, iterate, spectral_radius

task = PrefixSums(uniform=1, biased=0)  # strings of random bits


def random(*shape, seed=0):
    """Normally distributed numbers, the same ones every time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# %%
def untrained(recall, norm, seed=0):
    """A loop as it is before any training: 64 channels, 4 heads, a window of 5 cells."""
    return Recipe(task, seed=seed, recall=recall, norm=norm).build().requires_grad_(False)


x, _ = task.batch(4, 16, torch.Generator().manual_seed(0))
print("four random strings of 16 bits:", tuple(x.shape))

# %% [markdown]
# ## A loop that forgets the question
#
# The loop of lesson 02 was $z_{t+1} = f(z_t)$, with the embedded input as its first state, $z_0 = h$. The input is the *start*, and nothing else. This is **recall none**.
#
# > **Predict.** Start this loop from zeros instead, for four different strings. What can the states after 10 loops tell you about the strings?


# %%
def states_from_zeros(model):
    *_, z = model.states(x, 10, start="zeros")
    return z


for recall in RECALLS:
    z = states_from_zeros(untrained(recall, "post"))
    differ = float((z - z[:1]).abs().max())
    print(f"recall {recall:9} largest difference between the states of the four strings: {differ:.3f}")
    assert (differ == 0) == (recall == "none")

# %% [markdown]
# Nothing at all: without recall four questions give one and the same state. The loop never sees $h$ again, so it has to carry the question along in its state, next to its work, and whatever it spoils is lost for good. That can go well for a while. It cannot
# go well from any other start.
#
# The remedy is to bring $h$ back in every loop, $z_{t+1} = f(z_t, h)$. Where?

# %% [markdown]
# ## External recall: at the door
#
# Mix the input into the state once a loop, before the block:
#
# $$z \leftarrow W_z z + W_h h, \qquad\text{then the block as before.}$$
#
# $W_z$ and $W_h$ are two learned matrices, `width` x `width`. Both start as the identity, so that at the beginning the mixture is $z + h$.

# %% [markdown]
# ### Exercise 03.1 · external recall
#
# Difficulty 1 of 5 · about 5 minutes
#
# `z` and `h` are `(batch, cells, width)`. `Wz` and `Wh` are weights as `torch.nn.Linear` holds them: applied to a *column* $v$ they give $Wv$. But here the vectors are *rows*.
#
# <details><summary>Hint 1</summary>
#
# If $v$ is a row of `z`, then $Wv$ written as a row is `v @ W.T`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `z @ Wz.T` does it for all cells at once. Now the same for `h`.
#
# </details>


# %% tags=["exercise"]
@ex.external
def external(z, h, Wz, Wh):
    """z, h (batch, cells, width), Wz, Wh (width, width) -> the mixture Wz z + Wh h, (batch, cells, width)."""
    ### BEGIN SOLUTION
    return z @ Wz.T + h @ Wh.T
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
layers = (
    torch.nn.Linear(8, 8, bias=False).requires_grad_(False),
    torch.nn.Linear(8, 8, bias=False).requires_grad_(False),
)
z, h = random(2, 3, 8), random(2, 3, 8, seed=1)
assert torch.allclose(external(z, h, layers[0].weight, layers[1].weight), layers[0](z) + layers[1](h), atol=1e-5)
assert ex.external.state == "solved"
### END HIDDEN TESTS

# %%
plots.show(
    plots.block_diagram("external", "pre"),
    alt="Block diagram: the input h enters a box Wz z + Wh h on the stream, before both branches. Each branch begins with a norm.",
    caption="What to see: external recall stands on the stream itself. Whatever the state holds goes through Wz once a loop.",
)

# %% [markdown]
# ## Internal recall: in the branches
#
# The other place is inside each branch, after its own norm, if it has one. The branch $F$ no longer reads the normalized state $N(z)$, but
#
# $$u = W_z N(z) + W_h h,$$
#
# with one $W_z$ and one $W_h$ for both branches. The stream is left alone: the input comes in by what the branches *add*. This variant is the proposal of the paper that the course follows (arXiv 2604.15259).

# %% [markdown]
# ### Exercise 03.2 · internal recall
#
# Difficulty 2 of 5 · about 8 minutes
#
# A branch is a function: it takes a tensor and returns what is to be added to the stream. Write a function that takes a branch and returns a *new branch*, one that mixes $h$ into whatever it is given, and then does what the old one does.
# Then internal recall is one small change that fits every norm.
#
# <details><summary>Hint 1</summary>
#
# A function that returns a function: `def new(u): ...` inside, and `return new`. Or a `lambda`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The mixing is your function `external`, with `u` in the place of `z`.
#
# </details>


# %% tags=["exercise"]
@ex.internal
def internal(branch, h, Wz, Wh):
    """A branch (a function of u) and the input h -> the branch that reads Wz u + Wh h instead of u."""
    ### BEGIN SOLUTION
    return lambda u: branch(external(u, h, Wz, Wh))
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
eye = torch.eye(8)
assert torch.allclose(internal(torch.tanh, h, eye, 0 * eye)(z), z.tanh(), atol=1e-6)
assert torch.allclose(internal(torch.tanh, h, 0 * eye, eye)(z), h.tanh(), atol=1e-6)
assert ex.internal.state == "solved"
### END HIDDEN TESTS

# %%
plots.show(
    plots.block_diagram("internal", "pre"),
    alt="Block diagram: the input h enters inside both branches, after their norm and before attention and MLP; nothing but the two sums stands on the stream.",
    caption="What to see: with internal recall and this norm (pre), the stream runs from left to right through two sums and nothing else. Keep that in mind.",
)

# %% [markdown]
# ## Five places for a norm
#
# In lesson 02 the norm $N$ stood after the sum. That is one place of several:
#
# | name | the branch is added as | what stays on the stream |
# |---|---|---|
# | **pre** | $z + F(N(z))$ | the plain sum of everything so far |
# | **peri** | $z + N(F(N(z)))$ | the plain sum, of pieces of one size |
# | **post** | $N(z + F(z))$ | a normalized state |
# | **sandwich** | $N(z + F(N(z)))$ | a normalized state |
# | **gru** | $(1-g)\,z + g\tanh(\dots)$ | a mixture of the old state and a bounded new one |
#
# Each $N$ is a norm with gains of its own. *Post* is how transformers began in 2017 (the paper calls it the outer norm); *pre* is how nearly all large models are built today, for stacks of layers train more easily with it. *Gru* replaces the sum by the gate of an
# old recurrent network: a learned $g$ between 0 and 1, for every channel, says how much of the state to replace.

# %% [markdown]
# ### Exercise 03.3 · move one norm
#
# Difficulty 2 of 5 · about 8 minutes
#
# `branch`, `norm_in` and `norm_out` are functions of a tensor. Add the branch to `z` with the norms where `where` says. (The gate comes from the package.)
#
# <details><summary>Hint 1</summary>
#
# `norm_in` is applied to what the branch reads, `norm_out` to what comes after it: the branch's result (peri), or the sum (post, sandwich).
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Four lines, one for each row of the table. In none of them is the `z` in front of the plus sign normalized.
#
# </details>


# %% tags=["exercise"]
@ex.place_norm
def place_norm(z, branch, norm_in, norm_out, where):
    """z after one branch; where is "pre", "peri", "post" or "sandwich"."""
    ### BEGIN SOLUTION
    if where == "pre":
        return z + branch(norm_in(z))
    if where == "peri":
        return z + norm_out(branch(norm_in(z)))
    if where == "post":
        return norm_out(z + branch(z))
    return norm_out(z + branch(norm_in(z)))
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert place_norm(2.0, lambda u: u + 1, lambda u: 10 * u, lambda u: -u, "pre") == 23
assert place_norm(2.0, lambda u: u + 1, lambda u: 10 * u, lambda u: -u, "peri") == -19
assert place_norm(2.0, lambda u: u + 1, lambda u: 10 * u, lambda u: -u, "post") == -5
assert place_norm(2.0, lambda u: u + 1, lambda u: 10 * u, lambda u: -u, "sandwich") == -23
assert ex.place_norm.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# With your three functions all fifteen variants are one short loop body. Here it is, and it is held against the package's own `Block`, with the same weights (made random, so that no identity hides a mistake):


# %%
def step(z, h, angles, w):
    """One loop with the weights of the `Block` w, of any recall and any norm."""
    branches = [lambda u: w.attention(u, angles), w.mlp]
    if w.recall_at != "none":
        Wz, Wh = w.recall.Wz.weight, w.recall.Wh.weight
    if w.recall_at == "external":
        z = external(z, h, Wz, Wh)
    if w.recall_at == "internal":
        branches = [internal(branch, h, Wz, Wh) for branch in branches]
    for branch, norm_in, norm_out, i in zip(branches, w.norm_in, w.norm_out, (0, 1), strict=True):
        if w.norm_at == "gru":
            z = w.gates[i](z, branch(norm_in(z)))
        else:
            z = place_norm(z, branch, norm_in, norm_out, w.norm_at)
    return z


def agrees_with_the_package(recall, norm):
    z, h, angles = random(2, 9, 16), random(2, 9, 16, seed=1), rotary_angles(torch.arange(9)[:, None], 8)
    w = Block(16, recall, norm, heads=2, window=5).requires_grad_(False)
    for seed, weight in enumerate(w.parameters()):
        weight.add_(0.3 * random(*weight.shape, seed=seed))
    return torch.allclose(step(z, h, angles, w), w(z, w.recalled(h), angles), atol=1e-4)


assert all(agrees_with_the_package(*variant) for variant in product(RECALLS, NORMS))
print("all 15 variants agree with the package's Block")

# %% [markdown]
# ## Which of them stay bounded?
#
# Now let every loop run for 1,000 loops, as it is before training, and watch the length of its state. First, your bet.
#
# > **Predict.** For each norm: does the length of the state stay bounded, or does it grow and grow? And does recall matter for that? Fill in True (bounded) or False, for as many as you like.

# %%
my_prediction = {
    ("none", "pre"): None,
    ("none", "peri"): None,
    ("none", "post"): None,
    ("none", "sandwich"): None,
    ("none", "gru"): None,
    ("external", "pre"): None,
    ("external", "peri"): None,
    ("external", "post"): None,
    ("external", "sandwich"): None,
    ("external", "gru"): None,
    ("internal", "pre"): None,
    ("internal", "peri"): None,
    ("internal", "post"): None,
    ("internal", "sandwich"): None,
    ("internal", "gru"): None,
}

# %% [markdown]
# And a yardstick, to be fixed *before* you look. No finite run can prove that something stays bounded for ever, so let us agree on this: a state counts as bounded if, in the last quarter of the run, it is nowhere more than 1% longer than its longest in
# the quarter before.

# %% [markdown]
# ### Exercise 03.4 · does the state stay bounded?
#
# Difficulty 2 of 5 · about 6 minutes
#
# `norms` is a tensor with the length of the state after each loop. Return True or False by the rule above.
#
# <details><summary>Hint 1</summary>
#
# `quarter = len(norms) // 4`; the last quarter is `norms[-quarter:]`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `norms[-2 * quarter : -quarter]` is the quarter before it. Compare the largest of each, `.max()`.
#
# </details>


# %% tags=["exercise"]
@ex.stays_bounded
def stays_bounded(norms, slack=0.01):
    """norms (loops,) -> True if the last quarter is at most 1% above the quarter before it."""
    ### BEGIN SOLUTION
    quarter = len(norms) // 4
    before, last = norms[-2 * quarter : -quarter], norms[-quarter:]
    return bool(last.max() <= (1 + slack) * before.max())
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert stays_bounded(torch.tensor([1.0, 2, 3, 4, 4, 4, 4, 4]))
assert not stays_bounded(torch.arange(8.0))
assert ex.stays_bounded.state == "solved"
### END HIDDEN TESTS


# %%
def run_of(recall, norm, loops=1000, seed=0):
    """run.norms and run.steps: length of the state and of its last step after each loop, (loops, batch)."""
    loop = untrained(recall, norm, seed).loop(x)
    return iterate(loop, loop.start(), loops)


runs = {variant: run_of(*variant) for variant in product(RECALLS, NORMS)}
measured = {variant: stays_bounded(run.norms.max(1).values) for variant, run in runs.items()}
after = {variant: [float(run.norms[t - 1].mean()) for t in (10, 100, 1000)] for variant, run in runs.items()}
columns = ["recall", "norm", "length after 10 loops", "100", "1,000", "bounded"]
tables.show(columns, [[*variant, *after[variant], measured[variant]] for variant in runs], digits=1)

bets = {variant: bet for variant, bet in my_prediction.items() if bet is not None}
hits = sum(measured[variant] == bet for variant, bet in bets.items())
print(
    f"\nYou predicted {hits} of {len(bets)} right."
    if bets
    else "\nYou made no prediction. That is fine, but a wrong one teaches more."
)

# %%
by_norm = {norm: plots.line_style("none", norm, by="norm") | {"label": norm} for norm in NORMS}
over_loops = lambda values: (range(1, len(values) + 1), values)
per_recall = [{norm: over_loops(runs[recall, norm].norms.mean(1)) for norm in NORMS} for recall in RECALLS]
titles = [f"recall {recall}" for recall in RECALLS]
plots.show(
    plots.lines(per_recall, "loop", "length of the state |z[t]|", titles, log="xy", styles=by_norm, share_y=True),
    alt="Three panels, one for each recall: length of the state against loops, both logarithmic. In each, pre and peri rise along straight lines to tens of thousands; post, sandwich and gru stay flat.",
    caption="What to see: at initialization the recall hardly matters for the length, the norm decides. Pre and peri grow and grow; post and sandwich lie on one flat line; gru stays short.",
)

# %% tags=["claims"]
# Check the claims: bounded are exactly post, sandwich and gru, whatever the recall; on two more seeds as well (for 100 loops)
bounded_norms = ("post", "sandwich", "gru")
assert all(measured[recall, norm] == (norm in bounded_norms) for recall, norm in measured)
for seed, recall, norm in product((1, 2), RECALLS, NORMS):
    bounded = stays_bounded(run_of(recall, norm, 100, seed).norms.max(1).values)
    assert bounded == (norm in bounded_norms), (seed, recall, norm)
for recall in RECALLS:
    assert all(5e3 < after[recall, norm][2] < 9e4 for norm in ("pre", "peri")) and after[recall, "gru"][2] < 33
# post and sandwich: every cell has the length sqrt(width), so 17 cells of 64 channels have sqrt(17 * 64) = 33.0
for recall, norm in product(RECALLS, ("post", "sandwich")):
    assert (runs[recall, norm].norms - (17 * 64) ** 0.5).abs().max() < 0.01
# gru without external recall: every number stays between -1 and 1, or within where it started
for recall in ("none", "internal"):
    assert runs[recall, "gru"].z.abs().max() <= untrained(recall, "gru").encode(x).abs().clamp_min(1).max()

# %% [markdown]
# Three of the five norms put a lid on the state, each by its build:
#
# - **post** and **sandwich** end with a norm. Every cell leaves the loop with length $\sqrt{\text{width}}$ (times the gains), whatever came in.
# - **gru** takes, for each channel, a mean of the old number and one between -1 and 1. Such a mean cannot leave the interval. (With external recall this is no proof: there $W_z z + W_h h$ comes before the gate and could stretch the state faster than the gate shrinks it. In our runs
#   it does not.)
# - **pre** and **peri** add to the stream, and nothing on it takes away. With these random weights it grows, in every run. That is no law: a branch may point *against* the state and make it shorter.
#
# Here is such a branch, the plainest there is, $F(u) = -u$, on a state that is 100 long. Whether training finds branches of that kind is a question for lesson 05.


# %%
def shortened(norm, loops=15):
    """A cell that begins 100 long, loop by loop, with the branch F(u) = -u."""
    unit = lambda u: torch.nn.functional.rms_norm(u, (64,))
    states = [torch.full((1, 1, 64), 100 / 8)]
    for _ in range(loops):
        states.append(place_norm(states[-1], lambda u: -u, unit, unit, norm))
    return states


for norm in ("pre", "peri"):
    print(norm, "with F(u) = -u, length after each loop:", [round(float(z.norm())) for z in shortened(norm)])

# %% tags=["claims"]
# Check the claims: with pre and with peri a branch can shorten the state
for norm in ("pre", "peri"):
    lengths = [float(z.norm()) for z in shortened(norm)]
    assert abs(lengths[0] - 100) < 1e-3 and lengths[-1] < 8.001 and sorted(lengths[:12], reverse=True) == lengths[:12]

# %% [markdown]
# ## A residual that falls is not a loop that settles
#
# How do they grow? Look at the two residuals of lesson 01: the step $\lVert z_{t+1}-z_t\rVert$, and the *relative* step, divided by the length of the state.
#
# > **Predict.** For internal + pre, whose length grows along a straight line, what do the two do over 1,000 loops?

# %%
three = {norm: runs["internal", norm] for norm in ("pre", "peri", "post")}
step_itself = {norm: over_loops(run.steps.median(1).values) for norm, run in three.items()}
relative = {norm: over_loops((run.steps / run.norms).median(1).values) for norm, run in three.items()}
looks = by_norm | {"1/t": {"color": "#999999", "linewidth": 1, "marker": "", "linestyle": "-"}}
panels = [step_itself, relative | {"1/t": ([2, 1000], [1 / 2, 1 / 1000])}]
plots.show(
    plots.lines(panels, title=["step", "relative step"], log="xy", styles=looks),
    alt="Two panels against loops, logarithmic. Step: flat for internal with pre and with peri, falling to rounding for post. Relative step: pre and peri fall along the line 1/t, post falls faster to ten to the minus 7.",
    caption="What to see: on the left two of the loops never slow down. On the right the same two seem to calm down, along the line 1/t: only because the length that divides the step keeps growing.",
)

# %% tags=["claims"]
# Check the claims
for recall, norm in product(RECALLS, ("pre", "peri")):
    run = runs[recall, norm]
    pace = (run.norms[-1] - run.norms[499]) / 500  # growth of the length per loop
    print(
        f"{recall:9} {norm:5} step at loops 100 and 1,000: {float(run.steps[99].mean()):5.1f} {float(run.steps[-1].mean()):5.1f}; the length grows by {float(pace.mean()):5.1f} a loop"
    )
    assert (run.steps[-1] / run.steps[99] - 1).abs().max() < 0.25, "the step does not fall"
    assert (pace / run.steps[-1]).min() > 0.9, (
        "nearly all of a step makes the state longer: it drifts along a straight line"
    )
    assert (1000 * run.steps[-1] / run.norms[-1] - 1).abs().max() < 0.1, "the relative step is 1/t"
assert (runs["internal", "post"].steps[-1] < 1e-4).all() and (runs["internal", "post"].steps[9] > 0.1).all()
# peri: two branch outputs of length sqrt(17 * 64) = 33 a loop; at right angles to each other they would add up to 46.6
assert all(abs(float(runs[recall, "peri"].steps[-1].mean()) / (2 * 17 * 64) ** 0.5 - 1) < 0.15 for recall in RECALLS)

# %% [markdown]
# The drift is a straight line at constant speed: the direction of the state hardly changes any more, so the branches see the same thing again and again, and add the same thing again and again. The length grows like $t$, the step stays, and the relative step falls like $1/t$. At
# loop 10,000 it passes a tolerance of $10^{-4}$, and nothing has settled. This is why the course looks at the step itself wherever a state may grow, or at *how* the relative step falls: by a factor with every loop, or like $1/t$.
#
# ## Count equations and unknowns
#
# Could such a loop have a fixed point at all, if only you started it in the right place? Take one branch, pre-norm: $z \leftarrow z + F(N(z), h)$. At a fixed point the branch adds nothing,
#
# $$F(N(z), h) = 0.$$
#
# For a cell of width $d$ these are $d$ equations. And the unknowns? $N(z)$ knows only the *direction* of $z$, and a direction in $d$ dimensions is $d - 1$ numbers. The length of $z$ does not occur. With more equations than unknowns there is, in general, no solution, and if for some
# special $h$ there is one, then every multiple of that $z$ is a solution too.
#
# With an outer norm, $z = N(z + F(z, h))$, the count comes out even. Its gains are 1 at the start, so the state stays on a sphere: the unknown is a direction again, $d - 1$ numbers. But the norm forgives a length, so $F$ need not vanish. It only has to be
# *parallel* to $z$, and that is $d - 1$ equations. Solutions that stand alone are the rule. (Learned gains turn the sphere into an ellipsoid; the count stays even.)
#
# That a pre-norm branch with internal recall does not hear the length of the state is easy to say. Show it.

# %% [markdown]
# ### Exercise 03.5 · does the loop hear how long the state is?
#
# Difficulty 3 of 5 · about 10 minutes
#
# A loop $f$ adds $g(z) = f(z) - z$ to the state. Make the state `factor` times longer, and measure how much that changes what is added, relative to what was added before:
#
# $$\frac{\lVert g(c z) - g(z)\rVert}{\lVert g(z)\rVert}.$$
#
# Return a number; the lengths run over the whole tensor.
#
# <details><summary>Hint 1</summary>
#
# $g(cz) = f(cz) - cz$: what went in was $cz$, so $cz$ is what you subtract.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `.norm()` of a tensor is the length over all its numbers.
#
# </details>


# %% tags=["exercise"]
@ex.change_on_lengthening
def change_on_lengthening(f, z, factor):
    """How much what f adds to z changes if z is made factor times longer. A number; 0 if f does not hear the length."""
    ### BEGIN SOLUTION
    added = f(z) - z
    added_to_longer = f(factor * z) - factor * z
    return float((added_to_longer - added).norm() / added.norm())
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert abs(float(change_on_lengthening(lambda u: 3 * u, torch.ones(2, 5), 4.0)) - 3) < 1e-5
assert float(change_on_lengthening(lambda u: u + torch.nn.functional.normalize(u, dim=-1), random(2, 5), 7.0)) < 1e-5
assert ex.change_on_lengthening.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# Now point it at four maps, on states of different lengths, and each time double the length:
#
# - one pre-norm branch with internal recall (the attention alone);
# - a whole loop, internal + pre: attention, then MLP;
# - external + pre, with $W_z$ made a little smaller than at initialization, 0.8 times the identity;
# - internal + post.
#
# > **Predict.** For which of them is the answer exactly 0? For which does it depend on how long the state is already?


# %%
def with_Wz(recall, norm, size):
    """An untrained loop whose Wz is `size` times the identity."""
    model = untrained(recall, norm)
    model.blocks[0].recall.Wz.weight.mul_(size)
    return model


def one_branch_of(loop, w):
    """The loop with its attention branch alone."""
    return lambda z: z + w.attention(w.branch_input(z, w.recalled(loop.h), 0), loop.angles)


# %%
models = {"internal + pre": untrained("internal", "pre"), "external + pre, Wz = 0.8": with_Wz("external", "pre", 0.8),
          "internal + post": untrained("internal", "post")}  # fmt: skip
maps = {name: model.double().loop(x.double()) for name, model in models.items()}  # double: small numbers matter here
maps["internal + pre, one branch"] = one_branch_of(maps["internal + pre"], models["internal + pre"].blocks[0])
direction = torch.nn.functional.normalize(random(4, 17, 64, seed=9).double(), dim=-1)
cell_lengths = [1, 3, 10, 30, 100, 300, 1000]
heard = {
    name: (
        cell_lengths,
        [max(float(change_on_lengthening(f, length * direction, 2.0)), 1e-13) for length in cell_lengths],
    )
    for name, f in maps.items()
}
labels = "length of a cell's vector, before it is doubled", "change of what a loop adds"
plots.show(
    plots.lines(heard, *labels, log="xy"),
    alt="Change of what a loop adds when the state is doubled, against the length of the state. One pre-norm branch: near zero. The whole internal pre loop: falls like one over the length. External with Wz of 0.8: rises to 1. Post: between 0.3 and 3, and 1 for long states.",
    caption="What to see: a single pre-norm branch does not hear the length (what is left is the tiny epsilon in the norm). The whole loop hears it, but the less the longer the state is. External recall with a Wz that shrinks hears it clearly.",
)

# %% tags=["claims"]
# Check the claims
for name, (_, values) in heard.items():
    print(f"{name:27}", "  ".join(f"{value:.0e}" for value in values))
whole, shrinking, post, one = (values for _, values in heard.values())
assert max(one) < 1e-4, "what is left is the eps of the norm"
assert 0.1 < whole[0] < 1 and whole[-1] < 1e-3
assert all(abs(whole[i] * cell_lengths[i] / (whole[-1] * cell_lengths[-1]) - 1) < 0.2 for i in (3, 4, 5)), (
    "it falls as 1 / length"
)
assert abs(shrinking[-1] - 1) < 0.05 and post[-1] > 0.9
assert min(post) > 0.2 and max(post) < 3.5 and all(0.5 < value < 1.5 for value in post[3:])

# %% [markdown]
# The single branch is as deaf as the count says. The whole loop is not quite: its second branch reads $N(z + A)$, where $A$ is what the first has just added, and the direction of $z + A$ does depend on how long $z$ is compared with $A$. The longer the state, the fainter that gets,
# in proportion to one over the length. So for long states, and that is where the drift leads, the count of the single branch holds for the loop.
#
# Now look for fixed points directly. Forget iteration: from several starts, *minimize* what a loop changes, $\lVert f(z) - z\rVert$, by any means. For one cell of width 8 and one branch (the MLP) this is a small least-squares problem, which the next cell solves by damped
# Gauss-Newton steps. (You can take it as a black box: it walks downhill until it can go no further.)
#
# > **Predict.** For pre, peri, post: is the smallest $\lVert f(z) - z\rVert$ zero or not? And for a pre-norm branch with a *scaled residual*, $0.8\,z + F(N(z), h)$?


# %%
def small_block(norm, seed):
    torch.manual_seed(seed)
    return Block(8, "internal", norm, heads=2).double().requires_grad_(False)


def one_branch(b, z, h):
    """The block b with its MLP branch alone, for a single cell: (8,), (8,) -> (8,)."""
    z, h = z[None, None], h[None, None]
    return b.add(z, b.mlp(b.branch_input(z, b.recalled(h), 1)), 1)[0, 0]


def nearest_fixed_point(f, b, z, h, scale=1.0):
    """How near to a fixed point of z -> f(b, z, h) it gets from z, a residual scaled or not: |f(z) - z| at the end."""
    return gauss_newton(lambda z: f(b, z, h) - (2 - scale) * z, z)[1]  # (f - z) + scale * z = z, all on one side


# %%
def smallest_gap(norm, scale, seed):
    b, h = small_block(norm, seed), random(8, seed=seed).double()
    starts = [(1 + start) * random(8, seed=start).double() for start in range(4)]
    return min(nearest_fixed_point(one_branch, b, z, h, scale) for z in starts)


kinds = {"pre": ("pre", 1.0), "peri": ("peri", 1.0), "post": ("post", 1.0), "pre, scaled 0.8": ("pre", 0.8)}
found = {kind: [smallest_gap(*kinds[kind], seed) for seed in range(3)] for kind in kinds}
for kind, gaps in found.items():
    print(f"{kind:16} smallest |f(z) - z| from 4 starts, in 3 random blocks: ", "  ".join(f"{gap:.0e}" for gap in gaps))

# %% tags=["claims"]
# Check the claims: none for pre and peri, one for post and for the scaled residual, in 3 of 3 blocks
assert min(found["pre"]) > 1e-3
assert all(abs(gap - 8**0.5) < 0.01 for gap in found["peri"]), "what a peri branch adds has the length sqrt(8), always"
assert max(found["post"]) < 1e-9 and max(found["pre, scaled 0.8"]) < 1e-9

# %% [markdown]
# As counted:
#
# - **pre**: no fixed point. The branch would have to vanish, and it has one equation too many for that.
# - **peri**: none either, and for a reason you can see without counting: what a branch adds is normalized, so it has the length $\sqrt d$ and can never vanish. (Two branches could cancel each other, which is again one condition for each channel.)
# - **post**: a fixed point. Even more can be said: $N(z + F(z))$ maps the ball of radius $\sqrt d$ into itself, and a continuous map of a ball into itself has a fixed point. This is Brouwer's theorem; it does not say that the loop *arrives* there.
# - **scaled residual**, $a z + F(N(z), h)$ with $a < 1$: the equation is now $(1 - a) z = F(N(z), h)$, and the length of $z$ is back in it: $d$ equations for $d$ unknowns. Some of the newest fixed-point models keep pre-norm and go this way (arXiv 2606.18206).
#
# ## Where the count stops
#
# The count was for *one* branch. A block has two, and you have seen that a whole loop hears the length a little. That is the missing unknown, and it should be enough to make fixed points possible. To see the difference, turn the question round: take a state $z$, and look for an *input* $h$ that makes it a fixed point. Then move the
# input a little, and ask whether a fixed point near $z$ survives.
#
# > **Predict.** With one branch, does the fixed point survive a small change of the input? With two?

# %%
z0, nudge = 2 * random(8, seed=20).double(), random(8, seed=21).double()


def two_branches(b, z, h):
    return b(z[None, None], h[None, None], rotary_angles(torch.zeros(1, 1), 4).double())[0, 0]


def survives(f, b):
    """Look for an input h that makes z0 a fixed point of f, then move it by 0.01. How much f moves z0 before, how near to a
    fixed point it gets after; and the spectral radius at z0."""
    ends = [gauss_newton(lambda h: f(b, z0, h) - z0, 2 * random(8, seed=seed).double()) for seed in range(3)]
    h, gap = min(ends, key=lambda end: end[1])
    radius = spectral_radius(lambda batch: f(b, batch[0], h)[None], z0[None], size=8)
    return gap, nearest_fixed_point(f, b, z0, h + 0.01 * nudge), float(radius)


branches, blocks = {"one branch": one_branch, "two branches": two_branches}, (0, 7, 8, 9)
survived = {name: [survives(f, small_block("pre", seed)) for seed in blocks] for name, f in branches.items()}
columns = ["map", "block", "moves z0 by", "after moving the input by 0.01", "spectral radius at z0"]
rows = [[name, seed, f"{gap:.0e}", f"{after:.0e}", round(radius, 2)]
        for name, all_rows in survived.items() for seed, (gap, after, radius) in zip(blocks, all_rows, strict=True)]  # fmt: skip
tables.show(columns, rows, digits=2)

# %% tags=["claims"]
# Check the claims: z0 was a fixed point in all of them; with one branch none survives, with two branches all; all of them repel
for name, rows in survived.items():
    for gap, after, radius in rows:
        assert gap < 1e-9 and radius > 1.001
        assert after > 1e-4 if name == "one branch" else after < 1e-9

# %% [markdown]
# With one branch the fixed point is an accident: move the input, and it is gone. With two branches it survives, and moves along. So a pre-norm loop of attention *and* MLP can have fixed points after all. All that we made repel, though (their spectral radius is above 1: a loop started near them leaves), and it took
# a search to find inputs for them: the four blocks are picked from a few more, because in these the search succeeded for one branch and for two. What you saw at initialization, in all of the runs, was drift.
#
# ## The honest exception: external recall
#
# External recall sends the whole stream through $W_z$ in every loop. At initialization $W_z$ is the identity and shrinks nothing; but it is learned. Suppose training had made it 0.8 times the identity.
#
# > **Predict.** Which of these stay bounded now: external + pre, external + peri, internal + pre, internal + peri?

# %%
lids = {}
for recall, norm in product(("external", "internal"), ("pre", "peri")):
    loop = with_Wz(recall, norm, 0.8).loop(x)
    lids[recall, norm] = iterate(loop, loop.start(), 400)


# %%
def scaled_loop(model, a=0.8):
    """Internal + pre with a scaled residual in both branches: a z + F(N(z), h)."""
    w, loop = model.blocks[0], model.loop(x)

    def step(z):
        z = a * z + w.attention(w.branch_input(z, w.recalled(loop.h), 0), loop.angles)
        return a * z + w.mlp(w.branch_input(z, w.recalled(loop.h), 1))

    return step, loop.start()


scaled, scaled_name = iterate(*scaled_loop(untrained("internal", "pre")), 400), "internal + pre, scaled residual"
curves = {variant: run.norms for variant, run in lids.items()} | {scaled_name: scaled.norms}
look = {scaled_name: {"color": "#009E73", "linestyle": "-", "marker": "P"}}
plots.show(
    plots.state_norms(curves, log_x=True, title="Wz = 0.8 times the identity, and a scaled residual", styles=look),
    alt="State length over 400 loops, logarithmic: external with pre and peri level off below 300; internal with pre and peri rise on; the scaled residual levels off lowest, near 30.",
    caption="What to see: a Wz that shrinks puts a lid on external recall, with pre and with peri. Inside a branch the same Wz does nothing of the kind. A scaled residual (both branches, a = 0.8, Wz as it was) does.",
)

# %% tags=["claims"]
# Check the claims
for variant, run in lids.items():
    assert stays_bounded(run.norms.max(1).values) == (variant[0] == "external"), variant
    print(*variant, f"length {float(run.norms[-1].mean()):,.0f}, last step {float(run.steps[-1].max()):.0e}")
assert 20 < scaled.norms[-1].mean() < 40
assert stays_bounded(scaled.norms.max(1).values) and scaled.norms[-1].max() < 50 and scaled.steps[-1].max() < 1e-3
assert max(float(lids["external", norm].norms[-1].max()) for norm in ("pre", "peri")) < 300

# %% [markdown]
# So an outer norm is not the only lid. If $\lVert W_z\rVert < 1$, then in $W_z z + W_h h$ the state shrinks before the branches add to it, and length finds its level. The length of the state is heard again, as you saw in the picture before the last, and the count comes out even. Whether *training* finds such a $W_z$ is another
# question: you will see in lesson 05 what the trained models do.
#
# ## Bounded is not settled
#
# A bounded state has nowhere to go, but it may still go round and round. Which of the bounded loops have come to rest after 1,000 loops, at initialization?

# %%
last = {variant: float((run.steps[-1] / run.norms[-1]).max()) for variant, run in runs.items()}
columns = ["recall", "norm", "relative step at loop 1,000, the largest of four strings"]
tables.show(columns, [[*variant, f"{last[variant]:.0e}"] for variant in runs if measured[variant]])

# %% tags=["claims"]
# Check the claims: post and sandwich have settled; one of the bounded loops has not
assert all(last[recall, norm] < 1e-6 for recall, norm in product(RECALLS, ("post", "sandwich")))
assert last["internal", "gru"] > 1e-3
assert float(run_of("internal", "gru", 500, seed=1).steps[-1].max()) < 1e-4, "with another seed it settles"

# %% [markdown]
# Post and sandwich have settled, with every recall. One loop has not: internal + gru with these weights is bounded and keeps moving, while with the weights of another seed it settles. Being bounded is a gift of the architecture; settling depends on the weights. How to tell the ends apart, fixed
# point, cycle, wandering, is the subject of lesson 06.
#
# **What is known, measured, guessed.** *Known* (you can prove it): post, sandwich, and gru without external recall are bounded; one pre-norm branch with internal recall does not hear the length of the state; a peri branch cannot vanish; pre and peri *can* shorten a state. *Measured here*, on random weights: which of the fifteen stay bounded (3 seeds) and that pre and peri grow, the
# straight drift (1 seed), fixed points by search (3 small blocks), the surviving fixed points with two branches (4 small blocks, found by looking). *A guess* so far: that training does not change the picture. Lesson 05 and lesson 06 measure that on trained models, and external recall will be an exception. Why recall *with* an outer norm is more than the two one by one is put together in lesson 06, under "Why recall with an outer norm has all three".

# %% [markdown]
# ## Recap
#
# - Recall says where $h$ comes back: nowhere, on the stream before the block (external), or inside the branches (internal). Without it, a loop started anywhere but at $h$ knows nothing of the question.
# - With random weights the norm decides whether the state stays bounded: post, sandwich and gru do, pre and peri drift along a straight line.
# - A drifting state has a relative step of $1/t$. It falls below every tolerance, and nothing settles.
# - Counting: a pre-norm branch with internal recall gives $d$ equations for the $d-1$ unknowns of a direction. An outer norm asks for one equation less; a scaled residual, or a $W_z$ on the stream that shrinks, gives the missing unknown back. So does, faintly, the second branch.
# - Bounded is necessary for settling, and not sufficient.
#
# ## Self-test
#
# **1.** A friend reports that her pre-norm loop "has converged to a relative residual of 0.001 after 1,000 loops". What do you ask her?
#
# <details><summary>Answer</summary>
#
# What the residual was after 500 loops. If it was 0.002, it falls as $1/t$, and the state drifts: $0.001 = 1/1000$ is exactly what drift along a straight line gives. Or ask for the step itself, not divided by the length.
#
# </details>
#
# **2.** Where would you add a single norm to *internal + pre* to make its state bounded, and what is the result called?
#
# <details><summary>Answer</summary>
#
# After each sum, on the stream: $N(z + F(N(z)))$. That is sandwich. (One norm at the very end of the loop would be enough to keep the state bounded.)
#
# </details>
#
# **3.** Why does a $W_z$ of 0.8 times the identity bound external recall, but not internal recall with pre-norm?
#
# <details><summary>Answer</summary>
#
# With external recall $W_z$ acts on the stream: every loop the state itself is shrunk to 0.8 of its length before anything is added. With internal recall $W_z$ acts on a normalized copy inside the branch. What the branch adds changes, but the stream is never made shorter.
#
# </details>
#
# ## Further reading
#
# - A. Labovich, *Stability and Generalization in Looped Transformers*, arXiv 2604.15259: internal recall and the outer norm.
# - R. Xiong and others, *On Layer Normalization in the Transformer Architecture*, ICML 2020: pre against post in stacks.
# - A. Bansal and others, *End-to-end Algorithm Synthesis with Recurrent Networks: Extrapolation without Overthinking*, NeurIPS 2022: recall, and why loops forget without it.
# - J. Kim and others, *Peri-LN: Revisiting Normalization Layer in the Transformer Architecture*, arXiv 2502.02732.
# - E. Parisotto and others, *Stabilizing Transformers for Reinforcement Learning*, ICML 2020: gates in place of sums.

# %%
report(ex)

# %% [markdown]
# Next: **04 · learning to loop**, where you train one of these through 20 loops, in a minute.
