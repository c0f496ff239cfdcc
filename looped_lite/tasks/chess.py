"""Chess as a task: a cell is a square, attention heads look along the lines of the pieces, the answer is a move that
forces mate.

A position is seen by the side to move: it plays up the board as if it were white, and its king stands on the right
half. The model answers two questions, from which square and to which, so its logits are (batch, 2, 64); training,
scoring and everything else take these for two cells of 64 classes. The rules of chess come from the package
python-chess (``pip install "looped-lite[chess]"``), which only reading a FEN and naming a legal move need; training on
the shipped positions does not.

Squares are numbered a1 = 0, b1 = 1, ... h8 = 63, as in python-chess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import batch_size, integers, keep, number, one_of, plain_text, short, whole
from ..paths import data_path
from ..tables import brief, finite, read_table
from . import Task, TestSet, exact_match

if TYPE_CHECKING:
    import chess

DEPTHS = (1, 2, 3, 4)
SPLITS = ("train", "validation", "test")
SOURCES = ("random", "engine")  # games
KINDS = (*SOURCES, "composed")  # of positions
PIECES = "PNBRQKpnbrqk"  # one plane each; on a normalized board capitals belong to the side to move

UCI = re.compile(r"([a-h][1-8]){2}[qrbn]?")

# what python-chess calls the faults of a position, in words
FAULTS = {
    "EMPTY": "the board is empty",
    "NO_WHITE_KING": "white has no king",
    "NO_BLACK_KING": "black has no king",
    "TOO_MANY_KINGS": "a side has more than one king",
    "TOO_MANY_WHITE_PAWNS": "white has more than 8 pawns",
    "TOO_MANY_BLACK_PAWNS": "black has more than 8 pawns",
    "PAWNS_ON_BACKRANK": "a pawn stands on the first or last rank",
    "TOO_MANY_WHITE_PIECES": "white has more than 16 pieces",
    "TOO_MANY_BLACK_PIECES": "black has more than 16 pieces",
    "BAD_CASTLING_RIGHTS": "it grants castling without king and rook at home",
    "INVALID_EP_SQUARE": "no pawn can just have passed its en passant square",
    "OPPOSITE_CHECK": "the side that is not to move is in check",
    "TOO_MANY_CHECKERS": "more than two pieces give check",
    "IMPOSSIBLE_CHECK": "no last move can have given this check",
}


class Positions(NamedTuple):
    """Positions with the move to be found. ``boards`` and ``targets`` are normalized, the texts are not."""

    fens: list[str]
    moves: list[str]  # in UCI, such as e7e8q
    lines: list[str]  # how the game goes on after the move, if it is known
    sources: list[str]
    boards: Tensor  # (count, 64) uint8: 0 for an empty square, else 1 + the place of the piece in PIECES
    targets: Tensor  # (count, 2): the squares from and to


# ---- from text to numbers ----


def read_boards(fens: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """FENs -> boards (count, 64) of numbers 0 to 12, and is black to move (count,)? ValueError for what is none."""
    empties = str.maketrans({"/": "", "~": "", **{str(n): "." * n for n in range(1, 9)}})  # Q~ was a pawn once
    code = np.zeros(128, np.uint8)
    code[[ord(piece) for piece in PIECES]] = np.arange(1, 13)
    fields = [[*fen.split(), "", ""] for fen in fens]
    squares = [field[0].translate(empties) for field in fields]
    for fen, field, row in zip(fens, fields, squares, strict=True):
        if len(row) != 64 or field[1] not in ("w", "b"):
            raise ValueError(f"not a FEN: {short(fen)} has not 8 rows of 8 squares and w or b")
    text = "".join(squares)
    if not set(text) <= set(PIECES + "."):
        raise ValueError(f"not a FEN: {short(min(set(text) - set(PIECES + '.')))} is no piece")
    boards = code[np.frombuffer(text.encode(), np.uint8)].reshape(len(fens), 8, 8)
    return boards[:, ::-1].reshape(-1, 64), np.array([field[1] == "b" for field in fields], bool)


def normalize(boards: np.ndarray, black: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn boards (count, 64) so that the side to move plays up the board with its king on files e to h.

    Also returns a number for each board, (count,): a square ``s`` of the board you gave is ``s ^ turn`` on the new one,
    and the other way round. 56 swaps the ranks, 7 the files.
    """
    swapped = np.array([0, *range(7, 13), *range(1, 7)], np.uint8)
    upright = np.where(black[:, None, None], swapped[boards].reshape(-1, 8, 8)[:, ::-1], boards.reshape(-1, 8, 8))
    left = (upright[:, :, :4] == 1 + PIECES.index("K")).any((1, 2))
    upright = np.where(left[:, None, None], upright[:, :, ::-1], upright)
    return upright.reshape(-1, 64), 56 * black.astype(np.int64) ^ 7 * left.astype(np.int64)


def read_squares(moves: Sequence[str]) -> np.ndarray:
    """Moves in UCI -> their squares (count, 2), from and to, without promotion pieces. ValueError for what is none."""
    wrong = next((move for move in moves if not UCI.fullmatch(move)), None)
    if wrong is not None:
        raise ValueError(f"not a move: {short(wrong)}, expected squares from and to, such as e7e8q")
    text = np.frombuffer("".join(move[:4] for move in moves).encode(), np.uint8).reshape(-1, 2, 2).astype(np.int64)
    return text[:, :, 0] - ord("a") + 8 * (text[:, :, 1] - ord("1"))


def make_positions(
    fens: Sequence[str], moves: Sequence[str], lines: Sequence[str] | None = None, sources: Sequence[str] | None = None
) -> Positions:
    """Legal FENs and the moves to be found there, as text and as normalized numbers."""
    boards, turn = normalize(*read_boards(fens))
    numbers = torch.from_numpy(boards), torch.from_numpy(read_squares(moves) ^ turn[:, None])
    blank = [""] * len(fens)
    return Positions(list(fens), list(moves), list(lines or blank), list(sources or blank), *numbers)


@cache
def load_positions(depth: int, split: str, composed: bool = False) -> Positions:
    """The shipped positions with a unique mate in ``depth`` moves, of games or like ``composed`` ones: see
    data/README.md for the splits and sources. ValueError for a damaged file, OSError for a missing one."""
    if depth not in DEPTHS:
        raise ValueError(f"no shipped positions with mate in {short(depth)}: expected 1, 2, 3 or 4")
    one_of("split", split, SPLITS)
    names = ("fen", "move", "line", "source", "split")
    path = data_path(f"chess_{'composed' if composed else 'mate'}{depth}.csv.gz")
    rows = [row for row in read_table(path, [[name] for name in names]) if row["split"] == split]
    try:
        return make_positions(*([row[name] for row in rows] for name in names[:4]))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def positions_of(depth: int, split: str, source: str | None = None) -> Positions:
    """`load_positions` of one of the `KINDS`; for None those of games, all of them."""
    return select(load_positions(depth, split, composed=source == "composed"), source)


def planes(boards: Tensor) -> Tensor:
    """Normalized boards (batch, 64) -> inputs (batch, 64, 12): one plane for each kind of piece, the own ones first."""
    return F.one_hot(integers("boards", boards, 0, 12), 13)[..., 1:].float()


def move_mask(targets: Tensor) -> Tensor:
    """The paper's target: squares (batch, 2) -> (batch, 64), 1 at the two squares of the move and 0 elsewhere."""
    return torch.zeros(len(targets), 64, dtype=torch.long).scatter_(1, targets, 1)


# ---- the geometry of the board ----


def piece_masks() -> Tensor:
    """Who sees whom in each of four heads, (4, 64, 64): rook lines, diagonals, knight's and king's steps, everybody."""
    rank, file = torch.arange(64) // 8, torch.arange(64) % 8
    up, right = (abs(axis[:, None] - axis[None, :]) for axis in (rank, file))
    steps = (up * right == 2) | (torch.maximum(up, right) <= 1)
    return torch.stack([(up == 0) | (right == 0), up == right, steps, torch.ones_like(steps)])


def square_offsets() -> Tensor:
    """The kind of relation between any two squares, (64, 64): one of 15 x 15 differences of rank and file."""
    rank, file = torch.arange(64) // 8, torch.arange(64) % 8
    return (rank[None, :] - rank[:, None] + 7) * 15 + file[None, :] - file[:, None] + 7


# ---- the rules ----


def rules() -> Any:
    """The package python-chess, imported only where it is needed."""
    try:
        import chess
    except ImportError as error:
        message = 'reading chess positions needs the package chess: pip install "looped-lite[chess]"'
        raise ImportError(message) from error
    return chess


def read_fen(text: str) -> chess.Board:
    """The board of a FEN. ValueError, in one line, for anything that is not a legal position with a legal move."""
    chess = rules()
    text = " ".join(plain_text(text).split())
    if not text:
        raise ValueError("an empty line is no chess position: expected a FEN")
    if text.count(" ") == 0 and text.count("/") == 7:
        raise ValueError(f"not a FEN: {short(text)} does not say who is to move: expected w or b after the board")
    try:
        board = chess.Board(text)
        if board.status() & chess.STATUS_BAD_CASTLING_RIGHTS:  # king and rook may stand elsewhere, in Chess960
            board = min(board, chess.Board(text, chess960=True), key=chess.Board.status)
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"not a FEN: {brief(error)}") from error
    status = board.status()
    faults = [words for name, words in FAULTS.items() if status & getattr(chess, f"STATUS_{name}")]
    if faults:  # an empty board is nothing else
        raise ValueError(f"not a legal position: {'; '.join(faults[:1] if status & chess.STATUS_EMPTY else faults)}")
    if board.is_checkmate():
        raise ValueError("no legal move: the side to move is checkmated")
    if board.is_stalemate():
        raise ValueError("no legal move: the side to move is stalemated")
    return board


def mates_at_once(board: chess.Board, move: chess.Move) -> bool:
    """Does ``move`` checkmate?"""
    board.push(move)
    try:
        return board.is_checkmate()
    finally:
        board.pop()


def moves_by_squares(board: chess.Board) -> dict[tuple[int, int], chess.Move]:
    """One legal move for each pair of squares: of promotions the one that mates, the queen first; else the queen."""
    moves: dict[tuple[int, int], Any] = {}
    for move in sorted(board.legal_moves, key=lambda move: -(move.promotion or 0)):  # queens first
        squares = move.from_square, move.to_square
        known = moves.setdefault(squares, move)
        if known is not move and not mates_at_once(board, known) and mates_at_once(board, move):
            moves[squares] = move
    return moves


def move_probabilities(fen: str, logits: Tensor) -> tuple[dict[str, float], float]:
    """How likely the model finds each legal move of ``fen``, in UCI, likeliest first; and the probability of all legal
    moves together before they were brought to a sum of 1 (so: how much the model knows about legality).

    ``logits`` is (2, 64), from and to, or (64, 2) for a model that was trained on the mask of the move; for the latter,
    a move's odds are those of its two squares multiplied, and legality is not defined (nan).
    """
    board = read_fen(fen)
    turn = int(normalize(*read_boards([board.fen()]))[1][0])
    if logits.shape == (2, 64):
        from_score, to_score = logits.double().log_softmax(-1)
    else:
        from_score = to_score = (logits[:, 1] - logits[:, 0]).double()
    moves = moves_by_squares(board)
    squares = torch.tensor(list(moves)) ^ turn
    scores = from_score[squares[:, 0]] + to_score[squares[:, 1]]
    order = scores.sort(descending=True, stable=True).indices.tolist()
    shares, found = scores.softmax(0).tolist(), list(moves.values())
    legal = float(scores.exp().sum()) if logits.shape == (2, 64) else float("nan")
    return {found[place].uci(): shares[place] for place in order}, legal


def score_moves(positions: Positions, logits: Tensor) -> dict[str, Tensor]:
    """What ``logits`` (count, 2, 64) are worth, each (count,) bool: ``squares``, the two likeliest squares are those of
    the move; ``move``, the likeliest legal move is the right one; ``mate``, the likeliest legal move mates at once,
    right or not."""
    chess = rules()
    best = [next(iter(move_probabilities(fen, one)[0])) for fen, one in zip(positions.fens, logits, strict=True)]
    mates = [
        mates_at_once(chess.Board(fen), chess.Move.from_uci(move))
        for fen, move in zip(positions.fens, best, strict=True)
    ]
    return {
        "squares": exact_match(logits, positions.targets),
        "move": torch.tensor([move == right for move, right in zip(best, positions.moves, strict=True)]),
        "mate": torch.tensor(mates),
    }


# ---- positions of your own ----


def read_puzzle(fen: str, moves: str) -> tuple[str, str, str]:
    """Position and moves of a Lichess puzzle -> FEN after the first, the solver's move, and the rest."""
    board, words = read_fen(fen), moves.split()
    if len(words) < 2:
        raise ValueError(f"Moves is {short(moves)}: expected the opponent's move and the solver's answer")
    played = []
    for place, word in enumerate(words):
        move = board.parse_uci(word)  # also a castling move that is written king takes rook
        if not move:
            raise ValueError(f"{short(word)} is no move: expected squares from and to, such as e7e8q")
        board.push(move)
        played.append(move.uci())
        if place == 0:
            after = board.fen()
            read_fen(after)  # the solver has a legal move
    return after, played[1], " ".join(played[2:])


def read_lichess(
    path: str | Path, limit: int | None = None, theme: str | None = None
) -> dict[str, tuple[Positions, Tensor]]:
    """Your own copy of the public Lichess puzzle CSV (lichess_db_puzzle.csv, or .csv.zst as it comes), split as in the
    paper.

    Returns ``{"easy": ..., "hard": ...}``, each positions and their ratings (count,): easy is rated up to 1600, hard
    from 1601 to 2000; harder puzzles are left out. The first move of a row is the opponent's and is played; the target
    is the solver's first move. ``theme`` keeps only rows with that theme, such as ``mateIn1``; ``limit`` stops after so
    many kept rows. Raises ValueError, with the line, for a malformed row.
    """
    limit = None if limit is None else whole("limit", limit, 1)
    rules()
    wanted = [["FEN"], ["Moves"], ["Rating"], *[["Themes"]] * bool(theme)]

    def read(row: dict[str, str]) -> tuple[str, str, str, float] | None:
        if theme and theme.lower() not in row["Themes"].lower().split():
            return None
        rating = finite(row, "Rating")
        return (*read_puzzle(row["FEN"], row["Moves"]), rating) if rating <= 2000 else None

    kept = list(islice(read_table(path, wanted, read), limit))
    if not kept:
        raise ValueError(f"{path} has no puzzles rated up to 2000{f' with the theme {theme}' if theme else ''}")
    split = {}
    for name in ("easy", "hard"):
        rows = [row for row in kept if (row[3] <= 1600) == (name == "easy")]
        fens, moves, lines, ratings = zip(*rows, strict=True) if rows else ((), (), (), ())
        split[name] = make_positions(fens, moves, lines, ["lichess"] * len(fens)), torch.tensor(ratings)
    return split


# ---- the task ----


@dataclass(frozen=True)
class Chess(Task):
    """The task. ``level`` is the longest mate, in moves, among the training positions; a curriculum goes through
    ``depths``, and without one all depths come from the start. ``sources`` are the `KINDS` of positions to train on,
    games unless you say more. With ``shares="groups"`` the depths up to the level, and the sources, have equal shares
    of a batch; with ``"positions"`` all positions have, so that a group of few is not seen more often than others; with
    ``"roots"`` a group's share goes with the square root of its size, between the two.

    ``attention="pieces"`` gives the four heads rook lines, diagonals, knight's and king's steps, and the whole board,
    with a learned bias for each difference of rank and file and a learned vector for each square; ``"full"`` gives
    every head the whole board, as in the paper, and leaves the geometry to the 2-D rotary positions.
    ``target="squares"`` asks for the squares from and to; ``"mask"`` marks both of them on the board, as in the paper.

    ``mirrored`` is the share of a training batch that is mirrored left to right. No normalized position looks like
    that, so it is not needed, but mates do not mind either; castling, which would, is in no shipped position.
    """

    depths: tuple[int, ...] = (1,)
    sources: tuple[str, ...] = SOURCES
    attention: str = "pieces"
    target: str = "squares"
    mirrored: float = 0.0
    curriculum: bool = True
    shares: str = "groups"
    most_loops: int = 16  # N of the progressive loss

    name = "chess"
    features = 12
    classes = 2
    board = "looped_lite.boards.chess:draw"

    def __post_init__(self) -> None:
        depths = integers("depths", self.depths, 1, 4, axes=1).tolist()
        if not depths or depths != sorted(set(depths)):
            raise ValueError(f"depths must be some of 1, 2, 3 and 4 in ascending order, got {short(self.depths)}")
        sources = self.sources if isinstance(self.sources, (list, tuple)) else ()
        if not sources or not all(source in KINDS for source in sources):
            raise ValueError(f"sources must be some of {', '.join(KINDS)}, got {short(self.sources)}")
        one_of("attention", self.attention, ("pieces", "full"))
        one_of("shares", self.shares, ("groups", "roots", "positions"))
        one_of("target", self.target, ("squares", "mask"))
        if not isinstance(self.curriculum, bool):
            raise ValueError(f"curriculum must be true or false, got {short(self.curriculum)}")
        object.__setattr__(self, "depths", tuple(depths))
        object.__setattr__(self, "sources", tuple(sources))
        keep(self, number, 0, 1, "mirrored")
        keep(self, whole, 1, 10**6, "most_loops")

    @property
    def first_level(self) -> int:
        return self.depths[0] if self.curriculum else self.depths[-1]

    @property
    def last_level(self) -> int:
        return self.depths[-1]

    def tensors(self, boards: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Boards (batch, 64), squares (batch, 2) -> inputs (batch, 64, 12), targets (batch, 2) or, masks, 64."""
        boards, targets = integers("boards", boards, 0, 12, axes=2), integers("targets", targets, 0, 63, axes=2)
        return planes(boards), targets if self.target == "squares" else move_mask(targets)

    def batch(self, size: int, level: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random training positions of all depths up to ``level`` and all sources."""
        size, level = batch_size(size, 64, self.features, generator), whole("level", level, self.depths[0], 4)
        groups = training_groups(tuple(depth for depth in self.depths if depth <= level), self.sources)
        if self.shares == "groups":
            group = torch.randint(len(groups), (size,), generator=generator)
        else:
            sizes = torch.tensor([float(len(boards)) for boards, _ in groups])
            sizes = sizes.sqrt() if self.shares == "roots" else sizes
            group = torch.multinomial(sizes, size, replacement=True, generator=generator)
        share = torch.rand(size, generator=generator)
        mirror = torch.rand(size, generator=generator) < self.mirrored
        boards, targets = torch.empty(size, 64, dtype=torch.uint8), torch.empty(size, 2, dtype=torch.long)
        for place, (all_boards, all_targets) in enumerate(groups):
            here = group == place
            chosen = (share[here] * len(all_boards)).long()
            boards[here], targets[here] = all_boards[chosen], all_targets[chosen]
        boards[mirror] = boards[mirror].view(-1, 8, 8).flip(-1).flatten(1)
        return self.tensors(boards, torch.where(mirror[:, None], targets ^ 7, targets))

    def split(
        self, depth: int, split: str, source: str | None = None, count: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The first ``count`` positions of a shipped split as inputs and targets, for evaluation."""
        positions = positions_of(depth, split, source)
        return self.tensors(positions.boards[:count], positions.targets[:count])

    def harder(self, level: int) -> int:
        return min((depth for depth in self.depths if depth > level), default=level)

    def positions(self, cells: int) -> Tensor:
        return torch.cartesian_prod(torch.arange(8), torch.arange(8))

    def architecture(self, heads: int) -> dict[str, Any]:
        across = {"across": self.target == "squares"}
        if self.attention == "full":
            return across
        if heads % 4:
            raise ValueError(f"heads must be a multiple of 4 (lines, diagonals, steps, everybody), got {heads}")
        return {"mask": piece_masks().repeat(heads // 4, 1, 1), "offsets": square_offsets(), "cells": 64, **across}

    def encode(self, text: str) -> Tensor:
        board = read_fen(text)
        return planes(torch.from_numpy(normalize(*read_boards([board.fen()]))[0]))

    def decode(self, text: str, logits: Tensor) -> dict[str, Any]:
        """The likeliest legal move, in UCI and SAN, how likely it is among the legal ones, whether it mates at once,
        and the probability that the model gives to all legal moves together. The model names two squares; the piece of
        a promotion is chosen by trying."""
        moves, legal = move_probabilities(text, logits)
        best = next(iter(moves))
        board, move = read_fen(text), rules().Move.from_uci(best)
        facts = {"answer": best, "san": board.san(move), "probability": moves[best], "mate": mates_at_once(board, move)}
        facts |= {"legal": legal} if legal == legal else {}
        return facts | ({"promotion": "chosen by trying"} if move.promotion else {})

    def in_words(self, text: str, answer: str, extra: Mapping[str, Any]) -> list[str]:
        mates = "mates at once" if extra["mate"] else "does not mate at once"
        facts = [extra["san"], mates, f"probability {extra['probability']:.2f}"]
        facts += [f"{extra['legal']:.2f} of all probability on legal moves"] if "legal" in extra else []
        return facts + ["the model names two squares; the piece was chosen by trying"] * ("promotion" in extra)

    def max_loops(self, x: Tensor) -> int:
        return 128

    def default_model(self, text: str) -> str:
        return "chess-averaged"

    def test_sets(self, size: int, levels: Iterable[float] | None, generator: torch.Generator) -> Iterator[TestSet]:
        for depth in levels or DEPTHS:
            for source in dict.fromkeys([*SOURCES, *self.sources]):
                if positions_of(depth, "test", source).fens:  # type: ignore[arg-type]
                    yield f"mate in {depth}, {source}", *self.split(depth, "test", source, size), [8, 16, 64]


def select(positions: Positions, source: str | None) -> Positions:
    """Only the positions of one source; all of them for None."""
    if source is None:
        return positions
    chosen = [place for place, name in enumerate(positions.sources) if name == source]
    return Positions(*(part[chosen] if isinstance(part, Tensor) else [part[c] for c in chosen] for part in positions))


@cache
def training_groups(depths: tuple[int, ...], sources: tuple[str, ...]) -> list[tuple[Tensor, Tensor]]:
    """Boards and targets of the training positions, one pair for each depth and source that has some."""
    found = (positions_of(depth, "train", source) for depth in depths for source in sources)
    groups = [(positions.boards, positions.targets) for positions in found if len(positions.fens)]
    if not groups:
        raise ValueError(f"no training positions of {', '.join(sources)} play with mate in {depths}")
    return groups
