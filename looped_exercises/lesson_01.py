"""The exercises of lesson 01, fixed points."""

import math
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from looped_lite.fixed_points import iterate
from looped_lite.fixed_points import residual as package_residual

from . import Case, Exercise, Mistake, Named, after

double = torch.float64
THINGS = {
    "cos": lambda: torch.cos,
    "square": lambda: torch.square,
    "affine": lambda factor, shift: lambda z: factor * z + shift,
    "steep cosine": lambda: lambda z: 2 * torch.cos(z),
    "logistic": lambda r: lambda z: r * z * (1 - z),
    "linear": lambda A: lambda z: z @ A.T,
}
define = partial(Exercise, things=THINGS)


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=double)


# ---------------------------------------------------------------- 01.1 the orbit of a map


def states(f, z, loops):
    """The start and the states after 1, ..., loops loops, as a list."""
    found = [z]
    for _ in range(loops):
        found.append(f(found[-1]))
    return found


def orbit_cases(generator):
    z, wide, halve = draw(generator, 2, 1), draw(generator, 3, 2, 2), Named("affine", 0.5, 1.0)
    return [
        Case("the orbit of z/2 + 1 from two starts, 3 loops", halve, z, 3),
        Case("the orbit of cos from three starts of shape (2, 2), 5 loops", Named("cos"), wide, 5),
        Case("the same for 40 loops, though it settles before", Named("cos"), wide, 40),
        Case("an orbit of 0 loops (the start alone)", halve, z, 0),
    ]


stacked = after(states, torch.stack)
orbit = define(
    "01.1", "the orbit of a map", lambda f, z, loops: iterate(f, z, loops, keep=True).states, orbit_cases, tol=1e-9,
    atol=1e-9,
    seen="Iteration is this, whatever the map.",
    styles=[stacked, after(states, lambda s: torch.cat([state[None] for state in s]))],
    mistakes=[
        Mistake("the start itself is missing; it belongs in row 0",
                after(stacked, lambda s: s[1:]), lambda f, z, loops: stacked(f, f(z), loops - 1)),
        Mistake("one state is missing; `loops` applications of f give loops + 1 states",
                after(stacked, lambda s: s[:-1])),
        Mistake("the start stands there twice, and the last state is missing: apply f first, then append",
                after(stacked, lambda s: torch.cat([s[:1], s[:-1]]))),
        Mistake("the last row is still 0: fill rows 1 to loops, with range(1, loops + 1)",
                after(stacked, lambda s: torch.cat([s[:-1], 0 * s[-1:]]))),
        Mistake("you made one state too many; apply f `loops` times", lambda f, z, loops: stacked(f, z, loops + 1)),
        Mistake("this is the last state only; the orbit holds all of them", after(states, lambda s: s[-1])),
        Mistake("the states are there, but as a list; stack them into one tensor with torch.stack", states),
        Mistake("torch.cat makes the batch longer; torch.stack gives the loops a dimension of their own",
                after(states, torch.cat)),
        Mistake("the loops should come first: (loops + 1, batch, ...)",
                *(after(states, partial(torch.stack, dim=dim)) for dim in (1, -1))),
        Mistake("the states stand in the wrong order; the start comes first", after(stacked, lambda s: s.flip(0))),
        Mistake("every row is the start; append what f gives", after(states, lambda s: torch.stack(s[:1] * len(s)))),
        Mistake("every row is the last state; make a new tensor at each loop, do not change the same one in place",
                after(states, lambda s: torch.stack(s[-1:] * len(s)))),
        Mistake("every row after the first is f(z) of the start; apply f to the newest state",
                lambda f, z, loops: torch.stack([z] + [f(z)] * loops)),
        Mistake("the next state is f(z) itself; here the old one is added, or subtracted",
                *(lambda f, z, loops, s=s: stacked(lambda u: f(u) + s * u, z, loops) for s in (1, -1))),
        Mistake("f is applied once for each row, and not twice",
                lambda f, z, loops: stacked(lambda u: f(f(u)), z, loops)),
        Mistake("each next state is f of the one before alone: the start is not added again",
                lambda f, z, loops: stacked(lambda u: z + f(u), z, loops)),
        Mistake("half of the digits are lost: leave the states in the dtype of z, float64",
                lambda f, z, loops: stacked(f, z.float(), loops), after(stacked, Tensor.float)),
        Mistake("f must be applied `loops` times, not always 3 times", lambda f, z, loops: stacked(f, z, 3)),
        Mistake("this is the first instance alone; keep the whole batch", lambda f, z, loops: stacked(f, z[:1], loops),
                lambda f, z, loops: stacked(f, z[0], loops)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 01.2 residual, absolute and relative


def residual_cases(generator):
    z, cells, shift = draw(generator, 3, 2), draw(generator, 2, 3, 4), torch.tensor([3.0, 4.0], dtype=double)
    moves, twice = Named("affine", 1.0, shift), Named("affine", 2.0, 0.0)
    return [
        Case("residual of three states that a map moves by (3, 4)", moves, z),
        Case("the same with relative=True", moves, z, relative=True),
        Case("residual of states of shape (2, 3, 4) under z -> 2z", twice, cells),
        Case("the same with relative=True", twice, cells, relative=True),
        Case("residual of states that move by a hundred-thousandth", Named("affine", 1 + 1e-5, 0.0), z),
    ]


def flat(z):
    return z.flatten(1).norm(dim=1)


def measured(moved, size=None):
    """A residual in which ``moved`` measures the difference, and ``size`` (the same if None) what divides it."""
    return lambda f, z, relative=False: moved(f(z) - z) / ((size or moved)(f(z)) if relative else 1)


residual = define(
    "01.2", "residual, absolute and relative", measured(flat), residual_cases, tol=1e-6, atol=1e-9,
    seen="At a fixed point both are 0; far from one they tell different stories, as you see next.",
    styles=[package_residual, measured(lambda z: torch.stack([state.square().sum() ** 0.5 for state in z])),
            after(measured(flat), lambda sizes: [float(size) for size in sizes])],
    mistakes=[
        Mistake("one number for the whole batch; every instance has its own residual", measured(torch.norm),
                after(measured(flat), torch.mean), after(measured(flat), torch.max)),
        Mistake("you divide by the length of the whole batch; each state has its own", measured(flat, torch.norm)),
        Mistake("these are differences for each entry; take the length of each state's difference",
                measured(torch.abs), lambda f, z, relative=False: f(z) - z),
        Mistake("this is the square of the length; take the root", measured(lambda z: flat(z) ** 2)),
        Mistake("this is the mean of the absolute values; the length of (3, 4) is the root of 9 + 16",
                measured(lambda z: z.flatten(1).abs().mean(1))),
        Mistake("this adds the absolute values; the length of (3, 4) is the root of 9 + 16",
                measured(lambda z: z.flatten(1).abs().sum(1))),
        Mistake("this is the largest entry; the length of (3, 4) is the root of 9 + 16",
                measured(lambda z: z.flatten(1).abs().amax(1))),
        Mistake("this is the root of the mean of the squares; the length has their sum",
                measured(lambda z: z.flatten(1).square().mean(1).sqrt())),
        Mistake("a state is everything after the batch dimension, as one long vector: flatten(1) first",
                measured(lambda z: z.norm(dim=1)), measured(lambda z: z.norm(dim=-1))),
        Mistake("dim=0 runs over the batch; over the numbers of a state runs dim=1",
                measured(lambda z: z.flatten(1).norm(dim=0)), measured(lambda z: z.norm(dim=0))),
        Mistake("this is the difference of two lengths; take the length of the difference f(z) - z", *(
                lambda f, z, relative=False, part=part: part(flat(f(z)) - flat(z)) / (flat(f(z)) if relative else 1)
                for part in (torch.abs, torch.clone))),
        Mistake("divide by the length of f(z) alone: nothing is added to it", *(
                measured(flat, lambda z, by=by: flat(z) + by) for by in (1, 1e-3)), lambda f, z, relative=False:
                flat(f(z) - z) / (flat(f(z)) + flat(z) if relative else 1)),
        Mistake("divide one length by the other, and not entry by entry before",
                lambda f, z, relative=False: flat((f(z) - z) / (f(z) if relative else 1))),
        Mistake("relative=True asks for the relative residual: divide by the length of f(z)",
                lambda f, z, relative=False: package_residual(f, z), lambda f, z: package_residual(f, z)),
        Mistake("this is the relative residual, and relative=False was asked for",
                lambda f, z, relative=False: package_residual(f, z, True),
                lambda f, z, relative=False: package_residual(f, z, not relative)),
        Mistake("you divide by |z|, the length before the step; the course divides by |f(z)|",
                lambda f, z, relative=False: flat(f(z) - z) / (flat(z) if relative else 1)),
        Mistake("this is the next step, from f(z) to f(f(z)); the residual is the step from z",
                lambda f, z, relative=False: package_residual(f, f(z), relative)),
        Mistake("this is the length of f(z); take that of the difference f(z) - z",
                lambda f, z, relative=False: flat(f(z))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 01.3 does it settle?


def settles_cases(generator):
    z = 0.2 + 0.1 * torch.rand(2, 1, generator=generator, dtype=double)
    column = lambda *starts: torch.tensor(starts, dtype=double)[:, None]
    half, turn = Named("affine", 0.5, 0.0), torch.tensor([[0.5, 0.0], [0.0, -1.0]], dtype=double)
    near = column(0.3, 0.6)
    return [
        Case("cos", Named("cos"), z, hint="It settles at 0.739"),
        Case("2 cos", Named("steep cosine"), z, hint="Its slope at the fixed point is -1.7, so it never stops moving"),
        Case("logistic, r = 2.8", Named("logistic", 2.8), z, hint="It settles at 1 - 1/r"),
        Case("logistic, r = 3.2", Named("logistic", 3.2), z, hint="Its end is a cycle of two values, not one"),
        Case("logistic, r = 3.9", Named("logistic", 3.9), z, hint="It is chaotic and never stops"),
        Case("drift, z -> z + 1, with tol=1e-2", Named("affine", 1.0, 1.0), z, tol=1e-2, hint="It moves by 1 for ever"),
        Case("drift, z -> z + 0.001", Named("affine", 1.0, 1e-3), z, hint="It moves by a small step, but for ever"),
        Case("z^2 from 0.1 and 1.9", Named("square"), column(0.1, 1.9), hint="From 1.9 it overflows"),
        Case("half of z from 0.3 and 0.6, loops=3, tol=0.1", half, near, loops=3, tol=0.1),
        Case("half of z from 0.3 and 0.6, loops=3, tol=0.025 (loop 4 moves them by 0.019 and 0.037)", half, near,
             loops=3, tol=0.025),
        Case("half of z from 0.3 and 0.6, loops=3, tol=0.005", half, near, loops=3, tol=0.005),
        Case("twice z from a ten-billionth, loops=60", Named("affine", 2.0, 0.0), 1e-10 * z, loops=60,
             hint="Its first steps are small, its last are not"),
        Case("half of (0.3, 0.4) and of (0.24, 0.32), loops=3, tol=0.028 (loop 4 moves them by 0.031 and 0.025)", half,
             torch.tensor([[0.3, 0.4], [0.24, 0.32]], dtype=double), loops=3, tol=0.028),
        Case("half of z, loops=3", half, z, loops=3, hint="Three loops are not enough: they leave steps of 0.01"),
        Case("a plane in which one number halves and the other changes its sign", Named("linear", turn),
             draw(generator, 3, 2)),
    ]  # fmt: skip


def settled(how, more=0):
    """Is ``how(f, z)`` at most tol, with z the state after loops + more loops? (Not so where it is NaN.)"""
    return lambda f, z, loops=1000, tol=1e-8: how(f, states(f, z, loops + more)[-1]) <= tol


def settled_together(f, z, loops=1000, tol=1e-8):
    """Wrong: stops for all as soon as one has settled."""
    left = loops
    while left and not (step(f, z) <= tol).any():
        z, left = f(z), left - 1
    return step(f, z) <= tol


step = measured(flat)
verdicts = settled(step)
settles = define(
    "01.3", "does it settle?", verdicts, settles_cases,
    seen="cos settles, 2 cos does not, and a drift is not fooled by its own length any more.",
    styles=[lambda f, z, loops=1000, tol=1e-8: iterate(f, z, loops + 1).steps[-1] < tol,
            after(verdicts, lambda found: [bool(one) for one in found])],
    mistakes=[
        Mistake("use the absolute residual; the relative one of a drift falls like 1/t, though it moves by 1 for ever",
                settled(partial(step, relative=True))),
        Mistake("one verdict for the whole batch; return one for each start, a bool tensor of shape (batch,)",
                after(verdicts, torch.all), after(verdicts, lambda found: bool(found[0])),
                after(verdicts, lambda found: found.all().expand(len(found))),
                after(verdicts, lambda found: found.any().expand(len(found))),
                settled(lambda f, z: (f(z) - z).norm())),
        Mistake("one verdict for each start, (batch,), not for each number", settled(lambda f, z: (f(z) - z).abs())),
        Mistake("a state has settled when all its numbers have; look at the length of the step",
                settled(lambda f, z: (f(z) - z).abs()[:, 0])),
        Mistake("the length of a step is the root of the sum of squares, not the largest number, the sum or the mean",
                *(settled(lambda f, z, size=size: size((z - f(z)).flatten(1).abs(), 1))
                  for size in (torch.amax, torch.sum, torch.mean))),
        Mistake("to stay bounded is not to settle: compare one more step with tol",
                lambda f, z, loops=1000, tol=1e-8: flat(iterate(f, z, loops).z) < 1e6),
        Mistake("you compare z with f(f(z)), which a cycle of two passes; take one step",
                settled(lambda f, z: flat(f(f(z)) - z))),
        Mistake("you compare the last two states of `loops` loops; does *one more* loop move the last one?",
                settled(step, -1)),
        Mistake("that is one loop too many: step number loops + 1 decides", settled(step, 1)),
        Mistake("the number of loops is an argument, `loops`",
                lambda f, z, loops=1000, tol=1e-8: verdicts(f, z, 1000, tol)),
        Mistake("the tolerance is an argument, `tol`, and its default is 1e-8",
                *(lambda f, z, loops=1000, tol=1e-8, fixed=fixed: verdicts(f, z, loops, fixed)
                  for fixed in (1e-8, 1e-6, 1e-3, 1e-2))),
        Mistake("what overflows has not settled, and its step may be NaN, which is not larger than tol either",
                lambda f, z, loops=1000, tol=1e-8: ~(step(f, states(f, z, loops)[-1]) > tol)),
        Mistake("this is True where it still moves; say where it has settled", after(verdicts, torch.logical_not),
                lambda f, z, loops=1000, tol=1e-8: step(f, states(f, z, loops)[-1]) >= tol),
        Mistake("compare the length of the step with tol, and not its square", settled(lambda f, z: step(f, z) ** 2)),
        Mistake("one small step on the way does not count; the step after `loops` loops does",
                *(lambda f, z, loops=1000, tol=1e-8, more=more: torch.stack([
                    flat(b - a) for a, b in pairwise(states(f, z, loops + more))]).amin(0) <= tol for more in (0, 1))),
        Mistake("a step down is a step: take its length, without a sign",
                *(settled(lambda f, z, size=size: size((f(z) - z).flatten(1), 1)) for size in (torch.sum, torch.amax))),
        Mistake("a verdict is True or False: return the comparison itself", after(verdicts, Tensor.long),
                lambda f, z, loops=1000, tol=1e-8: step(f, states(f, z, loops)[-1])),
        Mistake("a step that is smaller than before may still be large: compare it with tol",
                *(lambda f, z, loops=1000, tol=1e-8, n=n: step(f, states(f, z, loops)[-1]) < step(f, states(
                    f, z, loops)[n]) for n in (0, -2))),
        Mistake("this stops when one of the batch has settled; each start gets all its loops", settled_together),
        Mistake("this looks at the start; compare the last state with the one after it",
                lambda f, z, loops=1000, tol=1e-8: step(f, z) <= tol,
                lambda f, z, loops=1000, tol=1e-8: flat(iterate(f, z, loops).z - z) <= tol),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 01.4 spectral radius by power iteration


def radius_cases(generator):
    size = float(0.8 + 0.4 * torch.rand(1, generator=generator, dtype=double))
    matrix = lambda *rows: Named("linear", size * torch.tensor(rows, dtype=double))
    turn = lambda angle, skew: ((math.cos(angle), -math.sin(angle) * skew), (math.sin(angle) / skew, math.cos(angle)))
    two, slow = (
        partial(draw, generator, 2),
        "[[0.9, 5000], [0, 0.8]] times a number near 1, which grows before it decays",
    )
    pair = "a matrix whose leading eigenvalues are a complex pair"
    return [
        Case("entries near -0.5, 0.2, 0.1 on a diagonal", matrix((-0.5, 0, 0), (0, 0.2, 0), (0, 0, 0.1)),
             draw(generator, 3)),
        Case("[[1, 1], [0, 3]] times a number near 1", matrix((1, 1), (0, 3)), two()),
        *(Case(pair, matrix(*turn(angle, 2.5)), two(), within=0.01) for angle in (0.5, 1.0)),
        Case(slow, matrix((0.9, 5000), (0, 0.8)), two()),
        Case("the same in 24 steps", matrix((0.9, 5000), (0, 0.8)), two(), steps=24, within=1e-5),
    ]  # fmt: skip


def growths(product, v, steps=400, rescale=True):
    """(steps,): by how much each product made v longer."""
    found = []
    for _ in range(steps):
        w = product(v)
        found.append(w.norm() / v.norm())
        v = w / w.norm() if rescale else w
    return torch.stack(found)


def rayleigh(product, v, steps=400):
    for _ in range(steps):
        v = product(v) / v.norm()
    return v @ product(v) / (v @ v)


def divided_late(product, v, steps=400):
    found = []
    for _ in range(steps):
        w = product(v)
        found.append(w.norm().log())
        v = w / v.norm()
    return torch.stack(found[steps // 2 :]).mean().exp()


def radius_by_logarithms(product, v, steps=400):
    """Right: adds up logarithms of v's own length, as plain numbers."""
    total = 0.0
    for step in range(steps):
        v = product(v / v.norm())
        total += math.log(v.norm()) if step >= steps // 2 else 0.0
    return math.exp(total / (steps - steps // 2))


of = partial(after, growths)
late = lambda growth: growth[len(growth) // 2 :]
spectral_radius = define(
    "01.4", "spectral radius by power iteration", of(lambda g: late(g).log().mean().exp()), radius_cases, tol=3e-3,
    seen="It never saw the matrix, only products with it: that is why it also works on a transformer.",
    styles=[radius_by_logarithms, of(lambda g: late(g).prod() ** (1 / len(late(g))))],
    mistakes=[
        Mistake("you average over all steps; leave out the first half, which still remembers the start",
                of(lambda g: g.log().mean().exp())),
        Mistake("factors multiply, so their mean is the geometric one: the mean of their logarithms, then exp",
                of(lambda g: late(g).mean()), of(torch.mean)),
        Mistake("growth may swing for ever: its last value, or the median, says little; take the geometric mean",
                of(lambda g: g[-1]), of(lambda g: g[-2]), of(lambda g: late(g).median())),
        Mistake("this is the largest growth seen; take the geometric mean", of(torch.max), of(lambda g: late(g).max())),
        Mistake("v . Jv is an eigenvalue with its sign, and no use for a complex pair: measure how much longer v gets",
                rayleigh, after(rayleigh, torch.abs), lambda product, v, steps=400: torch.stack([rayleigh(
                    product, v, t).abs() for t in range(steps // 2, steps)]).mean()),
        Mistake("the growth is squared: v is divided by its own new length each time, and a length has a root",
                divided_late, of(lambda g: late(g).log().mean().exp() ** 2)),
        Mistake("this is one over the radius: growth is the new length divided by the old one",
                of(lambda g: 1 / late(g).log().mean().exp())),
        Mistake("rescale v at every step: after hundreds of products it is 0, or infinite, to the computer",
                of(lambda g: g[-1] * 0), lambda product, v, steps=400: growths(product, v, 10 * steps, False)[-1],
                lambda product, v, steps=400: late(growths(product, v, steps, False)).log().mean().exp()),
        Mistake("this is the mean of the logarithms; take exp of it", of(lambda g: late(g).log().mean())),
        Mistake("exp undoes the natural logarithm, .log(), and no other",
                *(of(lambda g, log=log: log(late(g)).mean().exp()) for log in (torch.log10, torch.log2))),
        Mistake("the logarithms are added up; take their mean before exp", of(lambda g: late(g).prod())),
        Mistake("divide by how many logarithms you added up, not by all steps",
                of(lambda g: late(g).prod() ** (1 / len(g)))),
        Mistake("this averages over the first half, which still remembers the start; keep the second half",
                of(lambda g: g[: len(g) // 2].log().mean().exp())),
        Mistake("this is the growth of the first product; repeat it `steps` times", of(lambda g: g[0])),
        Mistake("this is the length after all products; the radius is the growth of one step", of(torch.prod)),
        Mistake("this is the list of growths; return one number, their geometric mean", growths, of(list)),
        Mistake("the number of steps is an argument, `steps`; leave out half of them, however many there are",
                of(lambda g: g[200:].log().mean().exp()), of(lambda g: g[10:].log().mean().exp()),
                lambda product, v, steps=400: late(growths(product, v)).log().mean().exp()),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 01.5 two scalar loops and their multipliers


def multipliers_cases(generator):
    x, y = torch.meshgrid(*(torch.linspace(low, 2, 5, dtype=double) for low in (-2, -3)), indexing="ij")
    return [
        Case("both multipliers on a grid of x and y", x, y),
        Case("both multipliers of 7 random pairs", draw(generator, 7), draw(generator, 7)),
        Case("both multipliers at initialization, x = 1 and y = 0", 1.0, 0.0),
    ]


multipliers = define(
    "01.5", "two scalar loops and their multipliers", lambda x, y: (1 + x * y, (1 + y) * x), multipliers_cases,
    seen="Both are 1 at initialization: a loop is born on the edge.",
    styles=[lambda x, y: [y * x + 1, x + x * y], lambda x, y: (x * y + 1.0, x * (1.0 + y))],
    mistakes=[
        Mistake("these two are in the wrong order: internal first", lambda x, y: ((1 + y) * x, 1 + x * y)),
        Mistake("internal: the stream itself is missing; the loop keeps z and adds y (x z + h)",
                lambda x, y: (x * y, (1 + y) * x)),
        Mistake("take the multipliers themselves; absolute values come later",
                lambda x, y: (abs(1 + x * y), abs((1 + y) * x)), lambda x, y: (abs(1 + x * y), (1 + y) * x),
                lambda x, y: (abs(1 + x * y) < 1, abs((1 + y) * x) < 1)),
        Mistake("mind the signs: both branches are added", *(lambda x, y, s=s, t=t: (1 + s * x * y, (1 + t * y) * x)
                for s, t in ((-1, 1), (1, -1), (-1, -1)))),
        Mistake("x and y have changed places: x weights the state, y is the gain of the branch",
                lambda x, y: (1 + x * y, (1 + x) * y)),
        Mistake("internal: the branch reads x z, and not z", lambda x, y: (1 + y, (1 + y) * x)),
        Mistake("internal: the branch gain y multiplies x z, it is not added",
                lambda x, y: (1 + x + y, (1 + y) * x), lambda x, y: (x + y, (1 + y) * x),
                lambda x, y: (1 + x + y, x + y)),
        Mistake("external: z passes through x first, then through stream and branch together: (1 + y) times x",
                lambda x, y: (1 + x * y, x + y), lambda x, y: (1 + x * y, 1 + x + y)),
        Mistake("internal: that is the external one; here x stands in the branch alone",
                lambda x, y: ((1 + y) * x, (1 + y) * x)),
        Mistake("internal: x and y stand in it once each", lambda x, y: (1 + y * x * x, (1 + y) * x),
                lambda x, y: (1 + x * y * y, (1 + y) * x), lambda x, y: ((1 + x * y) ** 2, (1 + y) * x)),
        Mistake("external: (1 + y) and x stand in it once each", lambda x, y: (1 + x * y, (1 + y) ** 2 * x),
                lambda x, y: (1 + x * y, (1 + y) * x * x)),
        Mistake("this is by how much the multiplier differs from 1: the stream itself counts",
                lambda x, y: (x * y, (1 + y) * x - 1)),
        Mistake("external: that is 1 + xy again; here x multiplies the stream too",
                lambda x, y: (1 + x * y, 1 + x * y)),
        Mistake("external: the stream is missing; after recall, w + y w = (1 + y) w", lambda x, y: (1 + x * y, x * y)),
        Mistake("external: x multiplies stream and branch, (1 + y) x; you have 1 + y", lambda x, y: (1 + x * y, 1 + y)),
        Mistake("the input h is not part of a multiplier: only what stands before z",
                lambda x, y: (1 + x * y + y, (1 + y) * (x + 1))),
        Mistake("return both, (internal, external)", lambda x, y: 1 + x * y, lambda x, y: (1 + y) * x),
        Mistake("these are derivatives by another variable; differentiate by z", lambda x, y: (y, 1 + y)),
    ],
)  # fmt: skip
