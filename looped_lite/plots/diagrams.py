"""A loop block, drawn as boxes and arrows."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from .style import INK, RECALL_COLOURS, line_style, panels, styled


@styled
def block_diagram(recall: str = "internal", norm: str = "post") -> Figure:
    """One loop block as boxes and arrows, for any recall and norm: the stream runs left to right, branches arch over
    it.
    """
    style = line_style(recall, norm)
    colour = style["color"]
    first, last = norm in ("pre", "peri", "sandwich", "gru"), norm in ("post", "sandwich")
    fig, ax = panels(1, 1, (10.0, 3.3))

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
