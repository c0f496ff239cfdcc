"""The static site: every link leads somewhere, nothing is asked of another server, pages fit a phone, and axe finds
nothing.

Builds the site (`site/build.py`). Skipped where there is no browser or no npm, but never under CI=true.
"""

import contextlib
import functools
import html.parser
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.parse

import browser as drive
import pytest

sys.path.insert(0, str(drive.ROOT / "site"))
from npm import package_file

HTML = drive.ROOT / "build" / "site" / "html"
LACKING = drive.missing() or (None if shutil.which("npm") else "npm is missing: install Node.js")
pytestmark = pytest.mark.skipif(bool(LACKING) and not os.environ.get("CI"), reason=str(LACKING))
TRY = ("sudoku", "bits", "chess")
LOOKED_AT = ["index.html", "00_start_here.html", "07_sudoku.html", "results.html", "reference/looped_lite.model.html"]


@pytest.fixture(scope="module")
def site():
    """The folder of the site, built anew."""
    assert not LACKING, LACKING
    words = [sys.executable, str(drive.ROOT / "site" / "build.py")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    return HTML


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def served(site):
    """(browser, address) of the site on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with drive.chromium() as browser:
        yield browser, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class Page(html.parser.HTMLParser):
    """What a page links to, what it loads, and the places in it that links can name."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.places = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.places |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        for name in ("src", "srcset", "href" if tag == "link" else "data-none"):
            if found.get(name) and not (tag == "link" and found.get("rel") in ("canonical",)):
                self.loads.append(found[name])


def test_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html")}
    dead, outside = [], []
    for path, page in pages.items():
        outside += [(path.name, load) for load in page.loads if load.startswith(("http:", "https:", "//"))]
        for link in page.links + page.loads:
            where = urllib.parse.urlsplit(link)
            if where.scheme or link.startswith("//"):
                continue
            target = (path.parent / urllib.parse.unquote(where.path)).resolve() if where.path else path
            if not target.exists() or (
                where.fragment and target in pages and urllib.parse.unquote(where.fragment) not in pages[target].places
            ):
                dead.append((path.name, link))
    assert dead == []
    assert outside == []


def test_every_lesson_is_there_with_a_still_for_each_widget(site):
    for path in (drive.ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"):
        page = (site / f"{path.stem}.html").read_text(encoding="utf-8")
        assert page.count("A still: in JupyterLab") >= path.read_text(encoding="utf-8").count("widget-view+json")
        assert "widget-view+json" not in page


def test_pages_open_without_errors_or_requests_to_others_and_fit_a_phone(served):
    browser, address = served
    page = browser.new_page(viewport={"width": 390, "height": 844})
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda answer: wrong.append((answer.status, answer.url)) if answer.status >= 400 else None)
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    wide = []
    for path in sorted(HTML.rglob("*.html")):
        name = path.relative_to(HTML).as_posix()
        page.goto(f"{address}/{name}", wait_until="load")
        width = page.evaluate("document.documentElement.scrollWidth")
        wide += [(name, width)] if width > 390 else []
    page.close()
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    assert wrong == []
    assert wide == []


def test_formulas_are_drawn(served):
    browser, address = served
    page = browser.new_page()
    page.goto(f"{address}/01_fixed_points.html")
    page.locator("mjx-container svg").first.wait_for()
    assert page.locator("mjx-container svg").count() > 20 and page.locator("mjx-merror").count() == 0
    page.close()


def test_search_finds_a_word(served):
    browser, address = served
    page = browser.new_page()
    page.goto(f"{address}/search.html?q=cobweb")
    page.locator("#search-results li").first.wait_for()
    page.close()


def axe(page):
    """Critical and serious findings of axe-core on an open page: (rule, how many places, the first)."""
    page.add_script_tag(path=package_file("axe-core", "axe.min.js"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    serious = [one for one in found if one["impact"] in ("critical", "serious")]
    return [(one["id"], len(one["nodes"]), one["nodes"][0]["html"][:200]) for one in serious]


@pytest.mark.parametrize("name", LOOKED_AT)
def test_axe_finds_nothing_serious(served, name):
    browser, address = served
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}/{name}")
    page.wait_for_timeout(1000)  # formulas are drawn
    found = axe(page)
    page.close()
    assert found == []


# ---------------------------------------------------------------- pages that run a model


@contextlib.contextmanager
def tried(served, name, **context):
    """An open page of site/try, its model loaded; what it asks of others and what goes wrong on it fails the test."""
    browser, address = served
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **context})
    wrong = []
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(address) else None)
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{address}/try/{name}.html")
    page.locator("#play:enabled").wait_for()
    yield page
    page.close()
    assert wrong == []


def result(page, lane=0):
    """What the page says when a run has ended."""
    found = page.locator(".result").nth(lane)
    page.wait_for_function("lane => document.querySelectorAll('.result')[lane]?.textContent", arg=lane, timeout=60_000)
    return found.inner_text()


def told(name, text):
    """What `looped-lite solve` says of an instance, in one line."""
    from looped_lite.cli import in_words
    from looped_lite.pretrained import load_pretrained
    from looped_lite.recipe import get_task
    from looped_lite.solving import solve_one

    task = get_task({"bits": "prefix-sums"}.get(name, name))
    model = load_pretrained(task.default_model(text))
    return in_words(solve_one(model, text), model.recipe.task, terminal=False).replace("  (", " (")


@pytest.mark.parametrize(
    "name, group", [("sudoku", "9x9, hard"), ("sudoku", "6x6, hard"), ("bits", "64 bits"), ("chess", "mate in 2")]
)
def test_a_page_says_what_solve_says(served, name, group):
    with tried(served, name) as page:
        page.select_option("#group", label=group)
        page.click("#ten")
        page.wait_for_function("Number(document.querySelector('#count').textContent) >= 10")
        for _ in range(3):  # to the end of what solve would do, and beyond
            if not page.locator(".result").inner_text():
                page.click("#ten")
                page.wait_for_function("document.querySelector('#play').textContent === 'Play'")
        said, wanted = result(page), told(name, page.input_value("#text"))
    number = lambda text: text.partition("residual ")[2][:7]  # its last digit depends on the processor
    assert said.replace(number(said), "") == wanted.replace(number(wanted), "")


def test_a_puzzle_that_needs_a_guess_gets_the_one_of_solve(served):
    puzzle = ".8.9...2.39..8.1.......2...........76.4..98..8....3..5278.......4.6...7......5..2"
    with tried(served, "sudoku") as page:
        page.fill("#text", puzzle)
        for _ in range(3):
            if not page.locator(".result").inner_text():
                page.click("#ten")
                page.wait_for_function("document.querySelector('#play').textContent === 'Play'")
        said = result(page)
        page.locator("#loop").fill("260")
        page.locator(".now", has_text="Loop 260, try 5, with a guess: ").wait_for()
        page.locator("#loop").fill("250")
        page.locator(".now", has_text="Loop 250, try 4: ").wait_for()
    assert said == told("sudoku", puzzle) and ", try 5, " in said


def test_play_pauses_and_goes_on_and_twenty_presses_do_no_harm(served):
    with tried(served, "bits") as page:
        page.select_option("#group", label="64 bits")
        for _ in range(20):
            page.click("#play")
        assert page.locator("#play").inner_text() == "Play"
        page.click("#play")
        page.wait_for_timeout(600)
        page.click("#play")
        at = int(page.locator("#count").inner_text())
        page.wait_for_timeout(400)
        assert at > 0 and int(page.locator("#count").inner_text()) == at
        page.click("#step")
        page.wait_for_function(f"Number(document.querySelector('#count').textContent) === {at + 1}")
        page.locator("#loop").fill("50")
        page.wait_for_function("document.querySelector('#count').textContent === '50'")
        page.locator("#loop").fill("3")
        assert page.locator(".now").inner_text().startswith("Loop 3:")


def test_a_tab_that_was_frozen_in_the_background_goes_on_where_it_was(served):
    browser, _ = served
    with tried(served, "sudoku") as page:
        page.click("#play")
        page.wait_for_function("Number(document.querySelector('#count').textContent) >= 2")
        session = page.context.new_cdp_session(page)
        session.send("Page.setWebLifecycleState", {"state": "frozen"})
        other = browser.new_page()
        other.goto(page.url)
        other.wait_for_timeout(1500)
        other.close()
        page.bring_to_front()
        session.send("Page.setWebLifecycleState", {"state": "active"})
        assert "solved, checked by the rules" in result(page)


BAD = {
    "sudoku": {
        "": "a puzzle of 0 characters",
        "9" * 10_000: "a puzzle of 10000 characters",
        "😀" * 81: "row 1, column 1: '😀' is neither a digit",
        "55" + "." * 79: "row 1 has two 5s: columns 1 and 2",
        "." * 81: "several solutions",
    },
    "bits": {"": "an empty string", "01😀": "character 3", "01" * 5000: "at most 1,024"},
    "chess": {
        "": "expected a FEN",
        "x" * 10_000: "expected 8",
        "8/8/8/8/8/8/8/7K w - - 0 1": "black has no king",
        "😀": "expected 8",
    },
}


@pytest.mark.parametrize("name", TRY)
def test_bad_input_is_named_and_nothing_runs(served, name):
    with tried(served, name) as page:
        good = page.input_value("#text")
        for text, words in BAD[name].items():
            page.fill("#text", text)
            page.locator("#error", has_text=words).wait_for()
            assert page.locator("#play").is_disabled() and page.locator(".result").inner_text() == ""
        assert page.locator("#text").get_attribute("aria-invalid") == "true"
        page.fill("#text", f"  {good[:9]}\n{good[9:]} " if name != "chess" else f"  {good} \n")
        page.locator("#play:enabled").wait_for()
        page.click("#step")
        page.locator(".now", has_text="Loop 1").wait_for()
        assert page.locator("#error").inner_text() == ""


def test_clashing_cells_are_shown_and_the_board_takes_keys(served):
    with tried(served, "sudoku") as page:
        page.locator("#error").focus()
        page.locator("[role=gridcell]").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("9")  # a 9 stands in this row
        page.locator("#error", has_text="row 1 has two 9s").wait_for()
        assert page.locator("[data-kind=clash]").count() == 2
        page.keyboard.press("Delete")
        page.locator("#play:enabled").wait_for()
        assert page.locator("[data-kind=clash]").count() == 0


def test_a_page_is_used_by_keyboard_alone_and_says_its_result(served):
    with tried(served, "sudoku", reduced_motion="reduce", viewport={"width": 390, "height": 844}) as page:
        names = []
        for _ in range(40):
            page.keyboard.press("Tab")
            names.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.slice(0, 20)"))
            if names[-1] == "play":
                break
        assert {"group", "another", "text", "play"} <= set(names)
        page.keyboard.press("Enter")
        assert "solved, checked by the rules" in result(page)
        page.wait_for_function("document.querySelector('#say').textContent.includes('solved')")
        assert page.locator("#say").get_attribute("role") == "status"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_run_without_recall_forgets_beside_one_that_does_not(served):
    with tried(served, "bits") as page:
        page.check("#beside")
        for i, name in enumerate(("prefix-sums-internal-post-seed0", "prefix-sums-none-post-seed0")):
            page.select_option(f"#model-{i}", name)
            page.select_option(f"#start-{i}", "noise")
        page.locator(".lane").nth(1).wait_for()
        page.locator("#loop").fill("60")
        page.wait_for_function("document.querySelector('#count').textContent === '60'")
        first, second = (page.locator(".now").nth(i).inner_text() for i in (0, 1))
        assert "16 of 16 bits right" in first and "16 of 16 bits right" not in second
        page.select_option("#model-0", "prefix-sums-seed0")  # has a second fixed point, with every bit turned round
        page.wait_for_function("document.querySelector('#count').textContent === '0'")
        page.locator("#loop").fill("60")
        page.locator(".now", has_text="Loop 60: 0 of 16 bits right").wait_for()


def test_a_model_that_saw_random_bits_alone_settles_on_a_wrong_answer(served):
    with tried(served, "bits") as page:
        page.check("#beside")
        page.select_option("#model-1", "prefix-sums-internal-post-seed0")
        page.fill("#text", "1" * 64)
        page.locator("#loop").fill("64")
        page.click("#ten")
        first, second = result(page), result(page, lane=1)
    assert first.startswith("10" * 32) and not second.startswith("10" * 32) and "settled after" in second


@pytest.mark.parametrize("press", ["ten", "step", "play", "loop"])
def test_what_is_pressed_right_after_typing_runs_on_the_text_that_was_typed(served, press):
    with tried(served, "bits") as page:
        page.evaluate(
            """press => {
                const typed = (id, text) => {
                    document.getElementById(id).value = text;
                    document.getElementById(id).dispatchEvent(new Event("input"));
                };
                typed("text", "1".repeat(24));
                if (press === "loop") typed("loop", "7");
                else document.getElementById(press).click();
            }""",
            press,
        )
        page.wait_for_function("Number(document.querySelector('#count').textContent) > 0")
        assert "of 24 bits right" in page.locator(".now").inner_text()


def test_ten_times_the_loops_is_ten_times_those_asked_for(served):
    with tried(served, "bits") as page:
        page.evaluate(
            """() => {
                document.getElementById("loop").value = "12";
                document.getElementById("loop").dispatchEvent(new Event("input"));
                document.getElementById("ten").click();
            }"""
        )
        page.wait_for_function("document.querySelector('#count').textContent === '120'")


def test_stills_stand_where_nothing_runs(served):
    browser, address = served
    for way in ({"java_script_enabled": False}, {}):
        page = browser.new_page(**way)
        if not way:
            page.add_init_script("delete WebAssembly")
        page.goto(f"{address}/try/sudoku.html")
        page.locator("#stills img").first.wait_for()
        assert page.locator("#app").is_hidden() and page.locator("#stills img:not([alt])").count() == 0
        page.close()


@pytest.mark.parametrize("name", TRY)
def test_axe_finds_nothing_serious_while_a_model_runs(served, name):
    with tried(served, name) as page:
        page.check("#beside")
        page.locator(".lane").nth(1).wait_for()
        page.locator("#loop").fill("20")
        page.wait_for_function("document.querySelector('#count').textContent === '20'")
        assert axe(page) == []


def test_a_first_visit_is_light(site):
    """What a visit of the sudoku page loads, each file as gzip would send it: at most 6 MB."""
    import gzip

    folder = site / "try"
    facts = json.loads((folder / "sudoku" / "sudoku-9x9-averaged" / "model.json").read_text(encoding="utf-8"))
    files = [*folder.glob("*.mjs"), *folder.glob("*.css"), *(folder / "ort").iterdir(), folder / "sudoku.html"]
    files += [folder / "sudoku" / "examples.json", *(folder / "sudoku" / "sudoku-9x9-averaged").glob("*.*")]
    assert facts["cells"] == 81
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < 6_000_000


def test_a_new_puzzle_shows_nothing_of_the_run_before(served):
    with tried(served, "sudoku") as page:
        page.click("#ten")
        page.wait_for_function("document.querySelector('#count').textContent === '10'")
        page.locator(".result, [data-kind=said]").first.wait_for()
        page.evaluate(
            """() => {
                window.seen = [];
                const look = () => window.seen.push(document.querySelectorAll('[data-kind=said]').length);
                new MutationObserver(look).observe(document.querySelector('#lanes'), {childList: true});
            }"""
        )
        page.select_option("#group", label="6x6, easy")  # whose model is still to be fetched
        page.locator("[role=gridcell]").nth(35).wait_for()
        page.wait_for_function("document.querySelector('#play').textContent === 'Play'")
        assert page.locator(".result").inner_text() == "" and page.locator("#count").inner_text() == "0"
        assert set(page.evaluate("window.seen")) == {0}
