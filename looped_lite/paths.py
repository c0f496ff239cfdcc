"""Where the shipped puzzles, models and results lie, and how a table of results is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .tables import read_table


def data_path(*parts: str) -> Path:
    """A place in the data folder, e.g. ``data_path("results", "prefix_sums_grid.csv")``.

    The folder is the one named by the environment variable LOOPED_LITE_DATA, else the repository's ``data`` beside the
    package, else the copy inside an installed package.
    """
    here = Path(__file__).resolve().parent
    if os.environ.get("LOOPED_LITE_DATA"):
        root = Path(os.environ["LOOPED_LITE_DATA"]).expanduser()
    elif (here.parent / "pyproject.toml").is_file():
        root = here.parent / "data"
    else:
        root = here / "data"
    return root.joinpath(*parts)


def model_path(name: str | Path) -> Path:
    """The file of a model: ``name`` is one of the shipped names, or a path that ends in ``.safetensors``."""
    path = Path(name)
    return path if path.suffix == ".safetensors" else data_path("checkpoints", f"{name}.safetensors")


def read_rows(path: str | Path, numbers: bool = False) -> list[dict[str, Any]]:
    """Rows of a CSV of results as dictionaries of strings, or with ``numbers`` floats where a cell holds one; none if
    there is no such file. ValueError for no whole table.
    """
    rows = list(read_table(path)) if Path(path).exists() else []
    return [{key: number_or(cell) for key, cell in row.items()} for row in rows] if numbers else rows


def read_results(name: str, numbers: bool = False) -> list[dict[str, Any]]:
    """`read_rows` of a shipped table of results, such as ``prefix_sums_grid``."""
    return read_rows(data_path("results", f"{name}.csv"), numbers)


def number_or(text: str) -> float | str:
    """The number that a text says, or the text."""
    try:
        return float(text)
    except ValueError:
        return text
