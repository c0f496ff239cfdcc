"""Tables of text as people have them: CSV in UTF-8, plain or compressed, columns in any order. What is wrong is said in
one line. And tables as a lesson shows them.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

Row = dict[str, str]
Read = TypeVar("Read")


class Zstandard(io.RawIOBase):
    """The bytes of a file compressed with Zstandard, in one frame or several. EOFError if it ends in the middle of one,
    which the package's own reader takes for the end of the file, or is damaged."""

    def __init__(self, source: IO[bytes], package: Any) -> None:
        self.source, self.package, self.frame = source, package, None
        self.decompressor, self.rest, self.ready = package.ZstdDecompressor(), b"", b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.ready:
            piece = self.rest or self.source.read(1 << 17)
            if not piece and self.frame:
                raise EOFError("it ends too early")
            if not piece:
                return 0
            self.frame = self.frame or self.decompressor.decompressobj()
            try:
                self.ready, self.rest = self.frame.decompress(piece), b""
            except self.package.ZstdError as error:
                raise EOFError(error) from error
            if self.frame.eof:
                self.frame, self.rest = None, self.frame.unused_data
        taken = min(len(buffer), len(self.ready))
        buffer[:taken], self.ready = self.ready[:taken], self.ready[taken:]
        return taken

    def close(self) -> None:
        self.source.close()
        super().close()


def open_text(path: Path) -> IO[str]:
    """A text file, opened; its name says how it is compressed: ``.gz``, ``.zst``, or not at all."""
    if path.suffix != ".zst":
        return (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="")
    try:
        import zstandard
    except ImportError as error:
        message = f'reading {path} needs the package zstandard: pip install "looped-lite[chess]"'
        raise ImportError(message) from error
    data = io.BufferedReader(Zstandard(open(path, "rb"), zstandard))  # noqa: SIM115 (the reader closes it)
    return io.TextIOWrapper(data, encoding="utf-8-sig", newline="")


def find_columns(header: Sequence[str], wanted: Sequence[Sequence[str]]) -> dict[str, int]:
    """Where wanted columns stand in a header: each by one of its names, in any capitals; for ``[]`` all of them."""
    known = [name.strip().lower() for name in header]
    twice = [name for place, name in enumerate(known) if name in known[:place]]
    wanted = wanted or [[name] for name in map(str.strip, header)]
    found = {names[0]: [name.lower() for name in names if name.lower() in known] for names in wanted}
    missing = sorted(name for name, here in found.items() if not here)
    if missing:
        raise ValueError(f"lacks the columns {', '.join(missing)}: it has {', '.join(header)}")
    for here in found.values():
        if here[0] in twice:
            raise ValueError(f"has the column {here[0]} twice")
    return {name: known.index(here[0]) for name, here in found.items()}


def read_table(
    path: str | Path, wanted: Sequence[Sequence[str]] = (), read: Callable[[Row], Read] = lambda row: row
) -> Iterator[Read]:
    """What ``read`` makes of each row of a CSV, a dictionary of strings by column; rows of which it makes None are left
    out.

    ``wanted`` gives the columns that are needed, each as the names that it may have, in any capitals; the first is its
    key in a row. Without it all columns are there under their own names. Blank lines are skipped. ``path`` may end in
    ``.gz`` or ``.zst``.

    Raises ValueError, with file and line, for a file that is no whole table in UTF-8 and for a row that ``read``
    refuses with a ValueError; OSError for a file that cannot be opened.
    """
    path, line, reader = Path(path), "", None
    try:
        with open_text(path) as file:
            reader = csv.reader(file, strict=True)
            header = next((row for row in reader if any(map(str.strip, row))), None)
            if header is None:
                raise ValueError("is empty: expected a table with a header")
            if "\0" in "".join(header):
                raise UnicodeDecodeError("utf-8", b"", 0, 1, "zeros between the letters")
            columns = find_columns(header, wanted)
            for cells in reader:
                if not any(map(str.strip, cells)):
                    continue
                line = f", line {reader.line_num}:"
                if len(cells) != len(header):
                    raise ValueError(f"expected {len(header)} columns, as in the header, got {len(cells)}")
                made = read({name: cells[place] for name, place in columns.items()})
                if made is not None:
                    yield made
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: expected a CSV saved as UTF-8") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole compressed file: {brief(error)}") from error
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a row of a CSV: {brief(error)}") from error
    except ValueError as error:
        raise ValueError(f"{path}{line} {brief(error)}") from error
    except OSError as error:
        raise type(error)(f"cannot read {path}: {error.strerror or brief(error)}") from error


def brief(error: Exception) -> str:
    """What an error says, in less than a few lines."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:297]}..."


def in_markdown(header: Sequence[str], rows: Iterable[Sequence[Any]], digits: int = 3) -> str:
    """Rows as a table in Markdown: numbers that are not whole with so many ``digits`` after the point, all else as it
    prints.
    """
    written = [
        [f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell).replace("|", "\\|") for cell in row]
        for row in rows
    ]
    uneven = next((row for row in written if len(row) != len(header)), None)
    if uneven is not None:
        raise ValueError(f"expected {len(header)} cells in each row, as in the header, got {len(uneven)}: {uneven}")
    lines = [list(header), ["---"] * len(header), *written]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def show(header: Sequence[str], rows: Iterable[Sequence[Any]], digits: int = 3) -> None:
    """Display `in_markdown` in a notebook."""
    from IPython.display import Markdown, display

    display(Markdown(in_markdown(header, rows, digits)))


def finite(row: Row, name: str) -> float:
    """A number of a row; ValueError for what is none, for nan and for infinities."""
    try:
        value = float(row[name])
    except ValueError:
        raise ValueError(f"could not convert {row[name][:60]!r} to a number: expected one as {name}") from None
    if not math.isfinite(value):
        raise ValueError(f"{name} is not a number that can be compared: {row[name][:60]!r}")
    return value
