"""The modules of the pages that run a model: what they read, refuse, know of the rules and draw is what the package
does. Run by node.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from looped_lite.recipe import get_task
from looped_lite.tasks import sudoku_puzzles
from looped_lite.tasks.sudoku import load_puzzles

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(not shutil.which("node") and not os.environ.get("CI"), reason="node is missing")
BOXES = {9: (3, 3), 6: (2, 3)}


def call(*calls):
    """The results of calls [module, function, arguments...] in node."""
    words = ["node", str(ROOT / "tests" / "pages.mjs")]
    done = subprocess.run(words, input=json.dumps(calls), capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def said(encode, text):
    """The inputs of an instance as a flat list, or why it is none."""
    try:
        return encode(text).flatten().tolist()
    except ValueError as error:
        return str(error)


def same(module, texts, encode):
    """Node reads or refuses each text as the package does; returns how many were read."""
    found = call(*[[module, "open", text] for text in texts])
    wanted = [said(encode, text) for text in texts]
    assert [one["x"] if "x" in one else one["error"] for one in found] == wanted
    return sum(isinstance(one, list) for one in wanted)


def test_noise_is_pytorchs():
    for seed, count, skip in ((0, 16, 0), (3, 41, 0), (7, 7776, 2)):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(skip // 2):
            torch.randint(2**62, (), generator=generator)
        wanted = torch.randn(1, count, generator=generator)[0]
        assert torch.tensor(call(["noise", "noise", seed, count, skip])[0]).sub(wanted).abs().max() < 1e-5


def sudoku(text):
    from looped_lite.tasks.sudoku import Sudoku, box_of

    Sudoku().default_model(text)  # what solve asks first
    return Sudoku(box=box_of(text)).encode(text)


def garbled(puzzle, rng):
    """A puzzle as somebody might paste it, or spoil it."""
    side = round(len(puzzle) ** 0.5)
    rows = [puzzle[first : first + side] for first in range(0, len(puzzle), side)]
    box = BOXES[side]
    bar = "-" * (2 * side + 3)
    drawn = [" | ".join(" ".join(row[c : c + box[1]]) for c in range(0, side, box[1])) for row in rows]
    place = rng.randrange(len(puzzle))
    return rng.choice(
        [
            "\n".join(rows),
            f"  {puzzle}\r\n",
            "\n".join(f"{row}\n{bar}" if i % box[0] == box[0] - 1 else row for i, row in enumerate(drawn)),
            puzzle.replace(".", rng.choice("0-_*")),
            puzzle[:place] + rng.choice("x7😀é٣/9") + puzzle[place + 1 :],
            puzzle[:place],
            puzzle[:place] + "." + puzzle[place + 1 :],
            "\n".join(row[: side - (i == place % side)] for i, row in enumerate(rows)),
            "\u200b".join(puzzle).translate({ord("1"): "\uff11"}),
        ]
    )


def test_sudokus_are_read_and_refused_as_in_the_package():
    rng = random.Random(0)
    puzzles = [sudoku_puzzles.show(p) for box in BOXES.values() for p in load_puzzles(box, "hard")[0][:60].tolist()]
    texts = [garbled(puzzle, rng) for puzzle in puzzles for _ in range(3)]
    texts += ["", " \n ", "5" * 81, "." * 81, "1234" * 4, "x" * 10_000, "😀" * 81, "-" * 81]
    assert same("sudoku", texts, sudoku) > 100


@pytest.mark.parametrize("side", BOXES)
def test_a_try_of_a_sudoku_is_the_one_of_solve(side):
    task, box = get_task("sudoku", box=BOXES[side]), BOXES[side]
    grid = load_puzzles(box, "hard")[0][0].tolist()
    sys.path.insert(0, str(ROOT / "site"))
    from pages import sudoku_tries

    generator = torch.Generator().manual_seed(5)
    image, back = task.image(task.encode(sudoku_puzzles.show(grid)), generator)
    logits = torch.randn(1, side * side, side)
    made = call(["sudoku", "image", grid, sudoku_tries()[f"{side}x{side}"][4], side])[0]
    assert made["x"] == image.flatten().tolist()
    assert call(["sudoku", "backOf", grid, sudoku_tries()[f"{side}x{side}"][4], side, logits.flatten().tolist()])[
        0
    ] == pytest.approx(back(logits).flatten().tolist(), abs=1e-6)


@pytest.mark.parametrize("side", BOXES)
def test_a_guess_is_the_one_of_solve(side):
    task, box = get_task("sudoku", box=BOXES[side]), BOXES[side]
    grid = load_puzzles(box, "hard")[0][1].tolist()
    x, generator = task.encode(sudoku_puzzles.show(grid)), torch.Generator().manual_seed(0)
    logits = [
        (scale * torch.randn(1, side * side, side, generator=generator)) for scale in (0.1, 1, 10) for _ in range(8)
    ]
    found = call(*[["sudoku", "guessOf", grid, box, one.flatten().tolist(), seed] for seed, one in enumerate(logits)])
    for seed, (one, said) in enumerate(zip(logits, found, strict=True)):
        guessed, _ = task.guess(x, one, torch.Generator().manual_seed(seed))
        changed = (guessed != x).any(-1)[0].nonzero().flatten().tolist()
        assert [said["cell"]] == changed and guessed[0, said["cell"]].argmax() == said["digit"]
    assert len({said["cell"] for said in found}) > 5


def test_a_try_with_a_guess_begins_and_answers_as_in_solve():
    sys.path.insert(0, str(ROOT / "site"))
    from pages import sudoku_tries

    from looped_lite.solving import begin

    class Asked:  # a model that shows what it is asked
        def loop(self, x):
            self.x = x
            return self

        def start(self, *_):
            return None

    task, grid = get_task("sudoku"), load_puzzles((3, 3), "hard")[0][1].tolist()
    text, generator = sudoku_puzzles.show(grid), torch.Generator().manual_seed(0)
    said, after = torch.randn(2, 1, 81, 9, generator=generator)
    numbers = (1, 3, 4, 5, 9)
    asked = [
        ["sudoku", "againOf", text, sudoku_tries(), n, said.flatten().tolist(), after.flatten().tolist(), n >= 4]
        for n in numbers
    ]
    for number, made in zip(numbers, call(*asked), strict=True):
        model = Asked()
        _, _, back = begin(task, model, task.encode(text), number, said)
        assert made["x"] == model.x.flatten().tolist()
        assert made["logits"] == pytest.approx(back(after).flatten().tolist(), abs=1e-6)
        assert sum(made["x"]) == 81 and sum(made["x"][::10]) == grid.count(0) - (number >= task.guess_after)


def test_a_grid_is_solved_where_the_package_says_so():
    puzzles, solutions, _ = load_puzzles((3, 3), "test")
    calls, wanted = [], []
    for puzzle, solution in zip(puzzles[:20].tolist(), solutions[:20].tolist(), strict=True):
        spoiled = [*solution[:40], solution[41], *solution[41:]]
        for grid in (solution, spoiled, solutions[30].tolist(), puzzle):
            calls.append(["sudoku", "solves", grid, puzzle, [3, 3]])
            wanted.append(sudoku_puzzles.is_valid_solution(grid, puzzle))
    assert call(*calls) == wanted and sum(wanted) == 20


def test_bits_are_read_and_refused_as_in_the_package():
    texts = [
        "0110",
        " 01 10\n1_1 ",
        "0b101",
        "",
        "0120",
        "01😀",
        "\ufeff01",
        "\uff10\uff11",
        "x" * 10_000,
        "'",
        '"',
        "01" * 500,
    ]
    assert same("bits", texts, get_task("prefix-sums").encode) == 6
    assert "at most 1,024" in call(["bits", "open", "01" * 5000])[0]["error"]


def chess_texts(rng):
    """Positions of random play, and what a few random changes make of them."""
    chess = pytest.importorskip("chess")
    fens = []
    for _ in range(25):
        board = chess.Board()
        for _ in range(rng.randrange(1, 120)):
            if not (moves := list(board.legal_moves)):
                break
            board.push(rng.choice(moves))
        fens.append(board.fen())
    for _ in range(300):
        board = chess.Board(rng.choice(fens[:25]))
        for _ in range(rng.randrange(1, 4)):
            piece = chess.Piece.from_symbol(rng.choice("PNBRQKpnbrqk")) if rng.random() < 0.5 else None
            board.set_piece_at(rng.randrange(64), piece)
        fields = board.fen().split()
        fields[1] = rng.choice("wb")
        fields[3] = rng.choice(["-", "-", f"{rng.choice('abcdefgh')}{rng.choice('36')}"])
        fens.append(" ".join([*fields[:2], "-", *fields[3:]]))
    return [
        *fens,
        "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1",
        "k7/P6P/8/8/8/8/8/7K w - - 0 1",
        "7k/5KQ1/8/8/8/8/8/8 b - - 0 1",
    ]


@pytest.mark.slow
def test_chess_positions_moves_and_names_are_those_of_python_chess():
    from looped_lite.tasks.chess import move_probabilities, read_fen

    encode, fens = get_task("chess").encode, chess_texts(random.Random(0))
    assert same("chess", fens, encode) > 100
    legal = [fen for fen in fens if not isinstance(said(encode, fen), str)]
    for fen, listed in zip(legal, call(*[["chess", "movesOf", fen] for fen in legal]), strict=True):
        board = read_fen(fen)
        assert sorted(map(tuple, listed)) == sorted((move.uci(), board.san(move)) for move in board.legal_moves)
    logits = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    for fen, found in zip(
        legal, call(*[["chess", "rankOf", fen, logits.flatten().tolist()] for fen in legal]), strict=True
    ):
        moves, share = move_probabilities(fen, logits)
        assert [move for move, _ in found["listed"]] == list(moves)
        assert [p for _, p in found["listed"]] == pytest.approx(list(moves.values()), abs=1e-6)
        assert found["legal"] == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(
    "fen, reason",
    [
        ("", "expected a FEN"),
        ("😀", "1 row in the board, expected 8"),
        ("8/8/8/8/8/8/8/8", "who is to move"),
        ("8/8/8/8/8/8/8/9 w", "'9' on rank 1 is no piece"),
        ("8/8/8/8/8/8/8/44k w", "two digits in a row, on rank 1"),
        ("8/8/8/8/8/8/8/7 w", "rank 1 has 7 squares, expected 8"),
        ("8/8/8/8/8/8/8/8 x", "'x' is to move: expected w or b"),
        ("8/8/8/8/8/8/8/8 w KX", "says nothing of castling"),
        ("8/8/8/8/8/8/8/8 w - z9", "no en passant square"),
        ("x" * 10_000, "1 row in the board"),
    ],
)
def test_what_is_no_fen_is_refused_in_a_line(fen, reason):
    error = call(["chess", "open", fen])[0]["error"]
    assert reason in error and len(error) < 200
    with pytest.raises(ValueError):
        get_task("chess").encode(fen)


def test_the_first_model_of_a_page_is_the_one_that_solve_uses():
    sys.path.insert(0, str(ROOT / "site"))
    from pages import MODELS

    for page, task, text in (("sudoku", "sudoku", "." * 81), ("bits", "prefix-sums", "01"), ("chess", "chess", "")):
        assert MODELS[page][0] == get_task(task).default_model(text)
    assert MODELS["sudoku"][1] == get_task("sudoku").default_model("." * 36)


def test_a_run_ends_as_solve_ends():
    done = subprocess.run(["node", "--test", str(ROOT / "tests" / "loop.test.mjs")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
