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
BITS = torch.tensor([1, 0, 1, 1, 0, 1, 0, 0, 1])

BOARD = torch.zeros(64, dtype=torch.uint8)  # white Ke1 and pawn a2, black Ke8 and queen d8
BOARD[[4, 8, 60, 59]] = torch.tensor([6, 1, 12, 11], dtype=torch.uint8)
HEAT = torch.zeros(2, 64)
HEAT[0, 4], HEAT[0, 8], HEAT[1, 12] = 0.75, 0.25, 1.0


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
        "prefix_sum_board": lambda: plots.prefix_sum_board(BITS, torch.rand(9), torch.rand(6), 2),
        "sudoku_board": lambda: plots.sudoku_board([1] + [0] * 35, [1] + [4] * 35, None, torch.rand(6), 2, (2, 3)),
        "chess_board": lambda: plots.chess_board(BOARD, HEAT, [(4, 12)], None, torch.rand(6), 2),
        "chess_strip": lambda: plots.chess_strip(BOARD, [HEAT] * 5, [[(4, 12)]] * 5, list("abcde")),
        "square_map": lambda: plots.square_map(torch.rand(6, 64), list("abcdef"), BOARD, label="attention", cell=4),
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
        assert not ax.axison or (ax.get_xlabel() and ax.get_ylabel()) or ax.get_label() == "<colorbar>", (
            "an axis has no label"
        )
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


def test_board_counts_right_answers():
    answer = BITS.cumsum(0) % 2
    title = plots.prefix_sum_board(BITS, answer.float(), [0.1], 1).axes[0].get_title("left")
    assert "9 of 9" in title
    ones = answer.float()
    ones[3] = 1 - ones[3]
    assert "8 of 9" in plots.prefix_sum_board(BITS, ones, [0.1], 1).axes[0].get_title("left")


def test_a_board_of_the_wrong_size_or_loop_is_refused():
    with pytest.raises(ValueError, match=r"between 0 and 2.*got 3"):
        plots.prefix_sum_board([1, 0], [0.5, 0.5], [0.2, 0.1], 3)
    with pytest.raises(ValueError, match="36 cells, got 35"):
        plots.sudoku_board([0] * 35, [0] * 36, box=(2, 3))


@pytest.mark.parametrize("recall, norm", list(itertools.product(RECALLS, NORMS)))
def test_every_block_can_be_drawn_with_its_own_parts(recall, norm):
    words = [text.get_text() for text in plots.block_diagram(recall, norm).axes[0].texts]
    norms = {"pre": 2, "peri": 4, "post": 2, "sandwich": 4, "gru": 2}
    assert words.count("N") == norms[norm]
    assert words.count("gate") == 2 * (norm == "gru")
    assert sum("Wh h" in word for word in words) == {"none": 0, "external": 1, "internal": 2}[recall]


# ---------------------------------------------------------------- chess boards


def drawn(ax, kind):
    """The patches of one kind on a chess board: piece, from, to, move or cell."""
    return [patch for patch in ax.patches if patch.get_gid() == kind]


def square_of(patch):
    """The square in whose middle a patch lies."""
    box = patch.get_path().transformed(patch.get_patch_transform()).get_extents()
    return int((box.x0 + box.x1) / 2) + 8 * int((box.y0 + box.y1) / 2)


def test_a_chess_board_shows_each_piece_on_its_square():
    ax = plots.chess_board(BOARD).axes[0]
    assert sorted(map(square_of, drawn(ax, "piece"))) == [4, 8, 59, 60]
    assert {text.get_text() for text in ax.texts} == set("abcdefgh12345678")
    assert not drawn(ax, "from") + drawn(ax, "to") + drawn(ax, "move")
    shapes = {plots._piece(number)[0].vertices.tobytes() for number in range(1, 13)}
    assert len(shapes) == 12
    for number in range(1, 13):
        box = plots._piece(number)[1].get_extents()
        assert 0 < box.x0 < box.x1 < 1 and 0 < box.y0 < box.y1 < 1, "a piece leaves its square"


def test_black_pieces_are_darker_than_white_ones():
    kinds = np.repeat([1, 2, 3, 4, 5, 6, 0, 0], 8)  # one kind on each rank
    fig = plots.chess_board(kinds)
    white, black = (
        np.asarray(Image.open(io.BytesIO(plots.png(one))).convert("L")).astype(float)
        for one in (fig, plots.chess_board(np.where(kinds, kinds + 6, 0)))
    )
    edges = [fig.axes[0].transData.transform([0, rank])[1] / fig.bbox.height for rank in range(9)]
    rows = [slice(int((1 - high) * len(white)), int((1 - low) * len(white))) for low, high in itertools.pairwise(edges)]
    darker = [(white[row] - black[row]).mean() for row in rows]
    assert min(darker[:6]) > 5 and max(map(abs, darker[6:])) < 1e-9, darker


def test_heat_is_a_frame_or_a_filled_square_and_stronger_where_likelier():
    ax = plots.chess_board(BOARD, HEAT).axes[0]
    starts = {square_of(patch): patch for patch in drawn(ax, "from")}
    (end,) = drawn(ax, "to")
    assert set(starts) == {4, 8} and square_of(end) == 12
    assert starts[4].get_alpha() == pytest.approx(np.sqrt(3) * starts[8].get_alpha())
    assert end.get_alpha() == pytest.approx(0.9) and end.get_fill() and not starts[4].get_fill()


def test_moves_are_arrows_and_the_weight_makes_them_stronger():
    strong, weak = drawn(plots.chess_board(BOARD, moves=[(8, 24), (4, 5, 0.2)]).axes[0], "move")
    assert strong.get_alpha() > weak.get_alpha()
    assert strong.get_xy()[:, 0].mean() == pytest.approx(0.5, abs=0.2)  # along file a, up to a4
    assert strong.get_xy()[:, 1].max() == pytest.approx(3.5)


def test_a_strip_has_a_board_for_each_title_and_a_board_beside_the_residual():
    fig = plots.chess_strip(BOARD, titles=["one", "two", "three"], columns=2)
    shown = [ax for ax in fig.axes if drawn(ax, "piece")]
    assert [ax.get_title("left") for ax in shown] == ["one", "two", "three"] and len(fig.axes) == 4
    fig = plots.chess_strip([BOARD, BOARD.flip(0)], heat=[HEAT, 0 * HEAT])
    assert len(drawn(fig.axes[0], "from")) == 2 and not drawn(fig.axes[1], "from")
    fig = plots.chess_board(BOARD, residuals=[0.5, 0.1], loop=1)
    assert fig.axes[0].get_title("left") == "loop 1" and fig.axes[1].get_yscale() == "log"


def test_a_map_shows_its_values_and_frames_the_cell():
    values = torch.rand(3, 64)
    fig = plots.square_map(values, ["a", "b", "c"], cell=27, label="attention")
    for ax, one in zip(fig.axes[:3], values, strict=True):
        assert np.allclose(ax.collections[0].get_array().ravel(), one)
        assert [square_of(frame) for frame in drawn(ax, "cell")] == [27]
    assert fig.axes[3].get_ylabel() == "attention"
    assert len(plots.square_map(values > 0.5, ["a", "b", "c"]).axes) == 3  # yes or no needs no scale


@pytest.mark.parametrize(
    "draw, words",
    [
        (lambda: plots.chess_board([0] * 63), r"64 squares, got .*\(1, 63\)"),
        (lambda: plots.chess_board([[0] * 64] * 2), "one board of shape"),
        (lambda: plots.chess_board([13] * 64), "0 .empty. to 12, got 13"),
        (lambda: plots.chess_board([0.5] * 64), "whole numbers"),
        (lambda: plots.chess_board(BOARD, HEAT[0]), r"shape \(2, 64\)"),
        (lambda: plots.chess_board(BOARD, 3 * HEAT), "probabilities from 0 to 1, got 0 to 3"),
        (lambda: plots.chess_board(BOARD, math.nan * HEAT), "probabilities"),
        (lambda: plots.chess_board(BOARD, moves=[(0, 64)]), "squares from 0 to 63.*got 0, 64"),
        (lambda: plots.chess_board(BOARD, moves=[(0, 1, 2.0)]), "weight from 0 to 1, got .*2.0"),
        (lambda: plots.chess_board(BOARD, residuals=[0.1], loop=2), "between 0 and 1"),
        (lambda: plots.chess_strip([BOARD, BOARD], titles=["one"]), "titles must be 2.*got 1"),
        (lambda: plots.chess_strip([BOARD, BOARD], HEAT[None]), "heat must be 2"),
        (lambda: plots.chess_strip(torch.zeros(0, 64)), r"got .*\(0, 64\)"),
        (lambda: plots.square_map(torch.rand(2, 63), ["a", "b"]), r"shape \(2, 64\).*got \(2, 63\)"),
        (lambda: plots.square_map(torch.rand(2, 64), ["a"]), "one map for each title"),
        (lambda: plots.square_map(torch.rand(1, 64), ["a"], cell=64), "0 to 63, got 64"),
    ],
)
def test_what_is_no_chess_board_is_refused(draw, words):
    with pytest.raises(ValueError, match=words):
        draw()


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


def test_gif_keeps_colours_that_only_some_frames_have():
    fig = lambda ones, loop: plots.prefix_sum_board([1] * 8, ones, [0.5, 0.1], loop)
    wrong, right = [0.0, 1.0] * 4, [1.0, 0.0] * 4
    image = Image.open(io.BytesIO(plots.gif([fig(wrong, 0), fig(right, 1), fig(right, 2)])))
    pixels = np.asarray(image.convert("RGB")).astype(int)
    assert ((pixels[..., 0] - pixels[..., 2]) > 100).sum() > 500, "the orange of wrong answers is gone"


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
