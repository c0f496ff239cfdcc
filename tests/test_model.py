"""The loop as a whole: starts, states, reading out, solving, and what a run without gradient keeps in memory."""

import gc
import weakref

import pytest
import torch

from looped_lite.blocks import NORMS, RECALLS
from looped_lite.model import LoopedTransformer, count_parameters
from looped_lite.tasks.prefix_sums import PrefixSums


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def model():
    return PrefixSums().model(0, width=16, heads=2)


@pytest.fixture
def x():
    return PrefixSums().encode("0110100")


# ---------------------------------------------------------------- the loop


def test_shapes_and_agreement_of_the_ways_to_loop(model, x):
    logits = model(x, 5)
    assert logits.shape == (1, 8, 2)
    f, h = model.loop(x)
    z = h
    for _ in range(5):
        z = f(z)
    states = list(model.states(x, 5))
    assert len(states) == 5 and torch.equal(states[-1], z) and torch.equal(model.read_out(z), logits)
    assert torch.equal(model.step(states[1], h), states[2])
    assert torch.equal(model.encode(x), h)


@pytest.mark.parametrize("recall", RECALLS)
@pytest.mark.parametrize("norm", NORMS)
def test_every_variant_runs_and_learns(recall, norm, x):
    model = PrefixSums().model(0, width=16, heads=2, recall=recall, norm=norm)
    model(x, 3).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_start_states(model, x):
    h = model.encode(x)
    assert torch.equal(model.start(h), h)
    assert torch.equal(model.start(h, "zeros"), torch.zeros_like(h))
    draw = lambda seed: model.start(h, "noise", torch.Generator().manual_seed(seed))
    assert torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))
    assert 0.5 < draw(0).std() < 1.5 and draw(0).shape == h.shape
    own = random(*h.shape)
    assert torch.equal(next(model.states(x, 1, own)), model.step(own, h))
    assert torch.equal(model(x, 3, h), model(x, 3))
    assert not torch.equal(model(x, 3, "zeros"), model(x, 3))


def test_recall_decides_what_the_loop_knows(x):
    """From zeros a loop without recall cannot tell two inputs apart; with recall it can."""
    other = PrefixSums().encode("1010011")
    for recall in RECALLS:
        model = PrefixSums().model(0, width=16, heads=2, recall=recall)
        assert torch.equal(model(x, 4, "zeros"), model(other, 4, "zeros")) == (recall == "none")


def test_instances_of_a_batch_do_not_mix(model):
    task = PrefixSums()
    both = torch.cat([task.encode("0110100"), task.encode("1110001")])
    assert torch.allclose(model(both, 4)[1:], model(both[1:], 4), atol=1e-6)


def test_memory_without_gradient_does_not_grow_with_loops(model, x):
    """Only one state is alive at any time, and nothing that a loop makes outlives it."""

    def tensors():
        gc.collect()
        return sum(type(o) is torch.Tensor for o in gc.get_objects())

    with torch.no_grad():
        alive, counts = [], {}
        for t, z in enumerate(model.states(x, 200)):
            alive.append(weakref.ref(z))
            assert sum(ref() is not None for ref in alive[-5:]) <= 2
            if t in (2, 199):
                counts[t] = tensors()
        assert counts[2] == counts[199] and sum(ref() is not None for ref in alive) == 1
        assert not z.requires_grad

        before = tensors()
        logits = model(x, 200)
        assert tensors() == before + 1 and logits.grad_fn is None


def test_blocks_and_the_fixed_baseline(x):
    task = PrefixSums()
    two = task.model(0, width=16, heads=2, blocks=2)
    z, h = random(1, 8, 16), two.encode(x)
    angles = two.angles(h)
    assert torch.equal(two.step(z, h), two.blocks[1](two.blocks[0](z, h, angles), h, angles))

    looped, fixed = (task.model(0, width=16, heads=2, blocks=b, recall="none") for b in (1, 15))
    assert fixed(x, 1).shape == (1, 8, 2)
    block = count_parameters(looped.blocks[0])
    assert count_parameters(fixed) == count_parameters(looped) + 14 * block
    first, last = fixed.blocks[0].mlp.up.weight, fixed.blocks[14].mlp.up.weight
    assert not torch.equal(first, last)  # unshared, so that each begins elsewhere


def test_cell_embedding_and_positions_without_a_task():
    torch.manual_seed(0)
    model = LoopedTransformer(3, 2, width=16, heads=2, cells=6)
    x = random(2, 6, 3)
    assert model(x, 2).shape == (2, 6, 2)
    model.cell_embedding.data[0] = 1.0
    assert torch.allclose(model.encode(x)[:, 0], model.embed(x)[:, 0] + 1)
    assert torch.equal(model.encode(x)[:, 1:], model.embed(x)[:, 1:])


def test_the_seed_decides_the_weights_and_nothing_else_moves():
    torch.manual_seed(123)
    before = torch.get_rng_state()
    a, b, c = (PrefixSums().model(seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.embed.weight, c.embed.weight)


# ---------------------------------------------------------------- solving


def test_solve_one_or_many(model):
    one = model.solve("0110", loops=6)
    assert one.input == "0110" and len(one.answer) == 4 and set(one.answer) <= set("01")
    assert one.loops <= 6 and isinstance(one.settled, bool) and one.residual >= 0
    many = model.solve(["0110", "1"], loops=6)
    assert many[0] == one and many[1].input == "1"
    assert list(one.as_dict()) == ["input", "answer", "loops", "residual", "settled"]
    assert model.solve([]) == []


def test_solve_stops_when_the_state_settles(model):
    loose, tight = model.solve("01101", loops=500, tol=0.3), model.solve("01101", loops=500, tol=1e-3)
    assert loose.settled and loose.residual <= 0.3 and loose.loops <= tight.loops
    never = model.solve("01101", loops=7, tol=0.0)
    assert never.loops == 7 and not never.settled
    assert model.solve("01101", loops=1).loops == 1
    x = model.task.encode("01101")
    with torch.no_grad():
        answer = "".join(map(str, model(x, loose.loops)[0, 1:].argmax(-1).tolist()))
    assert loose.answer == answer


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m, x: m(x, 0), "loops must be at least 1, got 0"),
        (lambda m, x: m(x, -2), "loops must be at least 1, got -2"),
        (lambda m, x: m.solve("01", loops=0), "loops must be at least 1, got 0"),
        (lambda m, x: m.solve("01", loops=-1), "loops must be at least 1, got -1"),
        (lambda m, x: m.solve("01x"), "character 3 of '01x' is 'x': expected only 0 and 1"),
        (lambda m, x: m.solve(""), "an empty string has no prefix sums"),
        (lambda m, x: m(x, 1, "nowhere"), "unknown start 'nowhere': expected one of input, zeros, noise, or a state"),
        (lambda m, x: m(x, 1, torch.zeros(1, 3, 16)), "start state has shape (1, 3, 16), expected (1, 8, 16)"),
        (lambda m, x: PrefixSums().model(width=63), "width 63 must be divisible by heads 4"),
        (lambda m, x: PrefixSums().model(blocks=0), "blocks must be at least 1, got 0"),
        (
            lambda m, x: PrefixSums().model(recall="all"),
            "unknown recall 'all': expected one of none, external, internal",
        ),
        (
            lambda m, x: PrefixSums().model(norm="all"),
            "unknown norm 'all': expected one of pre, peri, post, sandwich, gru",
        ),
        (lambda m, x: LoopedTransformer(3, 2, heads=2).solve("01"), "solve needs a model that knows its task"),
    ],
)
def test_bad_input_is_named_in_one_line(model, x, call, message):
    with pytest.raises(ValueError) as caught:
        call(model, x)
    assert message in str(caught.value) and "\n" not in str(caught.value)
