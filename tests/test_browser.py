"""Every lesson with widgets, opened in JupyterLab as a learner does: it runs, and every widget answers. The first is
run whole; of the others, which the tests of notebooks run whole, only what their widgets need (WHOLE=1: all of it).

Screenshots are left under build/screenshots/. Skipped where there is no Chromium (see tests/browser.py for what to
install), but never under CI=true.
"""

import os
import re
from pathlib import Path

import browser as drive
import pytest

LACKING = drive.missing()
pytestmark = pytest.mark.skipif(bool(LACKING) and not os.environ.get("CI"), reason=str(LACKING))

# the lessons whose source makes a widget
LESSONS = sorted(
    path.stem[:2]
    for path in (drive.ROOT / "lessons").glob("[0-9][0-9]_*.py")
    if re.search(r"^\s*widgets\.\w+\(", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.fixture(scope="module")
def lab():
    """JupyterLab and a browser, one pair for all lessons: (browser, address)."""
    assert not LACKING, LACKING
    with drive.jupyterlab() as address, drive.chromium() as browser:
        yield browser, address


def test_there_are_lessons_with_widgets():
    assert "00" in LESSONS


@pytest.mark.parametrize("number", LESSONS)
def test_lesson_runs_and_every_widget_moves(lab, number):
    page = drive.open_lesson(*lab, number, whole=number == "00" or bool(os.environ.get("WHOLE")))
    try:
        assert drive.errors(page) == []
        areas = drive.areas(page)
        assert areas, f"lesson {number} shows no widget"
        for area in areas:
            handles = drive.sliders(area)
            for index in range(len(handles)):
                moved = drive.move_slider(area, index) or drive.move_slider(area, index, key="ArrowLeft")
                assert moved, f"slider {index} of lesson {number} changes nothing"
            assert handles or area.locator("input").count(), "a widget with nothing to move or type"
            if area.get_by_role("button", name="play", exact=True).count():
                assert drive.press_play(area), f"play does nothing in lesson {number}"
        paths: list[Path] = drive.screenshots(page, number)
        assert paths
        assert drive.errors(page) == []
        for area in areas:
            if area.locator("input[type=text]").count():
                type_into(area, page, number)
    finally:
        page.close()


def wrong_and_right(label, value):
    """What to type into the field of this label and value: refused texts, words of the refusal, a good one."""
    cells = len("".join(value.split()))
    return {
        "your bits": ([("01x1", "'x'"), ("", "empty"), ("01" * 200, "400 bits")], "1100"),
        "your puzzle": (
            [
                ("1" * 5, f"{cells}"),
                ("1" + "." * (cells - 1), "several solutions"),
                ("11" + "." * (cells - 2), "two 1s"),
            ],
            value,
        ),
        "your position (FEN)": (
            [
                ("knight takes queen", "not a FEN"),
                ("R5k1/5ppp/8/8/8/8/5PPP/6K1 b - - 1 1", "checkmated"),
                ("4k3/8/8/8/8/8/8/8 w - - 0 1", "white has no king"),
            ],
            "6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1",
        ),
        "your maze": ([("S.E", "49 characters"), ("." * 49, "one S and one E")], "S" + "." * 47 + "E"),
    }[label]


def type_into(area, page, number):
    """A field to type into: what cannot be solved is said in words and leaves no picture; what can is solved."""
    field = area.locator("input[type=text]").first
    label = area.locator(".widget-text .widget-label").first.inner_text()
    wrong, right = wrong_and_right(label, field.input_value())
    shot = drive.SCREENSHOTS / f"{number}-typed-{label.split()[1]}"
    for text, words in wrong:
        drive.type_in(area, text)
        message = area.get_by_role("alert").get_by_text(words)
        message.wait_for()
        assert area.locator("img.looped-picture").count() == 0
    field.evaluate("field => field.scrollIntoView({block: 'start'})")
    page.screenshot(path=f"{shot}-refused.png")
    drive.type_in(area, right)
    area.locator("img.looped-picture").wait_for()
    assert area.get_by_role("alert").count() == 0
    before = drive.picture(area)
    drive.sliders(area)[0].press("End")
    assert drive.changed(area, before), f"the slider of lesson {number} does not move what was typed"
    field.evaluate("field => field.scrollIntoView({block: 'start'})")
    page.screenshot(path=f"{shot}-solved.png")
    assert drive.errors(page) == []
