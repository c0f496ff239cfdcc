"""The Jacobian of a map at a point, by products with vectors only: eigenvalues, norm, linear systems.

All of it is batched: instance ``b`` has its own Jacobian ``J_b = df(z_b)/dz_b``, acting on the whole state (all cells
and channels) as one vector. It is never written down, except by `jacobian`, which is for small states.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..checks import whole
from ._checks import Map, apply, check_memory, check_number, check_state, check_tensor, flat

Linear = Callable[[Tensor], Tensor]


@contextmanager
def differentiable() -> Iterator[None]:
    """Derivatives are on in here, and attention takes the kernel that can be differentiated twice."""
    try:
        with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    except RuntimeError as error:
        if "nference" not in str(error):
            raise
        raise ValueError(
            "the map holds tensors made under torch.inference_mode(), which have no derivatives: make them outside"
        ) from None


def point_of(z: Tensor) -> Tensor:
    """A copy of ``z`` by which a map can be differentiated. To be called inside `differentiable`."""
    return (z.clone() if z.is_inference() else z.detach()).requires_grad_()


def refuse_cut(f: Map, point: Tensor, after: Tensor) -> None:
    """ValueError if ``after = f(point)`` has no derivative and yet is no constant: the map has cut the graph."""
    with differentiable(), torch.no_grad():
        nudge = torch.finfo(point.dtype).eps ** 0.5 * (1 + point.abs())
        if not torch.equal(f(point + nudge), after):
            raise ValueError("the map gives no derivative: does it run under torch.no_grad(), detach or leave PyTorch?")


def products(f: Map, z: Tensor, strict: bool = True, where: str = "z") -> tuple[Linear, Linear]:
    """``(v -> J v, u -> J^T u)`` of any differentiable map at ``z``, from one evaluation that both share.

    Unless ``strict`` is off, infinities at ``z``, in ``f(z)`` and in the products are refused.
    """
    check_tensor(z, where, real=True, finite=strict)
    with differentiable():
        point = point_of(z)
        after = f(point)
        u = torch.zeros_like(after, requires_grad=True)
        # u -> J^T u is linear in u, so its derivative by u, again a product from the left, is v -> J v
        pulled = None
        if after.requires_grad:
            pulled = torch.autograd.grad(after, point, u, create_graph=True, allow_unused=True)[0]
    if strict and not after.isfinite().all():
        raise ValueError(f"the map returned NaN or infinity at {where}: it has no derivative there")
    nothing = pulled is None or not pulled.requires_grad
    if nothing:  # f does not depend on z, or only by steps
        refuse_cut(f, point, after)

    def pull(outputs: Tensor, by: Tensor, like: Tensor, v: Tensor) -> Tensor:
        if not isinstance(v, Tensor) or v.shape != like.shape or v.dtype != like.dtype:
            raise ValueError(f"the vector must be like the state: expected {like.dtype} of shape {tuple(like.shape)}")
        if nothing:
            return torch.zeros_like(by)
        with differentiable():
            moved = torch.autograd.grad(outputs, by, v, retain_graph=True, materialize_grads=True)[0]
        if strict and not moved.isfinite().all():
            raise ValueError(f"the derivative of the map is NaN or infinite at {where}")
        return moved

    return (lambda v: pull(pulled, u, z, v)), (lambda v: pull(after, point, after, v))


def jacobian_product(f: Map, z: Tensor) -> Linear:
    """``v -> J v`` at ``z``, for ``v`` of the shape of ``z``: how the next state moves when this one moves by ``v``.

    Reverse mode used twice: on a loop of small tensors it is several times faster than ``torch.func.jvp``, which gives
    the same.
    """
    check_state(z, real=True, finite=True)
    return products(lambda z: apply(f, z), z)[0]


def adjoint_product(f: Map, z: Tensor) -> Linear:
    """``u -> J^T u`` at ``z``, for ``u`` of the shape of ``z``: backpropagation through one loop."""
    check_state(z, real=True, finite=True)
    return products(lambda z: apply(f, z), z)[1]


def jacobian(f: Map, z: Tensor) -> Tensor:
    """The Jacobian itself: (batch, numbers, numbers). Takes as many products as a state has numbers."""
    back, numbers = adjoint_product(f, z), flat(z).shape[1]
    check_memory(len(z) * numbers**2, z, f"{len(z)} Jacobian(s) of {numbers} x {numbers} numbers")
    J = z.new_empty(len(z), numbers, numbers)
    for i in range(numbers):
        row = torch.zeros_like(flat(z))
        row[:, i] = 1
        J[:, i] = flat(back(row.reshape(z.shape)))
    return J


def random_like(z: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Unit vectors in random directions, one for each instance, of the shape of ``z``. Drawn on the CPU."""
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    check_state(z, real=True)
    v = flat(torch.randn(z.shape, generator=generator, dtype=z.dtype))
    return (v / v.norm(dim=1, keepdim=True).clamp_min(1e-30)).reshape(z.shape).to(z.device)


def arnoldi(product: Linear, v: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """An orthonormal basis of v, Av, A^2 v, ... and what A does on it: ``A Q[:size] = Q H`` for each instance.

    ``product`` is ``v -> A v`` and ``v`` (batch, ...). Returns ``Q`` (size + 1, batch, numbers) and, in double
    precision, ``H`` (batch, size + 1, size). Where the vectors stop being independent, the rest of ``Q`` and ``H`` is
    zero.
    """
    start = flat(v)
    Q = start.new_zeros(size + 1, *start.shape)
    H = torch.zeros(len(v), size + 1, size, dtype=torch.float64, device=v.device)
    Q[0] = start / start.norm(dim=1, keepdim=True).clamp_min(1e-30)
    for j in range(size):
        w = flat(product(Q[j].reshape(v.shape)))
        before = w.norm(dim=1)
        for _ in range(2):  # the second pass removes what rounding left of the first
            parts = torch.einsum("kbn,bn->bk", Q[: j + 1], w)
            w = w - torch.einsum("bk,kbn->bn", parts, Q[: j + 1])
            H[:, : j + 1, j] += parts
        left = w.norm(dim=1)
        goes_on = left > 10 * torch.finfo(w.dtype).eps * before
        H[:, j + 1, j] = torch.where(goes_on, left, 0.0)
        Q[j + 1] = torch.where(goes_on[:, None], w / left.clamp_min(1e-30)[:, None], 0.0)
    return Q, H


@dataclass(frozen=True)
class Spectrum:
    """The eigenvalues of largest modulus, ``values`` (batch, count), complex, and how well each is known.

    ``errors`` (batch, count) estimates the relative error of each. For the unit vector ``y`` that was found with a
    value it is ``|J y - value y| / |value|``, for the first value times its condition: how much a change of J can be
    magnified in it. Where the whole matrix was used, it is the effect of rounding, for all of them. ``known`` (batch,)
    says that the first error is at most ``tol``.
    """

    values: Tensor
    errors: Tensor
    known: Tensor

    @property
    def radius(self) -> Tensor:
        """The spectral radius of each instance, (batch,); see ``known``."""
        return self.values[:, 0].abs()


def whole_spectrum(J: Tensor, rounding: float) -> tuple[Tensor, Tensor]:
    """All eigenvalues of each matrix (batch, n, n), the largest first, and what ``rounding`` of J changes in each."""
    others = (J != 0).double()
    others.diagonal(dim1=1, dim2=2).zero_()
    for _ in range(J.shape[1].bit_length()):  # does a path lead from any number back to itself through others?
        others = (others @ others > 0).double()
    values, right = torch.linalg.eig(J)
    left = torch.linalg.inv_ex(right)[0]
    errors = rounding * torch.linalg.matrix_norm(J)[:, None] * right.norm(dim=1) * left.norm(dim=2) / values.abs()
    triangular = ~others.any(2).any(1)  # in some order of the numbers: the eigenvalues stand on the diagonal
    errors = errors.nan_to_num(nan=torch.inf, posinf=torch.inf).masked_fill(triangular[:, None], 0.0)
    order = values.abs().argsort(dim=1, descending=True)
    values, errors = values.gather(1, order), errors.gather(1, order)
    unsure = errors[:, 0] > 1e-3  # to first order, which says far too much where eigenvectors are nearly parallel
    if unsure.any():
        errors[unsure] = errors[unsure].minimum(10 * moved_by_rounding(J[unsure], values[unsure], rounding))
    return values, errors


def moved_by_rounding(J: Tensor, values: Tensor, rounding: float, draws: int = 3) -> Tensor:
    """How far each eigenvalue (batch, n) is, relative to its size, from those of J with a random change of the size of
    rounding: the most of a few draws."""
    generator, moved = torch.Generator().manual_seed(0), torch.zeros(values.shape, dtype=J.dtype)
    change = rounding * torch.linalg.matrix_norm(J)[:, None, None] / J.shape[1]
    for _ in range(draws):
        other = torch.linalg.eigvals(J + change * torch.randn(J.shape, generator=generator, dtype=J.dtype))
        apart = (values[:, :, None] - other[:, None, :]).abs().amin(2) / values.abs()
        moved = moved.maximum(apart.nan_to_num(nan=torch.inf, posinf=torch.inf))
    return moved


def ritz(
    product: Linear, v: Tensor, size: int, restarts: int, tol: float, pick: Callable
) -> tuple[Tensor, Tensor, Tensor]:
    """Arnoldi, up to ``restarts`` times from what it found, until the residual of the first value is at most ``tol``.

    ``pick`` takes the Ritz values (batch, size) and gives the places of those wanted (batch, count). Returns them,
    their residuals (both (batch, count), on the CPU) and the vector of the first, (batch, numbers), complex.
    """
    for _ in range(restarts):
        Q, H = arnoldi(product, v, size)
        H = H.cpu()
        values, vectors = torch.linalg.eig(H[:, :size])  # Ritz values, and their vectors in the basis Q
        order = pick(values)
        values = values.gather(1, order)
        vectors = vectors.gather(2, order[:, None].expand(-1, size, -1))
        errors = H[:, size, size - 1, None] * vectors[:, -1].abs() / values.abs().clamp_min(1e-30)
        if (errors[:, 0] <= tol).all():
            break
        mix = (vectors.real + vectors.imag).sum(-1).to(Q)
        v = torch.einsum("kbn,bk->bn", Q[:size], mix).reshape(v.shape)
    return values, errors, torch.einsum("kbn,bk->bn", Q[:size].to(vectors.dtype), vectors[..., 0].to(Q.device))


def leading_eigenvalues(
    f: Map,
    z: Tensor,
    count: int = 6,
    size: int = 40,
    restarts: int = 10,
    tol: float = 1e-3,
    generator: torch.Generator | None = None,
    exact: int = 512,
) -> Spectrum:
    """The ``count`` eigenvalues of the Jacobian at ``z`` that are largest in modulus.

    States of at most ``exact`` numbers get them from the whole matrix (at 512 numbers about 0.3 seconds an instance on
    one core), larger ones by Arnoldi's method: each try builds a Krylov basis of ``size`` vectors and starts again from
    the eigenvectors found, at most ``restarts`` times. The same method on ``J^T`` then tells how sensitive the first
    value is. Look at ``known``.
    """
    check_state(z, real=True, finite=True)
    tol, exact, numbers = check_number(tol, "tol"), whole("exact", exact, 0), flat(z).shape[1]
    count, size = min(whole("count", count, 1), numbers), whole("size", size, 1)
    restarts, small = whole("restarts", restarts, 1), numbers <= max(size, exact)
    if not small and size <= count:
        raise ValueError(f"count must be less than size, got count {count} and size {size}")
    if small:
        values, errors = whole_spectrum(jacobian(f, z).double().cpu(), torch.finfo(z.dtype).eps)
        values, errors = values[:, :count], errors[:, :count]
    else:
        check_memory((size + 1) * z.numel(), z, f"a basis of {size} vectors")
        product, back = products(lambda z: apply(f, z), z)
        start, tight = random_like(z, generator), tol / 10
        leading = lambda values: values.abs().argsort(dim=1, descending=True)[:, :count]
        values, errors, right = ritz(product, start, size, restarts, tight, leading)
        nearest = lambda others: (others - values[:, :1]).abs().argsort(dim=1)[:, :1]
        _, unsure, left = ritz(back, start, size, restarts, tight, nearest)
        # vectors of J and J^T that belong to different eigenvalues are at right angles: then this is infinite, too
        condition = (right.norm(dim=1) * left.norm(dim=1) / (right * left).sum(1).abs()).cpu().double()
        condition[~(unsure[:, 0] <= 0.1) | condition.isnan()] = torch.inf
        errors[:, 0] = errors[:, 0].clamp_min(torch.finfo(z.dtype).eps) * condition
    return Spectrum(values.to(z.device), errors.to(z.device), (errors[:, 0] <= tol).to(z.device))


def warn_unknown(what: str, errors: Tensor, tol: float) -> None:
    if (unknown := ~(errors <= tol)).any():
        warnings.warn(
            f"{what}: {int(unknown.sum())} of {len(errors)} not known to {tol:g} of its size (error about "
            f"{float(errors.max()):.0e}): leading_eigenvalues says more, and takes more restarts or a larger size",
            RuntimeWarning,
            stacklevel=3,
        )


def spectral_radius(f: Map, z: Tensor, **options: float) -> Tensor:
    """The largest modulus of an eigenvalue of the Jacobian at ``z``: (batch,). Options as in `leading_eigenvalues`.

    Warns (RuntimeWarning) where it is not known to ``tol``; `leading_eigenvalues` says for which instances.
    """
    found = leading_eigenvalues(f, z, **{"count": 2, **options})
    warn_unknown("spectral_radius", found.errors[:, 0], options.get("tol", 1e-3))
    return found.radius


def power_iteration(f: Map, z: Tensor, steps: int = 100, generator: torch.Generator | None = None) -> Tensor:
    """The leading eigenvalue of the Jacobian at ``z``, by multiplying by it again and again: (batch,), complex.

    Two vectors are carried, kept orthonormal, so that a complex pair, which turns the plane of its two vectors round
    for ever, shows in the 2 x 2 matrix of J on that plane. Of a pair, the value with positive imaginary part is
    returned. Warns (RuntimeWarning) where J still moves its vector by more than 1% off its line: too few steps, or
    three of equal modulus.
    """
    steps = whole("steps", steps, 1)
    product, numbers = jacobian_product(f, z), flat(z).shape[1]
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    pair = torch.stack([flat(random_like(z, generator)) for _ in range(min(2, numbers))], dim=-1)  # (batch, numbers, 2)
    for _ in range(steps):
        Q = torch.linalg.qr(pair)[0]
        pair = torch.stack([flat(product(Q[..., i].reshape(z.shape))) for i in range(Q.shape[-1])], dim=-1)
    values, vectors = torch.linalg.eig((Q.mT @ pair).double())
    first = values.abs().argmax(1, keepdim=True)
    leading, turned = values.gather(1, first)[:, 0], vectors.gather(2, first[:, None].expand(-1, vectors.shape[1], -1))
    off = (pair.to(vectors.dtype) @ turned - Q.to(vectors.dtype) @ turned * leading[:, None, None]).norm(dim=(1, 2))
    warn_unknown("power_iteration", off / leading.abs().clamp_min(1e-30), 1e-2)
    return torch.complex(leading.real, leading.imag.abs())


def spectral_norm(f: Map, z: Tensor, steps: int = 100, generator: torch.Generator | None = None) -> Tensor:
    """The largest factor by which the Jacobian at ``z`` stretches a vector, (batch,): power iteration on ``J^T J``.

    The result is never too large, and rises with ``steps``.
    """
    check_state(z, real=True, finite=True)
    steps = whole("steps", steps, 1)
    (forward, back), v = products(lambda z: apply(f, z), z), random_like(z, generator)
    for _ in range(steps):
        stretched = flat(forward(v))
        w = flat(back(stretched.reshape(z.shape)))
        v = (w / w.norm(dim=1, keepdim=True).clamp_min(1e-30)).reshape(z.shape)
    return flat(forward(v)).norm(dim=1)


def gmres(product: Linear, b: Tensor, size: int = 40, restarts: int = 10, tol: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Solve ``A x = b`` for each instance, knowing A only as ``product``: v -> A v.

    Takes the vector of the Krylov space of ``size`` dimensions that leaves the least of ``b``, and starts again on what
    is left. Returns ``x`` (batch, ...) and the share of ``b`` left unexplained, ``|b - A x| / |b|``, (batch,).
    """
    check_tensor(b, "b", real=True)
    x, left, all_of_b = torch.zeros_like(b), b, flat(b).norm(dim=1)
    size, tol = min(whole("size", size, 1), flat(b).shape[1]), check_number(tol, "tol")
    for _ in range(whole("restarts", restarts, 1)):
        Q, H = arnoldi(product, left, size)
        target = torch.zeros(len(b), size + 1, 1, dtype=torch.float64)
        target[:, 0, 0] = flat(left).norm(dim=1)
        H = torch.where(H.isfinite().all(2).all(1)[:, None, None], H, 0.0)  # what overflows is left unsolved
        weights = torch.linalg.pinv(H.cpu()) @ target
        x = x + torch.einsum("kbn,bk->bn", Q[:size], weights[..., 0].to(Q)).reshape(b.shape)
        left = b - product(x)
        share = flat(left).norm(dim=1) / all_of_b.clamp_min(1e-30)
        if (share <= tol).all():
            break
    return x, share
