"""The pages that run a model against the package: the same answers at equal loops, milliseconds a loop, bytes and
seconds of a first visit.

python site/build.py && python benchmarks/pages.py            (some minutes; needs Chromium and playwright)
python benchmarks/pages.py --part visit                       answers, speed or visit alone
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import gzip
import http.server
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import browser as drive

from looped_lite.paths import data_path
from looped_lite.pretrained import load_pretrained
from looped_lite.recipe import get_task
from looped_lite.solving import solve

TASKS = {"sudoku": "sudoku", "bits": "prefix-sums", "chess": "chess"}
AT = (8, 16, 32, 64)  # loops after which what the model says is compared, in runs that last so long


class Zipped(http.server.SimpleHTTPRequestHandler):
    """A server of static files that sends them as gzip, and adds up what it sends."""

    sent = 0
    held: dict[str, bytes] = {}  # noqa: RUF012 (one for all requests, on purpose)

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.translate_path(self.path)
        if not Path(path).is_file():
            return self.send_error(404)
        if path not in self.held:
            self.held[path] = gzip.compress(Path(path).read_bytes())
        self.send_response(200)
        for name, value in {
            "Content-Type": self.guess_type(path),
            "Content-Encoding": "gzip",
            "Content-Length": len(self.held[path]),
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        Zipped.sent += len(self.held[path])
        self.wfile.write(self.held[path])


@contextlib.contextmanager
def serving(site: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Zipped, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/try"
    server.shutdown()


def rows(name: str) -> list[dict[str, str]]:
    path = data_path(name)
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else open(path, newline="") as file:
        return list(csv.DictReader(file))


def instances(count: float) -> dict[str, list[str]]:
    """500 puzzles, 200 strings, 300 positions, none of them trained on, or ``count`` of as many."""
    rng = random.Random(0)
    part = lambda size: max(1, round(size * count))
    puzzles = [row["puzzle"] for row in rows("sudoku_9x9_qqwing.csv")][:: max(1, round(3 / count))][: part(100)]
    for name, split, size in (
        ("9x9", "test", 100),
        ("9x9", "hard", 100),
        ("9x9", "extreme", 100),
        ("6x6", "hard", 100),
    ):
        puzzles += [row["puzzle"] for row in rows(f"sudoku_{name}.csv.gz") if row["split"] == split][: part(size)]
    strings = []
    for _ in range(part(200)):
        density = rng.random()
        strings.append("".join("01"[rng.random() < density] for _ in range(round(8 * 64 ** rng.random()))))
    positions = []
    for depth in (1, 2, 3, 4):
        found = [row["fen"] for row in rows(f"chess_mate{depth}.csv.gz") if row["split"] == "test"]
        positions += rng.sample(found, part(75))
    return {"sudoku": puzzles, "bits": strings, "chess": positions}


# one instance after another, each to its end as `solve` would; what the first try said after some loops, if it got
# there
RUN = """async ([page, names, texts, at]) => {
    const ort = await import("./ort/ort.wasm.bundle.min.mjs");
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = { wasm: new URL("./ort/ort-wasm-simd-threaded.wasm", document.baseURI).href };
    const { Model, Run } = await import("./loop.mjs");
    const { open } = await import(`./${page}.mjs`);
    const { tries } = await (await fetch(`${page}/examples.json`)).json();
    window.held ??= {};
    const made = [];
    for (const [i, text] of texts.entries()) {
        const model = window.held[names[i]] ??= await Model.open(ort, `${page}/${names[i]}`);
        const problem = open(text, tries);
        const run = new Run(model, problem);
        while (!run.end) await run.step();
        const { seen, ...end } = run.end;
        const said = {};
        for (const loop of at) {
            const frame = run.frames[loop];
            if (frame?.number === 1 && frame.seen) said[loop] = Array.from(frame.seen.classes ?? frame.seen.logits);
        }
        made.push({ ...end, answer: seen && problem.look(seen).answer, said });
    }
    return made;
}"""


@torch.no_grad()
def answers(page: Any, name: str, texts: list[str]) -> None:
    """Print how many instances end alike in the browser and in `solve`, and how far the logits are apart at equal
    loops.
    """
    task = get_task(TASKS[name])
    names = [task.default_model(text) for text in texts]
    models = {one: load_pretrained(one) for one in set(names)}
    there = []
    for first in range(0, len(texts), 20):
        there += page.evaluate(RUN, [name, names[first : first + 20], texts[first : first + 20], list(AT)])
    here = list(solve(lambda text: models[get_task(TASKS[name]).default_model(text)], texts))
    same, of = Counter(), Counter()
    for text, model, one, other in zip(texts, names, there, here, strict=True):
        facts = {part: one[part] == getattr(other, part) for part in ("answer", "status", "loops", "tries")}
        loop = models[model].loop(models[model].recipe.task.encode(text))
        for count, z in enumerate(loop.states(max(map(int, one["said"]), default=1)), start=1):
            if str(count) in one["said"]:
                facts[f"said at {count}"] = alike(name, torch.tensor(one["said"][str(count)]), loop.read_out(z)[0])
        same.update(part for part, equal in facts.items() if equal)
        of.update(list(facts))
        if not all(facts.values()):
            ends = "; ".join(
                f"{who} {end['status']}, {end['loops']} loops, try {end['tries']}, residual {end['residual']:.4e}"
                for who, end in (("browser", one), ("package", vars(other)))
            )
            print(f"  apart in {[part for part in facts if not facts[part]]}: {text[:90]}: {ends}", flush=True)
    counts = ", ".join(f"{part} {same[part]} of {of[part]}" for part in of)
    print(
        f"{name}: {len(texts)} instances; alike: {counts}; ended: {dict(Counter(one.status for one in here))}",
        flush=True,
    )


def alike(name: str, there: torch.Tensor, logits: torch.Tensor) -> bool:
    """Is the likeliest class of every cell the same? ``there``: classes, or for chess logits, from and to."""
    classes = there.view(2, 64).argmax(-1) if name == "chess" else there
    return classes.tolist() == logits.argmax(-1).tolist()[-len(classes) :]  # prefix sums: without the BOS cell


SPEED = """async ([page, name, text, loops]) => {
    const ort = await import("./ort/ort.wasm.bundle.min.mjs");
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = { wasm: new URL("./ort/ort-wasm-simd-threaded.wasm", document.baseURI).href };
    const { Model } = await import("./loop.mjs");
    const { open } = await import(`./${page}.mjs`);
    window.held ??= {};
    const model = window.held[name] ??= await Model.open(ort, `${page}/${name}`);
    let { h: z, recalled } = await model.encode(open(text, {}).x);
    const begun = performance.now();
    for (let loop = 0; loop < loops; loop++) ({ z } = await model.step(z, recalled));
    return (performance.now() - begun) / loops;
}"""


@torch.no_grad()
def speed(page: Any, name: str, text: str, loops: int = 50, rounds: int = 7) -> None:
    """Print milliseconds a loop, the browser and PyTorch taking turns, one thread each, one instance."""
    model_name = get_task(TASKS[name]).default_model(text)
    model, there, here = load_pretrained(model_name), [], []
    for _ in range(rounds):
        there.append(page.evaluate(SPEED, [name, model_name, text, loops]))
        loop = model.loop(model.recipe.task.encode(text))
        z, begun = loop.start(), time.perf_counter()
        for _ in range(loops):
            z = loop(z)
            loop.read_out(z)
        here.append(1e3 * (time.perf_counter() - begun) / loops)
    a, b = statistics.median(there), statistics.median(here)
    print(
        f"{name}, {z.shape[1]} cells of width {z.shape[2]}: browser {a:.2f} ms a loop, PyTorch {b:.2f}, ratio"
        f" {a / b:.2f}",
        flush=True,
    )


def visit(browser: Any, address: str, name: str) -> None:
    """Print what a first visit fetches, and seconds until the model can run and until the first answer, Play pressed at
    once.
    """
    took = []
    for _ in range(3):
        page = browser.new_context().new_page()
        Zipped.sent, begun = 0, time.perf_counter()
        page.goto(f"{address}/{name}.html")
        page.locator("#play:enabled").click()
        page.wait_for_function("Number(document.querySelector('#count').textContent) > 0")
        first = time.perf_counter() - begun
        page.wait_for_function("document.querySelector('.result')?.textContent", timeout=120_000)
        took.append((first, time.perf_counter() - begun))
        sent, said = Zipped.sent, page.locator(".result").inner_text()
        page.context.close()
    first, last = (statistics.median(part) for part in zip(*took, strict=True))
    print(
        f"{name}: {sent / 1e6:.2f} MB gzipped; first loop after {first:.1f} s, answer after {last:.1f} s ({said[-60:]})"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--site", type=Path, default=ROOT / "build" / "site" / "html")
    parser.add_argument("--part", choices=("answers", "speed", "visit"))
    parser.add_argument("--count", type=float, default=1, help="the share of the instances that is compared")
    parser.add_argument("--task", choices=TASKS, help="only this one")
    arguments = parser.parse_args()
    chosen = [arguments.task] if arguments.task else list(TASKS)
    torch.set_num_threads(1)
    texts = instances(arguments.count)
    with serving(arguments.site) as address, drive.chromium() as browser:
        if arguments.part in (None, "visit"):
            for name in chosen:
                visit(browser, address, name)
        page = browser.new_page()
        page.set_default_timeout(600_000)
        page.goto(f"{address}/sudoku.html")
        if arguments.part in (None, "speed"):
            for name, text in (
                ("sudoku", texts["sudoku"][0]),
                ("bits", "01" * 32),
                ("bits", "01" * 256),
                ("chess", texts["chess"][0]),
            ):
                speed(page, name, text)
        if arguments.part in (None, "answers"):
            for name in chosen:
                answers(page, name, texts[name])


if __name__ == "__main__":
    main()
