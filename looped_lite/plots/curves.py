"""Figures of numbers over loops and steps: accuracy, residuals, lengths, training, residuals beside a picture."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..intervals import band, wilson
from .style import (
    INK,
    PALETTE,
    RIGHT,
    WRONG,
    array,
    curve_style,
    legend,
    panels,
    picture_html,
    plain_log,
    shades,
    styled,
)


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
        points = sorted((float(x), *_summary(np.atleast_1d(array(values)))) for x, values in data.items())
        x, middle, low, high = np.array(points).T
        return x, middle, low, high
    if len(data) == 4:
        return tuple(array(part).astype(float) for part in data)
    x, y = (array(part).astype(float) for part in data)
    y = np.atleast_2d(y)  # (seeds, places)
    if y.shape[1] != len(x):
        raise ValueError(f"a curve over {len(x)} places needs values of shape (seeds, {len(x)}), got {y.shape}")
    return x, y.mean(0), y.min(0), y.max(0)


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
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Accuracy against loops: does thinking longer than trained help, hold, or harm?

    ``curves`` maps a name, or a variant such as ``("internal", "post")``, to its data in one of these forms:

    - ``{loops: (instances,) bool}``, as `accuracy_over_loops` returns it: the share, with Wilson's 95% interval;
    - ``{loops: number}``, or ``{loops: (seeds,) numbers}``: the mean, with a band from lowest to highest seed;
    - ``(loops, values)`` with values ``(places,)`` or ``(seeds, places)``: the same;
    - ``(loops, middle, low, high)``: drawn as it is.

    ``trained`` marks the most loops seen in training, ``chance`` the accuracy of a guess, ``marks`` other numbers of
    loops that have a name. ``styles`` overrides line properties by name.
    """
    fig, ax = panels(1, 1, (6.6 if len(curves) <= 3 else 7.6, 3.5))
    places: set[float] = set()
    for index, (key, data) in enumerate(curves.items()):
        x, middle, low, high = _curve(data)
        places |= set(x.tolist())
        style = curve_style(key, index, styles)
        if len(x) > 12:
            style.setdefault("markevery", max(1, len(x) // 8))
        ax.plot(x, middle, **style)
        ax.fill_between(x, low, high, color=style["color"], alpha=0.16, linewidth=0)
    if log:
        ax.set_xscale("log", base=2)
        plain_log(ax.xaxis, sorted(places))
    if trained is not None:
        ax.axvline(trained, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        ax.annotate(
            f"trained to {trained}", (trained, 1.0), (3, 3), xycoords=("data", "axes fraction"),
            textcoords="offset points", fontsize=9, color=INK, annotation_clip=False,
        )  # fmt: skip
    for text, place in (marks or {}).items():
        ax.axvline(place, color=WRONG, linewidth=1.2, linestyle="--")
        ax.annotate(text, (place, 0.9), (-4, 0), textcoords="offset points", ha="right", fontsize=9, color="#B34700")
    if chance is not None:
        ax.axhline(chance, color="#999999", linewidth=1, linestyle=(0, (1, 2)))
        ax.annotate("chance", (1.0, chance), (-2, 2), xycoords=("axes fraction", "data"),
                    textcoords="offset points", ha="right", fontsize=9, color="#777777")  # fmt: skip
    ax.set(xlabel=x_label, ylabel=y_label, ylim=(-0.03, 1.05))
    ax.set_title(title, pad=16 if trained is not None else 6)
    legend(ax, len(curves))
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
    fig, ax = panels(1, 1, (6.6 if len(curves) <= 3 else 7.6, 3.5))
    for index, (key, values) in enumerate(curves.items()):
        values = array(values).astype(float)
        values = values[:, None] if values.ndim == 1 else values
        if log_y:
            values = np.where(values > 0, values, np.nan)  # an exact 0 has no place on a log axis: leave a gap
        x = np.arange(first, first + len(values))
        kept = np.isfinite(values).all(1)
        style = curve_style(key, index, styles)
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
        plain_log(ax.xaxis, [])
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="loop", ylabel=y_label)
    ax.set_title(title)
    legend(ax, len(curves))
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
    """How far each loop still moves the state: name -> ``(loops,)`` or ``(loops, batch)`` steps, as in
    ``Trajectory.steps``.

    A line is the median over the batch, its band the middle 80%; loops at which a step is exactly 0 are left out, since
    a log axis has no 0. ``relative`` only changes the label: pass ``steps / norms`` yourself. On ``log_x`` a fall as
    1/t is a straight line.
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
    fig, axes = panels(1, 3, (9.2, 2.7))
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


@styled
def cells_over_loops(
    curves: Mapping[Hashable, Any],
    y_label: str = "cells",
    title: str = "",
    first: int = 0,
    log_x: bool = False,
    styles: Mapping[Hashable, Mapping[str, Any]] | None = None,
) -> Figure:
    """A count of cells against loops: name -> (loops,) or (loops, batch); median and middle 80% of the batch."""
    fig = _over_loops(curves, log_x, False, y_label, title, first, styles)
    fig.axes[0].set_ylim(bottom=-0.3)
    return fig


@styled
def loops_needed(
    rating: Any,
    right_at: Any,
    edges: Sequence[float],
    counts: Sequence[int],
    x_label: str = "rating",
    title: str = "",
    things: str = "instances",
) -> Figure:
    """Of the instances in each range of ratings, the share that is right for good from each number of loops, as stacked
    bars.

    ``rating`` and ``right_at`` (instances,), NaN in ``right_at`` for one that is never right; range i is from
    ``edges[i]`` to below ``edges[i + 1]``; ``counts`` are the numbers of loops that were looked at.
    """
    rating, right_at = array(rating).astype(float), array(right_at).astype(float)
    fig, ax = panels(1, 1, (7.6, 3.6))
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
    ax.set(xlabel=x_label, ylabel=f"share of {things}", ylim=(0, 1))
    ax.set_title(title)
    ax.grid(False)
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.4)
    return fig


@styled
def seed_dots(
    groups: Mapping[Hashable, Any],
    y_label: str,
    title: str = "",
    styles: Mapping[Hashable, Mapping[str, Any]] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """One dot for each seed, and a line at the mean: name or variant, such as ``("internal", "post")`` -> (seeds,)
    numbers.
    """
    fig, ax = panels(1, 1, (max(4.5, 1.15 * len(groups) + 1.4), 3.4))
    labels = []
    for i, (key, values) in enumerate(groups.items()):
        values = np.atleast_1d(array(values).astype(float))
        style = curve_style(key, i, styles)
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


@styled
def answers_over_loops(
    right: Any,
    first: int = 1,
    reach: int | None = None,
    title: str = "",
    colour_label: str = "probability of the right answer",
    x_label: str = "cell",
) -> Figure:
    """Cells against loops as a heat map: ``right`` (loops, cells) in [0, 1], the probability that the model gives the
    right answer.

    ``first`` is the loop of the first row. ``reach`` draws the light cone: a line that moves ``reach`` cells a loop.
    """
    right = array(right).astype(float)
    if right.ndim != 2:
        raise ValueError(f"expected values of shape (loops, cells), got {right.shape}")
    loops, cells = right.shape
    fig, ax = panels(1, 1, (7.4, 3.6))
    extent = (0.5, cells + 0.5, first - 0.5, first + loops - 0.5)
    image = ax.imshow(
        right, origin="lower", extent=extent, aspect="auto", cmap="cividis", vmin=0, vmax=1, interpolation="nearest"
    )
    if reach:
        ends = np.array([0, loops + first])
        ax.plot(reach * ends, ends, color="white", linewidth=1.6, linestyle=(0, (4, 2)))
    ax.grid(False)
    ax.set(xlabel=x_label, ylabel="loop", xlim=extent[:2], ylim=extent[2:])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_title(title)
    fig.colorbar(image, ax=ax, label=colour_label)
    return fig


@styled
def roc_curves(judges: Mapping[Hashable, tuple[Any, Any]], title: str = "") -> Figure:
    """How well does a number tell right answers from wrong ones? Name -> (scores, right), both (instances,), high
    scores for right.

    For every bar that one could set: of the right answers the share above it, against that of the wrong ones. A judge
    that knows nothing lies on the diagonal. ValueError where all answers are right, or all wrong.
    """
    fig, ax = panels(1, 1, (4.6 if len(judges) <= 3 else 6.6, 3.8))
    for index, (key, (scores, right)) in enumerate(judges.items()):
        scores, right = array(scores).astype(float), array(right).astype(bool)
        if right.all() or not right.any():
            raise ValueError(f"{key}: a judge needs right and wrong answers, got only one kind")
        bars = np.unique(scores)[::-1]
        above = scores[None, :] >= bars[:, None]
        x, y = (np.concatenate([[0.0], above[:, which].mean(1)]) for which in (~right, right))
        ax.plot(x, y, **{**curve_style(key, index, None), "markevery": max(1, len(x) // 8)})
    ax.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=(0, (1, 2)))
    ax.set(xlabel="share of wrong answers above the bar", ylabel="share of right answers above it")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.set_title(title)
    legend(ax, len(judges))
    return fig


@styled
def queues(runs: Mapping[str, tuple[Any, Any]], now: float, per_row: int = 12) -> Figure:
    """Queues of instances side by side after ``now`` seconds: name -> (seconds at which each was answered, is the
    answer right?), both (instances,).

    A pale square waits, a blue one is answered rightly, an orange one with a cross wrongly. First in line is at the
    upper left.
    """
    longest = max(len(array(seconds)) for seconds, _ in runs.values())
    rows = -(-longest // per_row)
    fig, axes = panels(1, len(runs), (3.4 * len(runs), 0.9 + 3.2 * rows / per_row), squeeze=False)
    for ax, (name, (seconds, right)) in zip(axes[0], runs.items(), strict=True):
        seconds, right = array(seconds).astype(float), array(right).astype(bool)
        place = np.arange(len(seconds))
        x, y, done = place % per_row, -(place // per_row), seconds <= now
        for chosen, look in (
            (~done, {"marker": "s", "facecolor": "white", "edgecolor": "#BBBBBB"}),
            (done & right, {"marker": "s", "facecolor": RIGHT, "edgecolor": RIGHT}),
            (done & ~right, {"marker": "X", "facecolor": WRONG, "edgecolor": WRONG}),
        ):
            ax.scatter(x[chosen], y[chosen], s=110, linewidths=1, **look)
        ax.set(xlim=(-0.7, per_row - 0.3), ylim=(0.3 - rows, 0.7), aspect="equal")
        ax.axis("off")
        ended = f", finished at {seconds.max():.1f} s" if done.all() else ""
        ax.set_title(f"{name}: {int(done.sum())} of {len(done)} answered,\n{int((done & right).sum())} rightly{ended}")
    fig.suptitle(f"{now:.1f} s", x=0.02, ha="left", fontsize=12)
    return fig


def residual_panel(ax: Any, residuals: np.ndarray, loop: int, tol: float | None) -> None:
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


def beside_residuals(height: float, residuals: Any, loop: int, tol: float | None) -> tuple[Figure, Any]:
    """A figure of so many inches and the axes for a board; beside it the residuals, if there are any.

    ``residuals`` (loops,) relative steps of the whole run; ``tol`` draws the bar below which the state counts as
    settled.
    """
    if residuals is None:
        fig = Figure(figsize=(4.3, height))
        return fig, fig.subplots()
    fig = Figure(figsize=(7.8, height))
    board, curve = fig.subplots(1, 2, width_ratios=(1.35, 1))
    residual_panel(curve, array(residuals).astype(float), loop, tol)
    return fig, board


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
