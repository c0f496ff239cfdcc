"""The course's pictures: one visual language, and one function for each kind of figure.

Every function takes arrays or tensors and returns a matplotlib ``Figure``; nothing is drawn on screen and nothing is left
behind in pyplot. `show` puts a figure into the notebook with alt text and a caption.

Colour says where the input comes back (recall), line and marker say where the norm sits, so a figure reads in grey too.
Colours are from the Okabe-Ito palette, which people with any of the common kinds of colour blindness can tell apart.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle, FancyArrow, FancyBboxPatch, Patch, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import Affine2D

from .intervals import band, wilson

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#555555")
RECALL_COLOURS = {"internal": "#0072B2", "external": "#E69F00", "none": "#555555", "fixed": "#CC79A7"}
NORM_LINES = {"post": "-", "sandwich": "-.", "pre": ":", "peri": (0, (4, 2)), "gru": (0, (9, 3))}
NORM_MARKERS = {"post": "o", "sandwich": "D", "pre": "v", "peri": "s", "gru": "^"}
RIGHT, WRONG, EMPTY = "#0072B2", "#D55E00", "#F2F2F2"
INK = "#222222"
CSS_DPI = 96  # a figure of 6 inches is 6 * 96 CSS pixels wide on a page

STYLE = {
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.9,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "legend.handlelength": 3.0,
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
}


def use_style() -> None:
    """Give your own matplotlib figures the look of the course's. The functions below do not need it."""
    matplotlib.rcParams.update(STYLE)


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a drawing function under the course's style and leave matplotlib's settings as they were."""

    @functools.wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def line_style(recall: str, norm: str = "post") -> dict[str, Any]:
    """The line that stands for a variant everywhere in the course: ``color``, ``linestyle``, ``marker``, ``label``."""
    if recall not in RECALL_COLOURS:
        raise ValueError(f"unknown recall {recall!r}: expected one of {', '.join(RECALL_COLOURS)}")
    if norm not in NORM_LINES:
        raise ValueError(f"unknown norm {norm!r}: expected one of {', '.join(NORM_LINES)}")
    label = "fixed, no loop" if recall == "fixed" else f"{recall} + {norm}"
    return {
        "color": RECALL_COLOURS[recall],
        "linestyle": NORM_LINES[norm],
        "marker": NORM_MARKERS[norm],
        "label": label,
    }


def shades(n: int) -> list[tuple[float, ...]]:
    """``n`` colours from light to dark, for curves that differ by a quantity such as length."""
    colours = matplotlib.colormaps["viridis"]
    return [colours(0.82 - 0.82 * i / max(1, n - 1)) for i in range(n)]


# ---------------------------------------------------------------- into the notebook


def png(fig: Figure, scale: float = 2.0, small: bool = True) -> bytes:
    """The figure as PNG, ``scale`` pixels to a CSS pixel.

    In at most 256 colours, a third of the size of full colour; ``small=False`` skips that and is faster.
    """
    from PIL import Image

    full, reduced = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):  # ticks are made while drawing
        fig.savefig(full, format="png", dpi=CSS_DPI * scale, facecolor="white")
    if not small:
        return full.getvalue()
    full.seek(0)
    image = Image.open(full).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(reduced, format="png", optimize=True)
    return reduced.getvalue()


def picture_html(picture: Figure | bytes, alt: str, caption: str = "") -> str:
    """An HTML ``figure`` that carries its picture inside: a Figure, or the bytes of a PNG or GIF."""
    if not alt or not alt.strip():
        raise ValueError("a figure needs alt text: say in a sentence what it shows")
    if isinstance(picture, Figure):
        data, width, kind = png(picture), round(picture.get_size_inches()[0] * CSS_DPI), "png"
    else:
        data, width = picture, int.from_bytes(picture[6:8], "little")
        kind = "gif" if picture[:4] == b"GIF8" else "png"
        if kind == "png":
            width = int.from_bytes(picture[16:20], "big")
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    below = f'<figcaption style="max-width:{width}px;margin-top:4px">{html.escape(caption)}</figcaption>' * bool(
        caption
    )
    image = f'<img src="{source}" width="{width}" style="max-width:100%;height:auto" alt="{html.escape(alt)}">'
    return f'<figure style="margin:8px 0">{image}{below}</figure>'


def show(picture: Figure | bytes, *, alt: str, caption: str = "") -> None:
    """Display a figure (or the bytes of a PNG or GIF) with alt text for those who do not see it, and a caption below.

    The picture is stored as an image inside HTML, so it looks the same in JupyterLab, in Colab and on a static page. A
    pyplot figure is closed afterwards, so it is not shown twice.
    """
    from IPython.display import display
    from matplotlib import pyplot

    display({"text/html": picture_html(picture, alt, caption), "text/plain": f"[picture: {alt}]"}, raw=True)
    if isinstance(picture, Figure):
        pyplot.close(picture)


def live_training(every: int = 20, level: str = "level") -> Callable[[Any], None]:
    """A callback for ``train(..., on_step=live_training())`` that redraws `training_curves` every ``every`` steps."""
    from IPython.display import HTML, display

    handle = display(HTML("<p>waiting for the first steps</p>"), display_id=True)

    def on_step(run: Any) -> None:
        if run.step == 2 or run.step % every == 0 or run.finished:
            alt = f"Loss, {level} and running accuracy up to step {run.step}."
            page = HTML(picture_html(training_curves(run.history, level=level), alt))
            if handle is not None:
                handle.update(page)

    return on_step


# ---------------------------------------------------------------- arrays in


def _array(values: Any) -> np.ndarray:
    """Tensors (on any device, with or without gradient), lists and arrays as an array."""
    if isinstance(values, Sequence) and len(values) and hasattr(values[0], "detach"):
        values = [_array(value) for value in values]
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _summary(values: np.ndarray) -> tuple[float, float, float]:
    """What one place on a curve shows: right or wrong answers, numbers over seeds, or one number."""
    if values.dtype == bool:
        low, high = wilson(values.sum(), values.size)
        return float(values.mean()), float(low), float(high)
    values = values.astype(float)
    return float(values.mean()), float(values.min()), float(values.max())


def _curve(data: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``(x, middle, low, high)`` from any of the forms that `accuracy_curves` takes."""
    if isinstance(data, Mapping):
        points = sorted((float(x), *_summary(np.atleast_1d(_array(values)))) for x, values in data.items())
        x, middle, low, high = np.array(points).T
        return x, middle, low, high
    if len(data) == 4:
        return tuple(_array(part).astype(float) for part in data)
    x, y = (_array(part).astype(float) for part in data)
    y = np.atleast_2d(y)  # (seeds, places)
    if y.shape[1] != len(x):
        raise ValueError(f"a curve over {len(x)} places needs values of shape (seeds, {len(x)}), got {y.shape}")
    return x, y.mean(0), y.min(0), y.max(0)


def _style(key: Hashable, index: int, styles: Mapping[Hashable, Mapping[str, Any]] | None) -> dict[str, Any]:
    """The line for a curve: by variant if the key names one, ``("internal", "post")`` or ``"internal-post"``; else by turn."""
    parts = key.replace(" + ", "-").split("-") if isinstance(key, str) else key
    if isinstance(parts, Sequence) and len(parts) == 2 and parts[0] in RECALL_COLOURS and parts[1] in NORM_LINES:
        style = line_style(*parts)
    else:
        lines, marks = list(NORM_LINES.values()), "oDvs^"
        style = {"color": PALETTE[index % len(PALETTE)], "linestyle": lines[index % 5], "marker": marks[index % 5]}
        style["label"] = str(key)
    return {**style, **(styles or {}).get(key, {})}


def _panels(rows: int, columns: int, size: tuple[float, float], **subplots: Any) -> tuple[Figure, Any]:
    fig = Figure(figsize=size)
    return fig, fig.subplots(rows, columns, **subplots)


def _legend(ax: Any, handles: int) -> None:
    """Outside on the right where there are many curves, so that it covers none."""
    if handles > 3:
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    elif handles:
        ax.legend(loc="best")


def _plain_log(axis: Any, values: Sequence[float]) -> None:
    """Write 16, 32, 64 on a logarithmic axis instead of powers of two."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    if 0 < len(values) <= 8:
        axis.set_ticks(sorted(set(values)))


# ---------------------------------------------------------------- curves over loops and steps


@styled
def accuracy_curves(
    curves: Mapping[Hashable, Any],
    trained: int | None = None,
    log: bool = True,
    x_label: str = "loops",
    y_label: str = "exact match (share of instances)",
    title: str = "",
    chance: float | None = None,
    styles: Mapping[Hashable, Mapping[str, Any]] | None = None,
) -> Figure:
    """Accuracy against loops: does thinking longer than trained help, hold, or harm?

    ``curves`` maps a name, or a variant such as ``("internal", "post")``, to its data in one of these forms:

    - ``{loops: (instances,) bool}``, as `accuracy_over_loops` returns it: the share, with Wilson's 95% interval;
    - ``{loops: number}``, or ``{loops: (seeds,) numbers}``: the mean, with a band from lowest to highest seed;
    - ``(loops, values)`` with values ``(places,)`` or ``(seeds, places)``: the same;
    - ``(loops, middle, low, high)``: drawn as it is.

    ``trained`` marks the most loops seen in training, ``chance`` the accuracy of a guess. ``styles`` overrides line
    properties by name.
    """
    fig, ax = _panels(1, 1, (6.6 if len(curves) <= 3 else 7.6, 3.5))
    places: set[float] = set()
    for index, (key, data) in enumerate(curves.items()):
        x, middle, low, high = _curve(data)
        places |= set(x.tolist())
        style = _style(key, index, styles)
        if len(x) > 12:
            style.setdefault("markevery", max(1, len(x) // 8))
        ax.plot(x, middle, **style)
        ax.fill_between(x, low, high, color=style["color"], alpha=0.16, linewidth=0)
    if log:
        ax.set_xscale("log", base=2)
        _plain_log(ax.xaxis, sorted(places))
    if trained is not None:
        ax.axvline(trained, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        ax.annotate(
            f"trained to {trained}", (trained, 1.0), (3, 3), xycoords=("data", "axes fraction"),
            textcoords="offset points", fontsize=9, color=INK, annotation_clip=False,
        )  # fmt: skip
    if chance is not None:
        ax.axhline(chance, color="#999999", linewidth=1, linestyle=(0, (1, 2)))
        ax.annotate("chance", (1.0, chance), (-2, 2), xycoords=("axes fraction", "data"),
                    textcoords="offset points", ha="right", fontsize=9, color="#777777")  # fmt: skip
    ax.set(xlabel=x_label, ylabel=y_label, ylim=(-0.03, 1.05))
    ax.set_title(title, pad=16 if trained is not None else 6)
    _legend(ax, len(curves))
    return fig


def _over_loops(
    curves: Mapping[Hashable, Any],
    log_x: bool,
    log_y: bool,
    y_label: str,
    title: str,
    first: int,
    styles: Mapping[Hashable, Mapping[str, Any]] | None,
) -> Figure:
    """Median and middle 80% over the batch of (loops, batch) values for each name."""
    fig, ax = _panels(1, 1, (6.6 if len(curves) <= 3 else 7.6, 3.5))
    for index, (key, values) in enumerate(curves.items()):
        values = _array(values).astype(float)
        values = values[:, None] if values.ndim == 1 else values
        if log_y:
            values = np.where(values > 0, values, np.nan)  # an exact 0 has no place on a log axis: leave a gap
        x = np.arange(first, first + len(values))
        kept = np.isfinite(values).all(1)
        style = _style(key, index, styles)
        count = max(1, int(kept.sum()))
        evenly = sorted({round(i) - 1 for i in np.geomspace(1, count, 9)}) if log_x else max(1, count // 8)
        style.setdefault("markevery", evenly)
        if not kept.any():
            ax.plot([], [], **style)
            continue
        middle, low, high = band(values[kept])
        ax.plot(x[kept], middle, **style)
        ax.fill_between(x[kept], low, high, color=style["color"], alpha=0.16, linewidth=0)
    if log_y:
        ax.set_yscale("log")
    if log_x:
        ax.set_xscale("log")
        _plain_log(ax.xaxis, [])
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="loop", ylabel=y_label)
    ax.set_title(title)
    _legend(ax, len(curves))
    return fig


@styled
def residual_curves(
    curves: Mapping[Hashable, Any],
    relative: bool = False,
    log_x: bool = False,
    title: str = "",
    tol: float | None = None,
    styles: Mapping[Hashable, Mapping[str, Any]] | None = None,
) -> Figure:
    """How far each loop still moves the state: name -> ``(loops,)`` or ``(loops, batch)`` steps, as in ``Trajectory.steps``.

    A line is the median over the batch, its band the middle 80%; loops at which a step is exactly 0 are left out, since a
    log axis has no 0. ``relative`` only changes the label: pass ``steps / norms`` yourself. On ``log_x`` a fall as 1/t is a straight line.
    """
    label = "relative step |z[t+1] - z[t]| / |z[t+1]|" if relative else "step |z[t+1] - z[t]|"
    fig = _over_loops(curves, log_x, True, label, title, 1, styles)
    if tol is not None:
        fig.axes[0].axhline(tol, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        fig.axes[0].annotate(f"settled below {tol:g}", (0, tol), (4, 3), xycoords=("axes fraction", "data"),
                             textcoords="offset points", fontsize=9)  # fmt: skip
    return fig


@styled
def state_norms(
    curves: Mapping[Hashable, Any],
    log_x: bool = False,
    log_y: bool = True,
    title: str = "",
    first: int = 1,
    styles: Mapping[Hashable, Mapping[str, Any]] | None = None,
) -> Figure:
    """How long the state is after each loop: name -> ``(loops,)`` or ``(loops, batch)``, as in ``Trajectory.norms``.

    ``first`` is the loop that the first row belongs to: 0 if the start state is included.
    """
    return _over_loops(curves, log_x, log_y, "length of the state |z[t]|", title, first, styles)


@styled
def training_curves(history: Any, level: str = "level", smooth: int = 20) -> Figure:
    """Loss, curriculum level and running accuracy over the steps of a run: a ``Run`` or its ``history``."""
    history = getattr(history, "history", history)
    fig, axes = _panels(1, 3, (9.2, 2.7))
    loss = np.asarray(history["loss"], dtype=float)
    steps = np.arange(1, len(loss) + 1)
    axes[0].plot(steps, loss, color=PALETTE[4], linewidth=0.8, alpha=0.7, label="each batch")
    if len(loss) > smooth:
        mean = np.convolve(loss, np.ones(smooth) / smooth, mode="valid")
        axes[0].plot(steps[smooth - 1 :], mean, color=PALETTE[0], label=f"mean of {smooth}")
    axes[0].set_yscale("log")
    axes[0].legend(loc="lower left", handlelength=1.5, frameon=True, framealpha=0.85, edgecolor="none")
    axes[0].set(title="loss", xlabel="step", ylabel="cross-entropy (nats a cell)")
    axes[1].step(steps, history["level"], where="post", color=PALETTE[0])
    axes[1].set(title="curriculum", xlabel="step", ylabel=level)
    axes[2].plot(steps, history["running"], color=PALETTE[0])
    axes[2].axhline(0.9, color=INK, linewidth=1, linestyle=(0, (1, 2)))
    axes[2].set(title="running accuracy", xlabel="step", ylabel="share of cells right", ylim=(-0.03, 1.05))
    for ax in axes:
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    return fig


# ---------------------------------------------------------------- states in a plane


class Plane(NamedTuple):
    """A plane through state space: ``centre`` (d,), orthonormal ``axes`` (2, d), and the share of variance it shows."""

    centre: np.ndarray
    axes: np.ndarray
    share: float


def _flat(states: Any) -> np.ndarray:
    """(loops, batch, ...) -> (loops, batch, d)."""
    states = _array(states).astype(float)
    if states.ndim < 3:
        raise ValueError(f"states must be (loops, batch, ...), got shape {states.shape}")
    return states.reshape(*states.shape[:2], -1)


def pca_plane(states: Any) -> Plane:
    """The plane that shows most of the variance of ``states`` (loops, batch, ...): principal component analysis.

    Fit one plane to everything that is to be compared, for example to the states of all starts and all inputs.
    """
    points = _flat(states).reshape(-1, _flat(states).shape[-1])
    if not np.isfinite(points).all():
        raise ValueError("states contain NaN or infinity: a plane needs finite states")
    centre = points.mean(0)
    # the smaller of the two Gram matrices has the same spectrum; states have thousands of channels, paths few points
    centred = points - centre
    if len(points) <= points.shape[1]:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        axes = vectors[:, ::-1][:, :2].T @ centred
    else:
        values, vectors = np.linalg.eigh(centred.T @ centred)
        axes = vectors[:, ::-1][:, :2].T
    axes = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)
    if len(axes) < 2:  # one-dimensional states: the second axis is empty
        axes = np.vstack([axes, np.zeros_like(axes)])
    total = max(float(values.clip(0).sum()), 1e-12)
    return Plane(centre, axes, float(values.clip(0)[::-1][:2].sum() / total))


def project(states: Any, plane: Plane) -> np.ndarray:
    """Where ``states`` (loops, batch, ...) lie in the plane: (loops, batch, 2)."""
    return (_flat(states) - plane.centre) @ plane.axes.T


def _paths(ax: Any, paths: np.ndarray, groups: np.ndarray, upto: int, names: Sequence[str] | None) -> None:
    """Draw paths (loops + 1, batch, 2) up to a loop: thin lines, a small ring at the start, a filled mark at the end."""
    marks = "osD^vPX*"
    for index, group in enumerate(dict.fromkeys(groups.tolist())):
        colour, mark = PALETTE[index % len(PALETTE)], marks[index % len(marks)]
        member = paths[: upto + 1, groups == group]
        ax.plot(member[..., 0], member[..., 1], color=colour, linewidth=0.9, alpha=0.55)
        ax.plot(*member[0].T, linestyle="", marker="o", markersize=4, markerfacecolor="white", color=colour)
        label = names[index] if names else f"input {index + 1}"
        ax.plot(*member[-1].T, linestyle="", marker=mark, markersize=7, color=colour, markeredgecolor="white",
                markeredgewidth=0.7, label=label, zorder=3)  # fmt: skip


@styled
def trajectories(
    states: Any,
    groups: Any = None,
    plane: Plane | None = None,
    upto: int | None = None,
    names: Sequence[str] | None = None,
    title: str | None = None,
    window: tuple[float, float, float, float] | None = None,
) -> Figure:
    """Paths of states through a plane: rings are starts, filled marks are where each path is after ``upto`` loops.

    ``states`` (loops + 1, batch, ...) as in ``Trajectory.states``; ``groups`` (batch,) says which input each path belongs to
    (one colour and mark each); ``plane`` from `pca_plane` (fitted to ``states`` if left out); ``window`` is
    (left, right, bottom, top), else it holds every loop, so that pictures at several ``upto`` line up.
    """
    plane = plane or pca_plane(states)
    paths = project(states, plane)
    groups = np.zeros(paths.shape[1], int) if groups is None else _array(groups)
    upto = len(paths) - 1 if upto is None else upto
    fig, ax = _panels(1, 1, (6.2, 4.4))
    _paths(ax, paths, groups, upto, names)
    left, right, bottom, top = window or _window(paths)
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.set_xlabel("first principal direction")
    ax.set_ylabel("second principal direction")
    default = f"after {upto} loops · the plane holds {plane.share:.0%} of the variance"
    ax.set_title(default if title is None else title)
    if len(set(groups.tolist())) > 1:
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1)
    return fig


def _window(paths: np.ndarray) -> tuple[float, float, float, float]:
    (left, bottom), (right, top) = paths.min((0, 1)), paths.max((0, 1))
    wide, high = max(right - left, 1e-9), max(top - bottom, 1e-9)
    return left - 0.06 * wide, right + 0.06 * wide, bottom - 0.06 * high, top + 0.06 * high


def trajectory_gif(
    states: Any,
    groups: Any = None,
    plane: Plane | None = None,
    names: Sequence[str] | None = None,
    frames: int = 40,
    seconds: float = 6.0,
    scale: float = 1.0,
) -> bytes:
    """`trajectories` loop by loop as an animated GIF (bytes, for `show`): early loops one by one, later ones in strides."""
    plane = plane or pca_plane(states)
    last = len(states) - 1
    loops = sorted({round(i) for i in np.geomspace(1, last + 1, min(frames, last + 1)) - 1} | {0, last})
    return gif([trajectories(states, groups, plane, loop, names) for loop in loops], seconds, scale)


def gif(figures: Sequence[Figure], seconds: float = 6.0, scale: float = 1.0) -> bytes:
    """Figures of one size as an animated GIF that runs for ``seconds``, rests on the last one, and starts again."""
    from PIL import Image

    if not figures:
        raise ValueError("an animation needs at least one figure")
    images = [Image.open(io.BytesIO(png(fig, scale, small=False))).convert("RGB") for fig in figures]
    # one palette for all frames, made from several of them side by side: a colour may be missing from any single one
    samples = [images[round(i * (len(images) - 1) / 4)] for i in range(5)]
    wide, high = images[0].size
    sheet = Image.new("RGB", (wide, high * len(samples)), "white")
    for i, sample in enumerate(samples):
        sheet.paste(sample, (0, i * high))
    palette = sheet.quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    step = max(40, int(1000 * seconds / len(images)))
    out = io.BytesIO()
    times = [step] * (len(images) - 1) + [2000]
    images[0].save(out, "GIF", save_all=True, append_images=images[1:], duration=times, loop=0, optimize=True)
    return out.getvalue()


@styled
def eigenvalues(
    spectra: Mapping[Hashable, Any],
    title: str = "",
    styles: Mapping[Hashable, Mapping[str, Any]] | None = None,
    limit: float | None = None,
) -> Figure:
    """Eigenvalues in the complex plane with the unit circle: inside it a linear loop forgets, outside it grows.

    ``spectra`` maps a name or variant to any shape of complex (or real) numbers. ``limit`` is the half width of the axes.
    """
    fig, ax = _panels(1, 1, (6.8, 4.2))
    ax.add_patch(Circle((0, 0), 1, facecolor="#F6F6F6", linewidth=0, zorder=0))
    ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor=INK, linewidth=1.1, zorder=1))
    largest = 1.0
    for index, (key, values) in enumerate(spectra.items()):
        values = _array(values).ravel()
        style = _style(key, index, styles)
        style.pop("linestyle")
        ax.plot(values.real, values.imag, linestyle="", alpha=0.65, markeredgewidth=0, **style)
        largest = max(largest, float(np.abs(values).max(initial=0)))
    limit = 1.12 * largest if limit is None else limit
    ax.axhline(0, color="#BBBBBB", linewidth=0.7, zorder=0)
    ax.axvline(0, color="#BBBBBB", linewidth=0.7, zorder=0)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="real part", ylabel="imaginary part")
    ax.set_title(title)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1)
    return fig


@styled
def basin_map(
    ends: Any,
    extent: tuple[float, float, float, float],
    names: Mapping[int, str] | Sequence[str] | None = None,
    points: Any = None,
    x_label: str = "first coordinate of the start",
    y_label: str = "second coordinate of the start",
    title: str = "",
) -> Figure:
    """Which end each start of a 2-D slice reaches. ``ends`` (rows, columns) of small integers, row 0 at the bottom; -1 for none.

    ``extent`` is (left, right, bottom, top) of the slice, ``points`` (n, 2) marks fixed points.
    """
    ends = _array(ends).astype(int)
    kinds = sorted(set(ends.ravel().tolist()))
    colours = {kind: "#FFFFFF" if kind < 0 else matplotlib.colors.to_hex(_soft(kind)) for kind in kinds}
    lookup = np.array([matplotlib.colors.to_rgb(colours[kind]) for kind in kinds])
    fig, ax = _panels(1, 1, (5.9, 4.2))
    image = lookup[np.searchsorted(kinds, ends)]
    ax.imshow(image, origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    if points is not None:
        ax.plot(*_array(points).reshape(-1, 2).T, linestyle="", marker="X", markersize=9, color="white",
                markeredgecolor=INK)  # fmt: skip
    ax.grid(False)
    ax.set(xlabel=x_label, ylabel=y_label, xlim=extent[:2], ylim=extent[2:])
    ax.set_title(title)

    def name(kind: int) -> str:
        if names is None:
            return "no end found" if kind < 0 else f"end {kind + 1}"
        known = names.get(kind) if isinstance(names, Mapping) else (names[kind] if 0 <= kind < len(names) else None)
        return known or ("no end found" if kind < 0 else f"end {kind + 1}")

    if len(kinds) <= 12:
        patches = [Patch(facecolor=colours[kind], edgecolor="#888888", label=name(kind)) for kind in kinds]
        ax.legend(handles=patches, loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.2)
    return fig


def _soft(kind: int) -> tuple[float, ...]:
    """A palette colour, lighter each time the palette comes round again, so that areas are not glaring."""
    lift = 0.25 + 0.25 * (kind // len(PALETTE) % 2)
    return tuple(1 - (1 - part) * (1 - lift) for part in matplotlib.colors.to_rgb(PALETTE[kind % len(PALETTE)]))


# ---------------------------------------------------------------- maps of one number


def _scalar_map(f: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """``f`` at many numbers, whether it was written for tensors of shape (batch, 1), for arrays, or for one float."""
    import torch

    try:
        y = _array(f(torch.as_tensor(x, dtype=torch.float64)[:, None])).astype(float)
        if y.size == x.size:
            return y.ravel()
    except (TypeError, ValueError, RuntimeError, AttributeError):
        pass
    return np.array([float(f(float(value))) for value in x])


def line_basins(
    f: Callable[[Any], Any], starts: Any, loops: int = 300, tol: float = 1e-4
) -> tuple[np.ndarray, list[float]]:
    """Which fixed point each start of a map of one number reaches: ``(ends, points)``, ends (n,) index into points, or -1 for none."""
    z = _array(starts).astype(float).ravel()
    with np.errstate(all="ignore"):
        for _ in range(loops):
            z = np.clip(_scalar_map(f, z), -1e6, 1e6)
        still = (np.abs(_scalar_map(f, z) - z) < tol) & (np.abs(z) < 1e6)
    ends, points = np.full(len(z), -1), []
    for i in np.flatnonzero(still)[np.argsort(z[still], kind="stable")]:
        if not points or z[i] - points[-1] > 20 * tol:
            points.append(float(z[i]))
        ends[i] = len(points) - 1
    return ends, points


@styled
def cobweb(
    f: Callable[[Any], Any],
    start: float,
    loops: int = 30,
    limits: tuple[float, float] = (-2.0, 2.0),
    title: str = "",
    name: str = "f(z)",
    basins: bool = False,
) -> Figure:
    """Repeat a map of one number: left the cobweb (up to the curve, across to the diagonal), right the value at each loop.

    ``f`` may be written for tensors, arrays or floats. Orbits that leave ten times the limits are cut there. ``basins`` adds a
    strip along the bottom that colours each start by the fixed point it reaches (white: none), which crosses mark.
    """
    if loops < 1:
        raise ValueError(f"loops must be at least 1, got {loops}")
    low, high = limits
    grid = np.linspace(low, high, 401)
    orbit = [float(start)]
    for _ in range(loops):
        after = float(_scalar_map(f, np.array(orbit[-1:]))[0])
        orbit.append(after)
        if not np.isfinite(after) or abs(after) > 10 * max(abs(low), abs(high)):
            break
    orbit = np.array(orbit)
    fig, (left, right) = _panels(1, 2, (8.6, 3.7), width_ratios=(1, 1.15))
    left.plot(grid, grid, color="#999999", linewidth=1.2, linestyle=(0, (4, 2)), label="z")
    left.plot(grid, _scalar_map(f, grid), color=PALETTE[0], label=name)
    web = np.repeat(orbit, 2)
    left.plot(web[:-1], np.concatenate([[orbit[0]], web[2:]]), color=PALETTE[3], linewidth=1.0, alpha=0.9)
    left.plot(orbit[0], orbit[0], marker="o", color="white", markeredgecolor=PALETTE[3], markersize=7)
    if basins:
        ends, points = line_basins(f, grid)
        colours = np.array([(1.0, 1.0, 1.0), *(_soft(kind + 1)[:3] for kind in range(len(points)))])
        strip = (low, high, low, low + 0.05 * (high - low))
        left.imshow(colours[ends + 1][None], extent=strip, aspect="auto", interpolation="nearest", zorder=2)
        for kind, point in enumerate(points):
            left.plot(point, point, linestyle="", marker="X", markersize=9, color=_soft(kind + 1), markeredgecolor=INK)
    left.set(xlim=limits, ylim=limits, aspect="equal", xlabel="z[t]", ylabel="z[t+1]")
    left.legend(loc="upper left", handlelength=1.8)
    right.plot(np.arange(len(orbit)), orbit, color=PALETTE[3], marker="o", markersize=3.5, linewidth=1.0)
    finite = orbit[np.isfinite(orbit)]
    right.set(
        xlabel="loop t", ylabel="z[t]", ylim=(min(low, finite.min()), max(high, finite.max())), xlim=(-0.5, loops + 0.5)
    )
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_title(title)
    return fig


@styled
def stability_regions(limit: float = 3.0, paths: Mapping[str, Any] | None = None, start: bool = True) -> Figure:
    """Where the two scalar loops are stable: internal recall |1 + xy| <= 1 beside external recall |(1 + y)x| <= 1.

    ``x`` is the weight on the state, ``y`` the gain of the branch. ``paths`` maps "internal" or "external" to points
    (steps, 2) to draw over a region, for example the course of an optimizer; ``start`` marks initialization, (1, 0).
    """
    x, y = np.meshgrid(np.linspace(-limit, limit, 601), np.linspace(-limit, limit, 601))
    multipliers = {"internal": 1 + x * y, "external": (1 + y) * x}
    formulas = {"internal": "|1 + xy| ≤ 1", "external": "|(1 + y) x| ≤ 1"}
    fig, axes = _panels(1, 2, (8.6, 3.9), sharex=True, sharey=True)
    for ax, (recall, multiplier) in zip(axes, multipliers.items(), strict=True):
        size, colour = np.abs(multiplier), RECALL_COLOURS[recall]
        ax.contourf(x, y, size, levels=[-1, 1], colors=[colour], alpha=0.35)
        ax.contour(x, y, size, levels=[1], colors=[colour], linewidths=1.4)
        ax.axhline(0, color="#999999", linewidth=0.7)
        ax.axvline(0, color="#999999", linewidth=0.7)
        if start:
            ax.plot(
                1,
                0,
                marker="*",
                markersize=13,
                color=INK,
                markeredgecolor="white",
                label="initialization",
                linestyle="",
            )
        if paths and recall in paths:
            path = _array(paths[recall]).astype(float)
            ax.plot(*path.T, color=INK, linewidth=1.2, marker=".", markersize=4)
        ax.grid(False)
        ax.set(xlabel="x, weight on the state", ylabel="y, gain of the branch")
        ax.set(aspect="equal", xlim=(-limit, limit), ylim=(-limit, limit))
        ax.set_title(f"{recall} recall: {formulas[recall]}")
    if start:
        axes[1].legend(loc="lower right", handlelength=1)
    return fig


# ---------------------------------------------------------------- boards


@styled
def answers_over_loops(
    right: Any,
    first: int = 1,
    reach: int | None = None,
    title: str = "",
    colour_label: str = "probability of the right bit",
) -> Figure:
    """Cells against loops as a heat map: ``right`` (loops, cells) in [0, 1], the probability that the model gives the right answer.

    ``first`` is the loop of the first row. ``reach`` draws the light cone: a line that moves ``reach`` cells a loop.
    """
    right = _array(right).astype(float)
    if right.ndim != 2:
        raise ValueError(f"expected values of shape (loops, cells), got {right.shape}")
    loops, cells = right.shape
    fig, ax = _panels(1, 1, (7.4, 3.6))
    extent = (0.5, cells + 0.5, first - 0.5, first + loops - 0.5)
    image = ax.imshow(
        right, origin="lower", extent=extent, aspect="auto", cmap="cividis", vmin=0, vmax=1, interpolation="nearest"
    )
    if reach:
        ends = np.array([0, loops + first])
        ax.plot(reach * ends, ends, color="white", linewidth=1.6, linestyle=(0, (4, 2)))
    ax.grid(False)
    ax.set(xlabel="cell (bit)", ylabel="loop", xlim=extent[:2], ylim=extent[2:])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_title(title)
    fig.colorbar(image, ax=ax, label=colour_label)
    return fig


def _residual_panel(ax: Any, residuals: np.ndarray, loop: int, tol: float | None) -> None:
    """The whole residual curve in pale, the part up to ``loop`` in full: ``residuals[t]`` belongs to loop t + 1."""
    if not 0 <= loop <= len(residuals):
        raise ValueError(f"loop must lie between 0 and {len(residuals)}, the loops that were run, got {loop}")
    x = np.arange(1, len(residuals) + 1)
    shown = np.maximum(residuals, 1e-9)
    ax.plot(x, shown, color="#BBBBBB", linewidth=1.2)
    ax.plot(x[:loop], shown[:loop], color=PALETTE[0])
    if loop:
        ax.plot(loop, shown[loop - 1], marker="o", markersize=7, color=PALETTE[0], markeredgecolor="white")
    if tol is not None:
        ax.axhline(tol, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        ax.annotate(
            "settled", (0, tol), (4, 3), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=9
        )
    ax.set_yscale("log")
    ax.set(xlabel="loop", ylabel="relative step of the state", xlim=(0, len(residuals) + 1))
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_title("how much it still moves")


def _board_beside_residuals(height: float, residuals: Any, loop: int, tol: float | None) -> tuple[Figure, Any]:
    """A figure of so many inches and the axes for a board; beside it the residuals, if there are any."""
    if residuals is None:
        fig = Figure(figsize=(4.3, height))
        return fig, fig.subplots()
    fig = Figure(figsize=(7.8, height))
    board, curve = fig.subplots(1, 2, width_ratios=(1.35, 1))
    _residual_panel(curve, _array(residuals).astype(float), loop, tol)
    return fig, board


@styled
def prefix_sum_board(
    bits: Any, ones: Any, residuals: Any, loop: int, tol: float | None = 1e-4, per_row: int = 16
) -> Figure:
    """A string of bits and the model's answer after ``loop`` loops, with the residual beside it.

    ``bits`` (length,) 0 or 1; ``ones`` (length,) the probability that the model gives to 1 in each cell now;
    ``residuals`` (loops,) relative steps of the whole run. Right answers are filled blue, wrong ones orange and struck
    out; the paler, the less sure.
    """
    bits, ones, residuals = _array(bits).astype(int), _array(ones).astype(float), _array(residuals).astype(float)
    right = bits.cumsum() % 2
    lines, widest = -(-len(bits) // per_row), min(per_row, max(8, len(bits)))
    fig = Figure(figsize=(9.2, max(2.5, 0.7 + 0.98 * lines)))
    board, curve = fig.subplots(1, 2, width_ratios=(2.6, 1))
    for i, (bit, one, answer) in enumerate(zip(bits, ones, right, strict=True)):
        x, y = i % per_row, -2.75 * (i // per_row)
        guess, sure = int(one > 0.5), abs(one - 0.5) * 2
        _cell(board, x, y, str(bit), "white")
        colour = RIGHT if guess == answer else WRONG
        _cell(board, x, y - 1, str(guess), colour, 0.12 + 0.78 * sure, struck=guess != answer)
    for line in range(lines):
        board.text(-0.25, -2.75 * line + 0.5, "input", ha="right", va="center")
        board.text(-0.25, -2.75 * line - 0.5, "answer", ha="right", va="center")
    board.set(xlim=(-2.2, widest + 0.1), ylim=(-2.75 * (lines - 1) - 1.2, 1.15), aspect="equal")
    board.axis("off")
    wrong = int(((ones > 0.5) != right).sum())
    board.set_title(f"loop {loop}: {len(bits) - wrong} of {len(bits)} cells right")
    _residual_panel(curve, residuals, loop, tol)
    return fig


def _cell(
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
    face = matplotlib.colors.to_rgba(colour, alpha)
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
        _cell(ax, cell % side, side - 1 - cell // side, str(digits[cell] or ""), colour, alpha,
              struck=bool(wrong[cell]), bold=given, size=size)  # fmt: skip
    _lines(ax, box, 2.0 if size is None else 1.4)


@styled
def sudoku_board(
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
    """A sudoku grid: givens in bold on grey, the model's digits on blue, paler where it is less sure; with the residual if given.

    ``givens`` and ``digits`` (side * side,), 0 for an empty cell; ``sure`` (side * side,) probabilities of the digits;
    ``wrong`` (side * side,) bool marks cells to show in orange and struck out (a clash, or a wrong answer).
    """
    givens, digits = _array(givens).astype(int).ravel(), _array(digits).astype(int).ravel()
    side = box[0] * box[1]
    if len(givens) != side * side or len(digits) != side * side:
        raise ValueError(
            f"a {side}x{side} board has {side * side} cells, got {len(givens)} givens and {len(digits)} digits"
        )
    sure = np.ones(side * side) if sure is None else _array(sure).astype(float).ravel()
    wrong = np.zeros(side * side, bool) if wrong is None else _array(wrong).astype(bool).ravel()
    fig, board = _board_beside_residuals(4.2, residuals, loop, tol)
    _grid(board, givens, digits, sure, wrong, box)
    board.set_title(f"loop {loop}" if title is None else title)
    return fig


@styled
def sudoku_strip(
    givens: Any,
    digits: Any,
    sure: Any = None,
    wrong: Any = None,
    titles: Sequence[str] | None = None,
    box: tuple[int, int] = (3, 3),
    columns: int | None = None,
) -> Figure:
    """Several sudoku boards side by side, drawn as in `sudoku_board`: one puzzle at several loops, or several puzzles.

    ``digits``, ``sure``, ``wrong`` (boards, side * side); ``givens`` the same, or (side * side,) for one puzzle in all boards.
    """
    digits = np.atleast_2d(_array(digits).astype(int))
    givens = np.broadcast_to(_array(givens).astype(int), digits.shape)
    sure = np.ones(digits.shape) if sure is None else np.broadcast_to(_array(sure).astype(float), digits.shape)
    wrong = np.zeros(digits.shape, bool) if wrong is None else np.broadcast_to(_array(wrong).astype(bool), digits.shape)
    side = box[0] * box[1]
    if digits.shape[1] != side * side:
        raise ValueError(f"a {side}x{side} board has {side * side} cells, got {digits.shape[1]} digits")
    columns = columns or min(len(digits), 8 if side < 7 else 4)
    rows = -(-len(digits) // columns)
    one = min(2.6, 10.0 / columns)  # inches
    fig, axes = _panels(rows, columns, (one * columns, (one + 0.22) * rows), squeeze=False)
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
def settling_board(
    givens: Any, digits: Any, when: Any, box: tuple[int, int] = (3, 3), title: str = "", colour_label: str = "loop"
) -> Figure:
    """A solved board whose colours say when each cell came to its digit and kept it: ``when`` (side * side,) loops; givens stay grey."""
    givens, digits = _array(givens).astype(int).ravel(), _array(digits).astype(int).ravel()
    when, side = _array(when).astype(float).ravel(), box[0] * box[1]
    fig, ax = _panels(1, 1, (5.4, 4.2))
    empty = givens == 0
    most = max(1.0, float(when[empty].max(initial=1)))
    scale = matplotlib.colors.Normalize(0, most)
    colours = matplotlib.colormaps["cividis"]
    for cell in range(side * side):
        x, y = cell % side, side - 1 - cell // side
        if not empty[cell]:
            _cell(ax, x, y, str(digits[cell]), "#D9D9D9", bold=True)
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
    """What one cell (dark) can look at in each attention head (blue): ``masks`` (heads, cells, cells) bool, one small board each."""
    masks, side = _array(masks).astype(bool), box[0] * box[1]
    fig, axes = _panels(1, len(masks), (2.1 * len(masks), 2.4), squeeze=False)
    for ax, mask, name in zip(axes.flat, masks, names, strict=True):
        for other in range(side * side):
            colour = INK if other == cell else RIGHT if mask[cell, other] else "white"
            alpha = 1.0 if other == cell or not mask[cell, other] else 0.45
            _cell(ax, other % side, side - 1 - other // side, "", colour, alpha)
        _lines(ax, box, 1.6)
        ax.set_title(name)
    return fig


@styled
def cells_over_loops(
    curves: Mapping[Hashable, Any],
    y_label: str = "cells that break a rule",
    title: str = "",
    first: int = 0,
    log_x: bool = False,
    styles: Mapping[Hashable, Mapping[str, Any]] | None = None,
) -> Figure:
    """A count of cells against loops: name -> (loops,) or (loops, batch); the median and the middle 80% of the batch."""
    fig = _over_loops(curves, log_x, False, y_label, title, first, styles)
    fig.axes[0].set_ylim(bottom=-0.3)
    return fig


@styled
def loops_needed(
    rating: Any, right_at: Any, edges: Sequence[float], counts: Sequence[int], x_label: str = "guesses", title: str = ""
) -> Figure:
    """Of the puzzles in each range of ratings, the share that is right for good from each number of loops, as stacked bars.

    ``rating`` and ``right_at`` (puzzles,), NaN in ``right_at`` for a puzzle that is never right; range i is from ``edges[i]`` to
    below ``edges[i + 1]``; ``counts`` are the numbers of loops that were looked at.
    """
    rating, right_at = _array(rating).astype(float), _array(right_at).astype(float)
    fig, ax = _panels(1, 1, (7.6, 3.6))
    groups = [right_at[(rating >= low) & (rating < high)] for low, high in itertools.pairwise(edges)]
    bottom = np.zeros(len(groups))
    hatches = ["", "", "//", "", "..", "", "xx", ""]
    for i, (count, colour) in enumerate(zip(counts, shades(len(counts)), strict=True)):
        before = counts[i - 1] if i else 0
        share = np.array([np.mean((group > before) & (group <= count)) if len(group) else 0.0 for group in groups])
        label = f"by {count} loops" if i == 0 else f"{count}"
        ax.bar(range(len(groups)), share, 0.82, bottom, color=colour, edgecolor="white", linewidth=0.6, label=label,
               hatch=hatches[i % len(hatches)])  # fmt: skip
        bottom += share
    ax.bar(
        range(len(groups)),
        1 - bottom,
        0.82,
        bottom,
        color="white",
        edgecolor="#AAAAAA",
        linewidth=0.6,
        label="not solved",
    )
    names = [
        f"{low:g}" if high - low <= 0.1 else f"{low:g} to {high:g}" if np.isfinite(high) else f"≥ {low:g}"
        for low, high in itertools.pairwise(edges)
    ]
    ax.set_xticks(range(len(groups)), [f"{name}\n({len(group)})" for name, group in zip(names, groups, strict=True)])
    ax.set(xlabel=x_label, ylabel="share of puzzles", ylim=(0, 1))
    ax.set_title(title)
    ax.grid(False)
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.4)
    return fig


# ---------------------------------------------------------------- chess boards

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
    boards = np.atleast_2d(_array(boards))
    if boards.ndim != 2 or boards.shape[1] != 64 or not len(boards):
        raise ValueError(f"a chess board has 64 squares, got an array of shape {boards.shape}")
    if not np.isin(boards, range(13)).all():
        raise ValueError(f"squares hold whole numbers from 0 (empty) to 12, got {boards.min():g} to {boards.max():g}")
    return boards.astype(int)


def _heat(heat: Any, count: int) -> np.ndarray:
    """From and to probabilities as (count, 2, 64), checked; zeros for None."""
    heat = np.zeros((count, 2, 64)) if heat is None else _array(heat).astype(float)
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


def _chess(ax: Any, board: np.ndarray, heat: np.ndarray, moves: Sequence[Sequence[float]], inches: float) -> None:
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
def chess_board(
    board: Any,
    heat: Any = None,
    moves: Sequence[Sequence[float]] = (),
    title: str | None = None,
    residuals: Any = None,
    loop: int = 0,
    tol: float | None = 1e-4,
) -> Figure:
    """A chess board, white below; with the residual beside it if given.

    ``board`` (64,) from a1 to h8: 0 for an empty square, else 1 + the place of the piece in ``PNBRQKpnbrqk``. ``heat`` (2, 64)
    are probabilities: the square from which a move starts gets an orange frame, the one to which it goes is filled in
    blue, both the stronger the likelier. ``moves`` are arrows: squares ``(from, to)``, or ``(from, to, weight)`` with a
    weight from 0 to 1.
    """
    boards = _boards(board)
    if len(boards) != 1:
        raise ValueError(f"expected one board of shape (64,), got {boards.shape}: chess_strip draws several")
    fig, ax = _board_beside_residuals(4.3, residuals, loop, tol)
    _chess(ax, boards[0], _heat(heat, 1)[0], moves, 4.0)
    ax.set_title(f"loop {loop}" if title is None and residuals is not None else title or "")
    return fig


def _small_boards(count: int, columns: int, aside: float = 0.0) -> tuple[Figure, list[Any], float]:
    """A figure with ``count`` places for boards and inches left ``aside``, their axes, and how many inches wide each is."""
    columns = min(columns, count)
    rows, inches = -(-count // columns), min(2.6, (10.0 - aside) / columns)
    fig, axes = _panels(rows, columns, (inches * columns + aside, (inches + 0.3) * rows), squeeze=False)
    for ax in axes.flat[count:]:
        ax.axis("off")
    return fig, list(axes.flat[:count]), inches


@styled
def chess_strip(
    boards: Any,
    heat: Any = None,
    moves: Sequence[Sequence[Sequence[float]]] | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 4,
) -> Figure:
    """Several chess boards, drawn as in `chess_board`: one position at several loops, or several positions.

    ``boards`` (boards, 64), or (64,) for one position in all of them; ``heat`` (boards, 2, 64); a list of ``moves`` for each board.
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
        _chess(ax, boards[i], heat[i], moves[i] if moves else (), inches)
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
    """A number, or yes and no, for each square, as heat maps on small boards: ``values`` (maps, 64) numbers or bool, a1 first.

    ``board`` (64,) draws pieces on all of them, ``cell`` frames one square, ``label`` names the colours.
    """
    values = np.atleast_2d(_array(values))
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


@styled
def seed_dots(
    groups: Mapping[Hashable, Any],
    y_label: str,
    title: str = "",
    styles: Mapping[Hashable, Mapping[str, Any]] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """One dot for each seed, and a line at the mean: name or variant, such as ``("internal", "post")`` -> (seeds,) numbers."""
    fig, ax = _panels(1, 1, (max(4.5, 1.15 * len(groups) + 1.4), 3.4))
    labels = []
    for i, (key, values) in enumerate(groups.items()):
        values = np.atleast_1d(_array(values).astype(float))
        style = _style(key, i, styles)
        labels.append(style["label"].replace(" + ", "\n+ "))
        offsets = 0.14 * (np.arange(len(values)) - (len(values) - 1) / 2) / max(1, len(values) - 1) * 2
        ax.plot([i - 0.3, i + 0.3], [values.mean()] * 2, color=style["color"], linewidth=2.4)
        ax.plot(
            i + offsets,
            values,
            linestyle="",
            marker=style["marker"],
            color=style["color"],
            markersize=6,
            markeredgecolor="white",
        )
    ax.set_xticks(range(len(labels)), labels)
    ax.set(ylabel=y_label, xlim=(-0.6, len(labels) - 0.4))
    if limits:
        ax.set_ylim(limits)
    ax.grid(axis="x", visible=False)
    ax.set_title(title)
    return fig


# ---------------------------------------------------------------- a block, drawn


@styled
def block_diagram(recall: str = "internal", norm: str = "post") -> Figure:
    """One loop block as boxes and arrows, for any recall and norm: the stream runs left to right, branches arch over it."""
    style = line_style(recall, norm)
    colour = style["color"]
    first, last = norm in ("pre", "peri", "sandwich", "gru"), norm in ("post", "sandwich")
    fig, ax = _panels(1, 1, (10.0, 3.3))

    def box(x: float, y: float, text: str, width: float = 0.9, face: str = "white") -> None:
        outline = FancyBboxPatch(
            (x - width / 2, y - 0.28), width, 0.56, boxstyle="round,pad=0.02", facecolor=face, edgecolor=INK, zorder=3
        )
        ax.add_patch(outline)
        ax.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            fontsize=9.5,
            zorder=4,
            color="white" if face == RECALL_COLOURS["internal"] else INK,
        )

    def arrow(a: tuple[float, float], b: tuple[float, float], **line: Any) -> None:
        look = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0, **line}
        ax.annotate("", b, a, arrowprops=look, zorder=2)  # boxes lie above

    def path(*points: tuple[float, float], **line: Any) -> None:
        ax.plot(*zip(*points[:-1], strict=True), color=line.get("color", INK), linewidth=line.get("linewidth", 1.0))
        arrow(points[-2], points[-1], **line)

    recalls: list[tuple[float, float]] = []
    x = 1.0
    ax.text(0.3, 0, "z[t]", ha="center", va="center", fontsize=11)
    begin = 0.6
    if recall == "external":
        x += 0.7
        recalls.append((x, 0.0))
        box(x, 0, "Wz z + Wh h", 1.35, colour)
        x += 0.9
    for name in ("attention", "MLP"):
        split, y = x + 0.15, 1.0
        x += 0.3
        parts = [("N", 0.5, "#E8E8E8")] * first
        if recall == "internal":
            parts.append(("Wz · + Wh h", 1.3, colour))
        parts.append((name, 1.15, "white"))
        parts += [("N", 0.5, "#E8E8E8")] * (norm == "peri")
        before = (split, 0.0)
        for i, (text, width, face) in enumerate(parts):
            centre = x + 0.25 + width / 2
            edge = (centre - width / 2 - 0.02, y)
            path(before, (split, y), edge) if i == 0 else arrow(before, edge)
            box(centre, y, text, width, face)
            if face == colour:
                recalls.append((centre, y))
            before, x = (centre + width / 2 + 0.02, y), centre + width / 2
        x += 0.45
        plus = x
        path(before, (plus, y), (plus, 0.3 if norm == "gru" else 0.17))
        if norm == "gru":
            box(plus, 0, "gate", 0.7)
            x += 0.35
        else:
            ax.add_patch(Circle((plus, 0), 0.17, facecolor="white", edgecolor=INK, zorder=3))
            ax.text(plus, -0.01, "+", ha="center", va="center", zorder=4)
            x += 0.17
        if last:
            box(x + 0.5, 0, "N", 0.5, "#E8E8E8")
            x += 0.75
        x += 0.1
    end = x + 0.45
    arrow((begin, 0), (end, 0))
    ax.text(end + 0.1, 0, "z[t+1]", ha="left", va="center", fontsize=11)
    back = {"color": "#888888", "linewidth": 1.0}
    path((end + 0.45, -0.22), (end + 0.45, -0.75), (0.3, -0.75), (0.3, -0.22), **back)
    ax.text(
        (begin + end) / 2,
        -0.72,
        "again, with the same weights",
        ha="center",
        va="bottom",
        fontsize=9.5,
        color="#666666",
    )
    if recalls:
        ax.text(0.3, 1.9, "h", ha="center", va="center", fontsize=11, color=INK)
        ax.plot([0.5, max(point[0] for point in recalls)], [1.9, 1.9], color=colour, linewidth=1.8)
        for px, py in recalls:
            arrow((px, 1.9), (px, py + 0.3), color=colour, linewidth=1.8)
    else:
        ax.text(0.3, 1.45, "h is z[0], and\nnever seen again", ha="left", va="center", fontsize=9.5, color="#666666")
    ax.set(xlim=(-0.1, end + 1.0), ylim=(-1.0, 2.2), aspect="equal")
    ax.axis("off")
    ax.set_title(style["label"] + ("   (N: RMSNorm)" if first or last else ""))
    return fig
