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
# # 02 · A loop block from scratch
#
# **What is inside the loop?**
#
# One transformer block: a normalization, a way to tell positions apart, attention, a small network for each cell. You write each part in a few
# lines, check it against PyTorch's or the package's own, put the parts together, and loop the result. At the end *your* block runs with
# trained weights and solves strings of 32 bits, in hardly more loops than any block of its kind would need.
#
# **After this lesson you can**
#
# - write RMSNorm, rotary positions, attention and a whole block from memory, and say what each is for;
# - say why the course's attention has one temperature for each head where you might expect one gain for each channel;
# - say before any training how many loops a problem needs at the very least;
# - compare 30 loops of one block with a stack of 30 different blocks: in parameters, and in work.
#
# **Time**: 90 minutes for you, half a minute for the machine. Nothing is trained here.
# **You need**: lesson 01 for what a fixed point is (lesson 00 will do for now), tensors in PyTorch, a matrix product. No transformer so far? This is the place.

# %%
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from looped_exercises import lesson_02 as ex
from looped_exercises import report
from looped_lite import LoopedTransformer, PrefixSums, Recipe, count_parameters, load_pretrained, plots
from looped_lite.blocks import MLP, Attention, Block

plots.use_style()


def random(*shape, seed=0):
    """Normally distributed numbers, the same ones every time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# %% [markdown]
# ## The state
#
# Everything in the loop works on one tensor, the **state** $z$ of shape `(batch, cells, width)`. A *cell* is a place of the problem: a bit of a string, a square of a board.
# For each cell the state holds one vector of `width` numbers, called channels. The input, turned into such vectors, is $h$, of the same shape.
#
# Here are eight random strings of the prefix-sum task of lesson 00: 32 bits, and before them a cell that marks the beginning.

# %%
task = PrefixSums(uniform=1, biased=0)  # strings of random bits
untrained = Recipe(task, seed=0, recall="none", norm="post").build()
x, y = task.batch(8, 32, torch.Generator().manual_seed(0))
with torch.no_grad():
    h = untrained.encode(x)
print("input", tuple(x.shape), "-> embedded input h", tuple(h.shape))
assert h.shape == (8, 33, 64)

# %% [markdown]
# And this is the block that you are going to build. The state runs along the line at the bottom, the **stream**. Twice a *branch* $F$ leaves it, computes
# something, and is added back, and each time a norm $N$ follows: $z \leftarrow N(z + F(z))$. In the first branch the cells talk to each other, in the
# second each cell thinks for itself.

# %%
plots.show(
    plots.block_diagram("none", "post"),
    alt="Block diagram: the state passes an attention branch and an MLP branch; each is added to the stream and followed by a norm N; the output returns to the input.",
    caption="What to see: one loop, left to right. Where the input h could come back in, and where else a norm could sit, is lesson 03; here the input is only the first state.",
)

# %% [markdown]
# ## Why is there a norm at all?
#
# Take the block above, untrained, and leave its two norms out: $z \leftarrow z + F(z)$, twice a loop.
#
# > **Predict.** A cell's vector is about 4 long at the start. How long is it after 30 loops? Write a number down.

# %%
block_0, angles_33 = untrained.requires_grad_(False).blocks[0], untrained.loop(x).angles


def without_norms(z):
    z = z + block_0.attention(z, angles_33)
    return z + block_0.mlp(z)


wild, tame, z_wild, z_tame = [], [], h, h
for _ in range(30):
    z_wild, z_tame = without_norms(z_wild), block_0(z_tame, None, angles_33)
    wild.append(float(z_wild.norm(dim=-1).mean()))  # the mean length of a cell's vector
    tame.append(float(z_tame.norm(dim=-1).mean()))
curves = {"no norm": (range(1, 31), wild), "N(z + F(z))": (range(1, 31), tame)}
look = {"no norm": {"color": "#D55E00", "linestyle": "--"}}
plots.show(
    plots.lines(curves, "loop", "length of a cell's vector", log="y", styles=look),
    alt="Length of a cell's vector over 30 loops, logarithmic: without norms a rising line to tens of thousands, with norms a flat line at 8.",
    caption="What to see: a straight line on this logarithmic axis is growth by one factor with every loop, and after ten loops it is straight. The norm holds the length where it is.",
)

# %% tags=["claims"]
# Check the claims: the start is about 4 long; without norms it grows more than 5,000-fold in 30 loops; with them it stays sqrt(64) = 8
print(f"start {float(h.norm(dim=-1).mean()):.1f}; after 30 loops {wild[-1]:,.0f} without norms, {tame[-1]:.3f} with")
assert 3 < h.norm(dim=-1).mean() < 5
assert wild[-1] > 5000 * h.norm(dim=-1).mean() and 1e4 < wild[-1] < 1e5
factors = torch.tensor(wild)[1:] / torch.tensor(wild)[:-1]
assert factors[10:].max() / factors[10:].min() < 1.05, "by one factor with every loop, after the first ten"
assert all(abs(length - 8) < 0.01 for length in tame)

# %% [markdown]
# In a stack of 30 different layers this is a nuisance that training can correct layer by layer. In a loop it is a law: a map that stretches a little, applied again
# and again, stretches without end. So the first part to build is the norm.
#
# **RMSNorm** divides a vector $x$ of $d$ channels by its *root mean square* and multiplies channel $i$ by a learned gain $g_i$:
#
# $$N(x)_i = g_i\,\frac{x_i}{\sqrt{\tfrac1d\sum_j x_j^2 + \varepsilon}}$$
#
# The tiny $\varepsilon$ is there for vectors of zeros only. LayerNorm, its older relative, also subtracts the mean first; RMSNorm does not.

# %% [markdown]
# ### Exercise 02.1 · RMSNorm from its definition
#
# Difficulty 1 of 5 · about 5 minutes
#
# `x` is `(..., width)`: however many axes it has, the norm acts on the vectors along the last one. One line.
#
# <details><summary>Hint 1</summary>
#
# `x.square().mean(-1, keepdim=True)` is the mean square of each vector. `keepdim` keeps the axis, so that it can be divided by.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.rsqrt(a)` is one over the root of `a`. Add `eps` inside.
#
# </details>


# %% tags=["exercise"]
@ex.rms_norm
def rms_norm(x, gain, eps=1e-6):
    """x (..., width), gain (width,) -> (..., width): each vector over its root mean square, times the gain."""
    ### BEGIN SOLUTION
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * gain
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert torch.allclose(rms_norm(random(7, 12), torch.ones(12)), F.rms_norm(random(7, 12), (12,), eps=1e-6), atol=1e-5)
assert ex.rms_norm.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# Against PyTorch's own, and then a question.
#
# > **Predict.** Make a state a thousand times longer and normalize it. What has changed?

# %%
z, ones = random(2, 5, 64), torch.ones(64)
assert torch.allclose(rms_norm(z, ones), F.rms_norm(z, (64,), eps=1e-6), atol=1e-5)
for factor in (0.1, 10.0, 1000.0):
    change = (rms_norm(factor * z, ones) - rms_norm(z, ones)).abs().max()
    print(f"state times {factor:6g}: largest change of the normalized state {float(change):.1e}")
    assert change < 5e-4

# %% [markdown]
# Next to nothing has changed (what is left is $\varepsilon$ and rounding). This is **scale invariance**, $N(cz) = N(z)$ for every $c > 0$: a norm lets the *direction* of a vector through and forgets
# its length. Look at it from the other side: if you nudge $z$ along itself, the output does not move at all. In the language of derivatives, with $J$ the
# matrix of derivatives of $N$ at $z$, $J z = 0$. PyTorch can multiply $J$ by a vector without ever writing $J$ down:

# %%
vector = random(64, seed=1)
along = torch.func.jvp(lambda v: rms_norm(v, ones), (vector,), (vector,))[1]
across = torch.func.jvp(lambda v: rms_norm(v, ones), (vector,), (random(64, seed=2),))[1]
print(f"moved along itself: {float(along.norm()):.1e}; moved in a random direction: {float(across.norm()):.2f}")
assert along.norm() < 1e-4 < 1 < across.norm()
assert torch.allclose(rms_norm(vector, ones).norm(), torch.tensor(8.0), atol=1e-3), "its length is sqrt(width) = 8"

# %% [markdown]
# Keep this in mind. It is why the state stayed at length $8 = \sqrt{64}$ above, and in lesson 03 it decides which loops can have a fixed point and which cannot.

# %% [markdown]
# ## Where am I?
#
# Attention, which comes below, lets every cell collect from the others. By itself it does not know who stands where:

# %%
queries, keys, values = (random(1, 1, 6, 8, seed=seed) for seed in range(3))
order = torch.tensor([3, 0, 5, 1, 4, 2])
straight = F.scaled_dot_product_attention(queries, keys, values)
shuffled = F.scaled_dot_product_attention(queries[:, :, order], keys[:, :, order], values[:, :, order])
print(
    "shuffle the cells, and the answers are shuffled the same way, to",
    f"{float((straight[:, :, order] - shuffled).abs().max()):.0e}",
)
assert torch.allclose(straight[:, :, order], shuffled, atol=1e-6)

# %% [markdown]
# A running parity needs "left of me" and "two to the right". **Rotary position embedding** (RoPE) gives it, and without a single parameter. A cell compares its query
# $q$ with another's key $k$ by the product $q\cdot k$, the **score**. So turn both before: the vectors of the cell at position $m$ by an angle proportional to $m$. The
# product of two vectors depends on the angle *between* them, and this angle changes with $n - m$ only.
#
# One angle would come round after a full turn, and cells would look alike. So the channels are taken in pairs, and each pair turns at its own speed:
#
# $$\begin{pmatrix} a \\ b\end{pmatrix} \leftarrow \begin{pmatrix} a\cos\theta - b\sin\theta \\ a\sin\theta + b\cos\theta\end{pmatrix}$$
#
# Here channel $i$ is paired with channel $i + d_{\text{head}}/2$, where $d_{\text{head}}$ is the number of channels of a query (the head width). Some other
# implementations pair 0 with 1, 2 with 3 and so on. Either is fine; weights trained with one do not fit the other.

# %% [markdown]
# ### Exercise 02.2 · turn pairs of channels
#
# Difficulty 2 of 5 · about 8 minutes
#
# `x` is `(..., cells, head_width)`, `angles` is `(cells, head_width / 2)`: one angle for each cell and pair. Turn the pairs `(i, i + head_width / 2)`. About three lines.
#
# <details><summary>Hint 1</summary>
#
# `first, second = x.chunk(2, dim=-1)` gives the two halves; both have the shape of `angles`, up to leading axes.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.cat([first * cos - second * sin, ...], dim=-1)`.
#
# </details>


# %% tags=["exercise"]
@ex.rotate
def rotate(x, angles):
    """x (..., cells, head_width), angles (cells, head_width / 2) -> x with its channel pairs turned."""
    ### BEGIN SOLUTION
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
turned = rotate(torch.tensor([[1.0, 0.0]]), torch.tensor([[torch.pi / 2]]))
assert torch.allclose(turned, torch.tensor([[0.0, 1.0]]), atol=1e-6)
assert ex.rotate.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# Which angles? On a line with $P = d_{\text{head}}/2$ pairs, pair $i$ of the cell at position $m$ turns by $m\,\omega_i$ with
#
# $$\omega_i = 10\,000^{-i/P},\qquad i = 0, 1, \dots, P-1:$$
#
# from one radian a cell down to almost nothing. Fast pairs tell neighbours apart, slow ones tell near from far.
#
# On a board a cell has two positions, row and column. Then the pairs are dealt out: the first half of them turns with the row, the second with the column, each half with
# its own frequencies from 1 down. In general, with $A$ axes, each axis gets a share of $\lfloor P/A\rfloor$ pairs, with $\omega_i = 10\,000^{-i/\text{share}}$ inside it. Pairs left over do not turn.

# %% [markdown]
# ### Exercise 02.3 · angles for lines and boards
#
# Difficulty 3 of 5 · about 12 minutes
#
# `positions` is `(cells, axes)`: one row for each cell. Return the angles, `(cells, head_width / 2)`: first the pairs of axis 0, then those of axis 1, and so on, then zeros for what is left over.
#
# <details><summary>Hint 1</summary>
#
# Begin with one axis: `frequency = base ** -(torch.arange(share) / share)`, and `positions[:, :1] * frequency` has the right shape.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# For all axes at once: `positions[:, :, None] * frequency` is `(cells, axes, share)`; `.flatten(1)` lays the axes one after the other. `F.pad(t, (0, n))` adds `n` zeros at the
# end of the last axis.
#
# </details>


# %% tags=["exercise"]
@ex.rotary_angles
def rotary_angles(positions, head_width, base=10_000.0):
    """positions (cells, axes) -> angles (cells, head_width / 2)."""
    ### BEGIN SOLUTION
    axes, pairs = positions.shape[1], head_width // 2
    share = pairs // axes
    frequency = base ** -(torch.arange(share) / share)
    angles = (positions[:, :, None] * frequency).flatten(1)
    return F.pad(angles, (0, pairs - axes * share))
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert rotary_angles(torch.tensor([[4, 1, 2, 3]]), 10).tolist() == [[4.0, 1.0, 2.0, 3.0, 0.0]]
assert ex.rotary_angles.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# Now the promise: scores depend on **offsets alone**. To see it by eye, give every cell the same query and the same key. Then whatever differs between two scores is position.
#
# And one more thing to try. It is common to give normalized queries and keys a learned gain for each channel, as RMSNorm does. Suppose you multiply the channels by such gains *after* the rotation.
#
# > **Predict.** Three pictures of the scores of 24 cells with 24 cells: without rotation, with it, and with gains after it. What does each look like?

# %%
places = torch.arange(24)[:, None]
angles_24 = rotary_angles(places, 16)
query, key = random(16, seed=27).expand(24, -1), random(16, seed=28).expand(24, -1)
gain_q, gain_k = ((0.6 * random(16, seed=seed)).exp() for seed in (29, 30))
scores = {
    "no rotation": query @ key.T,
    "rotated": rotate(query, angles_24) @ rotate(key, angles_24).T,
    "rotated, then gains": (rotate(query, angles_24) * gain_q) @ (rotate(key, angles_24) * gain_k).T,
}
plots.show(
    plots.heat_maps(scores, "key of cell", "query of cell", "", "around 0", upwards=False, colours="PuOr", square=True),
    alt="Three heat maps of 24 by 24 scores. Without rotation: one flat colour. Rotated: stripes parallel to the diagonal. With gains after the rotation: a chequered "
    "pattern whose values change along every diagonal.",
    caption="What to see: in the middle every diagonal has one colour, for along a diagonal the offset is the same. On the right the diagonals change colour: these scores know where a cell is, "
    "not only how far two cells are apart.",
)

# %% tags=["claims"]
# Check the claims: one step down a diagonal changes nothing, unless there is a gain per channel after the rotation


def change_along_diagonals(score):
    return float((score[1:, 1:] - score[:-1, :-1]).abs().max())


for name, score in scores.items():
    print(f"{name:34} largest change along a diagonal {change_along_diagonals(score):.1e}")
assert change_along_diagonals(scores["no rotation"]) == 0 and scores["no rotation"].std() < 1e-5
assert change_along_diagonals(scores["rotated"]) < 1e-4 and scores["rotated"].std() > 1
assert change_along_diagonals(scores["rotated, then gains"]) > 1
# gains whose product is equal within each pair are harmless: it commutes with the rotation, even if the gains themselves differ
of_pair = torch.cat([gain_q[:8], gain_q[:8]])
assert (
    change_along_diagonals((rotate(query, angles_24) * gain_q) @ (rotate(key, angles_24) * (of_pair / gain_q)).T) < 1e-3
)

# %% [markdown]
# Write $R_m$ for the rotation at position $m$, and remember that turning both by the same angle changes no product, so that only $n-m$ is left:
#
# $$(R_m q)\cdot(R_n k) = q\cdot R_{n-m}\,k.$$
#
# With gains after the rotation, diagonal matrices $G_q$ for queries and $G_k$ for keys, it becomes $q\cdot R_{-m}\,G_q G_k\,R_n\,k$, and a rotation can only move past $G_q G_k$ if that product is the same for the two channels of each pair. Otherwise
# $m$ stays in the formula. A model with such gains can learn something about *absolute* positions, and a place beyond the length seen in training is a place it knows nothing about. This is why
# the course's attention has **one temperature for each head** and no gain for each channel: one number multiplies all scores of a head, and offsets stay offsets.
#
# A string twice as long has the same offsets. Remember this, too, when in lesson 05 a model trained on 32 bits reads 512.
#
# On a board it works in the same way, with an offset of rows and an offset of columns. Here is the score of the middle cell of a 9 x 9 board with every other cell:

# %%
board = torch.cartesian_prod(torch.arange(9), torch.arange(9))
board_angles = rotary_angles(board, 16)
same = random(16, seed=7).expand(81, -1)
board_scores = rotate(same, board_angles) @ rotate(same, board_angles).T
picture = {"score with the middle cell": board_scores[40].view(9, 9)}
plots.show(
    plots.heat_maps(picture, "column", "row", upwards=False, colours="viridis", square=True, size=(3.9, 3.3)),
    alt="Heat map of a 9 by 9 board, brightest at the middle cell, falling off differently along rows and columns.",
    caption="What to see: if every cell holds the same vector, and queries equal keys, a cell fits itself best, and the pattern around it would be the same around any other cell.",
)
shifted = rotary_angles(board + torch.tensor([7, -3]), 16)
assert torch.allclose(rotate(same, shifted) @ rotate(same, shifted).T, board_scores, atol=1e-3)
assert board_scores[40].argmax() == 40

# %% [markdown]
# ## Who may look at whom?
#
# In the prefix-sum task a cell sees a **window** of 5 cells: itself and two neighbours on each side. As a table this is a **mask**: row $i$, column $j$ says whether cell $i$ may look at cell $j$.

# %% [markdown]
# ### Exercise 02.4 · a window on the line
#
# Difficulty 1 of 5 · about 5 minutes
#
# Return a tensor of booleans `(cells, cells)`, True where cell $i$ may look at cell $j$. `window` is an odd number, and the window is centred on the cell.
#
# <details><summary>Hint 1</summary>
#
# `place[:, None] - place` with `place = torch.arange(cells)` is the table of all offsets.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A window of 5 reaches `5 // 2` cells to each side.
#
# </details>


# %% tags=["exercise"]
@ex.window_mask
def window_mask(cells, window):
    """(cells, cells) of booleans: True where cell i may look at cell j."""
    ### BEGIN SOLUTION
    place = torch.arange(cells)
    return (place[:, None] - place).abs() <= window // 2
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert window_mask(33, 5).sum() == 5 * 33 - 6
assert ex.window_mask.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# In one loop, news travels one step of the mask. In the next loop, one more. The cells that a cell *can have heard from* after some loops are its **light cone**, a word from physics:
# no signal is faster than light, and here no signal is faster than the mask.

# %% [markdown]
# ### Exercise 02.5 · the light cone of a mask
#
# Difficulty 2 of 5 · about 8 minutes
#
# Return booleans `(cells, cells)`: entry $(i, j)$ is True if the state of cell $i$ after `loops` loops can depend on what cell $j$ held at the start. It should work for every mask, not
# only for windows.
#
# <details><summary>Hint 1</summary>
#
# After one more loop, $i$ has heard from $j$ if it may look at some cell $c$ that had heard from $j$: "some $c$ with `mask[i, c]` and `heard[c, j]`".
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# "Some $c$ with both" is what a matrix product counts: `(mask.float() @ heard.float()) > 0`. Begin with `torch.eye(cells)`: before the first loop each cell knows itself.
#
# </details>


# %% tags=["exercise"]
@ex.light_cone
def light_cone(mask, loops):
    """mask (cells, cells) of booleans, a number of loops -> (cells, cells) of booleans."""
    ### BEGIN SOLUTION
    heard = torch.eye(len(mask), dtype=torch.bool)
    for _ in range(loops):
        heard = (mask.float() @ heard.float()) > 0
    return heard
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert light_cone(window_mask(33, 5), 3)[16].nonzero().flatten().tolist() == list(range(10, 23))
assert ex.light_cone.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# > **Predict.** The answer for the last of 32 bits depends on the first bit. The bits are cells 1 to 32 (cell 0 is the mark at the beginning). In which loop can the last cell first have heard from the first bit?

# %%
mask = window_mask(33, 5)
first_contact = next(loops for loops in range(1, 33) if light_cone(mask, loops)[32, 1])
print("cell 32 can first have heard from cell 1 in loop", first_contact)
assert first_contact == 16

# %% [markdown]
# 31 cells at 2 cells a loop: 15.5, so 16 loops. Whatever the weights are, after 15 loops the last answer can be no better than a coin flip. You will hold a trained model to this at the end of the lesson.

# %% [markdown]
# ## Attention
#
# Each cell makes three vectors from its state by three matrices: a **query** (what am I looking for?), a **key** (what do I have?), a **value** (what do I say?). Cell $i$ compares its query with the keys of all the cells it may look
# at, turns the scores into weights that add up to 1, and collects the values by these weights:
#
# $$s_{ij} = \tau\,\frac{N(q_i)\cdot N(k_j)}{\sqrt{d_{\text{head}}}},\qquad w_{ij} = \frac{e^{s_{ij}}}{\sum_{j'} e^{s_{ij'}}},\qquad o_i = \sum_j w_{ij}\,v_j.$$
#
# The norms $N$ on query and key (without gains) are what sets this apart from the attention of 2017, and $\tau$ is the head's temperature, a learned number, 1 at the start. Masked cells get $s_{ij}=-\infty$, hence weight 0.

# %% [markdown]
# ### Exercise 02.6 · attention with normalized queries and keys
#
# Difficulty 3 of 5 · about 12 minutes
#
# `q`, `k`, `v` are `(batch, heads, cells, head_width)`, `temperature` is `(heads, 1, 1)`, `mask` is booleans that fit `(cells, cells)`, or `None`. Write the softmax out, do not call PyTorch's attention: it is what you
# are checked against. About five lines.
#
# <details><summary>Hint 1</summary>
#
# `rms_norm(q, 1.0)` normalizes without gains. `q @ k.mT` is the table of all scores: `.mT` swaps the last two axes.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `scores.masked_fill(~mask, float("-inf"))` before `.softmax(-1)`.
#
# </details>


# %% tags=["exercise"]
@ex.attend
def attend(q, k, v, temperature, mask=None):
    """q, k, v (batch, heads, cells, head_width) -> the same shape."""
    ### BEGIN SOLUTION
    q, k = rms_norm(q, 1.0), rms_norm(k, 1.0)
    scores = temperature * (q @ k.mT) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
parts = [random(1, 2, 5, 6, seed=seed) for seed in range(3)]
theirs = F.scaled_dot_product_attention(rms_norm(parts[0], 1.0), rms_norm(parts[1], 1.0), parts[2])
assert torch.allclose(attend(*parts, torch.ones(2, 1, 1)), theirs, atol=1e-5)
assert ex.attend.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# Against PyTorch's `scaled_dot_product_attention`, which does the same on queries and keys that are normalized beforehand:

# %%
q, k, v = (random(2, 4, 33, 16, seed=seed) for seed in range(3))
temperature = torch.tensor([0.5, 1.0, 1.5, 2.0]).view(4, 1, 1)
theirs = F.scaled_dot_product_attention(rms_norm(q, 1.0) * temperature, rms_norm(k, 1.0), v, attn_mask=mask)
print(f"largest difference {float((attend(q, k, v, temperature, mask) - theirs).abs().max()):.0e}")
assert torch.allclose(attend(q, k, v, temperature, mask), theirs, atol=1e-5)

# %% [markdown]
# What do the norms on $q$ and $k$ buy? A normalized vector has length $\sqrt{d_{\text{head}}}$, so no score can be larger than $\tau\sqrt{d_{\text{head}}}$, here 4. Without them scores grow with the square of the state.
#
# > **Predict.** In a state that is ten times as long, queries and keys are ten times as long. What happens to the largest of each cell's attention weights?

# %%
print("longer by  mean of the largest weight:  plain   normalized")
largest = {}
for factor in (1, 10, 100):
    plain = (factor**2 * q @ k.mT / 4).masked_fill(~mask, float("-inf")).softmax(-1)
    normed = (
        (rms_norm(factor * q, 1.0) @ rms_norm(factor * k, 1.0).mT / 4).masked_fill(~mask, float("-inf")).softmax(-1)
    )
    largest[factor] = float(plain.max(-1).values.mean()), float(normed.max(-1).values.mean())
    print(f"{factor:9}{largest[factor][0]:36.2f}{largest[factor][1]:13.2f}")
assert largest[1][0] < 0.5 and largest[100][0] > 0.99, "plain attention ends up looking at a single cell"
assert abs(largest[1][1] - largest[100][1]) < 1e-3, "normalized attention does not notice"
assert (rms_norm(q, 1.0) @ rms_norm(k, 1.0).mT / 4).abs().max() <= 4

# %% [markdown]
# Plain attention on a long state looks at a single cell, and a softmax that saturated passes on next to no gradient. For a loop, whose state may grow over hundreds of loops, that is the difference between thinking and freezing.
#
# It does not matter whether you normalize before or after the rotation, for a rotation changes no length. (With a gain for each channel it would matter, as you saw.)
#
# The layer around it is bookkeeping. One matrix makes all queries, keys and values; `width` channels are cut into `heads` pieces, each head attends for itself, and a last matrix mixes what they found. Here it
# is with your functions, fed with the weights of the package's `Attention`:

# %%


def attention(z, angles, w):
    """z (batch, cells, width) -> (batch, cells, width), with the weights of an `Attention`."""
    batch, cells, width = z.shape
    q, k, v = w.qkv(z).view(batch, cells, 3, w.heads, -1).permute(2, 0, 3, 1, 4)
    mask = None if w.window is None else window_mask(cells, w.window)
    found = attend(rotate(q, angles), rotate(k, angles), v, w.temperature, mask)
    return w.out(found.transpose(1, 2).reshape(batch, cells, width))


torch.manual_seed(0)
layer = Attention(64, heads=4, window=5).requires_grad_(False)
z, angles = random(2, 33, 64), rotary_angles(torch.arange(33)[:, None], 16)
print(
    f"largest difference from the package's Attention {float((attention(z, angles, layer) - layer(z, angles)).abs().max()):.0e}"
)
assert torch.allclose(attention(z, angles, layer), layer(z, angles), atol=1e-5)

# %% [markdown]
# The package's version never writes down the 33 x 33 table: it looks at the 5 places of the window only, so its cost grows with the length of the string and not with its square. The results agree.

# %% [markdown]
# ## Each cell for itself
#
# The second branch is a small network that acts on every cell alone, with the same weights: up to four times the width, a bend, and down again.
# The bend is GELU, $x\,\Phi(x)$, where $\Phi(x)$ is the probability that a standard normal number is below $x$: almost 0 for very negative $x$, almost $x$ for positive ones.

# %%


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def mlp(z, w):
    """z (..., width) -> (..., width), with the weights of an `MLP`."""
    return w.down(gelu(w.up(z)))


small = MLP(64).requires_grad_(False)
theirs = torch.nn.Sequential(small.up, torch.nn.GELU(), small.down)
assert torch.allclose(mlp(z, small), theirs(z), atol=1e-5) and torch.allclose(mlp(z, small), small(z), atol=1e-5)
assert torch.allclose(mlp(z, small)[:, 7], mlp(z[:, 7], small), atol=1e-5), "a cell on its own gets the same"
print("the MLP agrees with PyTorch's, and with the package's")

# %% [markdown]
# ## The block
#
# You have all parts. Look back at the picture: attention leaves the stream and is added to it, then a norm; the MLP leaves the stream, is added, then a norm.

# %% [markdown]
# ### Exercise 02.7 · the block
#
# Difficulty 2 of 5 · about 8 minutes
#
# `w` is a `Block` of the package that you use as a box of weights: `w.attention` and `w.mlp` for your functions `attention` and `mlp`, `w.norm_out[0].gain` and `w.norm_out[1].gain` for your `rms_norm`. Two lines will do.
#
# <details><summary>Hint 1</summary>
#
# $z \leftarrow N(z + F(z))$, once with attention for $F$, once with the MLP. The MLP reads the *new* $z$.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `z = rms_norm(z + attention(z, angles, w.attention), w.norm_out[0].gain)`.
#
# </details>


# %% tags=["exercise"]
@ex.block
def block(z, angles, w):
    """One loop: z (batch, cells, width) -> (batch, cells, width)."""
    ### BEGIN SOLUTION
    z = rms_norm(z + attention(z, angles, w.attention), w.norm_out[0].gain)
    return rms_norm(z + mlp(z, w.mlp), w.norm_out[1].gain)
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
weights = Block(32, "none", "post", heads=4).requires_grad_(False)
state, turn = random(1, 6, 32), rotary_angles(torch.arange(6)[:, None], 8)
assert torch.allclose(block(state, turn, weights), weights(state, None, turn), atol=1e-5)
assert ex.block.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# Two lines for the block, five for attention inside a head, five for the layer around it: not much more than ten lines, and there is nothing else in it.
#
# ## The loop
#
# And the loop is a `for`. Against the package's own model, with the same weights, over 30 loops:


# %%
@torch.no_grad()
def think(z, angles, w, loops):
    for _ in range(loops):
        z = block(z, angles, w)
    return z


untrained.requires_grad_(False)
mine = think(h, angles, untrained.blocks[0], 30)
*_, theirs = untrained.states(x, 30)
print(f"after 30 loops the largest difference is {float((mine - theirs).abs().max()):.0e}")
assert torch.allclose(mine, theirs, atol=1e-3)

# %% [markdown]
# Does news really travel as the light cone says? Nudge what a cell holds at the start, and ask how much the middle cell feels of it some loops later. That is a derivative, and
# PyTorch has it: of the state of cell 20 after $t$ loops, by the start of every cell.
#
# > **Predict.** Draw it: 41 cells to the right, loops downwards. Where is it exactly zero? Is it equally strong everywhere else?

# %%
start, line = random(1, 41, 64, seed=8).requires_grad_(), rotary_angles(torch.arange(41)[:, None], 16)
direction = random(64, seed=9)
z, felt = start, []
for _ in range(8):
    z = block(z, line, block_0)
    (gradient,) = torch.autograd.grad((z[0, 20] * direction).sum(), start, retain_graph=True)
    felt.append(gradient[0].norm(dim=-1))
felt = torch.stack(felt)
effect, t = {"log10 of the effect on cell 20": felt.log10().where(felt > 0, float("nan"))}, torch.arange(10)
cone = {name: [(20.5 + 2 * t, t + 0.5), (19.5 - 2 * t, t + 0.5)] for name in effect}
plots.show(
    plots.heat_maps(effect, "start of cell", "loops", corner=(0, 1), upwards=False, colours="viridis", paths=cone),
    alt="Heat map of 41 cells against 8 loops: a triangle opening downwards from cell 20, bounded by dashed lines of two cells a loop; grey, exactly zero, outside; brightest in the middle.",
    caption="What to see: outside the dashed cone, two cells a loop, the effect is exactly zero (grey). Inside it is strongest near the middle: at initialization, news from the edge of the cone counts less than a millionth of what the cell itself holds.",
)

# %% tags=["claims"]
# Check the claims: zero outside the cone, not zero inside, and weaker at its edge
line_mask = window_mask(41, 5)
for loops in range(1, 9):
    assert torch.equal(felt[loops - 1] > 0, light_cone(line_mask, loops)[20])
edge = max(float(felt[7, 4]), float(felt[7, 36]))
print(f"after 8 loops: {float(felt[7, 20]):.1f} from the cell itself, {edge:.0e} at most from the edge of the cone")
assert felt[7, 20] > 1e6 * edge and int(felt[7].argmax()) == 20

# %% [markdown]
# ## Parameters and work
#
# Now the comparison that made people loop transformers in the first place. On one side a stack of 30 different blocks, an ordinary transformer. On the other side one block, 30 times.

# %% [markdown]
# ### Exercise 02.8 · 30 loops against 30 layers
#
# Difficulty 2 of 5 · about 8 minutes
#
# Count the trainable numbers of `layers` blocks like yours. If they are `shared`, they are all the same block. A block has:
#
# - attention: matrices for queries, keys, values and the output, each `width` x `width`, without biases, and a temperature for each head;
# - MLP: two matrices, `width` x `mlp_ratio * width` and back, each *with* a bias;
# - two norms with a gain for each channel.
#
# <details><summary>Hint 1</summary>
#
# The heads share the width among them, so the four matrices do not depend on the number of heads.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A matrix that leads from $a$ to $b$ channels has $ab$ numbers, and its bias has $b$.
#
# </details>


# %% tags=["exercise"]
@ex.parameters
def parameters(width, heads, layers, shared, mlp_ratio=4):
    """The number of trainable numbers, an int."""
    ### BEGIN SOLUTION
    attention = 4 * width * width + heads
    mlp = 2 * mlp_ratio * width * width + mlp_ratio * width + width
    norms = 2 * width
    return (attention + mlp + norms) * (1 if shared else layers)
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert parameters(32, 2, 3, False) == 3 * count_parameters(Block(32, "none", "post", heads=2))
assert ex.parameters.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# > **Predict.** How do the two compare in *work*, that is, in the multiplications for one answer?


# %%
def work(depth, shared):
    """Multiplications for one string, in millions, counted by PyTorch."""
    model = LoopedTransformer(3, 2, blocks=1 if shared else depth, recall="none", norm="post", heads=4, window=5)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x[:1], loops=depth if shared else 1)
    return counter.get_total_flops() / 2e6  # a multiplication and an addition each


depths, kinds = [1, 5, 10, 20, 30], {"one block, looped": True, "a stack, unshared": False}
counts = {name: (depths, [parameters(64, 4, depth, shared) for depth in depths]) for name, shared in kinds.items()}
amounts = {name: (depths, [work(depth, shared) for depth in depths]) for name, shared in kinds.items()}
titles = ["parameters in the blocks", "multiplications for one string, millions"]
plots.show(
    plots.lines([counts, amounts], "depth (loops or layers)", title=titles, log=["y", ""]),
    alt="Two panels against depth. Parameters: flat for the looped block, rising to 1.5 million for the stack. Multiplications: the same rising line for both.",
    caption="What to see: on the left the two part by a factor of 30. On the right they lie on top of each other: a loop costs what a layer costs.",
)

# %% tags=["claims"]
# Check the claims
(_, looped), (_, stacked) = counts.values()
print(
    f"parameters {looped[-1]:,} against {stacked[-1]:,}; millions of multiplications {[w for _, w in amounts.values()]}"
)
assert (looped[-1], stacked[-1]) == (49_604, 1_488_120) == (stacked[0], 30 * looped[0])
assert amounts["one block, looped"] == amounts["a stack, unshared"]
stack_of_five = LoopedTransformer(3, 2, blocks=5, recall="none", norm="post", heads=4, window=5)
assert count_parameters(stack_of_five.blocks) == stacked[1] == 5 * looped[0]

# %% [markdown]
# A thirtieth of the parameters, the same work. What do you give up, and what do you get?
#
# - A stack can do everything a loop of the same depth can, for nothing forbids its layers to be equal. The loop is the *smaller* family of functions. That is a promise only if the problem has a procedure
#   that repeats.
# - A stack of 30 layers has 30 layers. A loop can go on to 31, or 1,000. Whether anything good comes of it is the question of this course.
# - In training, both keep the same intermediate results for the gradient, so a loop saves memory on weights and optimizer, not on activations. Lesson 04 comes back to this.

# %% [markdown]
# ## Your block, trained
#
# Here are the weights of a model that comes with the course. It has one thing more than your block: before every loop it mixes the input back in, $z \leftarrow W_z z + W_h h$. That is called *external recall*, and lesson 03 is
# about it; for now it is one line. All the rest is yours.
#
# It was trained with up to 20 loops. You run it on 500 strings of 32 bits and ask after every loop: how often is the *last* bit of the answer right? And how often all of them?
#
# > **Predict.** Draw the two curves for loops 1 to 30, with what you know about the light cone.

# %%
trained = load_pretrained("prefix-sums-external-post-seed0").requires_grad_(False)
bits, target = task.batch(500, 32, torch.Generator().manual_seed(1))
w, h_trained = trained.blocks[0], trained.encode(bits)
z, last, every = h_trained, {}, {}
for loop in range(1, 31):
    z = block(w.recall(z, w.recalled(h_trained)), angles_33, w)
    right = trained.read_out(z).argmax(-1) == target
    last[loop], every[loop] = right[:, -1], right[:, 1:].all(1)
plots.show(
    plots.accuracy_curves(
        {"last bit": last, "all 32 bits": every},
        log=False,
        chance=0.5,
        trained=20,
        y_label="share of 500 strings",
        marks={"light cone": first_contact},
    ),
    alt="Accuracy against loops: the last bit stays at one half until loop 15, then jumps to one at about loop 17; all 32 bits rise from zero to one at the same place.",
    caption="What to see: up to loop 15 the last bit is a coin flip, as it must be. Then the news arrives. Shaded: Wilson's 95% interval.",
)

# %% tags=["claims"]
# Check the claims: a coin flip inside the cone (4 standard errors of 500 flips are 0.09), nearly always right soon after it, and the package's own model agrees
for loop in (8, 12, 15, 16, 17, 20, 30):
    print(
        f"loop {loop:2}: last bit {float(last[loop].float().mean()):.3f}, all bits {float(every[loop].float().mean()):.3f}"
    )
assert all(abs(float(last[loop].float().mean()) - 0.5) < 0.09 for loop in range(1, 16))
assert (
    last[18].float().mean() > 0.9
    and last[20].float().mean() > 0.95
    and every[20].float().mean() > 0.95
    and every[30].float().mean() > 0.95
)
*_, theirs = trained.states(bits[:20], 30)
assert torch.allclose(z[:20], theirs, atol=1e-2)

# %% [markdown]
# No training can beat the cone, and this model comes close to it: soon after the news can be there, it is used. (One model, one seed.)
#
# **What is known, measured, guessed.** That RoPE's scores depend on offsets alone, that the cone bounds every model, and that loops and layers cost the same work are facts you can prove, and here you checked them. That the trained model reaches the cone
# within four loops was measured on one model. That per-channel gains would hurt at 512 bits is a guess from the formula: the course did not train one to see. It would make a good capstone.

# %% [markdown]
# ## Recap
#
# - The state is `(batch, cells, width)`; attention moves news between cells, the MLP works on each cell alone.
# - RMSNorm keeps a vector's direction and forgets its length: $N(cz) = N(z)$, hence $Jz = 0$. Without it a loop explodes.
# - RoPE turns queries and keys by their positions, and scores depend on offsets alone; a gain for each channel after the rotation would break this, a temperature for each head does not.
# - Normalized queries and keys bound the scores by $\tau\sqrt{d_{\text{head}}}$, however long the state gets.
# - A mask implies a light cone: at two cells a loop, 32 bits need 16 loops.
# - 30 loops and 30 layers do the same work; the loops need a thirtieth of the parameters.
#
# ## Self-test
#
# **1.** You replace the window of 5 by a window of 9. What changes in the number of parameters, and what in the least number of loops for 32 bits?
#
# <details><summary>Answer</summary>
#
# The parameters stay the same: a mask has none, and neither has RoPE. News travels 4 cells a loop instead of 2, so the last cell can hear from the first bit in loop 8 (31 / 4, rounded up) instead of 16.
#
# </details>
#
# **2.** A colleague normalizes $q$ and $k$ *before* the rotation, without gains. Does anything change? And with a gain for each channel before the rotation?
#
# <details><summary>Answer</summary>
#
# Nothing changes without gains: a rotation does not change a length, so normalizing before or after gives the same. With gains before the rotation the scores still depend on offsets alone: the gained vector is just another query, and the rotation
# comes last. It is gains *after* the rotation that let absolute positions in.
#
# </details>
#
# **3.** Why does the length of the state after a loop of your block tell you nothing about the input?
#
# <details><summary>Answer</summary>
#
# The last thing that a loop does is to normalize. Every cell's vector then has the same root mean square (before the gains), whatever came in. All that the block can say, it says by directions.
#
# </details>
#
# ## Further reading
#
# - B. Zhang, R. Sennrich, *Root Mean Square Layer Normalization*, NeurIPS 2019: RMSNorm.
# - J. Su and others, *RoFormer: Enhanced Transformer with Rotary Position Embedding*, arXiv 2104.09864.
# - A. Henry and others, *Query-Key Normalization for Transformers*, Findings of EMNLP 2020.
# - A. Vaswani and others, *Attention Is All You Need*, NeurIPS 2017, whose block is the one with the norm outside.
# - `looped_lite/blocks.py`: all of this in about 220 lines, windowed attention in linear time included.

# %%
report(ex)

# %% [markdown]
# Next: **03 · recall and normalization**, where the input comes back into the loop, and the norm moves.
