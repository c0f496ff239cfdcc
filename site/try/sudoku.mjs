// Sudoku: text to cells and back, the rules, and whether a puzzle has one solution. The same as looped_lite/tasks/sudoku*.py.

import { uniform } from "./noise.mjs";
import { likeliest, lines, plainText, Refused, short } from "./text.mjs";

const BORDERS = /[\s|+=:',[\]\u2500-\u257f]+/g;
const EMPTY = ".0-_*";
const MOST_GUESSES = 20000;
const SURE = 30; // the logit of a digit that is assumed
const BOXES = [
  [2, 2],
  [2, 3],
  [3, 3],
];

export const sideOf = (box) => box[0] * box[1];

// The rows of a grid as people write it, without spaces, borders and rulers.
export function layOut(text, side) {
  const raw = lines(plainText(text).replace(/[\u2010-\u2015\u2212]/g, "-"));
  const rows = raw.map((line) => [...line.replace(BORDERS, "")]);
  const blank = rows.map((row) => row.every((one) => "-_*.".includes(one)) && !(row.length && row.every((one) => one === ".")));
  const held = rows.reduce((sum, row, i) => sum + (blank[i] ? 0 : row.length), 0);
  const fits = (row, line) => held < side * side && (row.length === side || row.length === side * side) && !line.includes("+");
  return rows.filter((row, i) => row.length && (!blank[i] || fits(row, raw[i])));
}

const cellsIn = (rows) => rows.reduce((sum, row) => sum + row.length, 0);

// The shape of a box, from the number of cells.
export function boxOf(text) {
  const box = BOXES.find((one) => cellsIn(layOut(text, sideOf(one))) === sideOf(one) ** 2);
  if (box) return box;
  const count = cellsIn(layOut(text, 9));
  throw new Refused(`a puzzle of ${count} characters: expected 36 (6x6) or 81 (9x9), dots or zeros for empty cells`);
}

// A grid, 0 for an empty cell. Refused, in words, for anything else.
export function parse(text, box) {
  const side = sideOf(box);
  const rows = layOut(text, side);
  const characters = rows.flat();
  if (characters.length !== side * side) {
    const odd = rows.length > 1 ? rows.findIndex((row) => row.length !== side) : -1;
    const more = odd < 0 ? "" : `: row ${odd + 1} has ${rows[odd].length}`;
    throw new Refused(`a ${side}x${side} sudoku has ${side * side} characters, this one has ${characters.length}${more}`);
  }
  return characters.map((one, cell) => {
    const digit = EMPTY.includes(one) ? 0 : "123456789".includes(one) ? Number(one) : 10;
    const where = `row ${Math.floor(cell / side) + 1}, column ${(cell % side) + 1}`;
    if (digit === 10) throw new Refused(`${where}: ${short(one)} is neither a digit nor '.' or '0' for an empty cell`, [cell]);
    if (digit > side) throw new Refused(`${where}: ${digit} is too large for a ${side}x${side} sudoku (digits 1 to ${side})`, [cell]);
    return digit;
  });
}

export const show = (grid) => grid.map((digit) => digit || ".").join("");

// (name, cells) of every row, column and box.
export function units(box) {
  const side = sideOf(box);
  const every = [...Array(side).keys()];
  const inBox = (b) => {
    const top = Math.floor(b / box[0]) * box[0];
    const left = (b % box[0]) * box[1];
    return every.map((k) => (top + Math.floor(k / box[1])) * side + left + (k % box[1]));
  };
  return [
    ...every.map((r) => [`row ${r + 1}`, every.map((k) => r * side + k)]),
    ...every.map((c) => [`column ${c + 1}`, every.map((k) => k * side + c)]),
    ...every.map((b) => [`box ${b + 1}`, inBox(b)]),
  ];
}

// Every broken rule as [unit, digit, the cells that hold it].
export function clashes(grid, box) {
  const found = [];
  for (const [name, cells] of units(box)) {
    for (let digit = 1; digit <= sideOf(box); digit++) {
      const holders = cells.filter((cell) => grid[cell] === digit);
      if (holders.length > 1) found.push([name, digit, holders]);
    }
  }
  return found;
}

export function clashMessage([name, digit, cells], side) {
  const row = (cell) => Math.floor(cell / side) + 1;
  const column = (cell) => (cell % side) + 1;
  const places = cells.map((cell) =>
    name.startsWith("row") ? column(cell) : name.startsWith("column") ? row(cell) : `row ${row(cell)} column ${column(cell)}`,
  );
  const kind = name.startsWith("row") ? "columns " : name.startsWith("column") ? "rows " : "";
  const count = { 2: "two", 3: "three", 4: "four" }[cells.length] ?? cells.length;
  return `${name} has ${count} ${digit}s: ${kind}${places.slice(0, -1).join(", ")} and ${places.at(-1)}`;
}

export function solves(grid, givens, box) {
  const side = sideOf(box);
  return (
    givens.every((given, cell) => !given || given === grid[cell]) &&
    units(box).every(([, cells]) => new Set(cells.map((cell) => grid[cell]).filter((digit) => digit >= 1 && digit <= side)).size === side)
  );
}

// How many solutions there are, up to `limit`, by search. Refused if that takes more than 20,000 guesses.
export function countSolutions(grid, box, limit = 2) {
  const side = sideOf(box);
  const groups = units(box).map(([, cells]) => cells);
  const unitsOf = grid.map((_, cell) => groups.map((cells, u) => (cells.includes(cell) ? u : -1)).filter((u) => u >= 0));
  let guesses = 0;
  let found = 0;

  // places a digit and forgets it elsewhere; false if a cell is left without any
  const place = (options, cell, bit) => {
    options[cell] = bit;
    for (const u of unitsOf[cell]) {
      for (const other of groups[u]) {
        if (other === cell || !(options[other] & bit)) continue;
        options[other] &= ~bit;
        const left = options[other];
        if (!left || ((left & (left - 1)) === 0 && !place(options, other, left))) return false;
      }
    }
    return true;
  };
  // digits that have one place left in a row, column or box
  const hidden = (options) => {
    for (let again = true; again; ) {
      again = false;
      for (const cells of groups) {
        for (let digit = 0; digit < side; digit++) {
          const bit = 1 << digit;
          const holders = cells.filter((cell) => options[cell] & bit);
          if (!holders.length) return false;
          if (holders.length === 1 && options[holders[0]] !== bit) {
            if (!place(options, holders[0], bit)) return false;
            again = true;
          }
        }
      }
    }
    return true;
  };
  const size = (options) => options.toString(2).replaceAll("0", "").length;
  const search = (options) => {
    if (!hidden(options)) return;
    let best = -1;
    for (let cell = 0; cell < options.length; cell++) {
      if ((options[cell] & (options[cell] - 1)) !== 0 && (best < 0 || size(options[cell]) < size(options[best]))) best = cell;
    }
    if (best < 0) {
      found += 1;
      return;
    }
    if (++guesses > MOST_GUESSES) {
      throw new Refused(`gave up after 20,000 guesses: a puzzle with exactly one solution takes far fewer`);
    }
    for (let digit = 0; digit < side && found < limit; digit++) {
      if (!(options[best] & (1 << digit))) continue;
      const next = [...options];
      if (place(next, best, 1 << digit)) search(next);
    }
  };
  const options = grid.map(() => (1 << side) - 1);
  if (grid.every((digit, cell) => !digit || (options[cell] & (1 << (digit - 1)) && place(options, cell, 1 << (digit - 1))))) search(options);
  return found;
}

export function oneHot(grid, side) {
  const x = new Float32Array(grid.length * (side + 1));
  grid.forEach((digit, cell) => (x[cell * (side + 1) + digit] = 1));
  return x;
}

// A grid under a symmetry, and what brings logits for the image back: cells[i] is where cell i takes its digit from, digits its new name.
export function image(grid, [cells, digits], side) {
  const moved = cells.map((from) => digits[grid[from]]);
  const where = new Array(cells.length);
  cells.forEach((from, cell) => (where[from] = cell));
  const back = (logits) => {
    const made = new Float32Array(logits.length);
    for (let cell = 0; cell < where.length; cell++) {
      for (let d = 0; d < side; d++) made[cell * side + d] = logits[where[cell] * side + digits[d + 1] - 1];
    }
    return made;
  };
  return { x: oneHot(moved, side), back };
}

// The digit that a further try assumes, and where, after logits that broke a rule: as `guess` in looped_lite/tasks/sudoku.py. `draws` gives numbers
// from 0 to 1: the first chooses an empty cell by how unsure the logits are there, the second one of the digits that no given forbids.
export function guess(grid, box, logits, draws) {
  const side = sideOf(box);
  const all = units(box);
  const chances = grid.map((_, cell) => {
    const row = Array.from(logits.slice(cell * side, (cell + 1) * side), (value) => (Number.isFinite(value) ? value : 0));
    const most = Math.max(...row);
    const powers = row.map((value) => Math.exp(value - most));
    const total = powers.reduce((sum, value) => sum + value, 0);
    const seen = new Set(
      all
        .filter(([, cells]) => cells.includes(cell))
        .flatMap(([, cells]) => cells.map((other) => grid[other])),
    );
    const allowed = powers.map((value, digit) => (seen.has(digit + 1) ? 0 : value / total + 1e-9));
    const sum = allowed.reduce((a, b) => a + b, 0);
    return allowed.map((value) => value / Math.max(sum, 1e-30));
  });
  const unsure = chances.map((row, cell) => {
    const [first, second] = [...row].sort((a, b) => b - a);
    return grid[cell] ? 0 : Math.max(1 - first + second, 1e-3);
  });
  const cell = drawn(unsure, draws());
  return { cell, digit: drawn(chances[cell], draws()) + 1 };
}

function drawn(weights, draw) {
  let sum = 0;
  const sums = weights.map((weight) => (sum += weight));
  return Math.min(sums.filter((value) => value <= draw * sum).length, weights.length - 1);
}

// A puzzle that a model can run on. `tries`: for boxes of this shape, the symmetry of each further try, as PyTorch and numpy draw them.
export function open(text, tries = {}) {
  const box = boxOf(text);
  const side = sideOf(box);
  if (side === 4) throw new Refused("4x4 sudokus have no model: expected 36 characters (6x6) or 81 (9x9)");
  const grid = parse(text, box);
  const broken = clashes(grid, box);
  if (broken.length) {
    const words = broken.slice(0, 3).map((clash) => clashMessage(clash, side));
    if (broken.length > 3) words.push(`and ${broken.length - 3} more`);
    throw new Refused(words.join("; "), [...new Set(broken.flatMap(([, , cells]) => cells))]);
  }
  const solutions = countSolutions(grid, box);
  if (!solutions) throw new Refused("this puzzle has no solution, though no two givens clash");
  if (solutions > 1) throw new Refused("this puzzle has several solutions: expected exactly one");
  const symmetries = tries[`${side}x${side}`] ?? [];
  const fill = ({ classes }) => grid.map((given, cell) => given || classes[cell] + 1);
  const read = (logits) => likeliest(logits, side * side, side);
  return {
    text: show(grid),
    box,
    grid,
    x: oneHot(grid, side),
    budget: 1024,
    again(number, logits, guesses) {
      const symmetry = symmetries[(number - 1) % symmetries.length];
      if (!guesses) return { ...image(grid, symmetry, side), drawn: 2 };
      const { cell, digit } = guess(grid, box, logits, uniform(number));
      const moved = image(
        grid.map((given, i) => (i === cell ? digit : given)),
        symmetry,
        side,
      );
      const back = (seen) => moved.back(seen).map((value, i) => (Math.floor(i / side) === cell ? (i % side === digit - 1 ? SURE : 0) : value));
      const assumed = `, with a guess: ${digit} in row ${Math.floor(cell / side) + 1}, column ${(cell % side) + 1}`;
      return { x: moved.x, back, drawn: 2, assumed };
    },
    certify: (logits) => solves(fill(read(logits)), grid, box),
    read,
    fill,
    // what can be said of the answer so far, by the rules alone
    look(seen) {
      const filled = fill(seen);
      const wrong = new Set(clashes(filled, box).flatMap(([, , cells]) => cells).filter((cell) => !grid[cell]));
      const empty = grid.filter((given) => !given).length;
      const solved = solves(filled, grid, box);
      const words = solved ? "solved" : `not solved, ${wrong.size} of ${empty} filled cells break a rule`;
      return { answer: show(filled), wrong, solved, words };
    },
  };
}
