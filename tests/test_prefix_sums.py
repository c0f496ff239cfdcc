"""The prefix-sums task: targets against brute force, the BOS cell, the curriculum, and strings that are not bits."""

from itertools import product

import pytest
import torch

from looped_lite.recipe import Recipe
from looped_lite.tasks import IGNORE
from looped_lite.tasks.prefix_sums import BOS, PrefixSums, one_hot, prefix_sums

TASK = PrefixSums()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def brute_force(bits):
    return [sum(bits[: i + 1]) % 2 for i in range(len(bits))]


def test_all_short_strings():
    for length in range(1, 9):
        strings = list(product((0, 1), repeat=length))
        sums = prefix_sums(torch.tensor(strings))
        assert sums.tolist() == [brute_force(bits) for bits in strings]


def test_prefix_sums_invert():
    """Adjacent answers differ where the bit is 1: the answer determines the input."""
    bits = torch.randint(2, (20, 100), generator=generator())
    sums = prefix_sums(bits)
    assert torch.equal(torch.cat([sums[:, :1], (sums[:, 1:] - sums[:, :-1]) % 2], 1), bits)


def test_batches():
    x, y = TASK.batch(64, 12, generator())
    assert x.shape == (64, 13, TASK.features) and y.shape == (64, 13) and x.dtype == torch.float32
    assert torch.equal(x.sum(-1), torch.ones(64, 13))  # one-hot
    assert x[:, 0].argmax(-1).eq(BOS).all() and (x[:, 1:].argmax(-1) < BOS).all()  # BOS first, and nowhere else
    assert (y[:, 0] == IGNORE).all()
    bits = x[:, 1:].argmax(-1).tolist()
    assert y[:, 1:].tolist() == [brute_force(row) for row in bits]
    assert 0.4 < x[:, 1:, 1].mean() < 0.6 and len(set(map(tuple, bits))) > 50
    again, other = TASK.batch(64, 12, generator()), TASK.batch(64, 12, generator(1))
    assert torch.equal(again[0], x) and not torch.equal(other[0], x)


def test_a_batch_has_strings_of_every_density_and_run_length():
    """In order: random bits, bits of one density for each string, bits that switch at one rate for each string."""
    x, _ = TASK.batch(1000, 100, generator())
    bits = x[:, 1:].argmax(-1).double()
    density, switches = bits.mean(1), (bits[:, 1:] != bits[:, :-1]).double().mean(1)
    uniform, biased, switching = slice(0, 400), slice(400, 700), slice(700, 1000)
    inside = lambda share, part: float(((share[part] > 0.3) & (share[part] < 0.7)).double().mean())
    assert inside(density, uniform) > 0.99 and inside(switches, uniform) > 0.99
    assert 0.3 < inside(density, biased) < 0.5 and density[biased].min() < 0.05 and density[biased].max() > 0.95
    assert (
        0.3 < inside(switches, switching) < 0.5 and switches[switching].min() < 0.05 < 0.95 < switches[switching].max()
    )
    slow = switches[switching] < 0.1
    assert (
        0.4 < bits[switching, 0].mean() < 0.6 and 0.2 < bits[switching, 0][slow].mean() < 0.8
    )  # either may come first
    for settings in ({"uniform": 1.0, "biased": 0.0}, {"uniform": 0.0, "biased": 1.0}, {"uniform": 0.0, "biased": 0.0}):
        assert PrefixSums(**settings).batch(3, 5, generator())[0].shape == (3, 6, 3)


def test_without_bos_a_constant_string_looks_the_same_everywhere():
    """Away from the ends, so within the window: why the BOS cell is there."""
    model = Recipe(TASK).build()
    x = one_hot(torch.zeros(1, 40, dtype=torch.long))
    inside = model(x[:, 1:], 6)[0, 12:-12]
    assert torch.allclose(inside, inside[:1].expand_as(inside), atol=1e-5)
    with_bos = model(x, 12)[0, 1:21]
    assert not torch.allclose(with_bos, with_bos[:1].expand_as(with_bos), atol=1e-5)


def test_curriculum():
    levels = [TASK.first_level]
    while levels[-1] != TASK.last_level:
        levels.append(TASK.harder(levels[-1]))
        assert levels[-2] < levels[-1] <= TASK.last_level
    assert levels[0] == 4 and levels[-1] == 32 == TASK.harder(32) and len(levels) < 15
    assert [TASK.loops(level) for level in (4, 31, 32)] == [4, 20, 24]
    assert PrefixSums(last_loops=None).loops(32) == 20
    assert TASK.loops(32) >= 32 / (TASK.window // 2)  # enough loops for news to cross the string
    rng = generator()
    drawn = [TASK.draw_level(16, rng) for _ in range(2000)]
    assert min(drawn) == 4 and max(drawn) == 16 and 0.65 < drawn.count(16) / 2000 < 0.75
    assert {TASK.draw_level(4, rng) for _ in range(50)} == {4}


def test_text_in_and_out():
    x = TASK.encode("0110")
    assert torch.equal(x, one_hot(torch.tensor([[0, 1, 1, 0]]))) and x.shape == (1, 5, 3)
    logits = torch.eye(2)[torch.tensor([0, 0, 1, 0, 0])]
    assert TASK.decode("0110", logits) == {"answer": "0100"}
    assert TASK.max_loops(x) > 5 and TASK.positions(5).tolist() == [[0], [1], [2], [3], [4]]


def test_test_sets():
    sets = list(TASK.test_sets(3, [5, 9], generator()))
    assert [(name, len(x), x.shape[1], loops) for name, x, _, loops in sets] == [
        ("5 bits", 3, 6, [5, 10]),
        ("9 bits", 3, 10, [9, 18]),
    ]
    assert [name for name, *_ in TASK.test_sets(1, None, generator())][-1] == "512 bits"
    for bits in (0, -3, 2.5):
        with pytest.raises(ValueError, match="the length of a string must be a whole number from 1 to"):
            next(TASK.test_sets(1, [bits], generator()))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "an empty string has no prefix sums: expected bits such as 0110"),
        ("012", "character 3 of '012' is '2': expected only 0 and 1"),
        ("-1", "character 1 of '-1' is '-'"),
        ("٠١", "expected only 0 and 1"),  # digits of another script are not bits
    ],
)
def test_strings_that_are_not_bits(text, message):
    with pytest.raises(ValueError) as caught:
        TASK.encode(text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 4}, "window must be an odd number of cells, got 4"),
        ({"window": -1}, "window must be a whole number from 1 to"),
        ({"first_level": 0}, "first_level must be"),
        ({"first_level": 9, "last_level": 8}, "last_level must be a whole number from 9 to"),
        ({"most_loops": 0}, "most_loops must be"),
        ({"last_loops": 0}, "last_loops must be"),
        ({"shorter": 1.1}, "shorter must be a number from 0 to 1"),
        ({"uniform": -0.1}, "uniform must be"),
        ({"biased": float("nan")}, "biased must be"),
        ({"uniform": 0.6, "biased": 0.5}, "uniform and biased are shares of a batch, got 0.6 and 0.5"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        PrefixSums(**settings)
