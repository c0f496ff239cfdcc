"""The shipped positions like composed ones, and their builder."""

import gzip
import hashlib
import importlib.util
import random
import re
import shutil
from collections import Counter
from pathlib import Path

import chess
import pytest
import torch

from looped_lite.paths import data_path
from looped_lite.tasks.chess import DEPTHS, KINDS, SOURCES, SPLITS, Chess, load_positions, positions_of, training_groups

spec = importlib.util.spec_from_file_location("build_composed", data_path("build_composed.py"))
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)
from build_chess import COLUMNS, fault, key  # noqa: E402 - the builder has put data/ on the path

needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None and shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(scope="module")
def rows():
    return {depth: list(build.read_table(data_path(f"chess_composed{depth}.csv.gz"))) for depth in DEPTHS}


@pytest.mark.parametrize(("depth", "count"), [(1, 60), (2, 20), (3, 2)])
def test_a_sample_has_one_mate_and_no_faster_one(rows, depth, count):
    for row in random.Random(depth).sample(rows[depth], count):
        assert fault(row, depth) == "", row["fen"]


@pytest.mark.slow
def test_mates_in_four_are_forced_and_lines_are_whole(rows):
    for row in rows[4][::200]:
        assert fault(row, 4, unique=False) == "", row["fen"]


def test_nobody_is_in_check_and_tables_are_as_described(rows):
    for depth, table in rows.items():
        assert list(table[0]) == COLUMNS
        assert {row["source"] for row in table} == {"composed"} and {row["split"] for row in table} <= set(SPLITS)
        assert all(row["fen"].endswith(" - - 0 1") for row in table)
        assert all(len(row["line"].split()) == 2 * depth - 2 for row in table)
        assert not any(chess.Board(row["fen"]).is_check() for row in table[::50])


@pytest.mark.slow
def test_no_position_is_there_twice_and_none_of_a_test_set_is_trained_on(rows):
    """Mirror images and swapped colours counted as the same, positions of games included."""
    keys = Counter(key(row["fen"]) for table in rows.values() for row in table if row["split"] != "train")
    assert max(keys.values()) == 1
    boards = Counter(
        board.tobytes()
        for depth in DEPTHS
        for split in SPLITS
        for composed in (False, True)
        for board in load_positions(depth, split, composed).boards.numpy()
    )
    assert max(boards.values()) == 1  # boards as the model sees them: mirrored and with colours swapped


@pytest.mark.parametrize("depth", DEPTHS)
def test_first_moves_are_of_many_kinds(rows, depth):
    found = [build.character(row) for row in rows[depth] if row["split"] == "test"][:150]
    share = {name: sum(one[name] for one in found) / len(found) for name in found[0]}
    assert 0.3 < share["black to move"] < 0.7 and share["king off the edge"] > 0.2
    assert (share["quiet"] > 0.4 and share["sacrifice"] > 0) if depth > 1 else share["quiet"] == 0


@pytest.mark.parametrize(
    ("fen", "move", "expected"),
    [
        ("6k1/5ppp/8/8/8/8/8/R3K3 w - - 0 1", "a1a8", set()),
        ("k7/8/1K6/8/8/8/8/7R w - - 0 1", "h1h7", {"quiet"}),
        ("r5k1/5ppp/8/8/8/8/Q7/R3K3 w - - 0 1", "a2a8", set()),  # wins a rook, is retaken
        ("1r4k1/5ppp/8/8/8/8/1Q6/4K3 b - - 0 1", "b8b2", {"black to move", "quiet"}),
        ("r5k1/8/8/8/8/8/8/Q3K3 w - - 0 1", "a1a7", {"quiet", "sacrifice"}),
        ("8/P6k/8/8/8/8/8/4K3 w - - 0 1", "a7a8n", {"quiet", "promotion", "underpromotion"}),
    ],
)
def test_what_is_said_of_a_first_move(fen, move, expected):
    found = build.character({"fen": fen, "move": move})
    assert {name for name, yes in found.items() if yes} - {"king off the edge"} == expected


@needs_compiler
def test_a_chunk_depends_on_its_name_alone_and_splits_have_seeds_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setitem(build.KINDS, 1, build.KINDS[1]._replace(size=3))
    texts = {}
    for place, job in enumerate([(1, "train", 0), (1, "train", 1), (1, "test", 0), (1, "train", 0)]):
        path = build.build_chunk(tmp_path, job)
        texts[place] = path.read_text()
        path.unlink()  # so that an equal chunk is made again
        assert len(texts[place].splitlines()) == 3
    assert texts[0] == texts[3] and len(set(texts.values())) == 3


def test_recipes_choose_the_kinds_and_older_ones_train_on_games_alone():
    assert Chess().sources == SOURCES and set(KINDS) - set(SOURCES) == {"composed"}
    known = training_groups((1, 2), SOURCES)
    more = training_groups((1, 2), KINDS)
    assert [len(boards) for boards, _ in known] == [65_781, 16_915, 12_473, 13_821]
    assert all(torch.equal(one, other) for one, other in zip(known[0], more[0], strict=True)) and len(more) == 6
    sets = [name for name, *_ in Chess(sources=KINDS).test_sets(5, None, torch.Generator())]
    assert {f"mate in {depth}, composed" for depth in DEPTHS} <= set(sets)
    assert not any("composed" in name for name, *_ in Chess().test_sets(5, None, torch.Generator()))
    assert set(positions_of(1, "test", "composed").sources) == {"composed"}


def test_the_description_gives_the_right_checksums_and_counts(rows):
    described = Path(data_path("README.md")).read_text()
    for depth, table in rows.items():
        name = f"chess_composed{depth}.csv"
        text = gzip.decompress(data_path(f"{name}.gz").read_bytes())
        assert f"{hashlib.sha256(text).hexdigest()}  {name}\n" in described
        counts = Counter(row["split"] for row in table)
        found = re.search(rf"^\| mate in {depth}, composed \|(.*)\|$", described, re.M)
        assert [int(cell.replace(",", "")) for cell in found[1].split("|")[:3]] == [
            counts[split] for split in ("train", "validation", "test")
        ]
