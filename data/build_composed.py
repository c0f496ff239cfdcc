"""Builds data/chess_composed1.csv.gz to data/chess_composed4.csv.gz: positions like composed ones, in which exactly one
move forces mate, fastest.

    python data/build_composed.py [--jobs 2] [--cache build/composed]     # needs gcc; minutes are in data/README.md
    python data/build_composed.py --verify                                # checks the files with python-chess instead
    python data/build_composed.py --describe                              # what the first moves are like, by split

Nobody played these: few men on squares drawn at random, kings anywhere, either side to move. `composed_mates` in
data/mate_search.c makes them and proves, as for games, that one first move alone mates in so many moves; of plain
checks it keeps few. Chunks come from seeds of their own, which name the split; a position that equals another up to
colours and mirroring, one of these files or of data/chess_mate*.csv.gz in any split, is dropped.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import chess

sys.path.insert(0, str(Path(__file__).parent))
from build_chess import (
    COLUMNS,
    DEPTHS,
    ROOT,
    SAMPLED,
    SPLITS,
    key,
    make_chunks,
    rows_of,
    search_library,
    verify,
    write_table,
)

from looped_lite.checkpoints import write_atomic
from looped_lite.tables import read_table

WORTH = {chess.PAWN: 1, chess.KNIGHT: 3, chess.BISHOP: 3, chess.ROOK: 5, chess.QUEEN: 9, chess.KING: 0}


class Kind(NamedTuple):
    """How mates in some number of moves are made: chunks of ``size`` positions, so many for each split."""

    size: int
    test: int
    validation: int
    train: int
    own: int  # most men of the side that mates, its king apart
    others: int
    patience: int  # positions looked at before other numbers of men are drawn
    proof: int  # positions that a proof may look at


KINDS = {
    1: Kind(500, 2, 1, 40, 8, 7, 20_000, 100_000),
    2: Kind(100, 6, 3, 100, 8, 7, 50_000, 100_000),
    3: Kind(20, 20, 8, 150, 6, 6, 100_000, 100_000),
    4: Kind(5, 64, 16, 200, 4, 4, 400_000, 100_000),
}


def chunk_name(depth: int, split: str, number: int) -> str:
    return f"composed_{split}_{depth}_{number:04d}"


def build_chunk(cache: Path, job: tuple[int, str, int]) -> Path:
    """Makes one chunk, unless the cache has it: lines of fen,depth,line."""
    depth, split, number = job
    path, kind = cache / f"{chunk_name(*job)}.csv", KINDS[depth]
    if not path.exists():
        seed = random.Random(f"chess composed {split} {depth} chunk {number}").getrandbits(64)
        found, make = ctypes.create_string_buffer(256 * kind.size), search_library(cache).composed_mates
        make.argtypes = [ctypes.c_uint64, *[ctypes.c_int] * 4, *[ctypes.c_uint64] * 2, ctypes.c_char_p]
        make.restype = None
        make(seed, kind.size, depth, kind.own, kind.others, kind.patience, kind.proof, found)
        write_atomic(path, found.value)  # a chunk is there as a whole or not at all
    return path


def build(jobs: int, cache: Path) -> None:
    """All chunks: tests first, then a little of everything, so that an unfinished build is of use."""
    counts = {(depth, split): getattr(KINDS[depth], split) for depth in DEPTHS for split in SPLITS}
    work = [(depth, split, number) for (depth, split), count in counts.items() for number in range(count)]
    work.sort(key=lambda job: (SPLITS.index(job[1]), job[2] / counts[job[:2]]))
    make_chunks(build_chunk, work, jobs, cache)


def assemble(cache: Path, folder: Path, partial_build: bool) -> None:
    """Writes the four files from the chunks, without any position of data/chess_mate*.csv.gz."""
    seen = {key(row["fen"]) for depth in DEPTHS for row in read_table(ROOT / "data" / f"chess_mate{depth}.csv.gz")}
    tables: dict[int, list[list[str]]] = {depth: [] for depth in DEPTHS}
    dropped: Counter[str] = Counter()
    for split in SPLITS:
        for depth in DEPTHS:
            for number in range(getattr(KINDS[depth], split)):
                path = cache / f"{chunk_name(depth, split, number)}.csv"
                if partial_build and not path.exists():
                    continue
                for fen, _, line in rows_of(path.read_bytes()):
                    if not chess.Board(fen).is_valid():
                        dropped["not legal"] += 1
                    elif (known := key(fen)) in seen:
                        dropped["equivalent"] += 1
                    else:
                        seen.add(known)
                        move, _, rest = line.partition(" ")
                        tables[depth].append([fen, move, rest, "composed", split])
    print(f"dropped: {dict(dropped)}")
    for depth, rows in tables.items():
        write_table(folder / f"chess_composed{depth}.csv.gz", rows)
        counts = Counter(row[COLUMNS.index("split")] for row in rows)
        print(f"| mate in {depth}, composed | {counts['train']:,} | {counts['validation']:,} | {counts['test']:,} |")


# ---- what the first moves are like, by python-chess


def gives_up(board: chess.Board, move: chess.Move) -> bool:
    """Can the man that moves be taken, so that two pawns' worth or more is lost, what it took and what is taken back
    counted? A man that promotes counts as a pawn."""
    worth = lambda square: WORTH.get(board.piece_type_at(square), 0)
    lost = worth(move.from_square) - worth(move.to_square)
    after = board.copy()
    after.push(move)
    for reply in list(after.legal_moves):
        if reply.to_square != move.to_square:
            continue
        taker = WORTH[after.piece_type_at(reply.from_square)]
        after.push(reply)
        retaken = any(back.to_square == move.to_square for back in after.legal_moves)
        after.pop()
        if lost - retaken * taker >= 2:
            return True
    return False


def character(row: dict[str, str]) -> dict[str, bool]:
    """What can be said of a position and its first move."""
    board, move = chess.Board(row["fen"]), chess.Move.from_uci(row["move"])
    king = board.king(not board.turn)
    return {
        "quiet": not board.gives_check(move),
        "sacrifice": gives_up(board, move),
        "underpromotion": move.promotion not in (None, chess.QUEEN),
        "promotion": move.promotion is not None,
        "black to move": not board.turn,
        "king off the edge": all(0 < place < 7 for place in (king % 8, king // 8)),
    }


def describe(folder: Path) -> None:
    """Prints, for each depth and split, the share of first moves of each kind, and the numbers of men."""
    for depth in DEPTHS:
        rows = list(read_table(folder / f"chess_composed{depth}.csv.gz"))
        for split in reversed(SPLITS):
            chosen = [row for row in rows if row["split"] == split]
            found = [character(row) for row in chosen]
            men = sorted(sum(letter.isalpha() for letter in row["fen"].split()[0]) for row in chosen)
            shares = [f"{sum(one[name] for one in found) / len(found):.3f}" for name in found[0]]
            tenths = f"{men[len(men) // 10]}, {men[len(men) // 2]}, {men[len(men) * 9 // 10]}"
            if depth == 1 and split == "train":
                print("| |", " | ".join(found[0]), "| men: 10%, half, 90% have at most |")
            print(f"| mate in {depth}, {split} |", " | ".join(shares), f"| {tenths} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "composed", help="folder for finished chunks")
    parser.add_argument("--out", type=Path, default=ROOT / "data", help="folder for the csv.gz files")
    parser.add_argument("--partial", action="store_true", help="write the files from the chunks that are there")
    parser.add_argument("--verify", action="store_true", help="check the files with python-chess")
    parser.add_argument("--describe", action="store_true", help="print what the first moves are like")
    options = parser.parse_args()
    if options.describe:
        describe(options.out)
        return
    if options.verify:
        sys.exit(not verify(options.jobs, options.out, SAMPLED, list(DEPTHS), "composed"))
    if not options.partial:
        build(options.jobs, options.cache)
    assemble(options.cache, options.out, options.partial)


if __name__ == "__main__":
    main()
