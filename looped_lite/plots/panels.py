"""Figures of any numbers, in one panel or several side by side: lines, bars with a dot for each seed, heat maps."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from .style import INK, PALETTE, array, curve_style, panels, styled

Curves = Mapping[Hashable, tuple[Any, Any]]
Looks = Mapping[Hashable, Mapping[str, Any]]


def each(value: Any, count: int) -> list[Any]:
    """A setting for each of so many panels: a list or tuple has one for each, anything else is for all."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"expected one setting for each of {count} panels, got {len(value)}")
    return list(value)


@styled
def lines(
    curves: Curves | Sequence[Curves],
    x_label: str | Sequence[str] = "loop",
    y_label: str | Sequence[str] = "",
    title: str | Sequence[str] = "",
    log: str | Sequence[str] = "",
    ticks: Any = None,
    y_limits: Any = None,
    styles: Looks | None = None,
    marks: Mapping[str, float] | None = None,
    level: float | None = None,
    size: tuple[float, float] | None = None,
    share_y: bool = False,
) -> Figure:
    """Curves by name, ``(x, y)`` each, in one panel or, given a list of such mappings, in several side by side with one
    legend.

    ``x`` (places,); ``y`` (places,), or (seeds, places): then the mean is drawn thick and each seed thin. A label,
    title or ``log`` ("x", "y" or "xy") may be a list, one for each panel. ``ticks`` are the numbers to write on the x
    axis, ``y_limits`` (low, high), ``styles`` overrides line properties by name, ``marks`` draws dotted vertical lines
    with a name, ``level`` a dotted horizontal one.
    """
    parts = [curves] if isinstance(curves, Mapping) else list(curves)
    count = len(parts)
    fig, axes = panels(1, count, size or ((7.6, 3.4) if count == 1 else (9.6, 3.2)), sharey=share_y, squeeze=False)
    known: dict[str, Any] = {}
    per_panel = (each(x_label, count), each(y_label, count), each(title, count), each(log, count))
    for ax, part, x_name, y_name, name, logs in zip(axes[0], parts, *per_panel, strict=True):
        for key, (x, y) in part.items():
            style = curve_style(key, list(part).index(key), styles)
            x, y = array(x).astype(float), array(y).astype(float)
            if y.shape[-1:] != x.shape:
                raise ValueError(f"curve {key!r} has {len(x)} places but values of shape {y.shape}")
            if len(x) > 12:
                style.setdefault("markevery", _sparse(x, "x" in logs))
            for seed in y if y.ndim == 2 else ():
                ax.plot(x, seed, color=style["color"], linestyle=style["linestyle"], linewidth=0.8, alpha=0.45)
            (known[style["label"]],) = ax.plot(x, y.mean(0) if y.ndim == 2 else y, **style)
        if level is not None:
            ax.axhline(level, color="#999999", linewidth=1, linestyle=(0, (1, 2)))
        ax.set(xlabel=x_name, ylabel="" if share_y and ax is not axes[0, 0] else y_name)
        finish(ax, name, logs, ticks, y_limits, marks or {})
    known = {name: line for name, line in known.items() if not name.startswith("_")}
    if count == 1 and len(known) > 3:
        axes[0, 0].legend(known.values(), known, loc="center left", bbox_to_anchor=(1.01, 0.5))
    elif count == 1 and len(known) > 1:
        axes[0, 0].legend(known.values(), known)
    elif len(known) > 1:
        fig.legend(known.values(), known, loc="outside right center")
    return fig


def finish(ax: Any, title: str, log: str, ticks: Any, y_limits: Any, marks: Mapping[str, float]) -> None:
    """Title, scales, ticks, limits and marked places of one panel."""
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")
    if ticks is not None:
        ax.set_xticks(list(ticks), [f"{tick:,g}" for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    if y_limits is not None:
        ax.set_ylim(y_limits)
    for text, place in marks.items():
        ax.axvline(place, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        ax.annotate(text, (place, 1.0), (3, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
                    fontsize=9, color=INK, annotation_clip=False)  # fmt: skip
    ax.set_title(title, pad=16 if marks else 6)


def _sparse(x: np.ndarray, log: bool) -> list[int]:
    """About eight places of a long curve for its marks, evenly along the axis."""
    wanted = np.geomspace(max(x[0], 1e-12), x[-1], 8) if log and x[0] > 0 else np.linspace(x[0], x[-1], 8)
    return sorted({int(np.abs(x - place).argmin()) for place in wanted})


@styled
def seed_bars(
    groups: Mapping[str, Mapping[str, Any]], y_label: str, title: str = "", level: float | None = None, legend: str = ""
) -> Figure:
    """Bars beside each other in groups: group -> name -> (seeds,) numbers; a bar is their mean, a dot each of them."""
    names = list(next(iter(groups.values())))
    fig, ax = panels(1, 1, (7.8, 3.4))
    wide, hatches, colours = 0.8 / len(names), ("", "//", "..", "xx"), (2, 4, 5, 3)  # not the colours of recall
    for i, name in enumerate(names):
        places = [j + wide * (i - (len(names) - 1) / 2) for j in range(len(groups))]
        values = [np.atleast_1d(array(group[name]).astype(float)) for group in groups.values()]
        look = {"color": PALETTE[colours[i % 4]], "hatch": hatches[i % 4], "edgecolor": "white"}
        ax.bar(places, [part.mean() for part in values], 0.95 * wide, label=name, **look)
        for place, part in zip(places, values, strict=True):
            ax.plot([place] * len(part), part, linestyle="", marker="o", markersize=3.5, color=INK)
    if level is not None:
        ax.axhline(level, color=INK, linewidth=1, linestyle=(0, (1, 2)))
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set(ylabel=y_label, ylim=(0, 1.05))
    ax.set_title(title)
    ax.grid(axis="x", visible=False)
    ax.legend(title=legend, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return fig


@styled
def heat_maps(
    images: Mapping[str, Any],
    x_label: str = "cell",
    y_label: str = "loop",
    colour_label: str = "",
    limits: tuple[float, float] | str | None = None,
    corner: tuple[float, float] = (0, 0),
    upwards: bool = True,
    colours: str = "cividis",
    paths: Mapping[str, Sequence[tuple[Any, Any]]] | None = None,
    size: tuple[float, float] | None = None,
    square: bool = False,
) -> Figure:
    """Tables of numbers as colours, side by side: name -> (rows, columns). NaN is grey.

    ``limits`` of the colours for all of them (then there is one colour bar), or "around 0" for each of them its own;
    ``corner`` is the (column, row) number of the first entry, ``upwards`` whether rows are counted from the bottom.
    ``paths`` are dashed lines over one, by name: (x, y) each.
    """
    tables = {name: array(values).astype(float) for name, values in images.items()}
    size = size or ((7.2, 3.0) if len(tables) == 1 else (9.2, 3.2))
    fig, axes = panels(1, len(tables), size, sharey=True, squeeze=False)
    shades = matplotlib.colormaps[colours].with_extremes(bad="#E9E9E9")
    for ax, (name, values) in zip(axes[0], tables.items(), strict=True):
        rows, columns = values.shape
        left, low = corner[0] - 0.5, corner[1] - 0.5
        extent = (left, left + columns, *((low, low + rows) if upwards else (low + rows, low)))
        most = float(np.nanmax(np.abs(values)))
        low_high = (-most, most) if limits == "around 0" else limits or (np.nanmin(values), np.nanmax(values))
        image = ax.imshow(values, origin="lower" if upwards else "upper", extent=extent, cmap=shades, vmin=low_high[0],
                          vmax=low_high[1], aspect="equal" if square else "auto", interpolation="nearest")  # fmt: skip
        for x, y in (paths or {}).get(name, ()):
            ax.plot(x, y, color="#D55E00" if np.isnan(values).any() else "white", linestyle="--", linewidth=1.4)
        ax.set(xlabel=x_label, xlim=extent[:2], ylim=extent[2:])
        ax.set_title(name)
        ax.grid(False)
        if not isinstance(limits, tuple):
            fig.colorbar(image, ax=ax, label=colour_label, shrink=0.85 if square else 1.0)
    if isinstance(limits, tuple):
        fig.colorbar(image, ax=list(axes[0]), label=colour_label)
    axes[0, 0].set_ylabel(y_label)
    return fig
