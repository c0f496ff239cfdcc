"""Lesson 01's checks: wrong answers are rejected with a word about why, right ones are accepted however they are written."""

import torch
from mutants import *  # noqa: F403 - the tests, and the hook that deals out the answers
from mutants import exercises_of

from looped_lite import fixed_points as fp
from looped_lite.exercises import lesson_01 as ex

EXERCISES = exercises_of(ex)


def run_orbit(f, z, loops, keep_start=True, off=0):
    states = [z] if keep_start else []
    for _ in range(loops + off):
        z = f(z)
        states.append(z)
    return torch.stack(states)


def orbit_in_place(f, z, loops):
    states = [z.clone()]
    for _ in range(loops):
        z.copy_(f(z))
        states.append(z.clone())
    return torch.stack(states)


def run_residual(f, z, relative=False):
    moved = (f(z) - z).reshape(len(z), -1).norm(dim=1)
    return moved / f(z).reshape(len(z), -1).norm(dim=1) if relative else moved


def last_step(f, z, loops):
    for _ in range(loops):
        before, z = z, f(z)
    return before, z


def radius_by_last_growth(product, v, steps=400):
    for _ in range(steps):
        w = product(v)
        size = w.norm() / v.norm()
        v = w / w.norm()
    return size


def radius_by_arithmetic_mean(product, v, steps=400):
    growth, v = [], v / v.norm()
    for _ in range(steps):
        v = product(v)
        growth.append(v.norm())
        v = v / v.norm()
    return torch.stack(growth[steps // 2 :]).mean()


def radius_unscaled(product, v, steps=4000):
    for _ in range(steps):
        before, v = v, product(v)
    return v.norm() / before.norm()


def radius_rayleigh(product, v, steps=400):
    for _ in range(steps):
        v = product(v)
        v = v / v.norm()
    return v @ product(v)


def radius_in_place(product, v, steps=400):
    total = 0.0
    for _ in range(steps):
        v.copy_(product(v) / v.norm())
        total += v.norm().log() / steps
    return total.exp()


def radius_gelfand(product, v, steps=3000):
    """Right, written differently: rescale and add up the logarithms of all steps after a warm-up, as floats."""
    total, v = 0.0, v / v.norm()
    for step in range(steps):
        v = product(v)
        if step >= 1000:
            total += float(torch.log(v.norm()))
        v = v / v.norm()
    return torch.tensor(total / (steps - 1000)).exp().item()


def radius_two_vectors(product, v, steps=200):
    """Right, written differently: two orthonormal vectors, and the eigenvalues of the 2 x 2 matrix on their plane."""
    pair = torch.stack([v, torch.linspace(-1, 1, len(v), dtype=v.dtype)], dim=1)
    for _ in range(steps):
        Q = torch.linalg.qr(pair)[0]
        pair = torch.stack([product(Q[:, 0]), product(Q[:, 1])], dim=1)
    return torch.linalg.eigvals(Q.T @ pair).abs().max()


RIGHT = {
    "01.1": [
        run_orbit,
        lambda f, z, loops: fp.iterate(f, z, loops, keep=True).states,
        lambda f, z, loops: torch.cat([z[None], *([run_orbit(f, z, loops, False)] if loops else [])]),
    ],
    "01.2": [
        run_residual,
        fp.residual,
        lambda f, z, relative=False: torch.stack(
            [
                ((f(z) - z)[i].square().sum() ** 0.5) / (f(z)[i].square().sum() ** 0.5 if relative else 1)
                for i in range(len(z))
            ]
        ),
    ],
    "01.3": [
        lambda f, z, loops=1000, tol=1e-8: fp.residual(f, fp.iterate(f, z, loops).z) <= tol,
        lambda f, z, loops=1000, tol=1e-8: fp.iterate(f, z, loops + 1).steps[-1] < tol,
        lambda f, z, loops=1000, tol=1e-8: [
            bool((b - a).abs() <= tol) for a, b in zip(*last_step(f, z, loops + 1), strict=True)
        ],
    ],
    "01.4": [radius_gelfand, radius_two_vectors],
    "01.5": [lambda x, y: (1 + x * y, x * (1 + y)), lambda x, y: [y * x + 1, x + x * y]],
}

WRONG = {
    "01.1": [
        (lambda f, z, loops: run_orbit(f, z, loops, keep_start=False), "start itself is missing"),
        (lambda f, z, loops: run_orbit(f, z, loops, off=-1), "one state is missing"),
        (lambda f, z, loops: run_orbit(f, z, loops, off=1), "one state too many"),
        (lambda f, z, loops: fp.iterate(f, z, loops).z, "last state only"),
        (lambda f, z, loops: torch.stack([z] + [f(z)] * loops), "newest state"),
        (lambda f, z, loops: list(run_orbit(f, z, loops)), "torch.stack"),
        (lambda f, z, loops: run_orbit(f, z, loops).transpose(0, 1), "loops should come first"),
        (orbit_in_place, "changed in place"),
        (lambda f, z, loops: print(z), "is there a return"),
        (lambda f, z, loops: run_orbit(f, z, 3), "0 loops"),
    ],
    "01.2": [
        (lambda f, z, relative=False: (f(z) - z).norm(), "one number for the whole batch"),
        (lambda f, z, relative=False: run_residual(f, z).mean(), "one number for the whole batch"),
        (lambda f, z, relative=False: (f(z) - z).abs().sum(1), "root of 9 + 16"),
        (lambda f, z, relative=False: (f(z) - z).square().sum(1), "take the root"),
        (lambda f, z, relative=False: run_residual(f, z), "absolute residual; divide"),
        (lambda f, z, relative=False: run_residual(f, z, True), "relative=False was asked for"),
        (
            lambda f, z, relative=False: run_residual(f, z) / (z.flatten(1).norm(dim=1) if relative else 1),
            "before the step",
        ),
        (
            lambda f, z, relative=False: (f(z) - z).norm(dim=-1) / (f(z).norm(dim=-1) if relative else 1),
            "flatten",
        ),
        (lambda f, z: run_residual(f, z), "TypeError"),
    ],
    "01.3": [
        (
            lambda f, z, loops=1000, tol=1e-8: fp.residual(f, fp.iterate(f, z, loops).z, relative=True) <= tol,
            "absolute residual",
        ),
        (lambda f, z, loops=1000, tol=1e-8: (fp.residual(f, fp.iterate(f, z, loops).z) <= tol).all(), "for each start"),
        (
            lambda f, z, loops=1000, tol=1e-8: (fp.residual(f, fp.iterate(f, z, loops).z) <= tol).tolist()[0],
            "for each start",
        ),
        (lambda f, z, loops=1000, tol=1e-8: fp.iterate(f, z, loops).z.abs()[:, 0] < 1e6, "never stops moving"),
        (
            lambda f, z, loops=1000, tol=1e-8: (f(f(w := fp.iterate(f, z, loops).z)) - w).abs()[:, 0] <= tol,
            "cycle of two",
        ),
        (lambda f, z, loops=1000, tol=1e-8: fp.residual(f, fp.iterate(f, z, loops).z) <= 1e-2, "default is 1e-8"),
        (lambda f, z, loops=1000, tol=1e-8: fp.residual(f, fp.iterate(f, z, 1000).z) <= tol, "argument loops"),
        (lambda f, z, loops=1000, tol=1e-8: fp.residual(f, fp.iterate(f, z, loops).z) <= 1e-8, "argument tol"),
        (
            lambda f, z, loops=1000, tol=1e-8: (f(w := fp.iterate(f, z, loops).z) - w).abs() <= tol,
            "not for each number",
        ),
    ],
    "01.4": [
        (radius_by_last_growth, "not the last one"),
        (radius_by_arithmetic_mean, "mean of their logarithms"),
        (radius_unscaled, "rescale"),
        (radius_rayleigh, "modulus"),
        (radius_in_place, "changed in place"),
        (lambda product, v, steps=400: product(v).norm() / v.norm(), "expected 0.5"),
    ],
    "01.5": [
        (lambda x, y: (x * (1 + y), 1 + x * y), "wrong order"),
        (lambda x, y: (x * y, x * (1 + y)), "stream itself is missing"),
        (lambda x, y: (1 + x * y, x * y), "stream is missing"),
        (lambda x, y: (1 + x * y, 1 + x * y), "multiplies the stream too"),
        (lambda x, y: abs(1 + x * y), "expected two tensors"),
        (lambda x, y: (abs(1 + x * y), abs(x * (1 + y))), "absolute value comes later"),
    ],
}
