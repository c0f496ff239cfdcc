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
# - train a model to find mate in one in under two minutes, and say with an interval how good it is;
# - show what happens to it on positions of another kind than those of its training;
# - measure where a model that was trained with few loops collapses;
# - ask, with curves over loops and the right baselines, whether a model recognizes or searches, and say how far the evidence goes.
#
# **Time**: 90 minutes for you, about two and a half for the machine.
# **You need**: lessons 04 and 05; the rules of chess help, strength does not.

# %%
import time
from itertools import pairwise

import torch
from IPython.display import Markdown, display

from looped_exercises import lesson_08 as ex
from looped_exercises import report
from looped_lite import boards, plots, widgets
from looped_lite.evaluation import accuracy_over_loops
from looped_lite.intervals import wilson
from looped_lite.model import Loop, count_parameters
from looped_lite.paths import data_path, read_rows
from looped_lite.pretrained import load_pretrained
from looped_lite.recipe import Recipe
from looped_lite.tasks.chess import Chess, load_positions, moves_by_squares, read_fen, rules, select
from looped_lite.training import train

plots.use_style()
torch.set_num_threads(1)  # these tensors are small: a second thread would only get in the way
try:
    rules()
    rules_known = True
except ImportError:
    rules_known = False
    print(
        "The package python-chess is not installed. A few cells need it, to list legal moves: they will say so and be skipped."
    )
    print("To have them, run:  %pip install chess   and restart the kernel.")

# %% [markdown]
# ## 1. A board as planes
#
# A position comes as one line of text, a **FEN**: the ranks from the eighth down to the first, separated by slashes; a letter for a piece, capitals for white; a digit for so many empty squares; then whose move it is. (What follows, castling rights and counters, plays no part here: no position of this lesson allows castling or en passant.)

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
def codes(planes):
    """Planes (..., 64, 12) -> boards (..., 64) for the pictures: 0 for an empty square, else 1 to 12."""
    return (planes * torch.arange(1, 13)).sum(-1).long()


board = fen_to_planes(fen)
kinds = ["pawns", "knights", "bishops", "rooks", "queens", "king"]
plots.show(
    boards.chess.board(codes(board), title="black to move, and mates at once"),
    alt="A chess board. White: king h1, knight f1, rook c3, pawns. Black: king b8, rooks b6 and d1, bishops e7 and f5, pawns, one of them on g3.",
    caption="Black's rook takes the knight on f1: mate, since the pawn on g3 guards h2.",
)
plots.show(
    boards.chess.square_map(
        board.T.bool(), [f"{side} {kind}" for side in ("white", "black") for kind in kinds], columns=6
    ),
    alt="Twelve small boards, one for each kind of piece of each colour, with the squares marked on which such pieces stand.",
    caption="What to see: the same position as twelve boards of zeros and ones. This is all that the model sees.",
)
assert int(board.sum()) == 17

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
def square_name(square):
    return "abcdefgh"[int(square) % 8] + str(int(square) // 8 + 1)


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
print("on the model's board:", *map(square_name, normal), "  and back:", *map(square_name, origin[normal]))
assert torch.equal(origin[normal], move) and [square_name(s) for s in normal] == ["e8", "c8"]

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
plots.show(
    boards.chess.square_map(masks[:, 27], ["rook lines", "diagonals", "knight and king", "everybody"], cell=27),
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

# %%
long_model = load_pretrained("chess").requires_grad_(False)
card = long_model.card
print(
    f"{card['parameters']:,} parameters, {card['steps']:,} steps, {card['minutes']:.0f} minutes on one core, seed {long_model.recipe.seed}"
)
positions = {
    (depth, source): select(load_positions(depth, "test"), source)
    for depth, source in [(1, "random"), (1, "engine"), (2, "random"), (2, "engine"), (3, "engine"), (4, "engine")]
}
some = positions[2, "random"]
with torch.no_grad():
    logits = long_model(long_model.recipe.task.split(2, "test", "random", 200)[0], 16)
alone = logits.argmax(-1)
broken = ~masks[:3].any(0)[alone[:, 0], alone[:, 1]]  # no piece moves like that
number = int(broken.nonzero()[0, 0])
heat = logits[number].softmax(-1)
pair, answer = tuple(alone[number].tolist()), tuple(some.targets[number].tolist())
plots.show(
    boards.chess.board(some.boards[number], heat, [answer], title="as the model sees it; the arrow mates in two"),
    alt="A chess board on which two squares are framed in orange and two are filled in blue. A green arrow is the right move.",
    caption="Orange frames: from where. Blue squares: where to. The stronger, the likelier. What to see: two plans at once. The strongest frame and the strongest blue belong to different ones.",
)
print("each likeliest:", *map(square_name, pair), "  the right move:", *map(square_name, answer))
print(
    f"in {int(broken.sum())} of {len(alone)} positions no piece at all moves from the one likeliest square to the other"
)
assert broken.any()

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


# %%
def legal_pairs(fen):
    """The legal moves of a FEN as squares (from, to) of the normalized board; needs python-chess."""
    _, origin = own_view(fen_to_planes(fen), fen.split()[1] == "b")
    place = torch.empty(64, dtype=torch.long)
    place[torch.as_tensor(origin)] = torch.arange(64)  # where each old square went
    return [(int(place[a]), int(place[b])) for a, b in moves_by_squares(read_fen(fen))]


def judge(positions, logits):
    """How often the best legal move is the right one, and the mean legality, over the positions that logits (n, 2, 64) are for."""
    found = [best_legal_move(one, legal_pairs(fen)) for one, fen in zip(logits, positions.fens, strict=False)]
    hits = [tuple(move) == tuple(target) for (move, _), target in zip(found, positions.targets.tolist(), strict=False)]
    return torch.tensor(hits), torch.tensor([float(share) for _, share in found])


if rules_known:
    hits, legality = judge(some, logits[:200])
    exact = (alone == some.targets[: len(alone)]).all(1)[:200]
    repaired, untouched = legal_pairs(some.fens[number]), tuple(pair)
    print(f"{'-'.join(map(square_name, pair))} is legal: {untouched in repaired}")
    print(
        f"200 positions: both squares right {exact.float().mean():.3f}, best legal move right {hits.float().mean():.3f}, legality {legality.mean():.3f}"
    )
    assert hits.sum() >= exact.sum() and untouched not in repaired and legality.mean() > 0.8
else:
    print("needs python-chess: %pip install chess")

# %% [markdown]
# From here on, "right" means: both of the two likeliest squares are those of the one right move. That is stricter than asking the rules for help, and needs no rules.
#
# ## 5. Train it
#
# Mate in one needs no search: all is on the board. The positions come from games of random legal moves, each with exactly one mating move. Training is that of lesson 04, progressive loss, AdamW, a rate that falls to zero, with one saving: no run is longer than **4 loops**. A loop with gradient costs about as much as three without, so a step with at most 4 loops costs a third of one with at most 16. What the saving costs in another way, section 7 will tell.
#
# > **Predict.** A wrong guess at one of 64 squares costs how much, in nats? So where does the loss begin? And how many mates in one, of positions never seen, will a model find after a minute and a half?


# %%
def work(most):
    """The mean cost of a step, in loops without gradient: n from 0 to most - 1 without, then 1 to most - n with gradient."""
    return sum(n + 3 * (1 + most - n) / 2 for n in range(most)) / most


assert 2.8 < work(16) / work(4) < 3.4

task = Chess(depths=(1,), sources=("random",), mirrored=0.5, most_loops=4)
recipe = Recipe(task, steps=900, decay=0.5, beta2=0.95, seed=0)
model = recipe.build()
model.blocks[0].attention.mask = masks[None]  # yours  # internal recall, outer norm, width 64
training_set = select(load_positions(1, "train"), "random")
print(f"{count_parameters(model):,} parameters, {len(training_set.fens):,} positions to train on")
began = time.perf_counter()
_, run = train(recipe, model=model, on_step=plots.live_training(every=100))
print(f"{run.step} steps in {time.perf_counter() - began:.0f} s")
model.eval().requires_grad_(False)
assert abs(run.history["loss"][0] - 4.16) < 0.3, "a guess among 64 squares costs ln 64 = 4.16"

# %% [markdown]
# Now the examination, in two parts: 1,000 positions from other random games, and 1,000 that are more like chess, from games of an engine against itself with blunders in between. The model has never seen a position of the second kind.
#
# > **Predict.** Does it find fewer mates there? How many fewer?

# %%
loops = [1, 2, 3, 4, 5, 6]


names = {"random": "random play", "engine": "game-like"}
exam = {name: task.split(1, "test", source, 1000) for source, name in names.items()}
right = {
    name: accuracy_over_loops(model, *both, loops, at_once=50) for name, both in exam.items()
}  # small batches are quicker
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
table = ["| 1,000 positions each, 4 loops | top-1 | top-3 | top-10 |", "|---|---|---|---|"]
for name, by_k in found.items():
    cells = [f"{share:.3f} ({low:.3f} to {high:.3f})" for share, low, high in by_k.values()]
    table.append(f"| {name} | " + " | ".join(cells) + " |")
display(Markdown("\n".join(table)))
if rules_known:
    for source, name in names.items():
        hits, legality = judge(positions[1, source], answers[name][:200])
        print(
            f"{name:12} 200 positions: best legal move right {hits.float().mean():.3f}, legality {legality.mean():.3f}"
        )
        assert legality.mean() > 0.5 and hits.float().mean() >= found[name][1][0] - 0.1
else:
    print("needs python-chess for the best legal move and for legality: %pip install chess")

# %%
# Check the claims
assert found["random play"][1][0] >= 0.60, "the examination is passed"
assert found["random play"][3][0] >= found["random play"][1][0] + 0.1
assert found["game-like"][1][0] > found["random play"][1][0]
assert int(right["random play"][4].sum()) == round(len(right["random play"][4]) * found["random play"][1][0]), (
    "top-1 is: both squares right"
)

# %% [markdown]
# From 1 in 4,096 to well over half, in a minute and a half. And beyond the masks nobody told the model the rules: most of its belief lies on legal moves because illegal ones never mate.
#
# ### A shift, and its direction
#
# Most people predict that a model does worse on positions that are not like those of its training. Here it does *better*. Before you believe any reason for this, look at the data.

# %%
kings = {
    name: torch.bincount((positions[1, source].boards == 12).float().argmax(1), minlength=64)
    / len(positions[1, source].boards)
    for source, name in names.items()
}
plots.show(
    boards.chess.square_map(torch.stack(list(kings.values())), list(kings), label="share of positions"),
    alt="Two heat maps of the square of the mated king. In random play it is spread over the upper half of the board, in game-like positions it is concentrated on the last rank, most of all in its middle and on the castled side.",
    caption="Where the king stands that is about to be mated (it plays down the board). What to see: in random games kings wander; in real ones they stay at home.",
)
back_rank = {name: (positions[1, source].boards == 12).float().argmax(1) >= 56 for source, name in names.items()}
rows = ["| king to be mated | " + " | ".join(names.values()) + " |", "|---|---|---|"]
by_rank = {}
for at_home, label in ((True, "on its own first rank"), (False, "elsewhere")):
    cells = []
    for name in names.values():
        hits = right[name][4][back_rank[name][:1000] == at_home]
        low, high = wilson(int(hits.sum()), len(hits))
        by_rank[at_home, name] = float(hits.float().mean())
        cells.append(f"{by_rank[at_home, name]:.2f} ({low:.2f} to {high:.2f}), {len(hits)} positions")
    rows.append(f"| {label} | " + " | ".join(cells) + " |")
display(Markdown("\n".join(rows)))
share_at_home = {name: float(rows.float().mean()) for name, rows in back_rank.items()}
print("kings on their first rank:", {name: round(share, 2) for name, share in share_at_home.items()})

# %%
own_mix, other_mix = share_at_home["random play"], share_at_home["game-like"]
home, away = by_rank[True, "random play"], by_rank[False, "random play"]
print(
    f"random play as it is {own_mix * home + (1 - own_mix) * away:.3f}, with the kings of the game-like positions {other_mix * home + (1 - other_mix) * away:.3f}"
)
assert 0.50 < own_mix < 0.53 and 0.69 < other_mix < 0.72
assert abs(home - by_rank[True, "game-like"]) < 0.08, "at home there is hardly a difference between the two kinds"
assert all(by_rank[True, name] > by_rank[False, name] + 0.08 for name in names.values()), (
    "but there is between home and elsewhere"
)

# %% [markdown]
# With its king on its own first rank, a position is about as easy for the model in either kind. With the king elsewhere, both are harder. And game-like positions have the king at home in 71% of the cases, random ones in 52%. So a good part of the difference is not about "seen in training" at all: the unseen kind holds more of what is easy. (Why easy? A guess: a king on the edge has fewer squares to flee to, and each of them is one thing less to check.)
#
# The lesson is not that shifts are harmless. It is that their direction is an experiment.
#
# ## 6. Watch it think
#
# Back to the long-trained model. It has seen mates in one and in two, of both kinds, in runs of at most 12 loops. Here is a mate in two from the test set. Its two distributions, loop by loop:

# %%
x, y = long_model.recipe.task.split(2, "test", "engine", 200)
solved = accuracy_over_loops(long_model, x, y, [1, 2, 4, 8, 16, 32], at_once=50)
late = (solved[16] & solved[32] & ~solved[4]).nonzero()[:, 0].tolist()
chosen = 72 if 72 in late else late[0]
board, target = positions[2, "engine"].boards[chosen], y[chosen]
with torch.no_grad():
    start = long_model.encode(x[chosen : chosen + 1])
    states = [start, *long_model.states(x[chosen : chosen + 1], 24)]
    heat = torch.stack([long_model.read_out(z)[0].softmax(-1) for z in states])
residuals = torch.stack([(after - z).norm() / after.norm() for z, after in pairwise(states)])
shown = [0, 1, 2, 3, 4, 6, 8, 12]
plots.show(
    boards.chess.strip(board, heat[shown], titles=[f"after {t} loops" for t in shown]),
    alt="Eight boards of one position after 0 to 12 loops. At first many squares are faintly marked; then one or two pieces and a few target squares remain, which change from loop to loop; in the end one move stands out.",
    caption="What to see: before the first loop, habits: pieces and squares that are often right. After one loop only a few pieces are left, after some more a short list of moves, and within that list the favourite changes.",
)
print(
    "the answer:",
    *map(square_name, target),
    "  in the words of the file:",
    positions[2, "engine"].fens[chosen],
    positions[2, "engine"].moves[chosen],
)

# %% [markdown]
# What does the first loop do? Count, over 100 positions, how much probability lies on squares from which an own piece can start at all, and how much on legal moves.

# %%
hundred = positions[2, "engine"].boards[:100]
own_piece = (hundred >= 1) & (hundred <= 6)
with torch.no_grad():
    x_first = x[:100]
    read = [long_model.read_out(z) for z in (long_model.encode(x_first), *long_model.states(x_first, 16))]
on_own = {t: float((read[t][:, 0].softmax(-1) * own_piece).sum(1).mean()) for t in (0, 1, 2, 4, 8, 16)}
print("from a square with an own piece:", "  ".join(f"loop {t}: {value:.2f}" for t, value in on_own.items()))
assert on_own[0] < 0.95 and on_own[1] > 0.99
if rules_known:
    on_legal = {t: float(judge(positions[2, "engine"], read[t])[1].mean()) for t in on_own}
    print("on legal moves:                 ", "  ".join(f"loop {t}: {value:.2f}" for t, value in on_legal.items()))
    assert on_legal[0] < 0.1 and 0.4 < on_legal[1] < 0.6 and on_legal[16] > 0.8
else:
    print("how much lies on legal moves needs python-chess: %pip install chess")

# %% [markdown]
# Before any loop the answers for the squares do not know of each other, and hardly anything is legal. One loop is enough to look along a line: half of the belief is on legal moves then. The loops after it do the rest, and choose.

# %%
frames = range(17)
plots.show(
    plots.gif(
        [
            boards.chess.board(board, heat[t], [tuple(heat[t].argmax(-1).tolist())] if t else (), None, residuals, t)
            for t in frames
        ],
        seconds=9,
    ),
    alt="The same position as a moving picture over 16 loops: an arrow for the likeliest squares jumps between a few moves and comes to rest; beside it the residual falls.",
    caption="The arrow joins the likeliest square from and the likeliest to. What to see: it is at rest long before the residual is small.",
)
assert all(torch.equal(heat[t].argmax(-1), target) for t in range(12, 25)) and residuals[11] > 1e-3

# %%
if rules_known:
    display(widgets.watch_player(long_model, positions[2, "engine"].fens[chosen], loops=32))
else:
    print("the player names legal moves and needs python-chess: %pip install chess")

# %% [markdown]
# ### Where it looks
#
# The fourth head may look anywhere. Does it know where to? Here is what the moving piece's square looks at, in that head and in the one along which it will move, in the first loop and in two later ones.

# %%
from looped_lite.blocks import rms_norm, rotate


@torch.no_grad()
def attention_maps(model, z, h):
    """Who looks at whom in the loop that begins with the state z: (batch, heads, 64, 64), each row a distribution."""
    block = model.blocks[0]
    attention, angles = block.attention, Loop(model, h).angles
    q, k, _ = (
        attention.qkv(block.branch_input(z, block.recalled(h), 0))
        .view(len(z), 64, 3, attention.heads, -1)
        .permute(2, 0, 3, 1, 4)
    )
    q, k = rms_norm(rotate(q, angles)) * attention.temperature, rms_norm(rotate(k, angles))
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + attention.score_bias()).softmax(-1)


heads = ["rook lines", "diagonals", "knight and king", "everybody"]
looks = [1, 4, 13]
own_head = int(masks[:3, target[0], target[1]].nonzero()[0, 0])  # the head along which the answer runs
maps = torch.stack(
    [attention_maps(long_model, states[t - 1], start)[0, head, target[0]] for head in (own_head, 3) for t in looks]
)
plots.show(
    boards.chess.square_map(
        maps,
        [f"{heads[head]}, loop {t}" for head in (own_head, 3) for t in looks],
        board,
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
near_king = next_to[(positions[2, "engine"].boards[:200] == 12).float().argmax(1)].float()
many = torch.arange(200)
h = long_model.encode(x)
z, watched = h, {}
with torch.no_grad():
    for t in range(1, 9):
        watching = attention_maps(long_model, z, h)[many, 3, y[:, 0]]  # (200, 64)
        watched[t] = float((watching * near_king).sum(1).mean())
        z = long_model.step(z, h)
print(f"everywhere alike: {near_king.mean():.2f};", "  ".join(f"loop {t}: {share:.2f}" for t, share in watched.items()))
assert watched[2] > 1.5 * watched[1] and min(watched[t] for t in range(2, 9)) > 3 * near_king.mean()

# %% [markdown]
# In the first loop attention reads the bare board: the king's own square can say that a king stands there, its neighbours cannot know it yet. From the second loop on they do, and are looked at.
#
# ## 7. Too few loops in training
#
# Your own model of section 5 never ran more than 4 loops. Models of the earlier lessons gained from loops beyond training, or at least kept what they had.
#
# > **Predict.** What does yours do at 8 loops? At 128?

# %%
beyond = [1, 2, 4, 8, 16, 32, 64, 128]
own = accuracy_over_loops(model, *task.split(1, "test", "random", 300), beyond, at_once=50)
plots.show(
    plots.accuracy_curves({"your model of section 5": own}, trained=4, title="mate in one, random play"),
    alt="Exact match against loops: it rises to 4 loops and falls beyond 8, to much less at 128.",
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
assert horizon(own) is not None, "trained to 4 loops, it does not hold"

# %% [markdown]
# > **Predict.** Is it the few steps, or the few loops? The next models were trained for equally many steps, on the same data, and differ in one number only: the most loops that training ever ran, 4 or 16.

# %%
grid = read_rows(data_path("results", "chess.csv"))
keys = ("recall", "norm", "label", "seed", "depth", "source", "start", "loops")
table_of = {tuple(row[key] for key in keys): row for row in grid}
counted = [1, 2, 4, 8, 16, 32, 64, 128]


def right_after(loops, depth, source="engine", seed=0, label="", recall="internal", norm="post", start="input"):
    """How one model of the results did on one test set, as (n,) bool. Which positions it had right, the table does not say."""
    row = table_of[recall, norm, label, str(seed), str(depth), source, start, str(loops)]
    return torch.arange(int(row["count"])) < int(row["right"])


short = {t: right_after(t, 1, "random", label="short") for t in counted}
usual = {t: right_after(t, 1, "random") for t in counted}
plots.show(
    plots.accuracy_curves(
        {"at most 4 loops in training": short, "at most 16": usual}, title="mate in one, random play, 600 steps"
    ),
    alt="Exact match against loops for two models. The one trained to 4 loops is ahead at 1 and 2 loops, peaks at 4 and stays a little lower; the one trained to 16 passes it and rises until 8, then both are flat to 128.",
    caption="What to see: whoever has only 4 loops learns to be quick, and gains nothing from more. Whoever has 16 starts slowly and gets further, and both hold their level.",
)
print("horizons: trained to 4 loops", horizon(short), "  trained to 16 loops", horizon(usual))

# %% [markdown]
# What happens inside? Look at how much each loop still moves the state.

# %%
steps = {}
x_few = task.split(1, "test", "random", 40)[0]
with torch.no_grad():
    for name, one in (("your model, trained to 4 loops", model), ("the long model, trained to 12", long_model)):
        z, moved = one.encode(x_few), []
        for after in one.states(x_few, 64):
            moved.append((after - z).flatten(1).norm(dim=1) / after.flatten(1).norm(dim=1))
            z = after
        steps[name] = torch.stack(moved)
plots.show(
    plots.residual_curves(steps, relative=True, title="mate in one, 40 positions: median and middle 80%"),
    alt="Relative step against loops, on a logarithmic axis. The long model's median falls along a straight line to below one millionth, though a tenth of its positions stay near one hundredth; the median of the model trained to 4 loops falls slowly and flattens near a thousandth.",
    caption="What to see: the middle position of the long model settles, geometrically. Your model creeps on, and on its way it leaves the answer.",
)
end = {name: moved[-1] for name, moved in steps.items()}
median = {name: float(values.median()) for name, values in end.items()}
print("median relative step at loop 64:", {name: f"{value:.1e}" for name, value in median.items()})
print(
    f"the slowest tenth of the long model's positions: {float(end['the long model, trained to 12'].quantile(0.9)):.1e}"
)

# %%
# Check the claims
accuracy = {
    name: {t: float(rows.float().mean()) for t, rows in one.items()}
    for name, one in (("short", short), ("usual", usual), ("own", own))
}
assert max(accuracy["own"].values()) - accuracy["own"][64] >= 0.05, "your model loses beyond training"
assert horizon(short) is None and horizon(usual) is None
assert (
    max(accuracy["short"][t] for t in counted) == accuracy["short"][4]
    and accuracy["usual"][8] > accuracy["usual"][4] + 0.03
)
assert accuracy["short"][1] > accuracy["usual"][1] + 0.1 and accuracy["usual"][128] > accuracy["short"][128] + 0.1
assert median["your model, trained to 4 loops"] > 3 * median["the long model, trained to 12"]

# %% [markdown]
# Two findings, and they do not say the same.
#
# - **Your model loses what it knew.** Progressive loss asked for a right answer after at most 4 loops, and for nothing afterwards. No fixed point was asked for, and the state creeps on, past the answer.
# - **The other one that was trained to 4 loops does not collapse**: it ends a little below its best, within the interval. It shares the 4 loops with yours, and differs in two ways: it also saw mates in two, and it was trained with Muon instead of AdamW (as all shipped chess models). Which of the two matters was not tried. So few loops *allow* a collapse; they do not force one.
#
# What both have in common is the price: nothing is gained beyond the loops of training, while the model that was given 16 goes on rising to 8, and ends more than a tenth of all positions ahead. One seed each.
#
# ## 8. Knowing and searching
#
# A mate in one is all on the board. To be sure of a mate in two you must find, for every answer, a move that mates; in four moves the tree has thousands of branches. The long-trained model has seen mates in one and two. Mates in three and in four it has never seen, and there, too, it is only asked for the first move.
#
# > **Predict.** How much worse is it on mates in three and four? Do they take more loops?

# %%
best = {
    (row["model"], int(row["depth"]), row["source"], int(row["loops"])): row
    for row in read_rows(data_path("results", "chess_best.csv"))
}
long_loops = sorted({loops for _, _, _, loops in best})


def counted_right(loops, depth, source="engine", model="chess", column="squares"):
    """The long-trained model's answers to a test set, as (n,) bool."""
    row = best[model, depth, source, loops]
    return torch.arange(int(row["count"])) < int(row[column])


plots.show(
    plots.accuracy_curves(
        {f"mate in {depth}": {t: counted_right(t, depth) for t in long_loops} for depth in (1, 2, 3, 4)},
        trained=long_model.recipe.task.most_loops,
        title="trained on mate in one and two; game-like positions",
    ),
    alt="Exact match against loops from 1 to 1,000 for mates in one to four. All four curves rise steeply until about 8 loops and are flat from 16 on: mate in one near 1, the other three close together between two thirds and three quarters.",
    caption="What to see: one curve high up, three close together, and two of those three are of a kind never seen in training. After 16 loops nothing happens any more.",
)
rows = [
    "| game-like | seen in training | both squares right, 16 loops | 64 loops | 1,000 loops | best legal move right, 64 loops |",
    "|---" * 6 + "|",
]
for depth in (1, 2, 3, 4):
    cells = []
    for t, column in ((16, "squares"), (64, "squares"), (1000, "squares"), (64, "move")):
        hits = counted_right(t, depth, column=column)
        low, high = wilson(int(hits.sum()), len(hits))
        cells.append(f"{hits.float().mean():.3f} ({low:.3f} to {high:.3f})")
    rows.append(f"| mate in {depth} | {'yes' if depth < 3 else 'no'} | " + " | ".join(cells) + " |")
display(Markdown("\n".join(rows)))

# %%
# Check the claims
squares = {depth: {t: float(counted_right(t, depth).double().mean()) for t in long_loops} for depth in (1, 2, 3, 4)}
assert squares[1][16] > 0.95
for depth in (2, 3, 4):
    assert 0 <= squares[2][16] - squares[depth][16] < 0.1 and squares[depth][16] > 0.64, "depth costs less than a tenth"
    assert squares[depth][8] > squares[depth][1] + 0.35
for depth in (1, 2, 3, 4):
    assert max(abs(squares[depth][t] - squares[depth][16]) for t in long_loops if t > 16) < 0.02, "flat to 1,000 loops"

# %% [markdown]
# Two surprises. On mates in three and four, of which it has never seen one, the model finds about two thirds of the first moves, less than a tenth fewer than on mates in two. And longer mates do not use the time that they were offered: all curves have come to an end by 16 loops, and up to 1,000 they neither rise nor fall. The loops did not turn into depth.
#
# (The intervals are a little too narrow here: several positions can come from one game and resemble each other.)
#
# ### What a guess gets
#
# Before you admire this, ask what a player gets who knows nothing but the rules, and picks a check by chance.

# %%
if rules_known:
    chess = rules()
    checking = {}
    rows = [
        "| game-like | first move gives check | checks to choose from | a random check is right | a random legal move |",
        "|---" * 5 + "|",
    ]
    for depth in (1, 2, 3, 4):
        some = positions[depth, "engine"]
        answers_given = [chess.Move.from_uci(move) for move in some.moves[:600]]
        played = [chess.Board(text) for text in some.fens[:600]]
        checking[depth] = torch.tensor([one.gives_check(move) for one, move in zip(played, answers_given, strict=True)])
        legal = [one.legal_moves.count() for one in played[:300]]
        checks = [sum(one.gives_check(move) for move in one.legal_moves) for one in played[:300]]
        gives = checking[depth][:300].tolist()
        by_chance = sum(1 / number for number, right_kind in zip(checks, gives, strict=True) if right_kind) / 300
        rows.append(
            f"| mate in {depth} | {sum(gives) / 300:.2f} | {sum(checks) / 300:.1f} | {by_chance:.2f} | {sum(1 / number for number in legal) / 300:.2f} |"
        )
        assert 0.25 < by_chance < 0.45 and 4 < sum(checks) / 300 < 5
        assert 0.02 < sum(1 / number for number in legal) / 300 < 0.035
    display(Markdown("\n".join(rows)))
    assert sum(checking[4][:300].tolist()) / 300 > 0.98
else:
    print("needs python-chess: %pip install chess")

# %% [markdown]
# A mate in four mostly begins with a check, and there are but four or five checks to choose from. So finding the *first move* of a long mate may take much less than finding the mate. The moves that are hard to find are the others: **quiet** first moves, which threaten and do not check. Split the test positions by that, and count for each solved position from which loop on its answer is right for good (exercise 05.4).
#
# > **Predict.** Quiet or check: which are solved more often? Which need more loops?

# %%
watched_loops = list(range(1, 17))
needed, solved_share = {}, {}
for depth in (1, 2, 3, 4):
    count = 600 if depth in (2, 3) else 300  # quiet moves are rare
    found = accuracy_over_loops(
        long_model, *long_model.recipe.task.split(depth, "test", "engine", count), watched_loops, at_once=50
    )
    history = torch.stack([found[t] for t in watched_loops])  # (16, count)
    needed[depth] = (len(history) + 1 - history.flip(0).long().cumprod(0).sum(0)).float()  # 17: not right at the end
rows = ["| game-like | positions | right at 16 loops | median loop | nine in ten by loop |", "|---" * 5 + "|"]
groups = [(f"mate in {depth}", needed[depth]) for depth in (1, 2, 3, 4)]
if rules_known:
    for depth in (2, 3):
        for label, chosen_rows in (("check", checking[depth]), ("quiet", ~checking[depth])):
            groups.append((f"mate in {depth}, first move {label}", needed[depth][chosen_rows]))
for label, when in groups:
    done = when[when <= 16]
    low, high = wilson(len(done), len(when))
    solved_share[label] = (
        len(done) / len(when),
        float(low),
        float(high),
        float(done.median()),
        float(done.quantile(0.9)),
    )
    rows.append(
        f"| {label} | {len(when)} | {len(done) / len(when):.2f} ({low:.2f} to {high:.2f}) | {done.median():.0f} | {done.quantile(0.9):.0f} |"
    )
display(Markdown("\n".join(rows)))

# %%
# Check the claims
nine_in_ten = [solved_share[f"mate in {depth}"][4] for depth in (1, 2, 3, 4)]
assert nine_in_ten[0] < nine_in_ten[3] <= 12 and max(solved_share[f"mate in {depth}"][3] for depth in (1, 2, 3, 4)) <= 4
if rules_known:
    for depth in (2, 3):
        check, quiet = (solved_share[f"mate in {depth}, first move {kind}"] for kind in ("check", "quiet"))
        assert quiet[2] < check[1] and check[0] > quiet[0] + 0.2, "the intervals do not overlap"
        assert quiet[1] > 0.2, "yet far from chance"
    check, quiet = (solved_share[f"mate in 2, first move {kind}"] for kind in ("check", "quiet"))
    assert quiet[3] > check[3]

# %% [markdown]
# Here is what difficulty is for this model. Not so much the number of moves to mate: from two to four that costs less than a tenth, and a few loops at most. It is whether the first move *looks like one*. A check that mates in four looks like a check that mates in two. A quiet move does not show on the board what it threatens; you have to play on in your mind, and there the model is right much less often, in mates in two as in mates in three.
#
# And yet it is not blind. A random legal move is right in 3 of 100 positions; the quiet ones are found many times more often than that, and in mates in two they take longer: the median is some loops later than for checks. Something is done in these loops that is more than recognizing checks. Whether it deserves the name of search, this lesson cannot tell; the last paper in the reading list shows what it would take.
#
# ### Is it the loops, or the examples?
#
# Two questions can be told apart by training twice. **(a)** A model that has seen mates in one only, asked for mates in two, three and four: can loops beyond training make up for what it was never shown? **(b)** A model that has seen mates in one and two, asked for three and four. Width 64, 600 steps each, three seeds of each; (a) has spent all its steps on mates in one. 300 test positions for each number.


# %%
seeds = (0, 1, 2)


def over_seeds(loops, depth, **which):
    """The share of right answers of each seed, (3,)."""
    return torch.tensor([float(right_after(loops, depth, seed=seed, **which).double().mean()) for seed in seeds])


def half_width(values):
    """Half of Student's 95% interval for the mean over three seeds (t = 4.303 for two degrees of freedom)."""
    return 4.303 * float(values.std()) / len(values) ** 0.5


def with_interval(values):
    return f"{values.mean():.3f} ± {half_width(values):.3f}"


rows = [
    "| game-like | (a) 16 loops | (a) 128 loops | (b) 16 loops | (b) 128 loops | (b) minus (a), 128 loops |",
    "|---" * 6 + "|",
]
gain, gap = {}, {}
for depth in (1, 2, 3, 4):
    a16, a128, b16, b128 = (over_seeds(t, depth, label=label) for label in ("mate1", "") for t in (16, 128))
    gain[depth] = [float((after - before).mean()) for before, after in ((a16, a128), (b16, b128))]
    gap[depth] = b128 - a128
    rows.append(f"| mate in {depth} | " + " | ".join(map(with_interval, (a16, a128, b16, b128, gap[depth]))) + " |")
display(Markdown("\n".join(rows)))

# %%
# Check the claims
assert all(abs(change) <= 0.02 for changes in gain.values() for change in changes), (
    "128 loops are worth no more than 16"
)
for depth in (2, 3, 4):
    assert (gap[depth] > 0).all() and 0.05 < gap[depth].mean() < half_width(gap[depth]), (
        "in every seed; yet 0 is within"
    )
assert gap[1].mean() < 0 < gap[1].max(), "on mates in one (a) is ahead by the mean, not in every seed"

# %% [markdown]
# Question (a) is answered by the columns of loops: from the 16 loops of training to 128 nothing is gained, at no depth. Loops do not make up for what was never shown. Question (b): more loops do not help there, either. What does help is in the last column: some mates in two among the examples, and the model is ahead on mates in two, three *and* four in each of three seeds, though it has seen none of the latter two. By how much, three seeds cannot say: each interval still holds 0. It pays with mates in one, if at all, for which only half of each batch was left.
#
# Perhaps 600 steps are too few for anything to show. The course ships one model of each kind that was trained for an hour and more: `chess-mate1` for (a), and `chess`, which you know, for (b). 1,000 game-like positions each, the best legal move.
#
# > **Predict.** (a) is now nearly perfect on mates in one. Does that help it with longer ones? Do loops?


# %%
def in_words(hits):
    low, high = wilson(int(hits.sum()), len(hits))
    return f"{hits.float().mean():.3f} ({low:.3f} to {high:.3f})"


rows = ["| game-like | (a) 1 loop | (a) 16 | (a) 1,000 | (b) 1 loop | (b) 16 | (b) 1,000 |", "|---" * 7 + "|"]
moves = {}
for depth in (1, 2, 3, 4):
    for name in ("chess-mate1", "chess"):
        for t in (1, 16, 1000):
            moves[name, depth, t] = counted_right(t, depth, model=name, column="move")
    cells = [in_words(moves[name, depth, t]) for name in ("chess-mate1", "chess") for t in (1, 16, 1000)]
    rows.append(f"| mate in {depth} | " + " | ".join(cells) + " |")
display(Markdown("\n".join(rows)))

# %%
# Check the claims
share_right = {key: float(hits.double().mean()) for key, hits in moves.items()}
assert share_right["chess-mate1", 1, 16] > 0.98 and share_right["chess", 1, 16] > 0.98
for depth in (2, 3, 4):
    alone, both = ([share_right[name, depth, t] for t in (1, 16, 1000)] for name in ("chess-mate1", "chess"))
    assert max(alone[1:]) < alone[0] - 0.02 and min(alone) > 0.38 and max(alone) < 0.47, "(a): one loop is best"
    assert abs(alone[2] - alone[1]) < 0.02 and abs(both[2] - both[1]) < 0.02
    assert both[1] > both[0] + 0.2 and both[1] > alone[1] + 0.25

# %% [markdown]
# Training for long has made (a) nearly perfect on what it was shown, and no better at anything else. On longer mates it begins at a little less than a half, more than a random check gets, and then *thinking makes it worse*: at every depth it is best after its very first loop, and a few in a hundred worse after 16 or 1,000. Our reading: it knows what a mating move looks like, and where there is none, more loops settle on something that resembles one. (b), with mates in two among its examples, gains more than 0.2 from its loops at every depth, those that it has never seen included.
#
# So the same block, the same loops: what they are worth was decided by the examples. (The two differ in width and steps, too: 128 and 14,000 for (a), 160 and 15,000 for (b). That is what the table above is for, where they do not.)
#
# ### The paper, and what can be compared
#
# The paper trains on Lichess puzzles rated up to 1600 and tests on those rated 1601 to 2000. Those are positions from people's games; not all are mates, and a rating says how often people failed. Ours are mates with a proof, and difficulty is counted in moves. So compare no numbers, only claims. That looped models can use more loops on harder problems is the promise with which the paper begins; in prefix sums and sudoku you have seen it kept. Here it is not: more than 16 loops help at no depth. That may be due to our small models, to the short training, or to chess. We do not know; that chess needs a tree which a state of fixed size cannot hold is a guess, and a popular one.
#
# If you have the file of Lichess puzzles, `looped_lite.tasks.chess.read_lichess` splits it as the paper does, and `Chess.tensors` makes inputs and targets of it.
#
# ## 9. Recall and norm, three seeds
#
# All variants with the same data (b), the same 600 steps, the same three seeds; 300 test positions for each number.
#
# > **Predict.** In sudoku a model without recall could hold its answer, since a solved grid explains itself (lesson 07). Does a chess position with its move marked explain itself? Then: what will a model without recall do after 128 loops?

# %%
variants = [("internal", "post"), ("external", "post"), ("none", "post"), ("internal", "peri")]
columns = [
    ("mate in 1, 4 loops", 4, 1, "input"),
    ("mate in 1, 16", 16, 1, "input"),
    ("mate in 1, 128", 128, 1, "input"),
    ("mate in 2, 16", 16, 2, "input"),
    ("mate in 3, 16", 16, 3, "input"),
    ("mate in 4, 16", 16, 4, "input"),
    ("mate in 1, 64, from noise", 64, 1, "noise"),
]
rows = ["| recall | norm | " + " | ".join(name for name, *_ in columns) + " |", "|---" * (2 + len(columns)) + "|"]
share = {}
for recall, norm in variants:
    for name, loops_run, depth, start_state in columns:
        share[recall, norm, name] = over_seeds(loops_run, depth, recall=recall, norm=norm, start=start_state)
    rows.append(
        f"| {recall} | {norm} | " + " | ".join(with_interval(share[recall, norm, name]) for name, *_ in columns) + " |"
    )
display(Markdown("\n".join(rows)))
plots.show(
    plots.accuracy_curves(
        {variant: {t: over_seeds(t, 1, recall=variant[0], norm=variant[1]) for t in counted} for variant in variants},
        trained=16,
        title="mate in one, game-like: mean of three seeds, band from the lowest to the highest",
    ),
    alt="Exact match against loops for four variants. Internal and external recall with the outer norm lie together on top and are flat from 8 to 128 loops; internal recall with peri-norm lies lower; no recall is lowest and falls towards 0 at 128 loops.",
    caption="What to see: with recall and the outer norm, one flat line for both recalls. Without recall the answer comes, and goes.",
)


# %%
# Check the claims
def mean(recall, norm, name):
    return float(share[recall, norm, name].mean())


signs = {}
for name in ("mate in 1, 16", "mate in 2, 16", "mate in 3, 16", "mate in 4, 16"):
    ahead = share["internal", "post", name] - share["external", "post", name]
    half = half_width(ahead)
    signs[name] = int((ahead > 0).sum())
    print(f"{name}: internal minus external {ahead.mean():+.3f} ± {half:.3f}, ahead in {signs[name]} of 3 seeds")
    assert abs(float(ahead.mean())) < 0.05
    assert name == "mate in 1, 16" or abs(float(ahead.mean())) < half, "the sign is not known"
assert signs["mate in 1, 16"] == 3 and signs["mate in 4, 16"] == 0
for recall in ("internal", "external"):
    at = {name: share[recall, "post", name] for name, *_ in columns}
    assert (at["mate in 1, 128"] - at["mate in 1, 16"]).abs().max() <= 0.02
    assert (at["mate in 1, 64, from noise"] - at["mate in 1, 128"]).abs().max() <= 0.05
    assert (at["mate in 1, 16"] - share["none", "post", "mate in 1, 16"]).min() > 0.2
assert (
    share["none", "post", "mate in 1, 128"].max() < 0.2
    and share["none", "post", "mate in 1, 64, from noise"].max() < 0.02
)
peri_gap = share["internal", "post", "mate in 1, 16"] - share["internal", "peri", "mate in 1, 16"]
peri_lost = share["internal", "peri", "mate in 1, 128"] - share["internal", "peri", "mate in 1, 64, from noise"]
assert peri_gap.min() > 0.05 and peri_lost.mean() > 0.02

# %% [markdown]
# - **Recall against none**: the clearest line of the table. Without recall a model learns about half as much in these steps, holds it for some 16 loops, and has nearly nothing left after 128. From noise it has exactly nothing. A solved sudoku explains itself; a board with a move marked on it does not, so nothing corrects a state that has lost a piece. Recall says in every loop where the pieces stand.
# - **Internal against external recall**: on mates in one internal is ahead in all three seeds, by less than 0.05, and the interval just misses 0. On mates in four it is *behind* in all three, and the interval holds 0, as it does in two and three. Whoever looks four times finds one interval without 0 more easily than once: call it even. The paper finds internal recall *competitive* once the outer norm is there, and clearly ahead on sudoku: chess at this size is a case of the first.
# - **Outer norm against peri**: with internal recall and equal steps, peri learns less, and its answers depend on the start: from noise they are worse. With the outer norm, noise changes hardly anything. That is path independence, as in lesson 06, and the paper's claim holds: recall and outer norm together are reliable.
#
# Three seeds, 600 steps, models of some 68,000 parameters: what a longer training would do to the order, this table does not say.
#
# ## 10. A position of your own
#
# Paste a FEN: from a game of yours, from a newspaper, or built piece by piece. The model was made for mates; what does it do where there is none?

# %%
widgets.solver(
    long_model,
    "6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1",
    {
        "back rank": "6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1",
        "smothered": "r5rk/6pp/7N/8/8/8/8/6K1 w - - 0 1",
        "first move of a game": "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
        "a mate in two": positions[2, "engine"].fens[chosen],
    },
    label="your position (FEN)",
    loops=64,
)

# %% [markdown]
# ## Recap
#
# - A position is twelve planes. Normalize what the answer does not depend on, and keep the way back.
# - A move as two questions, *from* and *to*, is a product of two distributions: cheap, and blind to which square belongs to which. Rules, asked afterwards, repair it; **legality** says how much there was to repair.
# - The direction of a **shift** between training and test is an experiment, not an intuition. Look at the data of both sides first.
# - Trained with few loops, a model may have no fixed point at its answers. Accuracy at the loops of training cannot tell: only a curve far beyond can, and its **horizon** is a number.
# - In chess the first loops buy much: the rules, then a short list, then a choice. Loops beyond training buy nothing here, at any depth of mate. The first moves of deeper mates took hardly more loops and were found nearly as often; quiet moves were not. What was shown in training made the difference, not how long the model may think.
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
# What a player gets who picks a check by chance. The same model on quiet first moves alone. And accuracy over loops for mates of different depth: a search that goes deeper needs more of something. (A fourth: play the defence, and ask for the next moves.)
#
# </details>
#
# **3.** Your friend has the model of section 5 and says: I always stop at 4 loops, where it is good, so why train longer runs? What can his model not do?
#
# <details><summary>Answer</summary>
#
# It cannot say when it is done: its state does not come to rest on the answer, so there is no residual to wait for, and easy and hard positions get the same 4 loops. It cannot use more time on a hard one. And a start state that is a little off stays off, since nothing pulls it back.
#
# </details>
#
# ## Further reading
#
# - A. Labovich, *Stability and Generalization in Looped Transformers*, arXiv 2604.15259: chess is one of its three tasks, with Lichess puzzles.
# - A. Schwarzschild and others, *Can You Learn an Algorithm? Generalizing from Easy to Hard Problems with Recurrent Networks*, arXiv 2106.04537: the same question with convolutional loops, chess puzzles included.
# - A. Ruoss and others, *Amortized Planning with Large-Scale Transformers: A Case Study on Chess*, arXiv 2402.04494: how far recognizing goes without any search, with 270 million parameters.
# - E. Jenner and others, *Evidence of Learned Look-Ahead in a Chess-Playing Neural Network*, arXiv 2406.00877: how one would show that a network does look ahead.

# %%
report(ex)

# %% [markdown]
# Next: **09 · spend loops where they are needed**, which stops each instance when it has settled.
