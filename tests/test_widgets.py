"""Widgets without a browser: moving a slider or typing changes the picture; mistakes become sentences."""

import asyncio
import sys
from dataclasses import dataclass

import ipywidgets
import pytest
import torch
from matplotlib.figure import Figure

from looped_lite import boards, widgets
from looped_lite.pretrained import load_pretrained
from looped_lite.recipe import Recipe
from looped_lite.solving import solve_one, watch
from looped_lite.tasks import Task, chess
from looped_lite.tasks.sudoku import Sudoku


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return load_pretrained("prefix-sums-internal-post-seed0")


def parts(widget, kind):
    """All widgets of a kind inside another, in order."""
    inside = [widget] if isinstance(widget, kind) else []
    for child in getattr(widget, "children", ()):
        inside += parts(child, kind)
    return inside


def words(widget):
    return " ".join(part.value for part in parts(widget, ipywidgets.HTML))


def test_player_shows_each_frame_and_draws_it_once():
    drawn = []

    def draw(i):
        drawn.append(i)
        return boards.prefix_sums.board([1, 0], [i / 3, 0.0], [0.3, 0.2, 0.1], i)

    player = widgets.player(draw, 4, lambda i: f"frame <{i}>")
    (slider,), seen = parts(player, ipywidgets.IntSlider), set()
    for i in (0, 1, 2, 3, 1, 0):
        slider.value = i
        seen.add(words(player))
        assert f"frame &lt;{i}&gt;" in words(player) and 'alt="frame' in words(player)
    assert len(seen) == 4 and drawn == [0, 1, 2, 3]


def button(widget, name):
    return next(one for one in parts(widget, ipywidgets.Button) if one.description == name)


def frames(count, **more):
    """A player of empty figures, and its slider."""
    made = widgets.player(lambda i: Figure(figsize=(1, 1)), count, **more)
    return made, parts(made, ipywidgets.IntSlider)[0]


def test_buttons_have_names_and_step_within_the_frames():
    player, slider = frames(3, first=1)
    assert all(one.description for one in parts(player, ipywidgets.Button)) and not parts(player, ipywidgets.Play)
    for name, value in [("step on", 2), ("step on", 3), ("step on", 3), ("step back", 2), ("step back", 1)]:
        button(player, name).click()
        assert slider.value == value
    button(player, "step back").click()
    assert slider.value == 1


def test_play_goes_to_the_end_and_stops_and_can_be_paused_and_started_again():
    player, slider = frames(5, interval=1)
    play, seen = button(player, "play"), []
    slider.observe(lambda change: seen.append(change["new"]), "value")

    async def until(done):
        while not done():
            await asyncio.sleep(0.001)

    async def session():
        await asyncio.sleep(0.01)
        assert slider.value == 0, "it moves by itself"
        play.click()
        assert play.description == "pause"
        await until(lambda: slider.value == 2)
        play.click()
        await asyncio.sleep(0.02)
        assert (slider.value, play.description) == (2, "play")
        play.click()
        await until(lambda: play.description == "play")
        assert slider.value == 4
        play.click()  # from the end: once more from the start
        await until(lambda: play.description == "play")

    asyncio.run(asyncio.wait_for(session(), 60))
    assert seen == [1, 2, 3, 4, 0, 1, 2, 3, 4]


def test_words_under_a_picture_are_a_live_region():
    player, slider = frames(2)
    slider.value = 1
    assert 'aria-live="polite">loop 1 of 1<' in words(player)


def test_a_still_picture_comes_with_every_widget():
    player, _ = frames(3, still=1)
    bundle = player._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == player.model_id
    assert "run this cell" in bundle["text/plain"]
    assert 'alt="loop 1 of 2"' in bundle["text/html"] and "data:image/png;base64," in bundle["text/html"]
    assert 'alt="loop 2 of 2"' in frames(3)[0]._repr_mimebundle_()["text/html"]  # the last one, if nothing is said
    explorer = widgets.explorer(lambda a: Figure(figsize=(1, 1)), lambda a: f"a = {a}", a=(0, 2, 1.5))
    parts(explorer, ipywidgets.FloatSlider)[0].value = 0.5
    assert 'alt="a = 1.5"' in explorer._repr_mimebundle_()["text/html"]
    typed = widgets.typed(lambda text: frames(2)[0], "<0110>", "your bits")
    assert "<code>&lt;0110&gt;</code>" in typed.still() and 'alt="loop 1 of 1"' in typed.still()
    refused = widgets.typed(lambda text: int(text), "x", "a number")
    assert 'role="alert"' in refused.still() and "<img" not in refused.still()


def test_ipython_displays_the_widget_and_its_picture_as_one_output():
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(frames(2)[0])
    assert set(data) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}


def test_player_needs_a_frame():
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        widgets.player(lambda i: None, 0)


def test_cobweb_explorer_follows_both_sliders():
    explorer = widgets.cobweb_explorer(slope=(-2.5, 2.5, 0.8))
    slope, start = parts(explorer, ipywidgets.FloatSlider)
    before = words(explorer)
    assert "settles at" in before
    slope.value = -2.2
    assert "cycle of period 2" in words(explorer) and words(explorer) != before
    before = words(explorer)
    start.value = -1.0
    assert words(explorer) != before


def test_orbit_ends_in_words():
    assert widgets.orbit_end(lambda z: 0.5 * z + 1, 0.0) == "settles at 2.000"
    assert widgets.orbit_end(lambda z: 2 * z + 1, 1.0) == "runs away"
    assert widgets.orbit_end(lambda z: -z, 1.0) == "ends in a cycle of period 2"
    assert "has not settled" in widgets.orbit_end(lambda z: 3.9 * z * (1 - z), 0.3)


def test_queues_are_answered_as_the_clock_runs():
    runs = {
        "fixed": (torch.tensor([2.0, 2.0, 4.0]), torch.tensor([True, False, True])),
        "adaptive": ([1.0, 2.0], [True, True]),
    }
    panel = widgets.queue_player(runs, frames=5)
    (slider,) = parts(panel, ipywidgets.IntSlider)
    said = []
    for slider.value in (1, 2, 4):
        said.append(words(panel))
    assert "After 1.0 s. fixed: 0 of 3 answered, 0 rightly; adaptive: 1 of 2 answered" in said[0]
    assert (
        "fixed: 2 of 3 answered, 1 rightly; adaptive: 2 of 2" in said[1]
        and "fixed: 3 of 3 answered, 2 rightly" in said[2]
    )
    assert "After 2.0 s" in panel.still()


def test_trajectory_player_moves():
    states = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    player = widgets.trajectory_player(states, [0, 0, 1, 1])
    before = words(player)
    parts(player, ipywidgets.IntSlider)[0].value = 4
    assert words(player) != before and "Loop 4 of 4" in words(player)


def test_typed_bits_are_solved(model):
    widget = widgets.solver(model, "0110100110")
    field, solve = parts(widget, ipywidgets.Text)[0], parts(widget, ipywidgets.Button)[0]
    field.value = "110100"
    opened = parts(widget, ipywidgets.IntSlider)[0]
    solve.click()
    assert parts(widget, ipywidgets.IntSlider)[0] is opened, "solved twice"
    slider = parts(widget, ipywidgets.IntSlider)[0]
    slider.value = slider.max
    assert "6 of 6 cells right" in words(widget) and "settled at loop" in words(widget)


@pytest.mark.parametrize(
    "text, message", [("01a", "&#x27;a&#x27;"), ("", "empty"), ("0" * 97, "97 bits"), ("<b>", "&lt;")]
)
def test_bad_bits_become_a_sentence(model, text, message):
    widget = widgets.solver(model, "0110100110")
    parts(widget, ipywidgets.Text)[0].value = text
    parts(widget, ipywidgets.Button)[0].click()
    assert message in words(widget) and "<b>" not in words(widget)
    assert not parts(widget, ipywidgets.IntSlider)
    parts(widget, ipywidgets.Text)[0].value = "01"
    parts(widget, ipywidgets.Button)[0].click()
    assert 'role="alert"' not in words(widget) and parts(widget, ipywidgets.IntSlider)


def test_examples_fill_the_field(model):
    widget = widgets.solver(model, "0110100110")
    parts(widget, ipywidgets.Button)[1].click()
    assert parts(widget, ipywidgets.Text)[0].value == "1" * 16
    assert "of 16 cells right" in words(widget)


@pytest.fixture(scope="module")
def untrained():
    return Recipe(Sudoku((2, 2))).build()


def test_one_player_watches_any_task(untrained):
    player = widgets.watch_player(untrained, "..2. 2.1. .3.. ....", loops=3)
    before = words(player)
    parts(player, ipywidgets.IntSlider)[0].value = 2
    assert "Loop 2 of 3: not solved" in words(player) != before


@dataclass(frozen=True)
class Signs(Task):
    """The minimum of a task: no board, no examples."""

    name: str = "signs"
    features = 1
    classes = 3

    def encode(self, text):
        return torch.tensor([[[ord(character) - 44.0] for character in text]])

    def decode(self, text, logits):
        return {"answer": str(logits.argmax(-1).tolist())}


def test_a_task_without_board_and_examples_is_solved_as_well():
    widget = widgets.solver(Recipe(Signs(), width=16).build(), "+-+-")
    assert "average certainty" in words(widget) and parts(widget, ipywidgets.Text)[0].description == "your instance"
    assert {one.description for one in parts(widget, ipywidgets.Button)} == {"solve", "play", "step back", "step on"}
    parts(widget, ipywidgets.Text)[0].value = "-" * 1025
    assert "1025 cells do not fit on a board: expected at most 1024" in words(widget)


@pytest.mark.parametrize(
    "text, message",
    [
        ("11..............", "row 1 has two 1s"),
        ("1" + "." * 15, "several solutions"),
        ("12", "16 characters"),
        ("", "16"),
    ],
)
def test_sudokus_that_are_none_become_a_sentence(untrained, text, message):
    widget = widgets.solver(untrained, text)
    assert message in words(widget) and not parts(widget, ipywidgets.IntSlider)


MATE = "6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1"  # Ra8 mates
MATED = "R5k1/5ppp/8/8/8/8/5PPP/6K1 b - - 1 1"
FOR_BLACK = "1k5r/8/8/8/8/8/PPP5/1K6 b - - 0 1"  # Rh1 mates


@pytest.fixture(scope="module")
def player_of_chess():
    return Recipe(chess.Chess(), width=16).build()


def test_a_model_without_from_and_to_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 64\).*got \(64, 2\)"):
        widgets.watch_player(Recipe(chess.Chess(target="mask"), width=16).build(), MATE, loops=1)


@pytest.mark.parametrize(
    "text, message",
    [
        (MATED, "the side to move is checkmated"),
        ("7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", "stalemated"),
        ("", "empty line"),
        ("knight takes queen", "not a FEN"),
        ("<b>x</b>", "&lt;b&gt;"),
        ("8/8/8/8/8/8/8/8 w - - 0 1", "the board is empty"),
        ("8/8/8/8/8/8/8/K7 w - - 0 1", "black has no king"),
        (MATE.split()[0], "who is to move"),
    ],
)
def test_positions_that_are_none_become_a_sentence(player_of_chess, text, message):
    widget = widgets.solver(player_of_chess, text, loops=3)
    assert message in words(widget) and 'role="alert"' in words(widget) and "<b>" not in words(widget)
    assert not parts(widget, ipywidgets.IntSlider)
    parts(widget, ipywidgets.Text)[0].value = FOR_BLACK
    assert 'role="alert"' not in words(widget) and "black to move" in words(widget)


def test_examples_of_positions_fill_the_field(player_of_chess):
    widget = widgets.solver(player_of_chess, MATE, {"mate for black": FOR_BLACK}, loops=3)
    assert "white to move" in words(widget)
    parts(widget, ipywidgets.Button)[1].click()
    assert parts(widget, ipywidgets.Text)[0].value == FOR_BLACK and "black to move" in words(widget)


def test_a_missing_python_chess_becomes_a_sentence(player_of_chess, monkeypatch):
    monkeypatch.setitem(sys.modules, "chess", None)
    widget = widgets.solver(player_of_chess, MATE)
    assert "looped-lite[chess]" in words(widget) and not parts(widget, ipywidgets.IntSlider)


# ---------------------------------------------------------------- watching


@pytest.mark.parametrize("text", ["0", "1", "0110100110", "1" * 33])
def test_watch_sees_what_solve_answers(model, text):
    seen, solution = watch(model, text), solve_one(model, text)
    assert model.recipe.task.decode(text, seen.logits[solution.loops])["answer"] == solution.answer
    assert seen.settled == (solution.loops if solution.status == "settled" else None)
    assert seen.residuals[solution.loops - 1] == pytest.approx(solution.residual, rel=1e-3)
    assert seen.logits.shape == (seen.loops + 1, 1 + len(text), 2)


def test_watch_stops_where_it_is_told_to(model):
    seen = watch(model, "0110", loops=3)
    assert seen.loops == 3 and seen.settled is None
    with pytest.raises(ValueError, match=r"from 1 to .* got 0"):
        watch(model, "0110", loops=0)


def test_a_sudoku_is_watched_until_the_rules_are_kept():
    model = load_pretrained("sudoku-6x6")
    puzzle = "3....1..15.........4.2.......26....3"
    stopped = watch(model, puzzle, loops=1, tries=3)
    assert stopped.begun == (0, 1, 2) and stopped.loops == 3 and len(stopped.logits) == 4
    seen, found = watch(model, puzzle, loops=12, tries=16), solve_one(model, puzzle, restart=12)
    answer = model.recipe.task.decode(puzzle, seen.logits[-1])["answer"]
    assert (answer, seen.loops, len(seen.begun)) == (found.answer, found.loops, found.tries) and found.tries > 1
    _, describe = boards.sudoku.draw(stopped, model.recipe.task)
    assert "try" not in describe(0) and "Loop 2 of 3, try 2 of 3" in describe(2)
    once = watch(model, puzzle, tries=16)
    assert once.begun == (0,) and model.recipe.task.decode(puzzle, once.logits[-1])["solved"]
