"""The parts of one loop: each against a definition written another way, or against a property that it must have."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from looped_lite.blocks import (
    MLP,
    NORMS,
    RECALLS,
    Attention,
    Block,
    GRUGate,
    Recall,
    RMSNorm,
    rms_norm,
    rotary_angles,
    rotate,
    windowed_attention,
)

VARIANTS = list(product(RECALLS, NORMS))


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def line(cells, head_width=8):
    return rotary_angles(torch.arange(cells)[:, None], head_width)


def block(recall, norm, seed=0, width=16, **attention):
    torch.manual_seed(seed)
    return Block(width, recall, norm, **{"heads": 2, "window": 5, **attention})


def step(block, z, h, angles):
    """One loop of one block: what is recalled of ``h`` is made anew each time."""
    return block(z, block.recalled(h), angles)


# ---------------------------------------------------------------- normalization


def test_rms_norm_gives_every_vector_the_length_sqrt_width():
    x = 10 * random(2, 3, 16)
    assert torch.allclose(rms_norm(x).norm(dim=-1), torch.full((2, 3), 4.0), atol=1e-4)
    assert torch.allclose(rms_norm(x), x / x.norm(dim=-1, keepdim=True) * 4, atol=1e-5)
    assert torch.allclose(rms_norm(1000 * x), rms_norm(x), atol=1e-5)
    assert torch.equal(rms_norm(torch.zeros(2, 8)), torch.zeros(2, 8))


def test_rms_norm_layer_is_rms_norm_times_gain():
    layer, x = RMSNorm(8), random(2, 3, 8)
    assert torch.allclose(layer(x), rms_norm(x), atol=1e-6)
    torch.nn.init.uniform_(layer.gain)
    assert torch.allclose(layer(x), rms_norm(x) * layer.gain, atol=1e-6)


# ---------------------------------------------------------------- rotary positions


@pytest.mark.parametrize("axes, head_width", [(1, 8), (2, 8), (2, 16), (3, 16)])
def test_scores_depend_on_offsets_alone(axes, head_width):
    positions = torch.randint(0, 50, (12, axes), generator=torch.Generator().manual_seed(1))
    shift = torch.tensor([7, -3, 11])[:axes]
    q, k = random(12, head_width), random(12, head_width, seed=1)
    scores = [
        rotate(q, rotary_angles(at, head_width)) @ rotate(k, rotary_angles(at, head_width)).T
        for at in (positions, positions + shift)
    ]
    assert torch.allclose(*scores, atol=1e-3)
    unturned = q @ k.T
    assert not torch.allclose(scores[0], unturned, atol=0.1)  # and they do depend on them
    assert torch.allclose(scores[0].diagonal(), unturned.diagonal(), atol=1e-4)  # offset 0 turns by nothing


def test_rotation_keeps_lengths_and_treats_axes_alike():
    x = random(5, 16)
    angles = rotary_angles(torch.arange(5)[:, None], 16)
    assert angles.shape == (5, 8)
    assert torch.allclose(rotate(x, angles).norm(dim=-1), x.norm(dim=-1), atol=1e-5)
    board = rotary_angles(torch.tensor([[3, 3]]), 16)[0]
    assert torch.equal(board[:4], board[4:])
    assert torch.equal(
        rotary_angles(torch.tensor([[5, 6, 7]]), 8)[0, 3:], torch.zeros(1)
    )  # 4 pairs, 3 axes: one is left over


def test_attention_is_the_same_wherever_the_line_begins():
    """Also through q/k normalization: the scores that attention really uses depend on offsets alone."""
    torch.manual_seed(0)
    attention, z = Attention(16, heads=2), random(2, 9, 16)
    near, far = (attention(z, rotary_angles(torch.arange(9)[:, None] + start, 8)) for start in (0, 100))
    assert torch.allclose(near, far, atol=1e-4)


# ---------------------------------------------------------------- attention


@pytest.mark.parametrize("cells", [1, 2, 3, 4, 5, 6, 9, 16, 33])
@pytest.mark.parametrize("window", [1, 3, 5, 9])
def test_windowed_attention_is_masked_full_attention(cells, window):
    q, k, v = (random(2, 3, cells, 8, seed=s).requires_grad_() for s in range(3))
    place = torch.arange(cells)
    mask = (place[:, None] - place[None, :]).abs() <= window // 2
    ours, full = windowed_attention(q, k, v, window), F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert torch.allclose(ours, full, atol=1e-5)
    weight = random(*ours.shape, seed=9)
    for mine, theirs in zip(
        torch.autograd.grad((ours * weight).sum(), (q, k, v)),
        torch.autograd.grad((full * weight).sum(), (q, k, v)),
        strict=True,
    ):
        assert torch.allclose(mine, theirs, atol=1e-5)


class Sizes(TorchDispatchMode):
    """Counts the numbers that every operation makes while it is open, forward and backward."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.made += [t.numel() for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        return out


def test_windowed_attention_costs_cells_times_window():
    """Counted in numbers made, forward and backward: four times the cells, four times the cost."""

    def cost(cells, window):
        attention = Attention(16, heads=2, window=window)
        z, angles = random(1, cells, 16).requires_grad_(), line(cells)
        with Sizes() as sizes:
            attention(z, angles).sum().backward()
        return sum(sizes.made), max(sizes.made)

    (few, few_at_once), (many, many_at_once) = cost(256, 5), cost(1024, 5)
    assert 3.9 < many / few < 4.1 and 3.9 < many_at_once / few_at_once < 4.1
    assert many_at_once < 1024 * 1024 / 4  # never a (cells, cells) matrix
    assert cost(256, 15)[0] < 3 * few


def test_flops_of_a_windowed_block_are_linear_in_length():
    def flops(cells):
        z = random(1, cells, 16)
        with FlopCounterMode(display=False) as counter:
            step(block("internal", "post"), z, z, line(cells)).sum().backward()
        return counter.get_total_flops()

    assert flops(1024) == 4 * flops(256)


@pytest.mark.parametrize("recall, norm", VARIANTS)
def test_light_cone(recall, norm):
    """A loop carries news window // 2 cells far: one changed cell is felt up to there, and no further."""
    window, cells, at = 5, 41, 20
    loop, h = block(recall, norm, window=window).double(), random(1, cells, 16).double()
    moved = h.clone()
    moved[0, at] += 1
    z, y = h, moved
    for loops in range(1, 6):
        z, y = step(loop, z, h, line(cells)), step(loop, y, moved, line(cells))
        felt = (z != y).any(-1)[0].nonzero().flatten()
        assert felt.min() == at - loops * (window // 2) and felt.max() == at + loops * (window // 2)


@pytest.mark.parametrize("window", [1, 5])
def test_jacobian_obeys_the_light_cone(window):
    torch.manual_seed(0)
    attention, cells = Attention(8, heads=1, window=window), 9
    jacobian = torch.autograd.functional.jacobian(lambda z: attention(z, line(cells)), random(1, cells, 8))
    size = jacobian[0, :, :, 0].abs().amax(dim=(1, 3))  # (cells, cells)
    place = torch.arange(cells)
    assert torch.equal(size > 0, (place[:, None] - place).abs() <= window // 2)


def test_masks_and_offsets():
    torch.manual_seed(0)
    z, angles = random(2, 6, 16), line(6)
    mask = torch.stack([torch.eye(6, dtype=torch.bool), torch.ones(6, 6, dtype=torch.bool)])
    attention = Attention(16, heads=2, mask=mask)
    v = attention.qkv(z).view(2, 6, 3, 2, 8)[:, :, 2]
    attention.out.weight.data.copy_(torch.eye(16))
    assert torch.allclose(attention(z, angles)[..., :8], v[:, :, 0], atol=1e-6)  # the first head sees its own cell only

    offsets = (torch.arange(6)[:, None] - torch.arange(6)).clamp(-1, 1) + 1  # 0: to the right, 1: here, 2: to the left
    plain, biased = (Attention(16, heads=2, offsets=o) for o in (None, offsets))
    biased.load_state_dict(plain.state_dict(), strict=False)
    assert torch.allclose(plain(z, angles), biased(z, angles), atol=1e-6)  # biases start at zero
    biased.bias.data[:, :2] = -100.0  # look to the left only
    right_moved = torch.cat([z[:, :2], z[:, 2:] + 1], dim=1)
    assert torch.allclose(biased(z, angles)[:, 1], biased(right_moved, angles)[:, 1], atol=1e-5)
    assert not torch.allclose(plain(z, angles)[:, 1], plain(right_moved, angles)[:, 1], atol=1e-2)
    biased(z, angles).sum().backward()
    assert biased.bias.grad.abs().sum() > 0
    both = Attention(16, heads=2, mask=mask, offsets=offsets)
    assert both.score_bias()[0, 0].isinf().sum() == 30 and both(z, angles).isfinite().all()


def test_queries_and_keys_are_normalized():
    """However large the weights of queries and keys grow, no score is larger than temperature x sqrt(head width)."""
    torch.manual_seed(0)
    attention, z = Attention(16, heads=2), random(2, 7, 16)
    before = attention(z, line(7))
    attention.qkv.weight.data[:32] *= 100.0
    assert torch.allclose(before, attention(z, line(7)), atol=1e-4)
    attention.temperature.data.fill_(100.0)  # the knob that sharpens instead
    sharp = attention(z, line(7))
    assert not torch.allclose(before, sharp, atol=1e-2)
    q, k = (rms_norm(random(1000, 8, seed=s)) for s in (0, 1))
    assert ((q * k).sum(-1) / math.sqrt(8)).abs().max() <= math.sqrt(8) + 1e-4


# ---------------------------------------------------------------- branches


def test_mlp_acts_on_each_cell_alone():
    torch.manual_seed(0)
    mlp, z = MLP(8), random(2, 5, 8)
    assert mlp.up.out_features == 32 and MLP(8, 2).up.out_features == 16
    assert torch.allclose(mlp(z)[:, 3], mlp(z[:, 3]), atol=1e-6)


def test_recall_begins_as_a_sum():
    z, h = random(2, 5, 8), random(2, 5, 8, seed=1)
    recall = Recall(8)
    assert torch.allclose(recall(z, recall.Wh(h)), z + h, atol=1e-6)


def test_gru_gate_stays_between():
    torch.manual_seed(0)
    gate, z = GRUGate(8), random(3, 5, 8).clamp(-1, 1)
    for _ in range(50):
        z = gate(z, 100 * random(3, 5, 8))
        assert z.abs().max() <= 1
    assert gate.gate.bias.eq(-1).all()  # begins by changing the state slowly
    gate.gate.bias.data.fill_(-100.0)  # closed: nothing passes
    assert torch.equal(gate(z, random(3, 5, 8)), z)
    gate.gate.bias.data.fill_(100.0)  # open: the candidate alone
    update = random(3, 5, 8)
    both = torch.cat([z, update], -1)
    expected = gate.candidate(torch.cat([gate.reset(both).sigmoid() * z, update], -1)).tanh()
    assert torch.allclose(gate(z, update), expected, atol=1e-6)


def by_hand(b, z, h, angles):
    """The block once more, written from the formulas of its docstring."""
    mixed = lambda x: x @ b.recall.Wz.weight.T + h @ b.recall.Wh.weight.T
    u = lambda x: mixed(x) if b.recall_at == "internal" else x
    if b.recall_at == "external":
        z = mixed(z)
    for i, branch in enumerate((lambda x: b.attention(x, angles), b.mlp)):
        n, m = b.norm_in[i], b.norm_out[i]
        if b.norm_at == "pre":
            z = z + branch(u(n(z)))
        elif b.norm_at == "peri":
            z = z + m(branch(u(n(z))))
        elif b.norm_at == "post":
            z = m(z + branch(u(z)))
        elif b.norm_at == "sandwich":
            z = m(z + branch(u(n(z))))
        else:
            z = b.gates[i](z, branch(u(n(z))))
    return z


@pytest.mark.parametrize("recall, norm", VARIANTS)
def test_every_variant_builds_differentiates_and_is_what_it_says(recall, norm):
    b = block(recall, norm)
    z, h = random(2, 7, 16), random(2, 7, 16, seed=1)
    z.requires_grad_(), h.requires_grad_()
    out = step(b, z, h, line(7))
    assert out.shape == z.shape
    assert torch.allclose(out, by_hand(b, z, h, line(7)), atol=1e-6)
    (out * random(2, 7, 16, seed=2)).sum().backward()
    assert z.grad.abs().sum() > 0
    assert (h.grad is None) == (recall == "none")
    for name, parameter in b.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name


def test_block_gradients_are_right():
    """Against finite differences, in double precision."""
    for recall, norm in (("internal", "post"), ("external", "gru"), ("internal", "sandwich")):
        b = block(recall, norm, width=4, heads=1, window=3).double()
        z, h = random(1, 3, 4).double().requires_grad_(), random(1, 3, 4, seed=1).double().requires_grad_()
        assert torch.autograd.gradcheck(lambda z, h, b=b: step(b, z, h, line(3, 4).double()), (z, h))


@pytest.mark.parametrize("recall, norm", VARIANTS)
@torch.no_grad()
def test_which_states_stay_bounded(recall, norm):
    """Post and sandwich put every state on one sphere, and gru between old state and +-1, whatever the weights."""
    loop, h = block(recall, norm), random(2, 7, 16)
    for parameter in loop.mlp.parameters():
        parameter *= 5
    for scale in (1, 1000):
        z = scale * random(2, 7, 16, seed=1)
        for _ in range(100):
            z = step(loop, z, h, line(7))
        largest = z.norm(dim=-1).max()
        if norm in ("post", "sandwich"):
            assert abs(largest - 4) < 1e-3
        elif norm == "gru" and recall != "external":
            assert z.abs().max() <= 1.001 * scale * random(2, 7, 16, seed=1).abs().max()
        elif norm == "pre":
            assert largest > 10


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: Block(16, "inside", "post", heads=2),
            "unknown recall 'inside': expected one of none, external, internal",
        ),
        (
            lambda: Block(16, "none", "outer", heads=2),
            "unknown norm 'outer': expected one of pre, peri, post, sandwich, gru",
        ),
        (lambda: Attention(16, heads=3), "width 16 must be divisible by heads 3"),
        (lambda: Attention(16, heads=0), "width 16 must be divisible by heads 0"),
        (lambda: Attention(6, heads=2), "even number of channels"),
        (lambda: Attention(16, heads=2, window=4), "window must be an odd number of cells, got 4"),
        (lambda: Attention(16, heads=2, window=-1), "window must be an odd number of cells, got -1"),
        (
            lambda: Attention(16, heads=2, mask=torch.ones(3, 4, 4, dtype=torch.bool)),
            "mask must be bool of shape (2, cells, cells), got torch.bool (3, 4, 4)",
        ),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value) and "\n" not in str(caught.value)
