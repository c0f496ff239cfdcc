"""Builds data/sudoku_9x9_mined.csv.gz, hard puzzles to train on and to test with, the same each time. Needs gcc.

    python data/mine_sudoku.py [--jobs 2] [--cache build/sudoku]        # about five minutes on one core
    python data/mine_sudoku.py --verify                                 # checks the file with the Python code

Mined at random: the generator of build_sudoku.py, compiled (data/sudoku_miner.c, with random numbers of its own), makes
1.18 million minimal puzzles, each from a full grid of its own, and rates them as that file's are rated. Nothing is
searched for, nothing is changed to make it harder, and no model has a say: a puzzle is kept for its rating alone. Of
those below 12.7 only some stay, the first of each chunk; of puzzles that equal each other, or one of
sudoku_9x9.csv.gz or sudoku_9x9_qqwing.csv, up to symmetry only the first. What is left, in the order of generation:

- mined, mined_validation: guesses >= 40, the first 110 and the next 35; one in eight thousand of all puzzles;
- extreme_validation: 12.7 <= guesses < 40, 300, with as many from 20 on as the split extreme has among such ratings;
- mined_train: guesses from 4 to below 40, after these, so many of each of the `BANDS`.

With --verify the course's Python solver looks for a second solution of each puzzle of the file, and shows that those of
40 guesses or more, and each fiftieth of the others, are minimal and rated as the file says.
"""

import argparse
import csv
import ctypes
import gzip
import hashlib
import io
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache as once
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works without installing the package

from data.build_sudoku import drop_equivalents
from data.compiled import library
from looped_lite.checkpoints import write_atomic
from looped_lite.tasks import sudoku_puzzles as sudoku

BOX = (3, 3)
CHUNKS, CHUNK = 59, 20_000
COPIES = 10  # of `rate`
COLUMNS = ["puzzle", "solution", "givens", "guesses", "split"]
SPLITS = ["mined_train", "mined_validation", "extreme_validation", "mined"]
# guesses from, to below; how many of each chunk are looked at; what they become, in this order
BANDS = [
    (40.0, 1e9, CHUNK, [("mined", 110), ("mined_validation", 35)]),
    (20.0, 40.0, CHUNK, [("extreme_validation", 54), ("mined_train", 2_000)]),
    (12.7, 20.0, 40, [("extreme_validation", 246), ("mined_train", 2_100)]),
    (4.0, 12.7, 50, [("mined_train", 2_900)]),
]


Found = tuple[list[int], list[int], float]  # puzzle, solution, guesses


# ---- the generator and the rating in C ----


@once
def copies() -> tuple[bytes, bytes]:
    """The symmetric copies that `rate` takes, as the C code wants them: cells and digits, a byte each."""
    rng = random.Random(COPIES)
    drawn = zip(*(sudoku.random_symmetry(BOX, rng) for _ in range(COPIES)), strict=True)
    return tuple(np.concatenate(part).astype(np.uint8).tobytes() for part in drawn)


@once
def miner(cache: Path) -> ctypes.CDLL:
    c, number, whole, text = (
        library("sudoku_miner", cache, "-march=native"),
        ctypes.c_uint64,
        ctypes.c_int,
        ctypes.c_char_p,
    )
    c.rate.argtypes, c.rate.restype = [text, whole, text, text], ctypes.c_long
    c.mine.argtypes = [number, whole, ctypes.c_long, whole, text, text, text, ctypes.POINTER(ctypes.c_long)]
    return c


def rate(puzzle: list[int], cache: Path) -> float:
    """What `looped_lite.tasks.sudoku_puzzles.rate` says."""
    return miner(cache).rate(bytes(puzzle), COPIES, *copies()) / COPIES


def mine(name: str, count: int, least: float, cache: Path) -> list[Found]:
    """Those of ``count`` random puzzles, drawn from the seed ``name``, that take at least so many guesses."""
    kept, sums = ctypes.create_string_buffer(162 * (count + 1)), (ctypes.c_long * (count + 1))()
    seed = random.Random(name).getrandbits(64)
    found = miner(cache).mine(seed, count, round(least * COPIES), COPIES, *copies(), kept, sums)
    grids = np.frombuffer(kept.raw, np.uint8)[: 162 * found].reshape(found, 2, 81).tolist()
    return [(puzzle, solution, total / COPIES) for (puzzle, solution), total in zip(grids, sums, strict=False)]


# ---- the file ----


def build_chunk(cache: Path, number: int) -> Path:
    """Mines one chunk, unless the cache has it: lines of puzzle,solution,guesses."""
    path = cache / f"9x9_mined_{number:03d}.csv"
    if path.exists():
        return path
    found, lines = mine(f"mined sudoku 9x9 chunk {number}", CHUNK, BANDS[-1][0], cache), []
    for low, high, most, _ in BANDS:
        band = [each for each in found if low <= each[2] < high][:most]
        lines += [
            f"{sudoku.show(puzzle)},{sudoku.show(solution)},{guesses:.1f}\n" for puzzle, solution, guesses in band
        ]
    write_atomic(path, "".join(lines).encode())  # a chunk is there as a whole or not at all
    return path


def shipped(folder: Path) -> list[list[str]]:
    """The 9x9 puzzles that the course has besides, one a row."""
    with (
        gzip.open(folder / "sudoku_9x9.csv.gz", "rt", newline="") as ours,
        open(folder / "sudoku_9x9_qqwing.csv", newline="") as others,
    ):
        return [[row["puzzle"]] for file in (ours, others) for row in csv.DictReader(file)]


def fault(row: list[str], thorough: bool) -> str:
    """What is wrong with a row of puzzle, solution, guesses, by the course's own solver; empty if nothing is."""
    puzzle, solution = sudoku.parse(row[0]), sudoku.parse(row[1])
    if sudoku.solve(puzzle)[0] != [solution]:
        return "its solution is not the only one"
    if thorough and f"{sudoku.rate(puzzle):.1f}" != row[2]:
        return f"its rating is {sudoku.rate(puzzle):.1f}"
    givens = [cell for cell, digit in enumerate(puzzle) if digit] if thorough else []
    if any(len(sudoku.solve([*puzzle[:cell], 0, *puzzle[cell + 1 :]])[0]) < 2 for cell in givens):
        return "it is not minimal"
    return ""


def choose(rows: list[list[str]]) -> dict[str, list[list[str]]]:
    """The rows of each split, of rows in the order of generation: of each of the `BANDS` the first ones."""
    chosen = {split: [] for split in SPLITS}
    for low, high, _, wanted in BANDS:
        band = iter([row for row in rows if low <= float(row[2]) < high])
        for split, count in wanted:
            chosen[split] += [row for row, _ in zip(band, range(count), strict=False)]
    return chosen


def build(jobs: int, cache: Path, target: Path) -> None:
    """Mines what the cache lacks, and writes the file."""
    rows, start = [], time.time()
    cache.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs) as pool:
        for number, path in enumerate(pool.map(partial(build_chunk, cache), range(CHUNKS)), 1):
            rows += [line.split(",") for line in path.read_text().splitlines()]
            if number % 10 == 0:
                print(f"chunk {number} of {CHUNKS}, {time.time() - start:.0f} s", flush=True)
    known = shipped(ROOT / "data")
    kept = drop_equivalents([*known, *rows], BOX)[len(known) :]
    print(f"{len(rows)} looked at, {len(rows) - len(kept)} equivalents dropped")
    table, splits = io.StringIO(), choose(kept)
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for split, chosen in splits.items():
        for puzzle, solution, guesses in chosen:
            writer.writerow([puzzle, solution, sum(mark != "." for mark in puzzle), guesses, split])
    text = table.getvalue().encode()
    write_atomic(target, gzip.compress(text, compresslevel=9, mtime=0))
    print({split: len(chosen) for split, chosen in splits.items()})
    print(f"sha256 {hashlib.sha256(target.read_bytes()).hexdigest()}  {target.name}  {target.stat().st_size} bytes")
    print(f"sha256 {hashlib.sha256(text).hexdigest()}  {target.stem}")


def verify(target: Path) -> None:
    """Checks a file with the Python code: all solutions; minimality and rating of the hardest, and of each fiftieth."""
    with gzip.open(target, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    thorough = [place % 50 == 0 or float(row["guesses"]) >= BANDS[0][0] for place, row in enumerate(rows)]
    for row, more in zip(rows, thorough, strict=True):
        found = fault([row["puzzle"], row["solution"], row["guesses"]], more)
        if found:
            raise SystemExit(f"{row['puzzle']}: {found}")
    print(f"{len(rows)} puzzles have one solution, {sum(thorough)} of them are minimal and rated rightly")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "sudoku", help="folder for finished chunks")
    parser.add_argument("--out", type=Path, default=ROOT / "data", help="folder for the csv.gz file")
    parser.add_argument("--verify", action="store_true", help="only check the file, with the Python solver")
    options = parser.parse_args()
    target = options.out / "sudoku_9x9_mined.csv.gz"
    verify(target) if options.verify else build(options.jobs, options.cache, target)


if __name__ == "__main__":
    main()
