"""Figures of maps of one number: cobwebs, the ends of all starts on a line, and the two stability regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .style import INK, PALETTE, RECALL_COLOURS, array, panels, soft, styled


def _scalar_map(f: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """``f`` at many numbers, whether it was written for tensors of shape (batch, 1), for arrays, or for one float."""
    import torch

    try:
        y = array(f(torch.as_tensor(x, dtype=torch.float64)[:, None])).astype(float)
        if y.size == x.size:
            return y.ravel()
    except (TypeError, ValueError, RuntimeError, AttributeError):
        pass
    return np.array([float(f(float(value))) for value in x])


def line_basins(
    f: Callable[[Any], Any], starts: Any, loops: int = 300, tol: float = 1e-4
) -> tuple[np.ndarray, list[float]]:
    """Which fixed point each start of a map of one number reaches: ``(ends, points)``, ends (n,) index into points, or
    -1 for none.
    """
    z = array(starts).astype(float).ravel()
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
    """Repeat a map of one number: left the cobweb (up to the curve, across to the diagonal), right the value at each
    loop.

    ``f`` may be written for tensors, arrays or floats. Orbits that leave ten times the limits are cut there. ``basins``
    adds a strip along the bottom that colours each start by the fixed point it reaches (white: none), which crosses
    mark.
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
    fig, (left, right) = panels(1, 2, (8.6, 3.7), width_ratios=(1, 1.15))
    left.plot(grid, grid, color="#999999", linewidth=1.2, linestyle=(0, (4, 2)), label="z")
    left.plot(grid, _scalar_map(f, grid), color=PALETTE[0], label=name)
    web = np.repeat(orbit, 2)
    left.plot(web[:-1], np.concatenate([[orbit[0]], web[2:]]), color=PALETTE[3], linewidth=1.0, alpha=0.9)
    left.plot(orbit[0], orbit[0], marker="o", color="white", markeredgecolor=PALETTE[3], markersize=7)
    if basins:
        ends, points = line_basins(f, grid)
        colours = np.array([(1.0, 1.0, 1.0), *(soft(kind + 1)[:3] for kind in range(len(points)))])
        strip = (low, high, low, low + 0.05 * (high - low))
        left.imshow(colours[ends + 1][None], extent=strip, aspect="auto", interpolation="nearest", zorder=2)
        for kind, point in enumerate(points):
            left.plot(point, point, linestyle="", marker="X", markersize=9, color=soft(kind + 1), markeredgecolor=INK)
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
    fig, axes = panels(1, 2, (8.6, 3.9), sharex=True, sharey=True)
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
            path = array(paths[recall]).astype(float)
            ax.plot(*path.T, color=INK, linewidth=1.2, marker=".", markersize=4)
        ax.grid(False)
        ax.set(xlabel="x, weight on the state", ylabel="y, gain of the branch")
        ax.set(aspect="equal", xlim=(-limit, limit), ylim=(-limit, limit))
        ax.set_title(f"{recall} recall: {formulas[recall]}")
    if start:
        axes[1].legend(loc="lower right", handlelength=1)
    return fig


@styled
def visited(x: Any, states: Any, x_label: str, y_label: str, marked: Mapping[str, float] | None = None) -> Figure:
    """Which numbers late orbits visit, for many settings of a map: ``states`` (loops, settings) over ``x`` (settings,),
    with some of ``x`` named.
    """
    x, states = array(x).astype(float), array(states).astype(float)
    fig, ax = panels(1, 1, (7.2, 3.4))
    places = np.broadcast_to(x, states.shape).ravel()
    ax.plot(places, states.ravel(), linestyle="", marker=".", markersize=1, color=PALETTE[0], alpha=0.35)
    for name, value in (marked or {}).items():
        ax.axvline(value, color=PALETTE[3], linewidth=1, linestyle=(0, (3, 2)))
        ax.annotate(name, (value, 1.01), xycoords=("data", "axes fraction"), ha="center", fontsize=9, color=INK,
                    annotation_clip=False)  # fmt: skip
    ax.set(xlabel=x_label, ylabel=y_label, ylim=(0, 1))
    return fig


END_COLOURS = {"fixed point": "#0072B2", "cycle": "#E69F00", "wandering": "#CC79A7", "diverging": "#E2E2E2"}


@styled
def ends_over_plane(
    ends: Mapping[str, Sequence[str]],
    extent: tuple[float, float, float, float],
    x_label: str,
    y_label: str,
    star: tuple[float, float] | None = None,
) -> Figure:
    """How loops end, over a square grid of two settings, four maps by name: each a list of the kinds of `classify_end`,
    row by row from below.

    ``extent`` is (left, right, bottom, top), ``star`` marks a place.
    """
    fig, axes = panels(2, 2, (7.6, 6.2), sharex=True, sharey=True)
    colours = {kind: matplotlib.colors.to_rgb(colour) for kind, colour in END_COLOURS.items()}
    for ax, (name, kinds) in zip(axes.flat, ends.items(), strict=True):
        side = round(len(kinds) ** 0.5)
        image = np.array([colours[kind] for kind in kinds]).reshape(side, side, 3)
        ax.imshow(image, origin="lower", extent=extent, aspect="equal", interpolation="nearest")
        if star is not None:
            ax.plot(*star, marker="*", markersize=13, color=INK, markeredgecolor="white")
        ax.set(xlabel=x_label, ylabel=y_label)
        ax.set_title(name)
        ax.grid(False)
    patches = [Patch(color=colour, label=kind) for kind, colour in END_COLOURS.items()]
    fig.legend(handles=patches, loc="outside right center")
    return fig
