"""Every lesson with widgets, opened in JupyterLab as a learner does: it runs, and every widget answers.

Screenshots are left under build/screenshots/. Skipped where there is no Chromium (see tests/browser.py for what to install).
"""

import re
from pathlib import Path

import browser as drive
import pytest

pytestmark = pytest.mark.skipif(bool(drive.missing()), reason=str(drive.missing()))

# the lessons whose source makes a widget
LESSONS = sorted(
    path.stem[:2]
    for path in (drive.ROOT / "lessons").glob("[0-9][0-9]_*.py")
    if re.search(r"^\s*widgets\.\w+\(", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.fixture(scope="module")
def lab():
    """JupyterLab and a browser, one pair for all lessons: (browser, address)."""
    with drive.jupyterlab() as address, drive.chromium() as browser:
        yield browser, address


def test_there_are_lessons_with_widgets():
    assert "00" in LESSONS


@pytest.mark.parametrize("number", LESSONS)
def test_lesson_runs_and_every_widget_moves(lab, number):
    page = drive.open_lesson(*lab, number)
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
            if area.locator(".widget-play").count():
                assert drive.press_play(area), f"play does nothing in lesson {number}"
        paths: list[Path] = drive.screenshots(page, number)
        assert paths
        assert drive.errors(page) == []
        if number == "00":
            type_bits(areas[-1], page)
    finally:
        page.close()


def type_bits(area, page):
    """The field of lesson 00: what cannot be solved is said in words and leaves no picture; what can is solved."""
    for text, words in (("01x1", "'x'"), ("", "empty"), ("01" * 200, "400 bits")):
        drive.type_in(area, text)
        message = area.get_by_role("alert").get_by_text(words)
        message.wait_for()
        assert area.locator("img.looped-picture").count() == 0
    message.scroll_into_view_if_needed()
    page.screenshot(path=drive.SCREENSHOTS / "00-typed-error.png")
    drive.type_in(area, "1100")
    area.locator("img.looped-picture").wait_for()
    assert area.get_by_role("alert").count() == 0
    assert drive.errors(page) == []
