"""What the pages that run a model need besides scripts: its graphs, instances to try, and pictures for where nothing
runs.

    python site/pages.py FOLDER

Runs in the course's own environment (torch, and the extra ``export``), and does again only what has changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
TRIES = 64  # symmetric images of a sudoku: more tries than fit into the budget of a puzzle

# the models of each page, what `looped-lite solve` uses first; the others of a page were trained alike, to be compared
MODELS = {
    "sudoku": [
        "sudoku-9x9-averaged",
        "sudoku-6x6",
        "sudoku-6x6-internal-post-seed0",
        "sudoku-6x6-none-post-seed0",
        "sudoku-6x6-internal-pre-seed0",
        "sudoku-6x6-none-pre-seed0",
    ],
    "bits": [
        "prefix-sums-quick-seed0",
        "prefix-sums-seed0",
        "prefix-sums-internal-post-seed0",
        "prefix-sums-none-post-seed0",
        "prefix-sums-internal-pre-seed0",
        "prefix-sums-none-pre-seed0",
    ],
    "chess": ["chess-averaged", "chess-internal-post-seed0", "chess-none-post-seed0", "chess-internal-peri-seed0"],
}
STILLS = (1, 8, 24, 64)  # loops


def read(name: str) -> list[dict[str, str]]:
    """The rows of a table in data/."""
    from looped_lite.paths import data_path, read_rows

    return read_rows(data_path(name))


def sudoku_examples() -> dict[str, list[str]]:
    """Puzzles by difficulty, six of each."""
    large, small, other = read("sudoku_9x9.csv.gz"), read("sudoku_6x6.csv.gz"), read("sudoku_9x9_qqwing.csv")
    groups = {
        "9x9, simple": [row["puzzle"] for row in other if row["difficulty"] == "simple"],
        "9x9, hard": [row["puzzle"] for row in large if row["split"] == "hard"],
        "9x9, extreme": [row["puzzle"] for row in large if row["split"] == "extreme"],
        "6x6, easy": [row["puzzle"] for row in small if row["split"] == "test"],
        "6x6, hard": [row["puzzle"] for row in small if row["split"] == "hard"],
    }
    return {name: puzzles[:6] for name, puzzles in groups.items()}


def bits_examples() -> dict[str, list[str]]:
    """Strings by length, random but always the same."""
    import torch

    generator = torch.Generator().manual_seed(7)
    draw = lambda length: "".join(map(str, torch.randint(2, (length,), generator=generator).tolist()))
    groups = {f"{length} bits": [draw(length) for _ in range(6)] for length in (16, 32, 64, 128, 256, 512)}
    return groups | {"all ones": ["1" * 32, "1" * 64], "one 1, then zeros": ["1" + "0" * 31, "1" + "0" * 127]}


def chess_examples() -> dict[str, list[str]]:
    """Positions by the length of the mate, of engine play, six of each."""
    groups = {}
    for depth in (1, 2, 3, 4):
        rows = [
            row for row in read(f"chess_mate{depth}.csv.gz") if row["split"] == "test" and row["source"] == "engine"
        ]
        groups[f"mate in {depth}"] = [row["fen"] for row in rows[:6]]
    return groups


def sudoku_tries() -> dict[str, list]:
    """The symmetries under which `looped_lite.solve` tries a puzzle again, by the size of the grid: cells and digits of
    try 2, 3, ...
    """
    import numpy as np
    import torch

    from looped_lite.tasks.sudoku_puzzles import random_symmetry

    made: dict[str, list] = {}
    for side, box in ((9, (3, 3)), (6, (2, 3))):
        made[f"{side}x{side}"] = []
        for number in range(1, TRIES + 1):
            generator = torch.Generator().manual_seed(number)
            rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
            made[f"{side}x{side}"].append([part.tolist() for part in random_symmetry(box, rng)])
    return made


def write_stills(folder: Path, model: Any, text: str) -> None:
    """Pictures of one instance after a few loops, and stills.json, which says in words what is on them."""
    import matplotlib

    matplotlib.use("Agg")
    from looped_lite.boards import board_of
    from looped_lite.solving import watch

    seen = watch(model, text, loops=max(STILLS), extra=max(STILLS))
    draw, describe = board_of(model.recipe.task)(seen, model.recipe.task)
    pictures = []
    for loop in STILLS:
        draw(loop).savefig(folder / f"still-{loop}.png", dpi=80)
        pictures.append({"file": f"still-{loop}.png", "words": describe(loop)})
    (folder / "stills.json").write_text(json.dumps({"input": text, "pictures": pictures}), encoding="utf-8")


def main(out: Path) -> None:
    """Fill ``out`` with a folder for each page: the models' graphs, examples.json, stills."""
    from looped_lite.export import export
    from looped_lite.paths import model_path
    from looped_lite.pretrained import load_pretrained

    exporter = (ROOT / "looped_lite" / "export.py").read_bytes()
    for page, names in MODELS.items():
        folder = out / page
        for name in names:
            digest = hashlib.sha256(exporter + model_path(name).read_bytes()).hexdigest()
            if (folder / name / "made").exists() and (folder / name / "made").read_text() == digest:
                continue
            print(f"Writing {name} as ONNX.", flush=True)
            with tempfile.TemporaryDirectory() as made:
                export(load_pretrained(name), Path(made) / name)
                (Path(made) / name / "made").write_text(digest)
                shutil.rmtree(folder / name, ignore_errors=True)
                shutil.copytree(Path(made) / name, folder / name)
        groups = {"sudoku": sudoku_examples, "bits": bits_examples, "chess": chess_examples}[page]()
        more = {"tries": sudoku_tries()} if page == "sudoku" else {}
        (folder / "examples.json").write_text(json.dumps({"groups": groups, **more}), encoding="utf-8")
        text = {"sudoku": "9x9, hard", "bits": "64 bits", "chess": "mate in 1"}[page]
        made = (folder / names[0] / "made").read_text()
        if not (folder / "drawn").exists() or (folder / "drawn").read_text() != made:
            write_stills(folder, load_pretrained(names[0]), groups[text][0])
            (folder / "drawn").write_text(made)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
