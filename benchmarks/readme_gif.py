"""The animation at the top of README.md: the shipped 9x9 model on a hard puzzle, loop by loop, until the state settles.

python benchmarks/readme_gif.py
"""

import csv
import gzip
from pathlib import Path

from looped_lite import plots
from looped_lite.boards import board_of
from looped_lite.paths import data_path
from looped_lite.pretrained import load_pretrained
from looped_lite.solving import watch

OUT = Path(__file__).resolve().parent.parent / "notebooks" / "images" / "sudoku_settles.gif"
FRAMES, SECONDS = 40, 12.0


def hard_puzzle(model) -> str:
    """The first hard puzzle that takes the model between 40 and 120 loops to solve, with rules as the only judge."""
    with gzip.open(data_path("sudoku_9x9.csv.gz"), "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == "hard":
                seen = watch(model, row["puzzle"], loops=400)
                _, describe = board_of(model.recipe.task)(seen, model.recipe.task)
                if seen.settled and 40 <= seen.settled <= 120 and ": solved" in describe(seen.loops):
                    return row["puzzle"]
    raise RuntimeError("no such puzzle: expected one among the hard ones")


def main() -> None:
    model = load_pretrained("sudoku-9x9")
    seen = watch(model, hard_puzzle(model), loops=400)
    draw, describe = board_of(model.recipe.task)(seen, model.recipe.task)
    loops = sorted({round(i * seen.loops / (FRAMES - 1)) for i in range(FRAMES)})
    OUT.write_bytes(plots.gif([draw(loop) for loop in loops], seconds=SECONDS))
    print(f"{OUT.name}: {len(loops)} frames, {OUT.stat().st_size / 1e6:.2f} MB. {describe(seen.loops)} {seen.text}")


if __name__ == "__main__":
    main()
