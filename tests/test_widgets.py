"""Widgets without a browser: moving a slider or typing changes the picture; mistakes become sentences."""

import sys
from dataclasses import replace

import ipywidgets
import pytest
import torch

from looped_lite import plots, widgets
from looped_lite.pretrained import load_pretrained
from looped_lite.tasks import chess
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


MATE = "6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1"  # Ra8 mates
MATED = "R5k1/5ppp/8/8/8/8/5PPP/6K1 b - - 1 1"
FOR_BLACK = "1k5r/8/8/8/8/8/PPP5/1K6 b - - 0 1"  # Rh1 mates; the model sees this board turned in both ways


@pytest.fixture(scope="module")
def player_of_chess():
    return chess.Chess().model(seed=0, width=16)


def marked(fig, kind):
    """The squares that a figure marks as from or to."""
    found = (patch.get_bbox() for patch in fig.axes[0].patches if patch.get_gid() == kind)
    return [int(box.x0 + 0.5) + 8 * int(box.y0 + 0.5) for box in found]


@pytest.mark.parametrize("fen, move, side", [(MATE, "a1a8", "white"), (FOR_BLACK, "h8h1", "black")])
def test_a_chess_move_is_shown_on_the_board_as_given(player_of_chess, fen, move, side):
    seen = widgets.watch(player_of_chess, fen, loops=2)
    assert seen.logits.shape == (3, 2, 64) and seen.residuals.shape == (2,)
    target = chess.make_positions([fen], [move]).targets  # in squares of the normalized board
    sure = 20.0 * torch.nn.functional.one_hot(target, 64)
    draw, describe = widgets.draw_chess(replace(seen, logits=torch.cat([torch.zeros(1, 2, 64), sure, sure])))
    assert f"{side} to move; likeliest legal moves: {move} 1.00, which mates at once" in describe(1)
    assert "together have probability 1.00; last step" in describe(1) and "not settled in 2 loops" in describe(1)
    assert "together have probability 0.00" in describe(0)  # 1 / 64**2 for each
    squares = chess.read_squares([move])[0].tolist()
    assert marked(draw(1), "from") == squares[:1] and marked(draw(1), "to") == squares[1:]
    assert not marked(draw(0), "from"), "nothing stands out where every square is as likely"
    (arrow,) = [patch for patch in draw(1).axes[0].patches if patch.get_gid() == "move"]
    tip = arrow.get_xy() - [squares[1] % 8 + 0.5, squares[1] // 8 + 0.5]
    assert (abs(tip).sum(1) < 1e-6).any()
    pieces = sum(character.isalpha() for character in fen.split()[0])
    assert len([patch for patch in draw(1).axes[0].patches if patch.get_gid() == "piece"]) == pieces


def test_a_settled_position_says_so(player_of_chess):
    seen = replace(widgets.watch(player_of_chess, MATE, loops=3), settled=2)
    _, describe = widgets.draw_chess(seen)
    assert "not settled yet" in describe(1) and "settled at loop 2" in describe(2)


def test_chess_player_moves_and_stops_at_64_loops(player_of_chess):
    player = widgets.chess_player(player_of_chess, MATE)
    (slider,) = parts(player, ipywidgets.IntSlider)
    assert slider.max <= 64
    before = words(player)
    slider.value = slider.max
    assert words(player) != before and f"Loop {slider.max} of {slider.max}" in words(player)
    assert parts(widgets.chess_player(player_of_chess, MATE, loops=2), ipywidgets.IntSlider)[0].max == 2


def test_a_model_without_from_and_to_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 64\).*got \(64, 2\)"):
        widgets.chess_player(chess.Chess(target="mask").model(seed=0, width=16), MATE, loops=1)


@pytest.mark.parametrize(
    "text, message",
    [
        (MATED, "the side to move is checkmated"),
        ("7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", "stalemated"),
        ("", "empty line"),
        ("knight takes queen", "not a FEN"),
        ("<b>x</b>", "&lt;b&gt;"),
        ("8/8/8/8/8/8/8/8 w - - 0 1", "the board is empty"),
        ("8/8/8/8/8/8/8/K7 w - - 0 1", "black has no king"),
        (MATE.split()[0], "who is to move"),
    ],
)
def test_positions_that_are_none_become_a_sentence(player_of_chess, text, message):
    widget = widgets.solve_chess(player_of_chess, text)
    assert message in words(widget) and 'role="alert"' in words(widget) and "<b>" not in words(widget)
    assert not parts(widget, ipywidgets.IntSlider)
    parts(widget, ipywidgets.Text)[0].value = FOR_BLACK
    assert 'role="alert"' not in words(widget) and "black to move" in words(widget)


def test_examples_of_positions_fill_the_field(player_of_chess):
    widget = widgets.solve_chess(player_of_chess, MATE, {"mate for black": FOR_BLACK})
    assert "white to move" in words(widget)
    parts(widget, ipywidgets.Button)[1].click()
    assert parts(widget, ipywidgets.Text)[0].value == FOR_BLACK and "black to move" in words(widget)


def test_a_missing_python_chess_becomes_a_sentence(player_of_chess, monkeypatch):
    monkeypatch.setitem(sys.modules, "chess", None)
    widget = widgets.solve_chess(player_of_chess, MATE)
    assert "looped-lite[chess]" in words(widget) and not parts(widget, ipywidgets.IntSlider)


def test_a_sudoku_is_watched_until_the_rules_are_kept():
    model = load_pretrained("sudoku-6x6")
    puzzle = "3....1..15.........4.2.......26....3"
    stopped = widgets.watch(model, puzzle, loops=1, tries=3)
    assert stopped.begun == (0, 1, 2) and stopped.loops == 3 and len(stopped.logits) == 4
    seen, found = widgets.watch(model, puzzle, loops=2, tries=16), model.solve(puzzle, loops=2)
    assert (model.task.decode(puzzle, seen.logits[-1])["answer"], seen.loops) == (found.answer, found.loops)
    _, describe = widgets.draw_sudoku(stopped, (2, 3))
    assert "try" not in describe(0) and "Loop 2 of 3, try 2 of 3" in describe(2)
    once = widgets.watch(model, puzzle, tries=16)
    assert once.begun == (0,) and model.task.decode(puzzle, once.logits[-1])["solved"]
