"""The checks of lesson 08: right answers pass however they are written, wrong ones are told what is wrong."""

import numpy as np
import torch
import torch.nn.functional as F
from mutants import *  # noqa: F403 - the tests, and the hook that deals out the answers
from mutants import exercises_of

from looped_lite.exercises import lesson_08 as ex
from looped_lite.intervals import wilson
from looped_lite.tasks.chess import PIECES, load_positions, moves_by_squares, planes, read_fen, square_offsets

EXERCISES = exercises_of(ex)
SQUARES = torch.arange(64)
RANK, FILE = SQUARES // 8, SQUARES % 8
UP, ASIDE = RANK[None] - RANK[:, None], FILE[None] - FILE[:, None]


# ---- 08.1


def fen_planes(fen, order=PIECES, upside_down=False, mirrored=False, digits=True, extra=False):
    """Right, written square by square; every option is a mistake."""
    board = torch.zeros(8, 8, 12 + extra)
    board[..., 12:] = 1
    for row, text in enumerate(fen.split()[0].split("/")):
        file = 0
        for piece in text:
            if piece.isdigit():
                file += int(piece) if digits else 1
            else:
                place = board[row if upside_down else 7 - row, 7 - file if mirrored else file]
                place[order.index(piece)] = 1
                place[12:] = 0
                file += 1
    return board.flatten(0, 1)


def fen_planes_by_text(fen):
    """Right, written differently: one long text, ranks reversed, compared with each letter; in float64."""
    ranks = fen.split(" ")[0].split("/")[::-1]
    text = "".join("." * int(c) if c in "12345678" else c for rank in ranks for c in rank)
    return torch.from_numpy(np.array([[float(c == piece) for piece in PIECES] for c in text]))


# ---- 08.2


def own(board, black, swap=True, ranks=True, mirror="own", undo="both", always=False):
    """Right, with squares as numbers; every option is a mistake."""
    origin = SQUARES
    if (black and ranks) or always:
        origin = origin ^ 56
    seen = torch.cat([board[:, 6:], board[:, :6]], dim=1) if (black and swap) or always else board
    seen = seen[SQUARES ^ (56 if (black and ranks) or always else 0)]
    king = int(seen[:, 5].argmax()) if mirror == "own" else int(board[:, 5].argmax())
    if mirror == "always" or (mirror and king % 8 < 4):
        seen = seen[SQUARES ^ 7]
        origin = origin ^ (7 if undo != "no mirror" else 0)
    return seen, SQUARES if undo == "none" else origin


def own_by_flips(board, black):
    """Right, written differently: a board of 8 by 8, turned by half for black, and the square numbers beside it as a list."""
    grid, squares = board.view(8, 8, 12), SQUARES.view(8, 8)
    if black:
        grid, squares = grid.flip(0, 1)[..., [*range(6, 12), *range(6)]], squares.flip(0, 1)
    if grid[:, :4, 5].any():
        grid, squares = grid.flip(1), squares.flip(1)
    return [grid.reshape(64, 12), squares.flatten().tolist()]


def own_in_place(board, black):
    seen, origin = own(board, black)
    board[:] = seen
    return board, origin


# ---- 08.3


def masks(line=None, diagonal=None, step=None, last=None, self_too=True, order=(0, 1, 2, 3), dtype=torch.bool):
    king = torch.maximum(UP.abs(), ASIDE.abs()) <= 1
    parts = [
        (UP == 0) | (ASIDE == 0) if line is None else line,
        UP.abs() == ASIDE.abs() if diagonal is None else diagonal,
        (UP * ASIDE).abs().eq(2) | king if step is None else step,
        torch.ones(64, 64, dtype=torch.bool) if last is None else last,
    ]
    if not self_too:
        parts = [part & ~torch.eye(64, dtype=torch.bool) for part in parts]
    return torch.stack(parts)[list(order)].to(dtype)


def masks_by_walking():
    """Right, written differently: each piece walks over an empty board. As a list."""
    kinds = [
        ([(0, 1), (1, 0), (0, -1), (-1, 0)], 7),
        ([(1, 1), (1, -1), (-1, 1), (-1, -1)], 7),
        ([(a, b) for a in range(-2, 3) for b in range(-2, 3) if abs(a * b) == 2 or max(abs(a), abs(b)) == 1], 1),
    ]
    parts = []
    for directions, reach in kinds:
        part = torch.eye(64, dtype=torch.bool)
        for square in range(64):
            for up, aside in directions:
                for far in range(1, reach + 1):
                    rank, file = square // 8 + far * up, square % 8 + far * aside
                    if 0 <= rank < 8 and 0 <= file < 8:
                        part[square, 8 * rank + file] = True
        parts.append(part)
    return [*parts, parts[0] | True]


def masks_by_offsets():
    """Right, written differently: from the table of differences that the attention biases use."""
    up, aside = square_offsets() // 15 - 7, square_offsets() % 15 - 7
    far = up**2 + aside**2
    return torch.stack([up * aside == 0, up**2 == aside**2, (far <= 2) | (far == 5), far >= 0])


def wrapping_steps():
    apart = (SQUARES[None] - SQUARES[:, None]).abs()
    return torch.stack([apart == step for step in (0, 1, 6, 7, 8, 9, 10, 15, 17)]).any(0)


# ---- 08.4


def best(logits, legal, habit="", share="right"):
    p, log = logits.softmax(-1), logits.log_softmax(-1)
    odds = {(a, b): float(p[0, a] * p[1, b]) for a, b in legal}
    move = max(odds, key=odds.get)
    if habit == "each alone":
        move = (int(p[0].argmax()), int(p[1].argmax()))
    if habit == "piece first":
        piece = max({a for a, _ in legal}, key=lambda a: float(p[0, a]))
        move = max((pair for pair in legal if pair[0] == piece), key=lambda pair: float(p[1, pair[1]]))
    if habit == "place":
        move = legal.index(move)
    if habit == "worst":
        move = min(odds, key=odds.get)
    if habit == "backwards":
        move = move[::-1]
    shares = {
        "right": sum(odds.values()),
        "softmax": 1.0,
        "best": max(odds.values()),
        "logits": sum(float(logits[0, a] + logits[1, b]) for a, b in legal),
        "exp": sum(float((logits[0, a] + logits[1, b]).exp()) for a, b in legal),
        "sum": sum(float(p[0, a] + p[1, b]) for a, b in legal),
        "marginal": float(p[0, list({a for a, _ in legal})].sum() * p[1, list({b for _, b in legal})].sum()),
        "rest": 1 - sum(odds.values()),
        "mean": sum(odds.values()) / len(odds),
    }
    assert log.shape == p.shape
    return move, shares[share]


def best_by_table(logits, legal):
    """Right, written differently: a table of all 4,096 moves, illegal ones at zero; tensors come back."""
    table = logits[0].softmax(0)[:, None] * logits[1].softmax(0)[None]
    allowed = torch.zeros(64, 64)
    allowed[tuple(torch.tensor(legal).T)] = 1
    place = (table.double() * allowed + allowed).argmax()  # + allowed: no product is so small that it loses to none
    return torch.tensor([place // 64, place % 64]), (table * allowed).sum()


def best_by_sorting(logits, legal):
    log = logits.log_softmax(-1)
    ranked = sorted(legal, key=lambda pair: -(log[0, pair[0]] + log[1, pair[1]]).item())
    return [list(ranked[0]), np.exp([float(log[0, a] + log[1, b]) for a, b in legal]).sum()]


def best_in_place(logits, legal):
    answer = best(logits, legal)
    legal.sort()
    return answer


# ---- 08.5


def interval(right, kind="wilson"):
    n, p = len(right), float(right.double().mean())
    low, high = (float(end) for end in wilson(int(right.sum()), n))
    if kind == "plain":
        half = 1.96 * (p * (1 - p) / n) ** 0.5
        low, high = p - half, p + half
    return p, low, high


def ranked(logits, targets, k, kind="wilson", least=False, swapped=False):
    scores = logits[:, 0, :, None] + logits[:, 1, None, :]
    first, second = targets.unbind(1)
    number = second * 64 + first if swapped else first * 64 + second
    found = scores.flatten(1).topk(k, largest=not least).indices == number[:, None]
    return interval(found.any(1), kind)


def ranked_by_products(logits, targets, k):
    """Right, written differently: probabilities, a full sort, NumPy's numbers."""
    p = logits.softmax(-1).double()
    moves = torch.einsum("nf,nt->nft", p[:, 0], p[:, 1]).flatten(1)
    order = moves.argsort(dim=1, descending=True)[:, :k]
    right = ((order // 64 == targets[:, :1]) & (order % 64 == targets[:, 1:])).any(1)
    return [right.float().mean(), *(end for end in wilson(right.sum().item(), len(right)))]


def ranked_one_by_one(logits, targets, k):
    """Right, written differently: position by position, how many moves are likelier than the right one."""
    right = []
    for (log_from, log_to), (a, b) in zip(logits, targets.tolist(), strict=True):
        moves = log_from[:, None] + log_to
        right.append(int((moves > moves[a, b]).sum()) < k)
    return interval(torch.tensor(right))


def each_alone(logits, targets, k, combine=torch.all):
    return interval(combine((logits.topk(k, dim=-1).indices == targets[..., None]).any(-1), 1))


# ---- 08.6


def bounds(right):
    return {t: wilson(int(rows.sum()), len(rows)) for t, rows in right.items()}


def fall(right):
    """Right: the last number of loops that is not clearly below, and the next one after it."""
    ends, loops = bounds(right), sorted(right)
    peak = max(loops, key=lambda t: float(right[t].float().mean()))
    holds = [t for t in loops if ends[t][1] >= ends[peak][0]]
    later = [t for t in loops if t > max(holds)]
    return later[0] if later else None


def fall_by_columns(right):
    """Right, written differently: tensors and a running product from the end."""
    loops = sorted(right)
    low, high = (torch.tensor(np.array(part)) for part in zip(*(bounds(right)[t] for t in loops), strict=True))
    below = high < low.max()  # of equal numbers of positions the best share has the highest lower end
    run = int(below.flip(0).long().cumprod(0).sum())
    return torch.tensor(loops)[len(loops) - run] if run else None


def first_below(right, after_peak=True, intervals=True, keys=sorted):
    ends, loops = bounds(right), list(keys(right))
    share = {t: float(right[t].float().mean()) for t in loops}
    peak = max(loops, key=share.get)
    below = lambda t: ends[t][1] < ends[peak][0] if intervals else share[t] < share[peak]
    chosen = [t for t in loops if below(t) and (not after_peak or t > peak)]
    return chosen[0] if chosen else None


def last_share(right):
    loops = sorted(right)
    peak = max(loops, key=lambda t: int(right[t].sum()))
    return next((t for t in loops if t > peak and right[t].float().mean() < right[peak].float().mean() / 2), None)


RIGHT = {
    "08.1": [fen_planes, fen_planes_by_text],
    "08.2": [own, own_by_flips],
    "08.3": [masks, masks_by_walking, masks_by_offsets],
    "08.4": [best, best_by_table, best_by_sorting],
    "08.5": [ranked, ranked_by_products, ranked_one_by_one],
    "08.6": [fall, fall_by_columns],
}

WRONG = {
    "08.1": [
        (lambda fen: fen_planes(fen, upside_down=True), "upside down"),
        (lambda fen: fen_planes(fen, mirrored=True), "files run"),
        (lambda fen: fen_planes(fen, upside_down=True, mirrored=True), "turned by half"),
        (lambda fen: fen_planes(fen).view(8, 8, 12).transpose(0, 1).flatten(0, 1), "ranks and files"),
        (lambda fen: fen_planes(fen, order=PIECES.swapcase()), "capitals are white"),
        (lambda fen: fen_planes(fen, digits=False), "3 stands for three"),
        (lambda fen: fen_planes(fen, extra=True), "no plane here"),
        (lambda fen: fen_planes(fen).T, "not one row a plane"),
        (lambda fen: fen_planes(fen).view(8, 8, 12), "flattened"),
        (lambda fen: fen_planes(fen).T.reshape(12, 8, 8), "flattened"),
        (lambda fen: fen_planes(fen)[None], "batch of one"),
        (lambda fen: fen_planes(fen).long(), "floating point"),
        (lambda fen: fen_planes(fen, order="PRNBQKprnbqk"), "values are off"),
    ],
    "08.2": [
        (lambda b, black: own(b, black, swap=False), "colours change"),
        (lambda b, black: own(b, black, always=True), None),
        (lambda b, black: own(b, black, ranks=False), "black plays down"),
        (lambda b, black: own(b, black, mirror=None), "files e to h"),
        (lambda b, black: own(b, black, mirror="always"), "right half already"),
        (lambda b, black: own(b, black, mirror="given"), "decided by the mover's king"),
        (lambda b, black: own(b, black)[0], "return two things"),
        (lambda b, black: own(b, black, undo="none"), "do to `torch.arange(64)`"),
        (lambda b, black: own(b, black, undo="no mirror"), "the mirror is missing"),
        (lambda b, black: (own(b, black)[0], own(b, black)[1].view(8, 8)), "not a board"),
        (lambda b, black: (own(b, black)[0], own(b, black)[1].float()), "whole numbers"),
        (lambda b, black: (own(b, black)[0].view(8, 8, 12), own(b, black)[1]), "one row a square"),
        (own_in_place, "changed in place"),
    ],
    "08.3": [
        (lambda: masks(self_too=False), "a square sees itself"),
        (lambda: ~masks(), "True means may look"),
        (lambda: masks(order=(1, 0, 2, 3)), "swapped"),
        (lambda: masks(line=UP == 0), "combine both"),
        (lambda: masks(line=(UP == 0) & (ASIDE == 0)), "one square alone"),
        (lambda: masks(diagonal=UP == ASIDE), "both ways"),
        (lambda: masks(step=(UP * ASIDE).abs() == 2), "king's steps as well"),
        (lambda: masks(step=torch.maximum(UP.abs(), ASIDE.abs()) <= 1), "knight's jumps as well"),
        (lambda: masks(step=torch.maximum(UP.abs(), ASIDE.abs()) <= 2), "5 by 5"),
        (lambda: masks(step=wrapping_steps()), "over the edge"),
        (lambda: masks(last=masks()[:3].any(0)), "whole board"),
        (lambda: masks()[:3], "fourth head is missing"),
        (lambda: masks(dtype=torch.float32), "boolean"),
    ],
    "08.4": [
        (lambda x, legal: best(x, legal, "each alone"), "no legal move"),
        (lambda x, legal: best(x, legal, "piece first"), "likeliest piece"),
        (lambda x, legal: best(x, legal, "place"), "place of the move"),
        (lambda x, legal: best(x, legal, "worst"), "least likely"),
        (lambda x, legal: best(x, legal, "backwards"), "from, to"),
        (lambda x, legal: best(x, legal)[0], "two things"),
        (lambda x, legal: best(x, legal, share="softmax"), "always 1"),
        (lambda x, legal: best(x, legal, share="best"), "best move alone"),
        (lambda x, legal: best(x, legal, share="logits"), "sums of logits"),
        (lambda x, legal: best(x, legal, share="exp"), "raw logits"),
        (lambda x, legal: best(x, legal, share="sum"), "multiply"),
        (lambda x, legal: best(x, legal, share="marginal"), "a move is a pair"),
        (lambda x, legal: best(x, legal, share="rest"), "what is left"),
        (lambda x, legal: best(x, legal, share="mean"), "mean over"),
        (best_in_place, "changed in place"),
    ],
    "08.5": [
        (each_alone, "rank whole moves"),
        (lambda x, y, k: each_alone(x, y, k, torch.any), "not one of them"),
        (lambda x, y, k: interval((x[:, 0].topk(k).indices == y[:, :1]).any(1)), "from alone"),
        (lambda x, y, k: interval((x[:, 1].topk(k).indices == y[:, 1:]).any(1)), "to alone"),
        (lambda x, y, k: ranked(x, y, k, swapped=True), "exchanged"),
        (lambda x, y, k: ranked(x, y, k + 1), "k + 1"),
        (lambda x, y, k: ranked(x, y, k, least=True), "least likely"),
        (lambda x, y, k: ranked(x, y, 1), "k is ignored"),
        (lambda x, y, k: ranked(x, y, k, "plain"), "plain interval"),
        (lambda x, y, k: ranked(x, y, k)[1:], "share is missing"),
        (lambda x, y, k: ranked(x, y, k)[0], "share alone"),
        (lambda x, y, k: tuple(len(y) * part for part in ranked(x, y, k)), "divide by"),
    ],
    "08.6": [
        (lambda right: first_below(right, intervals=False), "do not overlap"),
        (lambda right: first_below(right, after_peak=False), "way up"),
        (lambda right: first_below(right), "comes back"),
        (lambda right: max(right, key=lambda t: int(right[t].sum())), "where it is best"),
        (lambda right: max(right), "not the last"),
        (last_share, "half of its best"),
        (lambda right: None, "does collapse"),
        (lambda right: fall(right) or float("inf"), "say so with None"),
        (lambda right: sorted(right).index(fall(right)) if fall(right) else None, "place in the list"),
    ],
}


def test_the_exercises_agree_with_the_task():
    positions = load_positions(1, "test")
    for fen, board, target, move in list(
        zip(positions.fens, positions.boards, positions.targets, positions.moves, strict=True)
    )[::97]:
        view, origin = ex.own_view.reference(ex.fen_to_planes.reference(fen), fen.split()[1] == "b")
        assert torch.equal(view, planes(board[None])[0])
        names = "".join("abcdefgh"[int(square) % 8] + str(int(square) // 8 + 1) for square in origin[target])
        assert names == move[:4]
        legal = [
            tuple(int(square) for square in origin[torch.tensor(pair)]) for pair in moves_by_squares(read_fen(fen))
        ]
        chosen, share = ex.best_legal_move.reference(20.0 * F.one_hot(target, 64).float(), legal)
        assert chosen == tuple(target.tolist()) and share > 0.99
