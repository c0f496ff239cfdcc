"""Drive a lesson in JupyterLab with a headless Chromium: open, run all, move what can be moved, look.

    python tests/browser.py 00 04      run these lessons and save screenshots under build/screenshots/

Needs playwright (in the ``test`` extra) and a Chromium: Debian's (``apt-get install chromium``) or playwright's own
(``playwright install --with-deps chromium``).
"""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SERVED = ROOT / "build" / "browser"  # inside the repository, so that the set-up cell finds the package
SCREENSHOTS = ROOT / "build" / "screenshots"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# every cell stays in the page while scrolling, and nothing pops up
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none", "recordTiming": False},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def missing() -> str | None:
    """Why the browser tests cannot run here, or None."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "playwright is not installed: pip install 'looped-lite[test]'"
    if shutil.which("chromium"):
        return None
    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return None
    return "no Chromium here: apt-get install chromium, or playwright install --with-deps chromium"


@contextlib.contextmanager
def jupyterlab() -> Iterator[str]:
    """Start a JupyterLab of our own, with its own settings, on a free port; yields its address."""
    SERVED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, socket.socket() as probe:
        for plugin, settings in SETTINGS.items():
            file = Path(home, "settings", *plugin.split("/")).with_suffix(".jupyterlab-settings")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings))
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        environment = os.environ | {
            "JUPYTERLAB_SETTINGS_DIR": f"{home}/settings",
            "JUPYTERLAB_WORKSPACES_DIR": f"{home}/workspaces",
            "JUPYTER_CONFIG_DIR": f"{home}/config",
            "JUPYTER_RUNTIME_DIR": f"{home}/runtime",
            "IPYTHONDIR": f"{home}/ipython",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",  # lessons in a browser run beside it, and threads that wait for a core are slow
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
        command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={SERVED}"]
        command += ["--LabApp.expose_app_in_browser=True"]
        with open(Path(home, "log"), "w+b") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            try:
                address = f"http://127.0.0.1:{port}"
                for _ in range(300):
                    with contextlib.suppress(OSError):
                        urllib.request.urlopen(f"{address}/api", timeout=2).close()
                        break
                    if server.poll() is not None:
                        break
                    time.sleep(0.2)
                else:
                    server.kill()
                if server.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(f"JupyterLab did not start: {log.read().decode(errors='replace')[-2000:]}")
                yield address
            finally:
                server.terminate()  # it ends its kernels, too
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(10)
                server.kill()


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser, Debian's if there is one."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


def prepare(number: str, solved: bool = False) -> str:
    """Build a lesson, without outputs, into the folder that is served; returns its file name."""
    build = [sys.executable, str(ROOT / "lessons" / "build.py"), number, "--no-execute", "--out", str(SERVED)]
    subprocess.run(build + ["--solved"] * solved, check=True, capture_output=True, cwd=ROOT)
    return next(SERVED.glob(f"{number}*.ipynb")).name


def for_widgets(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a notebook's cells those that make widgets, and those before them that bind a name which these need."""
    needed, kept = set(), []
    for cell in reversed([cell for cell in cells if cell["cell_type"] == "code"]):
        nodes = list(ast.walk(ast.parse("".join(cell["source"]))))
        bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        bound |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        bound |= {(name.asname or name.name).split(".")[0] for node in imports for name in node.names}
        called = [node.func for node in nodes if isinstance(node, ast.Call)]
        makes = any(isinstance(f, ast.Attribute) and getattr(f.value, "id", "") == "widgets" for f in called)
        if makes or bound & needed:
            kept.append(cell)
            loaded = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
            needed = (needed - bound) | (loaded - bound)
    return kept[::-1]


def open_lesson(
    browser: Any, address: str, number: str, run: bool = True, seconds: float = 540, whole: bool = True
) -> Any:
    """Open a lesson ("00") in a new page, run all its cells and wait until they are done. Returns the page. Without
    ``whole`` only the cells `for_widgets`, on hardly trained models of the reader's own."""
    name = prepare(number)
    if not whole:
        notebook = json.loads((SERVED / name).read_text(encoding="utf-8"))
        notebook["cells"] = for_widgets(notebook["cells"])
        text = json.dumps(notebook).replace("**SETTINGS)", "**SETTINGS | {'steps': 20})")  # lesson 12's maze solver
        (SERVED / name).write_text(text, encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(60_000)
    page.goto(f"{address}/lab/tree/{name}?reset")
    page.get_by_text("| Idle").wait_for()
    page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    if run:
        page.evaluate(
            "window.ran = 0; window.jupyterapp.commands.execute('notebook:run-all-cells').finally(() => window.ran = "
            "1); 0"
        )
        page.wait_for_function("window.ran === 1", timeout=1000 * seconds, polling=200)
        page.get_by_text("| Idle").wait_for()
        page.wait_for_timeout(500)  # widgets are drawn after their cells have run
    return page


def cells(page: Any) -> list[dict[str, Any]]:
    """The cells of the open notebook, with their outputs as they are now."""
    return page.evaluate("window.jupyterapp.shell.currentWidget.content.model.toJSON()")["cells"]


def errors(page: Any) -> list[str]:
    """Error outputs, widgets that could not be drawn, and pictures without a description."""
    found = [
        f"{cell['id']}: {output['ename']}: {output['evalue']}"
        for cell in cells(page)
        for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]
    for broken in page.locator(".jupyter-widgets-error-widget").all():
        broken.click()  # unfolds the message
        found.append(f"broken widget: {broken.inner_text()}")
    if page.get_by_text("Error displaying widget").count():
        found.append("a widget without a model")
    nameless = page.locator(".jp-OutputArea-output img:not([alt])").count()
    return found + [f"{nameless} pictures without alt text"] * bool(nameless)


def areas(page: Any) -> list[Any]:
    """The outputs that hold widgets of the course, one locator each, from top to bottom; progress bars do not count."""
    found = page.locator(".jp-OutputArea-child", has=page.locator(".looped-panel"))
    return [found.nth(i) for i in range(found.count())]


def picture(area: Any) -> bytes:
    """The bytes of the image that a widget shows now."""
    code = """async image => {
        const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
        return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
    }"""
    return base64.b64decode(area.locator("img.looped-picture").first.evaluate(code))


def changed(area: Any, before: bytes, seconds: float = 20) -> bool:
    """Wait until the widget shows another picture than ``before``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(Exception):  # the image is being replaced just now
            if picture(area) != before:
                return True
        time.sleep(0.1)
    return False


def sliders(area: Any) -> list[Any]:
    """The handles of a widget's sliders."""
    found = area.locator(".widget-slider .noUi-handle")
    return [found.nth(i) for i in range(found.count())]


def move_slider(area: Any, index: int = 0, presses: int = 3, key: str = "ArrowRight") -> bool:
    """Move a slider with arrow keys; True if the picture changed."""
    before, handle = picture(area), sliders(area)[index]
    handle.scroll_into_view_if_needed()
    handle.focus()
    for _ in range(presses):
        handle.press(key)
    return changed(area, before)


def press_play(area: Any) -> bool:
    """Press play, wait until the picture has changed, and pause; True if it did."""
    before = picture(area)
    area.get_by_role("button", name="play", exact=True).click()
    moved = changed(area, before)
    pause = area.get_by_role("button", name="pause", exact=True)
    if pause.count():  # it may have come to the end by itself
        pause.click()
    return moved


def type_in(area: Any, text: str, button: str = "solve") -> None:
    """Type into a widget's text field and press its button."""
    area.locator("input[type=text]").first.fill(text)
    area.get_by_role("button", name=button, exact=True).click()


def screenshots(page: Any, name: str, height: int = 1500) -> list[Path]:
    """The whole open notebook as PNGs of at most ``height`` pixels each, under build/screenshots/."""
    from PIL import Image

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for old in SCREENSHOTS.glob(f"{name}-*.png"):
        old.unlink()
    scrolled = "document.querySelector('.jp-NotebookPanel-notebook .jp-WindowedPanel-outer')"
    full = int(page.evaluate(f"{scrolled}.scrollHeight"))
    page.set_viewport_size({"width": 1280, "height": min(full + 150, 15_000)})
    page.wait_for_timeout(800)
    seen = int(page.evaluate(f"{scrolled}.clientHeight"))
    # below the last cell there is only padding
    last = "[...document.querySelectorAll('.jp-NotebookPanel-notebook .jp-Cell')].at(-1)"
    full = int(page.evaluate(f"{scrolled}.scrollTop + {last}.getBoundingClientRect().bottom"))
    whole, paths = SCREENSHOTS / f"{name}.png", []
    for top in range(0, full, seen):  # a browser draws no page as high as the longest lessons
        page.evaluate(f"{scrolled}.scrollTop = {top}")
        page.wait_for_timeout(300)
        there = int(page.evaluate(f"{scrolled}.scrollTop"))  # less than top at the end of the notebook
        page.locator(".jp-NotebookPanel-notebook .jp-WindowedPanel-outer").last.screenshot(path=whole)
        image = Image.open(whole)
        end = min(image.height, full - there)
        for begin in range(top - there, end, height):
            paths.append(SCREENSHOTS / f"{name}-{len(paths) + 1}.png")
            image.crop((0, begin, image.width, min(end, begin + height))).save(paths[-1])
    whole.unlink()
    page.set_viewport_size({"width": 1280, "height": 1000})
    return paths


if __name__ == "__main__":
    if missing():
        sys.exit(missing())
    with jupyterlab() as address, chromium() as browser:
        for number in sys.argv[1:] or ["00"]:
            page = open_lesson(browser, address, number)
            print(*(screenshots(page, number) + errors(page)), sep="\n", flush=True)
            page.close()
