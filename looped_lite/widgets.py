"""Pictures that answer to the hand: sliders, buttons to play and to step, a field to type your own problem into.
 Each function returns an ipywidgets widget that works in JupyterLab and in Colab (ipywidgets 7.7 and 8). Pictures are
drawn when they are first needed and kept, so a second look is instant. On a page where no kernel runs a still picture
stands in the widget's place. No task is known here: `watch_player` and `solver` draw with the board that the model's
task names (`looped_lite.boards`).
"""

from __future__ import annotations

import asyncio
import base64
import functools
import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure

from . import plots
from .boards import Describe, Draw, board_of
from .solving import watch

SCALE = 1.5  # pixels to a CSS pixel in widgets: a frame should be drawn and sent quickly
VIEW = "application/vnd.jupyter.widget-view+json"
FOCUS = (
    "<style>.looped-panel :is(button, input, .noUi-handle):focus-visible"
    "{outline: 3px solid #005A8C; outline-offset: 2px}</style>"
)


class Panel(widgets.VBox):
    """A widget of this module, with a still picture: ``still()`` is HTML that stands for it wherever it cannot run.

    Both are sent together. A notebook with a kernel prefers the widget and shows only that; a page without one, or a
    notebook whose widget is gone, shows the HTML.
    """

    _ipython_display_ = None  # ipywidgets 7 has one, which would be taken instead of the bundle below

    def __init__(self, children: Sequence[widgets.Widget], still: Callable[[], str]) -> None:
        super().__init__([*children, widgets.HTML(FOCUS)])
        self.still = functools.cache(still)
        self.add_class("looped-panel")  # to be told from other widgets on a page, such as progress bars

    def __repr__(self) -> str:
        return "[sliders and a picture: run this cell to use them]"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"text/plain": repr(self), "text/html": self.still(), VIEW: view}


class Picture:
    """An image that is redrawn on demand, with one line of words under it that says the same for those who cannot see
    it.

    It is an HTML widget and not an ipywidgets ``Image``, because that one has no alt text. The words are a live region:
    a screen reader speaks them when they change.
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
        self.words.value = f'<div role="status" aria-live="polite">{html.escape(words)}</div>'


def _png(fig: Figure) -> bytes:
    return plots.png(fig, SCALE, small=False)


def _button(name: str, press: Callable[[Any], None], **look: Any) -> widgets.Button:
    button = widgets.Button(description=name, layout=widgets.Layout(width="auto"), **look)
    button.on_click(press)
    return button


def _play_button(slider: widgets.IntSlider, interval: int) -> widgets.Button:
    """A button that moves ``slider`` to its end, a step every ``interval`` milliseconds; pressed again it stops."""
    playing: list[asyncio.Task] = []

    async def play() -> None:
        if slider.value == slider.max:
            slider.value = slider.min
        while slider.value < slider.max:
            await asyncio.sleep(interval / 1000)  # here the kernel listens: to the slider, and to this button
            slider.value += 1

    def ended(task: asyncio.Task) -> None:
        playing.remove(task)
        button.description = "play"

    def press(_: Any) -> None:
        if playing:
            playing[0].cancel()
            return
        playing.append(asyncio.get_running_loop().create_task(play()))
        playing[0].add_done_callback(ended)
        button.description = "pause"

    button = _button("play", press)
    return button


def player(
    draw: Draw,
    frames: int,
    describe: Describe | None = None,
    label: str = "loop",
    first: int = 0,
    interval: int = 300,
    still: int | None = None,
) -> Panel:
    """A picture with a slider, and buttons to play and to step: ``draw(i)`` is a Figure, i from ``first`` to ``first +
    frames - 1``.

    ``describe(i)`` says in words what frame i shows. ``interval`` is the time between frames in milliseconds: nothing
    moves before play is pressed, and it stops at the last frame. ``still`` is the frame that stands for the widget
    where none can run, the last if left out; for a few of them side by side, or moving, see `plots.gif`. ValueError
    without frames.
    """
    if frames < 1:
        raise ValueError(f"a player needs at least one frame, got {frames}")
    last, kept, picture = first + frames - 1, {}, Picture()
    words = describe or (lambda i: f"{label} {i} of {last}")

    def turn(change: Mapping[str, Any]) -> None:
        i = change["new"]
        if i not in kept:
            kept[i] = _png(draw(i))
        picture.put(kept[i], words(i))

    slider = widgets.IntSlider(first, first, last, description=label, layout=widgets.Layout(width="420px"))
    slider.observe(turn, "value")
    turn({"new": first})

    def step(by: int) -> Callable[[Any], None]:
        return lambda _: setattr(slider, "value", min(max(slider.value + by, first), last))

    buttons = [_play_button(slider, interval), _button("step back", step(-1)), _button("step on", step(1))]
    shown = last if still is None else still
    invitation = "Run this cell to move through the loops yourself."
    return Panel(
        [widgets.HBox([*buttons, slider]), picture.box], lambda: still_html(draw(shown), words(shown), invitation)
    )


def still_html(picture: Figure, words: str, invitation: str) -> str:
    """A figure with its words as alt text, and below it the words and how to get the widget."""
    return plots.picture_html(picture, words, f"{words} {invitation}")


def explorer(draw: Callable[..., Figure], describe: Callable[..., str], **sliders: tuple[float, float, float]) -> Panel:
    """A picture with one slider for each argument of ``draw``: ``name=(low, high, value)``. ``draw(**values)`` is a
    Figure.
    """
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
    at_first = {name: value for name, (_, _, value) in sliders.items()}
    still = lambda: still_html(draw(**at_first), describe(**at_first), "Run this cell to move the sliders yourself.")
    return Panel([*handles.values(), picture.box], still)


# ---------------------------------------------------------------- maps of one number


def orbit_end(f: Callable[[float], float], start: float, loops: int = 400, tol: float = 1e-6) -> str:
    """In words, where the orbit of one number ends: a fixed point, a cycle, far away, or none of these within
    ``loops``.
    """
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
        said = f"Loop {loop} of {frames - 1}: {paths.shape[1]} states"
        if loop:
            moved = np.linalg.norm(paths[loop] - paths[loop - 1], axis=-1).mean()
            said += f"; this loop moved them {moved:.2g} on average in the plane"
        return said + "."

    return player(lambda loop: plots.trajectories(states, groups, plane, loop, names), frames, describe)


def queue_player(runs: Mapping[str, tuple[Any, Any]], frames: int = 40) -> Panel:
    """Queues of instances side by side while the clock runs: press play, and it takes as long as it took. Static:
    `plots.queues`, whose ``runs`` these are. Where no widget can run, it stands at the moment when the first of the
    queues is through.
    """
    ends = [float(torch.as_tensor(seconds).max()) for seconds, _ in runs.values()]
    end = max(ends)
    at = lambda frame: end * frame / (frames - 1)

    def describe(frame: int) -> str:
        said = []
        for name, (seconds, right) in runs.items():
            done, right = torch.as_tensor(seconds) <= at(frame) + 1e-9, torch.as_tensor(right)
            said.append(f"{name}: {int(done.sum())} of {len(done)} answered, {int((done & right).sum())} rightly")
        return f"After {at(frame):.1f} s. {'; '.join(said)}."

    draw = lambda frame: plots.queues(runs, at(frame) + 1e-9)
    pause = max(50, int(1000 * end / frames))
    return player(draw, frames, describe, "time", interval=pause, still=math.ceil(min(ends) / end * (frames - 1)))


# ---------------------------------------------------------------- watching a model solve, whatever its task


MOST_CELLS = 1024  # more do not fit on a board, and each loop would take its time


def watch_player(model: Any, text: str, loops: int | None = None, tries: int = 1) -> Panel:
    """An instance being solved as the slider adds loops, drawn by the board of the model's task. Static: the board's
    own functions.

    ``loops`` and ``tries`` as in `watch`. ValueError says what is wrong with the text.
    """
    seen = watch(model, text, loops, tries=tries)
    draw, describe = board_of(model.recipe.task)(seen, model.recipe.task)
    return player(draw, seen.loops + 1, describe, still=seen.settled)


def solver(
    model: Any,
    value: str,
    examples: Mapping[str, str] | None = None,
    label: str = "your instance",
    loops: int | None = None,
    tries: int = 16,
) -> Panel:
    """Type or paste your own instance and watch the loop solve it; with ``tries``, again where it breaks the task's own
    rules.

    ``examples`` (name -> text) become buttons; if left out they are those of the task. What is
    no instance is refused in words.
    """
    task = model.recipe.task

    def open_instance(text: str) -> Panel:
        cells = task.encode(text).shape[1]
        if cells > MOST_CELLS:
            raise ValueError(f"{cells} cells do not fit on a board: expected at most {MOST_CELLS}")
        return watch_player(model, text, loops, tries)

    return typed(open_instance, value, label, examples=task.examples if examples is None else examples, wide="820px")


def typed(
    open_instance: Callable[[str], Panel],
    value: str,
    label: str,
    button: str = "solve",
    examples: Mapping[str, str] | None = None,
    wide: str = "560px",
) -> Panel:
    """A field to type or paste an instance into; Enter or the button opens it: ``open_instance(text)`` is the widget
    shown below.

    A ValueError from it (or an ImportError: something to install) becomes a line of text, never a traceback, and what
    was shown before goes away, so that an answer never stands under a question that it does not belong to. ``examples``
    become buttons that fill the field.
    """
    # the text arrives whole, on Enter or when the field is left: letter by letter it could arrive after the click
    field = widgets.Text(value=value, description=label, layout=widgets.Layout(width=wide), continuous_update=False)
    field.style.description_width = "initial"
    message, below, opened = widgets.HTML(), widgets.VBox([]), []

    def open_it(_: Any = None) -> None:
        if opened == [field.value]:
            return
        opened[:] = [field.value]
        message.value = ""
        try:
            below.children = (open_instance(field.value.strip()),)
        except (ValueError, ImportError) as error:
            below.children = ()
            message.value = f'<span role="alert" style="color:#A33F00">{html.escape(str(error))}</span>'

    def still() -> str:
        """What the field was opened with, for a page where nobody can type."""
        if not below.children:
            return f"<p>{message.value}</p>"
        return f"<p>{html.escape(label)}: <code>{html.escape(opened[0])}</code></p>" + below.children[0].still()

    field.observe(open_it, "value")
    open_it()
    rows = [widgets.HBox([field, _button(button, open_it)])]
    if examples:
        fill = lambda text: lambda _: setattr(field, "value", text)
        rows.append(widgets.HBox([_button(name, fill(text)) for name, text in examples.items()]))
    return Panel([*rows, message, below], still)
