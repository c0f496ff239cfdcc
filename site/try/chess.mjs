// Chess: positions (FEN), legal moves and their names, and the board as the model sees it. The same as looped_lite/tasks/chess.py and python-chess.

import { plainText, Refused, short } from "./text.mjs";

const PIECES = "PNBRQKpnbrqk"; // one plane each; on the model's board capitals belong to the side to move
const STRAIGHT = [[1, 0], [-1, 0], [0, 1], [0, -1]]; // prettier-ignore
const SLANTED = [[1, 1], [1, -1], [-1, 1], [-1, -1]]; // prettier-ignore
const JUMPS = [[1, 2], [2, 1], [2, -1], [1, -2], [-1, -2], [-2, -1], [-2, 1], [-1, 2]]; // prettier-ignore
const RAYS = { b: SLANTED, r: STRAIGHT, q: [...STRAIGHT, ...SLANTED] };

export const squareName = (square) => "abcdefgh"[square & 7] + ((square >> 3) + 1);
const squareOf = (name) => name.charCodeAt(0) - 97 + 8 * (Number(name[1]) - 1);
const isWhite = (piece) => piece !== "" && piece < "a";
const colour = (piece) => (piece === "" ? null : isWhite(piece) ? "w" : "b");
const other = (side) => (side === "w" ? "b" : "w");

// ---- from text

const bad = (words, cells = []) => {
  throw new Refused(words, cells);
};

// The board of a FEN as it is written, not yet judged.
export function parse(text) {
  const words = plainText(text).trim().split(/\s+/u);
  if (!words[0]) bad("an empty line is no chess position: expected a FEN");
  const rows = words[0].split("/");
  if (words.length === 1 && rows.length === 8) bad(`not a FEN: ${short(words[0])} does not say who is to move: expected w or b after the board`);
  if (rows.length !== 8) bad(`not a FEN: ${rows.length} row${rows.length === 1 ? "" : "s"} in the board, expected 8 with / between them`);
  const board = Array(64).fill("");
  rows.forEach((row, i) => {
    let file = 0;
    let digit = false;
    for (const one of row) {
      if (one >= "1" && one <= "8" && one.length === 1) {
        if (digit) bad(`not a FEN: two digits in a row, on rank ${8 - i}`);
        file += Number(one);
        digit = true;
        continue;
      }
      if (one === "~") {
        if (!file || digit) bad(`not a FEN: ~ without a piece before it, on rank ${8 - i}`);
        continue;
      }
      if (!PIECES.includes(one)) bad(`not a FEN: ${short(one)} on rank ${8 - i} is no piece`);
      if (file < 8) board[8 * (7 - i) + file] = one;
      file += 1;
      digit = false;
    }
    if (file !== 8) bad(`not a FEN: rank ${8 - i} has ${file} squares, expected 8`);
  });
  const [, turn = "w", castling = "-", passing = "-", half = "0", full = "1", ...more] = words;
  if (turn !== "w" && turn !== "b") bad(`not a FEN: ${short(turn)} is to move: expected w or b`);
  if (!/^(-|[KQABCDEFGH]{0,2}[kqabcdefgh]{0,2})$/.test(castling)) bad(`not a FEN: ${short(castling)} says nothing of castling: expected some of KQkq, or -`);
  if (!/^(-|[a-h][1-8])$/.test(passing)) bad(`not a FEN: ${short(passing)} is no en passant square: expected one such as e3, or -`);
  if (!/^\d{1,6}$/.test(half)) bad(`not a FEN: ${short(half)} is no half-move clock: expected a number`);
  if (!/^\d{1,6}$/.test(full)) bad(`not a FEN: ${short(full)} is no number of a move`);
  if (more.length) bad(`not a FEN: more than six parts`);
  return { board, turn, castling: rookSquares(castling, board), passing: passing === "-" ? null : squareOf(passing) };
}

// The squares of the rooks that may castle.
function rookSquares(castling, board) {
  if (castling === "-") return [];
  return [...castling].map((one) => {
    const [back, rook, king] = isWhite(one) ? [0, "R", "K"] : [56, "r", "k"];
    const kind = one.toLowerCase();
    if (kind !== "k" && kind !== "q") return back + kind.charCodeAt(0) - 97;
    const rooks = [0, 1, 2, 3, 4, 5, 6, 7].map((file) => back + file).filter((square) => board[square] === rook);
    const home = board.lastIndexOf(king);
    if (kind === "q") return rooks.length && home >= 0 && rooks[0] < home ? rooks[0] : back;
    return rooks.length && home >= 0 && home < rooks.at(-1) ? rooks.at(-1) : back + 7;
  });
}

// ---- the rules

const step = (square, [right, up]) => {
  const [file, rank] = [(square & 7) + right, (square >> 3) + up];
  return file >= 0 && file < 8 && rank >= 0 && rank < 8 ? 8 * rank + file : -1;
};

// The squares from which pieces of `side` attack a square.
export function attackers(board, square, side) {
  const found = [];
  const own = (letter) => (side === "w" ? letter.toUpperCase() : letter);
  for (const jump of JUMPS) if (board[step(square, jump)] === own("n")) found.push(step(square, jump));
  for (const ray of RAYS.q) {
    if (board[step(square, ray)] === own("k")) found.push(step(square, ray));
    const kinds = [own("q"), own(ray[0] && ray[1] ? "b" : "r")];
    for (let at = step(square, ray); at >= 0; at = step(at, ray)) {
      if (board[at] === "") continue;
      if (kinds.includes(board[at])) found.push(at);
      break;
    }
  }
  for (const right of [-1, 1]) {
    const from = step(square, [right, side === "w" ? -1 : 1]);
    if (board[from] === own("p")) found.push(from);
  }
  return found;
}

const kingOf = (board, side) => board.lastIndexOf(side === "w" ? "K" : "k");
const inCheck = (board, side) => kingOf(board, side) >= 0 && attackers(board, kingOf(board, side), other(side)).length > 0;

// Every move but those that leave the own king in check: {from, to, promotion, passing, castles}.
function* pseudoLegal({ board, turn, castling, passing }) {
  const up = turn === "w" ? 1 : -1;
  for (let from = 0; from < 64; from++) {
    if (colour(board[from]) !== turn) continue;
    const kind = board[from].toLowerCase();
    if (kind === "p") {
      const last = (to) => to >> 3 === (turn === "w" ? 7 : 0);
      const arrive = (to, more = {}) => (last(to) ? ["q", "r", "b", "n"].map((promotion) => ({ from, to, promotion })) : [{ from, to, ...more }]);
      const ahead = step(from, [0, up]);
      if (ahead >= 0 && board[ahead] === "") {
        yield* arrive(ahead);
        if (from >> 3 === (turn === "w" ? 1 : 6) && board[step(ahead, [0, up])] === "") yield { from, to: step(ahead, [0, up]) };
      }
      for (const right of [-1, 1]) {
        const to = step(from, [right, up]);
        if (to >= 0 && colour(board[to]) === other(turn)) yield* arrive(to);
        else if (to >= 0 && to === passing) yield { from, to, passing: true };
      }
    } else if (kind === "n" || kind === "k") {
      for (const way of kind === "n" ? JUMPS : RAYS.q) {
        const to = step(from, way);
        if (to >= 0 && colour(board[to]) !== turn) yield { from, to };
      }
    } else {
      for (const ray of RAYS[kind]) {
        for (let to = step(from, ray); to >= 0; to = step(to, ray)) {
          if (colour(board[to]) !== turn) yield { from, to };
          if (board[to] !== "") break;
        }
      }
    }
  }
  const back = turn === "w" ? 0 : 56;
  for (const rook of castling.filter((square) => square >> 3 === back >> 3)) {
    const [king, to] = [back + 4, rook > back + 4 ? back + 6 : back + 2];
    const between = rook > king ? [5, 6] : [1, 2, 3];
    const safe = [king, (king + to) / 2, to].every((square) => !attackers(board, square, other(turn)).length);
    if (between.every((file) => board[back + file] === "") && safe) yield { from: king, to, castles: rook };
  }
}

// The position after a move.
export function play({ board, turn, castling }, { from, to, promotion, passing, castles }) {
  const after = [...board];
  after[to] = promotion ? (turn === "w" ? promotion.toUpperCase() : promotion) : board[from];
  after[from] = "";
  if (passing) after[to + (turn === "w" ? -8 : 8)] = "";
  if (castles !== undefined) {
    after[(from + to) / 2] = board[castles];
    after[castles] = "";
  }
  const back = turn === "w" ? 0 : 7;
  const kept = castling.filter((rook) => rook !== to && rook !== from && !(board[from].toLowerCase() === "k" && rook >> 3 === back));
  const doubled = board[from].toLowerCase() === "p" && Math.abs(to - from) === 16;
  return { board: after, turn: other(turn), castling: kept, passing: doubled ? (from + to) / 2 : null };
}

export function legalMoves(position) {
  return [...pseudoLegal(position)].filter((move) => !inCheck(play(position, move).board, position.turn));
}

export const uci = ({ from, to, promotion = "" }) => squareName(from) + squareName(to) + promotion;

export function mates(position, move) {
  const after = play(position, move);
  return inCheck(after.board, after.turn) && !legalMoves(after).length;
}

// A move as players write it.
export function san(position, move, legal = legalMoves(position)) {
  const piece = position.board[move.from];
  const kind = piece.toUpperCase();
  const takes = position.board[move.to] !== "" || move.passing;
  let name;
  if (move.castles !== undefined) name = move.to > move.from ? "O-O" : "O-O-O";
  else if (kind === "P") {
    name = (takes ? `${squareName(move.from)[0]}x` : "") + squareName(move.to) + (move.promotion ? `=${move.promotion.toUpperCase()}` : "");
  } else {
    const rivals = legal.filter((one) => one.to === move.to && one.from !== move.from && position.board[one.from] === piece && one.castles === undefined);
    let which = "";
    if (rivals.length) {
      const file = rivals.some((one) => (one.from & 7) === (move.from & 7));
      const rank = rivals.some((one) => one.from >> 3 === move.from >> 3);
      if (rank || !file) which += squareName(move.from)[0];
      if (file) which += squareName(move.from)[1];
    }
    name = kind + which + (takes ? "x" : "") + squareName(move.to);
  }
  const after = play(position, move);
  if (!inCheck(after.board, after.turn)) return name;
  return name + (legalMoves(after).length ? "+" : "#");
}

// Why a position cannot be, in words with the squares that show it: [] if it can.
export function faults({ board, turn, castling, passing }) {
  const where = (test) => board.flatMap((piece, square) => (piece && test(piece, square) ? [square] : []));
  const found = [];
  const say = (words, cells = []) => found.push([words, cells]);
  if (board.every((piece) => piece === "")) return [["the board is empty", []]];
  if (!board.includes("K")) say("white has no king");
  if (!board.includes("k")) say("black has no king");
  if (where((piece) => "Kk".includes(piece)).length > 2) say("a side has more than one king", where((piece) => "Kk".includes(piece)));
  for (const [side, name] of [["w", "white"], ["b", "black"]]) {
    const pawns = where((piece) => piece === (side === "w" ? "P" : "p"));
    if (pawns.length > 8) say(`${name} has more than 8 pawns`, pawns);
  }
  const stuck = where((piece, square) => "Pp".includes(piece) && (square < 8 || square > 55));
  if (stuck.length) say("a pawn stands on the first or last rank", stuck);
  for (const [side, name] of [["w", "white"], ["b", "black"]]) {
    const pieces = where((piece) => colour(piece) === side);
    if (pieces.length > 16) say(`${name} has more than 16 pieces`, pieces);
  }
  const home = (rook) => (rook === 0 || rook === 7 ? board[rook] === "R" && board[4] === "K" : (rook === 56 || rook === 63) && board[rook] === "r" && board[60] === "k");
  if (!castling.every(home)) say("it grants castling without king and rook at home", castling.filter((rook) => !home(rook)));
  const [ahead, behind] = turn === "w" ? [8, -8] : [-8, 8];
  const passed = passing !== null && passing >> 3 === (turn === "w" ? 5 : 2) && board[passing + behind] === (turn === "w" ? "p" : "P") && board[passing] === "" && board[passing + ahead] === "";
  if (passing !== null && !passed) say("no pawn can just have passed its en passant square", [passing]);
  if (inCheck(board, other(turn))) say("the side that is not to move is in check", [kingOf(board, other(turn)), ...attackers(board, kingOf(board, other(turn)), turn)]);
  const king = kingOf(board, turn);
  const checks = king < 0 ? [] : attackers(board, king, other(turn));
  if (checks.length > 2) say("more than two pieces give check", checks);
  if (checks.length && impossible(board, turn, king, checks, passed ? passing : null)) say("no last move can have given this check", checks);
  return found;
}

// Two pieces that look at the king along one line, or a check that the pawn's double step did not give.
function impossible(board, turn, king, checks, passing) {
  if (passing !== null) {
    const [from, to] = turn === "w" ? [passing + 8, passing - 8] : [passing - 8, passing + 8];
    const before = [...board];
    before[from] = before[to];
    before[to] = "";
    return checks.length > 1 || (checks[0] !== to && attackers(before, king, other(turn)).length > 0);
  }
  if (checks.length !== 2) return checks.length > 2;
  const [a, b] = checks.map((square) => [(square & 7) - (king & 7), (square >> 3) - (king >> 3)]);
  const along = ([right, up]) => right === 0 || up === 0 || Math.abs(right) === Math.abs(up);
  return a[0] * b[1] === a[1] * b[0] && along(a) && along(b);
}

// ---- as the model sees it

// A square s of the board is s ^ turned on the model's: the side to move plays up the board, with its king on files e to h.
export function turned({ board, turn }) {
  return (turn === "b" ? 56 : 0) ^ ((kingOf(board, turn) & 7) < 4 ? 7 : 0);
}

export function planes(position) {
  const x = new Float32Array(64 * 12);
  const turn = turned(position);
  position.board.forEach((piece, square) => {
    if (!piece) return;
    const plane = PIECES.indexOf(piece);
    x[12 * (square ^ turn) + (position.turn === "b" ? (plane + 6) % 12 : plane)] = 1;
  });
  return x;
}

const logSoftmax = (scores) => {
  const most = Math.max(...scores);
  const sum = Math.log(scores.reduce((total, score) => total + Math.exp(score - most), 0)) + most;
  return scores.map((score) => score - sum);
};

// Legal moves with their probabilities, likeliest first, and how much probability legal moves had before they were brought to 1.
export function rank(position, moves, logits) {
  const turn = turned(position);
  const [from, to] = [0, 64].map((first) => logSoftmax(Array.from(logits.slice(first, first + 64))));
  const scores = moves.map((move) => Math.exp(from[move.from ^ turn] + to[move.to ^ turn]));
  const legal = scores.reduce((sum, score) => sum + score, 0);
  const listed = moves.map((move, i) => ({ move, share: scores[i] / legal }));
  return { listed: listed.sort((a, b) => b.share - a.share), legal, from: from.map(Math.exp), to: to.map(Math.exp), turn };
}

// One move for each pair of squares: of promotions the one that mates, the queen first; if none does, the queen.
function bySquares(position, legal) {
  const found = new Map();
  const promotions = "qrbn";
  for (const move of [...legal].sort((a, b) => promotions.indexOf(a.promotion ?? "q") - promotions.indexOf(b.promotion ?? "q"))) {
    const key = 64 * move.from + move.to;
    const known = found.get(key);
    if (!known || (!mates(position, known) && mates(position, move))) found.set(key, move);
  }
  return [...found.values()];
}

export function open(text) {
  const position = parse(text);
  const wrong = faults(position);
  if (wrong.length) throw new Refused(`not a legal position: ${wrong.map(([words]) => words).join("; ")}`, wrong.flatMap(([, cells]) => cells));
  const legal = legalMoves(position);
  if (!legal.length) {
    const king = kingOf(position.board, position.turn);
    throw new Refused(`no legal move: the side to move is ${inCheck(position.board, position.turn) ? "checkmated" : "stalemated"}`, [king]);
  }
  const moves = bySquares(position, legal);
  return {
    text: plainText(text).trim().split(/\s+/u).join(" "),
    position,
    x: planes(position),
    budget: 128,
    certify: null,
    again: null,
    read: (logits) => ({ logits: Float32Array.from(logits) }),
    look(seen) {
      const ranked = rank(position, moves, seen.logits);
      const [best] = ranked.listed;
      const mate = mates(position, best.move);
      const name = san(position, best.move, legal);
      const facts = [name, mate ? "mates at once" : "does not mate at once", `probability ${best.share.toFixed(2)}`];
      facts.push(`${ranked.legal.toFixed(2)} of all probability on legal moves`);
      if (best.move.promotion) facts.push("the model names two squares; the piece was chosen by trying");
      return { answer: uci(best.move), words: `${name}, probability ${best.share.toFixed(2)}`, facts, mate, ...ranked };
    },
  };
}
