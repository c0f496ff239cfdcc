"""The animation at the top of README.md: the shipped 9x9 model on a hard puzzle, loop by loop, until its answer comes
to rest.

python benchmarks/readme_gif.py
"""

import csv
import gzip
from pathlib import Path

from looped_lite import plots
from looped_lite.boards import board_of
from looped_lite.paths import data_path
from looped_lite.pretrained import load_pretrained
from looped_lite.solving import Watched, watch

OUT = Path(__file__).resolve().parent.parent / "notebooks" / "images" / "sudoku_settles.gif"
LOOPS, FRAMES, SECONDS = 64, 33, 10.0


def solved_from(seen: Watched, task) -> int | None:
    """The loop from which on the rules confirm every answer; None if they do not confirm the last one."""
    x = task.encode(seen.text)
    good = [bool(task.certify(x, logits[None]).all()) for logits in seen.logits]
    return len(good) - good[::-1].index(False) if good[-1] and False in good else None


def first_puzzle(model) -> tuple[Watched, int]:
    """The first hard test puzzle whose answer comes to rest after 30 to 50 loops, as the rules alone judge."""
    with gzip.open(data_path("sudoku_9x9.csv.gz"), "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == "hard":
                seen = watch(model, row["puzzle"], loops=LOOPS)
                solved = solved_from(seen, model.recipe.task)
                if solved and 30 <= solved <= 50:
                    return seen, solved
    raise RuntimeError("no such puzzle: expected one among the hard ones")


def main() -> None:
    model = load_pretrained("sudoku-9x9")
    seen, solved = first_puzzle(model)
    draw, describe = board_of(model.recipe.task)(seen, model.recipe.task)
    loops = sorted({round(i * seen.loops / (FRAMES - 1)) for i in range(FRAMES)})
    OUT.write_bytes(plots.gif([draw(loop) for loop in loops], seconds=SECONDS))
    print(f"{OUT.name}: {len(loops)} frames, {OUT.stat().st_size / 1e6:.2f} MB. Solved from loop {solved} on.")
    print(seen.text, describe(solved), sep="\n")


if __name__ == "__main__":
    main()
