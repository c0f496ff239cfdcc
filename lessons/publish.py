"""Tell the course where it lives: `make publish REPO=https://github.com/you/course` runs this file.

    python lessons/publish.py https://github.com/you/course
    python lessons/publish.py https://github.com/you/course https://you.github.io/course

The address goes into pyproject.toml ([project.urls]), and from there into the first two cells of every notebook and
into README.md. The second one is where you have put the static pages of `make site`: README.md then begins with a link
to the page that runs a model. Commit what changed and tag the commit with the version (v0.1.0), which is what the
set-up cell asks for first.
"""

from __future__ import annotations

import re
import sys

from build import ROOT, colab_link, project_setting, readdress, sources

TRY_BEGIN, TRY_END = "<!-- where it can be tried: `make publish` writes these lines -->", "<!-- until there -->"
PICTURE = re.compile(r"^\[?(!\[[^\]]*\]\(notebooks/images/sudoku_settles\.gif\))(?:\]\([^)]*\))?$", re.MULTILINE)
BEGIN, END = "<!-- where the course lives: `make publish` writes these lines -->", "<!-- until here -->"


def check(address: str) -> str:
    """The address as it is stored. ValueError unless it is one that git can clone by https."""
    if not re.fullmatch(r"https://[\w.-]+(?:/[\w.~-]+){2,}/?", address):
        raise ValueError(
            f"{address!r:.80} is no address of a repository: expected one such as https://github.com/you/course"
        )
    return address.rstrip("/").removesuffix(".git")


def check_site(address: str) -> str:
    """The address of the static pages as it is stored, "" for none. ValueError unless it is one of https."""
    if address and not re.fullmatch(r"https://[\w.-]+(?:/[\w.~-]+)*/?", address):
        raise ValueError(f"{address!r:.80} is no address of pages: expected one such as https://you.github.io/course")
    return address.rstrip("/")


def project_with(text: str, address: str, site: str = "") -> str:
    """pyproject.toml with these addresses as the Repository and, if there is one, the Homepage of [project.urls]."""
    lines = [f'Repository = "{address}"', *[f'Homepage = "{site}"'] * bool(site)]
    for line in lines:
        name = line.partition(" ")[0]
        if re.search(rf"^{name} = ", text, re.MULTILINE):
            text = re.sub(rf"^{name} = .*", lambda _, line=line: line, text, flags=re.MULTILINE)
        elif "[project.urls]\n" in text:
            text = text.replace("[project.urls]\n", f"[project.urls]\n{line}\n", 1)
        else:
            text = text.replace("[tool.setuptools]\n", f"[project.urls]\n{line}\n\n[tool.setuptools]\n", 1)
    return text


def where_to_try(site: str) -> str:
    """How README.md begins: the page in which a model runs, at the address of the static pages or, where none is known,
    on your machine.
    """
    if site:
        return (
            f"**[Watch one block solve a sudoku in your browser]({site}/try/sudoku.html)**, before you install"
            " anything: paste a puzzle, drag the slider, and see the same small function run again and again. Also"
            f" with [bits]({site}/try/bits.html) and [chess]({site}/try/chess.html)."
        )
    return (
        "**Watch one block solve a sudoku in your browser**, before you learn anything: `make site`, then `python -m"
        " http.server -d build/site/html`, and\nopen <http://localhost:8000/try/sudoku.html>. Paste a puzzle, drag the"
        " slider, and see the same small function run again and again."
    )


def where(address: str, names: list[str]) -> str:
    """What README.md says of an address: how to fetch the course, and where Colab opens each notebook of ``names``."""
    if not address:
        unknown = "This copy of the course does not know its own address yet"
        return f"{unknown}: below, put the one that you have it from for `ADDRESS`."
    lines = [f"The course lives at <{address}>."]
    links = [f"[{name[:2]}]({colab_link(address, name)})" for name in names if colab_link(address, name)]
    if links:
        lines += ["", f"On Google Colab: {' · '.join(links)}"]
    return "\n".join(lines)


def readme_with(text: str, address: str, names: list[str], site: str = "") -> str:
    """README.md with the lines of `where_to_try` and `where` between their marks, the first picture a link to the page
    that runs a model if that has an address, and the course's address wherever it says ADDRESS.
    """
    head, _, rest = text.partition(TRY_BEGIN)
    text = f"{head}{TRY_BEGIN}\n{where_to_try(site)}\n{TRY_END}{rest.partition(TRY_END)[2]}"
    text = PICTURE.sub(lambda match: f"[{match[1]}]({site}/try/sudoku.html)" if site else match[1], text)
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    text = f"{head}{BEGIN}\n{where(address, names)}\n{END}{tail}"
    return re.sub(r"\bgit clone (?:ADDRESS|https://\S+)", f"git clone {address or 'ADDRESS'}", text)


def main() -> None:
    try:
        address = check(sys.argv[1] if len(sys.argv) in (2, 3) else "")
        site = check_site(sys.argv[2]) if len(sys.argv) == 3 else project_setting("Homepage")
    except ValueError as error:
        sys.exit(str(error))
    lessons = sources([])
    project, readme = ROOT / "pyproject.toml", ROOT / "README.md"
    project.write_text(project_with(project.read_text(encoding="utf-8"), address, site), encoding="utf-8")
    names = [source.stem for source in lessons]
    readme.write_text(readme_with(readme.read_text(encoding="utf-8"), address, names, site), encoding="utf-8")
    for source in lessons:
        readdress(source)
    version = project_setting("version")
    print(
        f"{address} is in pyproject.toml, README.md and {len(lessons)} notebooks. Now: git commit -a, git tag "
        f"v{version}, git push --tags"
    )


if __name__ == "__main__":
    main()
