// For tests/test_pages.py: calls functions of the pages' modules. Standard input: [[module, function, ...arguments], ...]; output: results as JSON,
// {error, cells} for what is refused.

import { readFileSync } from "node:fs";
import * as chess from "../site/try/chess.mjs";
import { uniform } from "../site/try/noise.mjs";
import { guess, image, open } from "../site/try/sudoku.mjs";

// what the tests ask in one call
const more = {
  backOf: (grid, symmetry, side, logits) => image(grid, symmetry, side).back(logits),
  guessOf: (grid, box, logits, seed) => guess(grid, box, logits, uniform(seed)),
  againOf(text, tries, number, logits, after, guesses) {
    const { x, back } = open(text, tries).again(number, logits, guesses);
    return { x, logits: back(after) };
  },
  movesOf(fen) {
    const { position } = chess.open(fen);
    return chess.legalMoves(position).map((move) => [chess.uci(move), chess.san(position, move)]);
  },
  rankOf(fen, logits) {
    const { listed, legal } = chess.open(fen).look({ logits });
    return { listed: listed.map(({ move, share }) => [chess.uci(move), share]), legal };
  },
};

const results = [];
for (const [module, name, ...args] of JSON.parse(readFileSync(0, "utf8"))) {
  const found = await import(`../site/try/${module}.mjs`);
  try {
    results.push(await (more[name] ?? found[name])(...args));
  } catch (error) {
    if (error.constructor.name !== "Refused") throw error;
    results.push({ error: error.message, cells: error.cells });
  }
}
const plain = (_, value) => (ArrayBuffer.isView(value) ? [...value] : value);
console.log(JSON.stringify(results, plain));
