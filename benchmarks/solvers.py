"""Does a clever solver reach the fixed point of a trained loop in fewer block evaluations than plain iteration?

Ours (`looped_lite.fixed_points`) and, where it is installed (``pip install torchdeq``), torchdeq's, on the same
problems and counted the same way: every call of the loop on the batch is one evaluation, a product with the Jacobian
two. A solver is done when the relative residual of every instance is at most tol.

    python benchmarks/solvers.py                  # the table of benchmarks/README.md, a few minutes on one core
    python benchmarks/solvers.py --bits 128 --models prefix-sums-internal-post-seed0
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from looped_lite import fixed_points as fp
from looped_lite.pretrained import load_pretrained

MODELS = ("prefix-sums-internal-post-seed0", "prefix-sums-external-post-seed0")
Outcome = tuple[int, float, float]  # evaluations, largest relative residual at the end, seconds


def ours(solver: Callable, f: fp.Map, z: Tensor, budget: int, tol: float, **options: float) -> Outcome:
    began = time.perf_counter()
    found = solver(f, z, budget, tol, **options)
    return int(found.evaluations.max()), float(found.residual.max()), time.perf_counter() - began


def theirs(solver: Callable, f: fp.Map, z: Tensor, budget: int, tol: float, **options: float) -> Outcome:
    calls = 0

    def counted(state: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return f(state)

    began = time.perf_counter()
    with torch.no_grad():
        found, _, _ = solver(counted, z, max_iter=budget, tol=tol, stop_mode="rel", **options)
    seconds = time.perf_counter() - began
    return calls, float(fp.residual(f, found.detach(), relative=True).detach().max()), seconds


def solvers() -> Iterator[tuple[str, Callable]]:
    yield "plain", lambda *a: ours(fp.picard, *a)
    yield "Anderson 5", lambda *a: ours(fp.anderson, *a)
    yield "Anderson 5, begun at 1e-2", lambda *a: ours(fp.anderson, *a, begin=1e-2)
    yield "Newton-Krylov 10", lambda *a: ours(fp.newton_krylov, *a)
    try:
        from torchdeq.solver.anderson import anderson_solver
        from torchdeq.solver.broyden import broyden_solver
        from torchdeq.solver.fp_iter import fixed_point_iter
    except ImportError:
        print("torchdeq is not installed: its rows are left out (pip install torchdeq)")
        return
    yield "torchdeq fixed_point_iter", lambda *a: theirs(fixed_point_iter, *a)
    yield "torchdeq anderson 6", lambda *a: theirs(anderson_solver, *a)
    yield "torchdeq broyden", lambda *a: theirs(broyden_solver, *a)


@torch.no_grad()
def problems(name: str, bits: int, instances: int) -> Iterator[tuple[str, fp.Map, Tensor]]:
    """The same loop from two starts: the embedded input, and the state when only the tail of the march is left."""
    model = load_pretrained(name)
    x, _ = model.recipe.task.batch(instances, bits, torch.Generator().manual_seed(1))
    f = model.loop(x)
    z = f.start()
    yield "input", f, z
    while float(fp.residual(f, z, relative=True).max()) > 1e-2:
        z = f(z)
    yield "tail", f, z


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--bits", nargs="+", type=int, default=(128, 512))
    parser.add_argument("--instances", type=int, default=4)
    parser.add_argument("--tol", type=float, default=1e-6)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"| model | bits | start | solver | evaluations to {args.tol:g} | against plain | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name in args.models:
        for bits in args.bits:
            for start, f, z in problems(name, bits, args.instances):
                plain = None
                for solver, run in solvers():
                    spent, left, seconds = run(f, z, 2 * bits, args.tol)
                    plain = spent if plain is None else plain
                    reached = f"{spent}" if left <= args.tol else f"not in {spent} (left {left:.0e})"
                    ratio = f"{spent / plain:.2f}" if left <= args.tol else ""
                    print(f"| {name} | {bits} | {start} | {solver} | {reached} | {ratio} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
