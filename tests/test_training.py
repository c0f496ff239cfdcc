"""Training: the random depths, the loss, the curriculum, and that a run gives the same bits however it was cut up."""

import dataclasses
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

from looped_lite import checkpoints, training
from looped_lite.checkpoints import load_tensors, save_tensors
from looped_lite.pretrained import save_pretrained
from looped_lite.recipe import Recipe
from looped_lite.tasks import IGNORE, correct_cells, exact_match
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.tasks.sudoku import Sudoku
from looped_lite.training import Run, cross_entropy, learning_rate, progressive_logits, sample_loops, train

TASK = PrefixSums()
STEPS = 24
ROOT = Path(__file__).resolve().parent.parent


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def recipe(task=TASK, **changes):
    return Recipe(task, **{"width": 16, "heads": 2, "seed": 1, "batch": 8, "steps": STEPS, **changes})


def small(**changes):
    return recipe(**changes).build()


def run(checkpoint=None, model=None, on_step=None, task=TASK, **changes):
    """A short run; returns the model and the run."""
    return train(
        recipe(task, **changes), model=model, checkpoint=checkpoint, save_every=10, progress=False, on_step=on_step
    )


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def ctrl_c(at, number=signal.SIGINT):
    return lambda run: os.kill(os.getpid(), number) if run.step == at else None


@pytest.fixture(scope="module")
def whole():
    """An uninterrupted run, to compare with."""
    return run()


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
    with pytest.raises(ValueError, match="loops must be at least 1, got 0"):
        sample_loops(0, rng)


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
    loop = model.loop(x)
    z = loop.start()
    for t in range(5):
        z = loop(z).detach() if t < 2 else loop(z)
    cross_entropy(model.read_out(z), y).backward()
    assert all(torch.allclose(p.grad, g, atol=1e-7) for p, g in zip(model.parameters(), ours, strict=True))

    silent = small(
        recall="none"
    )  # after loops without gradient the embedding hears nothing; without such loops it does
    cross_entropy(progressive_logits(silent, x, 1, 3), y).backward()
    assert silent.embed.weight.grad is None
    cross_entropy(progressive_logits(silent, x, 0, 3), y).backward()
    assert silent.embed.weight.grad.abs().sum() > 0


@pytest.mark.filterwarnings("error")
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


def test_exact_match_is_stricter_than_correct_cells_and_nan_is_nobodys_class():
    logits = torch.eye(2)[torch.tensor([[0, 0, 1], [0, 1, 1]])]
    targets = torch.tensor([[IGNORE, 0, 1], [IGNORE, 1, 0]])
    assert correct_cells(logits, targets).tolist() == [[True, True, True], [True, True, False]]
    assert exact_match(logits, targets).tolist() == [True, False]
    logits[0, 1] = torch.nan  # argmax would say class 0, which is right
    assert correct_cells(logits, targets)[0].tolist() == [True, False, True]


# ---------------------------------------------------------------- one step of the optimizer


def test_learning_rate_rises_rests_and_falls():
    rates = [learning_rate(step, 1000, 1.0) for step in range(1000)]
    assert rates[0] == 1 / 50 and rates[49:600] == [1.0] * 551
    assert all(a < b for a, b in pairwise(rates[:50]))
    assert all(a > b for a, b in pairwise(rates[600:]))
    assert 0 < rates[-1] < 0.01


@pytest.mark.parametrize("clip", [0.01, 1e9])
def test_a_long_gradient_is_cut_to_the_clip(clip):
    model = small(clip=clip)
    loss = 100 * cross_entropy(
        progressive_logits(model, *TASK.batch(4, 6, generator())[:1], 0, 2), TASK.batch(4, 6, generator())[1]
    )
    training.descend(training.State(model.recipe, model, [], generator(), Run()), loss)
    length = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert length == pytest.approx(0.01, rel=1e-3) if clip < 1 else length > 1


def test_training_clips_by_the_recipe(whole):
    """Adam hides the length of one gradient, but not how the lengths of several compare."""
    assert not same(run(clip=1e-2)[0], whole[0])


def test_optimizers_take_what_is_theirs():
    """Without Muon all is AdamW's; with it Muon has the matrices in the loop alone; rates are the recipe's."""
    model = small(norm="gru")
    (alone,) = training.make_optimizers(model, recipe(beta2=0.9, weight_decay=0.3, lr=0.02))
    assert len(alone.param_groups[0]["params"]) == len(list(model.parameters()))
    assert alone.defaults["betas"] == (0.9, 0.9) and (alone.defaults["weight_decay"], alone.defaults["lr"]) == (
        0.3,
        0.02,
    )
    if hasattr(torch.optim, "Muon"):
        both = recipe(muon=0.05, lr=0.002, weight_decay=0.3)
        muon, adamw = training.make_optimizers(model, both)
        names = {id(p): name for name, p in model.named_parameters()}
        theirs = {names[id(p)] for p in muon.param_groups[0]["params"]}
        assert theirs == {n for n, p in model.named_parameters() if n.startswith("blocks") and p.ndim == 2}
        assert {names[id(p)] for p in adamw.param_groups[0]["params"]} == set(names.values()) - theirs
        assert muon.defaults["weight_decay"] == adamw.defaults["weight_decay"] == 0.3
        training.set_rates([muon, adamw], both, 50, 100)
        assert (muon.param_groups[0]["lr"], adamw.param_groups[0]["lr"]) == (0.05, 0.002)
        training.set_rates([muon, adamw], both, 90, 100)  # 10 of the 40 steps of decay are left
        assert (muon.param_groups[0]["lr"], adamw.param_groups[0]["lr"]) == pytest.approx((0.0125, 0.0005))


# ---------------------------------------------------------------- the curriculum


def test_curriculum_waits_and_then_moves_on():
    _, early = run(advance=1.0)
    assert set(early.history["level"]) == {TASK.first_level}
    _, eager = run(advance=0.2)
    levels = eager.history["level"]
    assert levels[-1] > TASK.first_level and levels == sorted(levels)
    assert max(run(steps=60, **QUICK)[1].history["level"]) == TASK.last_level


@dataclasses.dataclass(frozen=True)
class Known(PrefixSums):
    """Prefix sums whose batches are of the levels that a test lists, one after the other."""

    def draw_level(self, level, generator):
        return next(self.drawn)


def steps_of(monkeypatch, depths, levels, accuracies, level=8, running=0.5, advance=0.9):
    """The run after one step for each of the depths, at the levels drawn, with the accuracies that a batch had."""
    task = Known()
    object.__setattr__(task, "drawn", iter(levels))
    of_run = recipe(task, advance=advance, lr=1e-9)
    model, run = of_run.build(), Run(level=level, running=running)
    depth, right = iter(depths), iter(accuracies)
    monkeypatch.setattr(training, "sample_loops", lambda most, generator: next(depth))

    def cells(logits, y):
        scored, share = y != IGNORE, next(right)
        return torch.arange(y.numel()).view(y.shape) % y.shape[1] / 8 <= share if share < 1 else torch.ones_like(scored)

    monkeypatch.setattr(training, "correct_cells", cells)
    for _ in levels:
        training.train_step(training.State(of_run, model, training.make_optimizers(model, of_run), generator(), run))
    return run


def test_only_deep_batches_of_the_full_level_count(monkeypatch):
    """Of at most 8 loops 6 are too few to count and 7 enough, however cut; an easier level's batch says nothing."""
    assert steps_of(monkeypatch, [(3, 3)], [8], []).running == 0.5
    assert steps_of(monkeypatch, [(3, 4)], [8], [1.0]).running == pytest.approx(0.65)
    assert steps_of(monkeypatch, [(0, 7)], [8], [1.0]).running == pytest.approx(0.65)
    assert steps_of(monkeypatch, [(3, 4)], [7], []).running == 0.5


def test_the_running_accuracy_is_a_mean_with_weight_three_tenths_of_scored_cells(monkeypatch):
    state = steps_of(monkeypatch, [(4, 4)] * 2, [8, 8], [1.0, 0.5], running=0.0)
    assert state.running == pytest.approx(0.3 + 0.3 * (0.5 - 0.3))


def test_a_level_that_is_passed_begins_with_nothing_known(monkeypatch):
    passed = steps_of(monkeypatch, [(4, 4)], [8], [1.0], running=0.9)  # 0.93 > 0.9
    assert (passed.level, passed.running) == (10, 0.0)
    stays = steps_of(monkeypatch, [(4, 4)], [8], [1.0], running=0.8)  # 0.86
    assert (stays.level, stays.running) == (8, pytest.approx(0.86))
    last = steps_of(monkeypatch, [(20, 4)], [32], [1.0], level=32, running=0.99)
    assert (last.level, last.running) == (32, pytest.approx(0.993)), "after the last level it goes on counting"


def test_a_step_is_of_the_recipe(monkeypatch):
    """Size, level and depth of a batch come from recipe and task."""
    seen = []
    monkeypatch.setattr(training, "sample_loops", lambda most, generator: seen.append(most) or (0, 1))
    batch = PrefixSums.batch
    monkeypatch.setattr(PrefixSums, "batch", lambda self, *what: seen.append(what[:2]) or batch(self, *what))
    run(task=PrefixSums(shorter=0.0, first_level=32), steps=1, batch=5)
    assert seen == [(5, 32), 24]


# ---------------------------------------------------------------- settle: a run that waits for its curriculum

MUON = {"muon": 0.02} if hasattr(torch.optim, "Muon") else {}
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
    assert rates == pytest.approx([3e-3 * min(1.0, (step + 1) / 50, (end - step) / 15) for step in range(end)])
    assert (
        rates[-1] == pytest.approx(3e-3 / 15) and rates[end - 15] > rates[end - 16]
    )  # warming up until the fall begins


def test_steps_is_a_cap_and_a_late_run_falls_to_zero_all_the_same(rates, settled):
    _, never = run(steps=100, settle=15, advance=1.0, batch=2)
    assert never.finished and never.step == 100 and never.level == TASK.first_level
    assert rates == pytest.approx([3e-3 * min(1.0, (step + 1) / 50, (100 - step) / 15) for step in range(100)])
    rates.clear()
    cap = arrival(settled[1]) + 4
    _, late = run(steps=cap, settle=15, **QUICK)
    assert late.finished and late.step == cap and late.level == TASK.last_level
    assert rates == pytest.approx([3e-3 * min((step + 1) / 50, (cap - step) / 15) for step in range(cap)])


def test_a_task_of_one_level_settles_from_the_start(rates):
    _, done = run(task=PrefixSums(first_level=4, last_level=4), steps=50, batch=2, settle=12)
    assert done.step == 12 and rates == pytest.approx([3e-3 * min((s + 1) / 50, (12 - s) / 12) for s in range(12)])


@pytest.mark.parametrize("late", [-5, 0, 14])
def test_resuming_a_run_that_settles_gives_the_same_bits(settled, tmp_path, late):
    path, (whole, history) = tmp_path / "run.safetensors", settled
    at = arrival(history) + late
    _, part = run(path, steps=120, settle=15, on_step=ctrl_c(at), **QUICK)
    assert (part.step, part.finished) == (at, False)
    model, rest = run(path, steps=120, settle=15, **QUICK)
    assert same(model, whole) and rest.history == history.history and rest.finished and rest.step == history.step


def test_the_reward_for_standing_still_is_a_share_of_the_states_length():
    before = torch.tensor([[[3.0, 0.0]], [[0.0, 2.0]]])
    z = torch.tensor([[[3.0, 4.0]], [[0.0, 4.0]]])  # steps of 4 and 2, states of length 5 and 4
    share = (16 / 25 + 4 / 16) / 2
    assert float(training.relative_step(before, z)) == pytest.approx(share)
    assert float(training.relative_step(10 * before, 10 * z)) == pytest.approx(share)
    assert float(training.add_step(torch.tensor(1.0), recipe(still=0.5), before, z)) == pytest.approx(1 + share / 2)
    assert float(training.add_step(torch.tensor(1.0), recipe(), before, z)) == 1


def test_another_seed_draws_other_batches():
    """Of one and the same model: what differs is what it is shown."""
    first = [run(model=small(), seed=seed, steps=1)[1].history["loss"] for seed in (1, 2, 1)]
    assert first[0] == first[2] != first[1]


# ---------------------------------------------------------------- a pool of states that go on

POOLED = recipe(pool=8, horizon=50, lr=1e-12, weight_decay=0.0)  # the weights stay, so answers can be compared


def pool_step(model, pool, of=POOLED, seed=2, most=3, run=None):
    optimizers = training.make_optimizers(model, of)
    return training.pool_step(training.State(of, model, optimizers, generator(seed), run or Run(), pool), most)


def pool_of(of=POOLED):
    return training.make_pool(of, generator(), torch.device("cpu"))


def test_a_pool_goes_on_from_its_own_states():
    model, pool = small(), pool_of()
    assert not pool["age"].any() and pool["x"].shape == (8, 33, 3)
    loop = model.loop(pool["x"])
    z, loops = loop.start(), 0
    for seed in (3, 4):
        pool_step(model, pool, seed=seed)
        assert 1 <= int(pool["age"][0]) - loops <= 3 and (pool["age"] == pool["age"][0]).all()
        while loops < int(pool["age"][0]):
            z, loops = loop(z), loops + 1
        torch.testing.assert_close(pool["z"], z.detach())


def test_a_share_of_the_pool_begins_from_noise():
    model, pool = small(), pool_of()
    with torch.no_grad():
        after_one = model.loop(pool["x"])(model.loop(pool["x"]).h)
    pool_step(model, pool, dataclasses.replace(POOLED, noise=0.5), most=1)
    near = [torch.allclose(a, b, atol=1e-4) for a, b in zip(pool["z"], after_one, strict=True)]
    assert 0 < sum(near) < 8
    with torch.no_grad():
        after_two = model.loop(pool["x"])(pool["z"])
    pool_step(model, pool, dataclasses.replace(POOLED, noise=1.0), most=1)
    torch.testing.assert_close(pool["z"], after_two)  # what runs goes on


def test_the_pool_loss_reaches_the_embedding_of_fresh_instances_through_recall_and_start():
    model, pool = small(recall="none"), pool_of()
    pool_step(model, pool)
    assert model.embed.weight.grad.abs().sum() > 0, "a fresh state is the embedded input, gradient and all"
    pool_step(model, pool)
    assert not model.embed.weight.grad.any(), "an old state carries no gradient"


def test_an_instance_leaves_the_pool_when_it_is_old_or_right_twice(monkeypatch):
    model, pool, run = small(), pool_of(), Run(running=0.5)
    kept = pool["x"].clone()
    pool_step(model, pool, dataclasses.replace(POOLED, horizon=1), most=1)
    assert not pool["age"].any() and not torch.equal(pool["x"], kept), "at the horizon all are fresh"
    pool, answers = pool_of(), torch.tensor([True] * 4 + [False] * 4)
    monkeypatch.setattr(training, "exact_match", lambda logits, y: answers)
    order = torch.randperm(8, generator=generator(5))
    pool_step(model, pool, seed=5, run=run)
    assert torch.equal(pool["right"][order], answers) and pool["age"].all(), "right once: it stays"
    assert run.running == pytest.approx(0.5)
    right = pool["right"].clone()
    monkeypatch.setattr(training, "exact_match", lambda logits, y: torch.ones(8, dtype=torch.bool))
    pool_step(model, pool, seed=6, run=run)
    assert torch.equal(pool["age"] == 0, right), "right twice in a row: it makes room"
    assert torch.equal(pool["right"], ~right) and run.running == pytest.approx(0.51)


@pytest.mark.parametrize("at", [1, 13])
def test_a_run_with_a_pool_resumes_to_the_same_bits(tmp_path, at):
    pool, path = {"pool": 16, "horizon": 6, "noise": 0.5, **MUON}, tmp_path / "run"
    whole, history = run(**pool)
    _, begun = run(path, on_step=ctrl_c(at), **pool)
    assert begun.step == at and not begun.finished and begun.level == TASK.last_level
    resumed, ended = run(path, **pool)
    assert ended.finished and same(resumed, whole) and ended.history["loss"] == history.history["loss"]


def test_a_pool_is_used_at_all(whole):
    assert not same(run(pool=16)[0], whole[0])


# ---------------------------------------------------------------- learning


def test_it_learns():
    """100 steps at 4 bits bring the loss well below chance (0.69)."""
    _, done = run(task=PrefixSums(first_level=4, last_level=4), steps=100, width=32, heads=4, batch=32, seed=0)
    history = done.history
    assert sum(history["loss"][:5]) / 5 > 0.5 and sum(history["loss"][-10:]) / 10 < 0.4
    assert len(history["loss"]) == len(history["level"]) == len(history["running"]) == 100


def test_a_run_begins_with_other_weights(tmp_path, whole):
    """By a name and, for the record, a piece of the checksum of what lay there."""
    path = save_pretrained(whole[0], tmp_path / "first.safetensors", {"note": "a"})
    digest = checkpoints.checksum(*load_tensors(path))[:8]
    begun, _ = run(steps=1, lr=1e-12, weight_decay=0.0, begin=f"{path}@{digest}", seed=9)
    assert all(torch.allclose(p, q, atol=1e-6) for p, q in zip(begun.parameters(), whole[0].parameters(), strict=True))
    save_pretrained(whole[0], path, {"note": "b"})
    with pytest.raises(ValueError, match="now has other weights or another card"):
        run(begin=f"{path}@{digest}")
    with pytest.raises(ValueError, match="is for another model"):
        run(begin=str(path), recall="none")


def test_a_recipe_may_ask_for_compiled_blocks(monkeypatch):
    asked = []
    monkeypatch.setattr("looped_lite.training.compile_blocks", lambda model: asked.append(model) or model)
    assert run(steps=1, compiled=True)[0] is asked[0]
    run(steps=1)
    assert len(asked) == 1


# ---------------------------------------------------------------- the same bits


def test_repeating_a_run_gives_the_same_bits(whole):
    model, again = run()
    assert same(model, whole[0]) and again.history == whole[1].history and again.finished and again.step == STEPS
    assert not same(run(seed=2)[0], whole[0])
    mine = small()
    assert run(model=mine)[0] is mine and same(mine, whole[0]) and mine.recipe == recipe()


def test_global_generators_do_not_matter(whole):
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert same(run()[0], whole[0]) and torch.equal(before, torch.get_rng_state())


def test_another_process_gives_the_same_bits(whole, tmp_path):
    code = (
        "import sys, torch; torch.set_num_threads(int(sys.argv[2]));"
        "from looped_lite.tasks.prefix_sums import PrefixSums; from looped_lite import Recipe, train;"
        f"train(Recipe(PrefixSums(), width=16, heads=2, seed=1, batch=8, steps={STEPS}), checkpoint=sys.argv[1], "
        "progress=False)"
    )
    path, threads = tmp_path / "run.safetensors", str(torch.get_num_threads())
    subprocess.run([sys.executable, "-c", code, path, threads], check=True, cwd=ROOT)
    weights = load_tensors(path)[0]
    assert all(torch.equal(weights[f"model.{name}"], value) for name, value in whole[0].state_dict().items())


@pytest.mark.parametrize(("at", "number"), [(1, "SIGINT"), (7, "SIGTERM"), (10, "SIGHUP"), (23, "SIGINT")])
def test_interrupt_and_resume_give_the_same_bits(whole, tmp_path, capsys, at, number):
    path, number = tmp_path / "run.safetensors", getattr(signal, number)
    handler = signal.getsignal(number)
    _, part = run(path, on_step=ctrl_c(at, number))
    assert (part.step, part.finished) == (at, False)
    assert f"Interrupted after step {at} of {STEPS}; call train again" in capsys.readouterr().out
    assert signal.getsignal(number) is handler
    model, rest = run(path)
    assert same(model, whole[0]) and rest.history == whole[1].history and rest.finished
    loaded, again = run(path)  # finished: only loaded
    assert same(loaded, whole[0]) and again.step == STEPS and again.seconds == rest.seconds


def test_interrupt_without_checkpoint_says_so(capsys):
    _, part = run(on_step=ctrl_c(1))
    assert part.step == 1 and "give a checkpoint to be able to resume" in capsys.readouterr().out


def test_second_ctrl_c_interrupts_at_once():
    with pytest.raises(KeyboardInterrupt):
        run(on_step=lambda run: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])


def die(at):
    def stop(run):
        if run.step == at:
            raise RuntimeError("power cut")

    return stop


def test_a_killed_run_goes_on_from_its_last_save(whole, tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(RuntimeError, match="power cut"):
        run(path, on_step=die(15))
    assert load_tensors(path)[1]["run"]["step"] == 10
    model, rest = run(path)
    assert same(model, whole[0]) and rest.history == whole[1].history


def test_a_run_is_saved_by_the_clock(tmp_path, monkeypatch):
    clock = iter(range(0, 10**6, 25))
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock))  # 25 seconds a step: every third one
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "run", on_step=die(8))
    assert load_tensors(tmp_path / "run")[1]["run"]["step"] == 6


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


# ---------------------------------------------------------------- what can go wrong


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 5}, "was trained with seed=1, this call asks for 5"),
        ({"steps": 30}, "was trained with steps=24, this call asks for 30"),
        ({"settle": 12}, "was trained with settle=None, this call asks for 12"),
        ({"width": 32}, "was trained with width=16, this call asks for 32"),
        ({"task": PrefixSums(window=7)}, "was trained with window=5, this call asks for 7"),
        ({"task": PrefixSums(biased=0.1)}, "was trained with biased=0.3, this call asks for 0.1"),
        ({"task": Sudoku((2, 3)), "heads": 4}, "was trained with"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused(tmp_path, changes, message):
    """Settings of the task included: resumed under others it was another run, with a card that named the wrong ones."""
    path = tmp_path / "run.safetensors"
    run(path)
    before = path.read_bytes()
    with pytest.raises(ValueError) as caught:
        run(path, **changes)
    assert message in str(caught.value) and path.name in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == before


def edit(path, **changes):
    """Write the resume file again, checksum and all, with other facts about the run."""
    tensors, facts = load_tensors(path)
    facts["run"] = {k: v for k, v in (facts["run"] | changes).items() if v is not ...}
    save_tensors(path, tensors, facts)


@pytest.mark.parametrize(
    "changes",
    [
        {"step": 10**9}, {"step": 11}, {"step": None}, {"step": -1}, {"step": "10"}, {"step": ...}, {"more": 1},
        {"history": []},
        {"level": 10**9}, {"level": None}, {"level": 3}, {"running": 2}, {"running": None}, {"seconds": -1},
        {"finished": 1},
        {"history": {"loss": [], "level": [], "running": []}},
        {"history": {"loss": ["x"] * 10, "level": [4] * 10, "running": [0] * 10}},
        {"step": 0, "finished": True, "history": {"loss": [], "level": [], "running": []}},
    ],
    ids=str,
)  # fmt: skip
def test_a_run_that_cannot_be_is_refused(tmp_path, changes):
    path = tmp_path / "run.safetensors"
    run(path, on_step=ctrl_c(10))
    edit(path, **changes)
    with pytest.raises(ValueError) as caught:
        run(path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300


WHOLE = [(kind, how) for kind in ("model.embed.bias", "generator", "pool.z", "recipe") for how in ("missing", "misfit")]


@pytest.mark.parametrize(("kind", "how"), [*WHOLE, ("optimizer.exp_avg.embed.bias", "misfit")])
def test_a_run_without_all_its_parts_is_refused(tmp_path, kind, how):
    path = tmp_path / "run.safetensors"
    run(path, on_step=ctrl_c(10), pool=8)
    tensors, facts = load_tensors(path)
    if how == "missing":
        (facts if kind == "recipe" else tensors).pop(kind)
    elif kind == "recipe":
        facts["recipe"] = 3
    else:
        tensors[kind] = torch.zeros(3)
    save_tensors(path, tensors, facts)
    with pytest.raises(ValueError, match=r"run.safetensors|a recipe must be") as caught:
        run(path, pool=8)
    assert "\n" not in str(caught.value)


def test_a_nan_stops_the_run_and_spares_the_checkpoint(tmp_path):
    path, model = tmp_path / "run.safetensors", small()

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


def test_a_checkpoint_that_cannot_be_written_is_found_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "run"):
        with pytest.raises(OSError, match="cannot save"):
            run(path, on_step=lambda run: pytest.fail("it trained"))


def test_run_starts_empty():
    assert Run() == Run(step=0, level=0.0, running=0.0, seconds=0.0, finished=False) and Run().history["loss"] == []
