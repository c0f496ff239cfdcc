// Prefix sums: bit i of the answer is the parity of bits 1..i. The same as looped_lite/tasks/prefix_sums.py.

import { likeliest, plainText, Refused, short } from "./text.mjs";

export const MOST = 1024; // bits that a page can draw

export function readBits(text) {
  let bits = [...plainText(text).replace(/\s+/gu, "").replaceAll("_", "")];
  if (/^0b/i.test(bits.slice(0, 2).join(""))) bits = bits.slice(2);
  if (!bits.length) throw new Refused("an empty string has no prefix sums: expected bits such as 0110");
  const wrong = bits.findIndex((one) => one !== "0" && one !== "1");
  if (wrong >= 0) throw new Refused(`character ${wrong + 1} of ${short(bits.join(""))} is ${short(bits[wrong])}: expected only 0 and 1`);
  return bits.map(Number);
}

export function prefixSums(bits) {
  let sum = 0;
  return bits.map((bit) => (sum ^= bit));
}

// Inputs over {0, 1, BOS}, the BOS cell first: (1 + bits) * 3 numbers.
export function oneHot(bits) {
  const x = new Float32Array((bits.length + 1) * 3);
  [2, ...bits].forEach((kind, cell) => (x[3 * cell + kind] = 1));
  return x;
}

export function open(text) {
  const bits = readBits(text);
  if (bits.length > MOST) {
    throw new Refused(`${bits.length.toLocaleString("en")} bits are too many to draw here: expected at most ${MOST.toLocaleString("en")}; looped-lite solve takes more`);
  }
  const right = prefixSums(bits);
  return {
    text: bits.join(""),
    bits,
    right,
    x: oneHot(bits),
    budget: 2 * (bits.length + 1) + 100,
    certify: null,
    again: null,
    read(logits) {
      const { classes, sure } = likeliest(logits, bits.length + 1, 2);
      return { classes: classes.slice(1), sure: sure.slice(1) };
    },
    look(seen) {
      const count = right.filter((bit, i) => bit === seen.classes[i]).length;
      return { answer: [...seen.classes].join(""), words: `${count} of ${bits.length} bits right` };
    },
  };
}
