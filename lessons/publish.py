"""Tell the course where it lives: `make publish REPO=https://github.com/you/course` runs this file.

    python lessons/publish.py https://github.com/you/course

The address goes into pyproject.toml ([project.urls]), and from there into the first two cells of every notebook and
into README.md. Commit what changed and tag the commit with the version (v0.1.0), which is what the set-up cell asks for
first.
"""

from __future__ import annotations

import re
import sys

from build import ROOT, colab_link, project_setting, readdress, sources

BEGIN, END = "<!-- where the course lives: `make publish` writes these lines -->", "<!-- until here -->"


def check(address: str) -> str:
    """The address as it is stored. ValueError unless it is one that git can clone by https."""
    if not re.fullmatch(r"https://[\w.-]+(?:/[\w.~-]+){2,}/?", address):
        raise ValueError(
            f"{address!r:.80} is no address of a repository: expected one such as https://github.com/you/course"
        )
    return address.rstrip("/").removesuffix(".git")


def project_with(text: str, address: str) -> str:
    """pyproject.toml with this address as the Repository of [project.urls]."""
    line = f'Repository = "{address}"'
    if re.search(r"^Repository = ", text, re.MULTILINE):
        return re.sub(r"^Repository = .*", lambda _: line, text, flags=re.MULTILINE)
    return text.replace("[tool.setuptools]\n", f"[project.urls]\n{line}\n\n[tool.setuptools]\n", 1)


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


def readme_with(text: str, address: str, names: list[str]) -> str:
    """README.md with the lines of `where` between its two marks, and the address wherever it says ADDRESS."""
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    text = f"{head}{BEGIN}\n{where(address, names)}\n{END}{tail}"
    return re.sub(r"\bgit clone (?:ADDRESS|https://\S+)", f"git clone {address or 'ADDRESS'}", text)


def main() -> None:
    try:
        address = check(sys.argv[1] if len(sys.argv) == 2 else "")
    except ValueError as error:
        sys.exit(str(error))
    lessons = sources([])
    project, readme = ROOT / "pyproject.toml", ROOT / "README.md"
    project.write_text(project_with(project.read_text(encoding="utf-8"), address), encoding="utf-8")
    readme.write_text(
        readme_with(readme.read_text(encoding="utf-8"), address, [s.stem for s in lessons]), encoding="utf-8"
    )
    for source in lessons:
        readdress(source)
    version = project_setting("version")
    print(
        f"{address} is in pyproject.toml, README.md and {len(lessons)} notebooks. Now: git commit -a, git tag "
        f"v{version}, git push --tags"
    )


if __name__ == "__main__":
    main()
