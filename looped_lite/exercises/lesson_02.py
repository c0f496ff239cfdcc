"""The exercises of lesson 02: the parts of one loop block, each against the package's own or PyTorch's."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import blocks
from ..blocks import Block
from . import Exercise, Mistake, expect, unchanged

EXACT = 1e-9  # the tolerance for counts: a number that is nearly right is wrong


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- 02.1


def rms_norm_with_gain(x: Tensor, gain: Tensor, eps: float = 1e-6) -> Tensor:
    """``x`` (..., width) divided by its root mean square, times ``gain`` (width,)."""
    return blocks.rms_norm(x, eps) * gain


def check_rms_norm(f: Callable) -> None:
    x, gain = 3 * random(2, 5, 8), 1 + 0.5 * random(8, seed=1)
    kept = x.clone()
    mean_square = x.square().mean(-1, keepdim=True)
    centred = x - x.mean(-1, keepdim=True)
    expect(
        f(x, gain),
        rms_norm_with_gain(kept, gain),
        "rms_norm of a (2, 5, 8) tensor",
        mistakes={
            "you divided by the length, the root of the *sum* of squares; take the mean over the channels": x
            / x.norm(dim=-1, keepdim=True)
            * gain,
            "you divided by the mean square; take its root first": x / mean_square * gain,
            "you multiplied by the root mean square; divide by it": x * mean_square.sqrt() * gain,
            "you divided by the standard deviation: RMSNorm leaves the mean alone": x
            / centred.square().mean(-1, keepdim=True).sqrt()
            * gain,
            "this is LayerNorm: RMSNorm does not subtract the mean": centred
            / centred.square().mean(-1, keepdim=True).sqrt()
            * gain,
            "the gain is missing": blocks.rms_norm(x),
            "the gain is added; it multiplies": blocks.rms_norm(x) + gain,
            "one mean for the whole tensor; take one for each vector (dim=-1)": x / x.square().mean().sqrt() * gain,
            "the mean runs over the cells; take it over the last axis, the channels": x
            / x.square().mean(1, keepdim=True).sqrt()
            * gain,
            "you divided by the mean of the absolute values; take the root of the mean of the squares": x
            / x.abs().mean(-1, keepdim=True)
            * gain,
        },
        tol=1e-3,
    )
    unchanged(kept, x, "x")
    expect(f(torch.zeros(3, 8), gain), torch.zeros(3, 8), "rms_norm of zeros (this is what eps is for)")
    expect(f(x[0, 0], gain), rms_norm_with_gain(x[0, 0], gain), "rms_norm of a single vector (8,)", tol=1e-3)


# ---------------------------------------------------------------- 02.2


def check_rotate(f: Callable) -> None:
    x, angles = random(2, 3, 5, 8), random(5, 4, seed=1)
    kept = x.clone()
    cos, sin = angles.cos(), angles.sin()
    first, second = x.chunk(2, dim=-1)
    even, odd = x[..., ::2], x[..., 1::2]
    interleaved = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
    expect(
        f(x, angles),
        blocks.rotate(kept, angles),
        "rotate of a (2, 3, 5, 8) tensor by (5, 4) angles",
        mistakes={
            "you turned the pairs (0, 1), (2, 3), ...; here channel i is paired with channel i + head_width/2": interleaved,
            "you turned the right pairs, but wrote them back interleaved; first all first halves, then all second": torch.stack(
                [first * cos - second * sin, first * sin + second * cos], dim=-1
            ).flatten(-2),
            "you turned by minus the angle: a cos - b sin, then a sin + b cos": blocks.rotate(x, -angles),
            "cosine and sine have changed places": torch.cat(
                [first * sin - second * cos, first * cos + second * sin], -1
            ),
            "this is a reflection, not a rotation: one of the four signs is off, only the first sine is negative": torch.cat(
                [first * cos - second * sin, second * cos - first * sin], -1
            ),
            "both sines have a plus; a rotation has a minus in its first line": torch.cat(
                [first * cos + second * sin, first * sin + second * cos], -1
            ),
            "in the second half cosine and sine have changed places: a sin + b cos": torch.cat(
                [first * cos - second * sin, first * cos + second * sin], -1
            ),
            "in the first half cosine and sine have changed places: a cos - b sin": torch.cat(
                [first * sin - second * cos, first * sin + second * cos], -1
            ),
            "the two halves have changed places": torch.cat(
                [first * sin + second * cos, first * cos - second * sin], -1
            ),
            "the second half is turned from the new first half; keep the old one until both are done": torch.cat(
                [first * cos - second * sin, (first * cos - second * sin) * sin + second * cos], -1
            ),
        },
    )
    unchanged(kept, x, "x")


# ---------------------------------------------------------------- 02.3


def check_rotary_angles(f: Callable) -> None:
    line = torch.arange(6)[:, None]
    right = blocks.rotary_angles(line, 8)
    frequency = 10_000.0 ** -(torch.arange(4) / 4)
    expect(
        f(line, 8),
        right,
        "rotary_angles of 6 cells on a line, head width 8",
        mistakes={
            "the frequencies grow; they should fall from 1 down": line * 10_000.0 ** (torch.arange(4) / 4),
            "every pair turns at the same frequency": (line * torch.ones(4)).float(),
            "the frequencies fall too slowly: the exponent is -i / share, for i = 0 to share - 1": line
            * 10_000.0 ** -(torch.arange(4) / 8),
            "the frequencies fall too fast: the exponent is -i / share, for i = 0 to share - 1": line
            * 10_000.0 ** -(2 * torch.arange(4) / 4),
            "you began with i = 1; the first pair turns at frequency 1": line * 10_000.0 ** -(torch.arange(1, 5) / 4),
            "these frequencies reach 1 / base exactly; divide i by share, not by share - 1": line
            * 10_000.0 ** -(torch.arange(4) / 3),
            "the positions are counted from 1; use them as they are": (line + 1) * frequency,
        },
    )
    board = torch.tensor([[0, 0], [0, 1], [1, 0], [2, 5]])
    share = 10_000.0 ** -(torch.arange(4) / 4)
    expect(
        f(board, 16),
        blocks.rotary_angles(board, 16),
        "rotary_angles of 4 cells on a board, head width 16",
        mistakes={
            "the axes are added up; each axis has pairs of its own": (
                board[:, :, None] * 10_000.0 ** -(torch.arange(8) / 8)
            ).sum(1),
            "row and column take turns; give the first share of the pairs to axis 0, the next to axis 1": (
                board[:, :, None] * share
            )
            .transpose(1, 2)
            .flatten(1),
            "the two axes have changed places": (board.flip(1)[:, :, None] * share).flatten(1),
            "each axis should have all frequencies from 1 down, within its own share of the pairs": (
                board.repeat_interleave(4, dim=1) * 10_000.0 ** -(torch.arange(8) / 8)
            ),
            "the exponent is -i / share with the share of one axis, here 4 pairs; you divide by all 8": (
                board[:, :, None] * 10_000.0 ** -(torch.arange(4) / 8)
            ).flatten(1),
            "the second axis is missing: its pairs do not turn": F.pad(board[:, :1] * share, (0, 4)),
        },
    )
    cube = torch.tensor([[5, 6, 7], [1, 2, 3]])
    expect(
        f(cube, 8),
        blocks.rotary_angles(cube, 8),
        "rotary_angles of 2 cells with 3 axes, head width 8 (4 pairs, one for each axis, and one left over that turns by 0)",
    )


# ---------------------------------------------------------------- 02.4


def centred_window(cells: int, window: int) -> Tensor:
    """(cells, cells) bool: may cell i look at cell j? Yes if j is one of the ``window`` cells centred on i."""
    place = torch.arange(cells)
    return (place[:, None] - place).abs() <= window // 2


def check_window_mask(f: Callable) -> None:
    place = torch.arange(9)
    away = place - place[:, None]
    expect(
        f(9, 5),
        centred_window(9, 5),
        "window_mask(9, 5)",
        mistakes={
            "this reaches 5 cells to each side; 5 is the whole window, so it reaches 2": away.abs() <= 5,
            "this reaches 4 cells to each side; the window of 5 is centred on the cell, so it reaches 2": away.abs()
            <= 4,
            "this reaches 3 cells to each side; the window of 5 is centred on the cell, so it reaches 2": away.abs()
            <= 3,
            "this reaches 1 cell to each side; is there a < where <= is meant?": away.abs() <= 1,
            "a cell cannot see itself here; it is in the middle of its own window": (away.abs() <= 2) & (away != 0),
            "this is the opposite: True should mean that a cell may look": away.abs() > 2,
            "cells see only to the left; the window is centred": (away <= 0) & (away >= -2),
            "cells see only the 5 cells that end with themselves; the window is centred": (away <= 0) & (away > -5),
            "cells see only to the right; the window is centred": (away >= 0) & (away <= 2),
            "every cell sees every other: the window is not used": away == away,
        },
    )
    expect(f(4, 1), centred_window(4, 1), "window_mask(4, 1), where a cell sees itself alone")
    expect(f(3, 7), centred_window(3, 7), "window_mask(3, 7), a window wider than the line")


# ---------------------------------------------------------------- 02.5


def cone(mask: Tensor, loops: int) -> Tensor:
    """(cells, cells) bool: can the state of cell i after ``loops`` loops depend on the start of cell j?"""
    return torch.linalg.matrix_power(mask.double(), loops) > 0


def check_light_cone(f: Callable) -> None:
    mask = centred_window(20, 5)
    expect(
        f(mask, 1),
        mask,
        "light_cone(mask, 1), which is the mask itself",
        mistakes={
            "this is the cone of 0 loops, one too few": torch.eye(20) > 0,
            "this is the cone of 2 loops, one too many": cone(mask, 2),
        },
    )
    expect(
        f(mask, 4),
        cone(mask, 4),
        "light_cone of window_mask(20, 5) and 4 loops",
        mistakes={
            "this is the cone of 1 loop; news travels on with every loop": mask,
            "this is the cone of 3 loops, one too few": cone(mask, 3),
            "this is the cone of 5 loops, one too many": cone(mask, 5),
            "these are the cells *outside* the cone": ~cone(mask, 4),
            "the cone doubles with every loop here; each loop adds one step of the mask": cone(mask, 8),
            "every cell sees every other; after 4 loops of reach 2 that is 8 cells, not all": torch.ones(20, 20) > 0,
            "these are the counts of ways, not whether there is one: compare with 0": torch.linalg.matrix_power(
                mask.double(), 4
            ),
        },
    )
    seen = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=torch.bool)
    expect(
        f(seen, 2),
        cone(seen, 2),
        "light_cone of a mask in which cells look to the left only",
        mistakes={"the arrow points the wrong way: entry (i, j) says that i can hear from j": cone(seen, 2).T},
    )
    gaps = torch.eye(6, dtype=torch.bool) | torch.eye(6, dtype=torch.bool).roll(3, 0)
    expect(f(gaps, 3), cone(gaps, 3), "light_cone of a mask with gaps (use the mask, not only its width)")
    expect(f(mask, 40), torch.ones(20, 20) > 0, "light_cone(mask, 40), by when everybody has heard from everybody")


# ---------------------------------------------------------------- 02.6


def normalized_attention(q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention with normalized queries and keys. All of (batch, heads, cells, head_width)."""
    q, k = blocks.rms_norm(q) * temperature, blocks.rms_norm(k)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def check_attend(f: Callable) -> None:
    q, k, v = (2 * random(2, 3, 7, 4, seed=seed) for seed in range(3))
    temperature = torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)
    mask = centred_window(7, 5)
    kept = [part.clone() for part in (q, k, v)]
    qn, kn = blocks.rms_norm(q), blocks.rms_norm(k)
    sdpa = F.scaled_dot_product_attention
    scores = qn * temperature @ kn.mT / 2
    off = scores.masked_fill(~mask, float("-inf"))
    expect(
        f(q, k, v, temperature, mask),
        normalized_attention(*kept, temperature, mask),
        "attend with a window mask",
        mistakes={
            "q and k are not normalized": sdpa(q * temperature, k, v, attn_mask=mask),
            "k is not normalized": sdpa(qn * temperature, k, v, attn_mask=mask),
            "q is not normalized": sdpa(q * temperature, kn, v, attn_mask=mask),
            "v is normalized too; only q and k make scores": sdpa(
                qn * temperature, kn, blocks.rms_norm(v), attn_mask=mask
            ),
            "the temperature is missing": sdpa(qn, kn, v, attn_mask=mask),
            "the scores are divided by the temperature; multiply": sdpa(qn / temperature, kn, v, attn_mask=mask),
            "the temperature multiplies twice, in q and in k; the scores need it once": sdpa(
                qn * temperature, kn * temperature, v, attn_mask=mask
            ),
            "the scores are not divided by the root of head_width": (off * 2).softmax(-1) @ v,
            "the scores are divided by head_width; divide by its root": (off / 2).softmax(-1) @ v,
            "the softmax runs over the queries; for each query the weights of the *keys* add up to 1 (dim=-1)": off.softmax(
                -2
            ).nan_to_num()
            @ v,
            "the mask is not used": sdpa(qn * temperature, kn, v),
            "the mask is upside down: True means that a cell may look": scores.masked_fill(mask, float("-inf"))
            .softmax(-1)
            .nan_to_num()
            @ v,
            "the mask comes after the softmax, so the weights no longer add up to 1: put -inf into the scores before it": (
                scores.softmax(-1) * mask
            )
            @ v,
            "masked scores are 0, which is a score like any other: put -inf there": (scores * mask).softmax(-1) @ v,
            "these are the weights mixed the wrong way round: weights @ v": scores.masked_fill(~mask, float("-inf"))
            .softmax(-1)
            .mT
            @ v,
        },
    )
    for before, after, name in zip(kept, (q, k, v), "qkv", strict=True):
        unchanged(before, after, name)
    try:
        unmasked = f(q, k, v, temperature, None)
    except (TypeError, AttributeError) as error:
        raise Mistake("attend with mask=None: then there is nothing to mask, so test for None first.") from error
    expect(
        unmasked,
        normalized_attention(q, k, v, temperature),
        "attend without a mask (mask=None: everybody sees everybody)",
    )


# ---------------------------------------------------------------- 02.7


def post_norm_block(z: Tensor, angles: Tensor, w: Block) -> Tensor:
    """One loop of the block ``w``: attention and MLP, each added to the stream and then normalized."""
    z = w.add(z, w.attention(z, angles), 0)
    return w.add(z, w.mlp(z), 1)


def check_block(f: Callable) -> None:
    torch.manual_seed(1)
    w = Block(16, "none", "post", heads=2, window=5).requires_grad_(False)
    for norm in w.norm_out:
        norm.gain.uniform_(0.5, 1.5)
    z, angles = 2 * random(2, 9, 16), blocks.rotary_angles(torch.arange(9)[:, None], 8)
    kept = z.clone()
    mlp, (first, second) = w.mlp, w.norm_out

    def attention(z: Tensor) -> Tensor:
        return w.attention(z, angles)

    middle = first(z + attention(z))
    expect(
        f(z, angles, w),
        post_norm_block(kept, angles, w),
        "one loop of a block of width 16",
        mistakes={
            "the MLP reads the state from before the attention; let it read the new one": second(middle + mlp(z)),
            "the MLP's output is added to the state from before the attention": second(z + mlp(middle)),
            "both branches read the old state side by side; here the MLP comes after the attention": second(
                z + attention(z) + mlp(z)
            ),
            "the MLP branch is missing": middle,
            "the attention branch is missing": second(z + mlp(z)),
            "the MLP came first; here attention does": second((m := first(z + mlp(z))) + attention(m)),
            "the residual is missing: each branch is *added* to the stream, z + F(z)": second(mlp(first(attention(z)))),
            "the MLP's residual is missing: N(z + F(z))": second(mlp(middle)),
            "the norms are missing": z + attention(z) + mlp(z + attention(z)),
            "the last norm is missing": middle + mlp(middle),
            "the norm after the attention is missing": second((a := z + attention(z)) + mlp(a)),
            "the norms sit inside the branches (that is pre-norm, lesson 03); here each comes after the sum": (
                (p := z + attention(first(z))) + mlp(second(p))
            ),
            "the branch is normalized before it is added (that is peri-norm, lesson 03); here the sum is": (
                (p := z + first(attention(z))) + second(mlp(p))
            ),
            "both norms use the same gain; the second is w.norm_out[1]": first(middle + mlp(middle)),
            "the two norms have changed places": first((s := second(z + attention(z))) + mlp(s)),
            "the gains of the norms are missing": blocks.rms_norm((g := blocks.rms_norm(z + attention(z))) + mlp(g)),
        },
    )
    unchanged(kept, z, "z")


# ---------------------------------------------------------------- 02.8


def block_parameters(width: int, heads: int, layers: int, shared: bool, mlp_ratio: int = 4) -> int:
    """Trainable numbers in ``layers`` post-norm blocks without recall, which share their weights or do not."""
    attention = 4 * width**2 + heads  # Wq, Wk, Wv, Wo, and a temperature per head
    mlp = 2 * mlp_ratio * width**2 + mlp_ratio * width + width  # two matrices and their biases
    return (attention + mlp + 2 * width) * (1 if shared else layers)  # two norms with a gain per channel


def check_parameters(f: Callable) -> None:
    def count(width: int, heads: int, **part: int) -> int:
        sizes = {"qkv": 3 * width**2, "out": width**2, "temperature": heads, "matrices": 8 * width**2}
        sizes |= {"up": 4 * width, "down": width, "gains": 2 * width} | part
        return sum(sizes.values())

    one, d = block_parameters(64, 4, 1, True), 64
    expect(
        f(64, 4, 1, True),
        one,
        "the parameters of one block of width 64 with 4 heads",
        mistakes={
            "the biases of the MLP are missing": count(d, 4, up=0, down=0),
            "the bias of the MLP's second matrix is missing": count(d, 4, down=0),
            "the bias of the MLP's first matrix is missing, 4 x width numbers": count(d, 4, up=0),
            "the temperatures are missing, one for each head": count(d, 4, temperature=0),
            "there is one temperature a head, not one a channel": count(d, 4, temperature=d),
            "there is one temperature a head, not one for all": count(d, 4, temperature=1),
            "the gains of the two norms are missing": count(d, 4, gains=0),
            "there are two norms, and each has its own gain": count(d, 4, gains=d),
            "the attention's output matrix is missing": count(d, 4, out=0),
            "queries, keys and values need a matrix each": count(d, 4, qkv=d**2),
            "each head has its own share of the width, so the four matrices are width x width together": count(
                d, 4, qkv=12 * d**2
            ),
            "the attention's matrices have no biases here": one + 4 * d,
            "the MLP has two matrices": count(d, 4, matrices=4 * d**2),
            "the MLP is 4 times wider inside": count(d, 4, matrices=2 * d**2),
        },
        tol=EXACT,
    )
    expect(
        f(64, 4, 30, True),
        one,
        "the parameters of 30 loops of one block",
        mistakes={"a loop does not add parameters: all 30 loops share the block's": 30 * one},
        tol=EXACT,
    )
    expect(
        f(64, 4, 30, False),
        30 * one,
        "the parameters of 30 layers that share nothing",
        mistakes={"each layer has parameters of its own": one},
        tol=EXACT,
    )
    right = block_parameters(96, 6, 2, False)
    expect(f(96, 6, 2, False), right, "the parameters of 2 layers of width 96 with 6 heads", tol=EXACT)


rms_norm = Exercise(
    "02.1",
    "RMSNorm from its definition",
    rms_norm_with_gain,
    check_rms_norm,
    seen="With gains of 1 every vector now has length sqrt(width), whatever it was before.",
)
rotate = Exercise(
    "02.2",
    "turn pairs of channels",
    blocks.rotate,
    check_rotate,
    seen="A vector keeps its length and changes its direction by where its cell stands.",
)
rotary_angles = Exercise(
    "02.3",
    "angles for lines and boards",
    blocks.rotary_angles,
    check_rotary_angles,
    seen="It works for lines, boards and anything with more axes.",
)
window_mask = Exercise(
    "02.4",
    "a window on the line",
    centred_window,
    check_window_mask,
    seen="A band along the diagonal: each cell sees itself and its neighbours.",
)
light_cone = Exercise(
    "02.5",
    "the light cone of a mask",
    cone,
    check_light_cone,
    seen="Now you can say before any training how many loops a problem needs at the very least.",
)
attend = Exercise(
    "02.6",
    "attention with normalized queries and keys",
    normalized_attention,
    check_attend,
    seen="Your attention is PyTorch's, written out.",
)
block = Exercise(
    "02.7",
    "the block",
    post_norm_block,
    check_block,
    seen="This is the whole of what a looped transformer repeats.",
)
parameters = Exercise(
    "02.8",
    "30 loops against 30 layers",
    block_parameters,
    check_parameters,
    seen="Compare it with what PyTorch counts, in the next cell.",
)
