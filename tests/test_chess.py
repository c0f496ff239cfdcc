"""Chess as a task: tensors, symmetries, the geometry of attention, legal moves, errors, a user's own puzzles."""

import csv
import gzip
import random
import subprocess
import sys

import chess
import pytest
import torch
import torch.nn.functional as F
import zstandard

from looped_lite.cli import main
from looped_lite.pretrained import load_pretrained, save_pretrained
from looped_lite.recipe import Recipe
from looped_lite.solving import solve_one
from looped_lite.tasks.chess import (
    PIECES,
    Chess,
    load_positions,
    make_positions,
    mates_at_once,
    move_probabilities,
    normalize,
    piece_masks,
    planes,
    read_boards,
    read_fen,
    read_lichess,
    read_squares,
    score_moves,
    square_offsets,
)
from looped_lite.training import cross_entropy, progressive_logits, train

BACK_RANK = "6k1/5ppp/8/8/8/8/8/R3K3 w - - 0 1"  # a1a8 mates


def random_boards(count, seed=0, longest=160):
    """Positions of random games, castling and en passant and all, that have a legal move."""
    rng, found = random.Random(seed), []
    while len(found) < count:
        board = chess.Board()
        for _ in range(rng.randrange(longest)):
            board.push(rng.choice(list(board.legal_moves)))
            if board.is_game_over():
                break
            if rng.random() < 0.4:
                found.append(board.copy(stack=False))
    return found[:count]


def favour(board, move, strength=20.0):
    """Logits (2, 64) that name one move of ``board``."""
    turn = int(normalize(*read_boards([board.fen()]))[1][0])
    squares = torch.tensor([move.from_square ^ turn, move.to_square ^ turn])
    return strength * F.one_hot(squares, 64).float()


@pytest.fixture(scope="module")
def boards():
    return random_boards(5000)


def test_5000_random_positions_go_through_the_planes_without_a_wrong_square(boards):
    fens = [board.fen() for board in boards]
    normal, turn = normalize(*read_boards(fens))
    x = planes(torch.from_numpy(normal))
    assert x.shape == (5000, 64, 12) and int(x.sum()) == sum(len(board.piece_map()) for board in boards)
    kings = x[:, :, PIECES.index("K")].argmax(-1) % 8
    assert kings.min() >= 4  # the king of the side to move is on the right half
    for board, channels, mirror in zip(boards, x, turn.tolist(), strict=True):
        seen = {}
        for square, plane in channels.nonzero().tolist():
            own, kind = plane < 6, plane % 6 + 1
            seen[square ^ mirror] = chess.Piece(kind, own == board.turn)
        assert seen == board.piece_map()


def test_5000_moves_go_through_the_squares_and_come_back(boards):
    rng, task = random.Random(1), Chess()
    for board in boards[::10]:
        move = rng.choice(list(board.legal_moves))
        found = task.decode(board.fen(), favour(board, move))
        assert found["answer"][:4] == move.uci()[:4] and found["probability"] > 0.99
        assert chess.Move.from_uci(found["answer"]) in board.legal_moves
    moves = [rng.choice(list(board.legal_moves)) for board in boards]
    positions = make_positions([board.fen() for board in boards], [move.uci() for move in moves])
    _, turn = normalize(*read_boards(positions.fens))
    for move, target, mirror in zip(moves, positions.targets.tolist(), turn.tolist(), strict=True):
        assert [square ^ mirror for square in target] == [move.from_square, move.to_square]


def test_colours_and_sides_do_not_matter():
    for board in random_boards(200, seed=2):
        board.castling_rights, board.ep_square = chess.BB_EMPTY, None
        move = random.Random(0).choice(list(board.legal_moves))
        twins = [(board, move)]
        twins.append((board.mirror(), chess.Move(move.from_square ^ 56, move.to_square ^ 56, move.promotion)))
        twins += [
            (twin.transform(chess.flip_horizontal), chess.Move(m.from_square ^ 7, m.to_square ^ 7, m.promotion))
            for twin, m in list(twins)
        ]
        positions = make_positions([twin.fen() for twin, _ in twins], [m.uci() for _, m in twins])
        assert (positions.boards == positions.boards[0]).all() and (positions.targets == positions.targets[0]).all()


def test_encode_agrees_with_the_batch_reader():
    fens = [board.fen() for board in random_boards(20, seed=3)]
    together = planes(torch.from_numpy(normalize(*read_boards(fens))[0]))
    assert torch.equal(torch.cat([Chess().encode(fen) for fen in fens]), together)


def test_squares_of_moves():
    assert read_squares(["a1h8", "e7e8q", "b1c3"]).tolist() == [[0, 63], [52, 60], [1, 18]]


# ---- shipped positions and batches ----


@pytest.mark.parametrize("source", ["random", "engine"])
def test_batches_are_positions_whose_move_mates(source):
    x, y = Chess(sources=(source,)).batch(40, 1, torch.Generator().manual_seed(4))
    assert x.shape == (40, 64, 12) and y.shape == (40, 2)
    for channels, (start, end) in zip(x, y.tolist(), strict=True):
        board = chess.Board(None)
        for square, plane in channels.nonzero().tolist():
            board.set_piece_at(square, chess.Piece.from_symbol(PIECES[plane]))
        mates = [move for move in board.legal_moves if mates_at_once(board, move)]
        assert [(move.from_square, move.to_square) for move in mates] == [(start, end)]


def test_mirrored_batches_put_the_king_on_the_left():
    king = PIECES.index("K")
    x, y = Chess(mirrored=1.0).batch(30, 1, torch.Generator().manual_seed(5))
    plain, target = Chess().batch(30, 1, torch.Generator().manual_seed(5))
    assert (x[:, :, king].argmax(-1) % 8).max() <= 3
    assert torch.equal(x.view(-1, 8, 8, 12).flip(2).flatten(1, 2), plain) and torch.equal(y ^ 7, target)


def test_batches_repeat_with_the_seed_and_differ_without():
    one, two, three = (Chess().batch(8, 1, torch.Generator().manual_seed(seed))[0] for seed in (5, 5, 6))
    assert torch.equal(one, two) and not torch.equal(one, three)


def test_the_curriculum_goes_through_the_depths():
    task = Chess(depths=(1, 2, 4))
    assert (task.first_level, task.last_level) == (1, 4)
    assert [task.harder(level) for level in (1, 2, 4)] == [2, 4, 4]
    assert Chess(depths=(1, 2), curriculum=False).first_level == 2
    easy = {tuple(row) for row in load_positions(1, "train").boards.tolist()}
    x, _ = Chess(depths=(1, 2)).batch(30, 1, torch.Generator().manual_seed(8))
    assert all(tuple(row) in easy for row in torch.where(x.sum(-1) > 0, x.argmax(-1) + 1, 0).tolist())


@pytest.mark.parametrize(
    ("shares", "low", "high"), [("groups", 0.42, 0.56), ("roots", 0.58, 0.68), ("positions", 0.7, 0.8)]
)
def test_depths_have_equal_shares_or_positions_have(shares, low, high):
    """Of the training positions 82,696 are mates in one and 26,294 mates in two; of square roots that is .63."""
    task = Chess(depths=(1, 2), curriculum=False, shares=shares)
    x, _ = task.batch(400, 2, torch.Generator().manual_seed(7))
    easy = {tuple(row) for row in load_positions(1, "train").boards.tolist()}
    codes = torch.where(x.sum(-1) > 0, x.argmax(-1) + 1, 0)
    share = sum(tuple(row) in easy for row in codes.tolist()) / 400
    assert low < share < high


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depths": ()}, "depths must be"),
        ({"depths": (2, 1)}, "depths must be"),
        ({"depths": (5,)}, "depths must be"),
        ({"sources": ("lichess",)}, "sources must be"),
        ({"attention": "rows"}, "unknown attention 'rows'"),
        ({"shares": "equal"}, "unknown shares 'equal'"),
        ({"target": "moves"}, "unknown target 'moves'"),
        ({"curriculum": 1}, "curriculum must be true or false, got 1"),
        ({"mirrored": 2}, "mirrored must be a number from 0 to 1, got 2"),
        ({"most_loops": 0}, "most_loops must be"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Chess(**settings)


def test_unknown_positions_are_named():
    with pytest.raises(ValueError, match="mate in 7"):
        load_positions(7, "test")
    with pytest.raises(ValueError, match="unknown split 'hard'"):
        load_positions(1, "hard")


# ---- the model ----


def test_heads_see_lines_diagonals_steps_and_everything():
    masks = piece_masks()
    board = chess.Board(None)
    for square in range(64):
        for head, kinds in enumerate([(chess.ROOK,), (chess.BISHOP,), (chess.KNIGHT, chess.KING)]):
            seen = chess.SquareSet.from_square(square)
            for kind in kinds:
                board.set_piece_at(square, chess.Piece(kind, chess.WHITE))
                seen |= board.attacks(square)
                board.remove_piece_at(square)
            assert masks[head, square].nonzero().flatten().tolist() == sorted(seen)
    assert masks[3].all()


def test_offsets_number_the_differences_of_rank_and_file():
    kinds = square_offsets()
    assert kinds.min() == 0 and kinds.max() == 224 and len(kinds.unique()) == 225
    assert (kinds.diagonal() == kinds[0, 0]).all()
    assert kinds[0, 9] == kinds[27, 36] and kinds[0, 9] != kinds[9, 0]  # one step up and right


@pytest.mark.parametrize("attention", ["pieces", "full"])
@pytest.mark.parametrize("target", ["squares", "mask"])
def test_every_variant_learns(attention, target):
    task = Chess(attention=attention, target=target, sources=("random",))
    model = Recipe(task, seed=1, width=16).build()
    x, y = task.batch(8, 1, torch.Generator().manual_seed(8))
    assert model(x, loops=2).shape == ((8, 2, 64) if target == "squares" else (8, 64, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = cross_entropy(progressive_logits(model, x, 0, 2), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert all(p.grad is not None and p.grad.any() for name, p in model.named_parameters() if "norm" not in name)


def test_eight_heads_share_the_four_views():
    assert Recipe(Chess(), heads=8).build().blocks[0].attention.mask.shape == (1, 8, 64, 64)
    with pytest.raises(
        ValueError, match=r"heads must be a multiple of 4 \(lines, diagonals, steps, everybody\), got 2"
    ):
        Recipe(Chess(), heads=2).build()


def test_the_mask_marks_both_squares_and_decodes():
    task = Chess(target="mask")
    x, y = task.split(1, "test", count=20)
    assert (y.sum(-1) == 2).all() and x.shape == (20, 64, 12)
    positions = load_positions(1, "test")
    for fen, move, marked in zip(positions.fens, positions.moves, y, strict=False):
        found = task.decode(fen, 10 * F.one_hot(marked, 2).float())
        assert found["answer"] == move and found["mate"]


# ---- decoding ----


def test_probabilities_are_those_of_the_squares_among_legal_moves():
    logits = torch.randn(2, 64, generator=torch.Generator().manual_seed(9))
    shares, legal = move_probabilities(BACK_RANK, logits)
    board = chess.Board(BACK_RANK)
    start, end = logits.softmax(-1)
    by_hand = {move.uci(): float(start[move.from_square] * end[move.to_square]) for move in board.legal_moves}
    assert legal == pytest.approx(sum(by_hand.values()), rel=1e-4)
    assert shares == pytest.approx({move: share / legal for move, share in by_hand.items()}, rel=1e-4)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


@pytest.mark.parametrize(
    ("fen", "squares", "answer"),
    [
        ("8/5P2/8/8/8/1k6/8/4K3 w - - 0 1", "f7f8", "f7f8q"),  # nothing mates: a queen
        ("7k/5P2/6K1/8/8/8/8/8 w - - 0 1", "f7f8", "f7f8q"),  # a rook would mate too
        ("8/8/8/8/8/6k1/3p4/7K b - - 0 1", "d2d1", "d2d1q"),
        ("n7/3P1R2/3pk3/8/3K4/8/1r6/8 w - - 0 1", "d7d8", "d7d8n"),  # only a knight mates
        ("8/1R6/8/3k4/8/3PK3/3p1r2/N7 b - - 0 1", "d2d1", "d2d1n"),
    ],
)
def test_promotion_is_a_queen_unless_another_piece_mates(fen, squares, answer):
    board = chess.Board(fen)
    move = next(move for move in board.legal_moves if move.uci().startswith(squares))
    assert Chess().decode(fen, favour(board, move))["answer"] == answer


@pytest.mark.parametrize(
    ("fen", "move"),
    [
        ("r3k2r/8/8/8/8/8/8/R3K2R b KQkq - 0 1", "e8c8"),
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", "e5d6"),
    ],
)
def test_castling_and_en_passant_are_named_like_other_moves(fen, move):
    assert Chess().decode(fen, favour(chess.Board(fen), chess.Move.from_uci(move)))["answer"] == move


def test_scores_tell_the_right_move_from_any_mate():
    positions = load_positions(1, "test")
    few = type(positions)(*(part[:30] for part in positions))
    perfect = 20 * F.one_hot(few.targets, 64).float()
    assert all(part.all() for part in score_moves(few, perfect).values())
    two_mates = make_positions(["6k1/5ppp/8/8/8/8/8/RR2K3 w - - 0 1"], ["a1a8"])
    other = favour(chess.Board(two_mates.fens[0]), chess.Move.from_uci("b1b8"))[None]
    scores = {name: part.tolist() for name, part in score_moves(two_mates, other).items()}
    assert scores == {"squares": [False], "move": [False], "mate": [True]}


def test_solve_says_what_it_found():
    found = solve_one(Recipe(Chess()).build(), BACK_RANK, loops=3).as_dict()
    common = ["input", "answer", "status", "loops", "tries", "residual"]
    assert list(found) == [*common, "san", "probability", "mate", "legal"]
    assert chess.Move.from_uci(found["answer"]) in chess.Board(BACK_RANK).legal_moves
    assert 0 < found["probability"] <= 1 and 0 < found["legal"] < 1 and found["mate"] is (found["answer"] == "a1a8")


# ---- bad input ----

BAD = {
    "": "an empty line",
    "hello": "not a FEN: expected 8 rows",
    "8/8/8/8/8/8/8/8 w - - 0 1": "the board is empty",
    "8/8/8/8/8/8/8/K7 w - - 0 1": "black has no king",
    "k7/8/8/8/8/8/8/8 w - - 0 1": "white has no king",
    "k6K/8/8/8/8/8/8/K7 w - - 0 1": "more than one king",
    "k7/8/8/8/8/8/8/KR6 x - - 0 1": "not a FEN: expected 'w' or 'b'",
    "k7/8/8/8/8/8/8/KR6": "does not say who is to move",
    "k7/8/8/8/8/8/8/R6K w - - 0 1": "the side that is not to move is in check",
    "kP6/8/8/8/8/8/8/7K w - - 0 1": "a pawn stands on the first or last rank",
    "k7/8/8/8/8/8/8/7K w KQ - 0 1": "it grants castling without king and rook at home",
    "k7/8/8/8/8/8/8/7K w - e6 0 1": "no pawn can just have passed its en passant square",
    "k7/8/8/8/8/8/PPPPPPPP/P6K w - - 0 1": "white has more than 8 pawns",
    "8/8/8/8/R2k3R/8/8/K7 b - - 0 1": "no last move can have given this check",
    "R5k1/5ppp/8/8/8/8/8/4K3 b - - 0 1": "no legal move: the side to move is checkmated",
    "k7/2Q5/1K6/8/8/8/8/8 b - - 0 1": "no legal move: the side to move is stalemated",
    "9/8/8/8/8/8/8/8 w - - 0 1": "not a FEN",
    "k7/8/8/8/8/8/8/7K w - - x 1": "not a FEN",
}


@pytest.mark.parametrize("fen", BAD)
def test_a_bad_position_is_named(fen):
    with pytest.raises(ValueError, match=BAD[fen]) as caught:
        Chess().encode(fen)
    assert "\n" not in str(caught.value)


def test_1000_mutated_fens_give_an_error_or_a_right_answer():
    rng, task = random.Random(11), Chess()
    fens = [board.fen() for board in random_boards(200, seed=12)]
    letters = "pnbrqkPNBRQK12345678/wb- KQkqx09é\t²٣"
    good = 0
    for _ in range(1000):
        text = list(rng.choice(fens))
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(text))
            text[place : place + rng.randrange(2)] = rng.choice(letters) * rng.randrange(2)
        text = "".join(text)
        try:
            x = task.encode(text)
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        good += 1
        board = chess.Board(text.strip())
        assert board.is_valid() and any(board.legal_moves)
        assert int(x.sum()) == len(board.piece_map())
        answer = task.decode(text, torch.randn(2, 64, generator=torch.Generator().manual_seed(good)))
        assert chess.Move.from_uci(answer["answer"]) in board.legal_moves
    assert 100 < good < 900  # both kinds were there


def test_the_package_and_the_data_do_not_need_python_chess():
    code = """
import sys
sys.modules["chess"] = None
import torch, looped_lite, looped_lite.tasks.chess as c
x, y = c.Chess(sources=("random",)).batch(4, 1, torch.Generator().manual_seed(0))
try:
    c.Chess().encode("8/8/8/8/8/8/8/8 w - - 0 1")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "looped-lite[chess]"' in done.stdout


# ---- Lichess puzzles ----

HEADER = ["PuzzleId", "FEN", "Moves", "Rating", "RatingDeviation", "Popularity", "NbPlays", "Themes", "GameUrl"]
# made up for this test; the first move of each is the opponent's
ROOKS, ENDING = "5rk1/5ppp/8/8/8/8/8/R3K3 b - - 0 1", "6k1/4rppp/8/8/8/8/5PPP/R5K1 w - - 0 1"
PUZZLES = [
    ["a", ROOKS, "f8d8 a1d1 d8d1 e1d1", "1000", "80", "90", "10", "long", "x"],
    ["b", ENDING.replace(" w", " b"), "e7d7 a1a8 d7d8 a8d8", "1600", "80", "90", "10", "mateIn2 short", "x"],
    ["c", ENDING, "g2g3 e7e1 a1e1", "1601", "80", "90", "10", "short", "x"],
    ["d", ENDING, "a1b1 e7e1 b1e1", "2000", "80", "90", "10", "short", "x"],
    ["e", ENDING, "a1c1 e7e1", "2400", "80", "90", "10", "short", "x"],
]


def write_puzzles(path, rows, header=HEADER):
    opener = {".gz": gzip.open, ".zst": zstandard.open}.get(path.suffix, open)
    with opener(path, "wt", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.mark.parametrize("name", ["puzzles.csv", "puzzles.csv.gz", "puzzles.csv.zst"])
def test_lichess_puzzles_are_split_by_rating(tmp_path, name):
    parts = read_lichess(write_puzzles(tmp_path / name, PUZZLES))
    easy, ratings = parts["easy"]
    assert ratings.tolist() == [1000, 1600] and parts["hard"][1].tolist() == [1601, 2000]  # 2400 is left out
    assert easy.moves == ["a1d1", "a1a8"] and easy.lines == ["d8d1 e1d1", "d7d8 a8d8"]
    assert easy.fens[0].split()[:2] == ["3r2k1/5ppp/8/8/8/8/8/R3K3", "w"]  # after the opponent's move
    assert easy.boards.shape == (2, 64) and parts["hard"][0].targets.shape == (2, 2)
    x, y = Chess().tensors(easy.boards, easy.targets)
    assert x.shape == (2, 64, 12) and torch.equal(y, easy.targets)


def test_lichess_puzzles_of_a_theme_and_a_few_of_them(tmp_path):
    path = write_puzzles(tmp_path / "p.csv", PUZZLES)
    parts = read_lichess(path, theme="mateIn2")
    assert parts["easy"][0].moves == ["a1a8"] and parts["hard"][0].moves == []
    assert sum(len(positions.fens) for positions, _ in read_lichess(path, limit=3).values()) == 3
    with pytest.raises(ValueError, match="no puzzles rated up to 2000 with the theme mateIn5"):
        read_lichess(path, theme="mateIn5")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("FEN", "8/8 w", "line 3: not a FEN"),
        ("FEN", "k7/8/8/8/8/8/8/8 w - - 0 1", "line 3: not a legal position: white has no king"),
        ("Moves", "e7d7", "line 3: Moves is 'e7d7': expected the opponent's move and"),
        ("Moves", "e7d7 a1a9", "line 3: "),
        ("Moves", "e7d7 a1b2", "line 3: illegal uci"),
        ("Rating", "strong", "line 3: could not convert"),
        ("Rating", "nan", "line 3: Rating is not a number"),
    ],
)
def test_a_malformed_row_is_named_by_line(tmp_path, column, value, message):
    row = list(PUZZLES[1])
    row[HEADER.index(column)] = value
    with pytest.raises(ValueError, match=message):
        read_lichess(write_puzzles(tmp_path / "bad.csv", [PUZZLES[0], row]))


def test_a_short_row_a_missing_column_and_a_damaged_file_are_named(tmp_path):
    with pytest.raises(ValueError, match="line 2: "):
        read_lichess(write_puzzles(tmp_path / "short.csv", [["a", ROOKS]]))
    with pytest.raises(ValueError, match="lacks the columns Rating"):
        read_lichess(write_puzzles(tmp_path / "a.csv", [], header=["FEN", "Moves"]))
    with pytest.raises(ValueError, match="no puzzles"):
        read_lichess(write_puzzles(tmp_path / "b.csv", []))
    for name in ("c.csv.zst", "c.csv.gz"):
        (tmp_path / name).write_bytes(b"this is not compressed")
        with pytest.raises(ValueError, match=name):
            read_lichess(tmp_path / name)


# ---- end to end ----


def test_train_save_load_and_solve(tmp_path, capsys):
    task = Chess(sources=("random",))
    model, run = train(Recipe(task, width=16, steps=2, batch=2), progress=False)
    assert run.finished and len(run.history["loss"]) == 2
    path = save_pretrained(model, tmp_path / "tiny.safetensors")
    again = load_pretrained(path)
    assert again.recipe == model.recipe
    assert solve_one(again, BACK_RANK, loops=4) == solve_one(model.eval(), BACK_RANK, loops=4)
    assert main(["solve", "chess", BACK_RANK, "--model", str(path), "--loops", "4", "--json"]) == 0
    out = capsys.readouterr().out
    assert '"answer"' in out and '"probability"' in out and '"mate"' in out
    assert main(["solve", "chess", "8/8/8/8/8/8/8/8 w - - 0 1", "--model", str(path)]) == 2
    assert capsys.readouterr().err == "looped-lite: not a legal position: the board is empty\n"


def test_the_mask_model_comes_back_too(tmp_path):
    model = Recipe(Chess(target="mask", attention="full"), width=32).build().eval()
    again = load_pretrained(save_pretrained(model, tmp_path / "mask.safetensors"))
    found = solve_one(again, BACK_RANK, loops=2)
    assert again.recipe.task.target == "mask" and found == solve_one(model, BACK_RANK, loops=2)
    assert "legal" not in found.extra  # a mask knows no pairs of squares


def test_test_sets_are_positions_of_each_depth_and_source():
    sets = list(Chess().test_sets(20, None, torch.Generator().manual_seed(0)))
    names = {name for name, *_ in sets}
    assert {"mate in 1, random", *(f"mate in {depth}, engine" for depth in (1, 2, 3, 4))} <= names
    assert all(len(x) == len(y) <= 20 for _, x, y, _ in sets)
    with pytest.raises(ValueError, match="mate in 9"):
        list(Chess().test_sets(20, [9], torch.Generator()))


def test_shipped_splits_share_no_position():
    seen = set()
    for depth in (1, 2, 3, 4):
        for split in ("train", "validation", "test"):
            boards = [row.tobytes() for row in load_positions(depth, split).boards.numpy()]
            assert len(set(boards)) == len(boards) and not seen & set(boards)
            seen |= set(boards)


def test_read_fen_takes_what_it_can():
    assert read_fen(f"  {BACK_RANK}\n").piece_at(0) == chess.Piece(chess.ROOK, chess.WHITE)
    assert read_fen("6k1/5ppp/8/8/8/8/8/R3K3 w").turn == chess.WHITE  # counters may be missing
