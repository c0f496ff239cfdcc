"""The gradient of a loss on the last state: by backpropagation through all loops or the last few, or implicitly."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..checks import one_of, whole
from ._checks import Map, apply, check_number, check_state, flat
from ._jacobian import differentiable, gmres, point_of

Loss = Callable[[Tensor], Tensor]  # last state -> one number
Gradients = tuple[Tensor, ...]


def check_parameters(parameters: Iterable[Tensor]) -> list[Tensor]:
    """A list of tensors that gradients can be taken by. A single tensor would be read as its rows: refused."""
    parameters = [] if isinstance(parameters, Tensor) else list(parameters)
    if not parameters or not all(isinstance(p, Tensor) and p.requires_grad for p in parameters):
        raise ValueError("parameters must be a list of one or more tensors that require gradients")
    return parameters


def lost(loss: Loss, z: Tensor) -> Tensor:
    value = loss(z)
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad or not value.isfinite():
        raise ValueError("the loss must be one finite number, in a tensor that depends on the state or the parameters")
    return value


def unrolled_gradient(
    f: Map, z: Tensor, loss: Loss, parameters: Iterable[Tensor], loops: int, last: int | None = None
) -> Gradients:
    """Run ``loops`` loops from ``z`` and backpropagate ``loss(z)`` through the ``last`` of them (all, by default).

    Memory grows with ``last``. Started at a fixed point, the result is the first ``last`` terms of the series that
    `implicit_gradient` sums. A parameter that was not used gets zeros.
    """
    check_state(z, real=True, finite=True)
    loops = whole("loops", loops, 1)
    last = loops if last is None else whole("last", last, 1)
    if last > loops:
        raise ValueError(f"expected 1 <= last <= loops, got last {last} and loops {loops}")
    with torch.no_grad():
        for _ in range(loops - last):
            z = apply(f, z)
    with differentiable():
        z = z.clone() if z.is_inference() else z
        for _ in range(last):
            z = apply(f, z)
        parameters = check_parameters(parameters)
        return torch.autograd.grad(lost(loss, z), parameters, retain_graph=True, materialize_grads=True)


def implicit_gradient(
    f: Map,
    z: Tensor,
    loss: Loss,
    parameters: Iterable[Tensor],
    method: str = "neumann",
    terms: int = 200,
    tol: float = 1e-6,
) -> Gradients:
    """The gradient of ``loss`` at a fixed point ``z``, from one evaluation of ``f``: memory does not grow with loops.

    The adjoint ``u`` solves ``u = J^T u + dloss/dz``; then the gradient is that of ``<u, f(z)>`` with ``z`` held still.
    ``neumann`` sums the series ``u = sum_k (J^T)^k dloss/dz``, up to ``terms`` of them, and needs a spectral radius
    below 1. ``gmres`` spends at most about ``terms`` products and needs only that 1 is no eigenvalue. ValueError if
    ``tol`` is not reached.
    """
    check_state(z, real=True, finite=True)
    tol, terms = check_number(tol, "tol"), whole("terms", terms, 1)
    one_of("method", method, ("neumann", "gmres"))
    with differentiable():
        point = point_of(z)
        after = apply(f, point)
        parameters = check_parameters(parameters)
        push = torch.autograd.grad(lost(loss, point), point, materialize_grads=True)[0]
    back = lambda u: torch.autograd.grad(after, point, u, retain_graph=True, materialize_grads=True)[0]
    if method == "gmres":
        size = min(40, terms)
        u, left = gmres(lambda v: v - back(v), push, size, restarts=max(1, terms // size), tol=tol)
    else:
        u, size = push, flat(push).norm(dim=1).clamp_min(1e-30)
        term = push
        for _ in range(terms):
            term = back(term)
            u = u + term
            left = flat(term).norm(dim=1) / size
            if (left <= tol).all() or not left.isfinite().all():
                break
    if not (left <= tol).all():
        raise ValueError(
            f"the adjoint system was not solved to {tol:g} in {terms} terms (left {float(left.max()):.1e}): "
            "is z a fixed point, with spectral radius below 1?"
        )
    return torch.autograd.grad(after, parameters, u, retain_graph=True, materialize_grads=True)


def gradient_error(a: Gradients, b: Gradients) -> tuple[float, float]:
    """Two gradients compared as long vectors: ``|a - b| / |b|``, and the cosine of the angle between them."""
    one, other = (torch.cat([part.flatten().double() for part in parts]) for parts in (a, b))
    size = other.norm().clamp_min(1e-30)
    return float((one - other).norm() / size), float(one @ other / (one.norm().clamp_min(1e-30) * size))
