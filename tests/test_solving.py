"""Solving: what becomes of an instance, the same in any company, and from a stream in constant memory."""

import dataclasses
import gc
import itertools
import math
import random

import pytest
import torch
from torch import nn

from looped_lite.pretrained import load_pretrained
from looped_lite.recipe import Recipe
from looped_lite.solving import LOOK_EVERY, Solution, begin, solve, solve_one, watch
from looped_lite.tasks import Task
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.tasks.sudoku import Sudoku, load_puzzles
from looped_lite.tasks.sudoku_puzzles import show

KINDS = "sdcrnzvfe"


@dataclasses.dataclass(frozen=True)
class Toy(Task):
    """Instances such as "s3": a kind of map, and a number; the answer is the state, in as many cells as digits."""

    certifies: bool = False
    wanted: float = math.inf  # the certificate: the first number of the state is at least this

    name, features, classes, restart_every = "toy", 2, 2, 5

    def encode(self, text):
        if text[:1] not in KINDS or not text[1:].isdigit():
            raise ValueError(f"no toy: {text}")
        return torch.tensor([[KINDS.index(text[0]), int(text[1:])]] * len(text[1:]), dtype=torch.float32)[None]

    def decode(self, text, logits):
        return {"answer": ",".join(f"{value:.6g}" for value in logits.flatten().tolist()), "cells": len(logits)}

    def certify(self, x, logits):
        return logits[:, 0, 0] >= self.wanted if self.certifies else None

    def image(self, x, generator):
        torch.rand((), generator=generator)  # an image that is drawn
        return x, lambda logits: logits + 100  # and a way back that shows

    def max_loops(self, x):
        return 40


def turn(z, angle):
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.stack([cos * z[..., 0] - sin * z[..., 1], sin * z[..., 0] + cos * z[..., 1]], -1)


class Block(nn.Module):
    """One map a kind: settles, diverges, cycles, runs out, is nan, is zero, overflows, rests, gets into a cycle."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention  # the model looks up its size there

    def recalled(self, h):
        return h

    def forward(self, z, h, angles):
        number = h[..., 1:]
        maps = [
            (z + number) / 2,
            z * 1e12,
            turn(z, math.pi / 4),
            turn(z, 1.0),
            torch.where(z.abs().sum(-1, keepdim=True) > 3, z / 0 * 0, z + 1),
            z * 0,
            z / 0,
            z.clone(),
            turn(z / z.norm(dim=-1, keepdim=True), math.pi / 4),  # the start lies off the cycle
        ]
        out = torch.zeros_like(z)
        for kind, after in enumerate(maps):
            out = torch.where(h[..., :1] == kind, after, out)
        return out


def toy(**settings):
    """A model whose state is its answer, and whose loop is exact in any batch."""
    model = Recipe(Toy(**settings), width=2, heads=1).build()
    model.blocks = nn.ModuleList([Block(model.blocks[0].attention)])
    model.embed.weight.data, model.embed.bias.data = torch.eye(2), torch.zeros(2)
    model.head = nn.Identity()
    return model.eval()


# ---------------------------------------------------------------- what becomes of an instance


def test_each_end_has_its_name():
    found = {kind: solve_one(toy(), f"{kind}1") for kind in KINDS}
    said = {kind: (solution.status, solution.answer is None) for kind, solution in found.items()}
    assert said == {
        "s": ("settled", False), "d": ("diverged", True), "c": ("cycling", False), "r": ("ran out", False),
        "n": ("diverged", True),
        "z": ("settled", False), "v": ("diverged", True), "f": ("settled", False),
        "e": ("cycling", False),
    }  # fmt: skip
    assert found["r"].loops == 40 and found["s"].loops < 20 and found["f"].loops == 1
    assert all(solution.tries == 1 and solution.input == f"{kind}1" for kind, solution in found.items())
    assert found["s"].residual <= 1e-4 and found["f"].residual == 0 and found["z"].residual == 0
    assert max(found["c"].loops, found["e"].loops) <= 16, "eight loops a round, and an anchor at loop 4 or 8"


def test_a_state_that_overflows_is_never_settled():
    """Infinity <= infinity has fooled it: shipped gru, peri and pre models of bits said "settled, residual 0"."""
    for text in ("d1", "v1", "n1", "d123"):
        found = solve_one(toy(), text, tol=0.5)
        assert (found.status, found.answer) == ("diverged", None)
        assert found.as_dict()["residual"] is None and "cells" not in found.as_dict()


def test_an_answer_that_is_not_a_number_is_nobodys_class():
    """The state is finite and at rest, the logits are not."""
    for bad in (math.nan, math.inf):
        model = Recipe(PrefixSums(), width=16, heads=2).build()
        model.head[-1].bias.data[0] = bad
        found = solve_one(model, "0110", tol=1.0)
        assert (found.status, found.answer) == ("diverged", None)


def test_loops_and_tolerance_are_those_asked_for():
    loose, tight = (solve_one(toy(), "s9", tol=tol) for tol in (0.3, 1e-6))
    assert loose.loops < tight.loops and loose.residual <= 0.3 and tight.residual <= 1e-6
    assert solve_one(toy(), "s9", 1).loops == 1 and solve_one(toy(), "s9", 1).status == "ran out"
    exact = solve_one(toy(), "s9", loops=tight.loops, tol=1e-6)
    assert exact.status == "settled", "the last loop counts"
    z = torch.tensor([0.0, 9.0])
    for _ in range(loose.loops):
        z = (z + 9) / 2
    assert loose.answer == ",".join(f"{value:.6g}" for value in z.tolist())


# ---------------------------------------------------------------- where a task certifies answers


def test_a_certified_answer_ends_the_run():
    """Asked every few loops, at the last loop, and when the state comes to rest; not trusted otherwise."""
    for wanted in (6.0, 8.5):  # z = 9 - 9 / 2^t, from (0, 9): over 6 after 2 loops, over 8.5 after 5
        found = solve_one(toy(certifies=True, wanted=wanted), "s9", restart=30)
        assert (found.status, found.tries) == ("solved", 1) and found.loops % LOOK_EVERY == 0
    assert solve_one(toy(certifies=True, wanted=6.0), "s9", loops=2).status == "solved", "at the last loop of all"
    assert solve_one(toy(certifies=True, wanted=6.0), "s9", restart=3).loops == 3, "and of a try"
    assert solve_one(toy(certifies=True, wanted=7.5), "f9", loops=1).status == "settled"
    assert solve_one(toy(certifies=True, wanted=6.5), "f9", loops=1).status == "solved", "its first number is 7"
    rest = solve_one(toy(certifies=True, wanted=7.8), "s9", tol=0.15, restart=30)
    assert (rest.status, rest.tries, rest.loops) == ("solved", 1, 3), "the state comes to rest between two looks"


def test_without_a_certificate_it_begins_again_from_noise_on_an_image():
    """A map that stands still shows where each try began: the input, then its number's noise, brought back."""
    starts = []
    for number in range(1, 30):
        generator = torch.Generator().manual_seed(number)
        torch.rand((), generator=generator)
        starts.append(torch.randn(1, 1, 2, generator=generator)[0, 0])
    best = max(range(10), key=lambda place: float(starts[place][0]))
    found = solve_one(toy(certifies=True, wanted=float(starts[best][0]) + 100), "f1")
    assert (found.status, found.tries, found.loops) == ("solved", best + 2, best + 2)
    assert found.answer == ",".join(f"{value + 100:.6g}" for value in starts[best].tolist())
    with torch.no_grad():
        loop, z, back = begin(Toy(), toy(), Toy().encode("f1"), best + 1)
    assert torch.equal(z[0, 0], starts[best]) and torch.equal(back(z), z + 100) and torch.equal(loop(z), z)


@pytest.mark.parametrize("kind", "sdcrnf")
def test_the_budget_holds_for_all_tries_together(kind):
    """Whatever a try came to, it begins again: also after nan, and after a rest that is wrong."""
    found = solve_one(toy(certifies=True), f"{kind}1", loops=23)
    assert found.loops == 23 and found.status != "solved" and found.tries > 1
    if kind == "r":
        assert found.tries == 5  # tries of 5 loops, and one of 3
        assert solve_one(toy(certifies=True), "r1", loops=23, restart=7).tries == 4
        assert (
            solve_one(toy(certifies=True), "r1", loops=23, restart=lambda number: 4 * 2**number).tries == 3
        )  # 4, 8, 11
        assert solve_one(toy(certifies=True), "r1").loops == 40


# ---------------------------------------------------------------- the same in any company


def shuffled(texts, seed):
    rng = random.Random(seed)
    order = list(range(len(texts)))
    rng.shuffle(order)
    return order


@pytest.mark.parametrize("certifies", [False, True])
@pytest.mark.parametrize("at_once", [1, 3, 20, None])
@pytest.mark.parametrize("seed", range(3))
def test_solutions_are_the_same_in_any_order_and_batch(certifies, at_once, seed):
    """To the last digit, loops and tries included, where the loop is exact; also with a short window."""
    model = toy(certifies=certifies, wanted=5.0)
    texts = [f"{kind}{number}" for kind in KINDS for number in (1, 2, 7, 30, 44, 512)]
    alone = {text: repr(solve_one(model, text)) for text in texts}
    order = shuffled(texts, seed)
    chosen = [texts[place] for place in order] + [texts[order[0]]]
    found = list(solve(model, chosen, at_once=at_once, ahead=5 + 40 * seed))
    assert [solution.input for solution in found] == chosen
    assert [repr(solution) for solution in found] == [alone[text] for text in chosen]


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_trained_models_answer_the_same_in_any_order_and_batch(threads):
    """Where sums of floats depend on the batch in their last bit: answers, statuses, and loops to within one."""
    rng = random.Random(0)
    bits = ["".join(rng.choice("01") for _ in range(rng.choice([8, 31, 32]))) for _ in range(24)]
    puzzles = [show(puzzle) for puzzle in load_puzzles((2, 3), "hard")[0][:10].tolist()]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for name, texts in (("prefix-sums-internal-post-seed0", bits), ("sudoku-6x6", puzzles)):
            model = load_pretrained(name)
            alone = {text: solve_one(model, text) for text in texts}
            for at_once in (1, 3, 20):
                chosen = [texts[place] for place in shuffled(texts, at_once)]
                for solution in solve(model, chosen, at_once=at_once):
                    other = alone[solution.input]
                    assert (solution.answer, solution.status, solution.tries) == (
                        other.answer,
                        other.status,
                        other.tries,
                    )
                    assert abs(solution.loops - other.loops) <= 1 and solution.extra == other.extra
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("at_once", [1, 3])
def test_at_most_so_many_run_together_and_others_take_their_places(at_once):
    model, sizes = toy(), []
    model.blocks[0].register_forward_hook(lambda block, given, out: sizes.append(len(out)))
    list(solve(model, [f"{kind}{number}" for kind in "sc" for number in range(9)], at_once=at_once))
    assert max(sizes) == at_once and sum(size == at_once for size in sizes) > 0.6 * len(sizes)


def test_instances_of_several_models_run_together():
    models = {"s": toy(), "r": toy(certifies=True)}
    found = list(solve(lambda text: models[text[0]], ["s1", "r1", "s22", "r3"]))
    assert [(s.input, s.status, s.tries) for s in found] == [
        ("s1", "settled", 1),
        ("r1", "ran out", 8),
        ("s22", "settled", 1),
        ("r3", "ran out", 8),
    ]


# ---------------------------------------------------------------- streams


def test_a_stream_without_end_is_read_as_it_is_answered():
    """At most ``ahead`` instances are held: those read and not yet handed out."""
    read = [0]

    def stream():
        for number in itertools.count():
            read[0] += 1
            yield f"{'r' if number % 50 == 0 else 's'}{number % 7}"

    for given, solution in enumerate(solve(toy(), stream(), at_once=4, ahead=30), start=1):
        assert solution.input[0] in "rs" and read[0] - given <= 30
        if given == 400:
            break
    assert read[0] <= 430


@pytest.mark.slow
def test_memory_does_not_grow_with_the_stream():
    """Nothing of an instance is left once its answer is handed out: counted in tensors alive."""
    counts = []
    for given, _ in enumerate(solve(toy(), (f"s{number % 90 + 10}" for number in range(250)), at_once=4, ahead=20)):
        if given % 50 == 49:
            gc.collect()
            counts.append(sum(type(thing) in (torch.Tensor, Solution) for thing in gc.get_objects()))
    assert len(counts) == 5 and max(counts[1:]) - min(counts[1:]) < 60


def test_a_person_at_the_keyboard_gets_each_answer_at_once():
    asked = []

    def typed():
        for text in ("s1", "s2", "s3"):
            asked.append(text)
            yield text

    answers = solve(toy(), typed(), ahead=1)
    for text in ("s1", "s2", "s3"):
        assert next(answers).input == text and asked[-1] == text
    assert list(answers) == [] and list(solve(toy(), [])) == []


def test_texts_that_are_none():
    with pytest.raises(ValueError, match="no toy: x"):
        list(solve(toy(), ["s1", "x", "s2"]))
    found = list(solve(toy(), ["s1", "x", "s2"], strict=False))
    assert [solution.status for solution in found] == ["settled", "invalid", "settled"]
    assert found[1].as_dict() == {
        "input": "x", "answer": None, "status": "invalid", "loops": 0, "tries": 0, "residual": None,
        "error": "no toy: x",
    }  # fmt: skip


def test_a_broken_stream_is_not_hidden():
    def stream():
        yield "s1"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(solve(toy(), stream()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loops": 0}, "loops must be a whole number from 1 to"),
        ({"loops": 1.5}, "loops must be"),
        ({"restart": 0}, "restart must be"),
        ({"tol": 0}, "tol must be a number from 1e-12 to 1"),
        ({"tol": math.nan}, "tol must be"),
        ({"at_once": 0}, "at_once must be"),
        ({"ahead": 0}, "ahead must be"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        list(solve(toy(), ["s1"], **options))


def test_solving_leaves_gradients_on_and_the_model_as_it_is():
    model = load_pretrained("prefix-sums-internal-post-seed0")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for solution in solve(model, ["0110", "1"]):
        assert torch.is_grad_enabled() and solution.status == "settled"
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# ---------------------------------------------------------------- one instance, loop by loop


def test_watching_sees_what_solving_does():
    seen, found = watch(toy(), "s9"), solve_one(toy(), "s9")
    assert seen.settled == found.loops and seen.loops == found.loops + 4 and seen.logits.shape == (seen.loops + 1, 1, 2)
    assert float(seen.residuals[found.loops - 1]) == pytest.approx(found.residual) and seen.begun == (0,)
    z = torch.tensor([[0.0, 9.0]])
    assert torch.equal(seen.logits[0], z)
    for logits in seen.logits[1:]:
        z = (z + 9) / 2
        assert torch.equal(logits, z)
    assert watch(toy(), "s9", loops=3).loops == 3 and watch(toy(), "s9", extra=0).loops == found.loops
    assert watch(toy(), "r1").loops == 40 and watch(toy(), "r1").settled is None
    assert seen.progress(0) == "not settled yet" and seen.progress(1).endswith("; not settled yet")
    assert seen.progress(found.loops).endswith(f"settled at loop {found.loops}")
    assert "not settled in 3 loops" in watch(toy(), "s9", loops=3).progress(3)


def test_after_several_tries_each_guesses_by_the_last_answer():
    """And with guess=False none does."""
    asked = []

    class Guessing(Toy):
        guess_after = 2

        def guess(self, x, logits, generator):
            asked.append((x.tolist(), logits.tolist(), float(torch.rand((), generator=generator))))
            return x.clone(), lambda logits: logits + 1000

    model = toy(certifies=True)
    model.recipe = dataclasses.replace(model.recipe, task=Guessing(certifies=True))
    found = solve_one(model, "f1", loops=6)  # stands still: every loop is a try
    assert (found.tries, len(asked)) == (6, 4)
    assert {str(x) for x, _, _ in asked} == {str(Toy().encode("f1").tolist())}, "one guess, not one on the other"
    for number, (_, logits, drawn) in enumerate(asked, 2):
        assert drawn == float(torch.rand((), generator=torch.Generator().manual_seed(number)))
        before = torch.Generator().manual_seed(number - 1)
        torch.rand((), generator=before)
        start = torch.randn(1, 1, 2, generator=before) + 100 + 1000 * (number > 2)
        assert torch.allclose(torch.tensor(logits), start), "of the try before, brought back"
    assert solve_one(model, "f1", loops=6, guess=False).tries == 6 and len(asked) == 4
    assert len(watch(model, "f1", tries=6).begun) == 6 and len(asked) == 8 and asked[4:] == asked[:4]


def test_watching_several_tries():
    model = toy(certifies=True, wanted=100.0)
    one, three = watch(model, "r1"), watch(model, "r1", tries=3)
    assert (one.begun, one.loops) == ((0,), 5)
    assert three.begun == (0, 5) and three.loops == 10 and three.logits.shape == (11, 1, 2), (
        "the image's answer is certified at once"
    )
    assert watch(toy(certifies=True), "r1", tries=3).begun == (0, 5, 10)
    for options in ({"loops": 0}, {"tries": 0}):
        with pytest.raises(ValueError, match="must be a whole number from 1"):
            watch(model, "r1", **options)


def test_watching_a_sudoku_ends_with_what_solving_answers():
    puzzle = show(load_puzzles((2, 3), "hard")[0][0].tolist())
    model = load_pretrained("sudoku-6x6")
    seen = watch(model, puzzle, tries=8)
    assert Sudoku((2, 3)).decode(puzzle, seen.logits[-1]) == {"answer": solve_one(model, puzzle).answer, "solved": True}
