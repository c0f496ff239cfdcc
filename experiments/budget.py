"""Accuracy against parameters x loops x tries, with and without a verifier, beside published figures."""

from __future__ import annotations

from looped_lite.intervals import wilson
from looped_lite.paths import read_results
from looped_lite.pretrained import load_pretrained

from .grid import chosen
from .sweep import Row

# As published, on their data and their machines; parameters and accuracy as their authors give them.
PUBLISHED = [
    ("HRM", "27M", "", "Sudoku-Extreme", "0.55", "no"),
    ("TRM", "5M to 7M", "", "Sudoku-Extreme", "0.87", "no"),
    ("one looped block (universal transformer)", "", "", "Sudoku-Extreme", "0.574", ""),
    ("chenglou/sudoku-solver, four pre-norm layers looped", "0.8M", "1024", "Sudoku-Extreme", "0.989", "no"),
    ("PTRM", "", "", "Sudoku-Extreme", "0.988", ""),
    ("EqR", "", "", "Sudoku-Extreme", "above 0.99", ""),
    ("FRM", "", "", "Sudoku-Extreme, not trained on it", "0.961", ""),
    ("SE-RRM", "", "", "Sudoku-Extreme", "0.955", ""),
    ("recurrent relational net (CoursIA)", "353,000", "", "hard 9x9 grids of its own", "0.83", ""),
]


SHOWN = ("test", "hard", "extreme", "qqwing-expert")


def ours(task: str, model: str, parameters: int, loops: int, test: str, right: int, count: int, **more) -> Row:
    """A row of the course's own: ``right`` of ``count``, Wilson's interval. ``work`` is parameters x loops x tries."""
    row = {"task": task, "model": model, "parameters": parameters, "blocks": 1, "loops": loops}
    row |= {"tries": 1, "verifier": "no"} | more
    low, high = (float(end) for end in wilson(right, count))
    row |= {"work": parameters * loops * row["tries"], "test": test, "count": count, "accuracy": right / count}
    return row | {"low": low, "high": high, "data": "of this course"}


def nine() -> list[Row]:
    """The shipped 9x9 model, by loops and by tries. Its verifier is the rules: they tell, without a solution, what is
    solved."""
    rows, model = [], ("sudoku 9x9", "sudoku-9x9", int(load_pretrained("sudoku-9x9").card["parameters"]))
    of = lambda table: [row for row in read_results(table) if row["split"] in SHOWN and row["model"] == model[1]]
    for row in of("sudoku_9x9"):
        rows.append(ours(*model, int(row["loops"]), row["split"], int(row["right"]), int(row["count"])))
    for row in of("sudoku_9x9_tries"):
        if row["tries"] in ("1", "2", "4", "8", "16"):
            more = {"tries": int(row["tries"]), "verifier": "the rules"}
            rows.append(ours(*model, int(row["loops"]), row["split"], int(row["without"]), int(row["count"]), **more))
    return rows


def six() -> list[Row]:
    """6x6, 200 hard puzzles for each of five seeds; and 100 for each of three seeds of the unshared stacks."""
    rows, tests = [], {loops: f"hard_{loops}" for loops in (16, 64, 256, 1024)}
    for recall in ("internal", "external"):
        same = [row for row in read_results("sudoku_6x6_grid") if (row["recall"], row["norm"]) == (recall, "post")]
        for loops, column in tests.items():
            rows.append(pooled("sudoku 6x6", f"{recall} + post, 600 steps", same, loops, "hard", column, 200))
    same = [row for row in chosen(read_results("grid_sudoku_6x6")) if (row["recall"], row["norm"]) == ("fixed", "post")]
    rows.append(pooled("sudoku 6x6", "16 unshared blocks, post, 400 steps", same, 1, "hard", "hard_1", 100, blocks=16))
    same = [
        row for row in chosen(read_results("grid_sudoku_6x6")) if (row["recall"], row["norm"]) == ("internal", "post")
    ]
    return [*rows, pooled("sudoku 6x6", "internal + post, 400 steps", same, 64, "hard", "hard_64", 100)]


def bits() -> list[Row]:
    """Prefix sums with loops = length, three seeds each; and the unshared stacks, which see 32 bits at most."""
    rows = []
    for recall in ("internal", "external"):
        same = [row | {"parameters": "62406"} for row in read_results("prefix_sums_lengths") if row["recall"] == recall]
        for length in (64, 128, 256, 512):
            count = int(same[0][f"strings_{length}"])
            rows.append(
                pooled("prefix sums", f"{recall} + post", same, length, f"{length} bits", f"exact_{length}", count)
            )
    same = [
        row for row in chosen(read_results("grid_prefix_sums")) if (row["recall"], row["norm"]) == ("fixed", "peri")
    ]
    return [*rows, pooled("prefix sums", "16 unshared blocks, peri", same, 1, "32 bits", "exact_32", 64, blocks=16)]


def pooled(task: str, model: str, rows: list[Row], loops: int, test: str, column: str, count: int, **more) -> Row:
    """All seeds together: ``count`` instances each."""
    right = sum(round(float(row[column]) * count) for row in rows)
    return ours(task, model, int(rows[0]["parameters"]), loops, test, right, count * len(rows), seeds=len(rows), **more)


def chess() -> list[Row]:
    """The long-trained models: the likeliest move, without rules, and the likeliest legal one."""
    rows = []
    for row in read_results("chess_best"):
        if row["loops"] in ("1", "4", "16", "64") and row["source"] == "engine":
            size = int(load_pretrained(row["model"]).card["parameters"])
            for column, verifier in (("squares", "no"), ("move", "legal moves only")):
                test = f"mate in {row['depth']}"
                counts = int(row[column]), int(row["count"])
                rows.append(ours("chess", row["model"], size, int(row["loops"]), test, *counts, verifier=verifier))
    return rows


def table_of_budgets() -> list[Row]:
    """The course's rows, then the published ones."""
    names = ("model", "parameters", "loops", "test", "accuracy", "verifier")
    theirs = [{"task": "sudoku 9x9", "data": "another"} | dict(zip(names, row, strict=True)) for row in PUBLISHED]
    return [*nine(), *six(), *bits(), *chess(), *theirs]
