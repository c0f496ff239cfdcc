"""How a chess position and the model's move over loops look: one board, a strip of them, a number for each square."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrow, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from ..plots.curves import beside_residuals
from ..plots.style import INK, RIGHT, array, panels, styled
from ..solving import Watched
from ..tasks import chess
from . import Describe, Draw
from .plain import place_in_time

FROM, TO, MOVE = "#D55E00", "#0072B2", "#009E73"  # a frame, a filled square, an arrow: told apart in grey, too


@functools.cache
def _piece(number: int) -> tuple[Path, Path]:
    """The drawing of a piece (1 to 12) in the square from 0 to 1, and all that lies inside it.

    Outlines and not text, so that pieces keep their place and size in a square of any size.
    """
    path = TextPath((0, 0), "♙♘♗♖♕♔♟♞♝♜♛♚"[number - 1], size=100, prop=FontProperties(family="DejaVu Sans"))
    box = path.get_extents()
    place = Affine2D().translate(-(box.x0 + box.x1) / 2, 0).scale(0.0092).translate(0.5, 0.17)
    loops = []
    for x, y in (place.transform(loop).T for loop in path.to_polygons()):
        area = (x[:-1] * y[1:] - x[1:] * y[:-1]).sum()
        loops.append(Path(np.stack([x, y], 1)[:: 1 if area > 0 else -1]))  # all turn the same way, so none is a hole
    return path.transformed(place), Path.make_compound_path(*loops)


def _boards(boards: Any) -> np.ndarray:
    """Boards as (count, 64) whole numbers from 0 to 12, checked."""
    boards = np.atleast_2d(array(boards))
    if boards.ndim != 2 or boards.shape[1] != 64 or not len(boards):
        raise ValueError(f"a chess board has 64 squares, got an array of shape {boards.shape}")
    if not np.isin(boards, range(13)).all():
        raise ValueError(f"squares hold whole numbers from 0 (empty) to 12, got {boards.min():g} to {boards.max():g}")
    return boards.astype(int)


def _heat(heat: Any, count: int) -> np.ndarray:
    """From and to probabilities as (count, 2, 64), checked; zeros for None."""
    heat = np.zeros((count, 2, 64)) if heat is None else array(heat).astype(float)
    heat = heat[None] if heat.ndim == 2 else heat
    if heat.shape != (count, 2, 64):
        raise ValueError(f"heat must have the shape (2, 64) for each of {count} boards, got {heat.shape}")
    if not ((heat >= 0) & (heat <= 1 + 1e-6)).all():
        raise ValueError(f"heat must be probabilities from 0 to 1, got {heat.min():.3g} to {heat.max():.3g}")
    return heat.clip(0, 1)


def _framed(ax: Any, square: int, colour: str, width: float, **look: Any) -> None:
    """A frame of ``width`` points inside one square."""
    look = {"fill": False, "edgecolor": colour, "linewidth": width, "joinstyle": "miter", "zorder": 1.5, **look}
    ax.add_patch(Rectangle((square % 8 + 0.07, square // 8 + 0.07), 0.86, 0.86, **look))


def _pieces(ax: Any, board: np.ndarray, inches: float) -> None:
    """Pieces, the names of files and ranks, and the frame, on a board of ``inches`` with squares of size 1."""
    for square in np.flatnonzero(board):
        place = Affine2D().translate(square % 8, square // 8)
        drawing, inside = (path.transformed(place) for path in _piece(int(board[square])))
        fine = 0.07 if board[square] < 7 else 0.0  # white pieces are drawn in thin lines
        # white below: readable on any colour
        for path, colour, thick in ((inside, "white", 0.22), (drawing, INK, fine)):
            look = {"facecolor": colour, "edgecolor": colour, "linewidth": thick * inches, "joinstyle": "round"}
            ax.add_patch(PathPatch(path, zorder=3, gid="piece" if colour == INK else None, **look))
    for i in range(8):
        for x, y, name in ((i + 0.5, -0.3, "abcdefgh"[i]), (-0.3, i + 0.5, str(i + 1))):
            ax.text(x, y, name, ha="center", va="center", fontsize=2.2 * inches, color="#555555")
    ax.add_patch(Rectangle((0, 0), 8, 8, fill=False, edgecolor=INK, linewidth=0.3 * inches, zorder=2.5))
    ax.set(xlim=(-0.6, 8.05), ylim=(-0.6, 8.05), aspect="equal")
    ax.axis("off")
    for part in (*ax.patches, *ax.texts):  # all inside the axes, and measuring them takes longer than drawing
        part.set_in_layout(False)


def _draw_board(ax: Any, board: np.ndarray, heat: np.ndarray, moves: Sequence[Sequence[float]], inches: float) -> None:
    """Draw one chess board of about ``inches``."""
    dark = np.indices((8, 8)).sum(0) % 2 == 0
    ax.imshow(np.where(dark, 0.84, 0.98), extent=(0, 8, 0, 8), origin="lower", cmap="gray", vmin=0, vmax=1)
    for (to, square), chance in np.ndenumerate(heat):
        alpha = 0.9 * np.sqrt(chance)  # the root, so that what is unlikely can still be seen
        if chance >= 0.02 and to:
            ax.add_patch(Rectangle((square % 8, square // 8), 1, 1, facecolor=TO, alpha=alpha, linewidth=0, gid="to"))
        elif chance >= 0.02:
            _framed(ax, square, FROM, 1.1 * inches, alpha=alpha, gid="from")
    for start, end, *weights in moves:
        (strong,) = weights or (1.0,)
        if not (0 <= start < 64 and 0 <= end < 64 and start != end and 0 <= strong <= 1):
            raise ValueError(
                f"a move is two squares from 0 to 63 and a weight from 0 to 1, got {start}, {end} and {strong}"
            )
        a, b = (np.array([square % 8 + 0.5, square // 8 + 0.5]) for square in (start, end))
        a = a + 0.25 * (b - a) / np.linalg.norm(b - a)  # leave the head of the piece free
        arrow = FancyArrow(
            *a, *(b - a), width=0.06 + 0.1 * strong, head_width=0.34 + 0.16 * strong, head_length=0.38,
            length_includes_head=True, facecolor=MOVE, edgecolor="white", linewidth=0.18 * inches,
            alpha=0.25 + 0.65 * strong, zorder=4, gid="move",
        )  # fmt: skip
        ax.add_patch(arrow)
    _pieces(ax, board, inches)


@styled
def board(
    board: Any,
    heat: Any = None,
    moves: Sequence[Sequence[float]] = (),
    title: str | None = None,
    residuals: Any = None,
    loop: int = 0,
    tol: float | None = 1e-4,
) -> Figure:
    """A chess board, white below; with the residual beside it if given.

    ``board`` (64,) from a1 to h8: 0 for an empty square, else 1 + the place of the piece in ``PNBRQKpnbrqk``. ``heat``
    (2, 64) are probabilities: the square from which a move starts gets an orange frame, the one to which it goes is
    filled in blue, both the stronger the likelier. ``moves`` are arrows: squares ``(from, to)``, or ``(from, to,
    weight)`` with a weight from 0 to 1.
    """
    boards = _boards(board)
    if len(boards) != 1:
        raise ValueError(f"expected one board of shape (64,), got {boards.shape}: strip draws several")
    fig, ax = beside_residuals(4.3, residuals, loop, tol)
    _draw_board(ax, boards[0], _heat(heat, 1)[0], moves, 4.0)
    ax.set_title(f"loop {loop}" if title is None and residuals is not None else title or "")
    return fig


def _small_boards(count: int, columns: int, aside: float = 0.0) -> tuple[Figure, list[Any], float]:
    """A figure with ``count`` places for boards and inches left ``aside``, their axes, and how many inches wide each
    is.
    """
    columns = min(columns, count)
    rows, inches = -(-count // columns), min(2.6, (10.0 - aside) / columns)
    fig, axes = panels(rows, columns, (inches * columns + aside, (inches + 0.3) * rows), squeeze=False)
    for ax in axes.flat[count:]:
        ax.axis("off")
    return fig, list(axes.flat[:count]), inches


@styled
def strip(
    boards: Any,
    heat: Any = None,
    moves: Sequence[Sequence[Sequence[float]]] | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 4,
) -> Figure:
    """Several chess boards, drawn as in `board`: one position at several loops, or several positions.

    ``boards`` (boards, 64), or (64,) for one position in all of them; ``heat`` (boards, 2, 64); a list of ``moves`` for
    each board.
    """
    boards = _boards(boards)
    count = max(len(boards), *(len(part) for part in (heat, moves, titles, ()) if part is not None))
    boards = np.repeat(boards, count, 0) if len(boards) == 1 else boards
    for name, part in {"boards": boards, "heat": heat, "moves": moves, "titles": titles}.items():
        if part is not None and len(part) != count:
            raise ValueError(f"{name} must be {count}, one for each board, got {len(part)}")
    heat = _heat(heat, count)
    fig, axes, inches = _small_boards(count, columns)
    for i, ax in enumerate(axes):
        _draw_board(ax, boards[i], heat[i], moves[i] if moves else (), inches)
        ax.set_title(titles[i] if titles else "", fontsize=10)
    return fig


@styled
def square_map(
    values: Any,
    titles: Sequence[str],
    board: Any = None,
    columns: int = 4,
    label: str = "",
    cell: int | None = None,
) -> Figure:
    """A number, or yes and no, for each square, as heat maps on small boards: ``values`` (maps, 64) numbers or bool, a1
    first.

    ``board`` (64,) draws pieces on all of them, ``cell`` frames one square, ``label`` names the colours.
    """
    values = np.atleast_2d(array(values))
    if values.ndim != 2 or values.shape[1] != 64 or len(values) != len(titles):
        raise ValueError(f"expected values of shape ({len(titles)}, 64), one map for each title, got {values.shape}")
    if cell is not None and not 0 <= cell < 64:
        raise ValueError(f"cell must be a square from 0 to 63, got {cell}")
    pieces = _boards(np.zeros(64) if board is None else board)[0]
    yes, values = values.dtype == bool, values.astype(float)
    fig, axes, inches = _small_boards(len(values), columns, 0.0 if yes else 0.9)
    colours = matplotlib.colors.LinearSegmentedColormap.from_list("blues", ["white", "#7FB8D8" if yes else RIGHT])
    scale = matplotlib.colors.Normalize(min(0.0, values.min()), values.max() or 1.0)
    for ax, one, title in zip(axes, values, titles, strict=True):
        edges = np.arange(9)
        ax.pcolormesh(edges, edges, one.reshape(8, 8), cmap=colours, norm=scale, edgecolor="#BBBBBB", lw=0.5)
        if cell is not None:
            _framed(ax, cell, INK, 0.8 * inches, gid="cell")
        _pieces(ax, pieces, inches)
        ax.set_title(title, fontsize=10)
    if not yes:
        fig.colorbar(matplotlib.cm.ScalarMappable(scale, colours), ax=axes, label=label, shrink=0.85)
    return fig


def draw(seen: Watched, task: Any) -> tuple[Draw, Describe]:
    """How to draw, and to describe, a watched chess position after any loop: on the board as given, not as the model
    sees it.

    ValueError for a model that does not answer with the squares from and to.
    """
    if seen.logits.shape[1:] != (2, 64):
        raise ValueError(f"expected logits (2, 64) for the squares from and to, got {tuple(seen.logits.shape[1:])}")
    position = chess.read_fen(seen.text)
    fen = position.fen()
    boards, black = chess.read_boards([fen])
    turn, side = int(chess.normalize(boards, black)[1][0]), "black" if black[0] else "white"
    heat = seen.logits.softmax(-1)[:, :, torch.arange(64) ^ turn].numpy()  # (loops + 1, from and to, squares as given)

    @functools.cache
    def moves(loop: int) -> tuple[dict[str, float], float]:
        return chess.move_probabilities(fen, seen.logits[loop])

    def san(move: str) -> str:
        """The move as people write it; with ``#`` where it mates."""
        return position.san(position.parse_uci(move))

    def describe(loop: int) -> str:
        shares, legal = moves(loop)
        listed = [f"{move} ({san(move)}) {share:.2f}" for move, share in list(shares.items())[:3]]
        mates = chess.mates_at_once(position, position.parse_uci(next(iter(shares))))
        listed[0] += ", which mates at once" if mates else ", which does not mate at once"
        return (
            f"{place_in_time(seen, loop)}, {side} to move; likeliest legal moves: {'; '.join(listed)}. "
            f"All legal moves together have probability {legal:.2f}; {seen.progress(loop)}."
        )

    def draw_loop(loop: int) -> Figure:
        best, share = next(iter(moves(loop)[0].items()))
        start, end = chess.read_squares([best])[0].tolist()
        title = f"{side} to move, loop {loop}: {san(best)} {share:.2f}"
        return board(boards[0], heat[loop], [(start, end)], title, seen.residuals, loop)

    return draw_loop, describe
