"""Sudoku as a task: tensors, masks, symmetries in batches, reading and judging, a user's own CSV."""

import csv
import gzip
import hashlib

import pytest
import torch

from looped_lite.recipe import Recipe
from looped_lite.solving import solve_one
from looped_lite.tasks import IGNORE
from looped_lite.tasks.sudoku import (
    Sudoku,
    box_of,
    fill,
    keeps_rules,
    load_puzzles,
    one_hot,
    read_sudoku_extreme,
    unit_masks,
)
from looped_lite.tasks.sudoku_puzzles import clash_messages, is_valid_solution, parse, show, solve

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


def test_batches_are_images_of_the_shipped_puzzles():
    x, y = SIX.batch(40, 0.0, torch.Generator().manual_seed(2))
    givens = x.argmax(-1)
    shipped = {tuple(grid) for grid in load_puzzles((2, 3), "train")[1].tolist()}
    drawn = [tuple(grid) for grid in torch.where(givens > 0, givens, y + 1).tolist()]
    assert len(set(drawn) & shipped) < 4


def test_a_share_of_the_training_puzzles_is_mined_if_the_recipe_says_so(monkeypatch):
    puzzles, solutions, guesses = load_puzzles((3, 3), "mined_train")
    small = {"train": (solutions, solutions, guesses), "mined_train": (puzzles, solutions, guesses)}  # full, or not
    monkeypatch.setattr("looped_lite.tasks.sudoku.load_puzzles", lambda box, split: small[split])
    x, _ = Sudoku(mined=0.25).batch(400, 0.0, torch.Generator().manual_seed(1))
    assert 60 < ((x.argmax(-1) > 0).sum(-1) < 60).sum() < 140
    del small["mined_train"]  # is not asked for without the setting
    assert len(Sudoku().batch(2, 0.0, torch.Generator())[0]) == 2


def test_the_default_recipe_sees_the_puzzles_that_it_always_saw():
    x, y = Sudoku().batch(64, 0.0, torch.Generator().manual_seed(4))
    assert hashlib.sha256(x.numpy().tobytes() + y.numpy().tobytes()).hexdigest()[:16] == "3f7ad1ea2dd21e32"
    assert Recipe(Sudoku(mined=0.5)).digest != Recipe(Sudoku()).digest == "7e413a030974"


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
    full = Recipe(Sudoku(box=(2, 3), attention="full"), seed=3).build()
    structured = Recipe(SIX, seed=3).build()
    assert structured(x, loops=2).shape == full(x, loops=2).shape == (2, 36, 6)
    assert not torch.allclose(structured(x, loops=2), full(x, loops=2))
    with pytest.raises(ValueError, match=r"heads must be a multiple of 4 \(rows, columns, boxes, everybody\), got 2"):
        Recipe(SIX, heads=2).build()


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
    solution = solve_one(Recipe(SIX).build(), puzzle, loops=3).as_dict()
    assert list(solution) == ["input", "answer", "status", "loops", "tries", "residual", "solved"]
    assert solution["solved"] is False  # an untrained model does not solve it, and does not say so


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
    assert SIX.default_model("." * 81) == "sudoku-9x9-averaged"
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
    for box, split in (((3, 3), "easy"), ((2, 3), "mined")):
        with pytest.raises(ValueError, match=f"unknown split '{split}'"):
            load_puzzles(box, split)
    with pytest.raises(ValueError, match="mined puzzles are 9x9"):
        Sudoku((2, 3), mined=0.5)


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
    turned = (
        torch.arange(side)[:, None] + torch.arange(side)
    ) % side + 1  # each row is the one above, turned by a cell
    assert keeps_rules(turned.flatten()[None], box).tolist() == [False], "right rows and columns, wrong boxes"


def test_fill_keeps_the_givens():
    grids = torch.tensor([[1, 0, 3, 0] * 4])
    logits = 9.0 * torch.nn.functional.one_hot(torch.full((1, 16), 1), 4)
    assert fill(one_hot(grids, 4), logits).tolist() == [[1, 2, 3, 2] * 4]


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


@pytest.mark.parametrize("task", [SIX, Sudoku()], ids=lambda task: task.name)
def test_a_guess_is_one_more_given_where_the_answer_was_unsure(task):
    puzzles, solutions, _ = load_puzzles(task.box, "hard")
    x, right = one_hot(puzzles[:40], task.side), one_hot(solutions[:40], task.side)[..., 1:]
    unsure = puzzles[:40].argmin(-1)  # one empty cell of each
    logits = 40 * right
    logits[range(40), unsure] = right[range(40), unsure] * 1.5
    kept = x.clone(), logits.clone()
    guessed, put = task.guess(x, logits, torch.Generator().manual_seed(1))
    assert torch.equal(x, kept[0]) and torch.equal(logits, kept[1])
    new = (guessed != x).any(-1)
    assert (new.sum(-1) == 1).all() and (x[new][:, 0] == 1).all(), "one cell that was empty"
    assert (guessed[new].sum(-1) == 1).all() and (guessed[new][:, 0] == 0).all()
    assert int(new[range(40), unsure].sum()) > 34, "nearly always the one that is unsure"
    digits, solved = guessed[new].argmax(-1), solutions[:40][new]
    assert 3 < int((digits == solved).sum()) < 40, "drawn, not the likeliest"
    clashing = [clash_messages(grid, task.box) for grid in guessed.argmax(-1).tolist()]
    assert not any(clashing), "no given forbids it"
    wild = torch.randn(40, *logits.shape[1:])
    assert torch.equal(put(wild).argmax(-1)[new] + 1, digits) and torch.equal(put(wild)[~new], wild[~new])
    assert not torch.equal(task.guess(x, logits, torch.Generator().manual_seed(2))[0], guessed)


def test_a_guess_by_logits_that_are_not_numbers():
    puzzles, _, _ = load_puzzles((3, 3), "hard")
    x = one_hot(puzzles[:20], 9)
    for value in (torch.nan, torch.inf, -torch.inf, 0.0):
        guessed, _ = Sudoku().guess(x, torch.full((20, 81, 9), value), torch.Generator().manual_seed(1))
        assert ((guessed != x).any(-1).sum(-1) == 1).all()
        assert not any(clash_messages(grid, (3, 3)) for grid in guessed.argmax(-1).tolist())


class Silent(torch.nn.Module):
    """In place of a model's read-out: one list of digits after the other, whatever the state."""

    def __init__(self, answers):
        super().__init__()
        self.answers = iter(answers)

    def forward(self, z):
        digits = next(self.answers)
        return torch.nn.functional.one_hot(digits, 6).float().expand(len(z), 36, 6)


def test_solve_tries_again_what_the_rules_refuse(monkeypatch):
    """And the answer of a later try comes back from the symmetric image."""
    puzzle, solution = row((2, 3), "hard", 0)
    model = Recipe(SIX, width=16).build()
    digits = torch.tensor([int(c) - 1 for c in solution])
    wrong = torch.zeros_like(digits)
    images = []
    image = Sudoku.image
    monkeypatch.setattr(Sudoku, "image", lambda *args: images.append(image(*args)) or images[-1])

    def right_on_the_image():
        yield from [
            wrong,
            wrong,
            wrong,
        ]  # one at the start to see whether the task certifies, and one at the end of each of two tries
        x, _ = images[-1]
        answer = solve(x[0].argmax(-1).tolist(), (2, 3))[0][0]
        while True:
            yield torch.tensor(answer) - 1

    model.head = Silent(right_on_the_image())
    found = solve_one(model, puzzle, restart=3, tol=1e-12)
    assert (found.answer, found.status, found.tries, found.loops) == (solution, "solved", 3, 9) and found.extra[
        "solved"
    ]
    model.head = Silent([wrong] * 9)
    once = solve_one(model, puzzle, loops=3, restart=3, tol=1e-12)
    assert not once.extra["solved"] and (once.loops, once.tries, once.status) == (3, 1, "ran out")


def test_certified_answers_keep_givens_and_rules():
    puzzles, solutions, _ = load_puzzles((2, 3), "test")
    x, right = one_hot(puzzles[:4], 6), one_hot(solutions[:4], 6)[..., 1:]
    assert SIX.certify(x, right).tolist() == [True] * 4
    logits = right.clone()
    logits[1] = logits[1].roll(1, -1)  # other digits, by the rules but for the givens
    empty = puzzles[2].argmin()
    logits[2, empty, solutions[2, empty] - 1] = torch.nan  # where argmax would read the right digit
    cell = int(puzzles[3].argmin())
    logits[3, cell] = logits[3, cell].roll(1)
    assert SIX.certify(x, logits).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"box": (1, 9)}, "a side of a box must be a whole number from 2 to 5, got 1"),
        ({"box": (3,)}, "box must be rows and columns of one box"),
        ({"attention": "rows"}, "unknown attention 'rows': expected one of units, full"),
        ({"first_level": 1.5}, "first_level must be a number from 0 to 1"),
        ({"last_level": -0.1}, "last_level must be"),
        ({"stride": 0}, "stride must be"),
        ({"most_loops": 0}, "most_loops must be"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Sudoku(**settings)


def test_answers_are_drawn_in_boxes():
    assert SIX.drawn("123456" * 6) == "\n\n".join(["1 2 3  4 5 6\n1 2 3  4 5 6"] * 3)


def test_extra_givens_have_a_share_of_each_puzzles_own():
    """Around the level, give or take a tenth: counted in how many of the empty cells of a minimal puzzle are shown."""
    task = Sudoku((2, 3))
    minimal = 36 - (load_puzzles((2, 3), "train")[0] > 0).float().sum(-1).mean()
    spreads = {}
    for level in (0.5, 0.2):
        _x, y = task.batch(600, level, torch.Generator().manual_seed(2))
        empty = (y != IGNORE).float().sum(-1) / minimal
        assert empty.mean() == pytest.approx(1 - level, abs=0.03)
        spreads[level] = float(empty.std())
    # drawing each cell by itself alone would spread by sqrt(s (1 - s) / 26): 0.098 and 0.078; a share of [-0.1, 0.1]
    # adds 0.058
    assert spreads[0.2] > 0.09 and spreads[0.5] > 0.105
    shares = torch.stack(
        [task.batch(400, 0.0, torch.Generator().manual_seed(s))[1].ne(IGNORE).float().sum(-1) for s in (1, 2)]
    )
    assert (shares >= 24).float().mean() > 0.5 and (shares < 24).float().mean() > 0.1, (
        "at level 0, half of them are minimal"
    )


def test_test_sets_are_the_shipped_splits():
    sets = list(SIX.test_sets(5, None, torch.Generator()))
    assert [name for name, *_ in sets] == ["test sudoku-6x6", "hard sudoku-6x6", "extreme sudoku-6x6"]
    assert all(x.shape == (5, 36, 7) and y.shape == (5, 36) and loops == [16, 64, 256] for _, x, y, loops in sets)
    with pytest.raises(ValueError, match="on its shipped splits, not on levels"):
        next(SIX.test_sets(5, [0.3], torch.Generator()))
