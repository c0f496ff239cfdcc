"""How a string of bits and its prefix sums look after any number of loops."""

from __future__ import annotations

from typing import Any

import torch
from matplotlib.figure import Figure

from ..plots.curves import residual_panel
from ..plots.style import RIGHT, WRONG, array, styled
from ..solving import Watched
from ..tasks.prefix_sums import read_bits
from . import Describe, Draw
from .plain import draw_cell


@styled
def board(bits: Any, ones: Any, residuals: Any, loop: int, tol: float | None = 1e-4, per_row: int = 16) -> Figure:
    """A string of bits and the model's answer after ``loop`` loops, with the residual beside it.

    ``bits`` (length,) 0 or 1; ``ones`` (length,) the probability that the model gives to 1 in each cell now;
    ``residuals`` (loops,) relative steps of the whole run. Right answers are filled blue, wrong ones orange and struck
    out; the paler, the less sure.
    """
    bits, ones, residuals = array(bits).astype(int), array(ones).astype(float), array(residuals).astype(float)
    right = bits.cumsum() % 2
    lines, widest = -(-len(bits) // per_row), min(per_row, max(8, len(bits)))
    fig = Figure(figsize=(9.2, max(2.5, 0.7 + 0.98 * lines)))
    cells, curve = fig.subplots(1, 2, width_ratios=(2.6, 1))
    for i, (bit, one, answer) in enumerate(zip(bits, ones, right, strict=True)):
        x, y = i % per_row, -2.75 * (i // per_row)
        guess, sure = int(one > 0.5), abs(one - 0.5) * 2
        draw_cell(cells, x, y, str(bit), "white")
        colour = RIGHT if guess == answer else WRONG
        draw_cell(cells, x, y - 1, str(guess), colour, 0.12 + 0.78 * sure, struck=guess != answer)
    for line in range(lines):
        cells.text(-0.25, -2.75 * line + 0.5, "input", ha="right", va="center")
        cells.text(-0.25, -2.75 * line - 0.5, "answer", ha="right", va="center")
    cells.set(xlim=(-2.2, widest + 0.1), ylim=(-2.75 * (lines - 1) - 1.2, 1.15), aspect="equal")
    cells.axis("off")
    wrong = int(((ones > 0.5) != right).sum())
    cells.set_title(f"loop {loop}: {len(bits) - wrong} of {len(bits)} cells right")
    residual_panel(curve, residuals, loop, tol)
    return fig


MOST_BITS = 96  # what fits on a board


def draw(seen: Watched, task: Any) -> tuple[Draw, Describe]:
    """How to draw, and to describe, a watched string of bits after any loop. ValueError for a string too long for a
    board.
    """
    bits = torch.tensor(read_bits(seen.text))
    if len(bits) > MOST_BITS:
        raise ValueError(f"{len(bits)} bits do not fit on the board: expected at most {MOST_BITS}")
    ones = seen.logits[:, 1:].softmax(-1)[..., 1]  # (loops + 1, length), without the BOS cell
    right = bits.cumsum(0) % 2

    def describe(loop: int) -> str:
        count = int(((ones[loop] > 0.5) == right).sum())
        return f"Loop {loop} of {seen.loops}: {count} of {len(bits)} cells right; {seen.progress(loop)}."

    return lambda loop: board(bits, ones[loop], seen.residuals, loop), describe
