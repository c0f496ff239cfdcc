"""The exercises of lesson 08, chess: planes, the mover's view, piece geometry, legal moves, top-k with intervals, a horizon."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..intervals import wilson
from ..tasks import chess
from ..tasks.chess import PIECES, normalize, planes, read_boards
from . import Exercise, Mistake, describe, expect, unchanged

# two positions in which no piece stands on the mirror image of its own kind, so every flip shows
CROWDED = "r2qkb1r/ppp2ppp/8/1n1pPn2/P5b1/8/1BPPP2P/RN1QKBNR b - - 0 1"
LEFT = "2k5/pp6/1n6/3Q4/8/4p3/1K4P1/7r"  # both kings on the left half; white or black may be to move
RIGHT = "6k1/pp6/1n6/3Q4/8/4p3/5KP1/7r"


# ---------------------------------------------------------------- 08.1


def planes_of_fen(fen: str) -> Tensor:
    """The course's own answer: a FEN -> (64, 12), a plane for each kind of piece, white's PNBRQK first; square 0 is a1."""
    return planes(torch.from_numpy(read_boards([fen])[0]))[0]


def check_fen_to_planes(f: Callable) -> None:
    for fen in (CROWDED, f"{LEFT} w - - 0 1"):
        right = planes_of_fen(fen)
        got = f(fen)
        if type(got) is Tensor and got.shape == right.shape and not got.is_floating_point():
            raise Mistake("fen_to_planes: the model multiplies this with weights: make it floating point.")
        board = right.view(8, 8, 12)
        empty = 1 - right.sum(-1, keepdim=True)
        expect(
            got,
            right,
            f"fen_to_planes of {fen.split()[0]}",
            mistakes=[
                ("the text begins with rank 8, the numbering of squares with a1: the ranks are upside down", board.flip(0).flatten(0, 1)),
                ("files run from a to h, left to right, in the text and in the squares", board.flip(1).flatten(0, 1)),
                ("the board is turned by half: the text begins with a8, which is square 56", board.flip(0, 1).flatten(0, 1)),
                ("ranks and files are exchanged: square 1 is b1, and a2 is square 8", board.transpose(0, 1).flatten(0, 1)),
                ("capitals are white, and white's six planes come first", right.roll(6, -1)),
                ("one row a square, (64, 12), not one row a plane", right.T),
                ("12 planes on 8 by 8 squares, flattened: (64, 12)", board),
                ("12 planes on 8 by 8 squares, flattened: (64, 12)", board.permute(2, 0, 1)),
                ("the two digits of a row are numbers of empty squares: 3 stands for three of them", squeezed(fen)),
                ("an empty square has no plane here: it is all zeros", torch.cat([empty, right], dim=1)),
                ("an empty square has no plane here: it is all zeros", torch.cat([right, empty], dim=1)),
                ("this is the batch of one that a model wants; return the board alone", right[None]),
            ],
        )  # fmt: skip


def squeezed(fen: str) -> Tensor:
    """The planes of a FEN as they come out when a digit is taken for a single empty square."""
    board = torch.zeros(8, 8, 12)
    for row, text in enumerate(fen.split()[0].split("/")):
        for file, piece in enumerate(text):
            if piece in PIECES:
                board[7 - row, file, PIECES.index(piece)] = 1
    return board.flatten(0, 1)


# ---------------------------------------------------------------- 08.2


def seen_by_mover(board: Tensor, black: bool) -> tuple[Tensor, Tensor]:
    """The course's own answer: planes (64, 12) as the side to move sees them, and on which old square each new one lay, (64,)."""
    codes = (board * torch.arange(1, 13)).sum(-1).to(torch.uint8)
    view, turn = normalize(codes[None].numpy(), np.array([black]))
    return planes(torch.from_numpy(view))[0], torch.arange(64) ^ int(turn[0])


def check_own_view(f: Callable) -> None:
    square = torch.arange(64)
    cases = [
        (f"{RIGHT} w", "white to move, its king on f2"),
        (f"{LEFT} b", "black to move, its king on c8"),
        (f"{LEFT} w", "white to move, its king on b2"),
        (f"{RIGHT} b", "black to move, its king on g8"),
        # kings apart: the halves must be told by the mover's king, after the colours were exchanged
        ("k7/8/1q6/8/8/6P1/5K2/8 w", "white to move, its king on f2 and black's on a8"),
        ("k7/8/1q6/8/8/6P1/5K2/8 b", "black to move, its king on a8 and white's on f2"),
    ]
    for fen, what in cases:
        board, black = planes_of_fen(fen), fen.endswith("b")
        kept = board.clone()
        got = f(board, black)
        unchanged(kept, board, "own_view: board")
        if type(got) is Tensor and got.shape == board.shape:
            raise Mistake("own_view: return two things, the turned board and where each of its squares came from.")
        if type(got) not in (list, tuple) or len(got) != 2:
            raise Mistake(
                f"own_view: expected two tensors, the turned board and where its squares came from, got {describe(got)}."
            )
        view, origin = got
        if type(origin) in (list, tuple, np.ndarray):
            origin = torch.as_tensor(np.asarray(origin))
        right, right_origin = seen_by_mover(board, black)
        turn = int(right_origin[0])
        exchanged = board.roll(6, -1)
        here = exchanged if black else board
        # plane 5 of the board as it was given: the right king only while white is to move
        turn_by_white = 56 * black ^ 7 * bool(board[:, 5].argmax() % 8 < 4)
        sees = [
            ("which half is decided by the mover's king, plane 5 once own pieces come first", here[square ^ turn_by_white]),
            ("for black the colours change as well: own pieces come first, planes 0 to 5", board[right_origin]),
            ("for white nothing is exchanged: its planes come first already", exchanged[right_origin]),
            ("the mover's king belongs on files e to h: mirror left to right if it stands on a to d", here[square ^ (turn & 56)]),
            ("its king stands on the right half already: mirror only if it is on files a to d", here[square ^ (turn & 56) ^ 7]),
            ("black plays down the board: turn the ranks over", here[square ^ (turn & 7)]),
            ("white plays up the board already: leave the ranks", here[square ^ turn ^ 56]),
            ("one row a square, please: (64, 12)", right.view(8, 8, 12)),
        ]  # fmt: skip
        expect(view, right, f"own_view, {what}", mistakes=sees)
        comes = [
            ("these are the squares of the new board: do to `torch.arange(64)` what you did to the board", square),
            ("the mirror is missing: do to the square numbers all that you did to the board", square ^ (turn & 56)),
            ("the turned ranks are missing: do to the square numbers all that you did to the board", square ^ (turn & 7)),
            ("one number for each of the 64 squares, not a board of 8 by 8", right_origin.view(8, 8)),
        ]  # fmt: skip
        if type(origin) is Tensor and origin.is_floating_point():
            raise Mistake("own_view: squares are whole numbers, since they are used as indices.")
        expect(origin, right_origin, f"own_view, {what}: where its squares came from", mistakes=comes)


# ---------------------------------------------------------------- 08.3


def check_piece_masks(f: Callable) -> None:
    right = chess.piece_masks()
    got = f()
    if type(got) in (list, tuple) and all(type(part) is Tensor for part in got):
        shapes = {tuple(part.shape) for part in got}
        got = torch.stack(list(got)) if len(shapes) == 1 else got
    if type(got) is Tensor and got.dtype != torch.bool and got.shape == right.shape:
        raise Mistake("piece_masks: expected True and False, a boolean tensor: compare with ==, combine with | and &.")
    lines, diagonals, steps, everybody = right
    eye = torch.eye(64, dtype=torch.bool)
    rank, file = torch.arange(64) // 8, torch.arange(64) % 8
    up, aside = rank[None] - rank[:, None], file[None] - file[:, None]
    king = torch.maximum(abs(up), abs(aside)) <= 1
    wrapped = torch.zeros(64, 64, dtype=torch.bool)
    for step in (0, 1, 7, 8, 9, 6, 10, 15, 17):
        apart = abs(torch.arange(64)[None] - torch.arange(64)[:, None])
        wrapped |= apart == step
    both = lambda part, number: torch.stack([part if i == number else right[i] for i in range(4)])
    expect(
        got,
        right,
        "piece_masks",
        mistakes=[
            ("a square sees itself, too: leave the diagonal of each mask True", right & ~eye),
            ("a square sees itself, too: leave the diagonal of each mask True", torch.cat([(right & ~eye)[:3], everybody[None]])),
            ("True means may look; these are the squares that it may not see", ~right),
            ("the first head is for rook lines and the second for diagonals: these are swapped", right[[1, 0, 2, 3]]),
            ("a rook moves along ranks and along files: combine both with |", both(rank[:, None] == rank, 0)),
            ("a rook moves along ranks and along files: combine both with |", both(file[:, None] == file, 0)),
            ("`rank and file equal` is one square alone: combine with |", both(eye, 0)),
            ("diagonals run both ways: the differences of rank and of file are equal up to sign", both(up == aside, 1)),
            ("diagonals run both ways: the differences of rank and of file are equal up to sign", both(up == -aside, 1)),
            ("the third head holds a king's steps as well as a knight's", both(steps & ~king | eye, 2)),
            ("the third head holds a king's steps as well as a knight's", both(steps & ~king, 2)),
            ("the third head holds a knight's jumps as well as a king's steps", both(king, 2)),
            ("the third head holds single steps of the king, up, aside and across", both(steps & ~(king & (up * aside != 0)), 2)),
            ("this is a square of 5 by 5; a knight jumps two one way and one the other", both(torch.maximum(abs(up), abs(aside)) <= 2, 2)),
            ("counted in square numbers, steps run over the edge: h1 is 7 and a2 is 8. Take ranks and files apart", both(wrapped, 2)),
            ("the fourth head sees the whole board", both(lines | diagonals | steps, 3)),
            ("the fourth head is missing: the whole board", right[:3]),
        ],
    )  # fmt: skip


# ---------------------------------------------------------------- 08.4


def best_legal_move(logits: Tensor, legal: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], float]:
    """The course's own answer: the likeliest of the legal (from, to), and the probability of all legal ones together."""
    squares = torch.tensor(legal)
    log_from, log_to = logits.log_softmax(-1)
    scores = log_from[squares[:, 0]] + log_to[squares[:, 1]]
    return tuple(squares[scores.argmax()].tolist()), float(scores.exp().sum())


def check_best_legal_move(f: Callable) -> None:
    logits = torch.full((2, 64), -2.0)
    legal = [(4, 12), (4, 3), (10, 26), (10, 18), (6, 21), (0, 32), (0, 24)]
    logits[0, [4, 10, 6, 0]] = torch.tensor([3.0, 1.0, 2.8, 0.5])
    logits[1, [21, 12, 3, 40, 26, 32, 24]] = torch.tensor([1.0, 0.2, -1.0, 3.5, 2.9, 2.0, 0.0])
    logits[1] += 1.0  # raw logits may be shifted: only differences count
    probabilities = logits.softmax(-1)
    all_pairs = {pair: float(probabilities[0, pair[0]] * probabilities[1, pair[1]]) for pair in legal}
    right = (10, 26)
    share = sum(all_pairs.values())
    kept, kept_legal = logits.clone(), list(legal)
    got = f(logits, legal)
    unchanged(kept, logits, "best_legal_move: logits")
    if legal != kept_legal:
        raise Mistake("best_legal_move: the list of legal moves was changed in place: the caller still needs it.")
    if type(got) not in (list, tuple) or len(got) != 2:
        raise Mistake(
            f"best_legal_move: expected ((from, to), share), the move and the probability of legal moves, got {describe(got)}."
        )
    if all(type(part) is int for part in got):
        raise Mistake("best_legal_move: return two things, the move as (from, to) and the share of legal moves.")
    move, legality = got
    move = list(move) if type(move) in (list, tuple) else move
    if type(move) is Tensor and move.shape == (2,) and not move.is_floating_point():
        move = move.tolist()
    if type(move) is list:
        move = tuple(int(part) if type(part) is Tensor and part.ndim == 0 else part for part in move)
    if move == (4, 40):
        raise Mistake(
            "best_legal_move: (4, 40) is the likeliest square from and the likeliest square to, and no legal move: "
            "score whole moves, and compare legal ones alone."
        )
    expect(
        move,
        right,
        "best_legal_move of 7 legal moves",
        mistakes=[
            ("this is the best move of the likeliest piece. A less likely piece may have a likelier move: compare all legal moves", (4, 12)),
            ("this is the best move to the likeliest square that any legal move reaches, or from the likeliest piece", (6, 21)),
            ("this is the place of the move in the list: return the move itself, (from, to)", legal.index(right)),
            ("the order is from, to", right[::-1]),
            ("this is the least likely move", min(all_pairs, key=all_pairs.get)),
        ],
    )  # fmt: skip
    first, second = (logits[i][[pair[i] for pair in legal]] for i in (0, 1))
    expect(
        legality,
        share,
        "best_legal_move: the probability of all legal moves together",
        mistakes=[
            ("divided by its own sum it is always 1: take the softmax over all 64 squares, before you look at legal moves", 1.0),
            ("this is the probability of the best move alone; sum over all legal ones", all_pairs[right]),
            ("these are sums of logits: apply softmax, or exp to sums of log_softmax", float((first + second).sum())),
            ("these are raw logits: apply log_softmax before exp", float((first + second).exp().sum())),
            ("probabilities of one move multiply: p(from) times p(to)",
             sum(float(probabilities[0, a] + probabilities[1, b]) for a, b in legal)),
            ("a move is a pair: this also counts squares to that belong to another piece",
             float(probabilities[0, sorted({a for a, _ in legal})].sum() * probabilities[1, sorted({b for _, b in legal})].sum())),
            ("this is what is left for moves that are not legal", 1 - share),
            ("this is the mean over the legal moves; sum them", share / len(legal)),
        ],
    )  # fmt: skip
    certain = torch.full((2, 64), -30.0)
    certain[0, 8], certain[1, 17] = 30.0, 30.0
    got = f(certain, [(8, 16), (9, 17)])
    move = tuple(int(part) for part in got[0])
    if move not in ((8, 16), (9, 17)):
        raise Mistake(f"best_legal_move: {move} is not among the legal moves (8, 16) and (9, 17).")
    expect(got[1], 0.0, "best_legal_move where the model is sure of an illegal move: the share of legal moves")


# ---------------------------------------------------------------- 08.5


def top_k(logits: Tensor, targets: Tensor, k: int) -> tuple[float, float, float]:
    """The course's own answer: how often the right move is among the k likeliest of all 64 * 64, with Wilson's interval."""
    log_from, log_to = logits.log_softmax(-1).unbind(1)
    moves = (log_from[:, :, None] + log_to[:, None, :]).flatten(1)
    right = (moves.topk(k).indices == (64 * targets[:, 0] + targets[:, 1])[:, None]).any(1)
    low, high = wilson(int(right.sum()), len(right))
    return float(right.float().mean()), float(low), float(high)


def check_top_k(f: Callable) -> None:
    generator = torch.Generator().manual_seed(8)
    count = 240
    targets = torch.randint(0, 64, (count, 2), generator=generator)
    logits = 2 * torch.randn(count, 2, 64, generator=generator)
    # make the right squares likely, more in some positions than in others
    strength = torch.rand(count, 1, 1, generator=generator) * 9
    logits += strength * torch.nn.functional.one_hot(targets, 64)
    scores = logits[:, 0, :, None] + logits[:, 1, None, :]
    at = torch.arange(count)
    mine = scores[at, targets[:, 0], targets[:, 1]]
    place = (scores.flatten(1) > mine[:, None]).sum(1)  # moves that are likelier
    apart = torch.stack([(logits[:, i] > logits[at, i, targets[:, i], None]).sum(1) for i in (0, 1)], dim=1)
    flipped = (scores > scores[at, targets[:, 1], targets[:, 0]][:, None, None]).flatten(1).sum(1)

    def result(right: Tensor) -> tuple[float, float, float]:
        low, high = wilson(int(right.sum()), len(right))
        return float(right.double().mean()), float(low), float(high)

    kept = logits.clone(), targets.clone()
    for k in (1, 3, 10):
        right = place < k
        answer = result(right)
        p, n, z = answer[0], count, 1.96
        half = z * (p * (1 - p) / n) ** 0.5
        mistakes = [
            ("both of the likeliest squares from and to, k of each, are k * k moves: rank whole moves", result((apart < k).all(1))),
            ("the target is right if both of its squares are, not one of them", result((apart < k).any(1))),
            ("this is about the square from alone", result(apart[:, 0] < k)),
            ("this is about the square to alone", result(apart[:, 1] < k)),
            ("from and to are exchanged: row 0 of the logits is for the square from", result(flipped < k)),
            ("k + 1 moves are counted: the best has 0 likelier ones before it", result(place <= k)),
            ("these are the k least likely moves", result(scores.flatten(1).topk(k, largest=False).values.ge(mine[:, None]).any(1))),
            ("this is the plain interval p +- 1.96 standard errors; use Wilson's", (p, p - half, p + half)),
            ("this is the plain interval p +- 1.96 standard errors; use Wilson's", (p, max(0.0, p - half), min(1.0, p + half))),
            ("the order is share, low, high", (answer[1], p, answer[2])),
            ("the share is missing: return (share, low, high)", answer[1:]),
            ("these are counts: divide by the number of positions", tuple(count * part for part in answer)),
            ("the share alone is half of the answer: return (share, low, high)", p),
        ]  # fmt: skip
        if k > 1:
            mistakes.append(("k is ignored: this is top-1", result(place < 1)))
        expect(f(*kept, k), answer, f"top_k of {count} positions, k = {k}", mistakes=mistakes, tol=1e-3)
    unchanged(logits, kept[0], "top_k: logits")
    unchanged(targets, kept[1], "top_k: targets")


# ---------------------------------------------------------------- 08.6


def fallen_from(right: Mapping[int, Tensor]) -> int | None:
    """The course's own answer: the first number of loops from which on accuracy is clearly below its best, or None."""
    ends = {loops: wilson(int(rows.sum()), len(rows)) for loops, rows in right.items()}
    floor = float(ends[max(right, key=lambda loops: int(right[loops].sum()))][0])
    fallen = None
    for loops in sorted(right, reverse=True):
        if float(ends[loops][1]) >= floor:
            break
        fallen = loops
    return fallen


def check_horizon(f: Callable) -> None:
    def curve(counts: dict[int, int], n: int = 200) -> dict[int, Tensor]:
        return {
            loops: torch.randperm(n, generator=torch.Generator().manual_seed(loops)) < correct
            for loops, correct in counts.items()
        }

    def ask(counts: dict[int, int], what: str, mistakes: Sequence[tuple[str, object]], n: int = 200) -> None:
        rows = curve(counts, n)
        kept = {loops: values.clone() for loops, values in rows.items()}
        expect(f(rows), fallen_from(kept), f"horizon of {what}", mistakes=mistakes)
        if list(rows) != list(kept) or any(not torch.equal(rows[loops], kept[loops]) for loops in kept):
            raise Mistake("horizon: the curve was changed in place: the caller still needs it.")

    collapse = {1: 40, 2: 90, 4: 150, 8: 160, 16: 148, 32: 100, 64: 30, 128: 6}
    ask(
        collapse,
        "a curve that rises to 160 of 200 at 8 loops, is at 148 at 16, and falls",
        [
            ("16 loops are below the best, but 148 and 160 of 200 lie within each other's intervals: wait until they do not overlap", 16),
            ("on the way up it is below its best, too; look at what comes after", 1),
            ("on the way up it is below its best, too; look at what comes after", 2),
            ("this is where it is best; say where it is clearly below", 8),
            ("this is the last number of loops at which it still holds; say the first at which it does not", 16),
            ("the first at which it is clearly below, not the last", 128),
            ("this is a place in the list; return the number of loops", list(collapse).index(32)),
            ("this is half of its best; clearly below, with intervals that do not overlap, it is before", 64),
            ("this model does collapse: from 32 loops on the upper end lies below the lower end at the best", None),
        ],
    )  # fmt: skip
    ask(
        {1: 40, 2: 90, 4: 160, 8: 110, 16: 158, 32: 155, 64: 90, 128: 60},
        "a curve that dips at 8 loops, recovers, and falls for good after 32",
        [("at 8 loops it is clearly below, but it comes back: look for where it stays below", 8)],
    )
    ask(
        {1: 40, 2: 90, 4: 150, 8: 160, 16: 158, 32: 161, 64: 157, 128: 155},
        "a curve that holds",
        [
            ("it holds: return None when the end is not clearly below the best", 128),
            ("it holds: return None when the end is not clearly below the best", 1),
            ("it holds: return None when the end is not clearly below the best", 64),
            ("it holds: say so with None", float("inf")),
            ("it holds: say so with None", 0),
            ("it holds: say so with None", -1),
            ("it holds: say so with None", False),
        ],
    )  # fmt: skip
    shuffled = {64: 30, 8: 160, 128: 6, 1: 40, 32: 100, 16: 148}
    ask(shuffled, "the first curve again, its loops not in order", [("sort the numbers of loops first", 64), ("sort the numbers of loops first", 128)])  # fmt: skip
    ask({1: 40, 4: 160, 16: 140, 64: 20}, "a curve of 200", [("140 and 160 of 200: the intervals overlap", 16)])
    ask(
        {1: 400, 4: 1600, 16: 1400, 64: 200},
        "a curve of 2,000, with the same shares",
        [("with 2,000 positions 0.70 is clearly below 0.80: the interval knows how many there are", 64)],
        n=2000,
    )


fen_to_planes = Exercise(
    "08.1", "a FEN as planes", planes_of_fen, check_fen_to_planes,
    seen="Twelve boards of zeros and ones, one for each kind of piece: all that the model ever sees of a position.",
)  # fmt: skip
own_view = Exercise(
    "08.2", "the mover's view", seen_by_mover, check_own_view,
    seen="Four positions have become one, and every answer finds its way back.",
)  # fmt: skip
piece_masks = Exercise(
    "08.3", "lines, diagonals, jumps", chess.piece_masks, check_piece_masks,
    seen="Three heads look along the lines on which pieces move. What stands in the way, they still have to learn.",
)  # fmt: skip
best_legal_move = Exercise(
    "08.4", "the best legal move", best_legal_move, check_best_legal_move,
    seen="The rules choose among the model's wishes; the share says how many of them the rules had to strike.",
)  # fmt: skip
top_k = Exercise(
    "08.5", "top-1 and top-3", top_k, check_top_k,
    seen="Top-1 over whole moves is the same as both squares right; top-3 is not three squares of each.",
)  # fmt: skip
horizon = Exercise(
    "08.6", "where does it collapse?", fallen_from, check_horizon,
    seen="A collapse is now a number of loops, and None is an answer, too.",
)  # fmt: skip
