"""The Jacobian of a map at a point, by products with vectors only: eigenvalues, norm, linear systems.

All of it is batched: instance ``b`` has its own Jacobian ``J_b = df(z_b)/dz_b``, acting on the whole state (all cells and
channels) as one vector. It is never written down, except by `jacobian`, which is for small states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ._iterate import Map, apply, flat

Linear = Callable[[Tensor], Tensor]


def products(f: Map, z: Tensor) -> tuple[Linear, Linear]:
    """``(v -> J v, u -> J^T u)`` of any differentiable map at ``z``, from one evaluation that both share."""
    point = z.detach().requires_grad_()
    # the fast attention kernels cannot be differentiated twice, hence the plain one
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        after = f(point)
        u = torch.zeros_like(after, requires_grad=True)
        constant = not after.requires_grad
        # u -> J^T u is linear in u, so its derivative by u, again a product from the left, is v -> J v
        pulled = u if constant else torch.autograd.grad(after, point, u, create_graph=True, materialize_grads=True)[0]
    if constant or not pulled.requires_grad:
        return (lambda v: torch.zeros_like(u)), (lambda u: torch.zeros_like(z))
    return (
        lambda v: torch.autograd.grad(pulled, u, v, retain_graph=True, materialize_grads=True)[0],
        lambda u: torch.autograd.grad(after, point, u, retain_graph=True, materialize_grads=True)[0],
    )


def jacobian_product(f: Map, z: Tensor) -> Linear:
    """``v -> J v`` at ``z``, for ``v`` of the shape of ``z``: how the next state moves when this one moves by ``v``.

    Reverse mode used twice: on a loop of small tensors it is several times faster than ``torch.func.jvp``, which gives the same.
    """
    return products(partial(apply, f), z)[0]


def adjoint_product(f: Map, z: Tensor) -> Linear:
    """``u -> J^T u`` at ``z``, for ``u`` of the shape of ``z``: backpropagation through one loop."""
    return products(partial(apply, f), z)[1]


def jacobian(f: Map, z: Tensor) -> Tensor:
    """The Jacobian itself: (batch, numbers, numbers). Takes as many products as a state has numbers."""
    product, numbers = jacobian_product(f, z), flat(z).shape[1]
    basis = torch.eye(numbers, dtype=z.dtype, device=z.device)
    columns = [flat(product(e.expand(len(z), -1).reshape(z.shape))) for e in basis]
    return torch.stack(columns, dim=-1) if columns else z.new_zeros(len(z), 0, 0)


def random_like(z: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Unit vectors in random directions, one for each instance, of the shape of ``z``. Drawn on the CPU."""
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    v = flat(torch.randn(z.shape, generator=generator, dtype=z.dtype))
    return (v / v.norm(dim=1, keepdim=True).clamp_min(1e-30)).reshape(z.shape).to(z.device)


def arnoldi(product: Linear, v: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """An orthonormal basis of v, Av, A^2 v, ... and what A does on it: ``A Q[:size] = Q H`` for each instance.

    ``product`` is ``v -> A v`` and ``v`` (batch, ...). Returns ``Q`` (size + 1, batch, numbers) and, in double precision,
    ``H`` (batch, size + 1, size). Where the vectors stop being independent, the rest of ``Q`` and ``H`` is zero.
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

    ``errors`` (batch, count) is ``|J y - value y| / |value|`` for the unit vector ``y`` that was found with it: about the
    relative error of a simple eigenvalue, unless J is far from normal. 0 where the whole matrix was used.
    """

    values: Tensor
    errors: Tensor

    @property
    def radius(self) -> Tensor:
        """The spectral radius of each instance, (batch,)."""
        return self.values[:, 0].abs()


def leading_eigenvalues(
    f: Map,
    z: Tensor,
    count: int = 6,
    size: int = 40,
    restarts: int = 10,
    tol: float = 1e-3,
    generator: torch.Generator | None = None,
) -> Spectrum:
    """The ``count`` eigenvalues of the Jacobian at ``z`` that are largest in modulus, by Arnoldi's method.

    Each try builds a Krylov basis of ``size`` vectors; until the first one is known to ``tol``, it starts again from the
    eigenvectors found, at most ``restarts`` times. States of at most ``size`` numbers get all their eigenvalues, from the matrix.
    """
    numbers = flat(z).shape[1]
    count = min(count, numbers)
    if count < 1 or size <= count < numbers:
        raise ValueError(f"count must be at least 1 and less than size, got count {count} and size {size}")
    if numbers <= size:
        values = torch.linalg.eigvals(jacobian(f, z).double().cpu())
        order = values.abs().argsort(dim=1, descending=True)[:, :count]
        values = values.gather(1, order).to(z.device)
        return Spectrum(values, torch.zeros(values.shape, dtype=torch.float64, device=z.device))
    product, v = jacobian_product(f, z), random_like(z, generator)
    for _ in range(restarts):
        Q, H = arnoldi(product, v, size)
        H = H.cpu()
        values, vectors = torch.linalg.eig(H[:, :size])  # Ritz values, and their vectors in the basis Q
        order = values.abs().argsort(dim=1, descending=True)[:, :count]
        values = values.gather(1, order)
        vectors = vectors.gather(2, order[:, None].expand(-1, size, -1))
        errors = H[:, size, size - 1, None] * vectors[:, -1].abs() / values.abs().clamp_min(1e-30)
        if (errors[:, 0] <= tol).all():
            break
        mix = (vectors.real + vectors.imag).sum(-1).to(Q)
        v = torch.einsum("kbn,bk->bn", Q[:size], mix).reshape(z.shape)
    return Spectrum(values.to(z.device), errors.to(z.device))


def spectral_radius(f: Map, z: Tensor, **arnoldi_options: int) -> Tensor:
    """The largest modulus of an eigenvalue of the Jacobian at ``z``: (batch,). See `leading_eigenvalues`."""
    return leading_eigenvalues(f, z, count=2 if flat(z).shape[1] > 1 else 1, **arnoldi_options).radius


def power_iteration(f: Map, z: Tensor, steps: int = 100, generator: torch.Generator | None = None) -> Tensor:
    """The leading eigenvalue of the Jacobian at ``z``, by multiplying by it again and again: (batch,), complex.

    Two vectors are carried, kept orthonormal, so that a complex pair, which turns the plane of its two vectors round for
    ever, shows in the 2 x 2 matrix of J on that plane. Of a pair, the value with positive imaginary part is returned.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    product, numbers = jacobian_product(f, z), flat(z).shape[1]
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    pair = torch.stack([flat(random_like(z, generator)) for _ in range(min(2, numbers))], dim=-1)  # (batch, numbers, 2)
    for _ in range(steps):
        Q = torch.linalg.qr(pair)[0]
        pair = torch.stack([flat(product(Q[..., i].reshape(z.shape))) for i in range(Q.shape[-1])], dim=-1)
    values = torch.linalg.eigvals((Q.mT @ pair).double())
    leading = values.gather(1, values.abs().argmax(1, keepdim=True))[:, 0]
    return torch.complex(leading.real, leading.imag.abs())


def spectral_norm(f: Map, z: Tensor, steps: int = 100, generator: torch.Generator | None = None) -> Tensor:
    """The largest factor by which the Jacobian at ``z`` stretches a vector, (batch,): power iteration on ``J^T J``."""
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    (forward, back), v = products(partial(apply, f), z), random_like(z, generator)
    for _ in range(steps):
        stretched = flat(forward(v))
        w = flat(back(stretched.reshape(z.shape)))
        v = (w / w.norm(dim=1, keepdim=True).clamp_min(1e-30)).reshape(z.shape)
    return flat(forward(v)).norm(dim=1)


def gmres(product: Linear, b: Tensor, size: int = 40, restarts: int = 10, tol: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Solve ``A x = b`` for each instance, knowing A only as ``product``: v -> A v.

    Takes the vector of the Krylov space of ``size`` dimensions that leaves the least of ``b``, and starts again on what is left.
    Returns ``x`` (batch, ...) and the share of ``b`` left unexplained, ``|b - A x| / |b|``, (batch,).
    """
    x, left, whole = torch.zeros_like(b), b, flat(b).norm(dim=1)
    size = max(1, min(size, flat(b).shape[1]))
    for _ in range(restarts):
        Q, H = arnoldi(product, left, size)
        target = torch.zeros(len(b), size + 1, 1, dtype=torch.float64)
        target[:, 0, 0] = flat(left).norm(dim=1)
        weights = torch.linalg.pinv(H.cpu()) @ target
        x = x + torch.einsum("kbn,bk->bn", Q[:size], weights[..., 0].to(Q)).reshape(b.shape)
        left = b - product(x)
        share = flat(left).norm(dim=1) / whole.clamp_min(1e-30)
        if (share <= tol).all():
            break
    return x, share
