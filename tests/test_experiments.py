"""Rows of results: written whole, read back, kept when the same command runs again, and equal for equal seeds."""

import sys

import pytest
import torch

from looped_lite import experiments
from looped_lite.experiments import lengths_row, main, measure_prefix_sums, prefix_sums_row, read_rows, write_rows
from looped_lite.pretrained import load_pretrained
from looped_lite.tasks.prefix_sums import PrefixSums


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPED_LITE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(experiments, "measure_prefix_sums", lambda model: measure_prefix_sums(model, {6: 4}))
    return tmp_path / "data"


def test_rows_come_back_as_they_were_written(tmp_path):
    write_rows(tmp_path / "new" / "a.csv", [{"a": 1, "b": 1 / 3}, {"a": "x", "b": ""}])
    assert read_rows(tmp_path / "new" / "a.csv") == [{"a": "1", "b": "0.333333"}, {"a": "x", "b": ""}]
    assert read_rows(tmp_path / "none.csv") == []


def test_a_row_ships_a_model_with_a_card_and_repeats_with_its_seed(data):
    torch.set_num_threads(1)
    one = prefix_sums_row("internal", "post", seed=3, steps=2)
    weights = load_pretrained("prefix-sums-internal-post-seed3")
    assert weights.card["steps"] == 2 and weights.card["seed"] == 3 and "--seeds 3" in weights.card["command"]
    again = prefix_sums_row("internal", "post", seed=3, steps=2, label="again")
    assert {**one, "minutes": 0} == {**again, "minutes": 0}
    other = load_pretrained("prefix-sums-internal-post-again-seed3")
    assert all(torch.equal(a, b) for a, b in zip(weights.parameters(), other.parameters(), strict=True))


def test_the_grid_keeps_rows_that_exist(data, monkeypatch):
    words = ["x", "prefix-sums", "--recalls", "none", "--norms", "post", "pre", "--seeds", "0", "--steps", "1"]
    monkeypatch.setattr(sys, "argv", words)
    main()
    path = data / "results" / "prefix_sums_grid.csv"
    before = path.read_text()
    assert [row["norm"] for row in read_rows(path)] == ["post", "pre"]
    monkeypatch.setattr(experiments, "prefix_sums_row", lambda *a: pytest.fail("a row that exists was trained again"))
    main()
    assert path.read_text() == before


def test_lengths_are_measured_from_input_and_noise(data):
    prefix_sums_row("external", "post", seed=0, steps=1)
    row = lengths_row("external", "post", 0, {5: 7})
    assert row.keys() == {"recall", "norm", "seed", "strings_5", "exact_5", "twice_5", "noise_5"}
    assert all(0 <= row[f"{name}_5"] <= 1 for name in ("exact", "twice", "noise"))


def test_the_measures_know_a_perfect_model():
    class Oracle(torch.nn.Module):
        """Reads the bits off the input and answers at once, whatever the loops."""

        task, blocks = PrefixSums(), [type("Block", (), {"recall": None})]

        def states(self, x, loops, start="input", generator=None):
            for _ in range(loops):
                yield x

        def read_out(self, z):
            return torch.nn.functional.one_hot(z[..., 1].cumsum(1).long() % 2, 2).float()

        def loop(self, x):
            return (lambda z: z), x

    row = measure_prefix_sums(Oracle(), {6: 4, 32: 8})
    assert row["exact_6"] == row["exact_32"] == row["noise_32"] == 1.0 and row["step_400"] == 0
