// One run, with models that are a line of arithmetic: when it ends, and what it then says. Run by tests/test_pages.py.

import assert from "node:assert/strict";
import test from "node:test";
import { inWords, Run } from "../site/try/loop.mjs";
import { noise } from "../site/try/noise.mjs";

const length = (values) => Math.hypot(...values);

// A model whose loop is `f`, on states of 16 numbers; its logits are the state.
function model(f) {
  return {
    facts: { restart_every: 8, guess_after: 3, width: 16 },
    encode: async (x) => ({ h: Float32Array.from(x), recalled: {} }),
    async step(z) {
      const after = Float32Array.from(f(z));
      return { z: after, logits: after, moved: length(after.map((v, i) => v - z[i])), size: length(after) };
    },
    project: (z) => [z[0], z[1]],
  };
}

const problem = (more = {}) => ({
  x: new Float32Array(16).fill(1),
  budget: 40,
  certify: null,
  again: () => ({ x: new Float32Array(16).fill(1), back: (logits) => logits, drawn: 2 }),
  read: (logits) => ({ first: logits[0] }),
  ...more,
});

async function ended(run) {
  for (let loop = 0; loop < 200 && !run.end; loop++) await run.step();
  return run.end;
}

test("a state that stops has settled", async () => {
  const run = new Run(model((z) => z.map((v) => 1 + (v - 1) / 10)), problem({ x: new Float32Array(16).fill(2) }));
  const end = await ended(run);
  assert.deepEqual([end.status, end.loops, end.tries], ["settled", 5, 1]);
  assert.equal(run.settled, 5);
  assert.match(inWords(end), /^settled after 5 loops, residual 9\.\de-05$/);
});

test("a state that comes back goes in a circle", async () => {
  const end = await ended(new Run(model((z) => z.map((v) => -v)), problem()));
  assert.deepEqual([end.status, end.loops], ["cycling", 4]);
});

test("a state that grows runs out of loops, or overflows and says nothing", async () => {
  assert.equal((await ended(new Run(model((z) => z.map((v) => 2 * v)), problem()))).status, "ran out");
  const end = await ended(new Run(model((z) => z.map((v) => 1e20 * v)), problem()));
  assert.deepEqual([end.status, end.seen], ["diverged", null]);
  assert.match(inWords(end), /^no answer: the state overflowed after/);
});

test("what is certified ends at the next look; what is not begins again from PyTorch's noise, within the budget", async () => {
  const solved = await ended(new Run(model((z) => z.map((v) => v + 1)), problem({ certify: (logits) => logits[0] > 2 })));
  assert.deepEqual([solved.status, solved.loops, solved.tries], ["solved", 4, 1]);
  const asked = [];
  const again = (...words) => asked.push(words) && problem().again();
  const run = new Run(model((z) => z.map((v) => v + 1)), problem({ certify: () => false, again }));
  const end = await ended(run);
  assert.deepEqual(asked.map(([number, , guesses]) => [number, guesses]), [[1, false], [2, false], [3, true], [4, true]]);
  assert.deepEqual([end.status, end.loops, end.tries, run.begun], ["ran out", 40, 5, [0, 8, 16, 24, 32]]);
  assert.ok(Math.abs(run.frames[9].seen.first - 1 - noise(1, 16, 2)[0]) < 1e-6);
});

test("without restarts a run goes on, and after its end too", async () => {
  const run = new Run(model((z) => z.map((v) => v + 1)), problem({ certify: () => false }), { restarts: false, start: "zeros" });
  await ended(run);
  await run.step();
  assert.deepEqual([run.frames.length, run.frames[1].seen.first, run.begun], [42, 1, [0]]);
});
