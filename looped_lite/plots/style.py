"""One visual language: colours, lines and marks, and the ways by which a figure reaches a notebook.
 Colour says where the input comes back (recall), line and marker say where the norm sits, so a figure reads in grey
too. Colours are from the Okabe-Ito palette, which people with any of the common kinds of colour blindness can tell
apart; its orange and its sky blue are darkened here, so that a thin line has a contrast of 3:1 with white.
"""

from __future__ import annotations

import base64
import functools
import html
import io
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

PALETTE = ("#0072B2", "#C88600", "#009E73", "#D55E00", "#3795D0", "#CC79A7", "#555555")
RECALL_COLOURS = {"internal": "#0072B2", "external": "#C88600", "none": "#555555", "fixed": "#CC79A7"}
NORM_COLOURS = {"post": "#0072B2", "sandwich": "#C88600", "pre": "#D55E00", "peri": "#009E73", "gru": "#555555"}
NORM_LINES = {"post": "-", "sandwich": "-.", "pre": ":", "peri": (0, (4, 2)), "gru": (0, (9, 3))}
NORM_MARKERS = {"post": "o", "sandwich": "D", "pre": "v", "peri": "s", "gru": "^"}
RIGHT, WRONG = "#0072B2", "#D55E00"
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


def line_style(recall: str, norm: str = "post", by: str = "recall") -> dict[str, Any]:
    """The line that stands for a variant everywhere in the course: ``color``, ``linestyle``, ``marker``, ``label``.

    Where all curves of a panel have the same recall, ``by="norm"`` takes the colour from the norm instead. ValueError
    for a name that is unknown.
    """
    if recall not in RECALL_COLOURS:
        raise ValueError(f"unknown recall {recall!r}: expected one of {', '.join(RECALL_COLOURS)}")
    if norm not in NORM_LINES:
        raise ValueError(f"unknown norm {norm!r}: expected one of {', '.join(NORM_LINES)}")
    if by not in ("recall", "norm"):
        raise ValueError(f"colours go by recall or by norm, got {by!r}")
    label = "fixed, no loop" if recall == "fixed" else f"{recall} + {norm}"
    return {
        "color": RECALL_COLOURS[recall] if by == "recall" else NORM_COLOURS[norm],
        "linestyle": NORM_LINES[norm],
        "marker": NORM_MARKERS[norm],
        "label": label,
    }


def shades(n: int) -> list[tuple[float, ...]]:
    """``n`` colours from light to dark, for curves that differ by a quantity such as length."""
    colours = matplotlib.colormaps["viridis"]
    return [colours(0.82 - 0.82 * i / max(1, n - 1)) for i in range(n)]


def array(values: Any) -> np.ndarray:
    """Tensors (on any device, with or without gradient), lists and arrays as an array."""
    if isinstance(values, Sequence) and len(values) and hasattr(values[0], "detach"):
        values = [array(value) for value in values]
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def curve_style(key: Hashable, index: int, styles: Mapping[Hashable, Mapping[str, Any]] | None) -> dict[str, Any]:
    """The line for a curve: by variant if its key names one, ``("internal", "post")`` or ``"internal-post"``; else by
    turn.
    """
    parts = key.replace(" + ", "-").split("-") if isinstance(key, str) else key
    if isinstance(parts, Sequence) and len(parts) == 2 and parts[0] in RECALL_COLOURS and parts[1] in NORM_LINES:
        style = line_style(*parts)
    else:
        lines, marks = list(NORM_LINES.values()), "oDvs^"
        style = {"color": PALETTE[index % len(PALETTE)], "linestyle": lines[index % 5], "marker": marks[index % 5]}
        style["label"] = str(key)
    return {**style, **(styles or {}).get(key, {})}


def panels(rows: int, columns: int, size: tuple[float, float], **subplots: Any) -> tuple[Figure, Any]:
    fig = Figure(figsize=size)
    return fig, fig.subplots(rows, columns, **subplots)


def legend(ax: Any, handles: int) -> None:
    """Outside on the right where there are many curves, so that it covers none."""
    if handles > 3:
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    elif handles:
        ax.legend(loc="best")


def plain_log(axis: Any, values: Sequence[float]) -> None:
    """Write 16, 32, 64 on a logarithmic axis instead of powers of two."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    if 0 < len(values) <= 8:
        axis.set_ticks(sorted(set(values)))


def soft(kind: int) -> tuple[float, ...]:
    """A palette colour, lighter each time the palette comes round again, so that areas are not glaring."""
    lift = 0.25 + 0.25 * (kind // len(PALETTE) % 2)
    return tuple(1 - (1 - part) * (1 - lift) for part in matplotlib.colors.to_rgb(PALETTE[kind % len(PALETTE)]))


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


def gif(figures: Sequence[Figure], seconds: float = 6.0, scale: float = 1.0) -> bytes:
    """Figures of one size as an animated GIF that runs for ``seconds`` and rests on the last one; after three rounds it
    stops there.

    Drawn smaller than ``scale`` where it would take more than a megabyte. ValueError without figures.
    """
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
    images[0].save(out, "GIF", save_all=True, append_images=images[1:], duration=times, loop=2, optimize=True)
    if len(out.getvalue()) > 1_000_000 and scale > 0.4:
        return gif(figures, seconds, 0.7 * scale)
    return out.getvalue()
