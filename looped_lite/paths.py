"""Where the shipped puzzles, models and results lie."""

from __future__ import annotations

import os
from pathlib import Path


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
