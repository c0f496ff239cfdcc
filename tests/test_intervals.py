"""Intervals against closed forms, tables, brute force, and how often they hold the truth."""

import math

import numpy as np
import pytest
import torch

from looped_lite.intervals import (
    auc,
    band,
    bootstrap,
    difference,
    in_words,
    ranks,
    spearman,
    t_interval,
    t_quantile,
    wilson,
)

rng = np.random.default_rng(0)


# ---------------------------------------------------------------- shares


def test_wilson_solves_its_own_equation():
    """The ends are the shares p at which the measured one is 1.96 standard errors of p away."""
    n = np.repeat([1, 2, 7, 50, 1000, 10**6], 4)
    successes = (n * np.tile([0, 0.3, 0.9, 1], 6)).astype(int)
    for z in (1.0, 1.96, 3.0):
        for end in wilson(successes, n, z):
            assert (successes / n - end) ** 2 == pytest.approx(z * z * end * (1 - end) / n, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 999, 10**6, 10**12, 2**53])
def test_wilson_always_has_a_width_and_holds_the_share(n):
    for successes in {0, 1, n // 2, n - 1, n}:
        low, high = wilson(successes, n)
        assert 0 <= low <= successes / n <= high <= 1 and low < high
        assert (low == 0) == (successes == 0) and (high == 1) == (successes == n)
    n = np.arange(1, 3000)
    for z in (1.0, 1.96, 3.3):  # not even rounding moves the end that is certain
        assert (wilson(0 * n, n, z)[0] == 0).all() and (wilson(n, n, z)[1] == 1).all()


def test_wilson_takes_numbers_arrays_and_tensors():
    expected = wilson([3, 0], [10, 10])
    for successes, n in (
        (np.array([3, 0]), 10),
        (torch.tensor([3, 0]), torch.tensor(10)),
        ([3.0, 0.0], np.float32(10)),
    ):
        assert np.array_equal(wilson(successes, n), expected)
    assert float(wilson(torch.tensor([True, False]).sum(), 2)[0]) == pytest.approx(0.0945, abs=1e-4)


def test_a_share_in_words():
    assert in_words(torch.arange(100) < 98, digits=2) == in_words(98, 100, 2) == "0.98 (0.93 to 0.99)"


@pytest.mark.parametrize(
    "successes, n, z, message",
    [
        (0, 0, 1.96, "at least one trial"),
        (0, 2.0**54, 1.96, "at most 2"),
        (0.5, 10, 1.96, "whole numbers"),
        (5, 10.5, 1.96, "whole numbers"),
        (-1, 5, 1.96, "between 0 and n"),
        ([1, 6], 5, 1.96, "between 0 and n"),
        ([1, 2], [5, 5, 5], 1.96, "one shape"),
        (math.nan, 5, 1.96, "successes must be finite"),
        (1, math.inf, 1.96, "n must be finite"),
        ("1", 5, 1.96, "successes must be finite"),
        (None, 5, 1.96, "successes must be finite"),
        (1 + 1j, 5, 1.96, "successes must be finite"),
        ([], 5, 1.96, "successes must be at least 1"),
        (1, 5, 0, "z must be positive"),
        (1, 5, -1, "z must be positive"),
        (1, 5, math.inf, "z must be finite"),
    ],
)
def test_wilson_refuses_what_is_no_count(successes, n, z, message):
    with pytest.raises(ValueError, match=message):
        wilson(successes, n, z)


def test_band_is_made_of_quantiles():
    values = rng.normal(size=(5, 101))
    middle, low, high = band(torch.tensor(values), 0.5, axis=1)
    ordered = np.sort(values, axis=1)
    assert np.array_equal(middle, ordered[:, 50])
    assert np.array_equal(low, ordered[:, 25]) and np.array_equal(high, ordered[:, 75])
    for bad in ([1.0, math.nan], [], ["a"]):
        with pytest.raises(ValueError, match="values must be"):
            band(bad)
    for share in (0, -0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="share must"):
            band([1.0, 2.0], share)


# ---------------------------------------------------------------- means over seeds


def test_t_quantiles_are_those_of_the_table():
    table = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 9: 2.2622, 30: 2.0423, 120: 1.9799, 1000: 1.9623}
    for freedom, expected in table.items():
        assert t_quantile(freedom) == pytest.approx(expected, abs=1e-4)
    assert t_quantile(200) - t_quantile(201) == pytest.approx(t_quantile(199) - t_quantile(200), rel=0.05)  # no step


def test_the_t_interval_is_its_formula_and_holds_the_mean_as_often_as_it_says():
    low, high = t_interval(torch.tensor([0.90, 0.95, 0.97], dtype=torch.float64))
    deviation = math.sqrt((0.04**2 + 0.01**2 + 0.03**2) / 2)
    assert (low + high) / 2 == pytest.approx(0.94) and (high - low) / 2 == pytest.approx(4.30265 * deviation / 3**0.5)
    for n in (3, 5):
        ends = np.array([t_interval(row) for row in rng.normal(2, 3, size=(2000, n))])
        assert 0.93 < ((ends[:, 0] <= 2) & (ends[:, 1] >= 2)).mean() < 0.97
    assert t_interval([1, 1, 1]) == (1, 1)


def test_a_difference_is_paired():
    hard = np.array([0.1, 0.5, 0.9])
    mean, low, high = difference(hard + np.array([0.04, 0.05, 0.06]), hard)
    assert mean == pytest.approx(0.05) and (low, high) == pytest.approx(t_interval([0.04, 0.05, 0.06])) and low > 0
    assert difference(hard, hard + 1)[0] == pytest.approx(-1)


def test_the_bootstrap_is_the_middle_of_all_resamples():
    """Few values: all resamples can be written down. Many values: the normal interval."""
    every = np.array(np.meshgrid(*[[0.0, 1.0, 5.0, 6.0, 20.0]] * 5)).mean(0)
    assert bootstrap([0, 1, 5, 6, 20]) == pytest.approx(np.quantile(every, [0.025, 0.975]), abs=0.21)
    values = rng.normal(size=400)
    low, high = bootstrap(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert bootstrap(values) == (low, high) != bootstrap(values, seed=1)
    assert bootstrap(torch.tensor(values), np.median, 500)[1] < bootstrap(values, np.max, 500)[0]
    rows = np.stack([values, 2 * values], axis=1)  # rows are drawn whole
    assert bootstrap(rows, lambda r: np.corrcoef(r.T)[0, 1], 200) == pytest.approx((1, 1))


# ---------------------------------------------------------------- ranks


def test_ranks_share_the_mean_of_tied_places():
    values = rng.integers(0, 6, 40)
    expected = [1 + (values < v).sum() + ((values == v).sum() - 1) / 2 for v in values]
    assert np.array_equal(ranks(values), expected)


def test_spearman_is_the_formula_without_ties_and_is_blind_to_monotone_maps():
    x, y = rng.normal(size=(2, 30))
    y = y + x
    rho, low, high = spearman(x, y)
    gap = x.argsort().argsort() - y.argsort().argsort()
    assert rho == pytest.approx(1 - 6 * (gap**2).sum() / (30 * (30**2 - 1)))
    assert spearman(np.exp(x), torch.tensor(y**3)) == (rho, low, high) and low < rho < high
    assert spearman(x, -y) == pytest.approx((-rho, -high, -low))
    half = 1.959964 * math.sqrt((1 + rho**2 / 2) / 27)
    assert (math.atanh(low), math.atanh(high)) == pytest.approx((math.atanh(rho) - half, math.atanh(rho) + half))


def test_spearmans_interval_holds_the_truth_and_never_vanishes():
    inside = 0
    for _ in range(600):  # normal pairs of correlation r have rank correlation 6 / pi asin(r / 2)
        x, noise = rng.normal(size=(2, 40))
        _, low, high = spearman(x, 0.6 * x + 0.8 * noise)
        inside += low <= 6 / math.pi * math.asin(0.3) <= high
    assert 0.92 < inside / 600 < 0.98
    for n in (4, 10, 1000):
        rho, low, high = spearman(range(n), range(n))
        assert rho == high == 1 and -1 < low < 1
        rho, low, high = spearman(range(n), range(n, 0, -1))
        assert rho == low == -1 and -1 < high < 1
    assert spearman(range(1000), range(1000))[1] > 0.999
    near = [1, 0, *range(2, 10)]  # two neighbours changed places
    assert spearman(range(10), near)[1] == pytest.approx(spearman(range(10), range(10))[1])


def test_auc_counts_pairs():
    labels = rng.integers(0, 2, 60)
    scores = rng.integers(0, 8, 60) + 3 * labels
    pairs = [(a > b) + (a == b) / 2 for a in scores[labels == 1] for b in scores[labels == 0]]
    found, low, high = auc(scores, labels)
    assert found == pytest.approx(np.mean(pairs)) and low < found < high
    assert auc(torch.tensor(scores), torch.tensor(labels) == 1) == (found, low, high)
    assert auc(-scores, labels) == pytest.approx((1 - found, 1 - high, 1 - low), abs=0.01)
    assert auc(scores, labels, seed=1)[1:] == pytest.approx((low, high), abs=0.02)
    p, q = (labels == 1).sum(), (labels == 0).sum()  # Hanley and McNeil's standard error
    a, b = found / (2 - found), 2 * found**2 / (1 + found)
    error = math.sqrt((found * (1 - found) + (p - 1) * (a - found**2) + (q - 1) * (b - found**2)) / (p * q))
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_the_auc_of_classes_that_are_apart_has_a_width():
    assert auc([1, 2, 3, 4, 5], [0, 0, 0, 1, 1]) == (1, pytest.approx(float(wilson(2, 2)[0])), 1)
    assert auc([1, 2, 3, 4, 5], [1, 1, 0, 0, 0]) == (0, 0, pytest.approx(float(wilson(0, 2)[1])))


MEASURES = {
    "t_interval": (t_interval, 2),
    "bootstrap": (bootstrap, 2),
    "difference": (lambda v: difference(v, [1.0] * len(v)), 2),
    "difference, b": (lambda v: difference([1.0] * len(v), v), 2),
    "spearman": (lambda v: spearman(v, range(len(v))), 4),
    "auc": (lambda v: auc(v, [1, 0] * (len(v) // 2) + [1] * (len(v) % 2)), 2),
}


@pytest.mark.parametrize("name", MEASURES)
def test_bad_numbers_are_refused(name):
    measure, least = MEASURES[name]
    measure([0.5, 0.25, 0.75, 1.0])
    for bad in ([0.5, 1, 2, math.nan], [0.5, 1, 2, math.inf], ["0.5"] * 4, [None] * 4, [1j] * 4):
        with pytest.raises(ValueError, match="must be finite real numbers"):
            measure(bad)
    for count in range(least):
        with pytest.raises(ValueError, match=f"must be at least {least} numbers"):
            measure([0.5, 0.25, 0.75][:count])


def test_shapes_labels_and_settings_are_refused():
    two = np.ones((4, 2))
    for run in (
        lambda: t_interval(two),
        lambda: difference(two, two),
        lambda: difference([1, 2, 3], [1, 2]),
        lambda: spearman(range(5), range(6)),
        lambda: auc(range(5), [0, 1]),
    ):
        with pytest.raises(ValueError, match=r"one (list|length)|two lists"):
            run()
    with pytest.raises(ValueError, match="a constant has no order"):
        spearman([1, 1, 1, 1], range(4))
    with pytest.raises(ValueError, match="a constant has no order"):
        spearman(range(4), [1, 1, 1, 1])
    for labels in ([0, 0, 0], [1, 1, 1], [0, 1, 2], [0, 1, 0.5]):
        with pytest.raises(ValueError, match="labels must be 0 or 1, and both"):
            auc([1, 2, 3], labels)
    for setting, least in (("resamples", 100), ("seed", 0)):
        for bad in (least - 1, 200.5, True, math.nan, "200", None):
            with pytest.raises(ValueError, match=f"{setting} must be a whole number from {least} to"):
                bootstrap([1, 2, 3], **{setting: bad})
    with pytest.raises(ValueError, match="the statistics must be finite"):
        bootstrap([1, 2, 3], lambda v: math.nan, 100)
