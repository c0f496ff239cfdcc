"""Sudoku as a task: tensors, masks, symmetries in batches, reading and judging, a user's own CSV."""

import csv
import gzip

import pytest
import torch

from looped_lite.model import Solution
from looped_lite.tasks import IGNORE
from looped_lite.tasks.sudoku import (
    Sudoku,
    box_of,
    fill,
    keeps_rules,
    load_puzzles,
    one_hot,
    read_sudoku_extreme,
    try_again,
    unit_masks,
)
from looped_lite.tasks.sudoku_puzzles import is_valid_solution, parse, show, solve

SIX = Sudoku(box=(2, 3))


def row(box=(3, 3), split="test", place=0):
    puzzles, solutions, _ = load_puzzles(box, split)
    return show(puzzles[place].tolist()), show(solutions[place].tolist())


@pytest.mark.parametrize("task", [SIX, Sudoku()], ids=lambda task: task.name)
@pytest.mark.parametrize("level", [0.6, 0.0])
def test_batches_are_puzzles_with_their_solutions(task, level):
    x, y = task.batch(20, level, torch.Generator().manual_seed(1))
    assert x.shape == (20, task.side**2, task.side + 1) and y.shape == x.shape[:2]
    givens = x.argmax(-1)
    assert torch.equal(y == IGNORE, givens > 0)
    for given, target in zip(givens.tolist(), y.tolist(), strict=True):
        full = [g or t + 1 for g, t in zip(given, target, strict=True)]
        assert is_valid_solution(full, given, task.box)
    shown = (givens > 0).float().mean()
    assert shown > 0.6 if level else shown < 0.45


def test_batches_repeat_with_the_seed_and_differ_without():
    one, two, three = (SIX.batch(8, 0.1, torch.Generator().manual_seed(seed))[0] for seed in (5, 5, 6))
    assert torch.equal(one, two) and not torch.equal(one, three)


def test_the_curriculum_comes_down_to_minimal_puzzles_and_stays():
    level, seen = SIX.first_level, []
    while level != SIX.last_level:
        seen.append(level)
        level = SIX.harder(level)
    assert len(seen) == 15 and seen == sorted(seen, reverse=True)
    assert SIX.harder(level) == level == 0


@pytest.mark.parametrize(("box", "sizes"), [((2, 3), (6, 6, 6, 36)), ((3, 3), (9, 9, 9, 81))])
def test_heads_see_rows_columns_boxes_and_everything(box, sizes):
    masks = unit_masks(box)
    side = box[0] * box[1]
    assert [mask.sum(-1).unique().tolist() for mask in masks] == [[size] for size in sizes]
    assert all(torch.equal(mask, mask.T) for mask in masks)
    corner = masks[2, 0].view(side, side)
    assert corner[: box[0], : box[1]].all() and corner.sum() == side


def test_structured_and_full_attention_differ_and_both_learn_shapes():
    x, _ = SIX.batch(2, 0.0, torch.Generator().manual_seed(0))
    full = Sudoku(box=(2, 3), attention="full").model(seed=3)
    structured = SIX.model(seed=3)
    assert structured(x, loops=2).shape == full(x, loops=2).shape == (2, 36, 6)
    assert not torch.allclose(structured(x, loops=2), full(x, loops=2))
    with pytest.raises(ValueError, match="unknown attention 'rows'"):
        Sudoku(attention="rows").model()


def test_decode_keeps_the_givens_and_judges_the_grid():
    puzzle, solution = row((2, 3))
    right = one_hot(torch.tensor([[int(c) for c in solution]]), 6)[0, :, 1:]
    assert SIX.decode(puzzle, right) == {"answer": solution, "solved": True}
    flipped = right.roll(1, dims=-1)
    told = SIX.decode(puzzle, flipped)
    assert not told["solved"]
    assert all(given in (".", digit) for given, digit in zip(puzzle, told["answer"], strict=True))


def test_solve_says_what_it_found():
    puzzle, _ = row((2, 3))
    solution = SIX.model(seed=0).solve(puzzle, loops=3)
    assert isinstance(solution, Solution)
    assert solution.as_dict().keys() == {"input", "answer", "loops", "residual", "settled", "solved"}
    assert solution.as_dict()["solved"] is False  # an untrained model does not solve it, and does not say so


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[:-1], "81 characters, this one has 80"),
        (lambda p: "x" + p[1:], "row 1, column 1: 'x'"),
        (lambda p: "55" + p[2:], "row 1 has two 5s: columns 1 and 2"),
        (lambda p: "." * 81, "several solutions"),
        (lambda p: "123456780" + "000000009" + "0" * 63, "no solution"),
    ],
)
def test_a_bad_puzzle_is_named(change, message):
    puzzle, _ = row()
    puzzle = change(puzzle.replace("5", ".")) if message.startswith("row 1 has") else change(puzzle)
    with pytest.raises(ValueError, match=message):
        Sudoku().encode(puzzle)


def test_a_search_that_takes_too_long_is_given_up(monkeypatch):
    puzzle = show(load_puzzles((3, 3), "extreme")[0][0].tolist())
    x = Sudoku().encode(puzzle)
    monkeypatch.setattr("looped_lite.tasks.sudoku.MOST_GUESSES", 3)
    with pytest.raises(ValueError, match="gave up after 3 guesses"):
        Sudoku().encode(puzzle)
    monkeypatch.setattr("looped_lite.tasks.sudoku.MOST_GUESSES", solve(parse(puzzle))[1])
    assert torch.equal(Sudoku().encode(puzzle), x)


def test_the_size_is_read_off_the_puzzle():
    assert box_of("." * 36) == (2, 3) and box_of("." * 81 + "\n") == (3, 3)
    assert SIX.default_model("." * 81) == "sudoku-9x9"
    with pytest.raises(ValueError, match="12 characters"):
        box_of("." * 12)


def write_csv(path, rows, header=("source", "question", "answer", "rating")):
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.mark.parametrize("name", ["extreme.csv", "extreme.csv.gz"])
def test_sudoku_extreme_is_split_by_rating(tmp_path, name):
    rows = [("puzzles0", *row(place=place), place) for place in range(10)]
    parts = read_sudoku_extreme(write_csv(tmp_path / name, rows))
    assert parts["easy"][0].shape == (8, 81) and parts["hard"][1].shape == (2, 81)
    assert parts["hard"][2].tolist() == [8, 9]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda q, a, r: (q[1:], a, r), "line 3: a 9x9 sudoku has 81 characters, this one has 80"),
        (lambda q, a, r: (q, a[::-1], r), "line 3: the answer does not solve the question"),
        (lambda q, a, r: (q, a, "hard"), "line 3: could not convert"),
    ],
)
def test_a_malformed_row_is_named_by_line(tmp_path, spoil, message):
    rows = [("s", *row(place=0), 1), ("s", *spoil(*row(place=1), 2))]
    with pytest.raises(ValueError, match=message):
        read_sudoku_extreme(write_csv(tmp_path / "bad.csv", rows))


def test_a_missing_column_or_an_empty_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="lacks the columns rating"):
        read_sudoku_extreme(write_csv(tmp_path / "a.csv", [], header=("source", "question", "answer")))
    with pytest.raises(ValueError, match="no puzzles"):
        read_sudoku_extreme(write_csv(tmp_path / "b.csv", []))


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="unknown split 'easy'"):
        load_puzzles((3, 3), "easy")


@pytest.mark.parametrize("box", [(2, 3), (3, 3)])
def test_rules_in_tensors_agree_with_rules_in_words(box):
    side = box[0] * box[1]
    _, solutions, _ = load_puzzles(box, "test")
    grids = solutions[:40].clone()
    generator = torch.Generator().manual_seed(0)
    for grid in grids[::2]:  # every other grid gets one other digit
        cell = int(torch.randint(side**2, (), generator=generator))
        grid[cell] = grid[cell] % side + 1
    said = [is_valid_solution(grid, grid, box) for grid in grids.tolist()]
    assert keeps_rules(grids, box).tolist() == said == [False, True] * 20


def test_fill_keeps_the_givens():
    grids = torch.tensor([[1, 0, 3, 0] * 4])
    logits = 9.0 * torch.nn.functional.one_hot(torch.full((1, 16), 1), 4)
    assert fill(one_hot(grids, 4), logits).tolist() == [[1, 2, 3, 2] * 4]


class Guesser:
    """Solves, at each call, the first ``count`` puzzles that it is asked, by search; the others it fills with ones."""

    task = SIX

    def __init__(self, counts):
        self.counts, self.asked = list(counts), []

    def __call__(self, x, loops, start="input", generator=None):
        self.asked.append((len(x), loops, start))
        grids = x.argmax(-1).tolist()
        done = self.counts.pop(0)
        answers = [solve(grid, (2, 3))[0][0] if i < done else [1] * 36 for i, grid in enumerate(grids)]
        return torch.nn.functional.one_hot(torch.tensor(answers) - 1, 6).float()


def test_only_what_breaks_a_rule_is_tried_again_and_from_noise():
    puzzles, solutions, _ = load_puzzles((2, 3), "test")
    model, generator = Guesser([1, 0, 2, 0]), torch.Generator().manual_seed(0)
    answers, solved = try_again(model, one_hot(puzzles[:4], 6), 7, 4, generator)
    assert solved.tolist() == [1, 3, 3, 0] and torch.equal(answers[:3], solutions[:3])
    assert model.asked == [(4, 7, "input"), (3, 7, "noise"), (3, 7, "noise"), (1, 7, "noise")]
    model = Guesser([2])
    assert try_again(model, one_hot(puzzles[:2], 6), 7, 4, generator)[1].tolist() == [1, 1], "all done: no second try"
    with pytest.raises(ValueError, match="tries must be at least 1, got 7 and 0"):
        try_again(model, one_hot(puzzles[:4], 6), 7, 0, generator)


@pytest.mark.parametrize("task", [SIX, Sudoku()], ids=lambda task: task.name)
def test_an_image_is_a_puzzle_whose_answer_comes_back(task):
    puzzles, solutions, _ = load_puzzles(task.box, "test")
    x, generator = one_hot(puzzles[:8], task.side), torch.Generator().manual_seed(4)
    image, back = task.image(x, generator)
    assert image.shape == x.shape and not torch.equal(image, x) and image.sum() == x.sum()
    solved = [solve(grid, task.box)[0] for grid in image.argmax(-1).tolist()]
    assert all(len(found) == 1 for found in solved)
    logits = torch.nn.functional.one_hot(torch.tensor([found[0] for found in solved]) - 1, task.side).float()
    assert torch.equal(back(logits).argmax(-1) + 1, solutions[:8])
    assert not torch.equal(task.image(x, generator)[0], image), "another symmetry every time"


def test_solve_tries_again_what_the_rules_refuse(request):
    puzzle, solution = row((2, 3), "hard", 0)
    model = SIX.model(seed=0, width=16)
    digits = torch.tensor([int(c) - 1 for c in solution])
    wrong = torch.zeros_like(digits)
    answers = iter([wrong, wrong, digits])
    model.read_out = lambda z: torch.nn.functional.one_hot(next(answers), 6).float()[None]
    object.__setattr__(SIX, "image", lambda x, generator: (x, lambda logits: logits))
    request.addfinalizer(lambda: object.__delattr__(SIX, "image"))
    found = model.solve(puzzle, loops=5, tol=1e-12)
    assert found.answer == solution and found.extra["solved"] and found.loops == 15
    answers = iter([wrong, digits])
    once = model.solve(puzzle, loops=5, tries=1)
    assert not once.extra["solved"] and once.loops <= 5
    with pytest.raises(ValueError, match="tries must be at least 1, got 0"):
        model.solve(puzzle, tries=0)
