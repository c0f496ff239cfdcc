"""A board for any task: cells as coloured squares, each with its likeliest class, paler where the model is less sure.
 It works for every grid and line, from what a task must have anyway: where its cells lie, and logits for each. The
square that other boards are made of, and the words for a place in time, are here too.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..plots.curves import beside_residuals
from ..plots.style import INK, PALETTE, RIGHT, WRONG, array, styled
from ..solving import Watched
from . import Describe, Draw

PER_ROW = 16  # cells of a line before it goes on below


def draw_cell(
    ax: Any,
    x: float,
    y: float,
    text: str,
    colour: str,
    alpha: float = 1.0,
    struck: bool = False,
    bold: bool = False,
    size: float | None = None,
) -> None:
    """One square of a board with a character in it; ``struck`` draws a line through it, for those who read in grey."""
    face = matplotlib.colors.to_rgba(colour, alpha if alpha == alpha else 0.0)  # a state that overflowed knows nothing
    parts = [ax.add_patch(Rectangle((x, y), 1, 1, facecolor=face, edgecolor="#999999", linewidth=0.8))]
    if text:
        dark = colour in (RIGHT, WRONG) and alpha > 0.65
        parts.append(
            ax.text(x + 0.5, y + 0.47, text, ha="center", va="center", color="white" if dark else INK,
                    fontweight="bold" if bold else "normal", fontsize=size)
        )  # fmt: skip
    if struck:
        parts += ax.plot([x + 0.12, x + 0.88], [y + 0.12, y + 0.88], color=INK, linewidth=1.1)
    for part in parts:  # all inside the axes, and to measure a hundred cells takes longer than to draw them
        part.set_in_layout(False)


def place_in_time(seen: Watched, loop: int) -> str:
    """In words, which loop of how many, and which try where there were several."""
    number = sum(begun < loop for begun in seen.begun)
    again = f", try {number} of {len(seen.begun)}" if len(seen.begun) > 1 and loop else ""
    return f"Loop {loop} of {seen.loops}{again}"


def places(positions: Any, cells: int) -> np.ndarray:
    """Row and column of each cell, (cells, 2), from a task's positions (cells, axes): those of a grid, else a line in
    rows of 16.
    """
    positions = None if positions is None else array(positions)
    if positions is not None and positions.shape == (cells, 2) and len(np.unique(positions, axis=0)) == cells:
        return np.stack([np.unique(axis, return_inverse=True)[1].ravel() for axis in positions.T], 1)
    return np.stack(np.divmod(np.arange(cells), PER_ROW), 1)


@styled
def board(
    classes: Any,
    sure: Any = None,
    positions: Any = None,
    inputs: Any = None,
    residuals: Any = None,
    loop: int = 0,
    title: str | None = None,
    tol: float | None = 1e-4,
) -> Figure:
    """Cells as squares: the class as number and colour, paler where it is less sure; with the residual beside it if
    given.

    ``classes`` (cells,) whole numbers, ``sure`` (cells,) their probabilities, ``positions`` (cells, axes) where they
    lie, ``inputs`` (cells,) whole numbers to write small into the corners. ValueError where the lengths differ.
    """
    classes = array(classes).astype(int).ravel()
    sure = np.ones(len(classes)) if sure is None else array(sure).astype(float).ravel()
    inputs = None if inputs is None else array(inputs).astype(int).ravel()
    for name, part in {"sure": sure, "inputs": inputs}.items():
        if part is not None and len(part) != len(classes):
            raise ValueError(f"{name} must have a number for each of {len(classes)} cells, got {len(part)}")
    where = places(positions, len(classes))
    rows, columns = where.max(0) + 1
    fig, ax = beside_residuals(4.2, residuals, loop, tol)
    size = min(10.5, 130 / max(rows, columns))  # points
    for (row, column), kind, share, given in zip(
        where, classes, sure, [None] * len(classes) if inputs is None else inputs, strict=True
    ):
        x, y = column, rows - 1 - row
        draw_cell(ax, x, y, str(kind), PALETTE[kind % len(PALETTE)], 0.06 + 0.54 * share**2, size=size)
        if given is not None:
            ax.text(x + 0.08, y + 0.92, given, fontsize=0.55 * size, color=INK, ha="left", va="top").set_in_layout(
                False
            )
    ax.set(xlim=(-0.1, columns + 0.1), ylim=(-0.1, rows + 0.1), aspect="equal")
    ax.axis("off")
    ax.set_title(f"loop {loop}" if title is None else title)
    return fig


def draw(seen: Watched, task: Any) -> tuple[Draw, Describe]:
    """How to draw, and to describe, a watched instance of any task after any loop.

    A cell shows its likeliest class; where the task's inputs are one-hot, the input's channel stands small in its
    corner.
    """
    sure, classes = seen.logits.softmax(-1).max(-1)  # (loops + 1, cells)
    cells = classes.shape[1]
    positions = task.positions(cells)
    x = task.encode(seen.text)[0]
    one_hot = len(x) == cells and bool(((x == 0) | (x == 1)).all() and (x.sum(-1) == 1).all())
    inputs = x.argmax(-1) if one_hot else None

    def describe(loop: int) -> str:
        new = (
            f"{int((classes[loop] != classes[loop - 1]).sum())} of {cells} cells changed in this loop; " if loop else ""
        )
        return f"{place_in_time(seen, loop)}: {new}average certainty {sure[loop].mean():.2f}; {seen.progress(loop)}."

    return lambda loop: board(classes[loop], sure[loop], positions, inputs, seen.residuals, loop), describe
