"""The shipped chess positions and their builder: the search in C, proofs of the mates, splits and symmetries."""

import csv
import gzip
import hashlib
import importlib.util
import random
import re
import shutil
from collections import Counter
from pathlib import Path

import chess
import pytest

from looped_lite.paths import data_path

spec = importlib.util.spec_from_file_location("build_chess", data_path("build_chess.py"))
build_chess = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build_chess)

needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None and shutil.which("cc") is None, reason="no C compiler")
DEPTHS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("chess")


def rows(depth):
    with gzip.open(data_path(f"chess_mate{depth}.csv.gz"), "rt", newline="") as file:
        return list(csv.DictReader(file))


def random_positions(count, seed):
    rng = random.Random(seed)
    while count:
        board = chess.Board()
        for _ in range(rng.randrange(10, 120)):
            board.push(rng.choice(list(board.legal_moves)))
            if board.is_game_over():
                break
        else:
            board.castling_rights = chess.BB_EMPTY
            count -= 1
            yield board


def perft(board, depth):
    if depth == 1:
        return board.legal_moves.count()
    total = 0
    for move in board.legal_moves:
        board.push(move)
        total += perft(board, depth - 1)
        board.pop()
    return total


@needs_compiler
def test_the_search_in_c_makes_the_moves_of_python_chess(cache):
    for board in random_positions(40, seed=1):
        assert build_chess.perft(board.fen(), 2, cache) == perft(board, 2), board.fen()
    tricky = [  # pins, promotions, en passant that would open a line to the king
        "8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1",
        "n1n5/PPPk4/8/8/8/8/4Kppp/5N1N b - - 0 1",
        "8/8/8/8/k2Pp2Q/8/8/3K4 b - d3 0 1",
    ]
    for fen in tricky:
        assert build_chess.perft(fen, 3, cache) == perft(chess.Board(fen), 3), fen
    # a known count: the middlegame of the usual perft collection, whose first plies have no castling
    crowded = "r4rk1/1pp1qppp/p1np1n2/2b1p1B1/2B1P1b1/P1NP1N2/1PP1QPPP/R4RK1 w - - 0 10"
    assert build_chess.perft(crowded, 4, cache) == 3_894_594


@pytest.mark.slow
@needs_compiler
def test_the_search_in_c_finds_the_mates_of_python_chess(cache):
    found = Counter()
    for board in random_positions(150, seed=2):
        board.ep_square = None
        fen = build_chess.bare(board)
        depth, line = build_chess.unique_mate(fen, 2, cache)
        known = {}
        mates = {
            moves: [m for m in board.legal_moves if build_chess.mates_after(board, m, moves, known)] for moves in (1, 2)
        }
        shortest = next((moves for moves in (1, 2) if mates[moves]), 0)
        unique = shortest if shortest and len(mates[shortest]) == 1 else 0
        assert depth == unique, fen
        assert not depth or line.split()[0] == mates[depth][0].uci()
        found[depth] += 1
    assert found[0] and found[1] and found[2]


@needs_compiler
def test_a_question_too_big_for_the_budget_has_no_answer(cache):
    fen = "r4rk1/1pp1qppp/p1np1n2/2b1p1B1/2B1P1b1/P1NP1N2/1PP1QPPP/R4RK1 w - - 0 1"
    assert build_chess.unique_mate(fen, 4, cache, budget=1000) == (0, "")


@needs_compiler
def test_a_chunk_depends_on_its_name_alone(cache):
    recipe = build_chess.Recipe("random", 1, 2, 5)
    for number in (1, 0):
        build_chess.build_chunk(cache, (recipe, number))
    first = (cache / "random_1_0001.csv").read_text()
    other = cache / "other"
    other.mkdir()
    build_chess.build_chunk(other, (recipe, 1))
    assert (other / "random_1_0001.csv").read_text() == first != (cache / "random_1_0000.csv").read_text()
    assert len(first.splitlines()) == 5


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "step"), [(1, 150), (2, 400), (3, 1500)])
def test_a_sample_of_the_shipped_positions_has_one_mate_and_no_faster_one(depth, step):
    for row in rows(depth)[::step]:
        assert build_chess.fault(row, depth) == "", row["fen"]


def test_mates_in_four_are_forced():
    for row in rows(4)[::400]:
        assert build_chess.fault(row, 4, unique=False) == "", row["fen"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"move": "a1a7"}, "a1a7 does not force mate in 1"),
        ({"move": "a1b2"}, "a1b2 is not legal"),
        ({"line": "g8h8"}, "the line a1a8 g8h8 is no mate in 1"),
        ({"fen": "6k1/5ppp/8/8/8/8/8/RR2K3 w - - 0 1"}, "b1b8 also forces mate in 1"),
        ({"fen": "6k1/5ppp/8/8/8/8/8/R3K3 w Q - 0 1"}, "not a legal position, or one with castling rights"),
    ],
)
def test_the_verifier_sees_what_is_wrong(change, message):
    row = {"fen": "6k1/5ppp/8/8/8/8/8/R3K3 w - - 0 1", "move": "a1a8", "line": ""}
    assert build_chess.fault(row, 1) == ""
    try:
        assert message in build_chess.fault({**row, **change}, 1)
    except chess.IllegalMoveError as error:
        assert "g8h8" in str(error)


@pytest.mark.slow
def test_no_position_is_there_twice_and_columns_are_as_described():
    keys = Counter()
    for depth in DEPTHS:
        table = rows(depth)
        assert list(table[0]) == build_chess.COLUMNS
        assert {row["source"] for row in table} <= {"random", "engine"}
        assert {row["split"] for row in table} == set(build_chess.SPLITS)
        assert all(row["fen"].endswith(" - - 0 1") for row in table)
        assert all(len(row["line"].split()) == 2 * depth - 2 for row in table)
        keys.update(build_chess.key(row["fen"]) for row in table[:: 1 if depth > 2 else 5])
    assert max(keys.values()) == 1


def test_the_description_gives_the_right_checksums_and_counts():
    described = Path(data_path("README.md")).read_text()
    for depth in DEPTHS:
        name = f"chess_mate{depth}.csv"
        text = gzip.decompress(data_path(f"{name}.gz").read_bytes())
        assert f"{hashlib.sha256(text).hexdigest()}  {name}\n" in described
        counts = Counter((row["source"], row["split"]) for row in rows(depth))
        for source in ("random", "engine"):
            found = re.search(rf"^\| mate in {depth}, {source} \|(.*)\|$", described, re.M)
            numbers = [counts[source, split] for split in ("train", "validation", "test")]
            assert bool(found) == bool(sum(numbers))
            if found:
                assert [int(cell.replace(",", "")) for cell in found[1].split("|")[:3]] == numbers
