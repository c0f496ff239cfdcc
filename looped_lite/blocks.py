"""The parts of one loop: normalization, rotary positions, attention, MLP, recall, block.

Everything here maps states to states. A state ``z`` is ``(batch, cells, width)``: one vector of ``width`` numbers for
each cell of the problem (a bit, a sudoku cell, a chess square). The embedded input ``h`` has the same shape.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import one_of

RECALLS = ("none", "external", "internal")
NORMS = ("pre", "peri", "post", "sandwich", "gru")


def rms_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Divide each vector of ``x`` (..., width) by its root mean square, so that its length becomes sqrt(width)."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


class RMSNorm(nn.Module):
    """``rms_norm`` with a learned gain for each channel. (..., width) -> (..., width)."""

    def __init__(self, width: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.gain.shape, self.gain, 1e-6)


def rotary_angles(positions: Tensor, head_width: int, base: float = 10_000.0) -> Tensor:
    """The angle by which rotary position embedding turns each pair of channels.

    ``positions`` is ``(cells, axes)``: 1 axis for a line, 2 for a board. The ``head_width // 2`` pairs of channels are
    dealt out to the axes in equal shares; a share turns at frequencies from 1 down to about ``1 / base``. Pairs left
    over turn by 0. Returns ``(cells, head_width // 2)``, in radians.
    """
    axes, pairs = positions.shape[1], head_width // 2
    share = pairs // axes
    frequency = base ** -(torch.arange(share, dtype=torch.float32, device=positions.device) / max(share, 1))
    angles = (positions.float()[:, :, None] * frequency).flatten(1)  # (cells, axes * share)
    return F.pad(angles, (0, pairs - axes * share))


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn channel pairs (i, i + head_width/2) of ``x`` (..., cells, head_width) by ``angles`` (cells, pairs)."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def windowed_attention(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Attention in which a cell sees only the ``window`` cells centred on it. O(cells x window) time and memory.

    ``q``, ``k``, ``v`` are ``(batch, heads, cells, head_width)``; so is the result. ``window`` is odd. Equal to full
    attention under the mask ``|i - j| <= window // 2``.
    """
    cells, head_width = q.shape[-2:]
    reach = window // 2
    # cells go last: then every sum and softmax below runs along whole rows of memory, about twice as fast
    q, k, v = (q / head_width**0.5).mT.contiguous(), F.pad(k.mT, (reach, reach)), F.pad(v.mT, (reach, reach))
    shifts = range(window)  # entry o is about cell i + o - reach
    scores = torch.stack([(q * k[..., o : o + cells]).sum(-2) for o in shifts])
    seen = torch.arange(cells, device=q.device) + torch.arange(-reach, reach + 1, device=q.device)[:, None]
    outside = (seen < 0) | (seen >= cells)
    weights = scores.masked_fill(outside[:, None, None], float("-inf")).softmax(0)
    return sum(weights[o, :, :, None] * v[..., o : o + cells] for o in shifts).mT


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions and normalized queries and keys.

    ``window`` limits every cell to its neighbours on a line. ``mask`` (heads, cells, cells), True where a cell may
    look, gives each head its own view. ``offsets`` (cells, cells) numbers the kinds of relation between two cells and
    adds a learned bias for each kind and head. Leave all out for full attention.

    Queries and keys are normalized after the rotation and share one learned temperature per head. A gain per channel
    would do as well, but then scores would depend on absolute positions and not on offsets alone.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        window: int | None = None,
        mask: Tensor | None = None,
        offsets: Tensor | None = None,
    ):
        super().__init__()
        if heads < 1 or width % heads or (width // heads) % 2:
            raise ValueError(f"width {width} must be divisible by heads {heads} into an even number of channels")
        if window is not None and (window < 1 or window % 2 == 0):
            raise ValueError(f"window must be an odd number of cells, got {window}")
        if mask is not None and (mask.dtype != torch.bool or mask.ndim != 3 or mask.shape[0] != heads):
            raise ValueError(
                f"mask must be bool of shape ({heads}, cells, cells), got {mask.dtype} {tuple(mask.shape)}"
            )
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.register_buffer("mask", None if mask is None else mask[None], persistent=False)
        self.register_buffer("offsets", offsets, persistent=False)
        self.bias = None if offsets is None else nn.Parameter(torch.zeros(heads, int(offsets.max()) + 1))

    def score_bias(self) -> Tensor | None:
        """What is added to the scores: a boolean mask, or biases with -inf where the mask is False, or nothing."""
        if self.bias is None:
            return self.mask
        bias = self.bias[None, :, self.offsets]
        return bias if self.mask is None else bias.masked_fill(~self.mask, float("-inf"))

    def forward(self, z: Tensor, angles: Tensor) -> Tensor:
        """``z`` (batch, cells, width), ``angles`` from `rotary_angles` -> (batch, cells, width)."""
        batch, cells, width = z.shape
        q, k, v = self.qkv(z).view(batch, cells, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q = rms_norm(rotate(q, angles)) * self.temperature
        k = rms_norm(rotate(k, angles))
        if self.window is not None:
            mixed = windowed_attention(q, k, v, self.window)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self.score_bias())
        return self.out(mixed.transpose(1, 2).reshape(batch, cells, width))


class MLP(nn.Module):
    """Two linear layers with a GELU between them, ``ratio`` times wider inside. Acts on each cell alone."""

    def __init__(self, width: int, ratio: int = 4):
        super().__init__()
        self.up = nn.Linear(width, ratio * width)
        self.down = nn.Linear(ratio * width, width)

    def forward(self, z: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(z)))


class Recall(nn.Module):
    """``u = Wz z + Wh h``: mix the embedded input back into the state. Starts as the plain sum ``z + h``."""

    def __init__(self, width: int):
        super().__init__()
        self.Wz = nn.Linear(width, width, bias=False)
        self.Wh = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.Wz.weight)
        nn.init.eye_(self.Wh.weight)

    def forward(self, z: Tensor, recalled: Tensor) -> Tensor:
        """``z`` and ``recalled = Wh h`` (made once), both (batch, cells, width) -> ``Wz z + Wh h``."""
        return self.Wz(z) + recalled


class GRUGate(nn.Module):
    """A gated residual: ``(1 - g) z + g tanh(candidate)``, so a number of the new state lies between bounded ones."""

    def __init__(self, width: int):
        super().__init__()
        self.reset = nn.Linear(2 * width, width)
        self.gate = nn.Linear(2 * width, width)
        self.candidate = nn.Linear(2 * width, width)
        nn.init.constant_(self.gate.bias, -1.0)  # begin by changing the state slowly

    def forward(self, z: Tensor, update: Tensor) -> Tensor:
        both = torch.cat([z, update], dim=-1)
        gate, reset = self.gate(both).sigmoid(), self.reset(both).sigmoid()
        candidate = self.candidate(torch.cat([reset * z, update], dim=-1)).tanh()
        return (1 - gate) * z + gate * candidate


class Block(nn.Module):
    """One transformer block, ready to be looped: attention, then an MLP, each a residual branch ``F``.

    ``norm`` says where RMSNorm ``N`` sits in a branch, and so what is left on the stream:

    - ``pre``: ``z + F(N(z))``
    - ``peri``: ``z + N(F(N(z)))``
    - ``post``: ``N(z + F(z))``, the paper's outer norm
    - ``sandwich``: ``N(z + F(N(z)))``
    - ``gru``: a `GRUGate` between ``z`` and ``F(N(z))``

    ``recall`` says where the embedded input ``h`` comes back (one ``Wz`` and ``Wh`` for both branches):

    - ``none``: nowhere
    - ``external``: ``z <- Wz z + Wh h`` once, before the branches
    - ``internal``: inside each branch, after its first norm if it has one: ``F`` reads ``u = Wz N(z) + Wh h``

    Source: arXiv 2604.15259, where ``internal`` is new. ``gru`` follows the gate of a GRU cell.
    """

    def __init__(self, width: int, recall: str, norm: str, mlp_ratio: int = 4, **attention):
        super().__init__()
        self.recall_at, self.norm_at = one_of("recall", recall, RECALLS), one_of("norm", norm, NORMS)
        self.attention = Attention(width, **attention)
        self.mlp = MLP(width, mlp_ratio)
        self.recall = Recall(width) if recall != "none" else None
        first = norm in ("pre", "peri", "sandwich", "gru")  # does the branch read a normalized state?
        last = norm in ("peri", "post", "sandwich")  # is something normalized after the branch?
        self.norm_in = nn.ModuleList([RMSNorm(width) if first else nn.Identity() for _ in range(2)])
        self.norm_out = nn.ModuleList([RMSNorm(width) if last else nn.Identity() for _ in range(2)])
        self.gates = nn.ModuleList([GRUGate(width) for _ in range(2)]) if norm == "gru" else None

    def recalled(self, h: Tensor) -> Tensor | None:
        """``Wh h``, what every loop adds of the embedded input ``h`` (batch, cells, width); None without recall."""
        return None if self.recall is None else self.recall.Wh(h)

    def branch_input(self, z: Tensor, recalled: Tensor | None, branch: int) -> Tensor:
        """What branch 0 (attention) or 1 (MLP) reads: the state after its first norm, with ``Wh h`` if internal."""
        u = self.norm_in[branch](z)
        return self.recall(u, recalled) if self.recall_at == "internal" else u

    def add(self, z: Tensor, update: Tensor, branch: int) -> Tensor:
        """Put a branch's ``update`` on the stream ``z``, normalized where this block normalizes."""
        norm = self.norm_out[branch]
        if self.norm_at == "gru":
            return self.gates[branch](z, update)
        if self.norm_at == "peri":
            return z + norm(update)
        return norm(z + update)  # post and sandwich; for pre this norm is the identity

    def forward(self, z: Tensor, recalled: Tensor | None, angles: Tensor) -> Tensor:
        """The state (batch, cells, width), ``recalled(h)`` and the angles of `rotary_angles` -> the next state."""
        if self.recall_at == "external":
            z = self.recall(z, recalled)
        z = self.add(z, self.attention(self.branch_input(z, recalled, 0), angles), 0)
        return self.add(z, self.mlp(self.branch_input(z, recalled, 1)), 1)
