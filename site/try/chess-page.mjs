import { open, parse, squareName, uci, san } from "./chess.mjs";
import { clears, makeGrid } from "./grid.mjs";
import { begin } from "./page.mjs";
import { COLOURS } from "./draw.mjs";

const GLYPHS = { K: "♔", Q: "♕", R: "♖", B: "♗", N: "♘", P: "♙", k: "♚", q: "♛", r: "♜", b: "♝", n: "♞", p: "♟" };
const NAMES = { k: "king", q: "queen", r: "rook", b: "bishop", n: "knight", p: "pawn" };
const nameOf = (piece) => `${piece < "a" ? "white" : "black"} ${NAMES[piece.toLowerCase()]}`;

const models = () => [
  { name: "chess-averaged", words: "chess-averaged: recall, outer norm; what solve uses" },
  { name: "chess-internal-post-seed0", words: "recall, outer norm; one of three trained alike" },
  { name: "chess-none-post-seed0", words: "no recall, outer norm; one of three trained alike" },
  { name: "chess-internal-peri-seed0", words: "recall, norm inside the branches; one of three trained alike" },
];

// The board as a FEN, with the rest of the one that was there.
function fen(board, rest) {
  const rows = [7, 6, 5, 4, 3, 2, 1, 0].map((rank) =>
    [...Array(8).keys()].map((file) => board[8 * rank + file] || "1").join("").replace(/1+/g, (empty) => empty.length),
  );
  return `${rows.join("/")} ${rest}`;
}

// The position from the side of whoever is to move; blue squares and an arrow for what the model says.
function board(element, edit) {
  let cells = [];
  let squares = [];
  let now = [];
  let rest = "w - - 0 1";
  let arrow = null;
  let table = null;
  let side = "";

  function build(turn) {
    if (side === turn) return;
    side = turn;
    squares = [...Array(64).keys()].map((place) => (turn === "w" ? place ^ 56 : place ^ 7));
    const label = `chess board, ${turn === "w" ? "white" : "black"} to move and at the bottom: arrow keys move, letters such as K or q put a piece, Delete clears`;
    const style = (r, c) => ((r + c) % 2 ? "dark" : "");
    const type = (place, key) => {
      if (!GLYPHS[key] && !clears(key)) return false;
      const next = [...now];
      next[squares[place]] = GLYPHS[key] ? key : "";
      edit(fen(next, rest));
      return true;
    };
    const made = makeGrid(element, { rows: 8, columns: 8, label, kind: "chess", style, type });
    cells = made.cells;
    made.grid.insertAdjacentHTML("beforeend", `<svg viewBox="0 0 8 8" aria-hidden="true"></svg>`);
    arrow = made.grid.lastChild;
    element.insertAdjacentHTML("beforeend", `<table class="moves"><thead><tr><th scope="col">move</th><th scope="col">probability</th></tr></thead><tbody></tbody></table>`);
    table = element.querySelector("tbody");
  }

  function place(position, wrong = []) {
    build(position.turn);
    now = position.board;
    cells.forEach((cell, i) => {
      const piece = now[squares[i]];
      cell.textContent = piece ? `${GLYPHS[piece]}\ufe0e` : "";
      cell.dataset.kind = wrong.includes(squares[i]) ? "clash" : "";
      cell.style.setProperty("--heat", 0);
      cell.setAttribute("aria-label", `${squareName(squares[i])}: ${piece ? nameOf(piece) : "empty"}`);
    });
    arrow.innerHTML = "";
    table.replaceChildren();
  }

  return {
    draft(found, wrong) {
      if (!found) {
        element.replaceChildren();
        side = "";
        return;
      }
      rest = found.rest;
      place(found.position, wrong);
    },
    draw(problem, seen, look) {
      rest = problem.text.split(" ").slice(1).join(" ");
      place(problem.position);
      element.querySelector("table").hidden = !look;
      if (!look) return;
      cells.forEach((cell, i) => {
        const square = squares[i] ^ look.turn;
        cell.style.setProperty("--heat", Math.max(look.from[square], look.to[square]).toFixed(2));
      });
      const [best] = look.listed;
      const at = (square) => [squares.indexOf(square) % 8, Math.floor(squares.indexOf(square) / 8)].map((v) => v + 0.5);
      const [a, b] = [at(best.move.from), at(best.move.to)];
      const length = Math.hypot(b[0] - a[0], b[1] - a[1]);
      const [ux, uy] = [(b[0] - a[0]) / length, (b[1] - a[1]) / length];
      const tip = [b[0] - 0.15 * ux, b[1] - 0.15 * uy];
      const wing = (s) => `${tip[0] - 0.35 * ux - s * 0.22 * uy},${tip[1] - 0.35 * uy + s * 0.22 * ux}`;
      arrow.innerHTML =
        `<g opacity="${(0.25 + 0.6 * best.share).toFixed(2)}" fill="${COLOURS[1]}" stroke="${COLOURS[1]}"><line x1="${a[0]}" y1="${a[1]}" x2="${tip[0] - 0.3 * ux}" y2="${tip[1] - 0.3 * uy}" stroke-width="0.14"/>` +
        `<polygon points="${tip.join(",")} ${wing(1)} ${wing(-1)}" stroke="none"/></g>`;
      table.replaceChildren(
        ...look.listed.slice(0, 5).map(({ move, share }) => {
          const row = document.createElement("tr");
          row.innerHTML = `<td></td><td>${share.toFixed(3)}</td>`;
          row.firstChild.textContent = `${san(problem.position, move)} (${uci(move)})`;
          return row;
        }),
      );
    },
  };
}

function draft(text) {
  try {
    const position = parse(text);
    return { position, rest: text.trim().split(/\s+/u).slice(1).join(" ") || "w" };
  } catch {
    return null;
  }
}

begin(async () => {
  const { groups } = await (await fetch("chess/examples.json")).json();
  return { name: "chess", examples: groups, open, draft, models, board };
});
