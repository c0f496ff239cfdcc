"""Time the course's sudoku solver against two from PyPI, side by side in one run: pip install exact-cover py-sudoku.

Each finds the solution of a shipped 9x9 puzzle and shows that there is no second one. Times are processor time, medians
over puzzles with the middle 80%, the solvers taking turns on each puzzle; the last column is the ratio to ours. Then:
how many minimal puzzles the generator makes in a second.

python benchmarks/sudoku_solvers.py [puzzles of each split]
"""

import random
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from exact_cover import get_all_solutions
from sudoku import Sudoku

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for the generator, which is no part of the package

from data.sudoku_generator import generate
from looped_lite.tasks.sudoku import load_puzzles
from looped_lite.tasks.sudoku_puzzles import solve

SIDE, BOX = 9, 3


def ours(grid: list[int]) -> list[list[int]]:
    return solve(grid)[0]


def cover_matrix() -> np.ndarray:
    """(729 placements, 324 demands): each cell filled once, each digit once in each row, column and box."""
    matrix = np.zeros((SIDE**3, 4 * SIDE**2), dtype=np.int32)
    for place in range(SIDE**3):
        cell, digit = divmod(place, SIDE)
        row, column = divmod(cell, SIDE)
        box = row // BOX * BOX + column // BOX
        demands = (cell, row * SIDE + digit, column * SIDE + digit, box * SIDE + digit)
        matrix[place, [kind * SIDE**2 + number for kind, number in enumerate(demands)]] = 1
    return matrix


MATRIX = cover_matrix()


def by_exact_cover(grid: list[int]) -> list[list[int]]:
    keep = np.ones(SIDE**3, bool)
    for cell, digit in enumerate(grid):
        if digit:
            keep[cell * SIDE : (cell + 1) * SIDE] = False
            keep[cell * SIDE + digit - 1] = True
    places = np.flatnonzero(keep)
    solutions = []
    for chosen in get_all_solutions(np.ascontiguousarray(MATRIX[places]), max_count=2):
        filled = sorted(places[list(chosen)])
        solutions.append([int(place % SIDE) + 1 for place in filled])
    return solutions


def by_py_sudoku(grid: list[int]) -> list[list[int]]:
    rows = [[digit or None for digit in grid[i : i + SIDE]] for i in range(0, SIDE**2, SIDE)]
    board = Sudoku(BOX, BOX, board=rows)
    found = board.solve().board
    assert not board.has_multiple_solutions()
    return [[digit for row in found for digit in row]]


def summary(times: list[float]) -> str:
    """Median and middle 80% of times in seconds, written in milliseconds."""
    tenths = statistics.quantiles(times, n=10)
    return f"{1000 * statistics.median(times):.2f} ({1000 * tenths[0]:.2f} to {1000 * tenths[-1]:.2f})"


def main(count: int, budget: float = 60) -> None:
    """``budget``: seconds after which py-sudoku is not asked any more; the number of puzzles it did is printed."""
    solvers = {"looped_lite": ours, "exact-cover": by_exact_cover, "py-sudoku": by_py_sudoku}
    print("| 9x9 split | " + " | ".join(f"{name}, ms" for name in solvers) + " | ratios to looped_lite |")
    print("|---" * (len(solvers) + 2) + "|")
    for split in ("test", "hard", "extreme"):
        puzzles, solutions, _ = load_puzzles((BOX, BOX), split)
        times: dict[str, list[float]] = {name: [] for name in solvers}
        for grid, right in zip(puzzles[:count].tolist(), solutions[:count].tolist(), strict=True):
            for name, solver in solvers.items():
                if name == "py-sudoku" and sum(times[name]) > budget:
                    continue
                began = time.process_time()
                found = solver(grid)
                times[name].append(time.process_time() - began)
                assert found == [right], (name, grid)
        done = len(times["py-sudoku"])
        same = statistics.median(times["looped_lite"][:done])  # on the puzzles that py-sudoku did
        ratios = {
            "exact-cover": statistics.median(times["exact-cover"]) / statistics.median(times["looped_lite"]),
            "py-sudoku": statistics.median(times["py-sudoku"]) / same,
        }
        counts = {name: f", {len(values)} puzzles" for name, values in times.items()}
        cells = " | ".join(summary(values) + counts[name] for name, values in times.items())
        print(f"| {split} | {cells} | " + ", ".join(f"{name} {r:.3g}" for name, r in ratios.items()) + " |", flush=True)

    rng = random.Random(0)
    for box in ((2, 2), (2, 3), (3, 3)):
        began, made = time.process_time(), 0
        while time.process_time() - began < 5:
            generate(box, rng)
            made += 1
        rate = made / (time.process_time() - began)
        side = box[0] * box[1]
        print(f"minimal {side}x{side} puzzles made in a second: {rate:.0f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
