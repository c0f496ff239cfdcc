"""Mutants for lesson 02: wrong answers must be told what is wrong, right ones written another way must pass."""

import ast
from pathlib import Path

import jupytext
import torch
import torch.nn.functional as F
from mutants import *  # noqa: F403 - the tests, and the hook that deals out the answers

from looped_lite import blocks
from looped_lite.blocks import Block
from looped_lite.exercises import Exercise
from looped_lite.exercises import lesson_02 as ex

SOURCE = Path(__file__).parents[1] / "lessons" / "02_a_loop_block_from_scratch.py"
EXERCISES = {name: value for name, value in vars(ex).items() if isinstance(value, Exercise)}


def frequency(share, base=10_000.0):
    return base ** -(torch.arange(share) / share)


def in_place(x, gain):
    x /= x.square().mean(-1, keepdim=True).sqrt() + 1e-9
    return x * gain


def softmax_by_hand(q, k, v, temperature, mask=None):
    q, k = (F.normalize(part, dim=-1, eps=1e-9) for part in (q, k))
    weights = (temperature * torch.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** 0.5).exp()
    weights = weights if mask is None else weights * mask
    return torch.einsum("bhij,bhjd->bhid", weights / weights.sum(-1, keepdim=True), v)


def masked_after(q, k, v, temperature, mask=None):
    scores = temperature * blocks.rms_norm(q) @ blocks.rms_norm(k).mT / q.shape[-1] ** 0.5
    return (scores.softmax(-1) * (1 if mask is None else mask)) @ v


def by_paths(mask, loops):
    heard = mask.clone()
    for _ in range(loops - 1):
        heard = (heard[:, :, None] & mask[None]).any(1)
    return heard


def reach_alone(mask, loops):
    reach = (int(mask.sum(1).max()) - 1) // 2 * loops
    return ex.centred_window(len(mask), 2 * reach + 1)


def by_pairs(positions, width, base=10_000.0):
    share = width // 2 // positions.shape[1]
    angles = [[float(p * base ** (-i / share)) for p in cell for i in range(share)] for cell in positions]
    return torch.tensor([row + [0.0] * (width // 2 - len(row)) for row in angles])


def without_leftover(positions, width):
    return (positions[:, :, None] * frequency(width // 2 // positions.shape[1])).flatten(1)


def summed(positions, width):
    return (positions[:, :, None] * frequency(width // 2)).sum(1)


def rotate_complex(x, angles):
    first, second = x.chunk(2, dim=-1)
    turned = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], dim=-1)


def rotate_neighbours(x, angles):
    a, b = x[..., ::2], x[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


def pre_norm(z, angles, w):
    z = z + w.attention(w.norm_out[0](z), angles)
    return z + w.mlp(w.norm_out[1](z))


def old_state(z, angles, w):
    middle = w.norm_out[0](z + w.attention(z, angles))
    return w.norm_out[1](middle + w.mlp(z))


def no_residual(z, angles, w):
    return w.norm_out[1](w.mlp(w.norm_out[0](w.attention(z, angles))))


def one_gain(z, angles, w):
    z = w.norm_out[0](z + w.attention(z, angles))
    return w.norm_out[0](z + w.mlp(z))


def spelled_out(z, angles, w):
    for branch, norm in ((lambda u: w.attention(u, angles), w.norm_out[0]), (w.mlp, w.norm_out[1])):
        total = z + branch(z)
        z = total / total.square().mean(-1, keepdim=True).add(1e-6).sqrt() * norm.gain
    return z


RIGHT = {
    "rms_norm": [
        lambda x, gain: gain * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt(),
        lambda x, gain: F.rms_norm(x, gain.shape, gain, 1e-6),
        lambda x, g, eps=1e-6: x.double() * (x.double().pow(2).sum(-1, True) / x.shape[-1] + eps) ** -0.5 * g,
    ],
    "rotate": [rotate_complex, lambda x, a: blocks.rotate(x.double(), a.double())],
    "rotary_angles": [by_pairs, lambda p, head_width, base=1e4: blocks.rotary_angles(p.double(), head_width, base)],
    "window_mask": [
        lambda cells, window: torch.tensor(
            [[abs(i - j) <= (window - 1) // 2 for j in range(cells)] for i in range(cells)]
        ),
        lambda cells, window: torch.ones(cells, cells).tril(window // 2).triu(-(window // 2)) > 0,
    ],
    "light_cone": [by_paths, lambda mask, loops: torch.linalg.matrix_power(mask.float(), loops) > 0],
    "attend": [
        softmax_by_hand,
        lambda q, k, v, temperature, mask: F.scaled_dot_product_attention(
            blocks.rms_norm(q), blocks.rms_norm(k) * temperature, v, attn_mask=mask
        ),
    ],
    "block": [spelled_out, lambda z, angles, w: w(z, None, angles)],
    "parameters": [
        lambda d, heads, layers, shared, r=4: (
            (1 if shared else layers) * (4 * d * d + heads + 2 * r * d * d + r * d + 3 * d)
        ),
        lambda width, heads, layers, shared: torch.tensor(
            sum(p.numel() for p in Block(width, "none", "post", heads=heads).parameters()) * (layers, 1)[shared]
        ),
    ],
}

WRONG = {
    "rms_norm": [
        (lambda x, gain: x / x.norm(dim=-1, keepdim=True) * gain, "take the mean over the channels"),
        (lambda x, gain: F.layer_norm(x, gain.shape, gain), "does not subtract the mean"),
        (lambda x, gain: blocks.rms_norm(x), "the gain is missing"),
        (lambda x, gain: blocks.rms_norm(x) + gain, "it multiplies"),
        (lambda x, gain: x / x.square().mean(-1, True) * gain, "take its root first"),
        (lambda x, gain: x / x.square().mean(-1, True).sqrt() * gain, "values are NaN"),
        (lambda x, gain: x / x.square().mean(1, keepdim=True).sqrt() * gain, "over the last axis"),
        (lambda x, gain: x / x.square().mean().sqrt() * gain, "one for each vector"),
        (lambda x, gain: x / x.square().mean(-1).sqrt() * gain, "RuntimeError"),
        (lambda x, gain: blocks.rms_norm(x) @ gain, "expected shape (2, 5, 8), got (2, 5)"),
        (in_place, "changed in place"),
    ],
    "rotate": [
        (rotate_neighbours, "channel i is paired with channel i + head_width/2"),
        (lambda x, a: blocks.rotate(x, -a), "minus the angle"),
        (
            lambda x, a: torch.cat([blocks.rotate(x, a)[..., :4], blocks.rotate(x, -a).roll(4, -1)[..., 4:]], -1),
            "second half cosine and sine",
        ),
        (lambda x, a: blocks.rotate(x, torch.pi / 2 - a), "cosine and sine have changed places"),
        (lambda x, a: x * torch.cat([a.cos(), a.cos()], -1), "off"),
        (lambda x, a: blocks.rotate(x, a).chunk(2, -1), "expected a tensor"),
        (lambda x, a: x[..., :4] * a.cos() - x[..., 4:] * a.sin(), "expected shape (2, 3, 5, 8), got (2, 3, 5, 4)"),
    ],
    "rotary_angles": [
        (summed, "each axis has pairs of its own"),
        (without_leftover, "expected shape (2, 4), got (2, 3)"),
        (lambda p, w: blocks.rotary_angles(p + 1, w), "counted from 1"),
        (lambda p, w: blocks.rotary_angles(p.flip(1), w), "changed places"),
        (lambda p, w: blocks.rotary_angles(p, w, 0.0001), "should fall from 1 down"),
        (lambda p, w: blocks.rotary_angles(p, 2 * w), "expected shape (6, 4), got (6, 8)"),
        (lambda p, w: blocks.rotary_angles(p[:, :1], w), "off"),
        (lambda p, w: by_pairs(p, w, 10_000.0 ** (1 / p.shape[1])), "share of one axis"),
    ],
    "window_mask": [
        (lambda cells, window: ex.centred_window(cells, 2 * window + 1), "5 is the whole window"),
        (lambda cells, window: ~ex.centred_window(cells, window), "this is the opposite"),
        (lambda cells, window: ex.centred_window(cells, window).tril(), "only to the left"),
        (lambda cells, window: ex.centred_window(cells, window).float(), "dtype bool"),
        (lambda cells, window: ex.centred_window(cells, window) & ~torch.eye(cells).bool(), "see itself"),
        (lambda cells, window: ex.centred_window(cells, window - 2), "a < where <="),
        (lambda cells, window: ex.centred_window(cells, window).tolist(), "expected a tensor"),
    ],
    "light_cone": [
        (lambda mask, loops: mask, "news travels on"),
        (lambda mask, loops: mask @ mask, "stopped with"),
        (lambda mask, loops: ex.cone(mask, loops + 1), "one too many"),
        (lambda mask, loops: ex.cone(mask, loops - 1), "one too few"),
        (lambda mask, loops: ex.cone(mask, loops).T, "the wrong way"),
        (reach_alone, "mask"),
        (lambda mask, loops: ex.cone(mask, loops).float(), "dtype bool"),
    ],
    "attend": [
        (
            lambda q, k, v, t, mask=None: F.scaled_dot_product_attention(q * t, k, v, attn_mask=mask),
            "q and k are not normalized",
        ),
        (lambda q, k, v, t, mask=None: ex.normalized_attention(q, k, v, 1 + 0 * t, mask), "temperature is missing"),
        (lambda q, k, v, t, mask=None: ex.normalized_attention(q, k, v, t), "the mask is not used"),
        (masked_after, "-inf into the scores before"),
        (lambda q, k, v, t, mask: ex.normalized_attention(q, k, v, t, ~(mask == 0)), "test for None first"),
        (lambda q, k, v, t, mask=None: ex.normalized_attention(q, k, v, 2 * t, mask), "not divided by the root"),
        (
            lambda q, k, v, t, mask=None: ex.normalized_attention(q, k, v, t, None if mask is None else ~mask),
            "upside down",
        ),
        (lambda q, k, v, t, mask: ex.normalized_attention(q, k, blocks.rms_norm(v), t, mask), "v is normalized too"),
        (lambda q, k, v, t, mask: (ex.normalized_attention(q, k, v, t, mask), None), "got tuple"),
    ],
    "block": [
        (pre_norm, "that is pre-norm"),
        (old_state, "let it read the new one"),
        (no_residual, "the residual is missing"),
        (one_gain, "the same gain"),
        (lambda z, angles, w: w.norm_out[0](z + w.attention(z, angles)), "the MLP branch is missing"),
        (lambda z, angles, w: w.norm_out[0](z), "off"),
        (lambda z, angles, w: None, "is there a return?"),
    ],
    "parameters": [
        (lambda d, heads, n, shared: (12 * d * d + heads + 2 * d) * (1 if shared else n), "biases of the MLP"),
        (lambda d, heads, n, shared: (12 * d * d + 7 * d) * (1 if shared else n), "temperatures are missing"),
        (lambda d, heads, n, shared: (12 * d * d + 5 * d + heads) * (1 if shared else n), "gains of the two norms"),
        (lambda d, heads, n, shared: n * ex.block_parameters(d, heads, n, True), "a loop does not add"),
        (lambda d, heads, n, shared: ex.block_parameters(d, heads, n, True), "parameters of its own"),
        (lambda d, heads, n, shared: str(ex.block_parameters(d, heads, n, shared)), "got str"),
        (lambda d, heads, n, shared: 49_604, "parameters of 30 layers"),
    ],
}


def test_the_lessons_solutions_are_right_and_every_exercise_is_in_the_lesson():
    """Run the exercise cells of the source, solutions and all, and what they lean on."""
    cells = [cell for cell in jupytext.read(SOURCE).cells if cell.cell_type == "code"]
    space = {"torch": torch, "F": F, "ex": ex, "Block": Block}
    for cell in cells:
        tree = ast.parse(cell.source)
        tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        exec(compile(tree, str(SOURCE), "exec"), space)
    assert {name: one.state for name, one in EXERCISES.items()} == dict.fromkeys(EXERCISES, "solved")
