# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 · Chess
#
# **What if there is no algorithm to learn?**
#
# Prefix sums have a road to the answer, one step for each bit. Sudoku has propagation: what a cell knows helps its neighbours, and helps again. Chess has neither. To know that a move forces mate you look at every answer to it, and at every answer to the answers: a search, and its tree has no shape that one could know beforehand. A loop has a state of fixed size, 64 squares with a few dozen numbers each. Where would it put a tree?
#
# What can it learn then, and what do more loops buy?
#
# **After this lesson you can**
#
# - write a position as planes, turn it so that every position looks alike, and bring the answer back;
# - give attention the geometry of the board, and turn two distributions over squares into one legal move;
# - train a model to find mate in one in two minutes, say with an interval how good it is, and play against it;
# - show what happens to it on positions of another kind than those of its training;
# - tell a loop that is at rest from a loop that is right;
# - ask, with curves over loops and the right baselines, whether a model recognizes or searches, and say how far the evidence goes.
#
# **Time**: 90 minutes for you, in two sittings, about two for the machine.
# **You need**: lessons 04 and 05; the rules of chess help, strength does not.

# %% tags=["plumbing"]
import time

import torch

from looped_exercises import lesson_08 as ex
from looped_exercises import report
from looped_lite import boards, plots, tables, widgets
from looped_lite.blocks import rms_norm, rotate
from looped_lite.evaluation import accuracy_over_loops
from looped_lite.fixed_points import lengths
from looped_lite.intervals import difference, in_words, t_interval, wilson
from looped_lite.model import Loop, count_parameters
from looped_lite.paths import read_results
from looped_lite.pretrained import load_pretrained
from looped_lite.recipe import Recipe
from looped_lite.solving import solve_one
from looped_lite.tasks import exact_match
from looped_lite.tasks.chess import Chess, load_positions, moves_by_squares, positions_of, read_fen, rules, select
from looped_lite.training import train

plots.use_style()
torch.set_num_threads(1)  # these tensors are small: a second thread would only get in the way
try:
    rules()
    rules_known = True
except ImportError:
    rules_known = False
    print("python-chess is not installed: the few cells that list legal moves will say so and be skipped.")
    print("To have them, run:  %pip install chess   and restart the kernel.")


def codes(planes):
    """Planes (..., 64, 12) -> boards (..., 64) for the pictures: 0 for an empty square, else 1 to 12."""
    return (planes * torch.arange(1, 13)).sum(-1).long()


def names(squares):
    """Squares in words: "d1 f1"."""
    return " ".join("abcdefgh"[int(square) % 8] + str(int(square) // 8 + 1) for square in squares)


# %% [markdown]
# ## 1. A board as planes
#
# A position comes as one line of text, a **FEN**: the ranks from the eighth down to the first, separated by slashes; a letter for a piece, capitals for white; a digit for so many empty squares; then whose move it is. What follows, castling rights and the like, plays no part before section 4.

# %%
fen = "1k6/4b3/1r6/p3pb2/P4P1p/2R3pP/1P4P1/3r1N1K b - - 0 1"
print(fen)

# %% [markdown]
# Squares are numbered from the lower left corner: a1 is 0, b1 is 1, h1 is 7, a2 is 8, and h8 is 63. So the file is `square % 8` and the rank `square // 8`.

# %% [markdown]
# ### Exercise 08.1 · a FEN as planes
#
# Difficulty 2 of 5 · about 12 minutes
#
# Return a float tensor of shape (64, 12): one row a square, one **plane** a kind of piece, in the order `PNBRQK` for white and then `pnbrqk` for black. A 1 where such a piece stands, 0 elsewhere; an empty square has no plane, its row is all zeros.
#
# <details><summary>Hint 1</summary>
#
# `fen.split()[0].split("/")` are the ranks, the eighth first. A digit moves you along the rank by that many squares, a letter by one.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Row number `r` of the text, counted from 0, is rank `7 - r` in numbers from 0, so its first square is `8 * (7 - r)`. `"PNBRQKpnbrqk".index(letter)` is the plane.
#
# </details>


# %% tags=["exercise"]
@ex.fen_to_planes
def fen_to_planes(fen):
    """A FEN -> (64, 12) floats, a plane for each kind of piece, white's first; square 0 is a1."""
    ### BEGIN SOLUTION
    board = torch.zeros(64, 12)
    for row, text in enumerate(fen.split()[0].split("/")):
        square = 8 * (7 - row)
        for character in text:
            if character.isdigit():
                square += int(character)
            else:
                board[square, "PNBRQKpnbrqk".index(character)] = 1
                square += 1
    return board
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.fen_to_planes.state == "solved"
assert fen_to_planes("k7/8/8/8/8/8/8/K7 w - - 0 1").nonzero().tolist() == [[0, 5], [56, 11]]
### END HIDDEN TESTS


# %%
board = fen_to_planes(fen)
PIECES = ("pawns", "knights", "bishops", "rooks", "queens", "king")
kinds = [f"{side} {kind}" for side in ("white", "black") for kind in PIECES]
plots.show(
    boards.chess.board(codes(board), title="black to move, and mates at once"),
    alt="A chess board. White: king h1, knight f1, rook c3, pawns. Black: king b8, rooks b6 and d1, bishops e7 and f5, pawns, one of them on g3.",
    caption="Black's rook takes the knight on f1: mate, since the pawn on g3 guards h2.",
)
plots.show(
    boards.chess.square_map(board.T.bool(), kinds, columns=6),
    alt="Twelve small boards, one for each kind of piece of each colour, with the squares marked on which such pieces stand.",
    caption="What to see: the same position as twelve boards of zeros and ones. This is all that the model sees.",
)

# %% tags=["claims"]
# Check the claims
assert int(board.sum()) == 17 and codes(board)[[7, 5, 18, 57, 41, 3, 52, 37, 22]].tolist() == [
    6,
    2,
    4,
    12,
    10,
    10,
    9,
    9,
    7,
]

# %% [markdown]
# ## 2. The side to move is always white
#
# A mate does not depend on who gives it. Exchange the colours and turn the board over, and a position with black to move becomes one with white to move; mirror it left to right, and it is still a mate (castling would object, but nobody castles here). A model that had to learn each mate four times would be a waste. So every position is **normalized**, as in the paper: the side to move plays up the board, its pieces fill the first six planes, and its king stands on the right half, files e to h.
#
# The answer then is a move on the turned board. To play it, you need to know which square each new square was.

# %% [markdown]
# ### Exercise 08.2 · the mover's view
#
# Difficulty 3 of 5 · about 20 minutes
#
# Given planes (64, 12) and whether black is to move, return two tensors: the planes as the side to move sees them, and `origin` (64,): on which square of the board you were given did each square of the new board lie? With `origin`, undoing a move is one line: `origin[move]`. Leave the planes that you were given unchanged.
#
# <details><summary>Hint 1</summary>
#
# If black is to move: exchange the first six planes with the last six, and turn the ranks over. Then, for either colour: if the own king, now in plane 5, stands on a file from a to d, turn the files over.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `grid = planes.view(8, 8, 12)` has ranks first, then files: `grid.flip(0)` turns the ranks over, `grid.flip(1)` the files. Do the same flips to `torch.arange(64).view(8, 8)` and you have `origin`.
#
# </details>


# %% tags=["exercise"]
@ex.own_view
def own_view(planes, black):
    """Planes (64, 12) as the side to move sees them, and the old square of each new one, (64,)."""
    ### BEGIN SOLUTION
    grid, origin = planes.view(8, 8, 12), torch.arange(64).view(8, 8)
    if black:
        grid, origin = grid.roll(6, -1).flip(0), origin.flip(0)
    if grid[:, :4, 5].any():
        grid, origin = grid.flip(1), origin.flip(1)
    return grid.reshape(64, 12), origin.flatten()
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.own_view.state == "solved"
seen_by_black, came_from = own_view(fen_to_planes("k7/8/8/8/8/8/8/4K3 w - - 0 1"), True)
assert int(seen_by_black[:, 5].argmax()) == 7 and int(torch.as_tensor(came_from)[7]) == 56
### END HIDDEN TESTS


# %%
view, origin = own_view(board, black=True)
origin = torch.as_tensor(origin)
move = torch.tensor([3, 5])  # d1 to f1, the mate
normal = torch.stack([(origin == square).nonzero()[0, 0] for square in move])
plots.show(
    boards.chess.strip(
        torch.stack([codes(board), codes(view)]),
        moves=[[tuple(move.tolist())], [tuple(normal.tolist())]],
        titles=["as it came, black to move", "as the model sees it"],
    ),
    alt="Two boards. Left the position from above with an arrow from d1 to f1; right the same with colours exchanged and turned over and mirrored, the arrow going from e8 to c8.",
    caption="What to see: the mover's king, on b8 before, is white now and stands on g1. The move has gone along.",
)
print("on the model's board:", names(normal), "  and back:", names(origin[normal]))

# %% tags=["claims"]
# Check the claims
assert torch.equal(origin[normal], move) and names(normal) == "e8 c8" and int(view[6, 5]) == 1

# %% [markdown]
# ## 3. Who sees whom
#
# In sudoku, attention was told where rows, columns and boxes are. Here it is told how pieces move. Four heads: rook lines, diagonals, the jumps of a knight together with the steps of a king, and everything.

# %% [markdown]
# ### Exercise 08.3 · lines, diagonals, jumps
#
# Difficulty 2 of 5 · about 12 minutes
#
# Return a boolean tensor (4, 64, 64): entry `[head, a, b]` is True if in this head square `a` may look at square `b`. Heads in this order: same rank or file; same diagonal; a knight's jump or a king's step away; everybody. A square sees itself in all of them. What stands in between does not matter.
#
# <details><summary>Hint 1</summary>
#
# `rank = torch.arange(64) // 8`, and `up = (rank[:, None] - rank[None, :]).abs()` is the difference of rank of every pair. The same with files. Everything follows from these two tables.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Diagonal: both differences are equal. A knight's jump: their product is 2. A king's step: neither is larger than 1. Combine conditions with `|` and `&`.
#
# </details>


# %% tags=["exercise"]
@ex.piece_masks
def piece_masks():
    """(4, 64, 64) bool: who may look at whom in the heads for rook lines, diagonals, knight and king, and the whole board."""
    ### BEGIN SOLUTION
    rank, file = torch.arange(64) // 8, torch.arange(64) % 8
    up = (rank[:, None] - rank[None, :]).abs()
    aside = (file[:, None] - file[None, :]).abs()
    steps = (up * aside == 2) | ((up <= 1) & (aside <= 1))
    return torch.stack([(up == 0) | (aside == 0), up == aside, steps, torch.ones_like(steps)])
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.piece_masks.state == "solved"
assert [int(mask.sum()) for mask in piece_masks()] == [64 * 15, 560 + 64, 336 + 420 + 64, 64 * 64]
### END HIDDEN TESTS

# %%
masks = torch.stack(list(piece_masks()))
heads = ["rook lines", "diagonals", "knight and king", "everybody"]
plots.show(
    boards.chess.square_map(masks[:, 27], heads, cell=27),
    alt="Four small boards with the square d4 framed. Marked are its rank and file, its two diagonals, the squares around it with the knight's jumps, and the whole board.",
    caption="What to see: a queen on d4 could go wherever the first two heads look. Whether something stands in between is not in the mask: that is left to learn.",
)

# %% [markdown]
# Three things more help a model that has minutes and not days: each head learns a bias for each of the $15 \times 15$ differences of rank and file, each square has a learned vector (the first rank is not like the fourth), and training boards are mirrored half of the time. All this is a choice, as in sudoku. The paper gives every head the whole board and lets rotary positions tell where things are: `Chess(attention="full")` is there to try.
#
# ## 4. A move is two squares
#
# The model ends with two numbers for each square, read as two questions with 64 answers each: *from* which square, and *to* which? The logits of one position are (2, 64). If the two questions are answered separately, a move's probability is a product, $p(a \to b) = p_\text{from}(a)\, p_\text{to}(b)$.
#
# > **Predict.** Take the likeliest square from and the likeliest square to. Is this a legal move? When not?
#
# A model that comes with the course was trained for longer than you will want to wait. Its two distributions, for a mate in two where it has two ideas:

# %% tags=["plumbing"]
long_model = load_pretrained("chess").requires_grad_(False)
card = long_model.card
print(
    f"{card['parameters']:,} parameters, {card['steps']:,} steps, {card['minutes']:.0f} minutes on one core, one seed"
)
KINDS = [(1, "random"), (1, "engine"), (2, "random"), (2, "engine"), (3, "engine"), (4, "engine")]
positions = {(depth, source): select(load_positions(depth, "test"), source) for depth, source in KINDS}

# %%
some = positions[2, "random"]
with torch.no_grad():
    logits = long_model(long_model.recipe.task.split(2, "test", "random", 200)[0], 16)
alone = logits.argmax(-1)  # (200, 2): the likeliest square from, and the likeliest to
broken = ~masks[:3].any(0)[alone[:, 0], alone[:, 1]]  # no piece moves like that
torn = int(broken.nonzero()[0, 0])  # one such position
heat, answer = logits[torn].softmax(-1), some.targets[torn]
plots.show(
    boards.chess.board(some.boards[torn], heat, [tuple(answer.tolist())], title="the arrow mates in two"),
    alt="A chess board on which two squares are framed in orange and two are filled in blue. A green arrow is the right move.",
    caption="Orange frames: from where. Blue squares: where to. The stronger, the likelier. What to see: two plans at once. The strongest frame and the strongest blue belong to different ones.",
)
print("each likeliest:", names(alone[torn]), "  the right move:", names(answer))
print(f"in {int(broken.sum())} of {len(alone)} positions no piece moves from the one likeliest square to the other")

# %% [markdown]
# The rules repair it. Among the *legal* moves, take the one with the largest product. And the sum of the products over all legal moves says how much of the model's belief the rules leave standing: its **legality**.

# %% [markdown]
# ### Exercise 08.4 · the best legal move
#
# Difficulty 3 of 5 · about 15 minutes
#
# Given `logits` (2, 64) and `legal`, a list of pairs (from, to), return `((from, to), share)`: the likeliest legal move, and the probability of all legal moves together, between 0 and 1.
#
# <details><summary>Hint 1</summary>
#
# First a softmax over each row, over all 64 squares. Then one number for each legal move.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# With `squares = torch.tensor(legal)`, the product is `p[0, squares[:, 0]] * p[1, squares[:, 1]]`. Where a model is very sure, products can become 0: `log_softmax` and sums are safer.
#
# </details>


# %% tags=["exercise"]
@ex.best_legal_move
def best_legal_move(logits, legal):
    """Logits (2, 64) and legal pairs (from, to) -> the likeliest pair, and the probability of all pairs together."""
    ### BEGIN SOLUTION
    squares = torch.tensor(legal)
    log = logits.log_softmax(-1)
    scores = log[0, squares[:, 0]] + log[1, squares[:, 1]]
    return tuple(squares[scores.argmax()].tolist()), float(scores.exp().sum())
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.best_legal_move.state == "solved"
assert best_legal_move(torch.zeros(2, 64), [(1, 2), (3, 4)])[1] == 2 / 4096
### END HIDDEN TESTS


# %% tags=["plumbing"]
def legal_pairs(fen):
    """The legal moves of a FEN as squares (from, to) of the normalized board; needs python-chess."""
    _, origin = own_view(fen_to_planes(fen), fen.split()[1] == "b")
    place = torch.empty(64, dtype=torch.long)
    place[torch.as_tensor(origin)] = torch.arange(64)  # where each old square went
    return [(int(place[a]), int(place[b])) for a, b in moves_by_squares(read_fen(fen))]


def judge(positions, logits):
    """Was the best legal move the right one, (n,) bool, and the legality, (n,), of the positions that logits (n, 2, 64) are for."""
    found = [best_legal_move(one, legal_pairs(fen)) for one, fen in zip(logits, positions.fens, strict=False)]
    hits = [tuple(move) == tuple(target) for (move, _), target in zip(found, positions.targets.tolist(), strict=False)]
    return torch.tensor(hits), torch.tensor([float(share) for _, share in found])


# %%
if rules_known:
    hits, legality = judge(some, logits)
    exact = exact_match(logits, some.targets[:200])
    print(f"{names(alone[torn])} is legal: {tuple(alone[torn].tolist()) in legal_pairs(some.fens[torn])}")
    print(
        f"200 positions: both squares right {exact.float().mean():.3f}, best legal move right {hits.float().mean():.3f}"
    )
    print(f"legality {legality.mean():.3f}")
else:
    print("needs python-chess: %pip install chess")

# %% tags=["claims"]
# Check the claims
assert broken.any() and tuple(alone[torn].tolist()) != tuple(answer.tolist())
if rules_known:
    assert hits.sum() >= exact.sum() and tuple(alone[torn].tolist()) not in legal_pairs(some.fens[torn])
    assert legality.mean() > 0.8

# %% [markdown]
# From here on, "right" means: both of the two likeliest squares are those of the one right move. That is stricter than asking the rules for help, and needs no rules.
#
# ### What two squares do not say
#
# A chess player objects. **Promotion**: a pawn that reaches the last rank becomes a piece of your choice, and two squares do not name it. **En passant**, and castling: whether they are allowed depends on moves that were played before, and no plane holds these. So what does the model do?

# %%
if rules_known:
    promotion = "1Q3r2/3k1pPp/p3r3/8/1B1p3P/1P3B2/4PP2/1R3KR1 w - - 0 1"
    said = solve_one(long_model, promotion, 16)
    print(f"{said.answer}, in SAN {said.extra['san']}: mates {said.extra['mate']}, piece {said.extra['promotion']}")
    in_passing = "2R3r1/k4N2/3Q2rp/Pp1Bp3/5p2/5K2/R7/8 w - {} 0 1"
    may, may_not = (in_passing.format(square) for square in ("b6", "-"))  # black has just played b7-b5, or long ago
    print("one input for both:", torch.equal(*map(long_model.recipe.task.encode, (may, may_not))))
    print("mate, where it is allowed:", read_fen(may).san(rules().Move.from_uci("a5b6")))
    print("the model's move, either way:", *(solve_one(long_model, text, 16).extra["san"] for text in (may, may_not)))
else:
    print("needs python-chess: %pip install chess")

# %% [markdown]
# Programs write moves in **UCI**, squares from and to, here g7f8n; people write **SAN**, here gxf8=N#. The model says g7 and f8. That the pawn becomes a knight was found by the *course's code*, which tries the pieces, the queen first, and keeps one that mates. So credit for an underpromotion goes to a search of four moves, not to the model.
#
# And the pawn's mate in passing it cannot see: both positions are one and the same input, so it gives the same answer to both. A plane for the square would mend that; the course's positions were proved without the right, so that nothing is hidden from the model.

# %% tags=["claims"]
# Check the claims
if rules_known:
    assert (said.answer, said.extra["san"], said.extra["mate"]) == ("g7f8n", "gxf8=N#", True)
    assert read_fen(may).san(rules().Move.from_uci("a5b6")) == "axb6#" and "a5b6" not in map(
        str, read_fen(may_not).legal_moves
    )
    assert solve_one(long_model, may, 16).answer == solve_one(long_model, may_not, 16).answer != "a5b6"
    assert not any(fen.split()[2:4] != ["-", "-"] for some in positions.values() for fen in some.fens)

# %% [markdown]
# ## 5. Train it
#
# Mate in one needs no search: all is on the board. The positions come from games of random legal moves, each with exactly one mating move. Training is that of lesson 04, with one saving: no run is longer than **4 loops**. If a loop with gradient costs three without, a step costs a third of one with at most 16 loops. What the saving costs in another way, section 7 will tell.
#
# > **Predict.** A wrong guess at one of 64 squares costs how much, in nats? So where does the loss begin? And how many mates in one, of positions never seen, will a model find after so short a training?


# %%
task = Chess(depths=(1,), sources=("random",), mirrored=0.5, most_loops=4)
recipe = Recipe(task, steps=900, decay=0.5, beta2=0.95, seed=0)
model = recipe.build()
model.blocks[0].attention.mask = masks[None]  # yours; internal recall, outer norm, width 64
print(f"{count_parameters(model):,} parameters, {len(select(load_positions(1, 'train'), 'random').fens):,} positions")
began = time.perf_counter()
_, run = train(recipe, model=model, on_step=plots.live_training(every=150))
model.eval().requires_grad_(False)
print(f"{run.step} steps in {time.perf_counter() - began:.0f} s")

# %% [markdown]
# Now the examination, in two parts: 1,000 positions from other random games, and 1,000 that are more like chess, from games of an engine against itself with blunders in between. The model has never seen a position of the second kind.
#
# > **Predict.** Does it find fewer mates there? How many fewer?

# %%
exam = {name: task.split(1, "test", kind, 1000) for name, kind in (("random play", "random"), ("game-like", "engine"))}
right = {name: accuracy_over_loops(model, *both, range(1, 7), at_once=50) for name, both in exam.items()}
plots.show(
    plots.accuracy_curves(right, trained=4, log=False, title="mate in one, trained on random play"),
    alt="Exact match against loops from 1 to 6, for random play and for game-like positions. Both rise until 4 loops; the game-like curve lies above the other.",
    caption="What to see: the curve that lies higher is the one for the kind of position never seen in training.",
)

# %% [markdown]
# ### Exercise 08.5 · top-1 and top-3
#
# Difficulty 3 of 5 · about 15 minutes
#
# Is the right move perhaps the second choice? Given `logits` (n, 2, 64), `targets` (n, 2) and `k`, rank all $64 \cdot 64$ moves of each position by $p_\text{from}(a)\, p_\text{to}(b)$, and return `(share, low, high)`: how often the right move is among the `k` likeliest, with Wilson's 95% interval. `wilson(successes, n)`, imported above, returns `(low, high)`: it is what you wrote in exercise 07.7.
#
# <details><summary>Hint 1</summary>
#
# A table of all moves of all positions: `scores = logits[:, 0, :, None] + logits[:, 1, None, :]`, of shape (n, 64, 64). Sums of logits rank moves as products of probabilities do: a softmax only adds the same constant to all moves of a position.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `scores.flatten(1).topk(k).indices` are numbers of moves, `64 * a + b` for the move from `a` to `b`. Compare them with `64 * targets[:, 0] + targets[:, 1]`.
#
# </details>


# %% tags=["exercise"]
@ex.top_k
def top_k(logits, targets, k):
    """(n, 2, 64), (n, 2) -> (share, low, high): how often the right move is among the k likeliest, with Wilson's 95% interval."""
    ### BEGIN SOLUTION
    scores = logits[:, 0, :, None] + logits[:, 1, None, :]
    best = scores.flatten(1).topk(k).indices
    right = (best == (64 * targets[:, 0] + targets[:, 1])[:, None]).any(1)
    low, high = wilson(int(right.sum()), len(right))
    return float(right.float().mean()), float(low), float(high)
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.top_k.state == "solved"
assert top_k(torch.eye(64)[None, :2], torch.tensor([[0, 1]]), 1)[0] == 1.0
### END HIDDEN TESTS

# %%
answers = {name: torch.cat([model(part, 4) for part in x.split(50)]) for name, (x, _) in exam.items()}
found = {name: {k: top_k(answers[name], exam[name][1], k) for k in (1, 3, 10)} for name in exam}
tables.show(
    ["1,000 positions each, 4 loops", "top-1", "top-3", "top-10"],
    [
        [name, *(f"{share:.3f} ({low:.3f} to {high:.3f})" for share, low, high in f.values())]
        for name, f in found.items()
    ],
)
if rules_known:
    judged = {
        name: judge(positions[1, kind], answers[name][:200])
        for name, kind in zip(exam, ("random", "engine"), strict=True)
    }
    for name, (hits, legality) in judged.items():
        print(f"{name:12} 200 positions: best legal move {hits.float().mean():.3f}, legality {legality.mean():.3f}")
else:
    print("needs python-chess for the best legal move and for legality: %pip install chess")


# %% tags=["claims"]
# Check the claims
def work(most):
    """The mean cost of a step, in loops without gradient: n from 0 to most - 1 without, then 1 to most - n with gradient."""
    return sum(n + 3 * (1 + most - n) / 2 for n in range(most)) / most


assert 2.8 < work(16) / work(4) < 3.4 and recipe.steps == 900
assert abs(run.history["loss"][0] - 4.16) < 0.3, "a guess among 64 squares costs ln 64 = 4.16"
assert found["random play"][1][0] >= 0.60, "the examination is passed"
assert found["random play"][3][0] >= found["random play"][1][0] + 0.1
assert found["game-like"][1][0] > found["random play"][1][0]
assert int(right["random play"][4].sum()) == round(1000 * found["random play"][1][0]), "top-1 is: both squares right"
for hits_by_loop in right.values():
    assert all(hits_by_loop[t].sum() < hits_by_loop[t + 1].sum() for t in (1, 2, 3))
if rules_known:
    assert all(legal.mean() > 0.5 and hit.float().mean() > found[n][1][0] - 0.1 for n, (hit, legal) in judged.items())

# %% [markdown]
# The loss begins near $\ln 64 \approx 4.16$. From 1 in 4,096 to well over half, in a minute or two. And beyond the masks nobody told the model the rules: most of its belief lies on legal moves because illegal ones never mate.
#
# ### A shift, and its direction
#
# Most people predict that a model does worse on positions that are not like those of its training. Here it does *better*. Before you believe any reason for this, look at the data.

# %%
place = {"random play": positions[1, "random"].boards, "game-like": positions[1, "engine"].boards}
king = {name: (boards_of == 12).float().argmax(1) for name, boards_of in place.items()}  # the one to be mated
plots.show(
    boards.chess.square_map(
        torch.stack([torch.bincount(where, minlength=64) / len(where) for where in king.values()]),
        list(king),
        label="share of positions",
    ),
    alt="Two heat maps of the square of the mated king. In random play it is spread over the upper half of the board, in game-like positions it is concentrated on the last rank, most of all in its middle and on the castled side.",
    caption="Where the king stands that is about to be mated (it plays down the board). What to see: in random games kings wander; in real ones they stay at home.",
)
at_home = {name: where >= 56 for name, where in king.items()}
by_place = {(name, yes): right[name][4][at_home[name][:1000] == yes] for name in king for yes in (True, False)}
tables.show(
    ["king to be mated", *king],
    [
        [words, *(f"{in_words(by_place[name, yes], digits=2)}, {len(by_place[name, yes])} positions" for name in king)]
        for words, yes in (("on its own first rank", True), ("elsewhere", False))
    ],
)

# %% tags=["claims"]
# Check the claims
share_home = {name: float(yes.float().mean()) for name, yes in at_home.items()}
home, away = (float(by_place["random play", yes].float().mean()) for yes in (True, False))
mixed = share_home["game-like"] * home + (1 - share_home["game-like"]) * away
print(f"random play with the kings of the game-like positions: {mixed:.3f} instead of {found['random play'][1][0]:.3f}")
assert round(share_home["random play"], 2) == 0.52 and round(share_home["game-like"], 2) == 0.71
assert abs(home - float(by_place["game-like", True].float().mean())) < 0.08, "at home the two kinds hardly differ"
for name in king:
    assert by_place[name, True].float().mean() > by_place[name, False].float().mean() + 0.08, "at home and elsewhere do"

# %% [markdown]
# With its king on its own first rank, a position is about as easy for the model in either kind. With the king elsewhere, both are harder. And game-like positions have the king at home in 71% of the cases, random ones in 52%. So a good part of the difference is not about "seen in training" at all: the unseen kind holds more of what is easy. (Why easy? A guess: a king on the edge has fewer squares to flee to, and each of them is one thing less to check.)
#
# The lesson is not that shifts are harmless. It is that their direction is an experiment.
#
# ## 6. Watch it think
#
# Back to the long-trained model. It has seen mates in one and in two, of both kinds, in runs of at most 12 loops. Here is a mate in two from the test set. Its two distributions, loop by loop:

# %%
twos = positions[2, "engine"]
x, y = long_model.recipe.task.split(2, "test", "engine", 200)
chosen = 72
position, target = twos.boards[chosen], y[chosen]
with torch.no_grad():
    start = long_model.encode(x[chosen : chosen + 1])
    states = [start, *long_model.states(x[chosen : chosen + 1], 24)]
    heat = torch.stack([long_model.read_out(z)[0].softmax(-1) for z in states])
shown = [0, 1, 2, 3, 4, 6, 8, 12]
plots.show(
    boards.chess.strip(position, heat[shown], titles=[f"after {t} loops" for t in shown]),
    alt="Eight boards of one position after 0 to 12 loops. At first many squares are faintly marked; then one or two pieces and a few target squares remain, which change from loop to loop; in the end one move stands out.",
    caption="What to see: before the first loop, habits: pieces and squares that are often right. After one loop only a few pieces are left, after some more a short list of moves, and within that list the favourite changes.",
)
print("the answer:", names(target), "  in the words of the file:", twos.fens[chosen], twos.moves[chosen])

# %% [markdown]
# What does the first loop do? Count, over 100 positions, how much probability lies on squares from which an own piece can start at all, and how much on legal moves.

# %%
own_piece = (twos.boards[:100] >= 1) & (twos.boards[:100] <= 6)
with torch.no_grad():
    read = [long_model.read_out(z) for z in (long_model.encode(x[:100]), *long_model.states(x[:100], 16))]
on_own = {t: float((read[t][:, 0].softmax(-1) * own_piece).sum(1).mean()) for t in (0, 1, 2, 4, 8, 16)}
rows = [["a square with an own piece", *on_own.values()]]
if rules_known:
    rows.append(["a legal move", *(float(judge(twos, read[t])[1].mean()) for t in on_own)])
tables.show(["probability on", *(f"loop {t}" for t in on_own)], rows, digits=2)

# %% tags=["claims"]
# Check the claims
assert all(torch.equal(heat[t].argmax(-1), target) for t in range(12, 25)), "at rest from loop 12 on"
assert float((states[12] - states[11]).norm() / states[12].norm()) > 1e-3, "the answer rests, the state not yet"
assert not torch.equal(heat[1].argmax(-1), target) and on_own[0] < 0.95 and on_own[1] > 0.99
assert not rules_known or (rows[1][1] < 0.1 and 0.4 < rows[1][2] < 0.6 and rows[1][-1] > 0.8)

# %% [markdown]
# Before any loop the answers for the squares do not know of each other, and hardly anything is legal. One loop is enough to look along a line: half of the belief is on legal moves then. The loops after it do the rest, and choose.
#
# ### A position of your own
#
# Paste a FEN: from a game of yours, from a newspaper, or built piece by piece. The arrow joins the likeliest squares; for the mate in two from above it is at rest long before the residual is small. The model was made for mates; what does it do where there is none?

# %%
widgets.solver(
    long_model,
    twos.fens[chosen],
    {
        "the mate in two": twos.fens[chosen],
        "back rank": "6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1",
        "smothered": "r5rk/6pp/7N/8/8/8/8/6K1 w - - 0 1",
        "a pawn becomes a knight": "1Q3r2/3k1pPp/p3r3/8/1B1p3P/1P3B2/4PP2/1R3KR1 w - - 0 1",
        "first move of a game": "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
    },
    label="your position (FEN)",
    loops=32,
)

# %% [markdown]
# ### Play the mate against it
#
# It has named a first move. Does it know what comes next? You defend: put your answers into `mine`, in SAN such as `"Kh8"`, and run the cell again. With `None` you play the first legal answer.

# %%
mine = [None]
if rules_known:
    game = read_fen(twos.fens[chosen])
    while not game.is_game_over():
        said = solve_one(long_model, game.fen(), 16)
        print(f"it plays {said.extra['san']:6} {said.answer}, sure {said.extra['probability']:.2f}")
        game.push_uci(said.answer)
        answers_left = [game.san(move) for move in game.legal_moves]
        if not answers_left or game.fullmove_number > 5:
            break
        yours = (mine.pop(0) if mine else None) or answers_left[0]
        print(f"   you play {yours:6} of", *answers_left[:12])
        game.push_san(yours)
    print("mate" if game.is_checkmate() else "no mate")
else:
    print("needs python-chess: %pip install chess")

# %% tags=["claims"]
# Check the claims: both squares of the mate in two, and how mates in two end against every defence
played = read_results("chess_played")  # made by python -m experiments chess-played
first_right, to_the_end, defences, mated = (
    sum(int(row[name]) for row in played) for name in ("first", "every", "defences", "mated")
)
assert (sum(int(row["count"]) for row in played), first_right, to_the_end) == (200, 150, 147)
assert (defences, mated) == (294, 291)

# %% [markdown]
# Over 200 mates in two the first move is right in 150, and in 147 of these it then mates against *every* defence, 291 answers to 294. That is less of a feat than it looks: after the first move what is left is a mate in one, and those it knows. The first move is where the thinking would have to be.

# %% [markdown]
# ### Where it looks
#
# The fourth head may look anywhere. Does it know where to? Here is what the moving piece's square looks at, in that head and in the one along which it will move, in the first loop and in two later ones.


# %% tags=["plumbing"]
@torch.no_grad()
def attention_maps(model, z, h):
    """Who looks at whom in the loop that begins with the state z: (batch, heads, 64, 64), each row a distribution."""
    block = model.blocks[0]
    attention, angles = block.attention, Loop(model, h).angles
    mixed = attention.qkv(block.branch_input(z, block.recalled(h), 0))
    q, k, _ = mixed.view(len(z), 64, 3, attention.heads, -1).permute(2, 0, 3, 1, 4)
    q, k = rms_norm(rotate(q, angles)) * attention.temperature, rms_norm(rotate(k, angles))
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + attention.score_bias()).softmax(-1)


# %%
own_head = int(masks[:3, target[0], target[1]].nonzero()[0, 0])  # the head along which the answer runs
looks = [(head, t) for head in (own_head, 3) for t in (1, 4, 13)]
maps = [attention_maps(long_model, states[t - 1], start)[0, head, target[0]] for head, t in looks]
plots.show(
    boards.chess.square_map(
        torch.stack(maps),
        [f"{heads[head]}, loop {t}" for head, t in looks],
        position,
        3,
        "attention",
        int(target[0]),
    ),
    alt="Six small boards: for loops 1, 4 and 13 the attention of the moving piece's square in the head along which it will move, and in the head that sees the whole board. Spread out in loop 1; later on a few squares, and around the other king.",
    caption="The framed square looks. What to see: in the first loop both heads are vague. Then one holds on to squares where the piece could go, and the other, which nobody told where kings are, looks around the king to be mated.",
)

# %% [markdown]
# One position is an anecdote. Over 200: how much of the moving square's attention, in the last head, lies within one step of the other king? If it looked everywhere alike, it would be the share of those squares on the board.

# %%
rank, file = torch.arange(64) // 8, torch.arange(64) % 8
next_to = torch.maximum((rank[:, None] - rank).abs(), (file[:, None] - file).abs()) <= 1
near_king = next_to[(twos.boards[:200] == 12).float().argmax(1)].float()
watched = {}
with torch.no_grad():
    h = long_model.encode(x)
    for t, z in zip(range(1, 9), [h, *long_model.states(x, 7)], strict=True):
        from_mover = attention_maps(long_model, z, h)[torch.arange(200), 3, y[:, 0]]  # (200, 64)
        watched[t] = float((from_mover * near_king).sum(1).mean())
tables.show(["", *(f"loop {t}" for t in watched), "everywhere alike"],
            [["attention near the king", *watched.values(), float(near_king.mean())]], digits=2)  # fmt: skip

# %% tags=["claims"]
# Check the claims
assert watched[2] > 1.5 * watched[1] and min(watched[t] for t in range(2, 9)) > 3 * near_king.mean()

# %% [markdown]
# In the first loop attention reads the bare board: the king's own square can say that a king stands there, its neighbours cannot know it yet. From the second loop on they do, and are looked at.
#
# *Here is a good place to stop for today.* What follows is a second sitting: three questions about what you have built.
#
# ## 7. Too few loops in training
#
# Your own model of section 5 never ran more than 4 loops. Models of the earlier lessons gained from loops beyond training, or at least kept what they had.
#
# > **Predict.** What does yours do at 8 loops? At 256? Does its state come to rest, and on what?

# %%
x_own, y_own = task.split(1, "test", "random", 200)
own, moved, z = {}, [], model.encode(x_own)
for t, after in enumerate(model.states(x_own, 256), 1):
    moved.append(lengths(after - z) / lengths(after))  # (200,)
    z = after
    if t in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        own[t] = exact_match(model.read_out(z), y_own)
moved = torch.stack(moved)
plots.show(
    plots.accuracy_curves({"your model of section 5": own}, trained=4, title="mate in one, random play"),
    alt="Exact match against loops, 1 to 256: it rises to 4 loops, begins to fall between 8 and 16, and ends at least a tenth of all positions lower.",
    caption="What to see: the rise ends where training ended. Beyond it the model loses what it knew.",
)

# %% [markdown]
# ### Exercise 08.6 · where does it collapse?
#
# Difficulty 3 of 5 · about 15 minutes
#
# A name for that: the **horizon**. Given a curve `{loops: (n,) bool}`, take the best accuracy on it. Return the smallest number of loops from which on, at this *and all larger ones*, accuracy is clearly below the best: its interval's upper end lies below the lower end of the interval at the best (Wilson, 95%). Return `None` if there is none. The loops may come in any order.
#
# <details><summary>Hint 1</summary>
#
# Compute `(low, high)` for each number of loops, and the lower end at the best. Then look from the largest number of loops backwards.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Going backwards, remember the last one that was clearly below, and stop at the first that was not. On the way up at few loops it may be clearly below, too; going backwards you never get there.
#
# </details>


# %% tags=["exercise"]
@ex.horizon
def horizon(right):
    """{loops: (n,) bool} -> the first number of loops from which on accuracy is clearly below its best, or None."""
    ### BEGIN SOLUTION
    ends = {t: wilson(int(rows.sum()), len(rows)) for t, rows in right.items()}
    best = max(right, key=lambda t: float(right[t].float().mean()))
    fallen = None
    for t in sorted(right, reverse=True):
        if ends[t][1] >= ends[best][0]:
            break
        fallen = t
    return fallen
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert ex.horizon.state == "solved"
assert horizon({1: torch.ones(100) > 0, 2: torch.zeros(100) > 0}) == 2
### END HIDDEN TESTS

# %%
print("the horizon of your model:", horizon(own))

# %% [markdown]
# So it loses what it knew. Where does it go? Look at how much each loop still moves the state, for the positions that are right in the end and for those that are wrong.

# %%
at_rest = moved[-1] < 1e-4
plots.show(
    plots.residual_curves(
        {"right at loop 256": moved[:, own[256]], "wrong at loop 256": moved[:, ~own[256]]},
        relative=True,
        tol=1e-4,
        log_x=True,
        title="your model, 200 positions: median and middle 80%",
    ),
    alt="Relative step against loops from 1 to 256, both axes logarithmic, for positions that are right in the end and for those that are wrong. Both medians fall together, and end far below a dotted line at one ten-thousandth.",
    caption="What to see: both come to rest. From this curve you could not say which positions are right.",
)
tables.show(
    ["after 256 loops", "right", "wrong"],
    [[word, int((rows & own[256]).sum()), int((rows & ~own[256]).sum())]
     for word, rows in (("at rest", at_rest), ("still moving", ~at_rest))],
)  # fmt: skip
gone = own[4] & at_rest & ~own[256]
print(f"right at loop 4: {int(own[4].sum())}; of these at rest on a wrong move now: {int(gone.sum())}")

# %% [markdown]
# It has not wandered off. By loop 256 most of its positions have come to rest, the right and the wrong ones alike, and a good part of those that were right at loop 4 rest on a wrong move now. **Still is not right, for chess too.** There are fixed points, and they attract; only they are not the answers. Progressive loss asked for a right answer after at most 4 loops, and for nothing afterwards.
#
# One run of one seed? Here are three of each kind, 300 positions, after 256 loops (`python -m experiments chess-few-loops`): your recipe, and shipped models of the same size with at most 4 and at most 16 loops in training.
#
# > **Predict.** Which kinds rest on wrong moves, too? Is that the mark of the 4 loops?

# %%
few = {(r["model"], int(r["seed"]), int(r["loops"])): r for r in read_results("chess_few_loops")}
trained = {
    "section-5": "yours, at most 4 loops",
    "shipped-4": "shipped, at most 4 loops",
    "shipped-16": "shipped, at most 16 loops",
}
columns = {"at rest": "settled", "at rest, wrong": "settled_wrong", "right at 4": "right_at_4", "and left it": "left"}
tables.show(
    ["300 positions, three seeds", "median step", *columns, "right at 256"],
    [
        [words, ", ".join(f"{float(few[kind, seed, 256]['step']):.0e}" for seed in range(3))]
        + [", ".join(few[kind, seed, 256][name] for seed in range(3)) for name in (*columns.values(), "right")]
        for kind, words in trained.items()
    ],
)


# %% tags=["plumbing"]
def rows_at(kind, loops, name):
    """One column of the results above, (3,), one number a seed."""
    return torch.tensor([float(few[kind, seed, loops][name]) for seed in range(3)])


# %% tags=["claims"]
# Check the claims
best_own = max(float(hit.float().mean()) for hit in own.values())
assert best_own in [float(own[t].float().mean()) for t in (4, 8)] and float(own[256].float().mean()) < best_own - 0.1
assert float(own[16].float().mean()) < best_own and horizon(own) in (8, 16, 32, 64, 128)
assert all(float(moved[-1, rows].median()) < 1e-5 for rows in (own[256], ~own[256]))
assert at_rest.float().mean() > 0.6 and gone.sum() > 0.15 * own[4].sum()
assert (at_rest & ~own[256]).sum() > 0.3 * at_rest.sum()
assert recipe.beta2 == 0.95 and recipe.muon is None and long_model.recipe.muon == 0.02
wrong_share = {kind: rows_at(kind, 256, "settled_wrong") / rows_at(kind, 256, "settled") for kind in trained}
left_share = {kind: rows_at(kind, 256, "left") / rows_at(kind, 256, "right_at_4") for kind in trained}
print({kind: [f"{x:.2f}" for x in (*wrong_share[kind], *left_share[kind])] for kind in trained})
assert (
    wrong_share["section-5"].min() > 0.5
    and 0.37 < wrong_share["shipped-4"].min() < wrong_share["shipped-4"].max() < 0.43
)
assert 0.23 < wrong_share["shipped-16"].min() < wrong_share["shipped-16"].max() < 0.36
assert 0.33 < left_share["section-5"].min() < 0.5 < left_share["section-5"].max()
assert max(left_share[kind].max() for kind in ("shipped-4", "shipped-16")) < 0.1
assert all(float(few[kind, seed, 256]["step"]) < 1e-5 for kind in trained for seed in range(3))
ahead = (rows_at("shipped-16", 128, "right") - rows_at("shipped-4", 128, "right")) / 300
assert 0.05 < ahead.min() < ahead.max() < 0.165
assert all((rows_at("shipped-4", t, "right") <= rows_at("shipped-4", 4, "right")).all() for t in (8, 16, 64, 256))
assert (rows_at("shipped-16", 8, "right") > rows_at("shipped-16", 4, "right")).all()

# %% [markdown]
# Three findings.
#
# - **All kinds rest on wrong moves.** Of the states that have come to rest after 256 loops, more than half are wrong in your kind, about four in ten in the shipped models of 4 loops, and a quarter to a third even where training had 16. A small residual says that the loop has finished. In sudoku the rules could tell right from wrong; in chess nobody can, short of a search.
# - **Only yours loses what it knew.** Of the positions that were right at loop 4, a third to more than a half rest on a wrong move in your kind, less than a tenth in the others. The shipped models of 4 loops differ from yours in more than one way: they saw game-like positions and mates in two as well, and had Muon instead of AdamW and 600 steps instead of 900. Which of these matters was not tried. So few loops *allow* a collapse; they do not force one.
# - **The price is paid anyway.** With 4 loops in training nothing is gained beyond them. The models that were given 16 go on rising to 8 loops and end ahead, by 5 to 16 of 100 positions, in each of three seeds.
#
# ## 8. Knowing and searching
#
# A mate in one is all on the board. To be sure of a mate in two you must find, for every answer, a move that mates; in four moves the tree has thousands of branches. The long-trained model has seen mates in one and two. Mates in three and in four it has never seen, and there, too, it is only asked for the first move.
#
# > **Predict.** How much worse is it on mates in three and four? Do they take more loops?

# %% tags=["plumbing"]
best = {(row["model"], int(row["depth"]), row["source"], int(row["loops"])): row for row in read_results("chess_best")}
DEPTHS = (1, 2, 3, 4)


def counted_right(loops, depth, model="chess", column="squares"):
    """A long-trained model's answers to game-like test positions, (n,) bool. Which of them were right the table does not say."""
    row = best[model, depth, "engine", loops]
    return torch.arange(int(row["count"])) < int(row[column])


# %%
curves = {f"mate in {d}": {t: counted_right(t, d) for t in (1, 2, 4, 8, 16, 32, 64, 100, 1000)} for d in DEPTHS}
plots.show(
    plots.accuracy_curves(curves, trained=12, title="trained on mate in one and two; game-like positions"),
    alt="Exact match against loops from 1 to 1,000 for mates in one to four. All four curves rise steeply until about 8 loops and are flat from 16 on: mate in one near 1, the other three close together between 0.66 and 0.76.",
    caption="What to see: one curve high up, three close together, and two of those three are of a kind never seen in training. After 16 loops nothing happens any more.",
)
tables.show(
    ["game-like", "seen in training", "both squares right, 16 loops", "1,000 loops", "best legal move, 16 loops"],
    [
        [
            name,
            "yes" if depth < 3 else "no",
            *map(in_words, (curve[16], curve[1000], counted_right(16, depth, column="move"))),
        ]
        for depth, (name, curve) in zip(DEPTHS, curves.items(), strict=True)
    ],
)

# %% tags=["claims"]
# Check the claims
share = {depth: {t: float(hit.double().mean()) for t, hit in curve.items()} for depth, curve in zip(DEPTHS, curves.values(), strict=True)}  # fmt: skip
assert long_model.recipe.task.most_loops == 12 and long_model.recipe.task.depths == (1, 2) and share[1][16] > 0.95
for depth in (2, 3, 4):
    assert 0 <= share[2][16] - share[depth][16] < 0.1 and 0.66 < share[depth][16] < 0.76, (
        "depth costs less than a tenth"
    )
    assert share[depth][8] > share[depth][1] + 0.35
for depth in DEPTHS:
    assert max(abs(share[depth][t] - share[depth][16]) for t in share[depth] if t > 16) < 0.02, "flat to 1,000 loops"

# %% [markdown]
# Two surprises. On mates in three and four, of which it has never seen one, the model finds about two thirds of the first moves, less than a tenth fewer than on mates in two. And longer mates do not use the time that they were offered: all curves have come to an end by 16 loops, and up to 1,000 they neither rise nor fall. The loops did not turn into depth.
#
# (The intervals are a little too narrow here: several positions can come from one game and resemble each other.)
#
# ### What a simple player gets
#
# Before you admire this, ask players who do not think. One picks a legal move by chance; one picks a check by chance. The third looks **one ply** ahead: it tries every check, counts the answers that are left, and plays the check that leaves the fewest.
#
# > **Predict.** The third player finds every mate in one, since a mate leaves no answer. How many first moves of longer mates does it find?


# %%
def one_ply(fen, right):
    """How often three players find the move `right`, and whether it gives check: a legal move, a check, the tightest check."""
    game, left = read_fen(fen), {}
    for move in game.legal_moves:
        if game.gives_check(move):
            game.push(move)
            left[move.uci()] = game.legal_moves.count()
            game.pop()
    tightest = [move for move, count in left.items() if count == min(left.values())]
    by_chance = [(right in some) / max(1, len(some)) for some in (left, tightest)]
    return [1 / game.legal_moves.count(), *by_chance, float(right in left), float(len(left))]


# %%
if rules_known:
    asked = {depth: positions[depth, "engine"] for depth in DEPTHS}
    seen = {
        d: torch.tensor([one_ply(*pair) for pair in zip(p.fens[:300], p.moves[:300], strict=True)])
        for d, p in asked.items()
    }
    tables.show(
        ["game-like", "a legal move", "a check", "the tightest check", "the model, 16 loops", "first move checks", "checks"],
        [[f"mate in {d}", *s.mean(0)[:3].tolist(), share_of, *s.mean(0)[3:].tolist()] for (d, s), share_of in
         zip(seen.items(), [float(counted_right(16, d, column="move").float().mean()) for d in DEPTHS], strict=True)],
        digits=2,
    )  # fmt: skip
else:
    print("needs python-chess: %pip install chess")

# %% tags=["claims"]
# Check the claims
if rules_known:
    for depth, found_by in seen.items():
        legal, check, tight, checks, number = found_by.mean(0).tolist()
        assert 0.02 < legal < 0.035 and 0.25 < check < 0.45 and 4 < number < 5 and checks > 0.75
        assert tight == 1 if depth == 1 else 0.44 < tight < 0.55
        assert float(counted_right(16, depth, column="move").float().mean()) > tight + 0.15 or depth == 1
    assert seen[4][:, 3].mean() > 0.98 and seen[1][:, 3].mean() == 1

# %% [markdown]
# A mate in four nearly always begins with a check, and there are but four or five checks to choose from. Counting answers, one ply deep, finds all mates in one, which took the model 84 minutes to learn, and about half of the first moves of longer ones. So there is less to admire than it seemed; what is left is a fifth or so of all positions, in which the model is right and counting is not enough.
#
# The moves that are hard to find by counting are **quiet** first moves, which threaten and do not check. Split the test positions by that, and count for each solved position from which loop on its answer is right for good (exercise 05.4).
#
# > **Predict.** Quiet or check: which are solved more often? Which need more loops?

# %%
each = read_results("chess_each")  # made by python -m experiments chess-each
kinds = [
    (d, f"mate in {d}{word}", yes) for d in DEPTHS for word, yes in (("", "01"), (", check", "1"), (", quiet", "0"))
]
needed = {}
for depth, name, yes in kinds:
    some_rows = [row for row in each if row["depth"] == str(depth) and row["check"] in yes]
    needed[name] = torch.tensor([float(row["right_at"] or 17) for row in some_rows])  # 17: not right at the end
needed = {name: when for name, when in needed.items() if len(when) >= 50}
tables.show(
    ["game-like", "positions", "right at 16 loops", "median loop", "nine in ten by loop"],
    [
        [name, len(when), in_words(when <= 16, digits=2)]
        + [f"{when[when <= 16].quantile(part):.0f}" for part in (0.5, 0.9)]
        for name, when in needed.items()
    ],
)

# %% tags=["claims"]
# Check the claims
sure = {name: (float((when <= 16).double().mean()), *map(float, wilson(int((when <= 16).sum()), len(when)))) for name, when in needed.items()}  # fmt: skip
loop_at = {name: [float(when[when <= 16].quantile(part)) for part in (0.5, 0.9)] for name, when in needed.items()}
assert loop_at["mate in 1"][1] < loop_at["mate in 4"][1] <= 12 and max(loop_at[f"mate in {d}"][0] for d in DEPTHS) <= 4
for depth in (2, 3):
    check, quiet = (f"mate in {depth}, {kind}" for kind in ("check", "quiet"))
    assert sure[quiet][2] < sure[check][1] and sure[check][0] > sure[quiet][0] + 0.2, "the intervals do not overlap"
    assert sure[quiet][1] > 0.2, "yet far from chance"
    assert loop_at[quiet][0] == loop_at[check][0] + 1 and loop_at[quiet][1] >= loop_at[check][1] + 3

# %% [markdown]
# Here is what difficulty is for this model. Not so much the number of moves to mate: from two to four that costs less than a tenth, and a few loops at most. It is whether the first move *looks like one*. A check that mates in four looks like a check that mates in two. A quiet move does not show on the board what it threatens; you have to play on in your mind, and there the model is right much less often, in mates in two as in mates in three.
#
# And yet it is not blind. A random legal move is right in 3 of 100 positions; the quiet ones are found many times more often than that, and they take longer: the median is one loop later than for checks, and the slowest tenth needs at least three loops more. Something is done in these loops that is more than recognizing checks. Whether it deserves the name of search, this lesson cannot tell; the last paper in the reading list shows what it would take.

# %% [markdown]
# ### Positions that nobody played
#
# All positions so far come from games, as do all that the model was trained on, and their first moves are checks more often than not. One can also *make* positions: put a few men on squares drawn at random, kings anywhere, and keep what has exactly one first move that forces mate. A program did so, and kept few plain checks (`data/build_composed.py`). No game looks like these boards.
#
# > **Predict.** How much does the model lose on them, in each depth? How much does the player lose who counts answers? And do loops help here, where less can be recognized?

# %% tags=["plumbing"]
made = {(row["model"], int(row["depth"]), int(row["loops"])): row for row in read_results("chess_composed")}


def made_right(loops, depth, model="chess"):
    """Is the likeliest legal move right? (n,) bool; as above, which of them were right the table does not say."""
    row = made[model, depth, loops]
    return torch.arange(int(row["count"])) < int(row["move"])


# %%
made_curves = {f"mate in {d}": {t: made_right(t, d) for t in (1, 2, 4, 8, 16, 32, 64, 256, 1024)} for d in DEPTHS}
plots.show(
    plots.accuracy_curves(made_curves, trained=12, title="the same model, made positions", y_label="best legal move"),
    alt="The share in which the best legal move is right against loops from 1 to 1,024, for made positions. Mate in one rises to 0.97; below it lie mates in two at 0.55, in three at 0.45 and in four at 0.41. All are flat from 8 or 16 loops on.",
    caption="What to see: mates in one as before; the others lower than on positions from games, and now in the order of their depth. Flat again.",
)

# %%
if rules_known:
    asked = {depth: positions_of(depth, "test", "composed") for depth in DEPTHS}
    seen_made = {
        d: torch.tensor([one_ply(*pair) for pair in zip(p.fens[:200], p.moves[:200], strict=True)]).mean(0)
        for d, p in asked.items()
    }
    tables.show(
        ["made positions", "a legal move", "the tightest check", "the model, 16 loops", "1,024 loops", "first move checks"],
        [[name, *seen_made[depth][[0, 2]].tolist(), in_words(curve[16]), in_words(curve[1024]), float(seen_made[depth][3])]
         for depth, (name, curve) in zip(DEPTHS, made_curves.items(), strict=True)],
        digits=2,
    )  # fmt: skip

# %% tags=["claims"]
# Check the claims
made_share = {d: {t: float(hit.double().mean()) for t, hit in c.items()} for d, c in zip(DEPTHS, made_curves.values(), strict=True)}  # fmt: skip
assert [round(made_share[depth][1024], 2) for depth in DEPTHS] == [0.97, 0.56, 0.45, 0.42]
assert [round(made_share[depth][16], 2) for depth in DEPTHS] == [0.97, 0.55, 0.46, 0.41]
assert all(
    abs(made_share[depth][t] - made_share[depth][16]) < 0.013 for depth in DEPTHS for t in (8, 32, 64, 256, 1024)
)
game_share = {depth: float(counted_right(16, depth, column="move").double().mean()) for depth in DEPTHS}
losses = [game_share[depth] - made_share[depth][16] for depth in DEPTHS]
assert losses[0] < 0.025 and all(0.2 < loss < 0.3 for loss in losses[1:])
if rules_known:
    tight_made = [float(seen_made[depth][2]) for depth in DEPTHS]
    assert (
        tight_made[0] == 1
        and 0.25 < tight_made[1] < 0.29
        and 0.12 < tight_made[2] < 0.14
        and 0.04 < tight_made[3] < 0.06
    )
    assert all(0.027 < float(seen_made[depth][0]) < 0.036 for depth in DEPTHS)
    gains = [made_share[depth][16] - tight for depth, tight in zip(DEPTHS, tight_made, strict=True)]
    assert gains[1] < gains[2] < gains[3] and gains[1] > 0.27 and gains[3] > 0.34
    assert 0.15 < float(seen_made[4][3]) < 0.17 and all(float(seen[d][:, 3].mean()) > 0.75 for d in DEPTHS)

# %% [markdown]
# On mates in one nothing is lost to speak of. On longer ones between a fifth and three tenths of all positions is: what looks like a mate in a game looks otherwise here, and most first moves of mates in four no longer check.
#
# But look at the other column. The player who counts answers found about half of the longer mates in games, and the model a fifth more. Here that player goes down to 0.27, 0.13 and 0.05, and the model is ahead of it by 0.29, 0.33 and 0.35. So recognizing checks was never all that it does; positions from games could not show it, because there most right moves are checks. **A baseline that does well hides what a model can do.**
#
# And once more loops beyond training bring nothing, on boards where there is less to recognize and more to work out: from 8 loops to 1,024 no curve moves by more than about 0.01.

# %% [markdown]
# ### Is it the loops, or the examples?
#
# Two questions can be told apart by training twice. **(a)** A model that has seen mates in one only, asked for mates in two, three and four: can loops beyond training make up for what it was never shown? **(b)** A model that has seen mates in one and two, asked for three and four. Width 64, 600 steps each, three seeds of each; (a) has spent all its steps on mates in one. 300 test positions for each number.

# %% tags=["plumbing"]
rows = read_results("chess")
KEYS = ("recall", "norm", "label", "seed", "depth", "source", "start", "loops")
table_of = {tuple(row[key] for key in KEYS): row for row in rows}


def over_seeds(loops, depth, label="", recall="internal", norm="post", start="input"):
    """The share of right answers of each of three seeds on game-like positions, (3,)."""
    keys = [(recall, norm, label, str(seed), str(depth), "engine", start, str(loops)) for seed in range(3)]
    return torch.tensor([int(table_of[key]["right"]) / int(table_of[key]["count"]) for key in keys])


def with_interval(values):
    """Mean of three seeds, and half of Student's 95% interval."""
    low, high = t_interval(values)
    return f"{values.mean():.3f} ± {(high - low) / 2:.3f}"


# %%
small = {
    depth: [over_seeds(t, depth, label) for label in ("mate1", "") for t in (16, 128)] for depth in DEPTHS
}  # (a) after 16 and 128 loops, (b) after 16 and 128 loops
tables.show(
    ["game-like", "(a) 16 loops", "(a) 128 loops", "(b) 16 loops", "(b) 128 loops", "(b) minus (a), 128 loops"],
    [[f"mate in {d}", *map(with_interval, four), with_interval(four[3] - four[1])] for d, four in small.items()],
)

# %% tags=["claims"]
# Check the claims
gap = {depth: four[3] - four[1] for depth, four in small.items()}
assert all(abs(float((b - a).mean())) <= 0.02 for four in small.values() for a, b in (four[:2], four[2:]))
for depth in (2, 3, 4):
    mean, low, high = difference(small[depth][3], small[depth][1])
    assert (gap[depth] > 0).all() and low < 0 < 0.05 < mean < high, "in every seed; yet 0 is within"
assert gap[1].mean() < 0 < gap[1].max(), "on mates in one (a) is ahead by the mean, not in every seed"

# %% [markdown]
# Question (a) is answered by the columns of loops: from the 16 loops of training to 128 nothing is gained, at no depth. Loops do not make up for what was never shown. Question (b): more loops do not help there, either. What does help is in the last column: some mates in two among the examples, and the model is ahead on mates in two, three *and* four in each of three seeds, though it has seen none of the latter two. By how much, three seeds cannot say: each interval still holds 0.
#
# Perhaps 600 steps are too few for anything to show. The course ships one model of each kind that was trained for an hour and more: `chess-mate1` for (a), and `chess`, which you know, for (b). 1,000 game-like positions each, the best legal move.
#
# > **Predict.** (a) is now nearly perfect on mates in one. Does that help it with longer ones? Do loops?

# %%
two = {"(a)": "chess-mate1", "(b)": "chess"}
asked_at = [(letter, name, t) for letter, name in two.items() for t in (1, 16, 1000)]
tables.show(
    ["game-like", *(f"{letter}, loops: {t:,}" for letter, _, t in asked_at)],
    [
        [f"mate in {d}", *(in_words(counted_right(t, d, name, "move"), digits=2) for _, name, t in asked_at)]
        for d in DEPTHS
    ],
)

# %% tags=["claims"]
# Check the claims
of_move = {(name, d, t): float(counted_right(t, d, name, "move").double().mean()) for _, name, t in asked_at for d in DEPTHS}  # fmt: skip
assert of_move["chess-mate1", 1, 16] > 0.98 and of_move["chess", 1, 16] > 0.98
for depth in (2, 3, 4):
    alone_a, both_b = ([of_move[name, depth, t] for t in (1, 16, 1000)] for name in ("chess-mate1", "chess"))
    assert [round(100 * (alone_a[0] - late)) in range(3, 8) for late in alone_a[1:]] == [True, True], "(a): one is best"
    assert min(alone_a) > 0.38 and max(alone_a) < 0.47 and abs(alone_a[2] - alone_a[1]) < 0.02
    assert both_b[1] > both_b[0] + 0.2 and both_b[1] > alone_a[1] + 0.25 and abs(both_b[2] - both_b[1]) < 0.02
    if rules_known:
        assert max(alone_a) < seen[depth][:, 2].mean() + 0.02, "no better than counting answers"

# %% [markdown]
# Training for long has made (a) nearly perfect on what it was shown, and no better at anything else. On longer mates it begins at a little less than a half, no more than counting answers finds, and then *thinking makes it worse*: at every depth it is best after its very first loop, and three to seven in a hundred worse after 16 or 1,000. Our reading: it knows what a mating move looks like, and where there is none, more loops settle on something that resembles one. (b), with mates in two among its examples, gains more than 0.2 from its loops at every depth, those that it has never seen included.
#
# So the same block, the same loops: what they are worth was decided by the examples. (The two differ in width and steps, too: 128 and 14,000 for (a), 160 and 15,000 for (b). That is what the table above is for, where they do not.)
#
# ### And if the examples are of every kind?
#
# A third model, `chess-all`, begins with the weights of (b) and goes on for 7,000 steps, 76 minutes, with mates in one to *four*, from games and made. No test position, nor its mirror image, is among its examples.
#
# > **Predict.** Where does it gain most: on positions from games, or on made ones? On short mates or on long ones? And are loops beyond training now worth something?


# %% tags=["plumbing"]
def compared(first, second):
    """Kind and depth of the positions -> is the best legal move right: `first` and `second` after 16 loops, `second` after as many as were tried."""
    hits = {}
    for d in DEPTHS:
        at = ((first, 16), (second, 16), (second, 1000))
        hits[f"game-like, mate in {d}"] = [counted_right(t, d, name, "move") for name, t in at]
        hits[f"made, mate in {d}"] = [made_right(1024 if t == 1000 else t, d, name) for name, t in at]
    return hits


def show_compared(hits, first, second):
    columns = ["best legal move", f"{first}, 16 loops", f"{second}, 16 loops", f"{second}, 1,000 loops (made: 1,024)"]
    tables.show(columns, [[name, *map(in_words, three)] for name, three in sorted(hits.items())])


def in_numbers(hits):
    """The three shares of each line, the gain after 16 loops, and the intervals of the two shares that it lies between."""
    shares = {name: [float(hit.double().mean()) for hit in three] for name, three in hits.items()}
    gained = {name: after - before for name, (before, after, _) in shares.items()}
    return (
        shares,
        gained,
        {name: [wilson(int(hit.sum()), len(hit)) for hit in three[:2]] for name, three in hits.items()},
    )


# %%
wider = compared("chess", "chess-all")
show_compared(wider, "(b)", "chess-all")

# %% tags=["claims"]
# Check the claims
shares, gained, low_high = in_numbers(wider)
print({name: f"{value:+.3f}" for name, value in gained.items()})
assert all(value > 0 for value in gained.values()), "nowhere worse"
assert all(gained[f"game-like, mate in {depth}"] < 0.03 for depth in DEPTHS)
assert all(0.07 < gained[f"made, mate in {depth}"] < 0.08 for depth in (2, 3)) and gained["made, mate in 4"] > 0.14
clear = [name for name, (before, after) in low_high.items() if float(before[1]) < float(after[0])]
assert clear == ["made, mate in 4"], "the one pair of intervals that do not overlap"
assert all(abs(late - after) < 0.01 for _, after, late in shares.values()), "more loops change nothing"
assert [round(share_of, 2) for share_of in shares["made, mate in 4"][:2]] == [0.41, 0.56]
wider_card = load_pretrained("chess-all").card
assert wider_card["steps"] == 7000 and round(wider_card["minutes"]) == 76

# %% [markdown]
# It gains on every line, most on the kind of position that was new. Made mates in four come from 0.41 to 0.56, the one line where the intervals do not overlap; made ones in two and three gain 0.07 to 0.08. Positions from games gain less than 0.03 at any depth, though mates in three and four from games were new to it, too.
#
# But it also had 7,000 steps more than (b). What are further steps worth, with nothing new among the examples? A fourth model, `chess-longer`, goes on from `chess-all`: the same examples, another 7,000 steps, 122 minutes beside other work.
#
# > **Predict.** Does it gain as much again?

# %%
again = compared("chess-all", "chess-longer")
show_compared(again, "chess-all", "chess-longer")

# %% tags=["claims"]
# Check the claims
shares_again, gained_again, longer_low_high = in_numbers(again)
print({name: f"{value:+.3f}" for name, value in gained_again.items()})
assert all(-0.005 < value < 0.026 for value in gained_again.values()), "at most two or three in a hundred"
assert [name for name, value in gained_again.items() if value < 0] == ["game-like, mate in 1", "game-like, mate in 3"]
assert all(0 < gained_again[f"made, mate in {depth}"] < 0.36 * gained[f"made, mate in {depth}"] for depth in (2, 3, 4))
assert all(float(before[1]) > float(after[0]) for before, after in longer_low_high.values()), "all intervals overlap"
assert all(abs(late - after) < 0.01 for _, after, late in shares_again.values()), "more loops change nothing"
longer_card = load_pretrained("chess-longer").card
assert longer_card["steps"] == 7000 and round(longer_card["minutes"]) == 122
assert longer_card["recipe"]["begin"] == "chess-all"

# %% [markdown]
# It does not. All made positions gain, and two of the four kinds from games; but nothing by more than 0.026, the other two lose a little, and on every line the intervals overlap. On made mates in two to four the gain is about a third of that before, or less. That speaks for the examples, rather than the steps, as the source of what `chess-all` gained there. (A cleaner test would give (b) 7,000 more steps with its old examples. It was not run.)
#
# Still without new examples, one thing can be changed: how often each kind of example is seen. So far every position had an equal share, and of 100 positions in a batch 70 were mates in one, nearly all of which the model has right. Let the share of a kind go with the *square root* of its number instead: 51 mates in one, 32 in two, 10 in three, 7 in four.
#
# The fifth model, `chess-averaged`, does so for 25,000 steps, goes back to equal shares for another 9,000, and is, after each of the two stretches, the mean of the weights of two ends with different seeds (lesson 07 has a section on such means): 163 minutes in all. It is what `looped-lite solve chess` uses.
#
# > **Predict.** Which lines gain, if any?

# %%
shared = compared("chess-longer", "chess-averaged")
show_compared(shared, "chess-longer", "chess-averaged")

# %% tags=["claims"]
# Check the claims
shares_mean, gained_mean, mean_low_high = in_numbers(shared)
print({name: f"{value:+.3f}" for name, value in gained_mean.items()})
assert all(0 < value < 0.036 for value in gained_mean.values()), "every line, and none by much"
assert max(gained_mean, key=gained_mean.get) == "made, mate in 3" and round(max(gained_mean.values()), 3) == 0.035
assert [round(share_of, 2) for share_of in shares_mean["game-like, mate in 2"][:2]] == [0.79, 0.81]
assert all(float(before[1]) > float(after[0]) for before, after in mean_low_high.values()), "all intervals overlap"
assert all(abs(late - after) < 0.01 for _, after, late in shares_mean.values()), "more loops change nothing"
mean_card = load_pretrained("chess-averaged").card
assert mean_card["steps"] == 34000 == 25000 + 2 * 4500 and round(mean_card["minutes"]) == 163
numbers = {
    kind: [len(positions_of(d, "train", kind).boards) for d in DEPTHS] for kind in ("random", "engine", "composed")
}
weights = [[sum(n**power for n in column) for column in zip(*numbers.values(), strict=True)] for power in (1, 0.5)]
in_100 = [[round(100 * part / sum(four)) for part in four] for four in weights]
assert in_100[0][0] == 70 and in_100[1] == [51, 32, 10, 7]

# %% [markdown]
# All eight, and none by much: most of all made mates in three, by 0.035. Mates in two from games go from 0.79 to 0.81. On each line alone the intervals overlap; that all eight lines point one way is the stronger hint. (Three things changed at once, shares, steps and means, and were not tried apart. `data/README.md` has the validation figures of every stage: with the new shares mates in one lose a little at first, and the equal shares at the end bring them back.)
#
# What never changes is the shape: whether 16 loops or 1,000, no line moves by 0.01. So when you read that a looped model "generalizes to harder problems", ask both questions of this lesson. Harder than which examples? And is it the loops?
#
# ### At home
#
# All these models took more than an hour. What do you get in ten minutes? Here is the recipe of (b) with a tenth of its steps, 1,500, from three seeds (`python -m experiments chess-at-home`), with (b) itself beside it, all after 16 loops.

# %%
at_home, home = read_results("chess_at_home"), {}
for d in DEPTHS:
    for source, words, long in (
        ("engine", "game-like", counted_right(16, d, "chess", "move")),
        ("composed", "made", made_right(16, d)),
    ):
        rows = [row for row in at_home if (row["depth"], row["source"]) == (str(d), source)]
        home[f"{words}, mate in {d}"] = [*(int(r["move"]) / int(r["count"]) for r in rows), long.double().mean().item()]
tables.show(
    ["best legal move", *(f"1,500 steps, seed {row['seed']}" for row in at_home[::10]), "(b), 15,000 steps"],
    [[name, *(f"{value:.2f}" for value in four)] for name, four in sorted(home.items())],
)

# %% tags=["claims"]
# Check the claims
assert {row["steps"] for row in at_home} == {"1500"} and [row["seed"] for row in at_home[::10]] == ["0", "1", "2"]
assert all(9 < float(row["minutes"]) < 12 for row in at_home) and load_pretrained("chess").card["steps"] == 15000
spread = {name: max(four[:3]) - min(four[:3]) for name, four in home.items()}
lacks = {name: four[3] - sum(four[:3]) / 3 for name, four in home.items()}
assert [round(v, 2) for v in home["game-like, mate in 2"]] == [0.65, 0.66, 0.67, 0.77]
assert all(round(v, 2) == 0.95 or round(v, 2) == 0.96 for v in home["game-like, mate in 1"][:3])
assert all(0.89 < v < 0.92 for v in home["made, mate in 1"][:3]) and 0.03 < lacks["game-like, mate in 1"] < 0.05
assert all(0.06 < lacks[name] < 0.12 for name in home if name[-1] in "234")
assert max(spread[f"game-like, mate in {d}"] for d in (1, 2, 3)) < 0.02 and max(spread.values()) < 0.09

# %% [markdown]
# Most of it. Mates in one come to 0.95 or 0.96 from games, and to about 0.90 where they are made; the other 13,500 steps add 0.04 to the first. On mates in two to four they add 0.06 to 0.12: in two from games 0.77, where ten minutes bring 0.65 to 0.67. The three seeds lie within 0.02 of each other on mates in one to three from games, and within 0.09 everywhere.
#
# ### The paper, and what can be compared
#
# The paper trains on Lichess puzzles rated up to 1600 and tests on those rated 1601 to 2000: positions from people's games, not all of them mates. Ours are mates with a proof. So compare no numbers, only claims. That looped models can use more loops on harder problems is the promise with which the paper begins; in prefix sums and sudoku you have seen it kept. Here it is not: more than 16 loops help at no depth. That may be due to our small models, to the short training, or to chess; that a tree does not fit into a state of fixed size is a guess, and a popular one. (Have you the file of Lichess puzzles? `looped_lite.tasks.chess.read_lichess` splits it as the paper does.)
#
# ## 9. Recall and norm, three seeds
#
# All variants with the same data (b), the same 600 steps, the same three seeds; 300 test positions for each number.
#
# > **Predict.** In sudoku a model without recall could hold its answer, since a solved grid explains itself (lesson 07). Does a chess position with its move marked explain itself? Then: what will a model without recall do after 128 loops?

# %%
variants = [("internal", "post"), ("external", "post"), ("none", "post"), ("internal", "peri")]
at = {f"mate in {d}, {t}": (t, d, "input") for t, d in ((4, 1), (16, 1), (128, 1), (16, 2), (16, 3), (16, 4))}
at["mate in 1, 64, from noise"] = (64, 1, "noise")
scores = {
    variant: {
        name: over_seeds(t, d, recall=variant[0], norm=variant[1], start=begin) for name, (t, d, begin) in at.items()
    }
    for variant in variants
}
tables.show(
    ["recall", "norm", *at], [[*variant, *map(with_interval, found.values())] for variant, found in scores.items()]
)
counted = [1, 2, 4, 8, 16, 32, 64, 128]
plots.show(
    plots.accuracy_curves(
        {variant: {t: over_seeds(t, 1, recall=variant[0], norm=variant[1]) for t in counted} for variant in variants},
        trained=16,
        title="mate in one, game-like: mean of three seeds, band from the lowest to the highest",
    ),
    alt="Exact match against loops for four variants. Internal and external recall with the outer norm lie together on top and are flat from 16 to 128 loops; internal recall with peri-norm lies lower; no recall is lowest and falls to less than 0.05 at 128 loops.",
    caption="What to see: with recall and the outer norm, one flat line for both recalls. Without recall the answer comes, and goes.",
)

# %% tags=["claims"]
# Check the claims
post, outer, none, peri = (scores[variant] for variant in variants)
gaps = {d: difference(post[f"mate in {d}, 16"], outer[f"mate in {d}, 16"]) for d in DEPTHS}
print(
    "internal minus external:", {d: f"{mean:+.3f} ({low:+.3f} to {high:+.3f})" for d, (mean, low, high) in gaps.items()}
)
ahead = {d: int((post[f"mate in {d}, 16"] > outer[f"mate in {d}, 16"]).sum()) for d in DEPTHS}
assert all(abs(mean) < 0.05 for mean, _, _ in gaps.values()) and ahead[1] == 3 and ahead[4] == 0
assert 0 < gaps[1][1] < 0.01 and all(gaps[d][1] < 0 < gaps[d][2] for d in (2, 3, 4))
for one in (post, outer):
    assert (one["mate in 1, 128"] - one["mate in 1, 16"]).abs().max() <= 0.02
    assert (one["mate in 1, 64, from noise"] - one["mate in 1, 128"]).abs().max() <= 0.05
    assert 0.4 < (none["mate in 1, 16"] / one["mate in 1, 16"]).mean() < 0.6
assert none["mate in 1, 128"].mean() < 0.05 and none["mate in 1, 64, from noise"].max() == 0
assert (post["mate in 1, 16"] - peri["mate in 1, 16"]).min() > 0.05
assert (peri["mate in 1, 128"] - peri["mate in 1, 64, from noise"]).mean() > 0.02

# %% [markdown]
# - **Recall against none**: the clearest line of the table. Without recall a model learns about half as much in these steps, holds it for some 16 loops, and has nearly nothing left after 128. From noise it has exactly nothing. A solved sudoku explains itself; a board with a move marked on it does not, so nothing corrects a state that has lost a piece. Recall says in every loop where the pieces stand.
# - **Internal against external recall**: on mates in one internal is ahead in all three seeds, by less than 0.05, and the interval just misses 0. On mates in four it is *behind* in all three, and the interval holds 0, as it does in two and three. Whoever looks four times finds one interval without 0 more easily than once: call it even.
# - **Outer norm against peri**: with internal recall and equal steps, peri learns less, and its answers depend on the start: from noise they are worse. With the outer norm, noise changes hardly anything. That is path independence, as in lesson 06, and the paper's claim holds: recall and outer norm together are reliable.
#
# Three seeds, 600 steps, models of some 68,000 parameters: what a longer training would do to the order, this table does not say.
#
# ## Recap
#
# - A position is twelve planes. Normalize what the answer does not depend on, and keep the way back.
# - A move as two questions, *from* and *to*, is a product of two distributions: cheap, and blind to which square belongs to which, and to the piece of a promotion. Rules, asked afterwards, repair it; **legality** says how much there was to repair.
# - The direction of a **shift** between training and test is an experiment, not an intuition. Look at the data of both sides first.
# - **Still is not right, for chess too.** A loop that was trained with few loops comes to rest like any other, and may rest far from the answers that it passed on its way. Its **horizon** is a number that only a curve far beyond training can tell; the residual does not know it.
# - In chess the first loops buy much: the rules, then a short list, then a choice. Loops beyond training buy nothing here, at any depth of mate. What was shown in training made the difference, not how long the model may think.
# - **Simple players first.** Counting answers, one ply deep, finds every mate in one and about half of the first moves of longer mates. What a model is worth is what it finds beyond that, and it shows where the simple player fails: on positions that nobody played.
# - Without **recall** the question is lost on the way: a chess position with a move marked does not explain itself as a solved sudoku does.
#
# ## Self-test
#
# **1.** In a position two moves are equally good, $a \to b$ and $c \to d$, and no other is legal. The model gives the squares from and to separately. What is the highest legality it can have if it is fair to both?
#
# <details><summary>Answer</summary>
#
# One half. Fair means $p_\text{from}(a) = p_\text{from}(c) = 1/2$ and the same for $b$ and $d$, so each of $a \to b$, $a \to d$, $c \to b$, $c \to d$ has probability $1/4$, and two of the four are illegal. A product cannot say "either both of these or both of those".
#
# </details>
#
# **2.** A model finds the first move of 70% of mates in four. Somebody concludes that it looks seven half-moves ahead. Name three measurements that should come first.
#
# <details><summary>Answer</summary>
#
# What a player gets who plays the check that leaves the fewest answers. The same model on quiet first moves alone. And accuracy over loops for mates of different depth: a search that goes deeper needs more of something. (A fourth: play the defence, and ask for the next moves.)
#
# </details>
#
# **3.** Your friend has the model of section 5 and says: its state comes to rest, so I wait until the residual is small, and then I trust the move. What do you show him?
#
# <details><summary>Answer</summary>
#
# The table of section 7: of the positions on which that model is at rest, more than half are wrong, in each of three seeds. And many of them it had right at loop 4, before it was at rest. Its fixed points attract, but nobody asked in training that they be answers. A residual judges whether the loop is done, and only where training has tied being done to being right (or where a referee looks, as in sudoku) does it say more.
#
# </details>
#
# ## Further reading
#
# - A. Labovich, *Stability and Generalization in Looped Transformers*, arXiv 2604.15259: chess is one of its three tasks, with Lichess puzzles.
# - A. Schwarzschild and others, *Can You Learn an Algorithm? Generalizing from Easy to Hard Problems with Recurrent Networks*, arXiv 2106.04537: the same question with convolutional loops, chess puzzles included.
# - A. Ruoss and others, *Amortized Planning with Large-Scale Transformers: A Case Study on Chess*, arXiv 2402.04494: how far recognizing goes without any search, with 270 million parameters.
# - E. Jenner and others, *Evidence of Learned Look-Ahead in a Chess-Playing Neural Network*, arXiv 2406.00877: how one would show that a network does look ahead.

# %% tags=["plumbing"]
report(ex)

# %% [markdown]
# Next: **09 · spend loops where they are needed**, which stops each instance when it has settled.
