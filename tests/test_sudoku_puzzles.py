"""Properties of the sudoku rules, solver, generator and symmetries, and of the shipped puzzles."""

import csv
import gzip
import hashlib
import importlib.util
import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.sudoku_generator import fingerprint, generate, same_up_to_symmetry, singles_only
from looped_lite.tasks import sudoku_puzzles as sudoku

DATA = Path(__file__).resolve().parent.parent / "data"
BOXES = [(2, 2), (2, 3), (3, 2), (3, 3)]
CHECKSUMS = {  # of the uncompressed text
    "mined": "7b336db5058e1e7a56b63126156c9201662d4c98095b22c8ae87ddf9343c030e",
    "6x6": "6bc0b29fcf9cf2c05a33065d95699f094c0fcf381c8eb851b88529b3a99d5b10",
    "9x9": "2f295b4efff2735ede9b66193a992313a312c6ab32626ea5ad31c9f4a8b93e34",
}
needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None and shutil.which("cc") is None, reason="no C compiler")
HARD = {
    # one of the hardest for people, the minimum of 17 givens, and one that is nasty for row-by-row backtracking
    "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..": (
        "812753649943682175675491283154237896369845721287169534521974368438526917796318452"
    ),
    ".......1.4.........2...........5.4.7..8...3....1.9....3..4..2...5.1........8.6...": (
        "693784512487512936125963874932651487568247391741398625319475268856129743274836159"
    ),
    "..............3.85..1.2.......5.7.....4...1...9.......5......73..2.1........4...9": (
        "987654321246173985351928746128537694634892157795461832519286473472319568863745219"
    ),
}
HARDEST, ANSWER = next(iter(HARD.items()))

seeds = st.integers(0, 2**32)
boxes = st.sampled_from(BOXES)


def brute_force(grid, box, limit=2):
    """The plainest solver there is, to check the fast one: first empty cell, every digit."""
    if sudoku.clashes(grid, box):
        return []
    if 0 not in grid:
        return [list(grid)]
    cell, found = grid.index(0), []
    for digit in range(1, box[0] * box[1] + 1):
        found += brute_force([*grid[:cell], digit, *grid[cell + 1 :]], box, limit - len(found))
        if len(found) >= limit:
            break
    return found


# ---------------------------------------------------------------- text and rules


def test_parse_and_show_are_opposites():
    assert sudoku.show(sudoku.parse(HARDEST)) == HARDEST
    assert sudoku.parse(HARDEST.replace(".", "0")) == sudoku.parse(HARDEST)
    assert sudoku.parse("12 34\n.... \n0000 4321", (2, 2)) == [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1]


@pytest.mark.parametrize(
    "text, box, message",
    [
        ("", (3, 3), "81 characters, this one has 0"),
        ("." * 80, (3, 3), "a 9x9 sudoku has 81 characters, this one has 80"),
        ("." * 81, (2, 3), "a 6x6 sudoku has 36 characters, this one has 81"),
        ("." * 10 + "x" + "." * 70, (3, 3), "row 2, column 2: 'x' is neither a digit"),
        ("." * 80 + "²", (3, 3), "row 9, column 9: '²'"),
        ("." * 35 + "7", (2, 3), "row 6, column 6: 7 is too large for a 6x6 sudoku"),
    ],
)
def test_parse_names_the_problem(text, box, message):
    with pytest.raises(ValueError, match=".*" + message):
        sudoku.parse(text, box)


def test_clashes_name_the_cells():
    grid = [0] * 81
    assert sudoku.clashes(grid) == [] and sudoku.clash_messages(grid) == []
    grid[18] = grid[24] = 5
    assert sudoku.clashes(grid) == [("row 3", 5, (18, 24))]
    assert sudoku.clash_messages(grid) == ["row 3 has two 5s: columns 1 and 7"]
    grid[10] = grid[81 - 9] = 5
    assert sudoku.clash_messages(grid) == [
        "row 3 has two 5s: columns 1 and 7",
        "column 1 has two 5s: rows 3 and 9",
        "box 1 has two 5s: row 2 column 2 and row 3 column 1",
    ]
    assert sudoku.clash_messages([6] * 3 + [0] * 33, (2, 3))[0] == "row 1 has three 6s: columns 1, 2 and 3"


@pytest.mark.parametrize("box", BOXES)
def test_units_cover_every_cell_three_times(box):
    side = box[0] * box[1]
    names = [name for name, _ in sudoku.units(box)]
    assert len(set(names)) == 3 * side
    assert all(len(set(cells)) == side for _, cells in sudoku.units(box))
    assert Counter(cell for _, cells in sudoku.units(box) for cell in cells) == dict.fromkeys(range(side * side), 3)


def test_is_valid_solution():
    givens, answer = sudoku.parse(HARDEST), sudoku.parse(ANSWER)
    assert sudoku.is_valid_solution(answer, givens)
    assert not sudoku.is_valid_solution(givens, givens)  # not full
    assert not sudoku.is_valid_solution(answer[:-1], givens)
    assert not sudoku.is_valid_solution([10 - digit for digit in answer], givens)  # obeys the rules, changes givens
    assert sudoku.is_valid_solution([10 - digit for digit in answer], [0] * 81)
    for cell in range(81):
        wrong = list(answer)
        wrong[cell] = wrong[cell] % 9 + 1
        assert not sudoku.is_valid_solution(wrong, [0] * 81)


# ---------------------------------------------------------------- solver


@pytest.mark.parametrize("puzzle", HARD)
def test_known_hard_puzzles(puzzle):
    for hidden in (True, False) if puzzle == HARDEST else (True,):
        solutions, guesses = sudoku.solve(sudoku.parse(puzzle), hidden=hidden)
        assert [sudoku.show(solution) for solution in solutions] == [HARD[puzzle]]
        assert (guesses == 0) == (hidden and singles_only(sudoku.parse(puzzle)))


def test_ambiguous_puzzle_gives_two_solutions():
    ambiguous = sudoku.parse(HARDEST)
    ambiguous[0] = 0  # the puzzle is minimal
    solutions, _ = sudoku.solve(ambiguous)
    assert len(solutions) == 2 and solutions[0] != solutions[1]
    assert all(sudoku.is_valid_solution(solution, ambiguous) for solution in solutions)
    assert len(sudoku.solve(ambiguous, limit=1)[0]) == 1
    assert not singles_only(ambiguous)


def test_impossible_puzzles_have_no_solution():
    clash = [5, 5] + [0] * 79
    no_place = sudoku.parse("12345678." + "." * 17 + "9" + "." * 54)  # the last cell of row 1 cannot be a 9
    for grid in (clash, no_place):
        assert sudoku.solve(grid)[0] == [] and not singles_only(grid)


def test_all_4x4_grids_are_found():
    assert len(sudoku.solve([0] * 16, (2, 2), limit=1000)[0]) == 288


@settings(max_examples=60, deadline=None)
@given(seeds, st.sampled_from([(2, 2), (2, 3)]))
def test_solver_agrees_with_brute_force(seed, box):
    rng = random.Random(seed)
    puzzle, solution = generate(box, rng)
    for _ in range(2):  # one puzzle with too many givens or too few, one with a changed digit
        grid = [digit if given or rng.random() < 0.3 else 0 for digit, given in zip(solution, puzzle, strict=True)]
        grid[rng.randrange(len(grid))] = rng.randrange(box[0] * box[1] + 1)
        for hidden in (True, False):
            assert sorted(sudoku.solve(grid, box, 50, hidden)[0]) == sorted(brute_force(grid, box, 50))


# ---------------------------------------------------------------- generator


@settings(max_examples=40, deadline=None)
@given(seeds, boxes)
def test_generated_puzzles_are_unique_and_minimal(seed, box):
    puzzle, solution = generate(box, random.Random(seed))
    assert sudoku.solve(puzzle, box)[0] == [solution]
    assert sudoku.is_valid_solution(solution, puzzle, box)
    for cell, digit in enumerate(puzzle):
        if digit:
            assert len(sudoku.solve([*puzzle[:cell], 0, *puzzle[cell + 1 :]], box)[0]) == 2
    assert generate(box, random.Random(seed)) == (puzzle, solution)


def test_generated_puzzles_differ():
    rng = random.Random(0)
    assert len({sudoku.show(generate((2, 3), rng)[1]) for _ in range(50)}) == 50


# ---------------------------------------------------------------- symmetries


def image(grid, symmetry):
    return sudoku.apply_symmetry(np.array(grid), *symmetry).tolist()


@settings(max_examples=40, deadline=None)
@given(seeds, boxes)
def test_symmetries_keep_what_matters(seed, box):
    rng = random.Random(seed)
    puzzle, solution = generate(box, rng)
    symmetry = sudoku.random_symmetry(box, rng)
    moved, answer = image(puzzle, symmetry), image(solution, symmetry)
    assert sudoku.solve(moved, box)[0] == [answer]
    assert sudoku.is_valid_solution(answer, moved, box)
    for hidden in (True, False):
        assert (sudoku.solve(moved, box, hidden=hidden)[1] == 0) == (sudoku.solve(puzzle, box, hidden=hidden)[1] == 0)
    assert singles_only(moved, box) == singles_only(puzzle, box) == (sudoku.rate(puzzle, box) == 0)
    assert fingerprint(moved, box) == fingerprint(puzzle, box)
    assert same_up_to_symmetry(moved, puzzle, box) and same_up_to_symmetry(puzzle, moved, box)


@pytest.mark.parametrize("box", BOXES)
def test_symmetry_is_a_permutation_that_maps_units_to_units(box):
    side, rng = box[0] * box[1], np.random.default_rng(0)  # numpy's generators serve as well
    units = {frozenset(cells) for _, cells in sudoku.units(box)}
    transposed = 0
    for _ in range(30):
        cells, digits = sudoku.random_symmetry(box, rng)
        assert sorted(cells) == list(range(side * side)) and sorted(digits) == list(range(side + 1)) and digits[0] == 0
        assert {frozenset(cells[list(unit)].tolist()) for unit in units} == units
        transposed += cells[1] // side != cells[0] // side
    assert (0 < transposed < 30) if box[0] == box[1] else transposed == 0


def test_all_symmetries_of_4x4_are_reached():
    rng = random.Random(0)
    assert len({tuple(sudoku.random_symmetry((2, 2), rng)[0]) for _ in range(3000)}) == 2 * 8 * 8


def test_apply_symmetry_by_hand_and_in_batches():
    cells, digits = np.arange(16).reshape(4, 4).T.ravel(), np.array([0, 2, 1, 3, 4])  # transpose, swap 1 and 2
    grid = np.array([1, 0, 0, 4, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 1], dtype=np.int8)
    expected = [2, 1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 4, 0, 0, 2]
    result = sudoku.apply_symmetry(grid, cells, digits)
    assert result.tolist() == expected and result.dtype == np.int8

    rng = random.Random(1)
    grids = np.array([generate((2, 3), rng)[0] for _ in range(6)])
    symmetries = [sudoku.random_symmetry((2, 3), rng) for _ in range(6)]
    each = sudoku.apply_symmetry(grids, *map(np.stack, zip(*symmetries, strict=True)))
    one = sudoku.apply_symmetry(grids.reshape(2, 3, 36), *symmetries[0])
    assert each.tolist() == [image(g, s) for g, s in zip(grids, symmetries, strict=True)]
    assert one.reshape(6, 36).tolist() == [image(g, symmetries[0]) for g in grids]


@pytest.mark.parametrize("box", BOXES)
def test_inequivalent_puzzles_are_told_apart(box):
    rng = random.Random(3)
    for _ in range(10):
        puzzle, _ = generate(box, rng)
        full = [cell for cell, digit in enumerate(puzzle) if digit]
        more = list(puzzle)
        more[next(cell for cell, digit in enumerate(puzzle) if not digit)] = 1
        other = list(puzzle)  # the same pattern, one digit changed to another that appears
        other[full[0]] = next(puzzle[cell] for cell in full if puzzle[cell] != puzzle[full[0]])
        assert not same_up_to_symmetry(puzzle, more, box)
        assert fingerprint(np.array([puzzle, more]), box).tolist() == [
            fingerprint(grid, box) for grid in (puzzle, more)
        ]
        assert len(set(fingerprint(np.array([puzzle, more]), box).tolist())) == 2
        histogram = lambda grid: sorted(Counter(filter(None, grid)).values())
        if histogram(other) != histogram(puzzle):
            assert not same_up_to_symmetry(puzzle, other, box)


def test_equivalence_classes_of_4x4_grids():
    """All 288 full grids of 4x4 fall into two classes: a known result."""
    grids = sudoku.solve([0] * 16, (2, 2), limit=1000)[0]
    same = [same_up_to_symmetry(grids[0], grid, (2, 2)) for grid in grids]
    rest = [grid for grid, alike in zip(grids, same, strict=True) if not alike]
    assert sorted([sum(same), len(rest)]) == [96, 192]
    assert all(same_up_to_symmetry(rest[0], grid, (2, 2)) for grid in rest)


def test_transposing_counts_only_where_boxes_are_square():
    transpose = lambda grid, side: np.array(grid).reshape(side, side).T.ravel().tolist()
    puzzle = sudoku.parse(HARDEST)
    assert same_up_to_symmetry(puzzle, transpose(puzzle, 9))
    row = [1, 2, 3, 4, 5] + [0] * 31  # in 6x6 with 2x3 boxes a row of givens cannot become a column
    assert not same_up_to_symmetry(row, transpose(row, 6), (2, 3))
    assert fingerprint(row, (2, 3)) != fingerprint(transpose(row, 6), (2, 3))


# ---------------------------------------------------------------- the shipped puzzles


@pytest.fixture(scope="module", params=["6x6", "9x9"])
def shipped(request):
    text = gzip.decompress((DATA / f"sudoku_{request.param}.csv.gz").read_bytes()).decode()
    box = {"6x6": (2, 3), "9x9": (3, 3)}[request.param]
    return request.param, box, text, list(csv.DictReader(text.splitlines()))


def test_shipped_checksum(shipped):
    name, _, text, _ = shipped
    assert hashlib.sha256(text.encode()).hexdigest() == CHECKSUMS[name]


def test_shipped_counts(shipped):
    name, _, _, rows = shipped
    counts = Counter(row["split"] for row in rows)
    if name == "9x9":
        assert len(rows) >= 20_000 and counts["validation"] == counts["hard_validation"] == 500
        assert counts["test"] >= 1000 and counts["hard"] >= 1000 and counts["extreme"] >= 300
    else:
        assert len(rows) >= 4_000 and counts["validation"] == 300 and counts["hard_validation"] == 200
        assert counts["test"] >= 500 and counts["hard"] >= 500 and counts["extreme"] >= 50
    ratings = {}
    for row in rows:
        ratings.setdefault(row["split"], []).append(float(row["guesses"]))
    easy = max(max(ratings[split]) for split in ("train", "validation", "test"))
    assert easy < min(min(ratings["hard"]), min(ratings["hard_validation"]))
    assert max(max(ratings["hard"]), max(ratings["hard_validation"])) < min(ratings["extreme"])


def test_shipped_rows_are_what_they_say(shipped):
    name, box, _, rows = shipped
    for row in random.Random(0).sample(rows, 200):
        puzzle, solution = sudoku.parse(row["puzzle"], box), sudoku.parse(row["solution"], box)
        assert sudoku.solve(puzzle, box)[0] == [solution]
        assert sum(map(bool, puzzle)) == int(row["givens"])
        assert singles_only(puzzle, box) == bool(int(row["singles_only"]))
    for row in random.Random(1).sample(rows, 40):
        puzzle = sudoku.parse(row["puzzle"], box)
        assert f"{sudoku.rate(puzzle, box, hidden=name == '9x9'):.1f}" == row["guesses"]


@pytest.mark.slow
def test_no_two_shipped_puzzles_are_symmetric_images(shipped):
    name, box, _, rows = shipped
    if name == "9x9":  # a sample of the large split, all of the others
        kept = random.Random(0).sample(range(len(rows)), 6000)
        rows = [row for i, row in enumerate(rows) if row["split"] != "train" or i in set(kept)]
    puzzles = [sudoku.parse(row["puzzle"], box) for row in rows]
    buckets = {}
    for puzzle, key in zip(puzzles, fingerprint(np.array(puzzles), box).tolist(), strict=True):
        assert not any(same_up_to_symmetry(puzzle, other, box) for other in buckets.get(key, []))
        buckets.setdefault(key, []).append(puzzle)


@pytest.fixture(scope="module")
def ours():
    """The puzzles of the large file, by fingerprint."""
    with gzip.open(DATA / "sudoku_9x9.csv.gz", "rt", newline="") as file:
        puzzles = np.array([sudoku.parse(row["puzzle"]) for row in csv.DictReader(file)])
    buckets = {}
    for puzzle, key in zip(puzzles.tolist(), fingerprint(puzzles).tolist(), strict=True):
        buckets.setdefault(key, []).append(puzzle)
    return buckets


def no_images(puzzles, buckets):
    """Is none of the puzzles an image of one in the buckets, or of another?"""
    buckets = {key: list(some) for key, some in buckets.items()}
    for puzzle, key in zip(puzzles, fingerprint(np.array(puzzles)).tolist(), strict=True):
        if any(same_up_to_symmetry(puzzle, other) for other in buckets.get(key, [])):
            return False
        buckets.setdefault(key, []).append(puzzle)
    return True


@pytest.mark.slow
def test_qqwing_puzzles_have_one_solution_and_none_is_a_shipped_one(ours):
    with open(DATA / "sudoku_9x9_qqwing.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["difficulty"] for row in rows) == dict.fromkeys(("simple", "easy", "intermediate", "expert"), 75)
    outside = [sudoku.parse(row["puzzle"]) for row in rows]
    assert all(sudoku.solve(p)[0] == [sudoku.parse(row["solution"])] for p, row in zip(outside, rows, strict=True))
    assert no_images(outside, ours)
    moved = image(outside[0], sudoku.random_symmetry((3, 3), random.Random(1)))
    assert not no_images([outside[0], moved], ours)


def builder(name):
    spec = importlib.util.spec_from_file_location(name, DATA / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_compiler
def test_the_compiled_generator_makes_and_rates_puzzles_as_the_plain_one_does(tmp_path):
    mine = builder("mine_sudoku")
    found = mine.mine("a test", 30, 0.0, tmp_path)
    assert len(found) == 30 == len({sudoku.show(solution) for _, solution, _ in found})
    rows = [[sudoku.show(puzzle), sudoku.show(solution), f"{guesses:.1f}"] for puzzle, solution, guesses in found]
    assert {mine.fault(row, thorough=True) for row in rows} == {""}
    assert mine.mine("a test", 30, 4.0, tmp_path) == [each for each in found if each[2] >= 4]
    assert mine.mine("another", 1, 0.0, tmp_path) != found[:1]
    puzzle, solution, guesses = rows[0]
    given = next(cell for cell, mark in enumerate(puzzle) if mark != ".")
    empty = puzzle.index(".")
    wrong = {
        "the only one": [puzzle[:given] + "." + puzzle[given + 1 :], solution, guesses],
        "its rating is": [puzzle, solution, f"{float(guesses) + 0.1:.1f}"],
        "not minimal": [puzzle[:empty] + solution[empty] + puzzle[empty + 1 :], solution, None],
    }
    wrong["not minimal"][2] = f"{sudoku.rate(sudoku.parse(wrong['not minimal'][0])):.1f}"
    assert all(word in mine.fault(row, thorough=True) for word, row in wrong.items())


def test_mined_puzzles_are_what_they_say(ours):
    mine = builder("mine_sudoku")
    text = gzip.decompress((DATA / "sudoku_9x9_mined.csv.gz").read_bytes()).decode()
    assert hashlib.sha256(text.encode()).hexdigest() == CHECKSUMS["mined"]
    rows = list(csv.DictReader(text.splitlines()))
    wanted = Counter()
    for low, high, _, splits in mine.BANDS:
        wanted.update(dict(splits))
        assert all(
            sum(low <= float(row["guesses"]) < high for row in rows if row["split"] == split) == count
            for split, count in splits
        )
    assert Counter(row["split"] for row in rows) == wanted
    for row in random.Random(0).sample(rows, 40):
        assert mine.fault([row["puzzle"], row["solution"], row["guesses"]], thorough=False) == ""
        assert sum(mark != "." for mark in row["puzzle"]) == int(row["givens"])
    row = next(row for row in rows if row["split"] == "mined")
    assert mine.fault([row["puzzle"], row["solution"], row["guesses"]], thorough=True) == ""
    kept = [row for place, row in enumerate(rows) if row["split"] != "mined_train" or place % 4 == 0]
    assert no_images([sudoku.parse(row["puzzle"]) for row in kept], ours)


def test_first_chunk_is_reproduced(tmp_path, monkeypatch, shipped):
    name, _, _, rows = shipped
    build = builder("build_sudoku")
    monkeypatch.setattr(build, "CHUNK", 20)
    recipe = next(recipe for recipe in build.RECIPES if recipe.name == name)
    lines = build.build_chunk(recipe, tmp_path, 0).read_text().splitlines()
    known = {(row["puzzle"], row["solution"], row["guesses"], row["singles_only"]) for row in rows}
    assert len(lines) == 20 and all(tuple(line.split(",")) in known for line in lines)
    assert build.build_chunk(recipe, tmp_path, 0).read_text().splitlines() == lines  # from the cache
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}_000.csv"]


def test_split_thresholds():
    build = builder("build_sudoku")
    assert build.threshold([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.2) == 9
    assert build.threshold([1, 1, 1, 1, 1, 1, 1, 9, 9, 9], 0.2) == float("inf")  # three of ten cannot be torn apart
    assert build.threshold([1, 1, 1, 1, 1, 1, 1, 9, 9, 10], 0.2) == 10
    puzzle, _ = generate((3, 3), random.Random(0))
    moved = image(puzzle, sudoku.random_symmetry((3, 3), random.Random(1)))
    rows = [[sudoku.show(puzzle)], [HARDEST], [sudoku.show(moved)]]
    assert build.drop_equivalents(rows, (3, 3)) == rows[:2]
