"""Rows of results: written whole, read back, kept when the same command runs again, and equal for equal seeds."""

import sys

import pytest
import torch

from looped_lite import experiments, training
from looped_lite.experiments import lengths_row, main, measure_prefix_sums, prefix_sums_row, read_rows, write_rows
from looped_lite.paths import data_path
from looped_lite.pretrained import load_pretrained, save_pretrained
from looped_lite.tasks.chess import Chess, load_positions
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.tasks.sudoku import Sudoku, load_puzzles
from looped_lite.tasks.sudoku_puzzles import solve

SHIPPED = data_path()


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


def test_live_runs_are_counted_and_kept(data, monkeypatch):
    asked = []

    def stub(model, task, steps, **settings):
        asked.append((task.last_loops, settings["settle"], settings["seed"], settings["beta2"]))
        return training.Run(step=7, level=32, history={"loss": [], "level": [27, 32], "running": []})

    monkeypatch.setattr(experiments, "train", stub)
    monkeypatch.setattr(
        experiments, "accuracy_over_loops", lambda *a, **k: {32: torch.ones(4096) > 0, 64: torch.zeros(4096) > 0}
    )
    experiments.measure_live()
    rows = read_rows(data / "results" / "prefix_sums_live.csv")
    assert len(rows) == len(asked) == 28 and asked[0] == (24, 200, 0, 0.95) and asked[6] == (32, 180, 0, 0.95)
    assert {(row["arrived"], row["steps"], row["right_32"], row["right_64"]) for row in rows} == {
        ("2", "7", "4096", "0")
    }
    experiments.measure_live()
    assert len(asked) == 28, "what is known is not trained again"


def test_lengths_are_measured_from_input_and_noise(data):
    prefix_sums_row("external", "post", seed=0, steps=1)
    row = lengths_row("external", "post", 0, {5: 7})
    assert row.keys() == {"recall", "norm", "seed", "strings_5", "exact_5", "twice_5", "noise_5"}
    assert all(0 <= row[f"{name}_5"] <= 1 for name in ("exact", "twice", "noise"))


def test_a_sudoku_row_ships_a_model_and_measures_it(data, monkeypatch):
    load_puzzles.cache_clear()
    data.mkdir()
    (data / "sudoku_6x6.csv.gz").symlink_to(SHIPPED / "sudoku_6x6.csv.gz")
    monkeypatch.setattr(experiments, "measure_sudoku", lambda model: {"hard_16": 0.5})
    row = experiments.sudoku_row("external", "peri", seed=4, steps=2)
    model = load_pretrained("sudoku-6x6-external-peri-seed4")
    assert row["hard_16"] == 0.5 and row["steps"] == 2 and model.task.box == (2, 3)
    assert model.card["command"].endswith("sudoku-6x6 --recalls external --norms peri --seeds 4 --steps 2 --lr 0.003")


class Rules:
    """A "model" of sudoku that writes the right digits down, but one, until loop 4; from then on all of them.

    Its state is the input with the number of loops run as one more channel.
    """

    def __init__(self, spoil):
        self.task, self.spoil = Sudoku(), spoil

    def encode(self, x):
        return torch.cat([x, torch.zeros_like(x[..., :1])], dim=-1)

    def angles(self, h):
        return None

    def step(self, z, h, angles):
        return torch.cat([z[..., :-1], z[..., -1:] + 1], dim=-1)

    def read_out(self, z):
        answers = []
        for puzzle in z[..., :-1].argmax(-1).tolist():
            filled = solve(puzzle)[0][0]
            if z[0, 0, -1] < 4 or self.spoil:
                cell = puzzle.index(0)
                filled[cell] = filled[cell] % 9 + 1
            answers.append(filled)
        return torch.nn.functional.one_hot(torch.tensor(answers) - 1, 9).float()


def test_sudoku_sets_are_measured_by_the_rules(monkeypatch):
    monkeypatch.setattr(experiments, "SUDOKU_LOOPS", (2, 4, 8))
    monkeypatch.setattr(experiments, "SUDOKU_SETS", {"extreme": 60})
    by_loops, each = experiments.measure_sudoku_set(Rules(spoil=False), "extreme")
    assert [(row["loops"], row["count"], row["right"], row["solved"]) for row in by_loops] == [
        (2, 60, 0, 0),
        (4, 60, 60, 60),
        (8, 60, 60, 60),
    ]
    assert len(each) == 60 and {row["right_at"] for row in each} == {4} and all(row["wrong"] == 0 for row in by_loops)
    by_loops, each = experiments.measure_sudoku_set(Rules(spoil=True), "qqwing-expert")
    assert {row["count"] for row in by_loops} == {75} and {row["solved"] for row in by_loops} == {0}
    assert {row["right_at"] for row in each} == {""}


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


def test_chess_models_are_trained_measured_and_kept(data, monkeypatch):
    monkeypatch.setattr("looped_lite.blocks.Block.compile", lambda block, **options: None)
    monkeypatch.setattr(experiments, "CHESS_LOOPS", (1, 3))
    measure = experiments.measure_chess
    monkeypatch.setattr(experiments, "measure_chess", lambda model: measure(model, 4))
    (data / "results").mkdir(parents=True)
    for file in SHIPPED.glob("chess_mate*.csv.gz"):
        (data / file.name).symlink_to(file)
    words = ["x", "chess", "--recalls", "internal", "--norms", "peri", "--seeds", "2", "--steps", "1"]
    monkeypatch.setattr(sys, "argv", [*words, "--label", "short"])
    load_positions.cache_clear()
    main()
    rows = read_rows(data / "results" / "chess.csv")
    assert len(rows) == 6 * 3 and {row["model"] for row in rows} == {"chess-internal-peri-short-seed2"}
    assert {(row["start"], row["loops"]) for row in rows} == {("input", "1"), ("input", "3"), ("noise", "64")}
    assert all(0 <= int(row["right"]) <= int(row["count"]) == 4 for row in rows)
    model = load_pretrained("chess-internal-peri-short-seed2")
    assert model.task.most_loops == 4 and "--label short" in model.card["command"]
    before = (data / "results" / "chess.csv").read_text()
    monkeypatch.setattr(experiments, "chess_rows", lambda *a: pytest.fail("a model that exists was trained again"))
    main()
    assert (data / "results" / "chess.csv").read_text() == before


def test_the_long_chess_models_are_scored_by_the_rules(data, monkeypatch):
    monkeypatch.setattr(experiments, "BEST_LOOPS", (1, 2))
    for file in SHIPPED.glob("chess_mate*.csv.gz"):
        (data / "results").mkdir(parents=True, exist_ok=True)
        (data / file.name).symlink_to(file)
    for name in experiments.BEST_CHESS:
        save_pretrained(Chess().model(width=16), name, {"model": {"width": 16}})
    experiments.measure_chess_best(3)
    rows = read_rows(data / "results" / "chess_best.csv")
    assert (
        len(rows) == 2 * 6 * 2
        and {row["model"] for row in rows} == set(experiments.BEST_CHESS)
        and {row["count"] for row in rows} == {"3"}
    )
    assert all(int(row["squares"]) <= int(row["move"]) <= 3 for row in rows), "a right pair of squares is a legal move"
    assert all(int(row["move"]) <= int(row["mate"]) for row in rows if row["depth"] == "1")


def test_instances_that_are_still_are_taken_out_and_keep_their_answer():
    model = load_pretrained("prefix-sums-internal-post-seed0")
    x, _ = PrefixSums().batch(6, 24, torch.Generator().manual_seed(0))
    with torch.no_grad():
        right = {t: model(x, t) for t in (1, 5, 40, 200)}
    found = experiments.logits_over_loops(model, x, (200, 5, 40, 1))
    assert found.keys() == right.keys()
    assert all(torch.allclose(found[t], right[t], atol=1e-3) for t in right)
    moved = []
    step = model.step
    model.step = lambda z, h, angles: (moved.append(len(z)), step(z, h, angles))[1]
    experiments.logits_over_loops(model, x, (200,))
    assert moved[0] == 6 and len(moved) < 100 and moved == sorted(moved, reverse=True), "all settle long before"
    model.step = step
    peri = load_pretrained("prefix-sums-internal-peri-seed0")
    assert torch.equal(experiments.logits_over_loops(peri, x, (60,))[60], peri(x, 60)), "never still: never taken out"


def test_the_9x9_model_is_measured_on_every_set_and_by_tries(data, monkeypatch):
    sets = {"qqwing-simple": 2, "test": 3}
    monkeypatch.setattr(experiments, "SUDOKU_SETS", {"test": 3})
    monkeypatch.setattr(experiments, "QQWING", ("simple",))
    monkeypatch.setattr(experiments, "SUDOKU_LOOPS", (1, 2))
    monkeypatch.setattr(experiments, "LOOPS_A_TRY", 2)
    monkeypatch.setattr("looped_lite.blocks.Block.compile", lambda block, **options: None)
    (data / "results").mkdir(parents=True)
    (data / "sudoku_9x9.csv.gz").symlink_to(SHIPPED / "sudoku_9x9.csv.gz")
    rows = [r for r in read_rows(SHIPPED / "sudoku_9x9_qqwing.csv") if r["difficulty"] == "simple"][:2]
    write_rows(data / "sudoku_9x9_qqwing.csv", rows)
    save_pretrained(Sudoku().model(width=16), "sudoku-9x9", {"model": {"width": 16}})
    load_puzzles.cache_clear()
    experiments.measure_sudoku_9x9()
    by_loops, each, tries = (read_rows(data / "results" / f"sudoku_9x9{part}.csv") for part in ("", "_each", "_tries"))
    assert [(r["split"], r["loops"], r["count"]) for r in by_loops] == [
        (name, str(loops), str(count)) for name, count in sets.items() for loops in (1, 2)
    ]
    assert all(r["wrong"] == "0" and int(r["right"]) <= int(r["count"]) for r in by_loops)
    assert len(each) == 5 and [r["index"] for r in each] == ["0", "1", "0", "1", "2"]
    assert [r["tries"] for r in tries] == [str(t) for t in range(1, 17)] * 2
    before = (data / "results" / "sudoku_9x9.csv").read_text()
    experiments.measure_sudoku_9x9()
    assert (data / "results" / "sudoku_9x9.csv").read_text() == before
