"""The exercises of lesson 01, fixed points."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..fixed_points import Map, iterate
from ..fixed_points import residual as package_residual
from . import Exercise, Mistake, expect, unchanged

double = torch.float64

# ---------------------------------------------------------------- 01.1


def orbit(f: Map, z: Tensor, loops: int) -> Tensor:
    """The course's own answer: z and the states after 1, ..., loops applications, (loops + 1, batch, ...)."""
    return iterate(f, z, loops, keep=True).states


def check_orbit(f: Callable) -> None:
    z = torch.tensor([[1.0], [2.0]], dtype=double)
    halve = lambda z: z / 2 + 1
    right = torch.stack([z, halve(z), halve(halve(z)), halve(halve(halve(z)))])
    kept = z.clone()
    got = f(halve, z, 3)
    unchanged(kept, z, "the start z")
    if type(got) in (list, tuple) and len(got) == 4:
        raise Mistake("orbit: the states are there, but as a list; stack them into one tensor with torch.stack.")
    expect(
        got,
        right,
        "orbit of z/2 + 1 from two starts, 3 loops",
        mistakes={
            "the start itself is missing; it belongs in row 0": right[1:],
            "one state is missing; `loops` applications of f give loops + 1 states": right[:-1],
            "this is the last state only; the orbit holds all of them": right[-1],
            "you made one state too many; apply f `loops` times": torch.cat([right, halve(right[-1:])]),
            "the loops should come first: (loops + 1, batch, ...)": right.transpose(0, 1),
            "every row is the same; did you apply f to the new state each time?": torch.stack([z] * 4),
            "every row after the first is f(z) of the start; apply f to the newest state": torch.stack(
                [z, halve(z), halve(z), halve(z)]
            ),
        },
    )
    expect(f(halve, z, 0), z[None], "an orbit of 0 loops (the start alone)")


# ---------------------------------------------------------------- 01.2


def check_residual(f: Callable) -> None:
    z = torch.tensor([[3.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=double)
    shift = lambda z: z + torch.tensor([3.0, 4.0], dtype=double)
    moved, size, before = torch.full((3,), 5.0, dtype=double), shift(z).norm(dim=1), z.norm(dim=1)
    kept = z.clone()
    got = f(shift, z)
    unchanged(kept, z, "the state z")
    expect(
        got,
        moved,
        "residual of three states that a map moves by (3, 4)",
        mistakes=[
            ("one number for the whole batch; every instance has its own residual", moved.norm()),
            ("one number for the whole batch; every instance has its own residual", moved.mean()),
            ("these are differences for each entry; take the length of each state's difference", shift(z) - z),
            ("this is the square of the length; take the root", moved**2),
            ("this adds the absolute values; the length of (3, 4) is the root of 9 + 16", moved + 2),
            ("this is the relative residual, and relative=False was asked for", moved / size),
            ("this is the relative residual (by |z|), and relative=False was asked for", moved / before),
        ],
    )
    expect(
        f(shift, z, relative=True),
        moved / size,
        "residual with relative=True",
        mistakes={
            "this is the absolute residual; divide by the length of f(z)": moved,
            "you divide by |z|, the length before the step; the course divides by |f(z)|": moved / before,
            "you divide by the length of the whole batch; each state has its own": moved / shift(z).norm(),
        },
    )
    cells = torch.randn(2, 3, 4, dtype=double)
    expect(
        f(lambda z: 2 * z, cells),
        cells.flatten(1).norm(dim=1),
        "residual of states of shape (2, 3, 4) under z -> 2z",
        mistakes=[
            (
                "a state is everything after the batch dimension, as one long vector: flatten(1) first",
                cells.norm(dim=dim),
            )
            for dim in (1, 2)
        ],
    )


# ---------------------------------------------------------------- 01.3


def settles(f: Map, z: Tensor, loops: int = 1000, tol: float = 1e-8) -> Tensor:
    """The course's own answer: (batch,) bool, does loop number ``loops`` move the state by no more than ``tol``?"""
    return package_residual(f, iterate(f, z, loops).z) <= tol


def check_settles(f: Callable) -> None:
    starts = torch.tensor([[0.3], [0.6]], dtype=double)

    def ask(what: str, g: Map, right: list[bool], z: Tensor = starts, hint: str = "", **options: float) -> None:
        got = f(g, z.clone(), **options)
        if type(got) is bool or (type(got) is Tensor and got.ndim == 0):
            raise Mistake(
                f"{what}: one verdict for the whole batch; return one for each start, a bool tensor of shape (batch,)."
            )
        if type(got) in (list, tuple):
            got = torch.tensor(got)
        if type(got) is Tensor and got.shape == (len(z), 1):
            raise Mistake(
                f"{what}: shape {tuple(got.shape)}; return one verdict for each start, (batch,), not for each number."
            )
        expect(got, torch.tensor(right), what, mistakes={hint: ~torch.tensor(right)} if hint else {})

    ask("cos", torch.cos, [True, True])
    ask(
        "2 cos",
        lambda z: 2 * torch.cos(z),
        [False, False],
        hint="its slope at the fixed point is -1.7, so it never stops moving",
    )
    ask("logistic, r = 2.8", lambda z: 2.8 * z * (1 - z), [True, True])
    ask(
        "logistic, r = 3.2",
        lambda z: 3.2 * z * (1 - z),
        [False, False],
        hint="its end is a cycle of two values, not one",
    )
    ask("logistic, r = 3.9", lambda z: 3.9 * z * (1 - z), [False, False], hint="it is chaotic and never stops")
    ask(
        "drift, z -> z + 1, with tol=1e-2",
        lambda z: z + 1,
        [False, False],
        hint="its relative step falls like 1/t, but it moves by 1 for ever; use the absolute residual",
        tol=1e-2,
    )
    ask(
        "drift, z -> z + 0.001",
        lambda z: z + 0.001,
        [False, False],
        hint="it moves by a small step, and never a smaller one; compare the step with tol, whose default is 1e-8",
    )
    two_ends = torch.tensor([[0.1], [1.9]], dtype=double)
    ask("z^2 from 0.1 and 1.9", lambda z: z**2, [True, False], two_ends, "from 0.1 it ends at 0, from 1.9 it overflows")
    ask(
        "half of z with loops=3 (from 0.3, three loops are not enough)",
        lambda z: z / 2,
        [False, False],
        hint="do you use the argument loops?",
        loops=3,
    )
    ask(
        "half of z with tol=0.1 and loops=3",
        lambda z: z / 2,
        [True, True],
        hint="do you use the argument tol?",
        loops=3,
        tol=0.1,
    )


# ---------------------------------------------------------------- 01.4


def spectral_radius(product: Callable[[Tensor], Tensor], v: Tensor, steps: int = 400) -> Tensor:
    """The course's own answer: the geometric mean of the growth of v over the second half of the steps."""
    v, logs = v / v.norm(), []
    for _ in range(steps):
        v = product(v)
        size = v.norm()
        v = v / size
        logs.append(size.log())
    return torch.stack(logs[steps // 2 :]).mean().exp()


def check_spectral_radius(f: Callable) -> None:
    def ask(what: str, A: Tensor, right: float, mistakes: Any, tol: float = 0.02, seed: int = 0) -> None:
        v = torch.randn(len(A), generator=torch.Generator().manual_seed(seed), dtype=double)
        kept = v.clone()
        got = f(lambda v: A @ v, v)
        unchanged(kept, v, "the start vector v")
        if type(got) in (float, Tensor) and math.isnan(got):
            raise Mistake(
                f"{what}: NaN. Do you rescale v? After hundreds of products it is 0, or infinite, to the computer: "
                "divide it by its length at every step."
            )
        expect(got, right, what, mistakes, tol)

    ask(
        "spectral_radius of a diagonal matrix with entries -0.5, 0.2, 0.1",
        torch.diag(torch.tensor([-0.5, 0.2, 0.1], dtype=double)),
        0.5,
        {
            "this is the eigenvalue with its sign; the radius is its modulus": -0.5,
            "this is v shrunk to nothing; measure how much a vector of length 1 grows, step by step": 0.0,
        },
    )
    ask(
        "spectral_radius of [[1, 1], [0, 3]]",
        torch.tensor([[1.0, 1.0], [0.0, 3.0]], dtype=double),
        3.0,
        {"this is infinite: rescale v at every step": math.inf},
    )
    # a complex pair in a skew basis: the growth of v swings for ever and only its mean over many steps is the radius
    turn = 0.9 * torch.tensor([[math.cos(1), -3 * math.sin(1)], [math.sin(1) / 3, math.cos(1)]], dtype=double)
    for seed in range(3):
        w, swing = torch.randn(2, generator=torch.Generator().manual_seed(seed), dtype=double), []
        for _ in range(401):
            swing.append(float((turn @ w).norm() / w.norm()))
            w = turn @ w / w.norm()
        ask(
            "spectral_radius of a matrix whose leading eigenvalues are a complex pair of modulus 0.9",
            turn,
            0.9,
            [
                (
                    "factors multiply, so their mean is the geometric one: the mean of their logarithms, then exp",
                    sum(swing[200:400]) / 200,
                ),
                *(
                    ("here the growth swings for ever: take its geometric mean over many steps, not the last one", last)
                    for last in swing[380:]
                ),
            ],
            seed=seed,
        )
    slow = torch.tensor([[0.9, 50.0], [0.0, 0.8]], dtype=double)
    ask("spectral_radius of [[0.9, 50], [0, 0.8]], which grows before it decays", slow, 0.9, {}, tol=0.03)


# ---------------------------------------------------------------- 01.5


def multipliers(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The course's own answer: by how much one loop multiplies a small change of z, for internal and for external recall."""
    return 1 + x * y, (1 + y) * x


def check_multipliers(f: Callable) -> None:
    x, y = torch.meshgrid(torch.linspace(-2, 2, 5, dtype=double), torch.linspace(-2, 2, 5, dtype=double), indexing="ij")
    right = (1 + x * y, (1 + y) * x)
    got = f(x, y)
    if type(got) not in (tuple, list) or len(got) != 2:
        raise Mistake("multipliers: expected two tensors, (internal, external).")
    expect(
        got[0],
        right[0],
        "the internal multiplier, d(z + y (x z + h)) / dz",
        mistakes={
            "these two are in the wrong order: internal first": right[1],
            "the stream itself is missing: the loop keeps z and adds y (x z + h)": x * y,
            "take the multiplier itself; its absolute value comes later": right[0].abs(),
            "the branch gain y multiplies x z, it is not added": 1 + x + y,
        },
    )
    expect(
        got[1],
        right[1],
        "the external multiplier, d((1 + y) (x z + h)) / dz",
        mistakes={
            "the state passes through x first, then through stream and branch together: (1 + y) times x": x + y,
            "that is 1 + xy again; here x multiplies the stream too": right[0],
            "the stream is missing: after recall, w + y w = (1 + y) w": x * y,
            "take the multiplier itself; its absolute value comes later": right[1].abs(),
        },
    )
    expect(f(1.0, 0.0), (1.0, 1.0), "both multipliers at initialization, x = 1 and y = 0")


orbit = Exercise("01.1", "the orbit of a map", orbit, check_orbit, seen="Iteration is this, whatever the map.")
residual = Exercise(
    "01.2",
    "residual, absolute and relative",
    package_residual,
    check_residual,
    seen="At a fixed point both are 0; far from one they tell different stories, as you see next.",
)
settles = Exercise(
    "01.3",
    "does it settle?",
    settles,
    check_settles,
    seen="cos settles, 2 cos does not, and a drift is not fooled by its own length any more.",
)
spectral_radius = Exercise(
    "01.4",
    "spectral radius by power iteration",
    spectral_radius,
    check_spectral_radius,
    seen="It never saw the matrix, only products with it: that is why it also works on a transformer.",
)
multipliers = Exercise(
    "01.5",
    "two scalar loops and their multipliers",
    multipliers,
    check_multipliers,
    seen="Both are 1 at initialization: a loop is born on the edge.",
)
