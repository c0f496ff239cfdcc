"""The exercises of lesson 08, chess: planes, the mover's view, geometry, legal moves, top-k, a horizon."""

import itertools
import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from looped_lite.intervals import wilson
from looped_lite.tasks.chess import PIECES, normalize, read_boards
from looped_lite.tasks.chess import piece_masks as package_masks
from looped_lite.tasks.chess import planes as planes_of

from . import Case, Exercise, Mistake, after

SQUARES, SIDES = torch.arange(64), torch.arange(12)
UP, ASIDE = (part[None] - part[:, None] for part in (SQUARES // 8, SQUARES % 8))


def draw(generator: torch.Generator, *shape: int, most: int = 64) -> Tensor:
    return torch.randint(0, most, shape, generator=generator)


def fen_of(pieces, mover="w", rest="- - 0 1"):
    """A FEN with ``pieces``, {square: letter}."""
    text = "/".join("".join(pieces.get(8 * rank + file, ".") for file in range(8)) for rank in range(7, -1, -1))
    for empty in range(8, 0, -1):
        text = text.replace("." * empty, str(empty))
    return f"{text} {mover} {rest}"


def some_pieces(generator, count, kings):
    """{square: letter}: kings on two given squares, and other pieces on random ones."""
    squares = [square for square in torch.randperm(64, generator=generator).tolist() if square not in kings][:count]
    letters = [PIECES.replace("K", "")[i] for i in draw(generator, count, most=11)]
    letters = [letter.replace("k", "q") for letter in letters]
    return {**dict(zip(squares, letters, strict=True)), kings[0]: "K", kings[1]: "k"}


# ---------------------------------------------------------------- 08.1 a FEN as planes


def planes_cases(generator):
    two = lambda: torch.randperm(64, generator=generator)[:2].tolist()
    fens = [fen_of(some_pieces(generator, count, two()), mover) for count, mover in ((28, "b"), (12, "w"), (5, "b"))]
    return [Case(f"fen_to_planes of {fen.split()[0]}", fen)
            for fen in (*fens, fen_of({4: "K", 60: "k"}, "w", "KQkq e3 0 1"))]  # fmt: skip


def planes_of_fen(fen):
    return planes_of(torch.from_numpy(read_boards([fen])[0]))[0]


def walking(order=PIECES, up=False, left=False, digits=int, letter=1, squares=lambda board: board.flatten(0, 1)):
    """Right, square by square; each option is a mistake."""

    def answer(fen):
        board = torch.zeros(8, 8, 12)
        for row, text in enumerate(fen.split()[0].split("/")):
            file = 0
            for piece in text:
                if piece in order:
                    board[row if up else 7 - row, 7 - file if left else file, order.index(piece)] = 1
                file += digits(piece) if piece.isdigit() else letter
        return squares(board)

    return answer


def planes_by_text(fen):
    """Right: one long text, ranks reversed, compared with each letter."""
    ranks = fen.split(" ")[0].split("/")[::-1]
    text = "".join("." * int(c) if c in "12345678" else c for rank in ranks for c in rank)
    return np.array([[float(c == piece) for piece in PIECES] for c in text])


seen = partial(after, planes_of_fen)
nothing = lambda board: 1 - board.sum(1, keepdim=True)
fen_to_planes = Exercise(
    "08.1", "a FEN as planes", planes_of_fen, planes_cases,
    seen="Twelve boards of zeros and ones, one for each kind of piece: all that the model ever sees of a position.",
    styles=[walking(), planes_by_text, seen(Tensor.double), seen(Tensor.tolist)],
    mistakes=[
        Mistake("the text begins with rank 8, the numbering of squares with a1: the ranks are upside down",
                walking(up=True)),
        Mistake("files run from a to h, left to right, in the text and in the squares", walking(left=True)),
        Mistake("the board is turned by half: the text begins with a8, which is square 56",
                walking(up=True, left=True)),
        Mistake("ranks and files are exchanged: square 1 is b1, and a2 is square 8",
                walking(squares=lambda board: board.transpose(0, 1).flatten(0, 1))),
        Mistake("capitals are white, and white's six planes come first", walking(PIECES.swapcase())),
        Mistake("the order of the planes is PNBRQK for white, then pnbrqk for black", *map(walking, (
            "PRNBQKprnbqk", "KQRBNPkqrbnp", "PNBRKQpnbrkq", "PBNRQKpbnrqk", "RNBQKPrnbqkp", "PpNnBbRrQqKk"))),
        Mistake("black's pieces have planes of their own, 6 to 11",
                seen(lambda board: torch.cat([board[:, :6] + board[:, 6:], 0 * board[:, 6:]], 1)),
                seen(lambda board: board[:, :6] + board[:, 6:]), seen(lambda board: board[:, :6])),
        Mistake("a digit is a number of empty squares: 3 stands for three of them", walking(digits=lambda digit: 1),
                walking(digits=lambda digit: int(digit) - 1)),
        Mistake("a letter takes a square, too: move on by one after each piece", walking(letter=0)),
        Mistake("a piece is a 1 in its plane, black's too", seen(lambda board: board.where(SIDES < 6, -board)),
                seen(lambda board: torch.cat([board[:, :6] - board[:, 6:], 0 * board[:, 6:]], 1))),
        Mistake("each rank of the text begins at file a again: here all ranks lie on one",
                seen(lambda board: torch.cat([0 * board[:56], board.view(8, 8, 12).amax(0)]))),
        Mistake("an empty square has no plane here: it is all zeros",
                seen(lambda board: torch.cat([nothing(board), board], 1)),
                seen(lambda board: torch.cat([board, nothing(board)], 1))),
        Mistake("one row a square, (64, 12), not one row a plane", seen(lambda board: board.T)),
        Mistake("12 planes on 64 squares: (64, 12), one row a square", walking(squares=lambda board: board),
                walking(squares=lambda board: board.permute(2, 0, 1)), seen(torch.flatten)),
        Mistake("this is the batch of one that a model wants; return the board alone", seen(lambda board: board[None])),
        Mistake("the model multiplies this with weights: make it floating point", seen(Tensor.long), seen(Tensor.bool)),
        Mistake("these are numbers of planes; give each square its row of zeros with a single one",
                *(seen(lambda board, kind=kind: (board * torch.arange(1, 13)).sum(1).to(kind)) for kind in (
                    torch.long, torch.float)), seen(lambda board: board.argmax(1))),
        Mistake("black is not turned here: square 0 is a1, whoever is to move",
                lambda fen: walking(up=" b " in fen)(fen),
                lambda fen: walking(up=" b " in fen, left=" b " in fen)(fen)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 08.2 the mover's view


def view_cases(generator):
    """Kings on d and e tell a half of the board from three or five files."""
    cases = []
    for own, other in ((5, 0), (3, 6), (4, 2), (0, 7), (2, 1), (7, 4)):
        ranks = [int(rank) for rank in torch.randperm(8, generator=generator)[:2]]
        for black in (False, True):
            kings = [8 * ranks[0] + own, 8 * ranks[1] + other]
            board = planes_of_fen(fen_of(some_pieces(generator, 8, kings[::-1] if black else kings)))
            mover = "black" if black else "white"
            cases.append(Case(f"own_view, {mover} to move, its king on file {'abcdefgh'[own]}", board, black))
    return cases


def view_of_package(planes, black):
    codes = (planes * torch.arange(1, 13)).sum(-1).to(torch.uint8)
    view, turn = normalize(codes[None].numpy(), np.array([black]))
    return planes_of(torch.from_numpy(view))[0], SQUARES ^ int(turn[0])


def turning(colours=lambda black: black, ranks=lambda black: black, left=lambda seen, board: king_file(seen) < 4,
            same=False, exchange=lambda board: board.roll(6, 1), put=lambda view, origin: (view, origin)):  # fmt: skip
    """Right, with squares as numbers; each option is a mistake. ``same``: ranks and files turned together."""

    def answer(board, black):
        view = exchange(board) if colours(black) else board
        turn = 56 * bool(ranks(black)) ^ 7 * bool(left(view, board)) ^ 7 * (same and black)
        return put(view[SQUARES ^ turn], SQUARES ^ turn)

    return answer


def king_file(board, plane=5):
    return int(board[:, plane].argmax()) % 8


def some_left(board, planes):
    return bool(board.view(8, 8, 12)[:, :4, planes].any())


def view_by_flips(board, black):
    """Right: a board of 8 by 8, turned by half for black, and the square numbers beside it as a list."""
    grid, squares = board.view(8, 8, 12), SQUARES.view(8, 8)
    if black:
        grid, squares = grid.flip(0, 1)[..., [*range(6, 12), *range(6)]], squares.flip(0, 1)
    if grid[:, :4, 5].any():
        grid, squares = grid.flip(1), squares.flip(1)
    return [grid.reshape(64, 12), squares.flatten().tolist()]


def files_or(which):
    """Square numbers in which only some of the turns were done: 7 the files, 56 the ranks, 0 none."""
    return turning(put=lambda view, origin: (view, SQUARES ^ (int(origin[0]) & which)))


never, always = (lambda *of: False), (lambda *of: True)
own_view = Exercise(
    "08.2", "the mover's view", view_of_package, view_cases,
    seen="Four positions have become one, and every answer finds its way back.",
    styles=[turning(), view_by_flips, turning(left=lambda seen, board: seen.view(8, 8, 12)[:, :4, 5].sum() > 0)],
    mistakes=[
        Mistake("for black the colours change as well: own pieces come first, planes 0 to 5",
                turning(colours=never)),
        Mistake("for white nothing is exchanged: its planes come first already", turning(colours=always)),
        Mistake("black plays down the board: turn the ranks over", turning(ranks=never)),
        Mistake("white plays up the board already: leave the ranks", turning(ranks=always)),
        Mistake("exactly the other way round: black is turned, not white",
                turning(colours=lambda black: not black, ranks=lambda black: not black)),
        Mistake("the mover's king belongs on files e to h: mirror left to right if it stands on a to d",
                turning(left=never), turning(left=lambda seen, board: seen is not board and king_file(seen) < 4)),
        Mistake("the mover's king is on the right half already: mirror only if it is on files a to d",
                turning(left=always),
                turning(left=lambda seen, board: king_file(seen) >= 4)),
        Mistake("files a to d are four, 0 to 3: the half ends between d and e",
                *(turning(left=lambda seen, board, most=most: king_file(seen) < most) for most in (3, 5))),
        Mistake("which half is decided by the mover's king, plane 5 once own pieces come first",
                turning(left=lambda seen, board: king_file(board) < 4),
                turning(left=lambda seen, board: king_file(seen, 11) < 4),
                turning(left=lambda seen, board: king_file(board, 11) < 4)),
        Mistake("the king is in plane 5, the last of its six", turning(left=lambda seen, board: king_file(seen, 0) < 4),
                turning(left=lambda seen, board: king_file(seen, 4) < 4),
                *(turning(left=lambda seen, board, plane=plane: some_left(seen, plane)) for plane in (0, 4))),
        Mistake("exchange the first six planes with the last six, each six in its order",
                *(turning(exchange=exchange, left=lambda seen, board: some_left(seen, 5)) for exchange in (
                    lambda board: board.flip(1), lambda board: board.roll(6, 0), lambda board: board.roll(1, 1)))),
        Mistake("the files lie along the second dimension of (8, 8, 12): these are the king's ranks",
                turning(left=lambda seen, board: int(seen[:, 5].argmax()) // 8 < 4),
                turning(left=lambda seen, board: (int(seen[:, 5].argmax()) // 8 < 4) ^ (seen is not board))),
        Mistake("to turn the ranks over is flip(0) alone; with the files too it is a turn by half", turning(same=True),
                turning(same=True, left=never)),
        Mistake("return two things, the turned board and where each of its squares came from",
                after(turning(), lambda pair: pair[0])),
        Mistake("the order is the board, then where its squares came from", after(turning(), lambda pair: pair[::-1])),
        Mistake("one row a square, please: (64, 12)", turning(put=lambda view, origin: (view.view(8, 8, 12), origin)),
                turning(put=lambda view, origin: (view.view(8, 8, 12), origin.view(8, 8)))),
        Mistake("these are the squares of the new board: do to `torch.arange(64)` what you did to the board",
                files_or(0)),
        Mistake("the mirror is missing in origin: do to the square numbers all that you did to the board",
                files_or(56)),
        Mistake("the turned ranks are missing in origin: do to the square numbers all that you did to the board",
                files_or(7)),
        Mistake("one number for each of the 64 squares, not a board of 8 by 8",
                turning(put=lambda view, origin: (view, origin.view(8, 8)))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 08.3 lines, diagonals, jumps

KING, KNIGHT = torch.maximum(UP.abs(), ASIDE.abs()) <= 1, (UP * ASIDE).abs() == 2
EYE = torch.eye(64, dtype=torch.bool)
PARTS = ((UP == 0) | (ASIDE == 0), UP.abs() == ASIDE.abs(), KING | KNIGHT, torch.ones(64, 64, dtype=torch.bool))


def masks(*order, **other):
    """The four masks, or those of ``order``; head0=... puts another in the place of the first."""
    found = torch.stack([other.get(f"head{place}", part) for place, part in enumerate(PARTS)])
    return lambda: found[list(order or range(4))]


def masks_by_walking():
    """Right: each piece walks over an empty board."""
    straight, across = ([(0, 1), (1, 0), (0, -1), (-1, 0)], 7), ([(1, 1), (1, -1), (-1, 1), (-1, -1)], 7)
    steps = [(a, b) for a in range(-2, 3) for b in range(-2, 3) if abs(a * b) == 2 or max(abs(a), abs(b)) == 1]
    found = torch.stack([EYE, EYE, EYE, EYE | True])
    for part, (directions, reach) in zip(found, (straight, across, (steps, 1)), strict=False):
        for square in range(64):
            for up, aside in directions:
                for far in range(1, reach + 1):
                    rank, file = square // 8 + far * up, square % 8 + far * aside
                    if 0 <= rank < 8 and 0 <= file < 8:
                        part[square, 8 * rank + file] = True
    return found


apart = (SQUARES[None] - SQUARES[:, None]).abs()
any_of = lambda *steps: torch.stack([apart == step for step in steps]).any(0)
both = "diagonals run both ways: the differences of rank and of file are equal up to sign"
piece_masks = Exercise(
    "08.3", "lines, diagonals, jumps", package_masks, lambda generator: [Case("piece_masks")],
    seen="Three heads look along the lines on which pieces move. What stands in the way, they still have to learn.",
    styles=[masks(), masks_by_walking, lambda: masks()().tolist(), lambda: masks()().numpy()],
    mistakes=[
        Mistake("a square sees itself, too, in all four: leave the diagonal of each mask True",
                lambda: masks()() & ~EYE,
                masks(head0=PARTS[0] & ~EYE, head1=PARTS[1] & ~EYE, head2=PARTS[2] & ~EYE),
                *(masks(**{f"head{place}": PARTS[place] & ~EYE}) for place in range(4)),
                masks(head2=KNIGHT | KING & ~EYE)),
        Mistake("True means may look; these are the squares that it may not see", lambda: ~masks()()),
        Mistake("the order is rook lines, diagonals, knight and king, everybody", masks(1, 0, 2, 3), masks(0, 2, 1, 3),
                masks(2, 1, 0, 3), masks(3, 0, 1, 2)),
        Mistake("a rook moves along ranks and along files: combine both with |",
                masks(head0=UP == 0), masks(head0=ASIDE == 0)),
        Mistake("`rank and file equal` is one square alone: combine with |", masks(head0=EYE)),
        Mistake(both, masks(head1=UP == ASIDE), masks(head1=-UP == ASIDE), masks(head1=EYE)),
        Mistake("the third head holds a king's steps as well as a knight's",
                masks(head2=KNIGHT), masks(head2=KNIGHT | EYE)),
        Mistake("the third head holds a knight's jumps as well as a king's steps", masks(head2=KING)),
        Mistake("a king's step: both differences are at most 1, combine with &",
                masks(head2=KNIGHT | (UP.abs() <= 1) | (ASIDE.abs() <= 1)), masks(head2=KNIGHT | (UP * ASIDE == 0)),
                masks(head2=KNIGHT | ((UP * ASIDE).abs() <= 1))),
        Mistake("the differences have a sign: take .abs() of both tables", *(
                masks(head1=up == aside, head2=(up * aside == 2) | ((up <= 1) & (aside <= 1)))
                for up, aside in ((UP, ASIDE), (-UP, -ASIDE)))),
        Mistake("the second head holds diagonals alone", masks(head1=PARTS[0] | PARTS[1])),
        Mistake("the first head holds lines alone", masks(head0=PARTS[0] | PARTS[1])),
        Mistake("lines and diagonals go on to the edge of the board, not one step",
                masks(head0=UP.abs() + ASIDE.abs() <= 1), masks(head1=EYE | ((UP * ASIDE).abs() == 1) & KING),
                masks(head0=UP.abs() + ASIDE.abs() <= 1, head1=EYE | ((UP * ASIDE).abs() == 1) & KING)),
        Mistake("a knight's jumps and a king's steps share the third head",
                lambda: torch.stack([PARTS[0], PARTS[1], KNIGHT, KING, PARTS[3]])),
        Mistake("a king steps across, too: neither difference is larger than 1",
                masks(head2=KNIGHT | (UP.abs() + ASIDE.abs() <= 1)),
                masks(head2=KNIGHT | EYE | (KING & (UP * ASIDE != 0)))),
        Mistake("a knight jumps two one way and one the other: the differences multiply to 2, not to 3 or 4",
                *(masks(head2=KING | jump) for jump in (
                    (UP * ASIDE).abs() == 3, (UP * ASIDE).abs() == 4))),
        Mistake("this is a square of 5 by 5; a knight jumps two one way and one the other",
                masks(head2=torch.maximum(UP.abs(), ASIDE.abs()) <= 2)),
        Mistake("up + aside == 3 is also three squares along a line: for a knight their product is 2",
                masks(head2=KING | (UP.abs() + ASIDE.abs() == 3)), masks(head2=UP.abs() + ASIDE.abs() == 3),
                masks(head2=UP.abs() + ASIDE.abs() <= 3)),
        Mistake("a knight jumps to both sides: take absolute values of the differences before you multiply",
                masks(head2=KING | (UP * ASIDE == 2)), masks(head2=KING | (UP * ASIDE == -2)),
                masks(head2=KING | (UP == 2) & (ASIDE == 1)),
                masks(head2=KING | ((UP.abs() == 2) & (ASIDE.abs() == 1))),
                masks(head2=KING | ((UP.abs() == 1) & (ASIDE.abs() == 2)))),
        Mistake("counted in square numbers, steps run over the edge: h1 is 7 and a2 is 8. Take ranks and files apart",
                masks(head2=any_of(0, 1, 6, 7, 8, 9, 10, 15, 17)), masks(head2=KING | any_of(6, 10, 15, 17)),
                masks(head2=KNIGHT | any_of(0, 1, 7, 8, 9)), masks(head1=(apart % 7 == 0) | (apart % 9 == 0))),
        Mistake("the fourth head sees the whole board",
                masks(head3=PARTS[0] | PARTS[1] | PARTS[2]), masks(head3=~PARTS[3])),
        Mistake("the fourth head is missing: the whole board", masks(0, 1, 2)),
        Mistake("compare with ==, combine with | and &: the answer is True and False, a boolean tensor",
                lambda: masks()().float(), lambda: masks()().long()),
        Mistake("stack the four masks into one tensor: torch.stack", lambda: list(masks()()), lambda: tuple(masks()())),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 08.4 the best legal move


def legal_cases(generator):
    """The likeliest square from, to, and pair are three different things here; the squares have random numbers."""
    cases = []
    for more in (0, 4):
        name = torch.randperm(64, generator=generator)
        logits = torch.full((2, 64), -2.0)
        logits[0, name[[4, 10, 6, 0]]] = torch.tensor([3.0, 1.0, 2.8, 0.5])
        logits[1, name[[21, 12, 3, 40, 26, 32, 24]]] = torch.tensor([2.0, 1.2, 0.0, 4.9, 3.9, 4.2, 1.0])
        logits += 0.01 * torch.randn(2, 64, generator=generator)
        pairs = [
            (0, 24),
            (4, 12),
            (4, 3),
            (10, 26),
            (10, 18),
            (6, 21),
            (6, 12),
            (0, 32),
            *((50 + i, 60 - i) for i in range(more)),
        ]
        legal = [(int(name[a]), int(name[b])) for a, b in pairs]
        cases.append(Case(f"best_legal_move of {len(legal)} legal moves", logits, legal))
    sure = torch.full((2, 64), -30.0)
    a, b, c, d = torch.randperm(64, generator=generator)[:4].tolist()
    sure[0, a], sure[1, b], sure[0, c] = 30.0, 30.0, -20.0
    return [*cases, Case("best_legal_move where the model is sure of an illegal move", sure, [(a, d), (c, b)])]


def by_logarithms(logits, legal):
    squares = torch.tensor(legal)
    log_from, log_to = logits.log_softmax(-1)
    scores = log_from[squares[:, 0]] + log_to[squares[:, 1]]
    return tuple(squares[scores.argmax()].tolist()), float(scores.exp().sum())


def choosing(weigh=lambda logits: logits.log_softmax(-1).exp(), one=lambda p, q: p * q, move=None, share=None,
             put=lambda move, share: (move, share)):  # fmt: skip
    """Right, move by move; each option is a mistake. ``move`` and ``share`` see p, the legal moves, their odds."""

    def answer(logits, legal):
        p = weigh(logits.double())
        odds = {(a, b): float(one(p[0, a], p[1, b])) for a, b in legal}
        best = move(p, legal, odds) if move else max(odds, key=odds.get)
        return put(best, share(p, legal, odds) if share else sum(odds.values()))

    return answer


def by_table(logits, legal):
    """Right: a table of all 4,096 moves, illegal ones at minus infinity; tensors come back."""
    log = logits.log_softmax(-1)
    table, places = torch.full((64, 64), -math.inf), tuple(torch.tensor(legal).T)
    table[places] = (log[0][:, None] + log[1])[places]
    return torch.stack(torch.unravel_index(table.argmax(), (64, 64))), table.exp().sum()


def piece_first(p, legal, odds, place=0):
    piece = max({pair[place] for pair in legal}, key=lambda square: float(p[place, square]))
    return max((pair for pair in legal if pair[place] == piece), key=odds.get)


exact = choosing()
spread_out = lambda p, legal, odds: float(p[0, [*{a for a, _ in legal}]].sum() * p[1, [*{b for _, b in legal}]].sum())
best_legal_move = Exercise(
    "08.4", "the best legal move", by_logarithms, legal_cases,
    seen="The rules choose among the model's wishes; the share says how many of them the rules had to strike.",
    styles=[exact, by_table, choosing(put=lambda move, share: [list(move), np.float64(share)])],
    mistakes=[
        Mistake("the likeliest square from and the likeliest square to are no legal move here: compare legal ones",
                choosing(move=lambda p, legal, odds: (int(p[0].argmax()), int(p[1].argmax())))),
        Mistake("this goes by the square from first: a less likely piece may have a likelier move",
                choosing(move=piece_first), choosing(move=lambda p, legal, odds: max(legal, key=lambda m: p[0, m[0]]))),
        Mistake("a number added to all probabilities makes unlikely moves alike: log_softmax needs none",
                *(choosing(lambda logits, eps=eps: logits.float().softmax(-1) + eps) for eps in (1e-9, 1e-8, 1e-6))),
        Mistake("this goes by the square to first: a less likely square may have a likelier move",
                choosing(move=partial(piece_first, place=1)),
                choosing(move=lambda p, legal, odds: max(legal, key=lambda m: p[1, m[1]]))),
        Mistake("this is the place of the move in the list: return the move itself, (from, to)",
                choosing(move=lambda p, legal, odds: legal.index(max(odds, key=odds.get)))),
        Mistake("the order is from, to: this is the right move backwards",
                choosing(move=lambda p, legal, odds: max(odds, key=odds.get)[::-1])),
        Mistake("row 0 of the logits is for the square from, row 1 for the square to; here they are exchanged",
                choosing(lambda logits: logits.flip(0).softmax(-1)),
                choosing(share=lambda p, legal, odds: sum(float(p[1, a] * p[0, b]) for a, b in legal))),
        Mistake("this is the least likely move", choosing(move=lambda p, legal, odds: min(odds, key=odds.get))),
        Mistake("this is the first legal move; compare them all", choosing(move=lambda p, legal, odds: legal[0])),
        Mistake("return two things, the move as (from, to) and the share of legal moves",
                after(exact, lambda pair: pair[0]), after(exact, lambda pair: pair[1]),
                after(exact, lambda pair: (*pair[0], pair[1]))),
        Mistake("the order is the move, then the share", after(exact, lambda pair: pair[::-1])),
        Mistake("the softmax belongs over the 64 squares of a row, the last dimension",
                choosing(lambda logits: logits.softmax(0)),
                choosing(lambda logits: logits.flatten().softmax(0).view(2, 64))),
        Mistake("a sigmoid judges each square alone; the softmax over the row makes them share one probability",
                choosing(torch.sigmoid)),
        Mistake("these are sums of logits: take the softmax over all 64 squares first",
                choosing(lambda logits: logits, lambda p, q: p + q)),
        Mistake("these are products of logits: take the softmax over all 64 squares first",
                choosing(lambda logits: logits)),
        Mistake("this is exp of raw logits: apply log_softmax before exp, or divide each row by its sum",
                choosing(torch.exp)),
        Mistake("these are sums of logarithms: take exp of each before you add them up",
                choosing(lambda logits: logits.log_softmax(-1), lambda p, q: p + q)),
        Mistake("logarithms of probabilities are added, not multiplied",
                choosing(lambda logits: logits.log_softmax(-1))),
        Mistake("divided by its own sum it is always 1: take the softmax over all 64 squares, not over legal moves",
                choosing(share=lambda p, legal, odds: 1.0)),
        Mistake("this is the probability of the best move alone; sum over all legal ones",
                choosing(share=lambda p, legal, odds: max(odds.values()))),
        Mistake("this is the best move's part of the legal ones; return the probability of all legal moves",
                choosing(share=lambda p, legal, odds: max(odds.values()) / sum(odds.values()))),
        Mistake("this is the logarithm: take exp",
                choosing(share=lambda p, legal, odds: math.log(sum(odds.values())))),
        Mistake("this is about the squares from alone, or to: a move is a pair, p(from) times p(to)", *(
                choosing(share=lambda p, legal, odds, place=place, each=each: float(
                    sum(p[place, square] for square in each([move[place] for move in legal]))))
                for place in (0, 1) for each in (set, list))),
        Mistake("probabilities of one move multiply: p(from) times p(to)", choosing(one=lambda p, q: p + q)),
        Mistake("a move is a pair: this also counts squares to that belong to another piece",
                choosing(share=spread_out),
                choosing(share=lambda p, legal, odds: float(sum(p[0, a] for a, _ in legal) * sum(
                    p[1, b] for _, b in legal)))),
        Mistake("this is what is left for moves that are not legal",
                choosing(share=lambda p, legal, odds: 1 - sum(odds.values()))),
        Mistake("only one move is made, so the probabilities of several add up: no 1 - product of what is left",
                choosing(share=lambda p, legal, odds: 1 - math.prod(1 - one for one in odds.values()))),
        Mistake("this is the mean over the legal moves; sum them",
                choosing(share=lambda p, legal, odds: sum(odds.values()) / len(odds))),
        Mistake("this is the number of legal moves among all; sum their probabilities",
                choosing(share=lambda p, legal, odds: len(legal) / 4096),
                choosing(share=lambda p, legal, odds: len(legal))),
        Mistake("several legal moves may share a square: sum over the moves, not over their squares", *(
                choosing(share=lambda p, legal, odds, at=at: sum({m[at]: one for m, one in odds.items()}.values()))
                for at in (0, 1))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 08.5 top-1 and top-3


def top_cases(generator):
    cases = []
    for count, k in ((240, 1), (300, 3), (400, 10), (60, 3)):
        targets, strength = draw(generator, count, 2), 8 * torch.rand(count, 1, 1, generator=generator) - 2
        logits = 2 * torch.randn(count, 2, 64, generator=generator) + strength * F.one_hot(targets, 64)
        cases.append(Case(f"top_k of {count} positions, k = {k}", logits, targets, k))
    return cases


def with_interval(right):
    low, high = wilson(int(right.sum()), len(right))
    return float(right.double().mean()), float(low), float(high)


def plainly(right, most=math.inf):
    n, p = len(right), float(right.double().mean())
    half = 1.96 * (p * (1 - p) / n) ** 0.5
    return p, max(p - half, -most), min(p + half, 1 + most)


def ranking(of=lambda logits: logits, number=lambda a, b: 64 * a + b, count=lambda k: k, least=False, join=torch.add,
            hit=lambda found: found.any(1), judge=with_interval, put=lambda *three: three):  # fmt: skip
    """Right as it stands; each option is a mistake."""

    def answer(logits, targets, k):
        p = of(logits)
        moves = join(p[:, 0, :, None], p[:, 1, None, :]).flatten(1)
        found = moves.topk(count(k), largest=not least).indices == number(*targets.T)[:, None]
        return put(*judge(hit(found)))

    return answer


def each_alone(judge, count=lambda k: k):
    """Looks at both rows of the logits apart: ``judge`` gets (positions, 2), is each square among the k likeliest?"""
    return lambda logits, targets, k: with_interval(
        judge((logits.topk(count(k), -1).indices == targets[..., None]).any(-1)))  # fmt: skip


def one_by_one(logits, targets, k):
    """Right: position by position, how many moves are likelier than the right one."""
    right = []
    for (log_from, log_to), (a, b) in zip(logits.log_softmax(-1), targets.tolist(), strict=True):
        moves = log_from[:, None] + log_to
        right.append(int((moves > moves[a, b]).sum()) < k)
    return list(with_interval(torch.tensor(right)))


softly = lambda logits: logits.double().softmax(-1)
top_k = Exercise(
    "08.5", "top-1 and top-3", ranking(), top_cases,
    seen="Top-1 over whole moves is the same as both squares right; top-3 is not three squares of each.",
    styles=[one_by_one, ranking(softly, join=torch.mul), after(ranking(), torch.tensor)],
    mistakes=[
        Mistake("k of the likeliest squares from and k to are k * k moves: rank whole moves",
                each_alone(lambda found: found.all(1))),
        Mistake("the target is right if both of its squares are, not one of them",
                each_alone(lambda found: found.any(1)),
                each_alone(torch.flatten)),
        Mistake("this is about the square from alone", each_alone(lambda found: found[:, 0])),
        Mistake("this is about the square to alone", each_alone(lambda found: found[:, 1])),
        Mistake("from and to are exchanged: row 0 of the logits and `targets[:, 0]` are the square from, and a move's "
                "number is 64 * from + to",
                ranking(number=lambda a, b: 64 * b + a),
                ranking(lambda logits: logits.flip(1))),
        Mistake("a move's number is 64 * a + b, since each row of the table has 64 squares",
                ranking(number=lambda a, b: 8 * a + b),
                ranking(number=lambda a, b: 63 * a + b), ranking(number=lambda a, b: a + b),
                ranking(number=lambda a, b: a * b)),
        Mistake("probabilities of one move multiply, or their logarithms are added",
                ranking(softly), ranking(join=torch.mul)),
        Mistake("the softmax belongs over the 64 squares, the last dimension",
                ranking(lambda logits: logits.log_softmax(1)),
                ranking(lambda logits: logits.log_softmax(0))),
        Mistake("a sigmoid judges each square alone: add the logits, or multiply softmax over 64 squares",
                ranking(torch.sigmoid, join=torch.mul)),
        Mistake("the right move may be any of the k likeliest, not the last of them alone",
                ranking(hit=lambda found: found[:, -1])),
        Mistake("a position is right or not: divide by the number of positions, not k times it",
                ranking(hit=torch.flatten)),
        Mistake("this asks of each of the k places whether it is right in any position: any(1)",
                ranking(hit=lambda found: found.any(0))),
        Mistake("one of the k likeliest is enough: any(1), not all(1)", ranking(hit=lambda found: found.all(1))),
        Mistake("k + 1 moves are counted: k are asked for", ranking(count=lambda k: k + 1)),
        Mistake("these are the k least likely moves", ranking(least=True)),
        Mistake("k is ignored: this is top-1", ranking(count=lambda k: 1)),
        Mistake("k is ignored: this is top-3", ranking(count=lambda k: 3)),
        Mistake("this is the plain interval p +- 1.96 standard errors; use Wilson's", ranking(judge=plainly),
                ranking(judge=partial(plainly, most=0.0))),
        Mistake("the order is share, low, high", ranking(put=lambda p, low, high: (low, p, high)),
                ranking(put=lambda p, low, high: (low, high, p))),
        Mistake("the share is missing: return (share, low, high)", ranking(put=lambda p, low, high: (low, high))),
        Mistake("the share alone is half of the answer: return (share, low, high)",
                ranking(put=lambda p, low, high: p)),
        Mistake("wilson's two ends are no part of their own here: return three numbers",
                ranking(put=lambda p, *ends: (p, ends))),
        Mistake("these are counts: divide by the number of positions",
                lambda logits, targets, k: tuple(len(targets) * part for part in ranking()(logits, targets, k))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 08.6 where does it collapse?


def horizon_cases(generator):
    def case(what, counts, n=200, **also):
        jitter = {
            loops: right + int(draw(generator, most=3)) - 1 if n == 200 else right for loops, right in counts.items()
        }
        rows = {loops: torch.randperm(n, generator=generator) < right for loops, right in jitter.items()}
        told = ", ".join(f"{loops}: {right}" for loops, right in jitter.items())
        return Case(f"horizon of {what} (right of {n} at each number of loops: {told})", rows, **also)

    return [
        case("a curve that rises and falls", {1: 40, 2: 90, 4: 150, 8: 160, 16: 148, 32: 100, 64: 30, 128: 6},
             hint="From 32 loops on, every upper end lies below the lower end at 8"),
        case("a curve that dips, recovers, and falls for good",
             {1: 40, 2: 90, 4: 160, 8: 110, 16: 158, 32: 155, 64: 90, 128: 60}),
        case("a curve that holds", {1: 40, 2: 90, 4: 150, 8: 160, 16: 158, 32: 161, 64: 157, 128: 155},
             hint="Return None then"),
        case("a curve whose loops stand in no order", {64: 30, 8: 160, 128: 6, 1: 40, 32: 100, 16: 148}),
        case("a curve of 200", {1: 40, 4: 160, 16: 140, 64: 20}),
        case("a curve of 2,000, with the same shares", {1: 400, 4: 1600, 16: 1400, 64: 200}, n=2000),
        case("a curve of 20", {1: 5, 4: 20, 16: 16, 64: 3}, n=20),
        case("a curve that falls by small steps", {1: 40, 4: 160, 8: 146, 16: 130, 32: 113, 64: 95}),
        case("a curve that falls at its last point", {64: 90, 1: 40, 16: 158, 4: 160, 32: 157}),
    ]  # fmt: skip


def falling(below=lambda one, best: one[2] < best[1], order=lambda right: sorted(right), judge=with_interval,
            start=None,
            best=lambda shares: max(shares, key=lambda loops: shares[loops][0])):  # fmt: skip
    """Right as it stands, from the end backwards; each option is a mistake. ``below`` sees (share, low, high) twice."""

    def answer(right):
        shares = {loops: judge(rows) for loops, rows in right.items()}
        peak, loops, fallen = shares[best(shares)], order(right), None
        if start:
            return next((t for t in start(loops, best(shares)) if below(shares[t], peak)), None)
        for t in loops[::-1]:
            if not below(shares[t], peak):
                break
            fallen = t
        return fallen

    return answer


def steepest(right):
    """Wrong: the first that is clearly below the one before it."""
    loops = sorted(right)
    return next((b for a, b in itertools.pairwise(loops)
                 if with_interval(right[b])[2] < with_interval(right[a])[1]), None)  # fmt: skip


def by_columns(right):
    """Right: tensors, and a running product from the end."""
    loops = sorted(right)
    ends = [wilson(right[t].sum(), len(right[t])) for t in loops]
    low, high = torch.tensor(np.array(ends)).T
    run = int((high < low.max()).flip(0).long().cumprod(0).sum())  # the best share has the highest lower end
    return torch.tensor(loops)[len(loops) - run] if run else None


fallen_from = falling()
horizon = Exercise(
    "08.6", "where does it collapse?", fallen_from, horizon_cases,
    seen="A collapse is now a number of loops, and None is an answer, too.",
    styles=[by_columns, after(fallen_from, lambda found: found and float(found))],
    mistakes=[
        Mistake("clearly below is stricter: its upper end lies below the lower end at the best, so that the two "
                "intervals do not overlap",
                *map(falling, (lambda one, best: one[0] < best[0], lambda one, best: one[0] < best[1],
                               lambda one, best: one[2] < best[0], lambda one, best: one[1] < best[1],
                               lambda one, best: one[2] < best[2])),
                falling(lambda one, best: one[0] < best[0], start=lambda loops, peak: [t for t in loops if t > peak]),
                falling(lambda one, best: one[0] < best[0] - 0.05)),
        Mistake("compare with the best, not with the number of loops just before", steepest),
        Mistake("on the way up it is below its best, too; look at what comes after",
                falling(start=lambda loops, peak: loops)),
        Mistake("it comes back after the dip: look for where it stays below",
                falling(start=lambda loops, peak: [t for t in loops if t > peak])),
        Mistake("the first at which it is clearly below from there on, not the last",
                falling(start=lambda loops, peak: loops[::-1]), falling(start=lambda loops, peak: loops[-1:])),
        Mistake("this is where it is best; say where it is clearly below",
                lambda right: max(right, key=lambda t: float(right[t].float().mean()))),
        Mistake("this is the last number of loops at which it still holds; say the first at which it does not",
                lambda right: max([t for t in right if t < (fallen_from(right) or math.inf)])),
        Mistake("this is always the largest number of loops; say where the fall begins", max),
        Mistake("this is a place in the list; return the number of loops",
                lambda right: (sorted(right).index(fallen_from(right)) if fallen_from(right) else None)),
        Mistake("this is half of its best; clearly below, with intervals that do not overlap, it is before",
                falling(lambda one, best: one[0] < best[0] / 2)),
        Mistake("where it holds, say so with None", *(after(fallen_from, lambda found, other=other: found or other)
                                                      for other in (math.inf, 0, -1, False, "None")),
                lambda right: fallen_from(right) or max(right)),
        Mistake("the loops may come in any order: sort them first", falling(order=list),
                falling(order=list, start=lambda loops, peak: loops[loops.index(peak):])),
        Mistake("these are plain intervals, p +- 1.96 standard errors, with no width at 20 of 20; use Wilson's",
                falling(judge=plainly)),
        Mistake("compare with the best, not with the first number of loops", falling(best=min)),
        Mistake("return the number of loops alone, not its accuracy with it",
                lambda right: fallen_from(right) and (fallen_from(right),
                                                      float(right[fallen_from(right)].float().mean()))),
    ],
)  # fmt: skip
