"""Measuring a model: one pass over the loops, the same as the forward pass, however the instances are cut up."""

import pytest
import torch

from looped_lite.evaluation import accuracy_over_loops, logits_over_loops
from looped_lite.fixed_points import iterate
from looped_lite.intervals import wilson
from looped_lite.pretrained import load_pretrained
from looped_lite.recipe import Recipe
from looped_lite.tasks import exact_match
from looped_lite.tasks.prefix_sums import PrefixSums, random_bits

TASK = PrefixSums()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def trained():
    return load_pretrained("prefix-sums-internal-post-seed0")


@pytest.fixture(scope="module")
def strings():
    return TASK.tensors(random_bits(7, 12, generator(5)))


def test_each_number_of_loops_is_a_forward_pass():
    """Off by one, and a whole curve is: untrained, so that every loop says something else."""
    model = Recipe(TASK, width=16, heads=2, seed=1).build()
    x, y = TASK.batch(5, 3, generator())
    with torch.no_grad():
        found = logits_over_loops(model, x, [4, 1, 2, 4])
        assert list(found) == [1, 2, 4]
        assert all(torch.equal(found[t], model(x, t)) for t in found) and not torch.equal(found[1], found[2])
        for start in ("zeros", "noise", torch.ones(5, 4, 16)):
            right = accuracy_over_loops(model, x, y, (t for t in (1, 4)), start, generator(1))
            assert list(right) == [1, 4]
            assert all(torch.equal(right[t], exact_match(model(x, t, start, generator(1)), y)) for t in right)


def test_the_last_loop_asked_for_is_the_last_run(monkeypatch):
    model, calls = Recipe(TASK, width=16, heads=2).build(), []
    model.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    logits_over_loops(model, TASK.encode("01"), [3, 5])
    assert len(calls) == 5


@pytest.mark.parametrize("at_once", [1, 2, 7, 100])
def test_parts_are_put_together_in_order(trained, strings, at_once):
    x, y = strings
    whole = accuracy_over_loops(trained, x, y, [2, 4, 6, 24])
    assert whole[24].all() and not whole[2].all()
    parts = accuracy_over_loops(trained, x, y, [2, 4, 6, 24], at_once=at_once)
    assert all(torch.equal(parts[t], whole[t]) for t in whole)


def test_what_stands_still_is_taken_out_and_keeps_its_answer(trained, strings):
    x, y = strings
    loops = [1, 3, 8, 20, 300]
    calls = []
    hook = trained.blocks[0].register_forward_hook(lambda block, given, out: calls.append(len(out)))
    fast = logits_over_loops(trained, x, loops, still=1e-4)
    sizes = list(calls)
    calls.clear()
    slow = logits_over_loops(trained, x, loops)
    hook.remove()
    assert len(calls) == 300 and sizes == sorted(sizes, reverse=True) and sizes[0] == 7 and len(sizes) < 100
    assert list(fast) == loops
    for t in loops:
        assert torch.allclose(fast[t], slow[t], atol=5e-2) and torch.equal(fast[t].argmax(-1), slow[t].argmax(-1))
    loop = trained.loop(x)
    settled = iterate(loop, loop.start(), 300, tol=1e-4).loops
    assert abs(sum(sizes) - int(settled.sum())) <= len(x), "a share of its own length, give or take a loop each"
    right = accuracy_over_loops(trained, x, y, loops, still=1e-4, at_once=3)
    assert right[300].all() and not right[1].all()


def test_a_state_that_is_not_a_number_is_never_still_and_never_right():
    model = Recipe(TASK, width=16, heads=2, norm="pre").build()
    for p in model.blocks[0].mlp.parameters():
        p.data *= 1e30
    x, y = TASK.batch(4, 6, generator())
    right = accuracy_over_loops(model, x, torch.zeros_like(y), [1, 20], still=1e-4)
    assert not right[20].any()


@pytest.mark.parametrize("loops", [[], [0], [3, -1]])
def test_bad_loops_are_named(trained, strings, loops):
    with pytest.raises(ValueError, match="loops must be at least 1, got"):
        logits_over_loops(trained, strings[0], loops)
    with pytest.raises(ValueError, match="loops must be at least 1, got"):
        accuracy_over_loops(trained, *strings, loops)


def test_a_share_of_right_answers_has_an_interval_with_a_width():
    low, high = wilson([0, 50, 100], 100)
    assert low == pytest.approx([0, 0.4038, 0.9630], abs=1e-4) and high == pytest.approx([0.0370, 0.5962, 1], abs=1e-4)
