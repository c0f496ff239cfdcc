"""What people paste, download or hand over: read rightly, or refused in one line that says why."""

import csv
import gzip
import io
import os
import random
import subprocess
import sys

import chess
import numpy as np
import pytest
import torch
import zstandard

from data.sudoku_generator import generate, singles_only
from looped_lite.checks import integers, plain_text
from looped_lite.paths import data_path, read_rows
from looped_lite.tables import finite, in_markdown, read_table
from looped_lite.tasks.chess import Chess, load_positions, move_probabilities, read_fen, read_lichess
from looped_lite.tasks.prefix_sums import PrefixSums, one_hot, read_bits
from looped_lite.tasks.sudoku import Sudoku, box_of, load_puzzles, read_puzzles, read_sudoku_extreme
from looped_lite.tasks.sudoku_puzzles import is_valid_solution, lay_out, parse, show, solve

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ANSWER = show(solve(parse(PUZZLE))[0][0])
ROWS = [PUZZLE[first : first + 9] for first in range(0, 81, 9)]


def refused(call, *words, kinds=(ValueError,)):
    """The one line with which a call refuses its arguments: it holds these words, and is not long."""
    with pytest.raises(kinds) as caught:
        call()
    message = str(caught.value)
    assert message and len(message) <= 500 and len(message.splitlines()) == 1, message
    assert all(word in message for word in words), message
    return message


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- tables ----


def test_a_table_in_markdown():
    text = in_markdown(["what", "share"], [["a|b", 0.12345], ["n", 7]], digits=2)
    assert text.splitlines() == ["| what | share |", "| --- | --- |", "| a\\|b | 0.12 |", "| n | 7 |"]
    with pytest.raises(ValueError, match=r"2 cells in each row.* got 1"):
        in_markdown(["what", "share"], [["alone"]])


PAIRS = [(PUZZLE, ANSWER), (ANSWER, ANSWER)]


def text_of(rows, **style):
    file = io.StringIO()
    csv.writer(file, **style).writerows(rows)
    return file.getvalue()


@pytest.fixture
def table(tmp_path):
    """Writes a table and returns its path."""

    def write(data, name="a.csv"):
        data = data if isinstance(data, bytes) else data.encode()
        pack = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}.get(name.split(".")[-1], bytes)
        (tmp_path / name).write_bytes(pack(data))
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
@pytest.mark.parametrize(
    "header", ["quizzes,solutions", "puzzle,solution", "question,answer", "Puzzle,SOLUTION", " Quizzes , solutions"]
)
def test_puzzles_are_read_under_the_names_that_people_give_them(table, name, header):
    puzzles, solutions = read_puzzles(table(header + "\n" + text_of(PAIRS), name))
    assert puzzles.tolist() == [parse(puzzle) for puzzle, _ in PAIRS]
    assert solutions.tolist() == [parse(ANSWER)] * 2 and solutions.dtype == torch.long


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", "\n\n \n,,\n"),
        lambda text: "\n\n" + text,
        lambda text: text.rstrip("\n"),
        lambda text: text.replace(PUZZLE, f'"{PUZZLE}"'),
        lambda text: text.replace(PUZZLE, '"' + "\n".join(ROWS) + '"'),
    ],
    ids=["mark", "windows", "old mac", "blank lines", "blank first", "no last end", "quotes", "lines in quotes"],
)
def test_marks_line_ends_blank_lines_and_quotes_do_not_matter(table, change):
    text = f"note,solution,puzzle\nfirst,{ANSWER},{PUZZLE}\nsecond,{ANSWER},{ANSWER}\n"
    assert read_puzzles(table(change(text)))[0].tolist() == [parse(PUZZLE), parse(ANSWER)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        ("\ufeff\n \n", ["is empty"]),
        ("puzzle,solution\n", ["no puzzles"]),
        ("puzzle\n" + PUZZLE, ["lacks the columns solution: it has puzzle"]),
        (f"{PUZZLE},{ANSWER}\n", ["lacks the columns puzzle, solution"]),
        ("x" * 9000, ["lacks the columns"]),
        (f"puzzle,solution,puzzle\n{PUZZLE},{ANSWER},{PUZZLE}", ["the column puzzle twice"]),
        (f"puzzle,solution\n{PUZZLE}\n", ["line 2: expected 2 columns", "got 1"]),
        (f"puzzle,solution\n{PUZZLE},{ANSWER}\n\n{PUZZLE},{ANSWER},7\n", ["line 4: expected 2 columns", "got 3"]),
        (f"puzzle,solution\n{PUZZLE},{ANSWER[:-1]}", ["line 2:", "81 characters, this one has 80"]),
        (f"puzzle,solution\n{PUZZLE},\n", ["line 2:", "this one has 0"]),
        (f"puzzle,solution\n{PUZZLE},{PUZZLE}\n", ["line 2: the answer does not solve the question"]),
        (f"puzzle,solution\n{'.' * 36},{'1' * 36}\n", ["line 2:", "81 characters, this one has 36"]),
        (f'puzzle,solution\n"{PUZZLE}"5,{ANSWER}\n', ["line 2: not a row of a CSV"]),
        (f'puzzle,solution\n"{PUZZLE},{ANSWER}\n', ["not a row of a CSV"]),
        (f"puzzle,solution\n{'8' * 200_000},{ANSWER}\n", ["line 2: not a row of a CSV"]),
        ("Rätsel,solution\n".encode("latin-1"), ["not text in UTF-8"]),
        (f"puzzle,solution\n{PUZZLE},{ANSWER}\n".encode("utf-16"), ["not text in UTF-8"]),
        (f"puzzle,solution\n{PUZZLE},{ANSWER}\n".encode("utf-16-le"), ["not text in UTF-8"]),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_one_line_with_its_place(table, text, words):
    path = table(text)
    refused(lambda: read_puzzles(path), str(path), *words)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst"])
def test_damaged_archives_are_refused(table, name):
    rng = random.Random(0)
    text = "puzzle,solution\n" + text_of(
        [(show(puzzle), show(solution)) for puzzle, solution in (generate((3, 3), rng) for _ in range(40))]
    )
    path = table(text, name)
    whole = path.read_bytes()
    for keep in [*range(20), *rng.sample(range(20, len(whole)), 20)]:
        path.write_bytes(whole[:keep])
        refused(lambda: read_puzzles(path), str(path))
    path.write_bytes(whole + b"more")
    refused(lambda: read_puzzles(path), str(path))
    path.write_bytes(text.encode())
    refused(lambda: read_puzzles(path), str(path), "not a whole compressed file")
    if name.endswith("gz"):  # Zstandard has no checksum unless its writer asked for one
        for _ in range(60):
            bent = bytearray(whole)
            bent[rng.randrange(10, len(whole))] ^= 1 << rng.randrange(8)
            path.write_bytes(bent)
            refused(lambda: read_puzzles(path), str(path))
    pack = gzip.compress if name.endswith("gz") else zstandard.ZstdCompressor().compress
    path.write_bytes(pack(text[:1000].encode()) + pack(text[1000:].encode()))
    assert len(read_puzzles(path)[0]) == 40, "an archive of two parts"


def test_a_file_that_is_not_there_or_not_a_file_is_named(tmp_path):
    for name in ("none.csv", "none.csv.gz", "none.csv.zst", ""):
        for read in (read_puzzles, read_sudoku_extreme, read_lichess):
            refused(lambda read=read, name=name: read(tmp_path / name), "cannot read", str(tmp_path), kinds=(OSError,))


def test_tables_of_results(table, tmp_path):
    assert read_rows(tmp_path / "none.csv") == []
    assert read_rows(table("a,b\n1,\n2,3\n")) == [{"a": "1", "b": ""}, {"a": "2", "b": "3"}]
    assert list(read_table(table("A\n1\n2\n"), [["a"]], lambda row: int(row["a"]) - 1 or None)) == [1]
    refused(lambda: read_rows(table("")), "is empty")
    refused(lambda: read_rows(table("a,b\n1\n")), "line 2: expected 2 columns")
    assert finite({"a": " 1e3 "}, "a") == 1000
    for text in ("", "nan", "inf", "-Infinity", "1,5", "x" * 999, "1e999"):
        refused(lambda text=text: finite({"a": text}, "a"), "number")


def test_several_solutions_are_found_if_asked_for(table):
    several = PUZZLE[:30] + "." * 51
    assert len(solve(parse(several))[0]) > 1
    path = table(f"puzzle,solution\n{PUZZLE},{ANSWER}\n{several},{ANSWER}\n")
    assert len(read_puzzles(path)[0]) == 2
    refused(lambda: read_puzzles(path, unique=True), "line 3: this puzzle has several solutions")


def test_equal_ratings_stay_together(table):
    split = lambda ratings, **settings: {
        name: part[2].tolist()
        for name, part in read_sudoku_extreme(
            table(text_of([("rating", "answer", "question"), *[(r, ANSWER, PUZZLE) for r in ratings]])), **settings
        ).items()
    }
    assert split([1, 2, 3, 4, 5], quantile=0.6) == {"easy": [1, 2, 3], "hard": [4, 5]}
    assert split([3, 1, 2, 2, 2], quantile=0.5) == {"easy": [1], "hard": [3, 2, 2, 2]}
    assert split([7, 7, 7]) == {"easy": [], "hard": [7, 7, 7]}
    assert split([1, 2], quantile=0) == {"easy": [], "hard": [1, 2]}
    assert split([16777216, 16777217], quantile=1)["easy"] == [16777216], "compared in double precision"
    for wrong in (-0.1, 1.1, float("nan"), "half", None):
        refused(lambda wrong=wrong: split([1, 2], quantile=wrong), "quantile must be a number from 0 to 1")
    for wrong in ("nan", "", "inf", "hard"):
        refused(lambda wrong=wrong: split([1, wrong]), "line 3:", "rating")


def test_damaged_and_missing_shipped_data_are_told_apart_from_a_wrong_box(tmp_path, monkeypatch):
    load_puzzles.cache_clear(), load_positions.cache_clear()
    monkeypatch.setenv("LOOPED_LITE_DATA", str(tmp_path))
    try:
        refused(lambda: load_puzzles((3, 2), "test"), "no shipped puzzles for boxes of 3x2")
        refused(lambda: load_puzzles((1, 6), "test"), "no shipped puzzles for boxes of 1x6")
        calls = {
            "sudoku_6x6.csv.gz": lambda: load_puzzles((2, 3), "test"),
            "chess_mate1.csv.gz": lambda: load_positions(1, "test"),
        }
        shipped = {name: (data_path().parent / name, call) for name, call in calls.items()}
        monkeypatch.delenv("LOOPED_LITE_DATA")
        whole = {name: data_path(name).read_bytes() for name in shipped}
        monkeypatch.setenv("LOOPED_LITE_DATA", str(tmp_path))
        for name, (_, call) in shipped.items():
            refused(call, "cannot read", name, kinds=(OSError,))
            (tmp_path / name).write_bytes(whole[name][: len(whole[name]) // 2])
            refused(call, name, "not a whole compressed file")
            lines = gzip.decompress(whole[name]).decode().splitlines()[:20]
            for bent in ("split", lines[0].replace("split", "part"), f"{lines[0]}\nx,y", f"{lines[0]}\n,,,,,test"):
                (tmp_path / name).write_bytes(gzip.compress(bent.encode()))
                refused(call, name)
        for fen, move in (("8/8 w", "a1a2"), ("k6K/8/8/8/8/8/8/8 w", "a1a9"), ("kéx5/8/8/8/8/8/8/8 w", "a1a2")):
            text = f"fen,move,line,source,split\n{fen} - - 0 1,{move},,random,test\n"
            (tmp_path / "chess_mate1.csv.gz").write_bytes(gzip.compress(text.encode()))
            refused(shipped["chess_mate1.csv.gz"][1], "chess_mate1.csv.gz")
    finally:
        load_puzzles.cache_clear(), load_positions.cache_clear()


# ---- sudoku as people paste it ----


def drawn(rows, box, empty, ruler, bar="|"):
    """A grid with bars between the boxes, and with rulers between and around them, if there are any."""
    lines = [ruler] * bool(ruler)
    for place, row in enumerate(rows, start=1):
        parts = [" ".join(row[k : k + box[1]].replace(".", empty)) for k in range(0, len(row), box[1])]
        lines += [f"{bar} {f' {bar} '.join(parts)} {bar}"] + [ruler] * (bool(ruler) and place % box[0] == 0)
    return "\n".join(lines)


RULERS = [
    "",
    "+-------+-------+-------+",
    "-------------------------",
    ".-------.-------.-------.",
    ":-------+-------+-------:",
    "------+-------+------",
    "---+---+---",
    "---|---|---",
    "---------",
    "┌───────┬───────┬───────┐",
    "═════════════════════════",
    "_________________________",
    "*-------*-------*-------*",
    "=====================",
    "–––––––––––––––––––––––––",
]


@pytest.mark.parametrize("ruler", RULERS)
@pytest.mark.parametrize("empty", [".", "0", "-", "_", "*", "—"])
@pytest.mark.parametrize("bar", ["|", "", "│"])
def test_grids_with_rulers_and_bars(ruler, empty, bar):
    text = drawn(ROWS, (3, 3), empty, ruler, bar)
    assert parse(text) == parse(PUZZLE) and box_of(text) == (3, 3)
    assert torch.equal(Sudoku().encode(text), Sudoku().encode(PUZZLE))


@pytest.mark.parametrize("box", [(2, 2), (2, 3), (3, 3)])
@pytest.mark.parametrize("empty", [".", "-", "*"])
def test_grids_of_all_sizes(box, empty):
    side, rng = box[0] * box[1], random.Random(5)
    for _ in range(20):
        grid = generate(box, rng)[0]
        rows = [show(grid[first : first + side]) for first in range(0, side * side, side)]
        for text in ("".join(rows), "\n".join(rows), drawn(rows, box, ".", ""), drawn(rows, box, ".", "+---+---+---+")):
            text = text.replace(".", empty)
            assert parse(text, box) == grid and box_of(text) == box


def test_the_rule_for_lines_of_dashes():
    empty_row = "---------"
    seven = [row.replace(".", "-") for row in ROWS[:7]]
    grid = parse("\n".join([*seven, empty_row, ROWS[8]]))
    assert grid[63:72] == [0] * 9, "a row, where the grid would lack one"
    assert parse("\n".join([*seven, "- - - | - - - | - - -", ROWS[8]])) == grid
    with_rulers = [*seven[:3], "-----------", *seven[3:6], "---+---+---", seven[6], empty_row, ROWS[8]]
    assert parse("\n".join(with_rulers)) == grid, "rulers are longer, or have a +"
    assert parse("\n".join([*ROWS[:3], empty_row, *ROWS[3:6], empty_row, *ROWS[6:]])) == parse(PUZZLE), "rulers"
    assert parse("-" * 81) == parse("- " * 81) == [0] * 81
    assert parse("\n".join(["........."] * 8 + ["---------"])) == [0] * 81, "dots are cells"
    refused(lambda: parse("\n".join(["........."] * 10)), "this one has 90")
    assert lay_out("-", 9) == [] and lay_out("", 9) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: "\u200b".join(text),
        lambda text: "\xa0".join(text),
        lambda text: "\t".join(text),
        lambda text: "\u3000".join(text),
        lambda text: "\r\n".join(ROWS),
        lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in text),
        lambda text: "".join(c + "\ufe0f\u20e3" if c.isdigit() else c for c in text),
        lambda text: str([int(c) for c in text.replace(".", "0")]),
        lambda text: str([[int(c) for c in row.replace(".", "0")] for row in ROWS]),
        lambda text: ",".join(text),
    ],
    ids=["mark", "zero-width", "no-break", "tab", "wide", "lines", "full-width", "keys", "list", "lists", "commas"],
)
def test_spaces_of_any_kind_invisible_characters_and_lists(change):
    assert parse(change(PUZZLE)) == parse(PUZZLE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n".join([*ROWS[:4], ROWS[4][:-1], *ROWS[5:]]), ["81 characters, this one has 80", "row 5 has 8"]),
        (PUZZLE[:40] + "x" + PUZZLE[41:], ["row 5, column 5: 'x' is neither"]),
        (PUZZLE[:40] + "²" + PUZZLE[41:], ["row 5, column 5: '²' is neither"]),
        (PUZZLE[:40] + "٣" + PUZZLE[41:], ["row 5, column 5: '٣' is neither"]),
        ("1" * 81, ["row 1 has 9 1s", "and 24 more"]),
        ("x" * 100_000, ["this one has 100000"]),
        ("\n" * 1000, ["this one has 0"]),
        (None, ["expected text, got None"]),
        (parse(PUZZLE), ["expected text"]),
        (PUZZLE.encode(), ["expected text"]),
    ],
)
def test_what_is_wrong_with_a_grid_is_said_with_its_place(text, words):
    refused(lambda: Sudoku().encode(text), *words)


def test_a_grid_that_no_digits_can_write():
    refused(lambda: parse("." * 256, (4, 4)), "cannot be written with one digit a cell")
    for box in ((0, 3), (3,), "33", 3, None, (3.5, 2), (True, 3), (10**30, 1)):
        refused(lambda box=box: parse(PUZZLE, box), "box")


def test_grids_as_arrays_tensors_and_lists_are_the_same_grid():
    grid = parse(PUZZLE)
    for given in (np.array(grid), torch.tensor(grid), np.array(grid, np.uint8), np.array(grid, ">i4"), map(int, grid)):
        given = list(given) if isinstance(given, map) else given
        assert solve(given) == solve(grid) and singles_only(given) == singles_only(grid)
        assert is_valid_solution(np.array(parse(ANSWER)), given)
    for wrong in (grid[:-1], [*grid[:-1], 10], [*grid[:-1], -1], [*grid[:-1], 0.5], [*grid[:-1], 2**70], 5, None, "5"):
        refused(lambda wrong=wrong: solve(wrong), "grid")
        assert not is_valid_solution(wrong, grid)
    for limit in (0, -1, float("nan"), 1.5, None):
        refused(lambda limit=limit: solve(grid, limit=limit), "limit must be a whole number")


# ---- bits ----


@pytest.mark.parametrize(
    "text", ["0110", " 01 10 ", "0b0110", "0B01_10", "01\n10\n", "０１１０", "\ufeff01\u200b10", "0b 01\t10", "0_1_1_0"]
)
def test_bits_as_people_write_them(text):
    assert read_bits(text) == [0, 1, 1, 0] and torch.equal(PrefixSums().encode(text), one_hot([[0, 1, 1, 0]]))


@pytest.mark.parametrize(
    "text", ["", " ", "0b", "\u200b", "012", "b01", "0x1", "-1", "0b0b1", "٠١", "²", "1" * 999 + "x", 5, None]
)
def test_what_is_no_bits(text):
    refused(lambda: PrefixSums().encode(text))


# ---- positions ----

MATE = "6k1/5ppp/8/8/8/8/8/R3K3 w - - 0 1"
HOME = "r3k2r/8/8/8/8/8/8/R3K2R w"


@pytest.mark.parametrize(
    "text",
    [
        MATE,
        MATE[:-2],
        MATE[:-4],
        MATE[:-6],
        MATE[:-8],
        f"\ufeff  {MATE}\n",
        MATE.replace(" ", " \t \xa0"),
        MATE.replace("/", "／").replace("8", "８"),
        MATE.replace("R3", "R~3"),
    ],
)
def test_positions_as_people_write_them(text):
    assert read_fen(text).board_fen() == chess.Board(MATE).board_fen()
    assert torch.equal(Chess().encode(text), Chess().encode(MATE))
    assert Chess().decode(text, torch.zeros(2, 64)) == Chess().decode(MATE, torch.zeros(2, 64))


@pytest.mark.parametrize(
    ("rank", "rights"),
    [("r3k2r", "KQkq"), ("r3k2r", "HAha"), ("r3k2r", "Kq"), ("1r3k1r", "KQkq"), ("1r3k1r", "HBhb"), ("rk5r", "Ha")],
)
def test_castling_rights_of_all_notations(rank, rights):
    """Also in Chess960, where a castling move is written king takes rook."""
    text = f"{rank}/8/8/8/8/8/8/{rank.upper()} w {rights} - 0 1"
    moves, _ = move_probabilities(text, torch.zeros(2, 64))
    assert set(moves) == {move.uci() for move in read_fen(text).legal_moves}
    castling = [move for move in read_fen(text).legal_moves if read_fen(text).is_castling(move)]
    assert castling and all(move.uci() in moves for move in castling)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("k7/8/8/8/8/8/8/R6K w - - 0 1", ["the side that is not to move is in check"]),
        (MATE.split()[0], ["does not say who is to move"]),
        (f"{MATE} bm Ra8;", ["not a FEN"]),
        ("k7/8/8/8/8/8/8/7K w KQkq - 0 1", ["it grants castling"]),
        ("8/" * 5000 + " w", ["not a FEN"]),
        ("k7/8/8/8/8/8/8/7K w - - 0 " + "9" * 5000, ["not a FEN"]),
        ("\u200b", ["an empty line"]),
        (None, ["expected text"]),
        (chess.Board(), ["expected text"]),
    ],
)
def test_what_is_wrong_with_a_position(text, words):
    refused(lambda: Chess().encode(text), *words)


LICHESS = "PuzzleId,FEN,Moves,Rating,Themes"


def test_castling_in_lichess_puzzles_is_king_to_its_square(table):
    fen = "r3k2r/8/8/8/8/8/8/R3K2R b KQkq - 0 1"
    path = table(f"{LICHESS}\na,{fen},e8h8 e1a1 f8f1,1500,Castling short\n")
    positions, _ = read_lichess(path, theme="castling")["easy"]
    assert positions.moves == ["e1c1"] and positions.lines == ["f8f1"] and positions.fens[0].startswith("r4rk1/")
    board = chess.Board(positions.fens[0])
    assert chess.Move.from_uci("e1c1") in board.legal_moves
    assert positions.targets[0].tolist() == [chess.E1, chess.C1]  # the king stands on the right half: not mirrored


@pytest.mark.parametrize("wrong", [0, -1, 1.5, float("nan"), float("inf"), True, "two", 10**30])
def test_a_limit_is_a_whole_number_from_1(table, wrong):
    path = table(f"{LICHESS}\na,{MATE},a1a2 g8f8,1500,short\n")
    assert (
        len(read_lichess(path, limit=1)["easy"][0].fens)
        == len(read_lichess(path, limit=np.int64(5))["easy"][0].fens)
        == 1
    )
    refused(lambda: read_lichess(path, limit=wrong), "limit must be a whole number from 1")


@pytest.mark.parametrize(
    "moves", ["", "a1a2", "a1a2 0000", "0000 a1a2", "a1a2 e9e1", "a1a9 g8f8", "Ra2 Kf8", "a1a8 g8f8", "x" * 5000]
)
def test_moves_that_cannot_be_played(table, moves):
    refused(lambda: read_lichess(table(f"{LICHESS}\n\na,{MATE},{moves},1500,short\n")), "line 3:")


def test_without_the_optional_packages_there_is_one_sentence(tmp_path):
    code = f"""
import sys
sys.modules["chess"] = sys.modules["zstandard"] = None
from looped_lite.tasks.chess import Chess, read_lichess
from looped_lite.tasks.sudoku import read_puzzles
for call in (lambda: Chess().encode({MATE!r}), lambda: read_lichess("a.csv"),
             lambda: read_puzzles({str(tmp_path / "a.csv.zst")!r})):
    try:
        call()
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and all('pip install "looped-lite[chess]"' in line for line in lines)


# ---- numbers ----

ODD = [float("nan"), float("inf"), -float("inf"), -1, 10**30, 2**63, "3", None, True, 1.5, [3], np.float32("nan"), 3j]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("task", [PrefixSums, Sudoku, Chess])
def test_settings_and_sizes_that_cannot_be(task, odd):
    refused(lambda: task(most_loops=odd), "most_loops must be")
    made = task()
    refused(lambda: made.batch(odd, made.last_level, generator()), "size must be")
    if odd != 1.5 or task is not Sudoku:
        refused(lambda: made.batch(2, odd, generator()))


def test_other_settings_that_cannot_be():
    for odd in (*ODD, (), (3,), (3, 3, 3), (1, 3), (3, 6), "33", (3, "3"), (np.nan, 3), np.zeros((2, 2))):
        refused(lambda odd=odd: Sudoku(box=odd), "box")
    for odd in (*[odd for odd in ODD if odd != [3]], (), (0,), (5,), (2, 1), (1, 1), (1.5,), "1", ("1",)):
        refused(lambda odd=odd: Chess(depths=odd), "depths")
    for odd in (*ODD, (), "random", ("lichess",), (1,), ([],)):
        refused(lambda odd=odd: Chess(sources=odd), "sources")
    for odd in (*[odd for odd in ODD], 0, 2, 10**7):
        refused(lambda odd=odd: PrefixSums(window=odd), "window")
    for odd in (*[odd for odd in ODD if odd is not None and odd != 1.5], 2):
        for settings in ({"shorter": odd}, {"uniform": odd}):
            refused(lambda settings=settings: PrefixSums(**settings), "must be a number from 0 to 1")


def test_settings_given_as_numpys_numbers_are_kept_as_plain_ones():
    for plain, other in (
        (Sudoku(box=(2, 3), stride=0.5), Sudoku(box=np.array([2, 3]), stride=np.float64(0.5))),
        (Sudoku(box=(2, 3)), Sudoku(box=[2.0, 3.0])),
        (Chess(depths=(1, 2)), Chess(depths=np.array([1, 2]), sources=["random", "engine"])),
        (PrefixSums(last_level=16), PrefixSums(last_level=np.int32(16))),
    ):
        assert repr(plain) == repr(other) and hash(plain) == hash(other)


def test_batches_beyond_memory_and_generators_that_are_none():
    for task in (PrefixSums(), Sudoku(), Chess()):
        refused(lambda task=task: task.batch(10**9, task.last_level, generator()), "take", "GB, this machine has")
        for odd in (None, 5, np.random.default_rng(0), random.Random(0)):
            refused(
                lambda task=task, odd=odd: task.batch(2, task.last_level, odd), "generator must be a torch.Generator"
            )
    refused(lambda: PrefixSums().batch(10**6, 10**6, generator()), "take 60,000 GB")
    refused(lambda: next(PrefixSums().test_sets(0, [8], generator())), "size must be")


def test_bits_grids_and_boards_may_be_arrays_lists_bools_or_floats():
    bits = [[0, 1, 1, 0], [1, 1, 1, 1]]
    expected = PrefixSums().tensors(torch.tensor(bits))
    for given in (bits, np.array(bits), np.array(bits, bool), torch.tensor(bits).bool(), torch.tensor(bits).double()):
        assert all(map(torch.equal, PrefixSums().tensors(given), expected))
        assert torch.equal(one_hot(given), expected[0])
    flipped = np.array(bits)[:, ::-1]  # strides that torch does not take
    assert torch.equal(PrefixSums().tensors(flipped)[0], one_hot(torch.tensor(bits).flip(1)))
    puzzles, solutions, _ = load_puzzles((2, 3), "test")
    expected = Sudoku(box=(2, 3)).tensors(puzzles[:5], solutions[:5])
    for convert in (torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.float, torch.Tensor.short):
        got = Sudoku(box=(2, 3)).tensors(convert(puzzles[:5]), convert(solutions[:5]))
        assert all(map(torch.equal, got, expected)) and got[1].dtype == torch.long
    positions = load_positions(1, "test")
    boards, targets = positions.boards[:5], positions.targets[:5]
    got = Chess().tensors(boards.numpy(), targets.tolist())
    assert all(map(torch.equal, got, Chess().tensors(boards, targets)))


@pytest.mark.parametrize(
    "odd",
    [
        *([[0, 2]], [[0, -1]], [[0.5, 1]], [[float("nan"), 1]], [[float("inf"), 1]], [[2**63, 1]], [[2**70, 1]]),
        *([[0, 1], [1]], [["0", "1"]], [0, 1], [[[0, 1]]], 1, "01", None, [[None, 1]], {}),
        *(np.array([[1 + 0j]]), torch.tensor([[1j]]), np.array([["a"]])),
    ],
    ids=str,
)
def test_what_is_no_batch_of_bits(odd):
    refused(lambda: PrefixSums().tensors(odd), "bits must be whole numbers with 2 axes from 0 to 1")


def test_integers_keep_what_they_are_given():
    given = torch.tensor([1, 2])
    assert integers("a", given, 0, 2) is given or torch.equal(integers("a", given, 0, 2), given)
    assert integers("a", [], 0, 1).tolist() == [] and integers("a", 1, 0, 1).shape == ()
    assert integers("a", np.array([2**63 - 1], np.uint64), 0, 2**63 - 1).tolist() == [2**63 - 1]
    assert refused(lambda: integers("a", torch.zeros(2, 3) + 9, 0, 1), "torch.float32 of shape (2, 3)")


def test_plain_text():
    assert plain_text("\ufeffa\xa0b\u3000c\u200d\u2060ＱＺ１～\n٣²é½") == "a b cQZ1~\n٣²é½"
    for odd in (None, 5, b"a", ["a"], np.array("a")):
        refused(lambda odd=odd: plain_text(odd), "expected text")


# ---- anything at all: a right answer, or one line ----

ALPHABET = "0123456789.-_*|+=: \n\t\r,;[]'\"/pnbrqkPNBRQKwbabcdefgh~#\0\x1f\ufeff\u200b\xa0５０１³٣–─│é😀\ud800"


def mutate(text, rng):
    """A few characters of ``text`` left out, put in, changed, doubled or swapped."""
    letters = list(text)
    for _ in range(rng.choice((1, 1, 2, 3, 8, 40))):
        place, width = rng.randrange(len(letters) + 1), rng.choice((0, 1, 1, 9))
        kind = rng.randrange(3)
        piece = letters[place : place + width]
        letters[place : place + width] = [
            [rng.choice(ALPHABET) for _ in range(rng.randrange(3))], piece * 2, piece[::-1]
        ][kind]  # fmt: skip
    return "".join(letters)


def outcome(call, kinds=(ValueError,)):
    """What a call returns, or None if it refuses its arguments in one line."""
    try:
        return call()
    except kinds as error:
        message = str(error)
        assert message and len(message) <= 500 and len(message.splitlines()) == 1, repr(message)
    return None


def fuzz_texts(count, seed):
    """How many of ``count`` mutated texts of each task are accepted."""
    rng, accepted = random.Random(seed), {"sudoku": 0, "bits": 0, "chess": 0}
    grids = [PUZZLE, "\n".join(ROWS), *(drawn(ROWS, (3, 3), "-", ruler) for ruler in RULERS)]
    fens = [MATE, f"{HOME} KQkq - 0 1", chess.STARTING_FEN]
    for number in range(count):
        text = mutate(rng.choice(grids), rng)
        grid = outcome(lambda text=text: parse(text))
        if grid is not None:
            accepted["sudoku"] += 1
            digits = [c for c in plain_text(text) if c in "123456789"]
            assert [str(d) for d in grid if d] == digits and len(grid) == 81
        outcome(lambda text=text: Sudoku().default_model(text))
        text = mutate(rng.choice(["0b0110", "0110" * 20, "01\n10"]), rng)
        bits = outcome(lambda text=text: read_bits(text))
        if bits is not None:
            accepted["bits"] += 1
            assert [str(b) for b in bits] == [c for c in plain_text(text) if c in "01"][-len(bits) :]
        text = mutate(rng.choice(fens), rng)
        if outcome(lambda text=text: Chess().encode(text)) is not None:
            accepted["chess"] += 1
            board = read_fen(text)
            assert board.is_valid() and Chess().decode(text, torch.randn(2, 64, generator=generator(number)))["answer"]
    return accepted


def fuzz_files(count, seed, folder):
    """How many of ``count`` damaged files each reader accepts."""
    rng = random.Random(seed)
    puzzles = text_of([("question", "answer", "rating"), *[(PUZZLE, ANSWER, place) for place in range(6)]])
    games = f"{LICHESS}\n" + f"a,{MATE},a1a2 g8f8,1500,short\n" * 4
    readers = {
        "extreme": (puzzles, read_sudoku_extreme),
        "puzzles": (puzzles, read_puzzles),
        "rows": (puzzles, read_rows),
    }
    readers["lichess"] = games, read_lichess
    packs = {"csv": bytes, "gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}
    accepted = dict.fromkeys(readers, 0)
    for _ in range(count):
        for name, (text, read) in readers.items():
            ending = rng.choice(list(packs))
            path = folder / f"a.{ending}"
            data = text.encode()
            if rng.random() < 0.5:
                data = mutate(text, rng).encode("utf-8", "surrogatepass")
            data = bytearray(packs[ending](data))
            if rng.random() < 0.5:
                for _ in range(rng.choice((1, 2, 20))):
                    data[rng.randrange(len(data))] = rng.randrange(256)
                data = data[: rng.choice((len(data), rng.randrange(len(data))))]
            path.write_bytes(data)
            found = outcome(lambda read=read, path=path: read(path))
            if found is not None:
                accepted[name] += 1
            if found is not None and name in ("extreme", "puzzles"):
                parts = [found] if name == "puzzles" else found.values()
                for part in parts:
                    pairs = zip(part[0].tolist(), part[1].tolist(), strict=True)
                    assert all(is_valid_solution(solution, puzzle) for puzzle, solution in pairs)
    return accepted


def test_mutated_texts_are_read_rightly_or_refused_in_one_line():
    count = int(os.environ.get("FUZZ", "300"))
    accepted = fuzz_texts(count, seed=1)
    print(count, accepted)
    assert all(0 < number < count for number in accepted.values())


def test_damaged_files_are_read_rightly_or_refused_in_one_line(tmp_path):
    count = int(os.environ.get("FUZZ", "150"))
    accepted = fuzz_files(count, 2, tmp_path)
    print(count, accepted)
    assert all(0 < number < count for number in accepted.values())
