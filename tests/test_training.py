"""Training: the random depths, the loss, the curriculum, and that a run gives the same bits however it was cut up."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from looped_lite import training
from looped_lite.checkpoints import load_tensors, save_tensors
from looped_lite.tasks import IGNORE, correct_cells, exact_match
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.training import (
    Run,
    accuracy_over_loops,
    cross_entropy,
    learning_rate,
    progressive_logits,
    sample_loops,
    train,
)

TASK = PrefixSums()
STEPS = 24


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(**changes):
    return TASK.model(1, **{"width": 16, "heads": 2, **changes})


def run(checkpoint=None, model=None, **changes):
    """A short run; returns the model and the run."""
    model = small() if model is None else model
    settings = {"seed": 1, "batch": 8, "save_every": 10, "progress": False, "checkpoint": checkpoint}
    return model, train(model, TASK, **{"steps": STEPS, **settings, **changes})


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# ---------------------------------------------------------------- progressive loss


@pytest.mark.parametrize("most", [1, 2, 5, 20])
def test_sampled_depths_stay_in_range_and_are_uniform(most):
    draws, rng = 4000, generator(3)
    pairs = [sample_loops(most, rng) for _ in range(draws)]
    assert all(0 <= n < most and 1 <= k <= most - n for n, k in pairs)
    counts = Counter(n for n, _ in pairs)
    assert len(counts) == most
    expected = draws / most
    assert sum((c - expected) ** 2 / expected for c in counts.values()) < 3 * most + 10  # chi-square
    if most == 20:  # k is uniform over what n leaves
        ks = Counter(k for n, k in pairs if n == 16)
        assert set(ks) == {1, 2, 3, 4} and min(ks.values()) > 0.5 * max(ks.values())


def test_progressive_logits_are_the_forward_pass():
    model = small()
    x, _ = TASK.batch(3, 6, generator())
    assert torch.equal(progressive_logits(model, x, 2, 3), model(x, 5))
    assert torch.equal(progressive_logits(model, x, 0, 1), model(x, 1))


def test_gradient_flows_through_the_last_loops_only():
    x, y = TASK.batch(3, 6, generator())
    model = small()
    cross_entropy(progressive_logits(model, x, 2, 3), y).backward()
    ours = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    f, h = model.loop(x)
    z = h
    for t in range(5):
        z = f(z).detach() if t < 2 else f(z)
    cross_entropy(model.read_out(z), y).backward()
    assert all(torch.allclose(p.grad, g, atol=1e-7) for p, g in zip(model.parameters(), ours, strict=True))

    silent = small(
        recall="none"
    )  # with loops without gradient before it, the embedding hears nothing; without them it does
    cross_entropy(progressive_logits(silent, x, 1, 3), y).backward()
    assert silent.embed.weight.grad is None
    cross_entropy(progressive_logits(silent, x, 0, 3), y).backward()
    assert silent.embed.weight.grad.abs().sum() > 0


def test_half_precision_loses_digits_but_no_gradient():
    """Copies of weights that loops without gradient made must not serve the loops with gradient."""
    x, y = TASK.batch(16, 6, generator())
    model, gradients = small(), {}
    for on in (False, True):
        model.zero_grad()
        with training.half_precision(model, on):
            logits = progressive_logits(model, x, 2, 3)
        cross_entropy(logits.float(), y).backward()
        gradients[on] = [p.grad for p in model.parameters()]
    for exact, rough in zip(gradients[False], gradients[True], strict=True):
        assert rough.dtype == torch.float32 and not torch.equal(rough, exact)
        assert (rough - exact).norm() < 0.1 * exact.norm()


def test_training_in_half_precision_repeats_and_differs(whole):
    (a, _), (b, _) = run(bfloat16=True), run(bfloat16=True)
    assert same(a, b) and not same(a, whole[0])
    assert all(p.dtype == torch.float32 for p in a.parameters())


def test_cross_entropy_scores_the_wanted_cells_only():
    logits = torch.randn(2, 3, 2, generator=generator())
    targets = torch.tensor([[IGNORE, 0, 1], [IGNORE, 1, 1]])
    expected = F.cross_entropy(logits[:, 1:].reshape(4, 2), targets[:, 1:].reshape(4))
    assert torch.allclose(cross_entropy(logits, targets), expected)


def test_exact_match_is_stricter_than_correct_cells():
    logits = torch.eye(2)[torch.tensor([[0, 0, 1], [0, 1, 1]])]
    targets = torch.tensor([[IGNORE, 0, 1], [IGNORE, 1, 0]])
    assert correct_cells(logits, targets).tolist() == [[True, True, True], [True, True, False]]
    assert exact_match(logits, targets).tolist() == [True, False]


def test_learning_rate_rises_rests_and_falls():
    rates = [learning_rate(step, 1000, 1.0) for step in range(1000)]
    assert rates[0] == 1 / 50 and rates[49:600] == [1.0] * 551
    assert all(a < b for a, b in pairwise(rates[:50]))
    assert all(a > b for a, b in pairwise(rates[600:]))
    assert 0 < rates[-1] < 0.01


def test_curriculum_waits_and_then_moves_on():
    _, early = run(advance=1.0)
    assert set(early.history["level"]) == {TASK.first_level}
    _, eager = run(advance=0.2)
    levels = eager.history["level"]
    assert levels[-1] > TASK.first_level and levels == sorted(levels)
    assert max(train(small(), TASK, 60, advance=0.0, batch=2, progress=False).history["level"]) == TASK.last_level


# ---------------------------------------------------------------- settle: a run that waits for its curriculum

QUICK = {"advance": 0.0, "batch": 2}  # every deep batch moves the curriculum on: the last level within 60 steps


def arrival(run, task=TASK):
    """The number of steps after which the last level was reached."""
    return run.history["level"].index(task.last_level) + 1


@pytest.fixture
def rates(monkeypatch):
    """The learning rates of the steps, in order."""
    seen = []

    def record(*args, **settings):
        seen.append(learning_rate(*args, **settings))
        return seen[-1]

    monkeypatch.setattr(training, "learning_rate", record)
    return seen


@pytest.fixture(scope="module")
def settled():
    """A run that reached the last level, and 15 steps later its end."""
    return run(steps=120, settle=15, **QUICK)


def test_the_rate_falls_from_the_step_at_which_the_last_level_is_reached(rates):
    _, done = run(steps=120, settle=15, **QUICK)
    end = arrival(done) + 15
    assert done.finished and done.step == end < 120
    wanted = [3e-3 * min(1.0, (step + 1) / 50, (end - step) / 15) for step in range(end)]
    assert rates == pytest.approx(wanted)
    assert (
        rates[-1] == pytest.approx(3e-3 / 15) and rates[end - 15] > rates[end - 16]
    )  # warming up until the fall begins


def test_steps_is_a_cap_and_a_late_run_falls_to_zero_all_the_same(rates):
    _, never = run(steps=100, settle=15, advance=2.0, batch=2)
    assert never.finished and never.step == 100 and never.level == TASK.first_level
    assert rates[:86] == pytest.approx([3e-3 * min(1.0, (step + 1) / 50) for step in range(86)])
    assert rates[85:] == pytest.approx([3e-3 * (100 - step) / 15 for step in range(85, 100)])


def test_a_level_reached_late_does_not_move_the_end(rates, settled):
    cap = arrival(settled[1]) + 4
    _, late = run(steps=cap, settle=15, **QUICK)
    assert late.finished and late.step == cap and late.level == TASK.last_level
    assert rates == pytest.approx([3e-3 * min((step + 1) / 50, (cap - step) / 15) for step in range(cap)])


def test_a_task_of_one_level_settles_from_the_start(rates):
    task = PrefixSums(first_level=4, last_level=4)
    done = train(task.model(1, width=16, heads=2), task, 50, batch=2, settle=12, progress=False)
    assert done.step == 12 and rates == pytest.approx([3e-3 * min((s + 1) / 50, (12 - s) / 12) for s in range(12)])


@pytest.mark.parametrize("late", [-5, 0, 1, 7, 14])
def test_resuming_a_run_that_settles_gives_the_same_bits(settled, tmp_path, late):
    path, (whole, history) = tmp_path / "run.safetensors", settled
    at = arrival(history) + late
    stop = lambda run: os.kill(os.getpid(), signal.SIGINT) if run.step == at else None
    _, part = run(path, steps=120, settle=15, on_step=stop, **QUICK)
    assert (part.step, part.finished) == (at, False)
    model, rest = run(path, steps=120, settle=15, **QUICK)
    assert same(model, whole) and rest.history == history.history and rest.finished and rest.step == history.step


def test_a_checkpoint_older_than_some_settings_goes_on(whole, tmp_path):
    path = tmp_path / "run.safetensors"
    run(path, on_step=lambda run: os.kill(os.getpid(), signal.SIGINT) if run.step == 9 else None)
    tensors, facts = load_tensors(path)
    assert facts["settings"].pop("settle") is None and facts["settings"].pop("beta2") == 0.999
    save_tensors(path, tensors, facts)
    model, rest = run(path)
    assert same(model, whole[0]) and rest.finished


# ---------------------------------------------------------------- a pool of states that go on


def pool_of(size, seed=0):
    return training.make_pool(TASK, size, 16, generator(seed))


def pool_step(model, pool, horizon=50, most=3, batch=8, seed=2):
    optimizers = training.make_optimizers(model, 0.0, 0.0)  # a rate of 0: the weights stay, so answers can be compared
    return training.pool_step(model, TASK, optimizers, Run(), generator(seed), pool, batch, horizon, most)


def test_a_pool_goes_on_from_its_own_states():
    model, pool = small(), pool_of(8)
    h = model.loop(pool["x"])[1].detach()
    assert not pool["age"].any()
    pool_step(model, pool, seed=3)
    loops = int(pool["age"][0])
    assert 1 <= loops <= 3 and (pool["age"] == loops).all()
    f, _ = model.loop(pool["x"])
    z = h
    with torch.no_grad():
        for _ in range(loops):
            z = f(z)
    torch.testing.assert_close(pool["z"], z)
    pool_step(model, pool, seed=4)
    with torch.no_grad():
        for _ in range(int(pool["age"][0]) - loops):
            z = f(z)
    torch.testing.assert_close(pool["z"], z)


def test_the_pool_loss_reaches_the_embedding_of_fresh_instances_through_recall_and_start():
    model, pool = small(recall="none"), pool_of(8)
    pool_step(model, pool)
    assert model.embed.weight.grad.abs().sum() > 0, "a fresh state is the embedded input, gradient and all"
    pool_step(model, pool)
    assert not model.embed.weight.grad.any(), "an old state carries no gradient"


def test_an_instance_leaves_the_pool_when_it_is_old_or_right_twice(monkeypatch):
    model, pool = small(), pool_of(8)
    kept = pool["x"].clone()
    pool_step(model, pool, horizon=1)
    assert not pool["age"].any() and not torch.equal(pool["x"], kept), "past the horizon all are fresh"
    pool, answers = pool_of(8), torch.tensor([True] * 4 + [False] * 4)
    monkeypatch.setattr(training, "exact_match", lambda logits, y: answers)
    order = torch.randperm(8, generator=generator(5))
    pool_step(model, pool, seed=5)
    assert torch.equal(pool["right"][order], answers) and pool["age"].all(), "right once: it stays"
    right = pool["right"].clone()
    monkeypatch.setattr(training, "exact_match", lambda logits, y: torch.ones(8, dtype=torch.bool))
    pool_step(model, pool, seed=6)
    assert torch.equal(pool["age"] == 0, right), "right twice in a row: it makes room"
    assert torch.equal(pool["right"], ~right)


@pytest.mark.parametrize("at", [1, 13])
def test_a_run_with_a_pool_resumes_to_the_same_bits(tmp_path, at):
    whole, other = run(pool=16, horizon=6), small()

    def stop(state):
        if state.step == at:
            os.kill(os.getpid(), signal.SIGINT)

    path = tmp_path / "run"
    _, begun = run(path, other, pool=16, horizon=6, on_step=stop)
    assert begun.step == at and not begun.finished
    resumed, ended = run(path, small(), pool=16, horizon=6)
    assert ended.finished and same(resumed, whole[0]) and ended.history["loss"] == whole[1].history["loss"]
    with pytest.raises(ValueError, match="horizon=6, this call asks for 7"):
        run(path, small(), pool=16, horizon=7)


def test_a_pool_smaller_than_a_batch_is_refused():
    with pytest.raises(ValueError, match="at least a batch of 8 instances, got 7"):
        run(pool=7)


# ---------------------------------------------------------------- learning


def test_it_learns():
    """100 steps at 4 bits bring the loss well below chance (0.69)."""
    task = PrefixSums(first_level=4, last_level=4)
    model = task.model(0, width=32)
    history = train(model, task, 100, batch=32, progress=False).history
    assert sum(history["loss"][:5]) / 5 > 0.5 and sum(history["loss"][-10:]) / 10 < 0.4
    assert len(history["loss"]) == len(history["level"]) == len(history["running"]) == 100


def test_accuracy_over_loops_agrees_with_the_forward_pass():
    model = small()
    x, y = TASK.batch(5, 3, generator())
    right = accuracy_over_loops(model, x, y, [1, 4])
    assert set(right) == {1, 4}
    assert all(torch.equal(right[t], exact_match(model(x, t), y)) for t in (1, 4))
    noisy = [accuracy_over_loops(model, x, y, [4], "noise", generator(s))[4] for s in (0, 0)]
    assert torch.equal(*noisy)
    assert all(torch.equal(right[t], part) for t, part in accuracy_over_loops(model, x, y, [1, 4], at_once=2).items())


# ---------------------------------------------------------------- the same bits


@pytest.fixture(scope="module")
def whole():
    """An uninterrupted run, to compare with."""
    return run()


def test_repeating_a_run_gives_the_same_bits(whole):
    model, again = run()
    assert same(model, whole[0]) and again.history == whole[1].history and again.finished
    other, _ = run(seed=2)
    assert not same(other, whole[0])


def test_global_generators_do_not_matter(whole):
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert same(run()[0], whole[0]) and torch.equal(before, torch.get_rng_state())


def test_another_process_gives_the_same_bits(whole, tmp_path):
    code = (
        "import sys, torch; torch.set_num_threads(int(sys.argv[2]));"
        "from looped_lite.tasks.prefix_sums import PrefixSums as P; from looped_lite.training import train;"
        f"train(P().model(1, width=16, heads=2), P(), {STEPS}, seed=1, batch=8, checkpoint=sys.argv[1], progress=False)"
    )
    path, threads = tmp_path / "run.safetensors", str(torch.get_num_threads())
    root = Path(__file__).resolve().parent.parent
    subprocess.run([sys.executable, "-c", code, path, threads], check=True, cwd=root)
    weights = load_tensors(path)[0]
    assert all(torch.equal(weights[f"model.{name}"], value) for name, value in whole[0].state_dict().items())


@pytest.mark.parametrize("at", [1, 7, 10, 23])
def test_interrupt_and_resume_give_the_same_bits(whole, tmp_path, capsys, at):
    path = tmp_path / "run.safetensors"

    def press_ctrl_c(run):
        if run.step == at:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    _, part = run(path, on_step=press_ctrl_c)
    assert (part.step, part.finished) == (at, False)
    assert f"Interrupted after step {at} of {STEPS}; call train again" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is handler
    model, rest = run(path)
    assert same(model, whole[0]) and rest.history == whole[1].history and rest.finished
    loaded, again = run(path)  # finished: only loaded
    assert same(loaded, whole[0]) and again.step == STEPS and again.seconds == rest.seconds


def test_interrupt_without_checkpoint_says_so(capsys):
    _, part = run(on_step=lambda run: os.kill(os.getpid(), signal.SIGINT))
    assert part.step == 1 and "give a checkpoint to be able to resume" in capsys.readouterr().out


def test_second_ctrl_c_interrupts_at_once():
    def twice(run):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(on_step=twice)


def test_a_killed_run_goes_on_from_its_last_save(whole, tmp_path):
    path = tmp_path / "run.safetensors"

    def die(run):
        if run.step == 15:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        run(path, on_step=die)
    assert load_tensors(path)[1]["run"]["step"] == 10
    model, rest = run(path)
    assert same(model, whole[0]) and rest.history == whole[1].history


def test_stopping_early_counts_as_finished(tmp_path):
    _, part = run(tmp_path / "run.safetensors", on_step=lambda run: run.step == 5)
    assert part.finished and part.step == 5
    assert run(tmp_path / "run.safetensors")[1].step == 5


def test_training_works_outside_the_main_thread(whole):
    done = []
    thread = threading.Thread(target=lambda: done.append(run()[0]))
    thread.start()
    thread.join()
    assert same(done[0], whole[0])


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_muon_runs_resume_to_the_same_bits(tmp_path):
    straight, _ = run(muon=0.01)
    path = tmp_path / "run.safetensors"
    run(path, muon=0.01, on_step=lambda run: os.kill(os.getpid(), signal.SIGINT) if run.step == 7 else None)
    resumed, _ = run(path, muon=0.01)
    assert same(straight, resumed) and not same(straight, run()[0])


# ---------------------------------------------------------------- what can go wrong


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"seed": 5}, "was trained with seed=1, this call asks for 5"),
        ({"steps": 30}, "was trained with steps=24, this call asks for 30"),
        ({"lr": 1e-4}, "was trained with lr=0.003, this call asks for 0.0001"),
        ({"settle": 12}, "was trained with settle=None, this call asks for 12"),
        ({"beta2": 0.95}, "was trained with beta2=0.999, this call asks for 0.95"),
        ({"batch": 9}, "was trained with batch=8, this call asks for 9"),
        ({"model": {"recall": "external"}}, "was trained with recall='internal', this call asks for 'external'"),
        ({"model": {"norm": "sandwich"}}, "was trained with norm='post', this call asks for 'sandwich'"),
        ({"model": {"width": 32}}, "is for another model"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, changes, message):
    path = tmp_path / "run.safetensors"
    run(path)
    before = path.read_bytes()
    model = small(**changes.pop("model", {}))
    with pytest.raises(ValueError) as caught:
        run(path, model, **changes)
    assert message in str(caught.value) and path.name in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_nan_stops_the_run_and_spares_the_checkpoint(tmp_path):
    path = tmp_path / "run.safetensors"
    model = small()

    def break_it(run):
        if run.step == 12:
            model.head[1].weight.data[0, 0] = float("nan")

    with pytest.raises(FloatingPointError, match="the loss is nan at step 12: try a smaller learning rate"):
        run(path, model, on_step=break_it)
    saved, facts = load_tensors(path)
    assert facts["run"]["step"] == 10 and all(t.isfinite().all() for t in saved.values())


def test_a_gradient_that_is_not_finite_stops_the_run():
    model = small()
    model.head[1].weight.register_hook(lambda g: g * float("inf"))
    with pytest.raises(FloatingPointError, match=r"the gradient norm is (nan|inf) at step 0"):
        run(model=model)
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: sample_loops(0, generator()), "loops must be at least 1, got 0"),
        (lambda: run(steps=0), "steps and batch must be at least 1, got 0 and 8"),
        (lambda: run(settle=0), "settle must be a whole number from 1 to steps = 24, got 0"),
        (lambda: run(settle=-3), "from 1 to steps = 24, got -3"),
        (lambda: run(settle=25), "from 1 to steps = 24, got 25"),
        (lambda: run(settle=2.5), "from 1 to steps = 24, got 2.5"),
        (lambda: run(batch=0), "steps and batch must be at least 1, got 24 and 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_run_starts_empty():
    assert Run() == Run(step=0, level=0.0, running=0.0, seconds=0.0, finished=False) and Run().history["loss"] == []
