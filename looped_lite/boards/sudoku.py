"""How a sudoku and its answer over loops look: one grid, a strip of them, when each cell settled, who sees whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..plots.curves import beside_residuals
from ..plots.style import INK, RIGHT, WRONG, array, panels, styled
from ..solving import Watched
from ..tasks import sudoku_puzzles
from . import Describe, Draw
from .plain import draw_cell, place_in_time


def _lines(ax: Any, box: tuple[int, int], thick: float = 2.0) -> None:
    """The thick lines of a sudoku board around its boxes, and its frame; the axes themselves are hidden."""
    side = box[0] * box[1]
    for k in range(0, side + 1, box[1]):
        ax.plot([k, k], [0, side], color=INK, linewidth=thick, solid_capstyle="projecting")
    for k in range(0, side + 1, box[0]):
        ax.plot([0, side], [side - k, side - k], color=INK, linewidth=thick, solid_capstyle="projecting")
    ax.set(xlim=(-0.1, side + 0.1), ylim=(-0.1, side + 0.1), aspect="equal")
    ax.axis("off")


def _grid(
    ax: Any,
    givens: np.ndarray,
    digits: np.ndarray,
    sure: np.ndarray,
    wrong: np.ndarray,
    box: tuple[int, int],
    size: float | None = None,
) -> None:
    """Draw one sudoku board: all arrays (side * side,), 0 for an empty cell."""
    side = box[0] * box[1]
    for cell in range(side * side):
        given = givens[cell] > 0
        colour = WRONG if wrong[cell] else "#D9D9D9" if given else RIGHT if digits[cell] else "white"
        alpha = 1.0 if (given and not wrong[cell]) or not digits[cell] else 0.08 + 0.62 * float(sure[cell])
        draw_cell(ax, cell % side, side - 1 - cell // side, str(digits[cell] or ""), colour, alpha,
              struck=bool(wrong[cell]), bold=given, size=size)  # fmt: skip
    _lines(ax, box, 2.0 if size is None else 1.4)


@styled
def board(
    givens: Any,
    digits: Any,
    sure: Any = None,
    residuals: Any = None,
    loop: int = 0,
    box: tuple[int, int] = (3, 3),
    wrong: Any = None,
    title: str | None = None,
    tol: float | None = 1e-4,
) -> Figure:
    """A sudoku grid: givens in bold on grey, the model's digits on blue, paler where it is less sure; with the residual
    if given.

    ``givens`` and ``digits`` (side * side,), 0 for an empty cell; ``sure`` (side * side,) probabilities of the digits;
    ``wrong`` (side * side,) bool marks cells to show in orange and struck out (a clash, or a wrong answer).
    """
    givens, digits = array(givens).astype(int).ravel(), array(digits).astype(int).ravel()
    side = box[0] * box[1]
    if len(givens) != side * side or len(digits) != side * side:
        raise ValueError(
            f"a {side}x{side} board has {side * side} cells, got {len(givens)} givens and {len(digits)} digits"
        )
    sure = np.ones(side * side) if sure is None else array(sure).astype(float).ravel()
    wrong = np.zeros(side * side, bool) if wrong is None else array(wrong).astype(bool).ravel()
    fig, ax = beside_residuals(4.2, residuals, loop, tol)
    _grid(ax, givens, digits, sure, wrong, box)
    ax.set_title(f"loop {loop}" if title is None else title)
    return fig


@styled
def strip(
    givens: Any,
    digits: Any,
    sure: Any = None,
    wrong: Any = None,
    titles: Sequence[str] | None = None,
    box: tuple[int, int] = (3, 3),
    columns: int | None = None,
) -> Figure:
    """Several sudoku boards side by side, drawn as in `board`: one puzzle at several loops, or several puzzles.

    ``digits``, ``sure``, ``wrong`` (boards, side * side); ``givens`` the same, or (side * side,) for one puzzle in all
    boards.
    """
    digits = np.atleast_2d(array(digits).astype(int))
    givens = np.broadcast_to(array(givens).astype(int), digits.shape)
    sure = np.ones(digits.shape) if sure is None else np.broadcast_to(array(sure).astype(float), digits.shape)
    wrong = np.zeros(digits.shape, bool) if wrong is None else np.broadcast_to(array(wrong).astype(bool), digits.shape)
    side = box[0] * box[1]
    if digits.shape[1] != side * side:
        raise ValueError(f"a {side}x{side} board has {side * side} cells, got {digits.shape[1]} digits")
    columns = columns or min(len(digits), 8 if side < 7 else 4)
    rows = -(-len(digits) // columns)
    one = min(2.6, 10.0 / columns)  # inches
    fig, axes = panels(rows, columns, (one * columns, (one + 0.22) * rows), squeeze=False)
    size = min(10.5, 0.55 * 72 * one / side)
    for i, ax in enumerate(axes.flat):
        if i >= len(digits):
            ax.axis("off")
            continue
        _grid(ax, givens[i], digits[i], sure[i], wrong[i], box, size)
        if titles:
            ax.set_title(titles[i], fontsize=10)
    return fig


@styled
def settling(
    givens: Any, digits: Any, when: Any, box: tuple[int, int] = (3, 3), title: str = "", colour_label: str = "loop"
) -> Figure:
    """A solved board whose colours say when each cell came to its digit and kept it: ``when`` (side * side,) loops;
    givens stay grey.
    """
    givens, digits = array(givens).astype(int).ravel(), array(digits).astype(int).ravel()
    when, side = array(when).astype(float).ravel(), box[0] * box[1]
    fig, ax = panels(1, 1, (5.4, 4.2))
    empty = givens == 0
    most = max(1.0, float(when[empty].max(initial=1)))
    scale = matplotlib.colors.Normalize(0, most)
    colours = matplotlib.colormaps["cividis"]
    for cell in range(side * side):
        x, y = cell % side, side - 1 - cell // side
        if not empty[cell]:
            draw_cell(ax, x, y, str(digits[cell]), "#D9D9D9", bold=True)
            continue
        shade = colours(1 - 0.85 * scale(when[cell]))
        ax.add_patch(Rectangle((x, y), 1, 1, facecolor=shade, edgecolor="#999999", linewidth=0.8))
        ink = "white" if sum(shade[:3]) < 1.35 else INK
        ax.text(x + 0.5, y + 0.62, str(digits[cell]), ha="center", va="center", color=ink, fontsize=10.5)
        ax.text(x + 0.5, y + 0.2, f"{when[cell]:.0f}", ha="center", va="center", color=ink, fontsize=6.5)
    _lines(ax, box)
    ax.set_title(title)
    bar = matplotlib.cm.ScalarMappable(
        norm=scale, cmap=matplotlib.colors.ListedColormap(colours(1 - 0.85 * np.linspace(0, 1, 64)))
    )
    fig.colorbar(bar, ax=ax, label=colour_label, shrink=0.85)
    return fig


@styled
def who_sees_whom(masks: Any, cell: int, names: Sequence[str], box: tuple[int, int] = (3, 3)) -> Figure:
    """What one cell (dark) can look at in each attention head (blue): ``masks`` (heads, cells, cells) bool, one small
    board each.
    """
    masks, side = array(masks).astype(bool), box[0] * box[1]
    fig, axes = panels(1, len(masks), (2.1 * len(masks), 2.4), squeeze=False)
    for ax, mask, name in zip(axes.flat, masks, names, strict=True):
        for other in range(side * side):
            colour = INK if other == cell else RIGHT if mask[cell, other] else "white"
            alpha = 1.0 if other == cell or not mask[cell, other] else 0.45
            draw_cell(ax, other % side, side - 1 - other // side, "", colour, alpha)
        _lines(ax, box, 1.6)
        ax.set_title(name)
    return fig


class Read(NamedTuple):
    """What a watched model says: ``givens`` (cells,), 0 for an empty one, and after each loop, (loops + 1, cells): its
    ``digits``, how ``sure`` it
    is of each, and which of its cells are ``broken``, that is, break a rule."""

    givens: np.ndarray
    digits: np.ndarray
    sure: np.ndarray
    broken: np.ndarray


def guesses(seen: Watched, box: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Givens (cells,), and after each loop, (loops + 1, cells): the digits, givens among them, and how sure each is."""
    givens = np.array(sudoku_puzzles.parse(seen.text, box))
    sure, guess = (part.numpy() for part in seen.logits.softmax(-1).max(-1))
    return givens, np.where(givens > 0, givens, guess + 1), sure


def clashing(givens: np.ndarray, digits: np.ndarray, box: tuple[int, int]) -> np.ndarray:
    """Filled-in cells whose digit stands a second time in their row, column or box: (cells,) bool."""
    found = sudoku_puzzles.clashes(digits.tolist(), box)
    wrong = np.zeros(len(givens), bool)
    wrong[[cell for _, _, holders in found for cell in holders]] = True
    return wrong & (givens == 0)


def read(seen: Watched, box: tuple[int, int] = (3, 3)) -> Read:
    """What a watched model says after each loop, held against the rules."""
    givens, digits, sure = guesses(seen, box)
    return Read(givens, digits, sure, np.stack([clashing(givens, grid, box) for grid in digits]))


def story(said: Read, loops: Sequence[int], box: tuple[int, int] = (3, 3), columns: int = 4) -> Figure:
    """A `strip` of the puzzle and what the model says after each of ``loops``; cells that break a rule are struck
    out.
    """
    givens, loops = said.givens, list(loops)
    digits, sure = np.stack([givens, *said.digits[loops]]), np.stack([said.sure[0], *said.sure[loops]])
    broken = np.stack([givens < 0, *said.broken[loops]])  # on the first board no cell is struck out
    return strip(givens, digits, sure, broken, ["the puzzle", *(f"loop {loop}" for loop in loops)], box, columns)


def draw(seen: Watched, task: Any) -> tuple[Draw, Describe]:
    """How to draw, and to describe, a watched sudoku after any loop. Cells that break a rule are marked; no solution is
    looked up.
    """
    box = task.box
    givens, digits, sure = guesses(seen, box)

    def describe(loop: int) -> str:
        if sudoku_puzzles.is_valid_solution(digits[loop].tolist(), givens.tolist(), box):
            state = "solved"
        else:
            count = int(clashing(givens, digits[loop], box).sum())
            state = f"not solved, {count} of {int((givens == 0).sum())} filled cells break a rule"
        step = f"; last step {seen.residuals[loop - 1]:.1e} of the state's length" if loop else ""
        return f"{place_in_time(seen, loop)}: {state}{step}."

    def picture(loop: int) -> Figure:
        wrong = clashing(givens, digits[loop], box)
        return board(givens, digits[loop], sure[loop], seen.residuals, loop, box, wrong)

    return picture, describe
