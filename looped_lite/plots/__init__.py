"""The course's pictures: one visual language, and one function for each kind of figure. Figures of numbers only: no
task is known here.
 Every function takes arrays or tensors and returns a matplotlib ``Figure``; nothing is drawn on screen and nothing is
left behind in pyplot. `show` puts a figure into the notebook with alt text and a caption.
 `style` holds colours and lines and the ways into a notebook; `curves`, `panels`, `states`, `maps` and `diagrams` draw.
 How the
instances of a task look is in `looped_lite.boards`.
"""

from .curves import (
    accuracy_curves,
    answers_over_loops,
    cells_over_loops,
    live_training,
    loops_needed,
    queues,
    residual_curves,
    roc_curves,
    seed_dots,
    state_norms,
    training_curves,
)
from .diagrams import block_diagram
from .maps import cobweb, ends_over_plane, line_basins, stability_regions, visited
from .panels import heat_maps, lines, seed_bars
from .states import Plane, basin_map, eigenvalues, pca_plane, plane_of, project, trajectories, trajectory_gif
from .style import (
    INK,
    NORM_COLOURS,
    NORM_LINES,
    NORM_MARKERS,
    PALETTE,
    RECALL_COLOURS,
    RIGHT,
    STYLE,
    WRONG,
    gif,
    line_style,
    picture_html,
    png,
    shades,
    show,
    use_style,
)

__all__ = [
    "INK",
    "NORM_COLOURS",
    "NORM_LINES",
    "NORM_MARKERS",
    "PALETTE",
    "RECALL_COLOURS",
    "RIGHT",
    "STYLE",
    "WRONG",
    "Plane",
    "accuracy_curves",
    "answers_over_loops",
    "basin_map",
    "block_diagram",
    "cells_over_loops",
    "cobweb",
    "eigenvalues",
    "ends_over_plane",
    "gif",
    "heat_maps",
    "line_basins",
    "line_style",
    "lines",
    "live_training",
    "loops_needed",
    "pca_plane",
    "picture_html",
    "plane_of",
    "png",
    "project",
    "queues",
    "residual_curves",
    "roc_curves",
    "seed_bars",
    "seed_dots",
    "shades",
    "show",
    "stability_regions",
    "state_norms",
    "training_curves",
    "trajectories",
    "trajectory_gif",
    "use_style",
    "visited",
]
