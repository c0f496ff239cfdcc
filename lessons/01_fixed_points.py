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
# # 01 · Fixed points
#
# **When does repeating a map settle?**
#
# A looped transformer is a map that is applied to its own output. Before you open one, this lesson does the same with maps that fit on a line or in
# a plane. Everything you learn about them holds for the transformer, word for word, and at the end you point your own tool at one and see.
#
# **After this lesson you can**
#
# - draw the orbit of a map, and say whether it ends in a fixed point, in a cycle, in chaos, or nowhere;
# - measure a residual, and say why a residual that falls is no proof that anything settles;
# - compute the spectral radius of a map's Jacobian without ever writing the matrix down, and predict from it how fast a loop settles;
# - say where the two simplest loops with recall are stable, and why their regions differ.
#
# **Time**: about 75 minutes for you, a quarter of a minute for the machine. **You need**: Python, derivatives, matrices times vectors; eigenvalues are recalled as we go.

# %%
import math

import torch

from looped_exercises import lesson_01 as ex
from looped_exercises import report
from looped_lite import fixed_points as fp
from looped_lite import load_pretrained, plots, widgets

plots.use_style()
torch.set_num_threads(1)  # these tensors are small: a second thread would only wait for the first
torch.set_default_dtype(torch.float64)  # 16 digits, so that rounding stays out of the pictures
column = lambda *numbers: torch.tensor(numbers)[:, None]  # a batch of states that are single numbers, (batch, 1)

# %% [markdown]
# ## Press the cosine key
#
# Take a pocket calculator (in radians), type any number, and press **cos**. Press it again. And again.
#
# > **Predict.** Where does this end? Does it matter what number you typed?
#
# To find out you need the whole **orbit**: the start $z_0$ and everything that follows from it, $z_{t+1} = f(z_t)$.
#
# In this course a state always comes in a **batch**: the first dimension counts independent instances. A map takes a batch of states and returns a batch of states of
# the same shape.

# %% [markdown]
# ### Exercise 01.1 · the orbit of a map
#
# Difficulty 1 of 5 · about 5 minutes
#
# Return the start and the states after 1, 2, ..., `loops` applications of `f`, stacked along a new first dimension. About five lines.
#
# <details><summary>Hint 1</summary>
#
# Keep a list that begins with `z`, and append the newest state in a loop. Do not change `z` in place.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.stack(states)` makes one tensor of a list of tensors and puts the new dimension first.
#
# </details>


# %% tags=["exercise"]
@ex.orbit
def orbit(f, z, loops):
    """A map f and a batch of starts z (batch, ...) -> all states, the start first: (loops + 1, batch, ...)."""
    ### BEGIN SOLUTION
    states = [z]
    for _ in range(loops):
        states.append(f(states[-1]))
    return torch.stack(states)
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert orbit(torch.sin, column(1.0, 2.0, 3.0), 4).shape == (5, 3, 1)
assert torch.equal(orbit(lambda z: -z, column(1.0), 2)[:, 0, 0], torch.tensor([1.0, -1.0, 1.0]))
assert ex.orbit.state == "solved"
### END HIDDEN TESTS

# %%
starts = column(-3.0, -1.0, 0.2, 1.5, 6.0)
path = orbit(torch.cos, starts, 60)
for t in (0, 1, 2, 3, 10, 20, 60):
    print(f"loop {t:2}:", "  ".join(f"{value:+.6f}" for value in path[t, :, 0].tolist()))

# %% [markdown]
# From every start the same number comes out, 0.739085. It is the one number that cos does not move: a **fixed point**, $z^* = f(z^*)$.
#
# A **cobweb** shows why. Go from the diagonal up or down to the curve (that applies $f$), then across to the diagonal (that makes the output the next input).

# %%
plots.show(
    plots.cobweb(torch.cos, 0.0, 25, (-0.5, 1.5), "cos z, repeated", "cos z"),
    alt="Left: the curve of cosine crosses the diagonal once; a rectangular spiral winds into the crossing. "
    "Right: the values swing above and below 0.739, ever less.",
    caption="What to see: the orbit winds into the place where curve and diagonal cross. It changes sides at each loop, because the curve falls there.",
)

# %% tags=["claims"]
# Check the claims
star = path[-1, 0, 0]
assert torch.allclose(path[-1], star.expand(5, 1), atol=1e-9)  # five starts, one end
assert abs(star - 0.739085) < 1e-6 and abs(torch.cos(star) - star) < 1e-9

# %% [markdown]
# ## How fast? Look at the slope
#
# How far is each state from the fixed point? Look at the ratio of one distance to the one before.

# %%
error = (path - star).abs()[:, 2, 0]
for t in (5, 10, 20, 30):
    print(f"loop {t:2}: distance {error[t]:.1e}, {error[t] / error[t - 1]:.4f} of the distance before")
print(f"slope of cos at the fixed point: {-math.sin(star):.4f}")

# %% [markdown]
# The ratio is the slope of the curve at the fixed point, without its sign. Near $z^*$ the map is nearly a straight line, so a small error $e_t = z_t - z^*$ is multiplied by
# that slope at every loop:
#
# $$e_{t+1} \approx f'(z^*)\, e_t .$$
#
# - $|f'(z^*)| < 1$: errors shrink **geometrically**. The fixed point *attracts*; every start close enough is drawn in.
# - $|f'(z^*)| > 1$: errors grow. The fixed point is still there, but no orbit will show it to you: it *repels*.
# - $|f'(z^*)| = 1$: the straight line does not decide.
#
# Drag the two sliders: the slope of a map, and the start. The strip along the bottom colours every start by the fixed point that it reaches.

# %%
widgets.cobweb_explorer()

# %%
plots.show(
    plots.cobweb(
        lambda z: 2 * torch.tanh(z) + 0.3, -0.5, 15, (-3, 3), "slope 2: two ends", "2 tanh z + 0.3", basins=True
    ),
    alt="A cobweb of a steep S-shaped curve that crosses the diagonal three times. The orbit climbs down to the left crossing.",
    caption="The same picture for a page without sliders, at slope 2. What to see: three fixed points, and the middle one repels. It is the border between two "
    "basins: starts to its left end at one point, starts to its right at another.",
)

# %% tags=["claims"]
# Check the claims
assert abs(error[30] / error[29] - math.sin(star)) < 1e-3
bend = lambda z: 2 * torch.tanh(z) + 0.3
_, ends = plots.line_basins(bend, torch.linspace(-3, 3, 400))
middle = fp.newton_krylov(bend, column(-0.2), 200, tol=1e-12)  # a solver that also finds what repels
assert len(ends) == 2 and middle.settled.all() and ends[0] < middle.z < ends[1]
assert fp.spectral_radius(bend, middle.z) > 1 and (fp.spectral_radius(bend, column(*ends)) < 1).all()

# %% [markdown]
# ## Residual
#
# You will not know $z^*$ of a transformer. What you can always measure is how far one more application moves the state: the **residual**. Of a state $z$,
#
# $$\text{absolute: } \lVert f(z) - z\rVert, \qquad \text{relative: } \frac{\lVert f(z) - z\rVert}{\lVert f(z)\rVert},$$
#
# where $\lVert\cdot\rVert$ is the Euclidean length of the state as one long vector.

# %% [markdown]
# ### Exercise 01.2 · residual, absolute and relative
#
# Difficulty 1 of 5 · about 5 minutes
#
# One number for each instance of the batch. A state may have any shape after the batch dimension: `(batch, cells, width)` in the later lessons.
#
# <details><summary>Hint 1</summary>
#
# `z.flatten(1)` keeps the batch dimension and makes one long vector of the rest.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `difference.flatten(1).norm(dim=1)` is one length for each instance. For the relative one divide by the same of `f(z)`.
#
# </details>


# %% tags=["exercise"]
@ex.residual
def residual(f, z, relative=False):
    """How far f moves each state of the batch z (batch, ...), by its own length if relative: (batch,)."""
    ### BEGIN SOLUTION
    after = f(z)
    moved = (after - z).flatten(1).norm(dim=1)
    return moved / after.flatten(1).norm(dim=1) if relative else moved
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
z = torch.randn(3, 2, 5)
assert torch.allclose(residual(torch.cos, z), fp.residual(torch.cos, z))
assert torch.allclose(residual(torch.cos, z, relative=True), fp.residual(torch.cos, z, relative=True))
assert ex.residual.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# Three maps of one number, from the same start:
#
# - **A**: $z \mapsto \cos z$
# - **B**: $z \mapsto z + 1$
# - **C**: $z \mapsto z - z^3$
#
# > **Predict.** Run each for 2,000 loops. Whose *relative* residual falls? Whose *absolute* residual? Which of them settle?

# %%
maps = {"A: cos z": torch.cos, "B: z + 1": lambda z: z + 1, "C: z - z^3": lambda z: z - z**3}
absolute, relative = {}, {}
for name, f in maps.items():
    states = orbit(f, column(0.5), 1999)[:, 0]  # f acts on each state alone, so all loops fit into one batch
    absolute[name], relative[name] = residual(f, states), residual(f, states, relative=True)
for kind, curves in (("relative", relative), ("absolute", absolute)):
    plots.show(
        plots.residual_curves(
            curves, relative=kind == "relative", log_x=True, title=f"The {kind} residual of three maps"
        ),
        alt={
            "relative": "Relative residual of three maps against loops, both axes logarithmic. A bends down and reaches 1e-16 before loop 100. B and C fall together "
            "along straight lines to below 1e-3 at loop 2,000.",
            "absolute": "Absolute residual of three maps against loops, both axes logarithmic. A bends down and reaches 1e-16 before loop 100. C falls along a straight line to "
            "about 5e-6 at loop 2,000. B stays at 1.",
        }[kind],
        caption={
            "relative": "What to see: B falls on a straight line, like 1/t, and passes any tolerance some day. So does C.",
            "absolute": "What to see: B does not fall at all. C falls on a straight line too, but a steeper one than 1/t. A falls off a cliff.",
        }[kind],
    )

# %% [markdown]
# B walks away at a constant step. Its relative residual falls only because the state gets longer: after $t$ loops it is about $1/t$, without anything settling.
# **A residual that falls like 1/t is no proof of convergence.** This is not a curiosity: in lesson 03 you meet transformers that do exactly this, and a test with a relative
# tolerance calls them settled.
#
# C does settle, at 0, where its slope is exactly 1: it creeps, its absolute steps fall like $t^{-3/2}$. The rule behind it: what is left to walk is at most the sum of all steps to come. If the steps fall like
# $t^{-p}$ with $p > 1$, that sum is finite, and the state must settle. For $1/t$ the sum is infinite, and so it is for $1/(t \log t)$, which falls faster than $1/t$. Steps like these decide nothing: all in one direction, they lead as far as
# you like; back and forth by turns, they close in on a point.

# %% tags=["claims"]
# Check the claims
slope = lambda curve: float(
    (curve[1999] / curve[199]).log() / math.log(10)
)  # the power of t, from loop 200 to loop 2000
print({name: round(slope(curve), 2) for name, curve in absolute.items() if name != "A: cos z"}, "powers of t, absolute")
print({name: round(slope(curve), 2) for name, curve in relative.items() if name != "A: cos z"}, "powers of t, relative")
assert abs(slope(relative["B: z + 1"]) + 1) < 0.01 and abs(slope(absolute["B: z + 1"])) < 1e-6
assert abs(slope(absolute["C: z - z^3"]) + 1.5) < 0.02 and abs(slope(relative["C: z - z^3"]) + 1) < 0.02
assert absolute["A: cos z"][99] < 1e-14 and 3e-6 < absolute["C: z - z^3"][-1] < 7e-6
assert relative["B: z + 1"][-1] < 1e-3  # a relative tolerance of 0.001 calls the drift settled
t = torch.arange(2.0, 1e6)
crawl, alternating = (
    (1 / (t * t.log())).cumsum(0),
    ((-1) ** t / t).cumsum(0),
)  # sums of steps in one direction, and by turns
assert all(abs(crawl[10 ** (k + 1)] - crawl[10**k] - math.log((k + 1) / k)) < 0.1 for k in (2, 3, 4)), (
    "grows like log log t"
)
assert abs(alternating[-1] - (1 - math.log(2))) < 1e-5, "settles, though its steps are 1/t"

# %% [markdown]
# ### Exercise 01.3 · does it settle?
#
# Difficulty 2 of 5 · about 8 minutes
#
# For each start: after `loops` loops, does one more loop move the state by no more than `tol`? Use the residual that is not fooled by a drift. Return a bool tensor,
# one entry for each start. Two lines are enough.
#
# <details><summary>Hint 1</summary>
#
# You have both tools already: the last state of `orbit`, and `residual`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A comparison of tensors, `residual(...) <= tol`, is already a bool tensor of shape (batch,).
#
# </details>


# %% tags=["exercise"]
@ex.settles
def settles(f, z, loops=1000, tol=1e-8):
    """A map, a batch of starts z (batch, ...) -> (batch,) bool: has it settled after `loops` loops?"""
    ### BEGIN SOLUTION
    for _ in range(loops):
        z = f(z)
    return residual(f, z) <= tol
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert settles(torch.sqrt, column(0.5, 2.0)).tolist() == [True, True]
assert settles(lambda z: 1 - z, column(0.5, 0.6)).tolist() == [True, False]
assert ex.settles.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# ## Other ends
#
# > **Predict.** Which of these settle: $\cos z$, $2 \cos z$, and the *logistic map* $r z (1 - z)$ at $r = 2.8$, $3.2$ and $3.9$?

# %%
logistic = lambda r: lambda z: r * z * (1 - z)
family = {"cos z": torch.cos, "2 cos z": lambda z: 2 * torch.cos(z)}
family |= {f"logistic, r = {r}": logistic(r) for r in (2.8, 3.2, 3.9)}
start = column(0.3)
for name, f in family.items():
    last = ", ".join(f"{value:.4f}" for value in orbit(f, start, 1000)[-4:, 0, 0].tolist())
    print(
        f"{name:18} settles: {bool(settles(f, start)[0])!s:6} {fp.classify_end(f, start)[0]!s:18} last four states: {last}"
    )

# %% [markdown]
# `fp.classify_end` is the package's own judge. It knows four ends:
#
# - **fixed point**: the absolute steps fall like $t^{-p}$ with $p > 1$, or faster, or have reached rounding error;
# - **cycle** of period $p$: the same for $f$ applied $p$ times. A cycle of period 2 is a fixed point of $f(f(z))$;
# - **diverging**: the state overflows or keeps getting longer. A drift belongs here;
# - **wandering**: bounded, and none of these. At $r = 3.9$ it is *chaos*: two orbits that start a hair
#   apart soon have nothing in common.
#
# One picture shows how the logistic map gets from one end to the next as its slope grows. For each $r$ it draws the last 60 states of a long orbit.

# %%
r = torch.linspace(2.5, 4.0, 700)[:, None]
tail = orbit(lambda z: r * z * (1 - z), torch.full_like(r, 0.3), 600)[-60:]
names = {"fixed point": 2.8, "cycle of 2": 3.2, "cycle of 4": 3.5, "chaos": 3.9}
plots.show(
    plots.visited(r[:, 0], tail[:, :, 0], "r", "the last 60 states", names),
    alt="States visited late in the orbit of the logistic map against r: one line up to r = 3, then two, four, and soon a cloud.",
    caption="What to see: one line where there is a fixed point; it splits where the slope at the fixed point passes -1 (r = 3), and again, faster and faster, into chaos.",
)

# %% tags=["claims"]
# Check the claims
assert [bool(settles(f, start)[0]) for f in family.values()] == [True, False, True, False, False]
ends = [str(fp.classify_end(f, start)[0]) for f in family.values()]
assert ends == ["fixed point", "wandering", "fixed point", "cycle of period 2", "wandering"]
assert str(fp.classify_end(logistic(3.5), start)[0]) == "cycle of period 4"
near = orbit(logistic(3.9), torch.cat([start, start + 1e-9]), 100)[:, :, 0]
assert (near[:, 0] - near[:, 1]).abs().max() > 0.5  # a hair apart, then nothing in common
slope_at_fixed_point = 3.9 * (1 - 2 * (1 - 1 / 3.9))
assert slope_at_fixed_point < -1 and abs(3.0 * (1 - 2 * (1 - 1 / 3.0)) + 1) < 1e-12

# %% [markdown]
# ## More than one number: the Jacobian
#
# A state of a transformer has thousands of numbers. What takes the place of the slope?
#
# Near a fixed point, a small change $v$ of the state becomes $J v$ after one loop, where the **Jacobian** $J$ is the matrix of all partial derivatives of $f$ at $z^*$. After $k$ loops it
# is $J^k v$. So the question is whether powers of a matrix shrink, and the answer is in its **eigenvalues**: numbers $\lambda$, possibly complex, with $J y = \lambda y$ for some vector $y$. The
# largest of their sizes is the **spectral radius**,
#
# $$\rho(J) = \max_i |\lambda_i|, \qquad \lVert J^k v\rVert \text{ behaves like } \rho^k \text{ in the long run.}$$
#
# $\rho < 1$: the fixed point attracts. $\rho > 1$: it repels, in some direction at least.
#
# Here are four matrices on the plane and where their eigenvalues lie. The angle of a complex eigenvalue is a turn, its size is a stretch.
#
# > **Predict.** Look at the eigenvalues first. Which orbits spiral, which end at 0, and which leave?


# %%
def turning(size, angle):
    return size * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


matrices = {
    "spiral in": turning(0.9, 0.5),
    "two real": torch.tensor([[0.9, 0.0], [0.3, -0.6]]),
    "spiral out": turning(1.05, 0.5),
    "grows, then decays": torch.tensor([[0.8, 4.0], [0.0, 0.7]]),
}
spectra = {name: torch.linalg.eigvals(A) for name, A in matrices.items()}
plots.show(
    plots.eigenvalues(spectra, "Eigenvalues of four matrices"),
    alt="Eigenvalues of four matrices in the complex plane with the unit circle. Only those of the matrix 'spiral out' lie outside it.",
    caption="What to see: inside the unit circle things shrink, outside they grow. Complex eigenvalues come in pairs, mirrored at the real axis.",
)

# %%
unit = torch.tensor([[0.6, 0.8]])
walks = {name: orbit(lambda z, A=A: z @ A.T, unit, 200)[:, 0] for name, A in matrices.items()}
in_the_plane = {name: walk[:31].T for name, walk in walks.items()}
over_loops = {name: (range(31), walk[:31].norm(dim=1)) for name, walk in walks.items()}
plots.show(
    plots.lines(
        [in_the_plane, over_loops],
        ["first number", "loop"],
        ["second number", "length of the state"],
        log=["", "y"],
        styles={name: {"markersize": 3, "linewidth": 1} for name in matrices},
    ),
    alt="Left: four orbits in the plane, two of them spirals. Right: their lengths against loops; three fall in the end, one of these after rising, one grows.",
    caption="What to see: the orbit called 'grows, then decays' becomes more than five times as long before it falls, although both its eigenvalues are inside the circle.",
)

# %% [markdown]
# The last one is a warning. The spectral radius rules the long run, not the first steps. A matrix whose eigenvectors are nearly parallel (it is called *non-normal*) can stretch a vector a lot before
# it shrinks it. How much at most, in one step, is its **spectral norm** $\lVert J\rVert$, which is never smaller than $\rho$. If there is one number $q < 1$ with $\lVert J\rVert \le q$ everywhere, the map is a **contraction**:
# every loop brings any two states closer, by the factor $q$ at least, so there is exactly one fixed point and every start reaches it.
#
# The one $q$ for all is needed. $f(z) = \sqrt{1 + z^2}$ has a slope below 1 everywhere, and brings any two numbers closer; but it has no fixed point: from 0 it walks to $\sqrt t$ in $t$ loops.

# %% tags=["claims"]
# Check the claims
radii = {name: float(values.abs().max()) for name, values in spectra.items()}
norms = {name: float(torch.linalg.matrix_norm(A, 2)) for name, A in matrices.items()}
print({name: f"radius {radii[name]:.2f}, norm {norms[name]:.2f}" for name in matrices})
assert [radius < 1 for radius in radii.values()] == [True, True, False, True]
assert all(norms[name] >= radii[name] - 1e-12 for name in matrices)
longest = walks["grows, then decays"].norm(dim=1)
assert 5 < longest.max() < 6 and longest[-1] < 1e-15
escape = orbit(lambda z: (1 + z**2).sqrt(), column(0.0, 3.0), 900)[:, :, 0]
assert abs(escape[900, 0] - 30) < 1e-9 and (escape.diff(dim=1).abs().diff(dim=0) < 0).all()

# %% [markdown]
# ### Exercise 01.4 · spectral radius by power iteration
#
# Difficulty 3 of 5 · about 15 minutes
#
# For a transformer, $J$ has millions of entries, but a product $J v$ costs about as much as two loops. So: the spectral radius from products alone. Multiply again and again, rescale so that nothing overflows, and watch the
# growth $\lVert J v\rVert / \lVert v\rVert$.
#
# If the leading eigenvalues are a complex pair the growth never settles: it swings, because the vector turns. Its **geometric mean over many steps** does settle, at $\rho$. Leave out the first half of the steps, as they
# still remember the start.
#
# <details><summary>Hint 1</summary>
#
# Keep `v` at length 1: then the growth of a step is just the length of `product(v)`. Do not write into `v`; it belongs to the caller.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A geometric mean is `torch.stack(logs).mean().exp()`, with `logs` the logarithms of the growth.
#
# </details>


# %% tags=["exercise"]
@ex.spectral_radius
def spectral_radius(product, v, steps=400):
    """product: v -> J v, for vectors v (n,). Returns the largest modulus of an eigenvalue of J, a number."""
    ### BEGIN SOLUTION
    logs = []
    v = v / v.norm()
    for _ in range(steps):
        v = product(v)
        logs.append(v.norm().log())
        v = v / v.norm()
    return torch.stack(logs[steps // 2 :]).mean().exp()
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
A = torch.randn(20, 20, generator=torch.Generator().manual_seed(3)) / 5
assert abs(spectral_radius(lambda v: A @ v, torch.ones(20)) / torch.linalg.eigvals(A).abs().max() - 1) < 0.05
assert ex.spectral_radius.state == "solved"
### END HIDDEN TESTS

# %%
for name, A in matrices.items():
    by_products, from_all = spectral_radius(lambda v, A=A: A @ v, unit[0]), torch.linalg.eigvals(A).abs().max()
    print(f"{name:20} power iteration {by_products:.4f}, from all eigenvalues {from_all:.4f}")
    assert abs(by_products - from_all) < 0.02 * from_all

# %% [markdown]
# ## And now a transformer
#
# Here is the loop from lesson 00: one block, trained on running parity, applied to strings of 16 bits. Its state is 17 cells of 64 numbers, 1,088 in all, so its Jacobian has more than a million entries. You do not need them:
# `fp.jacobian_product(f, z)` gives you $v \mapsto Jv$ at a state.
#
# > **Predict.** From the spectral radius at the fixed point, by what factor does the residual shrink at each loop, once it is on its way down?

# %%
model = load_pretrained("prefix-sums-internal-post-seed0").double()
strings, _ = model.recipe.task.batch(1, 16, torch.Generator().manual_seed(0))
block_loop = model.loop(strings.double())  # the loop as a map of the state alone
embedded = block_loop.h.detach()  # the embedded input, from which it starts
end = fp.iterate(block_loop, embedded, 120)
product = fp.jacobian_product(block_loop, end.z)
v = torch.randn(end.z.numel(), generator=torch.Generator().manual_seed(1))
rho = float(spectral_radius(lambda v: product(v.view_as(embedded)).flatten(), v))

steps = end.steps[:, 0]
measured = float((steps[60] / steps[40]) ** (1 / 20))
print(f"your spectral radius at the fixed point: {rho:.4f}")
print(f"the residual shrinks by {measured:.4f} a loop (mean of loops 40 to 60)")
guide = {"measured": steps, "spectral radius to the power t": steps[40] * rho ** (torch.arange(120.0) - 40)}
style = {"spectral radius to the power t": {"marker": ""}}
plots.show(
    plots.residual_curves(guide, title="A trained transformer block, repeated", styles=style),
    alt="The residual of a trained loop against loops, on a logarithmic axis: a bumpy first part, then a straight line that a dashed line of the predicted slope covers.",
    caption="What to see: about ten loops of work in which nothing is predicted by a spectrum at the end; then a straight line whose slope is the spectral radius.",
)

# %% tags=["claims"]
# Check the claims
assert embedded.shape == (1, 17, 64) and end.z.numel() == 1088
assert rho < 1 and abs(rho / measured - 1) < 0.01
assert abs(float(fp.spectral_radius(block_loop, end.z)) / rho - 1) < 0.01  # the package's own, by Arnoldi's method
assert str(fp.classify_end(block_loop, embedded, 300)[0]) == "fixed point"
assert steps[80] < 1e-6 * steps[0]

# %% [markdown]
# The tool that you tried on 2 x 2 matrices predicts a trained network to a fraction of a percent. That is the working idea of this course: **a looped transformer is a map, and everything known about repeated maps
# applies to it.**
#
# ## Basins
#
# A map can have several attracting fixed points. Which one you reach depends on where you start; all starts that reach one are its **basin**. Here is a map of the plane for which it is not easy to see: Newton's
# method for the equation $z^3 = 1$ in complex numbers, $z \mapsto z - (z^3 - 1) / (3 z^2)$. Its fixed points are the three cube roots of 1, and the slope at each of them is 0.
#
# > **Predict.** Three points, three basins. What do the borders look like?


# %%
def newton(z):
    """z (batch, 2), read as complex numbers."""
    w = torch.view_as_complex(z.contiguous())
    return torch.view_as_real(w - (w**3 - 1) / (3 * w**2))


found = fp.basins(
    newton, torch.zeros(2), torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 1.5, resolution=220, loops=80
)
square = (-1.5, 1.5, -1.5, 1.5)  # left, right, bottom, top
names = {"x_label": "real part of the start", "y_label": "imaginary part of the start"}
plots.show(
    plots.basin_map(found.labels, square, points=found.ends, **names),
    alt="Three basins of attraction in the plane, with chains of ever smaller drops along their borders.",
    caption="What to see: near each root a plain area of its colour. On the borders all three colours meet, at every scale: there, the smallest change of the start decides.",
)

# %% [markdown]
# Now take hold of the start. Put it near the middle of a plain area, then near a border, and look where the orbit goes on its way.


# %%
def newton_orbit(real, imaginary):
    """80 loops from one start, (81, 2). A hair beside it, since at 0 itself Newton's method would divide by 0."""
    return orbit(newton, torch.tensor([[real + 1e-9, imaginary]]), 80)[:, 0]


def over_the_basins(real, imaginary):
    """The orbit of one start, drawn over the map of basins."""
    path = newton_orbit(real, imaginary)
    return plots.basin_map(
        found.labels, square, points=found.ends, path=path, x_label="real part", y_label="imaginary part"
    )


def in_words(real, imaginary):
    near = (newton_orbit(real, imaginary)[:, None] - found.ends).norm(dim=-1) < 1e-3  # (loops + 1, roots)
    end, loops = int(near[-1].long().argmax()), int(near.any(1).long().argmax())
    told = f"is within 0.001 of end {end + 1} after {loops} loops" if near[-1].any() else "reaches no root in 80 loops"
    return f"From {real:.2f} {imaginary:+.2f} i the orbit {told}."


widgets.explorer(over_the_basins, in_words, real=(-1.5, 1.5, -0.9), imaginary=(-1.5, 1.5, 0.3))

# %% tags=["claims"]
# Check the claims
roots = found.ends[:, 0] + 1j * found.ends[:, 1]
assert len(roots) == 3 and ((roots**3 - 1).abs() < 1e-6).all()
assert (fp.spectral_radius(newton, found.ends) < 1e-3).all()
assert (found.labels >= 0).float().mean() > 0.99

# %% [markdown]
# Keep this picture in mind. A loop that gets its question *only through the start* can answer it only by ending in another basin. A loop that is told the question at every step has another way: its fixed point itself moves with the question. Lesson 06
# makes an axis of that.
#
# ## The two simplest loops with recall
#
# Shrink a transformer block to one number. The stream carries $z$; a branch computes something and is added; $h$ is the embedded input. Let the branch be a multiplication by $y$, and let the state be weighted by $x$ where the input comes in. There are two places for that:
#
# - **internal** recall, inside the branch: $\quad z' = z + y\,(x z + h)$
# - **external** recall, before the block: $\quad w = x z + h,\quad z' = w + y\,w$
#
# (The names are those of A. Labovich, *Stability and Generalization in Looped Transformers*, arXiv 2604.15259; the scalar models follow that paper.)
#
# By how much does one loop multiply a small change of $z$? That **multiplier** is the whole Jacobian here, so the loop is stable where its size is below 1.

# %% [markdown]
# ### Exercise 01.5 · two scalar loops and their multipliers
#
# Difficulty 2 of 5 · about 8 minutes
#
# Differentiate both updates by $z$, on paper, and return the two multipliers. `x` and `y` may be numbers or tensors of one shape.
#
# <details><summary>Hint 1</summary>
#
# Multiply out: $z + y(xz + h) = (1 + \dots)\, z + yh$. What stands before $z$ is the multiplier.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# External: $w + yw = (1 + y)\,w$ and $w = xz + h$.
#
# </details>


# %% tags=["exercise"]
@ex.multipliers
def multipliers(x, y):
    """State weight x and branch gain y -> (internal, external): dz'/dz for each of the two loops."""
    ### BEGIN SOLUTION
    return 1 + x * y, (1 + y) * x
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert multipliers(2.0, -0.5) == (0.0, 1.0)
assert ex.multipliers.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# > **Predict.** Where in the plane of $x$ and $y$ is each of them stable? Training starts near $x = 1$, $y = 0$: is that point inside?

# %%
plots.show(
    plots.stability_regions(),
    alt="Two planes of x and y. Internal recall is stable between the axes and a hyperbola, in two opposite quadrants. External recall is stable in a cross-shaped region "
    "around the lines x = 0 and y = -1.",
    caption="What to see: shaded is stable. Both loops start (star) exactly on an edge. Both regions get thin, at equal pace. But the two axes are edges of the internal one, while the lines x = 0 and y = -1 run through the middle of the external one.",
)

# %% tags=["claims"]
# Check the claims by experiment: run both loops over the whole plane and see which settle
x, y = torch.meshgrid(torch.linspace(-2.95, 2.95, 60), torch.linspace(-2.95, 2.95, 60), indexing="ij")
x, y = x.reshape(-1, 1), y.reshape(-1, 1)
inner, outer = multipliers(x, y)
loops = {
    "internal": (lambda z: z + y * (x * z + 1.0), inner),
    "external": (lambda z: (1 + y) * (x * z + 1.0), outer),
}
for recall, (f, multiplier) in loops.items():
    settled = settles(f, torch.full_like(x, 0.3), 2000, 1e-6)
    clear = (multiplier.abs() - 1).abs()[:, 0] > 0.02  # not within a hair of the edge
    agree = (settled == (multiplier.abs() < 1)[:, 0])[clear].float().mean()
    print(f"{recall}: prediction and experiment agree on {agree:.1%} of {int(clear.sum())} points")
    assert agree == 1
assert multipliers(1.0, 0.0) == (1.0, 1.0)  # both are born on the edge
gains = torch.linspace(-3, 1, 400_001)
for weight in (
    1.5,
    2.0,
    4.0,
    -2.0,
):  # at one x both strips are 2 / |x| wide; internal's has an edge at y = 0, external's its middle at y = -1
    for multiplier, centre in zip(multipliers(weight, gains), (-1 / weight, -1.0), strict=True):
        stable = gains[multiplier.abs() < 1]
        assert (
            abs(stable[-1] - stable[0] - 2 / abs(weight)) < 1e-4 and abs((stable[0] + stable[-1]) / 2 - centre) < 1e-4
        )

# %% [markdown]
# Why the shapes matter to an optimizer: at the start, how does each multiplier $m$ change when $x$ or $y$ is moved a little?
#
# | at $x = 1$, $y = 0$ | $\partial m/\partial x$ | $\partial m/\partial y$ |
# |---|---|---|
# | internal, $1 + xy$ | $y = 0$ | $x = 1$ |
# | external, $(1 + y)x$ | $1 + y = 1$ | $x = 1$ |
#
# External recall has two ways off the edge: a smaller $x$, or a negative $y$. Internal recall has one, since along the line $y = 0$ its multiplier is 1 whatever $x$ is. At large $|x|$ both regions are strips, of the same width $2/|x|$: a step of $y$ that was
# harmless before now jumps out of them. They lie elsewhere, though. External recall's strip has its middle at $y = -1$ for every $x$, a line that is safe for ever. Internal recall's, $-2/x < y < 0$ for positive $x$, has one edge at $y = 0$, and its middle moves with $x$: what is
# best for one $x$ is wrong for another. That is a guess about training, from a model of one number.
#
# ## What an outer norm does to both
#
# The last idea of this lesson is the one that the paper builds on. Normalize the state after each update: $z' = N(\dots)$, where $N$ rescales a vector to a fixed length. (A single number would be left with nothing but its sign, so $z$ and $h$ are now vectors; $x$ and $y$ stay numbers.)
#
# Nothing can diverge any more. But is the region where the loop *settles* the same?
#
# > **Predict.** At the starting point $x = 1$ with a small positive $y$, say $0.1$, internal recall without norm diverges. And with it?
#
# You can work it out. A normalized state $z$ that the loop does not turn must lie along $h$: at $+h$ or at $-h$. There, a change of direction is multiplied by the old multiplier $m$, and the norm then divides by
# how much longer the update has made the state. With $c = \lVert h\rVert/\lVert z\rVert$, the multipliers at $+h$ are
#
# $$\text{internal: } \frac{1 + xy}{1 + xy + yc}, \qquad \text{external: } \frac{x}{x + c},$$
#
# and at $-h$ the same with $-c$ in the place of $c$.

# %%
h = torch.tensor([0.6, 0.8]) * 2**0.5  # the length that N gives, so that c = 1
N = lambda z: z / z.norm(dim=1, keepdim=True).clamp_min(1e-12) * 2**0.5
grid = torch.linspace(-2.97, 3.03, 31)  # a grid of x and y that misses the edges of the regions
y, x = (part.reshape(-1, 1) for part in torch.meshgrid(grid, grid, indexing="ij"))
looped = {
    "internal": lambda z: z + y * (x * z + h),
    "internal + outer norm": lambda z: N(z + y * (x * z + h)),
    "external": lambda z: (1 + y) * (x * z + h),
    "external + outer norm": lambda z: N((1 + y) * (x * z + h)),
}
z = torch.tensor([[0.9, -0.3]]).expand(len(x), 2)
judged = {name: fp.classify_end(f, z, 400) for name, f in looped.items()}
ends = {name: [end.kind for end in judged[name]] for name in looped}
share = {name: {kind: kinds.count(kind) / len(kinds) for kind in fp.ENDS} for name, kinds in ends.items()}
for name, kinds in share.items():
    print(f"{name:22}", ", ".join(f"{kind} {part:.0%}" for kind, part in kinds.items() if part >= 0.01))

# %%
plots.show(
    plots.ends_over_plane(ends, (-3.07, 3.13, -3.07, 3.13), "x, weight on the state", "y, gain of the branch", (1, 0)),
    alt="Four planes of x and y, coloured by how the loop ends. Without norm most of the plane diverges. With outer norm none does and most of it ends in a fixed point.",
    caption="What to see: with the outer norm (right) nothing diverges, and the starting point (star) has settling loops on all sides. What remains outside are cycles of period 2. (The two pink squares in the panel at bottom left lie a hair inside the edge, where 400 loops are too few to tell.)",
)

# %% tags=["claims"]
# Check the claims
assert share["internal"]["diverging"] > 0.5 and share["external"]["diverging"] > 0.5
assert share["internal + outer norm"]["diverging"] == 0 and share["external + outer norm"]["diverging"] == 0
assert share["internal + outer norm"]["fixed point"] > share["internal"]["fixed point"]
assert share["external + outer norm"]["fixed point"] > share["external"]["fixed point"]
for at, expected in (((1.0, 0.1), 1.1 / 1.2), ((1.5, 0.4), 1.6 / 2.0)):  # the formula, against the measured Jacobian
    f = lambda z, at=at: N(z + at[1] * (at[0] * z + h))
    end = fp.iterate(f, torch.tensor([[0.9, -0.3]]), 2000)
    assert torch.allclose(end.z, h[None], atol=1e-6)
    assert abs(float(fp.spectral_radius(f, end.z)) - expected) < 1e-6
f = lambda z: N(1.1 * (1.0 * z + h))
assert abs(float(fp.spectral_radius(f, h[None])) - 1 / 2) < 1e-9
assert str(fp.classify_end(lambda z: z + 0.1 * (z + h), torch.tensor([[0.9, -0.3]]))[0]) == "diverging"
for gain, sign in ((0.1, 1), (-0.1, -1)):  # around the star: above the axis the end is +h, below it -h
    end = fp.iterate(lambda z, gain=gain: N(z + gain * (z + h)), torch.tensor([[0.9, -0.3]]), 2000)
    assert torch.allclose(end.z, sign * h[None], atol=1e-6)
unsure = [
    abs((1 + b) * a) for a, b, kind in zip(x[:, 0], y[:, 0], ends["external"], strict=True) if kind == "wandering"
]
assert len(unsure) == 2 and all(0.99 < size < 1 for size in unsure)  # the pink squares: errors still swing there
assert sum(kinds.count("wandering") for kinds in ends.values()) == 2
for name, kinds in share.items():
    assert ("norm" in name) == (kinds["fixed point"] > 0.5), "over half of the square drawn"
rows = torch.tensor([kind == "fixed point" for kind in ends["external + outer norm"]]).view(len(grid), len(grid))
for side in (rows[grid > -1], rows[grid < -1]):
    assert (side == side[0]).all(), "of y only the sign of 1 + y is left"
assert (rows[-1] != rows[0]).any()
wide = 4 * grid  # a square four times as wide and high
y, x = (part.reshape(-1, 1) for part in torch.meshgrid(wide, wide, indexing="ij"))
there = [fp.classify_end(f, z, 400) for name, f in looped.items() if "norm" in name]
assert all(0.5 < sum(end.kind == "fixed point" for end in found) / 961 < 0.56 for found in there)
assert [round(share[name]["fixed point"], 2) for name in looped if "norm" in name] == [0.74, 0.58]
assert {end.period for name in looped if "norm" in name for end in judged[name] if end.kind == "cycle"} == {2}

# %% [markdown]
# The outer norm turns "stable only if the weights are in a region" into "bounded always, and settled in more places": 0.74 of the square drawn for internal recall, 0.58 for external. (How many depends on the square. In one four times as wide it is little more than half
# for both.) It does not forbid cycles, which the picture shows too. And note what else happened to external recall: of $y$ nothing is left but the sign of $1 + y$, which says whether a loop keeps the direction of $xz + h$ or turns it round. These are linear toys with a single direction $h$; real blocks have attention and an MLP. What carries over, and what does not, is measured in the lessons that follow.
#
# ## Recap
#
# - A **fixed point** is a state that the map does not move. Errors near it are multiplied by the slope, or by the Jacobian $J$, at every loop.
# - The **spectral radius** $\rho(J)$ decides in the long run: below 1 it attracts, at the rate $\rho$ a loop. Products $Jv$ are enough to measure it. In the first steps, the norm of $J$ can matter more.
# - A falling **relative residual** proves nothing: a drift at constant step has one that falls like 1/t. Look at absolute steps: if they fall like $t^{-p}$ with $p > 1$, or by a factor each loop, the state settles. At $1/t$ they prove nothing.
# - Other ends are cycles, wandering, and divergence. Where several ends attract, each has its **basin**.
# - Scalar loops with recall are stable where $|1 + xy| < 1$ (internal) or $|(1+y)x| < 1$ (external), and both start on the edge. An outer norm keeps them bounded everywhere.
#
# ## Self-test
#
# **1.** The relative residual of a loop is 0.01 at loop 100, 0.001 at loop 1,000 and 0.0001 at loop 10,000. Has it settled?
#
# <details><summary>Answer</summary>
#
# It falls like 1/t, which is what a drift at constant step looks like. Nothing says that it settles; the absolute step, or the length of the state, decides.
#
# </details>
#
# **2.** The Jacobian at a fixed point has spectral radius 0.9 and spectral norm 12. You start very close to the fixed point. What do you see?
#
# <details><summary>Answer</summary>
#
# The distance may first grow, by up to a factor of 12 in a single loop, and then shrinks by 0.9 a loop in the long run, unless the growth has carried you out of the region in which the straight line is a good description.
#
# </details>
#
# **3.** Internal recall with $x = 4$: for which gains $y$ is the scalar loop stable?
#
# <details><summary>Answer</summary>
#
# $|1 + 4y| < 1$ means $-0.5 < y < 0$: a strip four times as thin as at $x = 1$.
#
# </details>
#
# ## Further reading
#
# - S. Strogatz, *Nonlinear Dynamics and Chaos*: cobwebs, bifurcations and basins, with pictures on every page.
# - L. N. Trefethen and M. Embree, *Spectra and Pseudospectra*: what eigenvalues do not tell.
# - A. Labovich, *Stability and Generalization in Looped Transformers*, arXiv 2604.15259: the framework of this course.
#
# Next: lesson 02 builds the block whose loop you have just measured.

# %%
report(ex)
