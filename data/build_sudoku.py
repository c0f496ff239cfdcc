"""Builds data/sudoku_9x9.csv.gz and data/sudoku_6x6.csv.gz, byte for byte the same each time.

    python data/build_sudoku.py [--jobs 2] [--only 6x6] [--cache build/sudoku]

Puzzles come in chunks, each from its own seed (its name), so the result does not depend on the number of processes.
Finished chunks stay in the cache folder: run the command again after an interruption and it goes on from there; delete
the folder to start afresh, for example after a change of the generator.

Splits, by rating ("guesses", see `looped_lite.tasks.sudoku_puzzles.rate`):

- of puzzles that equal each other up to symmetry only the first stays;
- extreme: guesses >= the smallest rating that at most 1% of all puzzles reach;
- hard_validation, hard: the same with 20%, without the extreme ones; the first ones generated are for validation;
- validation, test, train: all easier puzzles, again in the order of generation.

Equal ratings are never torn apart: a rating belongs to easy, hard or extreme as a whole, so the upper two may hold
slightly less than their 20% and 1%.
"""

import argparse
import csv
import gzip
import hashlib
import io
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works without installing the package

from data.sudoku_generator import fingerprint, generate, same_up_to_symmetry, singles_only
from looped_lite.checkpoints import write_atomic
from looped_lite.tasks import sudoku_puzzles as sudoku

CHUNK = 500
COLUMNS = ["puzzle", "solution", "givens", "guesses", "singles_only", "split"]
SPLITS = ["train", "validation", "test", "hard_validation", "hard", "extreme"]


class Recipe(NamedTuple):
    name: str
    box: tuple[int, int]
    chunks: int
    hidden: (
        bool  # may the rating solver use hidden singles? They alone solve 94% of 6x6 puzzles: no scale is left there
    )
    validation: int
    test: int
    hard_validation: int


RECIPES = [
    Recipe("6x6", (2, 3), 20, False, validation=300, test=500, hard_validation=200),
    Recipe("9x9", (3, 3), 64, True, validation=500, test=1000, hard_validation=500),
]


def build_chunk(recipe: Recipe, cache: Path, number: int) -> Path:
    """Generates and rates one chunk, unless the cache has it: lines of puzzle,solution,guesses,singles_only."""
    path = cache / f"{recipe.name}_{number:03d}.csv"
    if path.exists():
        return path
    rng = random.Random(f"sudoku {recipe.name} chunk {number}")
    lines = []
    for _ in range(CHUNK):
        puzzle, solution = generate(recipe.box, rng)
        guesses = sudoku.rate(puzzle, recipe.box, recipe.hidden)
        simple = int(singles_only(puzzle, recipe.box))
        lines.append(f"{sudoku.show(puzzle)},{sudoku.show(solution)},{guesses:.1f},{simple}\n")
    write_atomic(path, "".join(lines).encode())  # a chunk is there as a whole or not at all
    return path


def drop_equivalents(rows: list[list[str]], box: tuple[int, int]) -> list[list[str]]:
    """Keeps the first of all puzzles that are symmetric images of each other."""
    prints = fingerprint(np.array([sudoku.parse(row[0], box) for row in rows]), box)
    kept, seen = [], {}
    for row, key in zip(rows, prints.tolist(), strict=True):
        puzzle = sudoku.parse(row[0], box)
        if not any(same_up_to_symmetry(puzzle, other, box) for other in seen.setdefault(key, [])):
            seen[key].append(puzzle)
            kept.append(row)
    return kept


def threshold(ratings: list[float], share: float) -> float:
    """The smallest rating that at most this share of all ratings reaches."""
    reached, best = 0, float("inf")
    for rating, count in sorted(Counter(ratings).items(), reverse=True):
        reached += count
        if reached > share * len(ratings):
            break
        best = rating
    return best


def assign_splits(ratings: list[float], recipe: Recipe) -> list[str]:
    """The split of each puzzle, in the given order."""
    extreme, hard = threshold(ratings, 0.01), threshold(ratings, 0.20)
    easy_splits = ["validation"] * recipe.validation + ["test"] * recipe.test
    splits, easy_count, hard_count = [], 0, 0
    for rating in ratings:
        if rating >= extreme:
            splits.append("extreme")
        elif rating >= hard:
            splits.append("hard_validation" if hard_count < recipe.hard_validation else "hard")
            hard_count += 1
        else:
            splits.append(easy_splits[easy_count] if easy_count < len(easy_splits) else "train")
            easy_count += 1
    return splits


def build(recipe: Recipe, jobs: int, cache: Path, folder: Path) -> Path:
    """Builds one file and returns its path."""
    for needed in (cache, folder):
        needed.mkdir(parents=True, exist_ok=True)
    rows, start = [], time.time()
    with ProcessPoolExecutor(jobs) as pool:
        for number, path in enumerate(pool.map(partial(build_chunk, recipe, cache), range(recipe.chunks)), 1):
            rows += [line.split(",") for line in path.read_text().splitlines()]
            print(f"{recipe.name}: chunk {number} of {recipe.chunks}, {time.time() - start:.0f} s", flush=True)
    kept = drop_equivalents(rows, recipe.box)
    splits = assign_splits([float(row[2]) for row in kept], recipe)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (puzzle, solution, guesses, simple), split in sorted(
        zip(kept, splits, strict=True), key=lambda pair: SPLITS.index(pair[1])
    ):
        writer.writerow([puzzle, solution, sum(mark != "." for mark in puzzle), guesses, simple, split])
    text = table.getvalue().encode()
    target = folder / f"sudoku_{recipe.name}.csv.gz"
    write_atomic(target, gzip.compress(text, compresslevel=9, mtime=0))
    print(f"{recipe.name}: {len(rows)} generated, {len(rows) - len(kept)} equivalents dropped, {dict(Counter(splits))}")
    print(f"sha256 {hashlib.sha256(target.read_bytes()).hexdigest()}  {target.name}  {target.stat().st_size} bytes")
    print(f"sha256 {hashlib.sha256(text).hexdigest()}  {target.stem}")
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--only", choices=[recipe.name for recipe in RECIPES], help="build one file only")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "sudoku", help="folder for finished chunks")
    parser.add_argument("--out", type=Path, default=ROOT / "data", help="folder for the csv.gz files")
    options = parser.parse_args()
    for recipe in RECIPES:
        if options.only in (None, recipe.name):
            build(recipe, options.jobs, options.cache, options.out)


if __name__ == "__main__":
    main()
