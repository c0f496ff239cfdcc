"""Pictures that answer to the hand: sliders, a play button, a field to type your own problem into.

Each function returns an ipywidgets widget that works in JupyterLab and in Colab. Pictures are drawn by `looped_lite.plots`
when they are first needed and kept, so a second look is instant; where widgets do not run, use the figure function named in
the docstring. To watch another task, give `player` or `typed` another drawing function.
"""

from __future__ import annotations

import base64
import functools
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure

from . import plots
from .tasks import chess, sudoku_puzzles

Draw = Callable[[int], Figure]
Describe = Callable[[int], str]
SCALE = 1.5  # pixels to a CSS pixel in widgets: a frame should be drawn and sent quickly


class Panel(widgets.VBox):
    """A widget of this module. Where no kernel runs, on a static page or in a notebook just opened, this line stands for it."""

    def __init__(self, children: Sequence[widgets.Widget]) -> None:
        super().__init__(children)
        self.add_class("looped-panel")  # to be told from other widgets on a page, such as progress bars

    def __repr__(self) -> str:
        return "[sliders and a picture: run this cell to use them]"


class Picture:
    """An image that is redrawn on demand, with one line of words under it that says the same for those who cannot see it.

    It is an HTML widget and not an ipywidgets ``Image``, because that one has no alt text.
    """

    def __init__(self) -> None:
        self.image, self.words = widgets.HTML(), widgets.HTML()
        self.box = widgets.VBox([self.image, self.words])

    def put(self, data: bytes, words: str) -> None:
        """Show a PNG drawn at `SCALE` pixels to a CSS pixel."""
        width, height = (round(int.from_bytes(data[i : i + 4], "big") / SCALE) for i in (16, 20))
        # sync: the new picture replaces the old one without a blank moment in between
        self.image.value = (
            f'<img class="looped-picture" decoding="sync" alt="{html.escape(words)}" width="{width}" height="{height}" '
            f'style="max-width:100%;height:auto" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
        )
        self.words.value = html.escape(words)


def _png(fig: Figure) -> bytes:
    return plots.png(fig, SCALE, small=False)


def player(
    draw: Draw, frames: int, describe: Describe | None = None, label: str = "loop", first: int = 0, interval: int = 300
) -> Panel:
    """A picture with a slider and a play button: ``draw(i)`` is a Figure for i from ``first`` to ``first + frames - 1``.

    ``describe(i)`` says in words what frame i shows. ``interval`` is the time between frames in milliseconds. Where widgets do not
    run, show a few of the frames, or `plots.gif`.
    """
    if frames < 1:
        raise ValueError(f"a player needs at least one frame, got {frames}")
    last, kept, picture = first + frames - 1, {}, Picture()

    def turn(change: Mapping[str, Any]) -> None:
        i = change["new"]
        if i not in kept:
            kept[i] = _png(draw(i))
        picture.put(kept[i], describe(i) if describe else f"{label} {i} of {last}")

    play = widgets.Play(value=first, min=first, max=last, interval=interval, description="play")
    slider = widgets.IntSlider(
        value=first, min=first, max=last, description=label, layout=widgets.Layout(width="420px")
    )
    widgets.jslink((play, "value"), (slider, "value"))
    slider.observe(turn, "value")
    turn({"new": first})
    return Panel([widgets.HBox([play, slider]), picture.box])


def explorer(draw: Callable[..., Figure], describe: Callable[..., str], **sliders: tuple[float, float, float]) -> Panel:
    """A picture with one slider for each argument of ``draw``: ``name=(low, high, value)``. ``draw(**values)`` is a Figure."""
    picture = Picture()
    handles = {
        name: widgets.FloatSlider(
            value=value, min=low, max=high, step=(high - low) / 200, description=name, readout_format=".2f",
            layout=widgets.Layout(width="420px"),
        )
        for name, (low, high, value) in sliders.items()
    }  # fmt: skip

    def turn(_: Any = None) -> None:
        values = {name: handle.value for name, handle in handles.items()}
        picture.put(_png(draw(**values)), describe(**values))

    for handle in handles.values():
        handle.observe(turn, "value")
    turn()
    return Panel([*handles.values(), picture.box])


# ---------------------------------------------------------------- maps of one number


def orbit_end(f: Callable[[float], float], start: float, loops: int = 400, tol: float = 1e-6) -> str:
    """In words, where the orbit of one number ends: a fixed point, a cycle, far away, or none of these within ``loops``."""
    z, seen = float(start), []
    for _ in range(loops):
        z = float(f(z))
        if not np.isfinite(z) or abs(z) > 1e6:
            return "runs away"
        seen.append(z)
    for period in range(1, 9):
        if all(abs(seen[-1 - i] - seen[-1 - i - period]) < tol for i in range(period)):
            return f"settles at {z:.3f}" if period == 1 else f"ends in a cycle of period {period}"
    return f"has not settled after {loops} loops"


def cobweb_explorer(
    family: Callable[[Any, float], Any] | None = None,
    slope: tuple[float, float, float] = (-2.5, 2.5, 0.8),
    start: tuple[float, float, float] = (-2.0, 2.0, 1.5),
    loops: int = 30,
    name: str = "slope · tanh z + 0.3",
) -> Panel:
    """Drag the start and the slope of a map and watch its cobweb and its basins. Static: `plots.cobweb`.

    ``family(z, slope)`` is the map, written for tensors; by default ``slope * tanh(z) + 0.3``.
    """
    family = family or (lambda z, slope: slope * torch.tanh(torch.as_tensor(z)) + 0.3)
    limits = (min(-3.0, start[0]), max(3.0, start[1]))

    def draw(slope: float, start: float) -> Figure:
        return plots.cobweb(lambda z: family(z, slope), start, loops, limits, f"slope {slope:.2f}", name, basins=True)

    def describe(slope: float, start: float) -> str:
        return (
            f"From z[0] = {start:.2f} with slope {slope:.2f} the orbit {orbit_end(lambda z: family(z, slope), start)}."
        )

    return explorer(draw, describe, slope=slope, start=start)


def trajectory_player(
    states: Any, groups: Any = None, plane: plots.Plane | None = None, names: Sequence[str] | None = None
) -> Panel:
    """Paths in a shared PCA plane, loop by loop. Arguments as in `plots.trajectories`, which is the static form.

    For a page without widgets there is also `plots.trajectory_gif`.
    """
    plane = plane or plots.pca_plane(states)
    frames = len(states)
    paths = plots.project(states, plane)

    def describe(loop: int) -> str:
        moved = (
            ""
            if loop == 0
            else f"; this loop moved them {np.linalg.norm(paths[loop] - paths[loop - 1], axis=-1).mean():.2g} on average in the plane"
        )
        return f"Loop {loop} of {frames - 1}: {paths.shape[1]} states{moved}."

    return player(lambda loop: plots.trajectories(states, groups, plane, loop, names), frames, describe)


# ---------------------------------------------------------------- watching a model solve


@dataclass(frozen=True)
class Watched:
    """One instance, loop by loop. ``logits[t]`` (cells, classes) is read off after t loops, ``residuals[t]`` is the relative step of loop t + 1."""

    text: str
    logits: torch.Tensor  # (loops + 1, cells, classes)
    residuals: torch.Tensor  # (loops,)
    settled: int | None  # the loop of the last try that first moved the state by less than tol of its length
    begun: tuple[int, ...] = (0,)  # after how many loops each try began

    @property
    def loops(self) -> int:
        return len(self.residuals)

    def progress(self, loop: int) -> str:
        """In words, how far the state moved in this loop and whether it has settled."""
        step = f"last step {self.residuals[loop - 1]:.1e} of the state's length; " if loop else ""
        if self.settled is None:
            return f"{step}not settled in {self.loops} loops"
        return step + (f"settled at loop {self.settled}" if loop >= self.settled else "not settled yet")


@torch.no_grad()
def watch(
    model: Any, text: str, loops: int | None = None, tol: float = 1e-4, extra: int = 4, tries: int = 1
) -> Watched:
    """Run ``model`` on an instance written as text and keep what it would answer after every loop.

    Stops ``extra`` loops after the state settled, or after ``loops`` (the task's own limit if left out). With more ``tries`` an answer
    that breaks the task's own rules is tried again, as in ``model.solve``. ValueError says what is wrong with the text.
    """
    if loops is not None and loops < 1:
        raise ValueError(f"loops must be at least 1, got {loops}")
    x = model.task.encode(text).to(model.embed.weight.device)
    logits, residuals, begun = [], [], []
    for f, z, back in model.attempts(x, tries):
        begun.append(len(residuals))
        settled = None
        if not logits:
            logits.append(model.read_out(z)[0].cpu())
        for _ in range(loops or model.task.max_loops(x)):
            after = f(z)
            residuals.append(float((after - z).norm() / after.norm()))
            logits.append(back(model.read_out(after))[0].cpu())
            z = after
            if settled is None and residuals[-1] < tol:
                settled = len(residuals)
            if settled is not None and len(residuals) >= settled + extra:
                break
        if tries == 1 or model.task.decode(text, logits[-1]).get("solved", True):
            break
    return Watched(text, torch.stack(logits), torch.tensor(residuals), settled, tuple(begun))


def draw_prefix_sums(seen: Watched) -> tuple[Draw, Describe]:
    """How to draw, and to describe, a watched string of bits after any loop."""
    bits = torch.tensor([int(character) for character in seen.text])
    ones = seen.logits[:, 1:].softmax(-1)[..., 1]  # (loops + 1, length), without the BOS cell
    right = bits.cumsum(0) % 2

    def describe(loop: int) -> str:
        count = int(((ones[loop] > 0.5) == right).sum())
        return f"Loop {loop} of {seen.loops}: {count} of {len(bits)} cells right; {seen.progress(loop)}."

    return lambda loop: plots.prefix_sum_board(bits, ones[loop], seen.residuals, loop), describe


def prefix_sums_player(model: Any, text: str, loops: int | None = None) -> Panel:
    """A string of bits filling in as the slider adds loops, with the residual beside it. Static: `plots.prefix_sum_board`."""
    seen = watch(model, text, loops)
    draw, describe = draw_prefix_sums(seen)
    return player(draw, seen.loops + 1, describe)


def typed(
    open_instance: Callable[[str], widgets.Widget],
    value: str,
    label: str,
    button: str = "solve",
    examples: Mapping[str, str] | None = None,
    wide: str = "560px",
) -> Panel:
    """A field to type or paste an instance into; Enter or the button opens it: ``open_instance(text)`` is the widget shown below.

    A ValueError from it becomes a line of text, never a traceback, and what was shown before goes away, so that an answer
    never stands under a question that it does not belong to. ``examples`` become buttons that fill the field.
    """
    # the text arrives whole, on Enter or when the field is left: letter by letter it could arrive after the click
    field = widgets.Text(value=value, description=label, layout=widgets.Layout(width=wide), continuous_update=False)
    field.style.description_width = "initial"
    solve = widgets.Button(description=button, button_style="primary", layout=widgets.Layout(width="90px"))
    message, below, opened = widgets.HTML(), widgets.VBox([]), []

    def open_it(_: Any = None) -> None:
        if opened == [field.value]:
            return
        opened[:] = [field.value]
        message.value = ""
        try:
            below.children = (open_instance(field.value.strip()),)
        except ValueError as error:
            below.children = ()
            message.value = f'<span role="alert" style="color:#A33F00">{html.escape(str(error))}</span>'

    def button_for(name: str, text: str) -> widgets.Button:
        example = widgets.Button(description=name, layout=widgets.Layout(width="auto"))
        example.on_click(lambda _: setattr(field, "value", text))
        return example

    solve.on_click(open_it)
    field.observe(open_it, "value")
    open_it()
    rows = [widgets.HBox([field, solve])]
    if examples:
        rows.append(widgets.HBox([button_for(name, text) for name, text in examples.items()]))
    return Panel([*rows, message, below])


def solve_prefix_sums(model: Any, value: str = "0110100110", longest: int = 96) -> Panel:
    """Type your own bits and watch the loop fill them in. Static: `plots.prefix_sum_board`."""

    def open_instance(text: str) -> widgets.Widget:
        if len(text) > longest:
            raise ValueError(f"{len(text)} bits do not fit on the board: expected at most {longest}")
        return prefix_sums_player(model, text)

    examples = {"all ones": "1" * 16, "one 1, then zeros": "1" + "0" * 31, "64 bits": "01101" * 12 + "0110"}
    return typed(open_instance, value, "your bits", examples=examples)


def draw_sudoku(seen: Watched, box: tuple[int, int]) -> tuple[Draw, Describe]:
    """How to draw, and to describe, a watched sudoku after any loop. Cells that break a rule are marked; no solution is looked up."""
    givens = np.array(sudoku_puzzles.parse(seen.text, box))
    sure, guess = (part.numpy() for part in seen.logits.softmax(-1).max(-1))  # (loops + 1, cells)
    digits = np.where(givens > 0, givens, guess + 1)

    def clashing(loop: int) -> np.ndarray:
        cells = [cell for _, _, holders in sudoku_puzzles.clashes(digits[loop].tolist(), box) for cell in holders]
        wrong = np.zeros(len(givens), bool)
        wrong[cells] = True
        return wrong & (givens == 0)

    def describe(loop: int) -> str:
        count = int(clashing(loop).sum())
        if sudoku_puzzles.is_valid_solution(digits[loop].tolist(), givens.tolist(), box):
            state = "solved"
        else:
            state = f"not solved, {count} of {int((givens == 0).sum())} filled cells break a rule"
        step = f"; last step {seen.residuals[loop - 1]:.1e} of the state's length" if loop else ""
        number = sum(begun < loop for begun in seen.begun)
        again = f", try {number} of {len(seen.begun)}" if len(seen.begun) > 1 and loop else ""
        return f"Loop {loop} of {seen.loops}{again}: {state}{step}."

    def draw(loop: int) -> Figure:
        return plots.sudoku_board(givens, digits[loop], sure[loop], seen.residuals, loop, box, clashing(loop))

    return draw, describe


def sudoku_player(model: Any, text: str, loops: int | None = None, tries: int = 1) -> Panel:
    """A sudoku being solved as the slider adds loops, with the residual beside it. Static: `plots.sudoku_board`."""
    seen = watch(model, text, loops, tries=tries)
    draw, describe = draw_sudoku(seen, model.task.box)
    return player(draw, seen.loops + 1, describe)


def solve_sudoku(model: Any, value: str, examples: Mapping[str, str] | None = None) -> Panel:
    """Type or paste a puzzle (dots or zeros for empty cells) and watch the loop solve it, in up to 16 tries. Static: `plots.sudoku_board`.

    A puzzle whose givens clash, or that has no or several solutions, is refused in words.
    """
    return typed(
        lambda text: sudoku_player(model, text, tries=16), value, "your puzzle", examples=examples, wide="820px"
    )


def draw_chess(seen: Watched) -> tuple[Draw, Describe]:
    """How to draw, and to describe, a watched chess position after any loop: on the board as given, not as the model sees it."""
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

    def describe(loop: int) -> str:
        shares, legal = moves(loop)
        listed = [f"{move} {share:.2f}" for move, share in list(shares.items())[:3]]
        mates = chess.mates_at_once(position, position.parse_uci(next(iter(shares))))
        listed[0] += ", which mates at once" if mates else ", which does not mate at once"
        return (
            f"Loop {loop} of {seen.loops}, {side} to move; likeliest legal moves: {'; '.join(listed)}. "
            f"All legal moves together have probability {legal:.2f}; {seen.progress(loop)}."
        )

    def draw(loop: int) -> Figure:
        best, share = next(iter(moves(loop)[0].items()))
        start, end = chess.read_squares([best])[0].tolist()
        title = f"{side} to move, loop {loop}: {best} {share:.2f}"
        return plots.chess_board(boards[0], heat[loop], [(start, end)], title, seen.residuals, loop)

    return draw, describe


def chess_player(model: Any, text: str, loops: int | None = None) -> Panel:
    """A position, given as a FEN: where the model would move from and to as the slider adds loops. Static: `plots.chess_board`."""
    seen = watch(model, text, 64 if loops is None else loops)
    draw, describe = draw_chess(seen)
    return player(draw, seen.loops + 1, describe)


def solve_chess(model: Any, value: str, examples: Mapping[str, str] | None = None) -> Panel:
    """Paste the FEN of any position and watch the model choose a move. Static: `plots.chess_board`.

    What is no legal position with a legal move is refused in words, and so is everything where python-chess is not installed.
    """

    def open_instance(text: str) -> widgets.Widget:
        try:
            return chess_player(model, text)
        except ImportError as error:  # the reader can mend this one, too: show the sentence
            raise ValueError(str(error)) from error

    return typed(open_instance, value, "your position (FEN)", examples=examples, wide="820px")
