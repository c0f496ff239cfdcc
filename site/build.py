"""The static site: the lessons as they ship, tables of results, a reference from docstrings, and pages that run a model
in the reader's browser. It asks no other server for anything.

    python site/build.py                 into build/site/html; `make site` does the same
    python site/build.py --out FOLDER

What the running pages need of the models is written first, with the Python that you call it with: the course's own
(`site/pages.py`). What builds the rest lives in an environment of its own, build/site/env, made once. The notebooks are
not run: their outputs are those that were checked in. A widget needs a kernel, so its picture as it was when the lesson
ran stands in its place.
"""

from __future__ import annotations

import argparse
import ast
import base64
import csv
import hashlib
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "site"
BUILD = ROOT / "build" / "site"
PAGES = BUILD / "pages"  # what Jupyter Book reads
LONGEST = 40  # rows of a table of results on a page; the file has all

WIDGET = "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.jupyter.widget-state+json"
DATA_PICTURE = re.compile(r'<img\b([^>]*?)\ssrc="data:image/(png|gif);base64,([^"]+)"([^>]*)>')


# ---------------------------------------------------------------- lessons


def widget_html(state: dict, model: str) -> str:
    """The pictures, and the words under them, that a widget showed when the notebook was saved."""
    found = []

    def walk(name: str) -> None:
        held = state.get(name, {}).get("state", {})
        value = held.get("value")
        if isinstance(value, str) and held.get("_model_name") == "HTMLModel" and "<img" in value:
            found.append(value)
        for child in held.get("children", []):
            walk(child.removeprefix("IPY_MODEL_"))

    walk(model)
    note = "A still: in JupyterLab or Colab, sliders and buttons move it."
    if not found:
        return f'<p class="still">{note.replace("A still", "Not shown here")}</p>'
    return "".join(f'<figure>{one}<figcaption class="still">{note}</figcaption></figure>' for one in found)


def save_pictures(text: str, folder: Path) -> str:
    """``text`` with the pictures that it carries written to files, each a link to itself, so that it opens large.

    An animation is replaced by its last frame where the reader asked for less motion.
    """

    def saved(match: re.Match) -> str:
        before, kind, code, after = match.groups()
        data = base64.b64decode(code)
        name = f"{hashlib.sha256(data).hexdigest()[:16]}.{kind}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        image = f'<img{before} src="{folder.name}/{name}"{after}>'
        if kind == "gif":
            still = name.replace(".gif", "-still.png")
            last_frame(data).save(folder / still)
            calm = f'<source media="(prefers-reduced-motion: reduce)" srcset="{folder.name}/{still}">'
            image = f"<picture>{calm}{image}</picture>"
        return f'<a class="enlarge" href="{folder.name}/{name}">{image}</a>'

    return DATA_PICTURE.sub(saved, text)


def last_frame(data: bytes):
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    image.seek(getattr(image, "n_frames", 1) - 1)
    return image.convert("RGB")


def link_lessons(text: str, names: dict[str, str], own: str) -> str:
    """Prose in which "lesson 03" is a link to that lesson, except in code, links, headings and on its own page."""
    kept = re.compile(r"```.*?```|`[^`\n]*`|\[[^\]]*\]\([^)]*\)|^#.*?$|<[^>]+>|\$[^$\n]+\$", re.DOTALL | re.MULTILINE)

    def linked(part: str) -> str:
        def one(match: re.Match) -> str:
            name = names.get(match[2])
            return f"[{match[0]}]({name}.ipynb)" if name and match[2] != own else match[0]

        return re.sub(r"\b(lesson|Lesson) (\d\d)\b", one, part)

    parts, place = [], 0
    for match in kept.finditer(text):
        parts += [linked(text[place : match.start()]), match[0]]
        place = match.end()
    return "".join([*parts, linked(text[place:])])


def write_lesson(path: Path, names: dict[str, str]) -> None:
    """A lesson as Jupyter Book gets it: pictures in files, stills for widgets, links between lessons."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    state = notebook["metadata"].pop("widgets", {}).get(STATES, {}).get("state", {})
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = link_lessons(source, names, path.stem[:2])
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if WIDGET in data:
                data["text/html"] = widget_html(state, data.pop(WIDGET)["model_id"])
            if "text/html" in data:
                data["text/html"] = save_pictures("".join(data["text/html"]), PAGES / "pictures")
    (PAGES / path.name).write_text(json.dumps(notebook), encoding="utf-8")


# ---------------------------------------------------------------- tables


def table(rows: list[list[str]]) -> str:
    """An HTML table that scrolls sideways; the first row is its head."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(short(cell))}</td>' for cell in row)}</tr>" for row in rows[1:])
    around = '<div class="table-scroll" tabindex="0" role="region" aria-label="table"><table class="table">'
    return f"{around}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def short(cell: str) -> str:
    """A number with at most four digits after the point."""
    return re.sub(r"^(-?\d+\.\d{4})\d+$", r"\1", cell)


def write_results() -> None:
    """One page with every table in data/results, and one for the claims if there is a table of them."""
    parts = [
        "# Results\n\nEvery table of the lessons, as it lies in `data/results/`. [What the columns mean](data.md)."
    ]
    for path in sorted((ROOT / "data" / "results").glob("*.csv")):
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        shutil.copy(path, PAGES / "files" / path.name)
        more = f" The first {LONGEST} of {len(rows) - 1} rows:" if len(rows) - 1 > LONGEST else ""
        part = f'## {path.stem.replace("_", " ")}\n\n<a href="files/{path.name}">{path.name}</a>, '
        part += f"{len(rows) - 1} rows.{more}\n\n{table(rows[: LONGEST + 1])}"
        if path.stem == "claims":
            (PAGES / "claims.md").write_text(f"# Claims\n\n{part.partition(chr(10))[2].strip()}\n", encoding="utf-8")
        else:
            parts.append(part)
    (PAGES / "results.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


# ---------------------------------------------------------------- reference


def signature(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({re.sub(r'^self(, )?', '', ast.unparse(node.args))}){returns}"


def described(node: ast.AST, level: str) -> list[str]:
    """Heading, signature and docstring of a public function or class, and of a class's public methods."""
    text = ast.get_docstring(node) or ""
    if node.name.startswith("_") or not text:
        return []
    if isinstance(node, ast.ClassDef):
        parts = [f"{level} `{node.name}`", text]
        for child in node.body:
            if isinstance(child, ast.FunctionDef):
                parts += described(child, level + "#")
        return parts
    return [f"{level} `{node.name}`", f"```python\n{signature(node)}\n```", text]


def write_reference() -> list[str]:
    """A page for each file of the package that has public names; returns the pages' names."""
    package, names = ROOT / "looped_lite", []
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = [
            part
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            for part in described(node, "##")
        ]
        dotted = ".".join(("looped_lite", *path.relative_to(package).with_suffix("").parts)).removesuffix(".__init__")
        if not parts or path.stem == "__main__":
            continue
        names.append(f"reference/{dotted}")
        top = [f"# `{dotted}`", ast.get_docstring(tree) or ""]
        (PAGES / f"reference/{dotted}.md").write_text("\n\n".join([*top, *parts]) + "\n", encoding="utf-8")
    links = "\n".join(f"- [`{name.partition('/')[2]}`]({name}.md)" for name in names)
    text = f"# Reference\n\nThe package, file by file, from its own words.\n\n{links}\n"
    (PAGES / "reference.md").write_text(text, encoding="utf-8")
    return names


# ---------------------------------------------------------------- the book


def write_front(lessons: list[Path]) -> None:
    """The first page: what the course is, its lessons, and the pages beside them."""
    rows = []
    for path in lessons:
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        title = first.splitlines()[0].removeprefix("# ")
        question = re.search(r"^\*\*(.+\?)\*\*", first, re.MULTILINE)
        rows.append(f"| [{title}]({path.name}) | {question[1] if question else ''} |")
    claims = "\n- [Claims](claims.md): what the paper says, and what was seen here" * (PAGES / "claims.md").exists()
    text = f"""# Looped Transformers from Scratch

A course about models that think in loops: one transformer block, applied again and again, until the answer stops
changing. You build the block, train it while you watch, and take it apart with the tools of fixed points. Here you read
it. To run it, to do the exercises and to move what moves, a laptop without a GPU is enough, or Google Colab.

Before you install anything, let a trained block think in this browser: <a href="try/sudoku.html">a sudoku</a>, <a
href="try/bits.html">a string of bits</a>, <a href="try/chess.html">a chess position</a>.

| lesson | question |
|---|---|
{chr(10).join(rows)}

- [Results](results.md): every table that the lessons draw on{claims}
- [Reference](reference.md): the package `looped_lite`, file by file
- [Data](data.md): how puzzles, models and results were made
"""
    (PAGES / "index.md").write_text(text, encoding="utf-8")


def write_data_page() -> None:
    """data/README.md, with links into the repository turned into words: the files are not part of the site."""
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)
    (PAGES / "data.md").write_text(text, encoding="utf-8")


CONFIG = """\
title: Looped Transformers from Scratch
author: The authors of Looped Transformers from Scratch
copyright: "2026"
only_build_toc_files: true
execute: {execute_notebooks: "off"}
html:
  use_issues_button: false
  use_repository_button: false
  use_edit_page_button: false
  favicon: _static/icon.svg
launch_buttons: {thebe: false, colab_url: "", binderhub_url: "", notebook_interface: classic}
parse: {myst_enable_extensions: [dollarmath, amsmath]}
sphinx:
  config:
    language: en
    mathjax_path: mathjax.js
    mathjax_options: {}
    nb_ipywidgets_js: {}
    html_static_path: [_static]
    html_css_files: [course.css]
    html_show_sourcelink: false
    html_copy_source: false
    myst_heading_anchors: 3
    suppress_warnings: [mystnb.unknown_mime_type, myst.header, myst.xref_missing]
    html_theme_options: {use_download_button: false, use_fullscreen_button: false, navigation_with_keys: false}
"""


def write_book(lessons: list[Path], reference: list[str]) -> None:
    (PAGES / "_config.yml").write_text(CONFIG, encoding="utf-8")
    others = [name for name in ("results", "claims", "data") if (PAGES / f"{name}.md").exists()]
    toc = "format: jb-book\nroot: index\nparts:\n- caption: Lessons\n  chapters:\n"
    toc += "".join(f"  - file: {path.stem}\n" for path in lessons)
    toc += "- caption: More\n  chapters:\n" + "".join(f"  - file: {name}\n" for name in others)
    toc += "  - file: reference\n    sections:\n" + "".join(
        f"    - file: {name}\n      title: {name.partition('.')[2].replace('._', '.')}\n" for name in reference
    )
    (PAGES / "_toc.yml").write_text(toc, encoding="utf-8")


# ---------------------------------------------------------------- pages that run a model

ORT = ["dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"]


def write_try(out: Path, files: list[Path]) -> None:
    """The pages in which a model runs: site/try with its templates filled, the models of build/site/try, and ``files``
    of onnxruntime-web.
    """
    for path in (HERE / "try").glob("*.[mc][js]s"):
        shutil.copy(path, out / path.name)
    (out / "ort").mkdir()
    for path in files:
        shutil.copy(path, out / "ort" / path.name)
    sys.path.insert(0, str(HERE))
    from pages import MODELS

    pages = list(MODELS)
    parts = {name: page_parts((HERE / "try" / f"{name}.html").read_text(encoding="utf-8")) for name in pages}
    for name in pages:
        shutil.copytree(BUILD / "try" / name, out / name)
        links = [
            f'<a href="{other}.html"{" aria-current=page" if other == name else ""}>{other}</a>' for other in pages
        ]
        loads = [
            "page.mjs",
            "grid.mjs",
            "draw.mjs",
            "loop.mjs",
            "noise.mjs",
            "text.mjs",
            f"{name}.mjs",
            f"ort/{files[0].name}",
        ]
        preload = [f'<link rel="modulepreload" href="{one}">' for one in loads]
        preload.append(f'<link rel="preload" href="ort/{files[1].name}" as="fetch" crossorigin>')
        told = json.loads((BUILD / "try" / name / "stills.json").read_text(encoding="utf-8"))
        stills = [
            f'<figure><img src="{name}/{one["file"]}" loading="lazy"'
            f' alt="{html.escape(one["words"])}"><figcaption>{html.escape(one["words"])}</figcaption></figure>'
            for one in told["pictures"]
        ]
        facts = json.loads((out / name / MODELS[name][0] / "model.json").read_text(encoding="utf-8"))
        more = {
            "name": name,
            "parameters": f"{facts['parameters']:,}",
            "links": " ".join(links),
            "preload": "\n".join(preload),
            "stills": "\n".join(stills),
            "script": f"{name}-page.mjs",
        }
        templates = ((HERE / "try" / f"{one}.html").read_text(encoding="utf-8") for one in ("controls", "page"))
        controls, text = (fill(template, parts[name] | more) for template in templates)
        text = fill(fill(text, {"controls": controls}), more)  # twice: what a page says may name a number of its model
        (out / f"{name}.html").write_text(text, encoding="utf-8")


def page_parts(text: str) -> dict[str, str]:
    """What a page's file says: {{name: words}} on lines of their own, then what stands above the model and, below
    {{rest}}, under it.
    """
    parts = dict(re.findall(r"^\{\{(\w+): (.*)\}\}$", text, re.MULTILINE))
    above, _, below = re.sub(r"^\{\{\w+: .*\}\}\n", "", text, flags=re.MULTILINE).partition("{{rest}}\n")
    return {"restarts": ""} | parts | {"lede": above.strip(), "words": below.strip()}


def fill(template: str, parts: dict[str, str]) -> str:
    """A template with {{name}} replaced by what ``parts`` has under that name."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts.get(match[1], match[0]), template)


# what the theme writes, and what the site has instead: first to take away, then to name for those who hear the page
TIDY = [
    (r'localStorage.getItem\("(mode|theme)"\) \|\| ""', r'localStorage.getItem("\1") || "light"'),
    (r'<script[^>]*\bsrc="https?://[^"]*"[^>]*>\s*</script>', ""),
    (r'<link[^>]*\bhref="https?://[^"]*"[^>]*>', ""),
    (r'<script type="application/vnd.jupyter.widget-state\+json">.*?</script>', ""),
    (r"<script>const THEBE_JS_URL.*?</script>", ""),
    (r'<script type="text/x-thebe-config">.*?</script>', ""),
    (r"<(?:script|link)[^>]*sphinx-thebe[^>]*>(?:</script>)?", ""),
    (r"<button[^>]*theme-switch-button.*?</button>", ""),
    (r'data-default-mode=""', 'data-default-mode="light"'),
    (r'(<button class="[^"]*search-button-field[^"]*"[^>]*?) aria-label="Search"', r"\1"),
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (r'<summary>(?=\s*<span class="toctree-toggle")', '<summary aria-label="pages of this chapter">'),
]


def tidy(page: Path) -> None:
    """Take away what the theme adds in vain: what comes from another server, and scripts that are there twice."""
    text = page.read_text(encoding="utf-8")
    for pattern, better in TIDY:
        text = re.sub(pattern, better, text, flags=re.DOTALL)
    seen: set[str] = set()

    def once(match: re.Match) -> str:
        again = match[1] in seen
        seen.add(match[1])
        return "" if again else match[0]

    text = re.sub(r'<script[^>]*\bsrc="([^"]+)"[^>]*>\s*</script>', once, text)
    page.write_text(text, encoding="utf-8")


def environment() -> Path:
    """The Python that has Jupyter Book: this one if it does, else one of its own, made once."""
    home, wanted = BUILD / "env", (HERE / "requirements.txt").read_text(encoding="utf-8")
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (home / ".made").exists() or (home / ".made").read_text(encoding="utf-8") != wanted:
        print("Fetching Jupyter Book, about 60 MB, into build/site/env.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        words = ["install", "-qq", "--disable-pip-version-check", "-r", str(HERE / "requirements.txt")]
        subprocess.run([str(python), "-m", "pip", *words], check=True)
        (home / ".made").write_text(wanted, encoding="utf-8")
    return python


def build(out: Path) -> int:
    """Write the pages, build the book and copy it to ``out``. Runs in the environment that has Jupyter Book."""
    sys.path.insert(0, str(HERE))
    from npm import package_file, package_files

    shutil.rmtree(PAGES, ignore_errors=True)
    for folder in ("files", "reference", "_static"):
        (PAGES / folder).mkdir(parents=True)
    shutil.copy(package_file("mathjax", "es5/tex-svg-full.js"), PAGES / "_static" / "mathjax.js")
    shutil.copy(HERE / "icon.svg", PAGES / "_static" / "icon.svg")
    shutil.copy(HERE / "style.css", PAGES / "_static" / "course.css")
    lessons = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    names = {path.stem[:2]: path.stem for path in lessons}
    for path in lessons:
        write_lesson(path, names)
    write_results()
    write_data_page()
    reference = write_reference()
    write_front(lessons)
    write_book(lessons, reference)
    words = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        "--quiet",
        str(PAGES),
        "--path-output",
        str(BUILD / "made"),
    ]
    shutil.rmtree(BUILD / "made", ignore_errors=True)
    made = subprocess.run(words, env=os.environ | {"PYTHONWARNINGS": "ignore"}).returncode
    if made:
        return made
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(BUILD / "made" / "_build" / "html", out)
    for folder in ("files", "pictures"):
        shutil.copytree(PAGES / folder, out / folder, dirs_exist_ok=True)
    for page in out.rglob("*.html"):
        if "_static" in page.parts:  # a template of the theme, not a page
            page.unlink()
        else:
            tidy(page)
    (out / "try").mkdir()
    write_try(out / "try", package_files("onnxruntime-web", ORT))
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    print(f"{len(list(out.rglob('*.html')))} pages, {size:.0f} MB: open {out / 'index.html'}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the static site.")
    parser.add_argument("--out", type=Path, default=BUILD / "html")
    arguments = parser.parse_args()
    python = environment()
    if Path(sys.prefix).resolve() != python.parent.parent.resolve():
        made = subprocess.run(
            [sys.executable, str(HERE / "pages.py"), str(BUILD / "try")], stderr=subprocess.PIPE, text=True
        )
        if made.returncode:
            print(
                f"{(made.stderr.strip().splitlines() or ['?'])[-1]}\nThe site needs the course and the extra test: make"
                " site",
                file=sys.stderr,
            )
            return 1
    if Path(sys.prefix).resolve() != python.parent.parent.resolve():
        return subprocess.run([str(python), str(HERE / "build.py"), "--out", str(arguments.out.resolve())]).returncode
    try:
        return build(arguments.out)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
