"""Figures of states: planes through state space, paths in them, eigenvalues, basins."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch

from .style import INK, PALETTE, array, curve_style, gif, panels, soft, styled


class Plane(NamedTuple):
    """A plane through state space: ``centre`` (d,), orthonormal ``axes`` (2, d), and the share of variance it shows."""

    centre: np.ndarray
    axes: np.ndarray
    share: float


def _flat(states: Any) -> np.ndarray:
    """(loops, batch, ...) -> (loops, batch, d)."""
    states = array(states).astype(float)
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


def plane_of(states: Any, centre: Any, axes: Any) -> Plane:
    """The plane with this ``centre`` (d,) and these orthonormal ``axes`` (2, d), with the share of the variance of
    ``states`` that it shows."""
    centre, axes = array(centre).astype(float), array(axes).astype(float)
    points = _flat(states) - centre
    return Plane(centre, axes, float(((points @ axes.T) ** 2).sum() / max((points**2).sum(), 1e-12)))


def project(states: Any, plane: Plane) -> np.ndarray:
    """Where ``states`` (loops, batch, ...) lie in the plane: (loops, batch, 2)."""
    return (_flat(states) - plane.centre) @ plane.axes.T


def _paths(ax: Any, paths: np.ndarray, groups: np.ndarray, upto: int, names: Sequence[str] | None) -> None:
    """Draw paths (loops + 1, batch, 2) up to a loop: thin lines, a ring at the start, a filled mark at the end."""
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

    ``states`` (loops + 1, batch, ...) as in ``Trajectory.states``; ``groups`` (batch,) says which input each path
    belongs to (one colour and mark each); ``plane`` from `pca_plane` (fitted to ``states`` if left out); ``window`` is
    (left, right, bottom, top), else it holds every loop, so that pictures at several ``upto`` line up.
    """
    plane = plane or pca_plane(states)
    paths = project(states, plane)
    groups = np.zeros(paths.shape[1], int) if groups is None else array(groups)
    upto = len(paths) - 1 if upto is None else upto
    fig, ax = panels(1, 1, (6.2, 4.4))
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
    """`trajectories` loop by loop as an animated GIF (bytes, for `show`): early loops one by one, later ones in
    strides.
    """
    plane = plane or pca_plane(states)
    last = len(states) - 1
    loops = sorted({round(i) for i in np.geomspace(1, last + 1, min(frames, last + 1)) - 1} | {0, last})
    return gif([trajectories(states, groups, plane, loop, names) for loop in loops], seconds, scale)


@styled
def eigenvalues(
    spectra: Mapping[Hashable, Any],
    title: str = "",
    styles: Mapping[Hashable, Mapping[str, Any]] | None = None,
    limit: float | None = None,
) -> Figure:
    """Eigenvalues in the complex plane with the unit circle: inside it a linear loop forgets, outside it grows.

    ``spectra`` maps a name or variant to any shape of complex (or real) numbers. ``limit`` is the half width of the
    axes.
    """
    fig, ax = panels(1, 1, (6.8, 4.2))
    ax.add_patch(Circle((0, 0), 1, facecolor="#F6F6F6", linewidth=0, zorder=0))
    ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor=INK, linewidth=1.1, zorder=1))
    largest = 1.0
    for index, (key, values) in enumerate(spectra.items()):
        values = array(values).ravel()
        style = curve_style(key, index, styles)
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
    path: Any = None,
    most: int | None = None,
    x_label: str = "first coordinate of the start",
    y_label: str = "second coordinate of the start",
    title: str = "",
) -> Figure:
    """Which end each start of a 2-D slice reaches. ``ends`` (rows, columns) of small integers, row 0 at the bottom; -1
    for none.

    ``extent`` is (left, right, bottom, top) of the slice, ``points`` (n, 2) marks fixed points, ``path`` (loops + 1, 2)
    is an orbit to draw over it, its start as a ring. With ``most``, ends beyond the first so many share a colour.
    """
    ends = array(ends).astype(int)
    if most is not None:
        ends = np.minimum(ends, most)
        names = {most: "other ends", **(names if isinstance(names, Mapping) else {})}
    kinds = sorted(set(ends.ravel().tolist()))
    colours = {kind: "#FFFFFF" if kind < 0 else matplotlib.colors.to_hex(soft(kind)) for kind in kinds}
    lookup = np.array([matplotlib.colors.to_rgb(colours[kind]) for kind in kinds])
    fig, ax = panels(1, 1, (5.9, 4.2))
    image = lookup[np.searchsorted(kinds, ends)]
    ax.imshow(image, origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    if points is not None:
        ax.plot(*array(points).reshape(-1, 2).T, linestyle="", marker="X", markersize=9, color="white",
                markeredgecolor=INK)  # fmt: skip
    if path is not None:
        steps = array(path).astype(float)
        ax.plot(*steps.T, color=INK, marker="o", markersize=3.5, linewidth=1.1)
        ax.plot(*steps[0], color="white", marker="o", markersize=9, markeredgecolor=INK)
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
