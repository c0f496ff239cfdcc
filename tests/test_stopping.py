"""Stopping rules: live and on a trace they stop the same, answers go back to their places, and a head learns what it is
shown.
"""

import pytest
import torch

from looped_lite.pretrained import load_pretrained
from looped_lite.stopping import (
    Seen,
    certified,
    fit_head,
    fixed,
    run_until,
    still,
    stops,
    sure,
    trace,
    unchanged,
)
from looped_lite.tasks import IGNORE, exact_match
from looped_lite.tasks.prefix_sums import PrefixSums, random_bits


@pytest.fixture(scope="module")
def bits():
    model = load_pretrained("prefix-sums-seed0")
    x, y = PrefixSums().tensors(random_bits(6, 16, torch.Generator().manual_seed(1)))
    return model, x, y


@pytest.fixture(scope="module")
def traced(bits):
    return trace(*bits, 40)


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize(
    "rule", [fixed(7), still(0.05), unchanged(3), still(1e-9)], ids=["fixed", "still", "same", "never"]
)
def test_a_rule_stops_live_where_it_stops_on_a_trace_and_answers_keep_their_places(bits, traced, rule, every):
    model, x, y = bits
    logits, loops = run_until(model, x, rule, 40, y != IGNORE, every=every)
    seen, right = traced
    if rule.__qualname__.startswith("unchanged") and every > 1:
        assert (loops % every == 0).all()
        return  # it counts the loops that it was shown
    assert torch.equal(loops, stops(rule, seen, every))
    assert torch.equal(exact_match(logits, y), right[loops - 1, torch.arange(len(x))])
    alone = [run_until(model, x[i : i + 1], rule, 40, y[i : i + 1] != IGNORE, every=every) for i in range(len(x))]
    assert torch.equal(torch.cat([t for _, t in alone]), loops)
    assert torch.allclose(torch.cat([each for each, _ in alone]), logits, atol=1e-4)


def test_a_trace_of_states_at_rest_goes_on_as_they_are(traced):
    seen, right = traced
    assert len(seen) == len(right) == 40 and [one.loops for one in seen] == list(range(1, 41))
    assert (seen[-1].residual <= 1e-6).any() and right[-1].all()
    assert (seen[-1].unchanged >= seen[-2].unchanged).all()


def test_damped_steps_report_the_residual_of_the_loop_itself(bits):
    model, x, y = bits
    first = [trace(model, x, y, 1, step)[0][0].residual for step in (1.0, 0.5)]
    assert torch.allclose(*first)


def test_a_certificate_stops_sudoku_and_nothing_else(bits, traced):
    assert not any(certified(one).any() for one in traced[0])
    six = load_pretrained("sudoku-6x6")
    x, y = six.recipe.task.split("test", 8)
    logits, loops = run_until(six, x, certified, 64, y != IGNORE)
    assert (six.recipe.task.certify(x, logits) | (loops == 64)).all() and (loops < 64).any()


def made(residual):
    rows = len(residual)
    no = torch.zeros(rows, dtype=torch.bool)
    return Seen(1, residual, torch.zeros(rows, dtype=torch.long), no, torch.full((rows,), 0.5), torch.zeros(rows, 2))


def test_a_head_learns_when_an_answer_is_right():
    residual = torch.logspace(-5, 0, 60)
    head = fit_head([made(residual)], (residual < 1e-2)[None])
    assert torch.equal(sure(head, 0.5)(made(residual)), residual < 1e-2) or (
        (sure(head, 0.5)(made(residual)) == (residual < 1e-2)).float().mean() > 0.95
    )
    assert sure(head, 0.9)(made(residual)).sum() <= sure(head, 0.5)(made(residual)).sum()
