"""Boards: each shows its instance and the answer, in squares and in words; a task without one gets the plain board."""

import ast
import io
import itertools
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from looped_lite import boards, plots
from looped_lite.boards import chess, plain, prefix_sums, sudoku
from looped_lite.recipe import Recipe
from looped_lite.solving import Watched, watch
from looped_lite.tasks import Task
from looped_lite.tasks import chess as task
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.tasks.sudoku import Sudoku

BITS = torch.tensor([1, 0, 1, 1, 0, 1, 0, 0, 1])
BOARD = torch.zeros(64, dtype=torch.uint8)  # white Ke1 and pawn a2, black Ke8 and queen d8
BOARD[[4, 8, 60, 59]] = torch.tensor([6, 1, 12, 11], dtype=torch.uint8)
HEAT = torch.zeros(2, 64)
HEAT[0, 4], HEAT[0, 8], HEAT[1, 12] = 0.75, 0.25, 1.0


def watched(logits, text="", settled=None, begun=(0,)):
    """A run with these logits (loops + 1, cells, classes) whose residuals fall."""
    return Watched(text, logits, 0.1 ** torch.arange(1.0, len(logits)), settled, begun)


# ---------------------------------------------------------------- which imports, which board


@pytest.mark.parametrize(
    "folder, below", [("plots", {"intervals", "plots"}), ("boards", {"plots", "tasks", "solving", "boards"})]
)
def test_pictures_import_only_from_the_floors_below(folder, below):
    root = Path(plots.__file__).parent.parent
    for path in (root / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                parts = (node.module or "").split(".")
                inside = node.level == 2 or parts[0] == "looped_lite"
                assert not inside or (parts[0] or node.names[0].name) in below, f"{path.name} imports {node.module}"
            elif isinstance(node, ast.Import):
                assert not any(name.name.startswith("looped_lite") for name in node.names), path.name


@pytest.mark.parametrize(
    "one, found",
    [
        (PrefixSums(), prefix_sums.draw),
        (Sudoku((2, 3)), sudoku.draw),
        (task.Chess(), chess.draw),
        (Task, plain.draw),
        (SimpleNamespace(board=None), plain.draw),
    ],
)
def test_a_task_names_its_board_or_gets_the_plain_one(one, found):
    assert boards.board_of(one) is found


@pytest.mark.parametrize("address", ["looped_lite.boards.plain:paint", "no_such_file:draw", "no colon", ":draw", 7])
def test_a_board_that_is_not_there_is_named(address):
    with pytest.raises(ValueError, match=r"no board at .*expected module:function"):
        boards.board_of(SimpleNamespace(board=address))


def test_a_board_may_come_from_a_file_of_your_own(tmp_path, monkeypatch):
    (tmp_path / "my_board.py").write_text(
        "def draw(seen, task):\n    return None, lambda loop: f'loop {loop}, {task}'\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    one = SimpleNamespace(board="my_board:draw")
    assert boards.board_of(one)(None, "mine")[1](3) == "loop 3, mine"


def test_boards_are_imported_when_asked_for_and_others_are_not_there():
    assert boards.sudoku is sudoku and not hasattr(boards, "maze")


# ---------------------------------------------------------------- any task


GRID = SimpleNamespace(
    positions=lambda cells: torch.cartesian_prod(torch.arange(2), torch.arange(3)) + 4,  # two rows of three, from 4 on
    encode=lambda text: torch.nn.functional.one_hot(torch.tensor([[int(c) for c in text]]), 4).float(),
)


def squares(ax):
    """The lower left corners of the squares of a board, in their order."""
    return [tuple(map(int, patch.get_xy())) for patch in ax.patches]


def test_the_plain_board_shows_classes_certainty_and_input_on_a_grid():
    classes = torch.tensor([[0, 1, 2, 2, 1, 0], [0, 1, 2, 2, 1, 2]])
    logits = 4.0 * torch.nn.functional.one_hot(classes, 3)
    logits[:, 0] /= 4
    draw, describe = plain.draw(watched(logits, "301230", settled=1), GRID)
    ax = draw(1).axes[0]
    assert squares(ax) == [(0, 1), (1, 1), (2, 1), (0, 0), (1, 0), (2, 0)]
    words = [text.get_text() for text in ax.texts]
    assert words[::2] == list("012212") and words[1::2] == list("301230")
    assert ax.patches[0].get_facecolor()[3] < ax.patches[1].get_facecolor()[3], "less sure is no paler"
    assert "Loop 1 of 1: 1 of 6 cells changed" in describe(1) and "settled at loop 1" in describe(1)
    assert "changed" not in describe(0) and "average certainty" in describe(0)


def test_the_plain_board_takes_a_line_and_answers_that_are_not_the_cells():
    line = SimpleNamespace(
        positions=lambda cells: torch.arange(cells)[:, None], encode=lambda text: torch.rand(1, 20, 3)
    )
    draw, _ = plain.draw(watched(torch.rand(3, 20, 9)), line)
    ax = draw(2).axes[0]
    assert squares(ax)[:2] == [(0, 1), (1, 1)] and squares(ax)[16:] == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert len(ax.texts) == 20, "inputs that are not one-hot have no place in the corners"
    draw, describe = plain.draw(watched(torch.rand(4, 2, 64), begun=(0, 2)), line)  # a chess model's two questions
    assert len(draw(0).axes[0].patches) == 2 and "Loop 3 of 3, try 2 of 2:" in describe(3)


def test_a_state_that_overflowed_is_drawn_as_knowing_nothing():
    lost = torch.full((2, 6, 3), torch.nan)
    draw, describe = plain.draw(watched(lost, "301230"), GRID)
    assert {patch.get_facecolor()[3] for patch in draw(1).axes[0].patches} == {0.0} and "nan" in describe(1)
    assert len(plots.png(sudoku.draw(watched(torch.full((2, 16, 4), torch.nan), PUZZLE), Sudoku((2, 2)))[0](1))) > 0


def test_the_plain_board_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="sure must have a number for each of 3 cells, got 2"):
        plain.board([0, 1, 2], [0.5, 0.5])


# ---------------------------------------------------------------- strings of bits and sudokus


def test_board_counts_right_answers():
    answer = BITS.cumsum(0) % 2
    title = prefix_sums.board(BITS, answer.float(), [0.1], 1).axes[0].get_title("left")
    assert "9 of 9" in title
    ones = answer.float()
    ones[3] = 1 - ones[3]
    assert "8 of 9" in prefix_sums.board(BITS, ones, [0.1], 1).axes[0].get_title("left")


def test_a_board_of_the_wrong_size_or_loop_is_refused():
    with pytest.raises(ValueError, match=r"between 0 and 2.*got 3"):
        prefix_sums.board([1, 0], [0.5, 0.5], [0.2, 0.1], 3)
    with pytest.raises(ValueError, match="36 cells, got 35"):
        sudoku.board([0] * 35, [0] * 36, box=(2, 3))


def test_bits_say_how_many_are_right_and_how_many_fit():
    logits = torch.zeros(2, 5, 2)
    logits[1, 1:] = 9.0 * torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 0]).cumsum(0) % 2, 2)
    draw, describe = prefix_sums.draw(watched(logits, "0110", settled=1), PrefixSums())
    assert "Loop 1 of 1: 4 of 4 cells right" in describe(1) and isinstance(draw(1), Figure)
    with pytest.raises(ValueError, match="97 bits do not fit on the board: expected at most 96"):
        prefix_sums.draw(watched(logits, "0" * 97), PrefixSums())


PUZZLE, SOLUTION = "..2. 2.1. .3.. ....", "3124241313424231"  # 4x4


@pytest.fixture(scope="module")
def untrained():
    return Recipe(Sudoku((2, 2))).build()


def test_a_sudoku_counts_the_cells_that_break_a_rule(untrained):
    seen = watch(untrained, PUZZLE, loops=3)
    right = torch.tensor([int(digit) for digit in SOLUTION]) - 1
    wrong = right.clone()
    wrong[0] = 3  # a second 4 in the first row
    logits = 9.0 * torch.nn.functional.one_hot(torch.stack([wrong, right, right, right]), 4)
    draw, describe = boards.sudoku.draw(replace(seen, logits=logits), untrained.recipe.task)
    assert "not solved, 4 of 12" in describe(0) and "Loop 1 of 3: solved" in describe(1)
    assert len(draw(0).axes[0].lines) == len(draw(1).axes[0].lines) + 4  # both 4s and what they clash with


def test_grids_stand_side_by_side_and_say_when_and_whom():
    givens, digits = [1] + [0] * 15, list(range(1, 5)) * 4
    fig = sudoku.strip(givens, [digits] * 5, titles=list("abcde"), box=(2, 2), columns=3)
    assert [ax.get_title("left") for ax in fig.axes[:5]] == list("abcde") and not fig.axes[5].axison
    words = [text.get_text() for text in sudoku.settling(givens, digits, range(16), (2, 2)).axes[0].texts]
    assert words[:5] == ["1", "2", "1", "3", "2"]  # a given, then digits with the loop from which on they stay
    fig = sudoku.who_sees_whom(torch.eye(16, dtype=torch.bool)[None], 3, ["itself"], (2, 2))
    dark = [patch for patch in fig.axes[0].patches if patch.get_facecolor()[:3] < (0.2, 0.2, 0.2)]
    assert [patch.get_xy() for patch in dark] == [(3, 3)]
    with pytest.raises(ValueError, match="16 cells, got 3 digits"):
        sudoku.strip([0, 0, 0], [[1, 2, 3]], box=(2, 2))


# ---------------------------------------------------------------- chess boards


def drawn(ax, kind):
    """The patches of one kind on a chess board: piece, from, to, move or cell."""
    return [patch for patch in ax.patches if patch.get_gid() == kind]


def square_of(patch):
    """The square in whose middle a patch lies."""
    box = patch.get_path().transformed(patch.get_patch_transform()).get_extents()
    return int((box.x0 + box.x1) / 2) + 8 * int((box.y0 + box.y1) / 2)


def test_a_chess_board_shows_each_piece_on_its_square():
    ax = chess.board(BOARD).axes[0]
    assert sorted(map(square_of, drawn(ax, "piece"))) == [4, 8, 59, 60]
    assert {text.get_text() for text in ax.texts} == set("abcdefgh12345678")
    assert not drawn(ax, "from") + drawn(ax, "to") + drawn(ax, "move")
    shapes = {chess._piece(number)[0].vertices.tobytes() for number in range(1, 13)}
    assert len(shapes) == 12
    for number in range(1, 13):
        box = chess._piece(number)[1].get_extents()
        assert 0 < box.x0 < box.x1 < 1 and 0 < box.y0 < box.y1 < 1, "a piece leaves its square"


def test_black_pieces_are_darker_than_white_ones():
    kinds = np.repeat([1, 2, 3, 4, 5, 6, 0, 0], 8)  # one kind on each rank
    fig = chess.board(kinds)
    white, black = (
        np.asarray(Image.open(io.BytesIO(plots.png(one))).convert("L")).astype(float)
        for one in (fig, chess.board(np.where(kinds, kinds + 6, 0)))
    )
    edges = [fig.axes[0].transData.transform([0, rank])[1] / fig.bbox.height for rank in range(9)]
    rows = [slice(int((1 - high) * len(white)), int((1 - low) * len(white))) for low, high in itertools.pairwise(edges)]
    darker = [(white[row] - black[row]).mean() for row in rows]
    assert min(darker[:6]) > 5 and max(map(abs, darker[6:])) < 1e-9, darker


def test_heat_is_a_frame_or_a_filled_square_and_stronger_where_likelier():
    ax = chess.board(BOARD, HEAT).axes[0]
    starts = {square_of(patch): patch for patch in drawn(ax, "from")}
    (end,) = drawn(ax, "to")
    assert set(starts) == {4, 8} and square_of(end) == 12
    assert starts[4].get_alpha() == pytest.approx(np.sqrt(3) * starts[8].get_alpha())
    assert end.get_alpha() == pytest.approx(0.9) and end.get_fill() and not starts[4].get_fill()


def test_moves_are_arrows_and_the_weight_makes_them_stronger():
    strong, weak = drawn(chess.board(BOARD, moves=[(8, 24), (4, 5, 0.2)]).axes[0], "move")
    assert strong.get_alpha() > weak.get_alpha()
    assert strong.get_xy()[:, 0].mean() == pytest.approx(0.5, abs=0.2)  # along file a, up to a4
    assert strong.get_xy()[:, 1].max() == pytest.approx(3.5)


def test_a_strip_has_a_board_for_each_title_and_a_board_beside_the_residual():
    fig = chess.strip(BOARD, titles=["one", "two", "three"], columns=2)
    shown = [ax for ax in fig.axes if drawn(ax, "piece")]
    assert [ax.get_title("left") for ax in shown] == ["one", "two", "three"] and len(fig.axes) == 4
    fig = chess.strip([BOARD, BOARD.flip(0)], heat=[HEAT, 0 * HEAT])
    assert len(drawn(fig.axes[0], "from")) == 2 and not drawn(fig.axes[1], "from")
    fig = chess.board(BOARD, residuals=[0.5, 0.1], loop=1)
    assert fig.axes[0].get_title("left") == "loop 1" and fig.axes[1].get_yscale() == "log"


def test_a_map_shows_its_values_and_frames_the_cell():
    values = torch.rand(3, 64)
    fig = chess.square_map(values, ["a", "b", "c"], cell=27, label="attention")
    for ax, one in zip(fig.axes[:3], values, strict=True):
        assert np.allclose(ax.collections[0].get_array().ravel(), one)
        assert [square_of(frame) for frame in drawn(ax, "cell")] == [27]
    assert fig.axes[3].get_ylabel() == "attention"
    assert len(chess.square_map(values > 0.5, ["a", "b", "c"]).axes) == 3  # yes or no needs no scale


@pytest.mark.parametrize(
    "draw, words",
    [
        (lambda: chess.board([0] * 63), r"64 squares, got .*\(1, 63\)"),
        (lambda: chess.board([[0] * 64] * 2), "one board of shape"),
        (lambda: chess.board([13] * 64), "0 .empty. to 12, got 13"),
        (lambda: chess.board([0.5] * 64), "whole numbers"),
        (lambda: chess.board(BOARD, HEAT[0]), r"shape \(2, 64\)"),
        (lambda: chess.board(BOARD, 3 * HEAT), "probabilities from 0 to 1, got 0 to 3"),
        (lambda: chess.board(BOARD, math.nan * HEAT), "probabilities"),
        (lambda: chess.board(BOARD, moves=[(0, 64)]), "squares from 0 to 63.*got 0, 64"),
        (lambda: chess.board(BOARD, moves=[(0, 1, 2.0)]), "weight from 0 to 1, got .*2.0"),
        (lambda: chess.board(BOARD, residuals=[0.1], loop=2), "between 0 and 1"),
        (lambda: chess.strip([BOARD, BOARD], titles=["one"]), "titles must be 2.*got 1"),
        (lambda: chess.strip([BOARD, BOARD], HEAT[None]), "heat must be 2"),
        (lambda: chess.strip(torch.zeros(0, 64)), r"got .*\(0, 64\)"),
        (lambda: chess.square_map(torch.rand(2, 63), ["a", "b"]), r"shape \(2, 64\).*got \(2, 63\)"),
        (lambda: chess.square_map(torch.rand(2, 64), ["a"]), "one map for each title"),
        (lambda: chess.square_map(torch.rand(1, 64), ["a"], cell=64), "0 to 63, got 64"),
    ],
)
def test_what_is_no_chess_board_is_refused(draw, words):
    with pytest.raises(ValueError, match=words):
        draw()


MATE = "6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1"  # Ra8 mates
FOR_BLACK = "1k5r/8/8/8/8/8/PPP5/1K6 b - - 0 1"  # Rh1 mates; the model sees this board turned in both ways


@pytest.fixture(scope="module")
def player_of_chess():
    return Recipe(task.Chess(), width=16).build()


def marked(fig, kind):
    """The squares that a figure marks as from or to."""
    found = (patch.get_bbox() for patch in fig.axes[0].patches if patch.get_gid() == kind)
    return [int(box.x0 + 0.5) + 8 * int(box.y0 + 0.5) for box in found]


@pytest.mark.parametrize(
    "fen, move, san, side", [(MATE, "a1a8", "Ra8#", "white"), (FOR_BLACK, "h8h1", "Rh1#", "black")]
)
def test_a_chess_move_is_shown_on_the_board_as_given(player_of_chess, fen, move, san, side):
    seen = watch(player_of_chess, fen, loops=2)
    assert seen.logits.shape == (3, 2, 64) and seen.residuals.shape == (2,)
    target = task.make_positions([fen], [move]).targets  # in squares of the normalized board
    sure = 20.0 * torch.nn.functional.one_hot(target, 64)
    draw, describe = boards.chess.draw(
        replace(seen, logits=torch.cat([torch.zeros(1, 2, 64), sure, sure])), player_of_chess.recipe.task
    )
    assert f"{side} to move; likeliest legal moves: {move} ({san}) 1.00, which mates at once" in describe(1)
    assert "together have probability 1.00; last step" in describe(1) and "not settled in 2 loops" in describe(1)
    assert "together have probability 0.00" in describe(0)  # 1 / 64**2 for each
    squares = task.read_squares([move])[0].tolist()
    assert marked(draw(1), "from") == squares[:1] and marked(draw(1), "to") == squares[1:]
    assert not marked(draw(0), "from"), "nothing stands out where every square is as likely"
    (arrow,) = [patch for patch in draw(1).axes[0].patches if patch.get_gid() == "move"]
    tip = arrow.get_xy() - [squares[1] % 8 + 0.5, squares[1] // 8 + 0.5]
    assert (abs(tip).sum(1) < 1e-6).any()
    pieces = sum(character.isalpha() for character in fen.split()[0])
    assert len([patch for patch in draw(1).axes[0].patches if patch.get_gid() == "piece"]) == pieces


def test_a_settled_position_says_so(player_of_chess):
    seen = replace(watch(player_of_chess, MATE, loops=3), settled=2)
    _, describe = boards.chess.draw(seen, player_of_chess.recipe.task)
    assert "not settled yet" in describe(1) and "settled at loop 2" in describe(2)
