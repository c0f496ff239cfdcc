// Text as people paste it, and the few words that all tasks share. The same as looped_lite/checks.py.

// Invisible characters out, spaces of any kind plain, full-width characters narrow. Lines stay lines.
export function plainText(text) {
  return text
    .replace(/[\p{Cf}\ufe0e\ufe0f\u20e3]/gu, "")
    .replace(/\p{Zs}/gu, " ")
    .replace(/[\uff01-\uff60\uffe0-\uffe6]/g, (wide) => wide.normalize("NFKC"));
}

export const lines = (text) => text.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/);

// As Python would write it, cut to less than a line.
export function short(value, most = 60) {
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
  const body = [...value]
    .map((one) => (one === "\\" || one === quote ? `\\${one}` : one === "\n" ? "\\n" : one === "\t" ? "\\t" : one))
    .join("");
  const whole = [...`${quote}${body}${quote}`];
  return whole.length <= most ? whole.join("") : `${whole.slice(0, most - 3).join("")}...`;
}

// A length in words: three digits, and no exponent as long as that can be read.
export const plain = (value) => (value < 1e7 && value > 1e-3 ? Number(value.toPrecision(3)).toLocaleString("en") : value.toExponential(1));

// What is wrong with an input, and which cells of the board show it.
export class Refused extends Error {
  constructor(message, cells = []) {
    super(message);
    this.cells = cells;
  }
}

// The likeliest class of each cell and how sure the model is of it: logits (cells * classes), row by row.
export function likeliest(logits, cells, classes) {
  const found = new Uint8Array(cells);
  const sure = new Float32Array(cells);
  for (let cell = 0; cell < cells; cell++) {
    let best = 0;
    for (let k = 1; k < classes; k++) if (logits[cell * classes + k] > logits[cell * classes + best]) best = k;
    let sum = 0;
    for (let k = 0; k < classes; k++) sum += Math.exp(logits[cell * classes + k] - logits[cell * classes + best]);
    found[cell] = best;
    sure[cell] = 1 / sum;
  }
  return { classes: found, sure };
}
