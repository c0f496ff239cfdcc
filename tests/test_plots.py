"""Figures say what they should, leave nothing behind, and reach the notebook with their descriptions."""

import io
import itertools
import math

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from looped_lite import plots
from looped_lite.blocks import NORMS, RECALLS
from looped_lite.intervals import band, wilson

rng = np.random.default_rng(0)
STATES = torch.randn(12, 6, 5, 8, generator=torch.Generator().manual_seed(0))  # (loops + 1, batch, cells, width)


def every_figure():
    """(name, function that draws it) for each kind of figure, with small inputs."""
    loops = [1, 2, 4, 8]
    right = {n: torch.arange(50) < 6 * n for n in loops}
    steps = torch.rand(30, 7) * 0.8 ** torch.arange(30)[:, None]
    history = {"loss": [1.0, 0.5, 0.2] * 20, "level": [4, 4, 8] * 20, "running": [0.1, 0.5, 0.9] * 20}
    return {
        "accuracy_curves": lambda: plots.accuracy_curves({("internal", "post"): right}, trained=4, chance=0.5),
        "residual_curves": lambda: plots.residual_curves({"none-pre": steps}, tol=1e-4),
        "state_norms": lambda: plots.state_norms({"external + gru": steps}),
        "training_curves": lambda: plots.training_curves(history),
        "trajectories": lambda: plots.trajectories(STATES, [0, 0, 1, 1, 2, 2]),
        "eigenvalues": lambda: plots.eigenvalues({"a": torch.linalg.eigvals(torch.randn(8, 8))}),
        "basin_map": lambda: plots.basin_map([[0, 1], [-1, 1]], (0, 1, 0, 1), points=[[0.2, 0.3]]),
        "cobweb": lambda: plots.cobweb(torch.cos, 1.0, basins=True),
        "stability_regions": lambda: plots.stability_regions(paths={"internal": [[1, 0], [0.8, -0.4]]}),
        "answers_over_loops": lambda: plots.answers_over_loops(torch.rand(9, 20), reach=2),
        "cells_over_loops": lambda: plots.cells_over_loops({"none-pre": 9 * steps}),
        "lines": lambda: plots.lines(
            [{("none", "pre"): (loops, rng.random((3, 4)))}, {"b": (range(1, 31), steps[:, 0])}],
            ["loops", "steps"],
            ["share", "size"],
            log=["x", "y"],
            marks={"here": 4},
            level=0.5,
        ),
        "visited": lambda: plots.visited(loops, rng.random((9, 4)), "r", "states", {"here": 2}),
        "ends_over_plane": lambda: plots.ends_over_plane(
            {name: ["cycle", "fixed point"] * 2 for name in "abcd"}, (0, 1, 0, 1), "x", "y", (0, 0)
        ),
        "seed_bars": lambda: plots.seed_bars({"a": {"zeros": [0.1, 0.3]}, "b": {"zeros": [0.5]}}, "share", level=0.5),
        "heat_maps": lambda: plots.heat_maps({"a": steps, "b": steps.log()}, "cell", "loop", "size", (-9.0, 1.0)),
        "loops_needed": lambda: plots.loops_needed(torch.rand(9), torch.arange(9.0), [0, 0.5, 1], [2, 4]),
        "roc_curves": lambda: plots.roc_curves({"residual": (torch.rand(9), torch.arange(9) > 3)}),
        "queues": lambda: plots.queues(
            {"fixed": (torch.rand(9), torch.arange(9) > 3), "adaptive": ([1, 2], [True, False])}, 0.5
        ),
        "seed_dots": lambda: plots.seed_dots({("internal", "post"): [0.1, 0.2], "other": [0.3]}, "accuracy"),
        "block_diagram": lambda: plots.block_diagram("internal", "sandwich"),
    }


@pytest.mark.parametrize("name", every_figure())
def test_a_figure_is_drawn_and_leaves_nothing_behind(name):
    settings = dict(matplotlib.rcParams)
    fig = every_figure()[name]()
    assert isinstance(fig, Figure)
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == settings
    for ax in fig.axes:
        assert (
            not ax.axison
            or ((ax.get_xlabel() or name.startswith("seed_")) and (ax.get_ylabel() or name == "heat_maps"))
            or ax.get_label() == "<colorbar>"
        ), "an axis has no label"
    data = plots.png(fig)
    width, height = Image.open(io.BytesIO(data)).size
    assert (width, height) == pytest.approx(192 * fig.get_size_inches(), abs=1)
    assert len(data) < 150_000
    assert dict(matplotlib.rcParams) == settings


def test_drawing_does_not_change_its_inputs():
    steps = torch.rand(10, 3)
    steps[4] = 0
    before = steps.clone()
    plots.png(plots.residual_curves({"a": steps}))
    assert torch.equal(steps, before)


def contrast(colour):
    """The contrast of a colour with white, as WCAG 2 defines it: from 1 to 21."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in matplotlib.colors.to_rgb(colour)]
    return 1.05 / (np.dot(parts, [0.2126, 0.7152, 0.0722]) + 0.05)


def test_lines_have_contrast_with_white():
    colours = {*plots.PALETTE, *plots.RECALL_COLOURS.values(), *plots.NORM_COLOURS.values(), plots.RIGHT, plots.WRONG}
    assert min(map(contrast, colours)) >= 3, {colour: contrast(colour) for colour in colours}


def test_norms_of_one_recall_can_be_told_apart_by_colour_too():
    styles = [plots.line_style("internal", norm, by="norm") for norm in NORMS]
    for part in ("color", "linestyle", "marker"):
        assert len({str(style[part]) for style in styles}) == len(NORMS)
    with pytest.raises(ValueError, match="recall or by norm, got 'seed'"):
        plots.line_style("internal", "post", by="seed")


def test_variants_can_be_told_apart():
    styles = [plots.line_style(recall, norm) for recall, norm in itertools.product(RECALLS, NORMS)]
    looks = {(style["color"], str(style["linestyle"]), style["marker"]) for style in styles}
    assert len(looks) == len(styles) == len({style["label"] for style in styles})
    grey = {
        recall: np.dot(matplotlib.colors.to_rgb(plots.RECALL_COLOURS[recall]), [0.299, 0.587, 0.114])
        for recall in RECALLS
    }
    assert abs(grey["internal"] - grey["external"]) > 0.2 and abs(grey["none"] - grey["external"]) > 0.2


@pytest.mark.parametrize("recall, norm, word", [("inner", "post", "inner"), ("none", "outer", "outer")])
def test_an_unknown_variant_is_named(recall, norm, word):
    with pytest.raises(ValueError, match=f"unknown .*{word}.*expected one of"):
        plots.line_style(recall, norm)


# ---------------------------------------------------------------- intervals


def test_wilson_against_known_values():
    low, high = wilson(10, 10)
    assert (float(low), float(high)) == pytest.approx((0.7225, 1.0), abs=1e-4)
    low, high = wilson(0, 10)
    assert (float(low), float(high)) == pytest.approx((0.0, 0.2775), abs=1e-4)
    low, high = wilson([5, 50, 500], [10, 100, 1000])
    assert low + high == pytest.approx(np.ones(3))  # symmetric about a half
    assert (np.diff(high - low) < 0).all()  # and narrower with more trials


def test_wilson_covers_the_truth_about_as_often_as_it_says():
    for share in (0.05, 0.5, 0.98):
        low, high = wilson(rng.binomial(60, share, 4000), np.full(4000, 60))
        assert 0.91 < ((low <= share) & (share <= high)).mean() < 0.99


@pytest.mark.parametrize("successes, n", [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError, match=r"trial|between 0 and n"):
        wilson(successes, n)


def test_band_holds_the_middle_share():
    middle, low, high = band(np.arange(101.0), 0.8)
    assert (middle, low, high) == pytest.approx((50, 10, 90))


# ---------------------------------------------------------------- data in, lines out


def line(fig, index=0):
    return fig.axes[0].lines[index].get_xydata()


def test_all_forms_of_an_accuracy_curve_draw_the_same_line():
    right = {4: torch.arange(10) < 5, 2: torch.arange(10) < 2}
    forms = [
        right,
        {2: 0.2, 4: 0.5},
        {4: torch.tensor([0.4, 0.6]), 2: torch.tensor([0.2, 0.2])},
        ([2, 4], [0.2, 0.5]),
        (torch.tensor([2, 4]), torch.tensor([[0.1, 0.4], [0.3, 0.6]])),
        ([2, 4], [0.2, 0.5], [0.1, 0.4], [0.3, 0.6]),
    ]
    for form in forms:
        assert line(plots.accuracy_curves({"x": form})) == pytest.approx(np.array([[2, 0.2], [4, 0.5]]))


def test_a_curve_whose_places_and_values_do_not_fit_is_refused():
    with pytest.raises(ValueError, match="3 places"):
        plots.accuracy_curves({"x": ([1, 2, 3], [0.1, 0.2])})


def test_a_residual_of_zero_is_left_out_and_the_median_drawn():
    steps = torch.tensor([[1.0, 3.0, 5.0], [0.1, 0.3, 0.5], [0.0, 0.0, 0.0]])
    assert line(plots.residual_curves({"x": steps})) == pytest.approx(np.array([[1, 3], [2, 0.3]]))
    assert len(plots.png(plots.residual_curves({"x": torch.zeros(5, 2)}))) > 0  # nothing left: still a figure


def test_known_variants_get_their_line_in_every_spelling():
    for key in [("external", "peri"), "external-peri", "external + peri"]:
        drawn = plots.state_norms({key: [1.0, 2.0]}).axes[0].lines[0]
        assert drawn.get_color() == plots.RECALL_COLOURS["external"] and drawn.get_marker() == "s"


@pytest.mark.parametrize("recall, norm", list(itertools.product(RECALLS, NORMS)))
def test_every_block_can_be_drawn_with_its_own_parts(recall, norm):
    words = [text.get_text() for text in plots.block_diagram(recall, norm).axes[0].texts]
    norms = {"pre": 2, "peri": 4, "post": 2, "sandwich": 4, "gru": 2}
    assert words.count("N") == norms[norm]
    assert words.count("gate") == 2 * (norm == "gru")
    assert sum("Wh h" in word for word in words) == {"none": 0, "external": 1, "internal": 2}[recall]


# ---------------------------------------------------------------- planes and maps


@pytest.mark.parametrize("points, channels", [(40, 300), (900, 12)])
def test_pca_finds_the_plane_that_the_states_lie_in(points, channels):
    basis = np.linalg.qr(rng.normal(size=(channels, 2)))[0].T
    where = rng.normal(size=(points // 4, 4, 2)) * [5, 2]
    states = where @ basis + 3.0
    plane = plots.pca_plane(states)
    assert plane.share == pytest.approx(1)
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=1e-6)
    flat = plots.project(states, plane)
    assert flat @ plane.axes + plane.centre == pytest.approx(states, abs=1e-6)
    assert flat[..., 0].var() > flat[..., 1].var()


def test_pca_agrees_with_the_singular_value_decomposition():
    states = STATES.flatten(0, 1).flatten(1)
    _, values, _ = torch.linalg.svd(states - states.mean(0))
    share = float(values[:2].square().sum() / values.square().sum())
    assert plots.pca_plane(STATES).share == pytest.approx(share, rel=1e-4)


def test_pca_of_states_that_all_agree_or_have_one_channel():
    assert np.isfinite(plots.project(np.ones((3, 2, 5)), plots.pca_plane(np.ones((3, 2, 5))))).all()
    assert plots.project(rng.normal(size=(5, 2, 1)), plots.pca_plane(rng.normal(size=(5, 2, 1)))).shape == (5, 2, 2)


def test_pca_refuses_what_has_no_plane():
    with pytest.raises(ValueError, match="NaN"):
        plots.pca_plane(np.full((3, 2, 4), math.nan))
    with pytest.raises(ValueError, match=r"\(loops, batch"):
        plots.pca_plane(np.zeros((3, 2)))


def test_gif_moves_and_is_small():
    data = plots.trajectory_gif(STATES, [0, 0, 1, 1, 2, 2], frames=6)
    image = Image.open(io.BytesIO(data))
    assert image.n_frames >= 5 and len(data) < 1_000_000
    first = np.asarray(image.convert("RGB"))
    image.seek(image.n_frames - 1)
    assert (first != np.asarray(image.convert("RGB"))).any()


def area(colour):
    """A figure filled with one colour."""
    fig = Figure(figsize=(2, 1))
    fig.subplots().set(facecolor=colour, xticks=[], yticks=[])
    return fig


def test_gif_keeps_colours_that_only_some_frames_have_and_stops_after_three_rounds():
    image = Image.open(io.BytesIO(plots.gif([area(plots.WRONG), *[area(plots.RIGHT)] * 2])))
    pixels = np.asarray(image.convert("RGB")).astype(int)
    assert ((pixels[..., 0] - pixels[..., 2]) > 100).mean() > 0.5, "the orange of the first frame is gone"
    assert image.info["loop"] == 2  # twice more
    with pytest.raises(ValueError, match="at least one figure"):
        plots.gif([])


@pytest.mark.slow
def test_gif_is_drawn_smaller_where_it_would_take_a_megabyte():
    def noise(seed):
        fig = Figure(figsize=(14, 9))
        fig.subplots().imshow(np.random.default_rng(seed).random((600, 900)), cmap="viridis")
        return fig

    data = plots.gif([noise(seed) for seed in range(3)])
    assert Image.open(io.BytesIO(data)).size[0] < 14 * 96 and len(data) < 1_000_000


def test_basins_of_maps_with_known_ends():
    starts = np.linspace(-2, 2, 100)  # 0, which is not attracting, is not among them
    ends, points = plots.line_basins(lambda z: 2 * torch.tanh(z), starts)
    assert points == pytest.approx([-1.915, 1.915], abs=1e-3)
    assert (ends == (starts > 0)).all()
    ends, points = plots.line_basins(math.cos, starts)  # a map of floats
    assert points == pytest.approx([0.739], abs=1e-3) and (ends == 0).all()
    ends, points = plots.line_basins(lambda z: 3.2 * z * (1 - z), np.linspace(0.1, 0.9, 9))
    assert points == [] and (ends == -1).all()  # a cycle of two is no fixed point
    assert plots.line_basins(lambda z: 2 * z, [1.0])[1] == []


def test_cobweb_survives_an_orbit_that_runs_away():
    assert len(plots.png(plots.cobweb(lambda z: 3 * z + 1, 1.0))) > 0
    assert len(plots.png(plots.cobweb(lambda z: torch.log(z - 5), 1.0))) > 0
    with pytest.raises(ValueError, match="at least 1, got 0"):
        plots.cobweb(torch.cos, 1.0, loops=0)


# ---------------------------------------------------------------- into the notebook


def test_show_escapes_and_closes(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    fig = pyplot.figure()
    plots.show(fig, alt='a < b & "c"', caption="<script>")
    assert pyplot.get_fignums() == []
    page = shown[0]["text/html"]
    assert 'alt="a &lt; b &amp; &quot;c&quot;"' in page and "<script>" not in page and "&lt;script&gt;" in page
    assert "data:image/png;base64," in page and f'width="{round(fig.get_size_inches()[0] * 96)}"' in page
    assert "a < b" in shown[0]["text/plain"]


def test_show_takes_the_bytes_of_a_picture():
    data = plots.gif([plots.block_diagram()])
    assert 'width="960"' in plots.picture_html(data, "x") and "image/gif" in plots.picture_html(data, "x")
    data = plots.png(plots.block_diagram(), scale=1)
    assert 'width="960"' in plots.picture_html(data, "x") and "image/png" in plots.picture_html(data, "x")


def test_a_picture_without_alt_text_is_refused():
    with pytest.raises(ValueError, match="alt text"):
        plots.show(plots.block_diagram(), alt=" ")


def test_live_training_redraws_now_and_then(monkeypatch):
    class Handle:
        pages = ()

        def update(self, page):
            self.pages += (page.data,)

    handle = Handle()
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: handle)
    on_step = plots.live_training(every=10)
    for step in range(1, 26):
        run = type("Run", (), {"step": step, "finished": step == 25})
        run.history = {"loss": [1.0] * step, "level": [4] * step, "running": [0.5] * step}
        assert not on_step(run)  # True would stop the training
    assert len(handle.pages) == 4  # steps 2, 10, 20 and the last
    assert "up to step 25" in handle.pages[-1]


def test_use_style_can_be_undone():
    with matplotlib.rc_context():
        plots.use_style()
        assert matplotlib.rcParams["axes.spines.top"] is False
