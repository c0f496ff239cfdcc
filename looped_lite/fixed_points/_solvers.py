"""Three ways to a fixed point, all of one form: (f, start, budget, tol) -> Solved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import whole
from ._checks import Map, apply, check_number, check_state, flat, lengths, refuse_nan
from ._jacobian import gmres, products


@dataclass(frozen=True)
class Solved:
    """Where a solver got to, and what it paid. The unit of cost is one evaluation of ``f`` on the batch.

    A product with the Jacobian counts as two evaluations: forward mode computes the value and its derivative.
    """

    z: Tensor  # for each instance the state that left the smallest relative residual, moved on by one loop
    residual: Tensor  # (batch,) that residual, |f(z) - z| / |f(z)|
    settled: Tensor  # (batch,) is it at most tol?
    evaluations: Tensor  # (batch,) spent when the residual first fell to tol; all that were spent where it never did
    trace: Tensor  # (points, batch) relative residuals, one row for each point looked at
    spent: Tensor  # (points,) evaluations spent when that row was known


class Ledger:
    """Keeps the best state of every instance and the books, so that the solvers below can be short."""

    def __init__(self, f: Map, z: Tensor, evaluations: int, tol: float):
        check_state(z, real=True)
        self.f, self.tol, self.spent = f, check_number(tol, "tol"), 0
        self.budget = whole("evaluations", evaluations, 1)
        self.best, self.residual = z, torch.full_like(lengths(z), float("inf"))  # inf stays where all overflows
        self.used = torch.zeros(len(z), dtype=torch.long, device=z.device)
        self.trace, self.costs = [], []

    def look(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate ``f`` at ``z``, note the residual: (f(z), relative residual (batch,))."""
        after = apply(self.f, z)
        size = lengths(after)
        refuse_nan(size[None], lengths(z))
        moved = (lengths(after - z) / size.clamp_min(1e-12)).nan_to_num(nan=torch.inf, posinf=torch.inf)
        self.spent += 1
        better, open_ = moved < self.residual, self.residual > self.tol
        self.used = torch.where(open_, self.spent, self.used)
        self.best = torch.where((better & open_).view(-1, *[1] * (z.dim() - 1)), after, self.best)
        self.residual = torch.where(better & open_, moved, self.residual)
        self.trace.append(moved)
        self.costs.append(self.spent)
        return after, moved

    @property
    def goes_on(self) -> bool:
        return self.spent < self.budget and bool((self.residual > self.tol).any())

    def result(self) -> Solved:
        settled = self.residual <= self.tol
        trace = torch.stack(self.trace) if self.trace else self.residual.new_empty(0, len(settled))
        used = torch.where(settled, self.used, self.spent)
        return Solved(self.best, self.residual, settled, used, trace, torch.tensor(self.costs))


@torch.no_grad()
def picard(f: Map, z: Tensor, evaluations: int, tol: float = 1e-6) -> Solved:
    """Plain iteration, ``z <- f(z)``. One evaluation a step; the error shrinks by about the spectral radius."""
    books = Ledger(f, z, evaluations, tol)
    while books.goes_on:
        z, _ = books.look(z)
    return books.result()


@torch.no_grad()
def anderson(
    f: Map,
    z: Tensor,
    evaluations: int,
    tol: float = 1e-6,
    memory: int = 5,
    begin: float = float("inf"),
    ridge: float = 1e-10,
) -> Solved:
    """Anderson acceleration: mix the last ``memory`` + 1 evaluations so that the residual of a linear f would be least.

    One evaluation a step, plus a least-squares problem of ``memory`` unknowns for each instance. ``ridge`` times the
    mean square of the differences keeps that problem solvable. An instance whose relative residual is above ``begin``
    takes plain steps: far from a fixed point a loop is not close to linear, and mixing its past does harm (see
    benchmarks/README.md).
    """
    memory, ridge = whole("memory", memory, 1), check_number(ridge, "ridge", zero=True)
    if begin != float("inf"):
        begin = check_number(begin, "begin", zero=True)
    books, shape = Ledger(f, z, evaluations, tol), z.shape
    values, gaps = [], []  # f(z) and f(z) - z of the last points, each (batch, numbers)
    while books.goes_on:
        after, moved = books.look(z)
        values, gaps = [*values, flat(after)][-memory - 1 :], [*gaps, flat(after - z)][-memory - 1 :]
        z = values[-1]
        if len(gaps) > 1:
            past = torch.stack([gaps[-1] - gap for gap in gaps[:-1]], dim=-1)  # (batch, numbers, memory)
            past = past.double()
            gram = past.mT @ past
            scale = gram.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-60)
            gram = gram + ridge * scale[:, None, None] * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
            weights = torch.linalg.solve_ex(gram, past.mT @ gaps[-1].double()[..., None])[0].to(z)
            step = torch.stack([values[-1] - value for value in values[:-1]], dim=-1) @ weights
            mixed = values[-1] - step[..., 0]
            good = mixed.isfinite().all(1) & (moved <= begin)
            z = torch.where(good[:, None], mixed, values[-1])
        z = z.reshape(shape)
    return books.result()


@torch.no_grad()
def newton_krylov(f: Map, z: Tensor, evaluations: int, tol: float = 1e-6, krylov: int = 10) -> Solved:
    """Newton's method on ``f(z) - z = 0``; ``(I - J) d = f(z) - z`` is solved by GMRES in ``krylov`` products.

    A step that does not lower the residual of an instance is replaced by a plain one, so far from a fixed point it
    falls back to iteration. One Newton step costs ``1 + 2 (krylov + 1)`` evaluations.
    """
    krylov = whole("krylov", krylov, 1)
    books = Ledger(f, z, evaluations, tol)
    after, moved = books.look(z)
    while books.goes_on:
        product = products(f, z, strict=False)[0]
        step, _ = gmres(lambda v, product=product: v - product(v), after - z, krylov, restarts=1)
        books.spent += 2 * (min(krylov, flat(z).shape[1]) + 1)
        trial = z + torch.where(step.isfinite(), step, 0.0)
        trial_after, trial_moved = books.look(trial)
        worse = trial_moved > moved
        if worse.any():
            pick = worse.view(-1, *[1] * (z.dim() - 1))
            trial = torch.where(pick, after, trial)
            trial_after, trial_moved = books.look(trial)
        z, after, moved = trial, trial_after, trial_moved
    return books.result()


def gauss_newton(gap: Map, z: Tensor, steps: int = 60) -> tuple[Tensor, float]:
    """Walk downhill on ``|gap(z)|`` from one small state ``z`` (d,), by Gauss-Newton steps with damping, until it goes
    no further.

    Returns the end and ``|gap|`` there. With ``gap = f(z) - z`` it looks for a fixed point, whether it attracts or not;
    where there is none, it ends at a gap that is not 0.
    """
    r, damping = gap(z), 1e-2
    for _ in range(steps):
        J, before = torch.autograd.functional.jacobian(gap, z), r.norm()
        for _ in range(12):
            closer = z - torch.linalg.solve(J.T @ J + damping * torch.eye(len(z), dtype=z.dtype), J.T @ r)
            if gap(closer).norm() < r.norm():
                break
            damping *= 4
        else:
            break
        z, r, damping = closer, gap(closer), max(damping / 5, 1e-12)
        if r.norm() < 1e-12 or r.norm() > 0.9999 * before:
            break
    return z, float(r.norm())
