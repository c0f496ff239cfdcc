"""Widgets without a browser: moving a slider or typing changes the picture; mistakes become sentences."""

from dataclasses import replace

import ipywidgets
import pytest
import torch

from looped_lite import plots, widgets
from looped_lite.pretrained import load_pretrained
from looped_lite.tasks.sudoku import Sudoku


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return load_pretrained("prefix-sums-internal-post-seed0")


def parts(widget, kind):
    """All widgets of a kind inside another, in order."""
    inside = [widget] if isinstance(widget, kind) else []
    for child in getattr(widget, "children", ()):
        inside += parts(child, kind)
    return inside


def words(widget):
    return " ".join(part.value for part in parts(widget, ipywidgets.HTML))


def test_player_shows_each_frame_and_draws_it_once():
    drawn = []

    def draw(i):
        drawn.append(i)
        return plots.prefix_sum_board([1, 0], [i / 3, 0.0], [0.3, 0.2, 0.1], i)

    player = widgets.player(draw, 4, lambda i: f"frame <{i}>")
    (slider,), seen = parts(player, ipywidgets.IntSlider), set()
    for i in (0, 1, 2, 3, 1, 0):
        slider.value = i
        seen.add(words(player))
        assert f"frame &lt;{i}&gt;" in words(player) and 'alt="frame' in words(player)
    assert len(seen) == 4 and drawn == [0, 1, 2, 3]
    assert slider.max == parts(player, ipywidgets.Play)[0].max == 3


def test_without_a_kernel_a_line_says_what_to_do():
    player = widgets.player(lambda i: plots.block_diagram(), 1)
    assert "run this cell" in player._repr_mimebundle_()["text/plain"]


def test_player_needs_a_frame():
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        widgets.player(lambda i: None, 0)


def test_cobweb_explorer_follows_both_sliders():
    explorer = widgets.cobweb_explorer(slope=(-2.5, 2.5, 0.8))
    slope, start = parts(explorer, ipywidgets.FloatSlider)
    before = words(explorer)
    assert "settles at" in before
    slope.value = -2.2
    assert "cycle of period 2" in words(explorer) and words(explorer) != before
    before = words(explorer)
    start.value = -1.0
    assert words(explorer) != before


def test_orbit_ends_in_words():
    assert widgets.orbit_end(lambda z: 0.5 * z + 1, 0.0) == "settles at 2.000"
    assert widgets.orbit_end(lambda z: 2 * z + 1, 1.0) == "runs away"
    assert widgets.orbit_end(lambda z: -z, 1.0) == "ends in a cycle of period 2"
    assert "has not settled" in widgets.orbit_end(lambda z: 3.9 * z * (1 - z), 0.3)


def test_trajectory_player_moves():
    states = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    player = widgets.trajectory_player(states, [0, 0, 1, 1])
    before = words(player)
    parts(player, ipywidgets.IntSlider)[0].value = 4
    assert words(player) != before and "Loop 4 of 4" in words(player)


@pytest.mark.parametrize("text", ["0", "1", "0110100110", "1" * 33])
def test_watch_sees_what_solve_answers(model, text):
    seen, solution = widgets.watch(model, text), model.solve(text)
    assert model.task.decode(text, seen.logits[solution.loops])["answer"] == solution.answer
    assert seen.settled == (solution.loops if solution.settled else None)
    assert seen.residuals[solution.loops - 1] == pytest.approx(solution.residual, rel=1e-3)
    assert seen.logits.shape == (seen.loops + 1, 1 + len(text), 2)


def test_watch_stops_where_it_is_told_to(model):
    seen = widgets.watch(model, "0110", loops=3)
    assert seen.loops == 3 and seen.settled is None
    with pytest.raises(ValueError, match="at least 1, got 0"):
        widgets.watch(model, "0110", loops=0)


def test_typed_bits_are_solved(model):
    widget = widgets.solve_prefix_sums(model)
    field, solve = parts(widget, ipywidgets.Text)[0], parts(widget, ipywidgets.Button)[0]
    field.value = "110100"
    opened = parts(widget, ipywidgets.IntSlider)[0]
    solve.click()
    assert parts(widget, ipywidgets.IntSlider)[0] is opened, "solved twice"
    slider = parts(widget, ipywidgets.IntSlider)[0]
    slider.value = slider.max
    assert "6 of 6 cells right" in words(widget) and "settled at loop" in words(widget)


@pytest.mark.parametrize(
    "text, message", [("01a", "&#x27;a&#x27;"), ("", "empty"), ("0" * 97, "97 bits"), ("<b>", "&lt;")]
)
def test_bad_bits_become_a_sentence(model, text, message):
    widget = widgets.solve_prefix_sums(model)
    parts(widget, ipywidgets.Text)[0].value = text
    parts(widget, ipywidgets.Button)[0].click()
    assert message in words(widget) and "<b>" not in words(widget)
    assert not parts(widget, ipywidgets.IntSlider)
    parts(widget, ipywidgets.Text)[0].value = "01"
    parts(widget, ipywidgets.Button)[0].click()
    assert 'role="alert"' not in words(widget) and parts(widget, ipywidgets.IntSlider)


def test_examples_fill_the_field(model):
    widget = widgets.solve_prefix_sums(model)
    parts(widget, ipywidgets.Button)[1].click()
    assert parts(widget, ipywidgets.Text)[0].value == "1" * 16
    assert "of 16 cells right" in words(widget)


PUZZLE, SOLUTION = "..2. 2.1. .3.. ....", "3124241313424231"  # 4x4


@pytest.fixture(scope="module")
def untrained():
    return Sudoku((2, 2)).model(seed=0)


def test_sudoku_player_shows_the_grid_and_counts_broken_rules(untrained):
    seen = widgets.watch(untrained, PUZZLE, loops=3)
    right = torch.tensor([int(digit) for digit in SOLUTION]) - 1
    wrong = right.clone()
    wrong[0] = 3  # a second 4 in the first row
    logits = 9.0 * torch.nn.functional.one_hot(torch.stack([wrong, right, right, right]), 4)
    draw, describe = widgets.draw_sudoku(replace(seen, logits=logits), (2, 2))
    assert "not solved, 4 of 12" in describe(0) and "Loop 1 of 3: solved" in describe(1)
    assert len(draw(0).axes[0].lines) == len(draw(1).axes[0].lines) + 4  # both 4s and what they clash with
    before = words(player := widgets.sudoku_player(untrained, PUZZLE, loops=3))
    parts(player, ipywidgets.IntSlider)[0].value = 2
    assert words(player) != before


@pytest.mark.parametrize(
    "text, message",
    [
        ("11..............", "row 1 has two 1s"),
        ("1" + "." * 15, "several solutions"),
        ("12", "16 characters"),
        ("", "16"),
    ],
)
def test_sudokus_that_are_none_become_a_sentence(untrained, text, message):
    widget = widgets.solve_sudoku(untrained, text)
    assert message in words(widget) and not parts(widget, ipywidgets.IntSlider)
