"""A person's sudoku techniques: they never take the solution away, and do what their names say."""

import numpy as np
import pytest

from experiments.techniques import falls_to, hidden_singles, naked_singles, needed, pointing, x_wing
from looped_lite.tasks.sudoku import load_puzzles

TECHNIQUES = [naked_singles, hidden_singles, pointing, x_wing]


def test_no_technique_takes_a_right_digit_away():
    puzzles, solutions, _ = load_puzzles((3, 3), "hard")
    for puzzle, solution in zip(puzzles[:20].numpy(), solutions[:20].numpy(), strict=True):
        options = (puzzle[:, None] == np.arange(1, 10)) | (puzzle == 0)[:, None]
        for technique in TECHNIQUES * 6:
            fewer = technique(options)
            assert not (fewer & ~options).any() and fewer[np.arange(81), solution - 1].all()
            options = fewer


def test_singles_alone_solve_exactly_what_the_search_solves_without_a_guess():
    puzzles, _, guesses = load_puzzles((3, 3), "test")
    for puzzle, rating in zip(puzzles[:60].tolist(), guesses[:60].tolist(), strict=True):
        assert needed(puzzle).endswith("singles") == (rating == 0) == falls_to(puzzle, TECHNIQUES[:2])


@pytest.mark.parametrize(
    "technique, kept, gone",
    [  # places of one digit by (row, column), and where it cannot be any more
        (pointing, [(0, 0), (0, 1)], [(0, 5), (0, 8)]),
        (x_wing, [(1, 2), (1, 6), (7, 2), (7, 6)], [(0, 2), (4, 6), (8, 2)]),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_technique_for_lines_works_both_ways(technique, kept, gone, turned):
    grid = np.ones((9, 9, 9), bool)
    if technique is pointing:
        grid[:3, :3, 4] = False
    else:
        grid[[1, 7], :, 4] = False
    for place in kept:
        grid[(*place, 4)] = True
    turn = (lambda grid: grid.transpose(1, 0, 2)) if turned else (lambda grid: grid)
    after = turn(technique(turn(grid).reshape(81, 9)).reshape(9, 9, 9))
    assert all(after[(*place, 4)] for place in kept) and not any(after[(*place, 4)] for place in gone)
    assert after[:, :, [0, 1, 2, 3, 5, 6, 7, 8]].all(), "other digits stay"
