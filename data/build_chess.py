"""Builds data/chess_mate1.csv.gz to data/chess_mate4.csv.gz: positions in which exactly one move forces mate, fastest.

    python data/build_chess.py [--jobs 2] [--cache build/chess]     # about two hours on one core; needs gcc and
    Stockfish python data/build_chess.py --verify                             # checks the files with python-chess
    instead

Positions come in chunks, each from its own seed (its name), so the result does not depend on the number of processes.
Finished chunks stay in the cache folder: run the command again after an interruption and it goes on from there; delete
the folder to start afresh, for example after a change of the generator. ``--partial`` writes the files from the chunks
that are there. Stockfish plays with one thread and a fixed number of nodes, so it repeats itself.

- random: games of random legal moves, each until a position with a unique mate in one (or two);
- engine: Stockfish against itself with random moves in between, and in each position that arises every legal move as a
  possible blunder. The mates are proved by data/mate_search.c, never taken from the engine.

Positions carry neither castling rights nor an en passant square, since a model's input does not show them: they are
taken away first, and the mate is proved without them.

Splits go by whole games, so that no two positions of one game are in different splits. Of positions that equal each
other up to colours and left-right mirroring one stays: the first, test positions before validation before training
ones.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import gzip
import hashlib
import io
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache as once
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import chess

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works without installing the package

from data.compiled import library
from looped_lite.checkpoints import write_atomic
from looped_lite.tables import read_table

DEPTHS = (1, 2, 3, 4)
SAMPLED = {1: 1, 2: 5, 3: 100, 4: 1000}  # of so many verified rows one is proved unique, too: it takes minutes
COLUMNS = ["fen", "move", "line", "source", "split"]
SPLITS = ["test", "validation", "train"]  # from the one that keeps its positions to the one that gives way


class Recipe(NamedTuple):
    """``chunks`` pieces of work of ``size`` positions (random play) or games (engine)."""

    source: str
    depth: int  # of the mates; for the engine of the longest ones
    chunks: int
    size: int


RECIPES = [
    Recipe("random", 1, 68, 1000),
    Recipe("random", 2, 28, 500),
    Recipe("engine", 2, 60, 20),
    Recipe("engine", 4, 150, 10),
]
TEST_PER_GAME = {1: 2, 2: 2, 3: 4, 4: 6}  # positions of one game resemble each other: few of each
TRAIN_PER_GAME = {1: 16, 2: 16, 3: 16, 4: 16}
PLIES = 400  # the longest random game
NODES = 400  # of Stockfish, a move
PROOF = 1_000_000  # positions that a proof of a unique mate may look at


# ---- the search in C ----


@once
def search_library(cache: Path) -> ctypes.CDLL:
    """data/mate_search.c, compiled into the cache folder."""
    c = library("mate_search", cache)
    number, text = ctypes.c_uint64, ctypes.c_char_p
    c.perft.argtypes, c.perft.restype = [text, ctypes.c_int], number
    c.unique_mate.argtypes = [text, ctypes.c_int, number, text]
    c.random_mates.argtypes, c.random_mates.restype = [number, ctypes.c_int, ctypes.c_int, ctypes.c_int, text], number
    c.blunders.argtypes, c.blunders.restype = [text, ctypes.c_int, number, text], None
    return c


def perft(fen: str, depth: int, cache: Path) -> int:
    """How many games of ``depth`` plies there are, castling apart."""
    return search_library(cache).perft(fen.encode(), depth)


def unique_mate(fen: str, most: int, cache: Path, budget: int = PROOF) -> tuple[int, str]:
    """Depth and line of the shortest forced mate, if one move alone forces it in ``most`` moves; else (0, "")."""
    line = ctypes.create_string_buffer(256)
    depth = search_library(cache).unique_mate(fen.encode(), most, budget, line)
    return (depth, line.value.decode()) if depth > 0 else (0, "")


def rows_of(text: bytes) -> list[list[str]]:
    return [line.split(",") for line in text.decode().splitlines()]


# ---- Stockfish ----


class Stockfish:
    """The engine at the other end of a pipe."""

    def __init__(self) -> None:
        path = shutil.which("stockfish") or shutil.which("stockfish", path="/usr/games")
        if path is None:
            raise SystemExit("build_chess.py needs Stockfish: on Debian and Ubuntu, apt-get install stockfish")
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.send("setoption name Threads value 1\nsetoption name Hash value 1")

    def send(self, text: str) -> None:
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def until(self, word: str) -> list[str]:
        """The last line before the one that starts with ``word``, and that one."""
        last = ""
        for line in self.process.stdout:
            if line.startswith(word):
                return [last, line]
            last = line
        raise RuntimeError("Stockfish ended unexpectedly")

    def new_game(self) -> None:
        self.send("ucinewgame\nisready")
        self.until("readyok")

    def best(self, fen: str) -> tuple[chess.Move, int]:
        """Its move, and in how many moves it claims to mate (0: no claim)."""
        self.send(f"position fen {fen}\ngo nodes {NODES}")
        info, best = self.until("bestmove")
        claim = info.split(" score mate ")[1].split()[0] if " score mate " in info else "0"
        return chess.Move.from_uci(best.split()[1]), max(int(claim), 0)

    def close(self) -> None:
        self.send("quit")
        self.process.wait()


def bare(board: chess.Board) -> str:
    """The FEN without castling rights, en passant square and counters."""
    return f"{board.board_fen()} {'w' if board.turn else 'b'} - - 0 1"


def engine_game(engine: Stockfish, most: int, rng: random.Random, cache: Path) -> Iterator[list[str]]:
    """One game of Stockfish against itself, each side with its own share of random moves: rows of FEN, depth, line,
    with mates in at most ``most`` moves, 2 or 4."""
    board, found = chess.Board(), ctypes.create_string_buffer(1 << 17)
    shares = rng.uniform(0.02, 0.25), rng.uniform(0.02, 0.25)
    engine.new_game()
    while not board.is_game_over() and board.ply() < 200:
        move, claim = engine.best(board.fen())
        if claim in (3, 4) and most == 4:
            depth, line = unique_mate(bare(board), 4, cache)
            if depth:
                yield [bare(board), str(depth), line]
        thorough = most == 4 and rng.random() < 1 / 16  # now and then also mates that begin quietly
        work = (3, 30_000) if thorough else (most, PROOF)
        search_library(cache).blunders(board.fen().encode(), *work, found)
        yield from rows_of(found.value)
        if rng.random() < (0.5 if board.ply() < 8 else shares[board.turn]):
            move = rng.choice(list(board.legal_moves))
        board.push(move)


# ---- chunks ----


def build_chunk(cache: Path, job: tuple[Recipe, int]) -> Path:
    """Makes one chunk, unless the cache has it: lines of game,fen,depth,line."""
    recipe, number = job
    path = cache / f"{recipe.source}_{recipe.depth}_{number:04d}.csv"
    if path.exists():
        return path
    rng = random.Random(f"chess {recipe.source} {recipe.depth} chunk {number}")
    if recipe.source == "random":
        found = ctypes.create_string_buffer(256 * recipe.size)
        search_library(cache).random_mates(rng.getrandbits(64), recipe.size, PLIES, recipe.depth, found)
        games = [[row] for row in rows_of(found.value)]
    else:
        engine = Stockfish()
        games = [list(engine_game(engine, recipe.depth, rng, cache)) for _ in range(recipe.size)]
        engine.close()
    lines = [f"{number * recipe.size + place},{','.join(row)}\n" for place, rows in enumerate(games) for row in rows]
    write_atomic(path, "".join(lines).encode())  # a chunk is there as a whole or not at all
    return path


def split_of(recipe: Recipe, number: int) -> str:
    """The split of a chunk."""
    if recipe.source == "random":
        place = number * recipe.size  # 1,000 for testing, the next chunk for validation
        return "test" if place < 1000 else "validation" if place < 1000 + recipe.size else "train"
    if recipe.depth == 2:
        return "train"
    return "test" if number % 5 < 3 else "validation" if number % 20 == 3 else "train"


def key(fen: str) -> str:
    """The same for all positions that look the same to a model: colours swapped, or mirrored left to right."""
    board = chess.Board(fen)
    board = board if board.turn else board.mirror()
    mirrored = board.transform(chess.flip_horizontal)
    return min(board.board_fen(), mirrored.board_fen())


def write_table(target: Path, rows: list[list[str]]) -> None:
    """Writes rows, sorted by split and source, and prints the checksums of the file and of its text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(sorted(rows, key=lambda row: (SPLITS.index(row[4]), row[3])))
    data = text.getvalue().encode()
    write_atomic(target, gzip.compress(data, compresslevel=9, mtime=0))
    print(f"{hashlib.sha256(target.read_bytes()).hexdigest()}  {target.name} ({target.stat().st_size} bytes)")
    print(f"{hashlib.sha256(data).hexdigest()}  {target.stem}", flush=True)


def assemble(cache: Path, folder: Path, partial_build: bool) -> None:
    """Writes the four files from the chunks."""
    chunks = {split: [] for split in SPLITS}
    for recipe in RECIPES:
        for number in range(recipe.chunks):
            path = cache / f"{recipe.source}_{recipe.depth}_{number:04d}.csv"
            if path.exists() or not partial_build:
                chunks[split_of(recipe, number)].append((recipe, path))
    seen: set[str] = set()
    tables: dict[int, list[list[str]]] = {depth: [] for depth in DEPTHS}
    dropped: Counter[str] = Counter()
    for split in SPLITS:
        most = TRAIN_PER_GAME if split == "train" else TEST_PER_GAME
        for recipe, path in chunks[split]:
            taken: Counter[tuple[str, int]] = Counter()
            rows = [line.split(",") for line in path.read_text().splitlines()]
            random.Random(path.stem).shuffle(rows)  # which of a game's positions stay is left to chance
            for game, fen, depth, line in rows:
                place = game, int(depth)
                if not chess.Board(fen).is_valid():
                    dropped["not legal"] += 1
                elif (known := key(fen)) in seen:
                    dropped["equivalent"] += 1
                elif taken[place] == most[int(depth)]:
                    dropped["enough of this game"] += 1
                else:
                    seen.add(known)
                    taken[place] += 1
                    move, _, rest = line.partition(" ")
                    tables[int(depth)].append([fen, move, rest, recipe.source, split])
    print(f"dropped: {dict(dropped)}")
    for depth, rows in tables.items():
        counts = Counter((row[3], row[4]) for row in rows)
        for source in ("random", "engine"):
            numbers = [f"{counts[source, split]:,}" for split in ("train", "validation", "test")]
            print(f"| mate in {depth}, {source} | {' | '.join(numbers)} |")
        write_table(folder / f"chess_mate{depth}.csv.gz", rows)


def make_chunks(make: Callable[[Path, Any], Path], work: list, jobs: int, cache: Path) -> None:
    """``make(cache, job)`` for every job of ``work``, in order, in so many processes, saying how far it is."""
    cache.mkdir(parents=True, exist_ok=True)
    search_library(cache)  # compiled once, before there are processes that want it
    start = time.time()
    with ProcessPoolExecutor(jobs) as pool:
        for done, path in enumerate(pool.map(partial(make, cache), work), 1):
            print(f"{path.stem}: {done} of {len(work)}, {time.time() - start:.0f} s", flush=True)


def build(jobs: int, cache: Path) -> None:
    work = [(recipe, number) for recipe in RECIPES for number in range(recipe.chunks)]
    work.sort(key=lambda job: job[1] / job[0].chunks)  # a little of everything first: an unfinished build is of use
    make_chunks(build_chunk, work, jobs, cache)


# ---- verification with python-chess, which shares no code with the search in C ----


def forces_mate(board: chess.Board, depth: int, known: dict[tuple, bool] | None = None) -> bool:
    """Can the side to move force mate in at most ``depth`` moves?"""
    known = {} if known is None else known
    place = (*board._transposition_key(), depth)
    if place not in known:
        moves = sorted(board.legal_moves, key=board.gives_check, reverse=True)
        if depth == 1:
            moves = [move for move in moves if board.gives_check(move)]
        known[place] = any(mates_after(board, move, depth, known) for move in moves)
    return known[place]


def mates_after(board: chess.Board, move: chess.Move, depth: int, known: dict[tuple, bool]) -> bool:
    """Does ``move`` force mate in at most ``depth`` moves, itself counted?"""
    board.push(move)
    try:
        if board.is_checkmate():
            return True
        if depth == 1:
            return False
        replies = list(board.legal_moves)
        for reply in replies:
            board.push(reply)
            forced = forces_mate(board, depth - 1, known)
            board.pop()
            if not forced:
                return False
        return bool(replies)  # no reply and no mate: stalemate
    finally:
        board.pop()


def fault(row: dict[str, str], depth: int, unique: bool = True) -> str:
    """What is wrong with a row of the mate-in-``depth`` file, or "": the move, and no other, must force mate."""
    board = chess.Board(row["fen"])
    known: dict[tuple, bool] = {}
    if not board.is_valid() or row["fen"] != bare(board):
        return "not a legal position, or one with castling rights or an en passant square"
    move = chess.Move.from_uci(row["move"])
    if move not in board.legal_moves:
        return f"{move} is not legal"
    if not mates_after(board, move, depth, known):
        return f"{move} does not force mate in {depth}"
    line = [row["move"], *row["line"].split()]
    played = board.copy()
    for word in line:
        played.push_uci(word)
    if len(line) != 2 * depth - 1 or not played.is_checkmate():
        return f"the line {' '.join(line)} is no mate in {depth}"
    if unique:
        others = [m for m in board.legal_moves if m != move and mates_after(board, m, depth, known)]
        if others:
            return f"{others[0]} also forces mate in {depth}"
        if depth > 1 and mates_after(board, move, depth - 1, known):
            return f"{move} mates faster than in {depth}"
    return ""


def check_row(job: tuple[dict[str, str], int, bool]) -> tuple[str, str]:
    return job[0]["fen"], fault(*job)


def verify(jobs: int, folder: Path, every: dict[int, int], only: list[int], kind: str = "mate") -> bool:
    """Checks all rows of chess_{kind}1.csv.gz to 4, and the uniqueness of every ``every[depth]``-th: a mate in four
    takes minutes in Python."""
    good, keys = True, Counter()
    for depth in only:
        rows = list(read_table(folder / f"chess_{kind}{depth}.csv.gz"))
        start, wrong = time.time(), []
        keys.update(key(row["fen"]) for row in rows)
        work = [(row, depth, place % every[depth] == 0) for place, row in enumerate(rows)]
        with ProcessPoolExecutor(jobs) as pool:
            for place, (fen, message) in enumerate(pool.map(check_row, work, chunksize=50), 1):
                if message:
                    wrong.append(f"{fen}: {message}")
                if place % 5000 == 0:
                    print(f"mate in {depth}: {place} of {len(rows)}, {time.time() - start:.0f} s", flush=True)
        unique = sum(job[2] for job in work)
        print(f"mate in {depth}: {len(rows)} moves checked, {unique} of them for uniqueness: {len(wrong)} wrong")
        print(*wrong[:10], sep="\n", end="\n" if wrong else "", flush=True)
        good &= not wrong
    repeated = sum(count > 1 for count in keys.values())
    print(f"{len(keys)} positions differ under the symmetries, {repeated} occur twice")
    return good and not repeated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "chess", help="folder for finished chunks")
    parser.add_argument("--out", type=Path, default=ROOT / "data", help="folder for the csv.gz files")
    parser.add_argument("--partial", action="store_true", help="write the files from the chunks that are there")
    parser.add_argument("--verify", action="store_true", help="check the files with python-chess")
    parser.add_argument("--thorough", action="store_true", help="with --verify: uniqueness of every row (days)")
    parser.add_argument("--depths", type=int, nargs="+", choices=DEPTHS, default=list(DEPTHS), help="with --verify")
    options = parser.parse_args()
    if options.verify:
        every = {depth: 1 for depth in DEPTHS} if options.thorough else SAMPLED
        sys.exit(not verify(options.jobs, options.out, every, options.depths))
    if not options.partial:
        build(options.jobs, options.cache)
    assemble(options.cache, options.out, options.partial)


if __name__ == "__main__":
    main()
