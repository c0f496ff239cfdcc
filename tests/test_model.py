"""The loop as a whole: the one map of a batch, where it starts, its states, and the memory it takes."""

import gc
import sys
import weakref

import pytest
import torch

from looped_lite.blocks import RECALLS
from looped_lite.model import LoopedTransformer, compile_blocks, count_parameters, join, on_a_line
from looped_lite.recipe import Recipe, variants
from looped_lite.tasks.prefix_sums import PrefixSums

TASK = PrefixSums()


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def build(**settings):
    return Recipe(TASK, **{"width": 16, "heads": 2, **settings}).build()


@pytest.fixture
def model():
    return build()


@pytest.fixture
def x():
    return TASK.encode("0110100")


def several():
    return torch.cat([TASK.encode(text) for text in ("0110100", "1110001", "0000000", "1111111")])


def test_shapes_and_agreement_of_the_ways_to_loop(model, x):
    logits = model(x, 5)
    assert logits.shape == (1, 8, 2)
    loop = model.loop(x)
    z = loop.start()
    for _ in range(5):
        z = loop(z)
    states = list(model.states(x, 5))
    assert len(states) == 5 and torch.equal(states[-1], z)
    assert torch.equal(model.read_out(z), logits) and torch.equal(loop.read_out(z), logits)
    assert all(torch.equal(a, b) for a, b in zip(loop.states(5), states, strict=True))
    assert torch.equal(model.step(states[1], loop.h), states[2])
    assert torch.equal(model.encode(x), loop.h) and len(loop) == 1


@pytest.mark.parametrize(
    "recipe", variants(TASK, width=16, heads=2), ids=lambda recipe: f"{recipe.recall}-{recipe.norm}"
)
def test_every_variant_runs_and_learns(recipe, x):
    model = recipe.build()
    model(x, 3).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert (model.blocks[0].recall_at, model.blocks[0].norm_at) == (recipe.recall, recipe.norm)


def test_start_states(model, x):
    loop = model.loop(x)
    assert torch.equal(loop.start(), loop.h)
    assert torch.equal(loop.start("zeros"), torch.zeros_like(loop.h))
    draw = lambda seed: loop.start("noise", torch.Generator().manual_seed(seed))
    assert torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))
    assert 0.5 < draw(0).std() < 1.5 and draw(0).shape == loop.h.shape
    own = random(*loop.h.shape)
    assert torch.equal(next(model.states(x, 1, own)), model.step(own, loop.h))
    assert torch.equal(model(x, 3, loop.h), model(x, 3))
    assert not torch.equal(model(x, 3, "zeros"), model(x, 3))


@pytest.mark.parametrize("recall", RECALLS)
def test_a_loop_of_some_instances_is_that_of_all_and_loops_join(recall):
    """Rows taken out, in any order, by any kind of index, and put together again: each instance goes its own way."""
    model, x = build(recall=recall, blocks=2), several()
    loop, z = model.loop(x), random(4, 8, 16)
    with torch.no_grad():
        whole = loop(z)
        for rows in ([2, 0], slice(1, 3), torch.tensor([3]), torch.tensor([True, False, False, True])):
            part = loop[rows]
            assert len(part) == len(z[rows]) and torch.equal(part.h, loop.h[rows])
            torch.testing.assert_close(part(z[rows]), whole[rows])
        joined = join([loop[[2, 0]], model.loop(x[3:]), loop[[1]]])
        torch.testing.assert_close(joined(z[[2, 0, 3, 1]]), whole[[2, 0, 3, 1]])
        torch.testing.assert_close(joined.h, loop.h[[2, 0, 3, 1]])
    assert [part is None for part in joined.recalled] == [recall == "none"] * 2


def test_recall_decides_what_the_loop_knows(x):
    """From zeros a loop without recall cannot tell two inputs apart; with recall it can."""
    other = TASK.encode("1010011")
    for recall in RECALLS:
        model = build(recall=recall)
        assert torch.equal(model(x, 4, "zeros"), model(other, 4, "zeros")) == (recall == "none")


def test_instances_of_a_batch_do_not_mix(model):
    x = several()
    assert torch.allclose(model(x, 4)[1:], model(x[1:], 4), atol=1e-6)


@pytest.mark.slow
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
    two = build(blocks=2)
    z, loop = random(1, 8, 16), two.loop(x)
    first, second = two.blocks
    by_hand = second(first(z, first.recalled(loop.h), loop.angles), second.recalled(loop.h), loop.angles)
    assert torch.equal(two.step(z, loop.h), by_hand)

    looped, fixed = (build(blocks=b, recall="none") for b in (1, 15))
    assert fixed(x, 1).shape == (1, 8, 2)
    assert count_parameters(fixed) == count_parameters(looped) + 14 * count_parameters(looped.blocks[0])
    first, last = fixed.blocks[0].mlp.up.weight, fixed.blocks[14].mlp.up.weight
    assert not torch.equal(first, last)  # unshared, so that each begins elsewhere


def test_a_model_needs_no_task():
    torch.manual_seed(0)
    model = LoopedTransformer(3, 5, width=16, heads=2, cells=6)
    x = random(2, 6, 3)
    assert model(x, 2).shape == (2, 6, 5) and model.recipe is None
    model.cell_embedding.data[0] = 1.0
    assert torch.allclose(model.encode(x)[:, 0], model.embed(x)[:, 0] + 1)
    assert torch.equal(model.encode(x)[:, 1:], model.embed(x)[:, 1:])
    assert on_a_line(3).tolist() == [[0], [1], [2]]
    model.across = True
    assert model(x, 2).shape == (2, 5, 6)


def test_every_block_is_compiled(monkeypatch):
    compiled = []
    monkeypatch.setenv("CXX", sys.executable)  # found, and not called before the first loop
    monkeypatch.setattr("looped_lite.blocks.Block.compile", lambda block, **options: compiled.append(options))
    model = build(blocks=2)
    assert compile_blocks(model) is model and compile_blocks(model, dynamic=True) is model
    assert compiled == [{"dynamic": False}] * 2 + [{"dynamic": True}] * 2


def test_compiling_needs_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=r"need the C\+\+ compiler no-such-compiler: expected it on the PATH"):
        compile_blocks(build())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: m(x, 0), "loops must be at least 1, got 0"),
        (lambda m, x: m(x, -2), "loops must be at least 1, got -2"),
        (lambda m, x: m(x, 1, "nowhere"), "unknown start 'nowhere': expected one of input, zeros, noise, or a state"),
        (lambda m, x: m(x, 1, torch.zeros(1, 3, 16)), "start state has shape (1, 3, 16), expected (1, 8, 16)"),
        (lambda m, x: LoopedTransformer(3, 2, blocks=0, heads=2), "blocks must be at least 1, got 0"),
    ],
)
def test_bad_input_is_named_in_one_line(model, x, call, message):
    with pytest.raises(ValueError) as caught:
        call(model, x)
    assert message in str(caught.value) and "\n" not in str(caught.value)
