"""The static site: every link leads somewhere, nothing is asked of another server, pages fit a phone, and axe finds
nothing.

Builds the site (`site/build.py`). Skipped where there is no browser or no npm, but never under CI=true.
"""

import functools
import html.parser
import http.server
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
