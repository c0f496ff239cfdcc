// One model and one instance of a task, loop by loop: what looped_lite/solving.py does, with the same words for what comes of it.

import { noise } from "./noise.mjs";

const TINY = 1e-30;
export const TOLERANCE = 1e-4;
const LOOK_EVERY = 4; // loops between two looks at the task's certificate
export const MOST_LOOPS = 10240; // in one run: what a page keeps of each must fit into memory

// The two graphs of a model that `looped-lite export` wrote. `ort` is onnxruntime-web.
export class Model {
  static async open(ort, folder) {
    const read = async (name) => {
      const answer = await fetch(`${folder}/${name}`);
      if (!answer.ok) throw new Error(`${folder}/${name} is missing (${answer.status})`);
      return answer;
    };
    const graph = async (name) =>
      ort.InferenceSession.create(new Uint8Array(await (await read(name)).arrayBuffer()), { executionProviders: ["wasm"] });
    const facts = await (await read("model.json")).json();
    const [encode, step] = await Promise.all([graph("encode.onnx"), graph("step.onnx")]);
    return new Model(ort, facts, encode, step);
  }

  constructor(ort, facts, encode, step) {
    Object.assign(this, { ort, facts, encoder: encode, stepper: step });
  }

  // Inputs (cells * features) -> the start state, and all that every loop adds of it.
  async encode(x) {
    const cells = x.length / this.facts.features;
    const { h, ...recalled } = await this.encoder.run({ x: new this.ort.Tensor("float32", x, [1, cells, this.facts.features]) });
    return { h: h.data, recalled };
  }

  async step(z, recalled) {
    const state = new this.ort.Tensor("float32", z, [1, z.length / this.facts.width, this.facts.width]);
    const made = await this.stepper.run({ z: state, ...recalled });
    return {
      z: made.next_z.data,
      logits: made.logits.data,
      moved: made.moved.data[0],
      size: made.size.data[0],
    };
  }

  // Where a state lies in the plane of the model's own states: the mean over its cells, on two axes.
  project(z) {
    const { width, plane } = this.facts;
    const mean = new Float64Array(width);
    for (let i = 0; i < z.length; i++) mean[i % width] += (z[i] * width) / z.length;
    return plane.axes.map((axis) => axis.reduce((sum, a, i) => sum + a * (mean[i] - plane.mean[i]), 0));
  }
}

const distance = (a, b) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return Math.sqrt(sum);
};

// A run. `problem` is what a task's `open` returned: x, budget, again(number, logits, guesses), certify(logits) or null,
// read(logits).
// `frames[t]` is what there was after t loops; `end` is what `looped-lite solve` would say, as soon as it would say it.
export class Run {
  constructor(model, problem, { start = "input", restarts = true, budget = null, restart = null } = {}) {
    Object.assign(this, { model, problem, start, restarts });
    this.budget = budget ?? problem.budget;
    this.restart = restart ?? model.facts.restart_every;
    this.certifies = restarts && problem.certify !== null;
    this.frames = [];
    this.begun = [];
    this.end = null;
    this.tries = this.age = this.used = 0;
  }

  async begin() {
    const again = this.tries > 0;
    const guesses = this.tries >= this.model.facts.guess_after;
    const image = again ? this.problem.again(this.tries, this.said, guesses) : { x: this.problem.x, back: (logits) => logits };
    const { h, recalled } = await this.model.encode(image.x);
    const start = again ? "noise" : this.start;
    this.z = h;
    if (start === "zeros") this.z = new Float32Array(h.length);
    if (start === "noise") this.z = noise(this.tries, h.length, again ? image.drawn : 0);
    Object.assign(this, { recalled, back: image.back, assumed: image.assumed ?? "", anchor: this.z, age: 0 });
    this.tries += 1;
    this.begun.push(this.used);
    if (!this.frames.length) this.frames.push({ residual: null, size: distance(h, new Float32Array(h.length)), seen: null, at: this.model.project(this.z), number: 0 });
  }

  limit() {
    const left = this.age + this.budget - this.used;
    return this.certifies ? Math.min(this.restart, left) : left;
  }

  // One loop more. After the end of what `solve` does it goes on from the same state.
  async step() {
    if (!this.tries || this.again) {
      this.again = false;
      await this.begin();
    }
    const before = this.z;
    const made = await this.model.step(before, this.recalled);
    this.z = made.z;
    this.age += 1;
    this.used += 1;
    const residual = made.moved / Math.max(made.size, TINY);
    const logits = this.back(made.logits);
    const seen = logits.every(Number.isFinite) ? this.problem.read(logits) : null;
    this.frames.push({ residual, size: made.size, seen, at: this.model.project(this.z), number: this.tries, assumed: this.assumed });
    if (!this.end) this.judge(residual, made, logits, seen);
    if ((this.age & (this.age - 1)) === 0) this.anchor = this.z;
    return this.frames.at(-1);
  }

  judge(residual, made, logits, seen) {
    const rest = residual <= TOLERANCE;
    const back = distance(this.z, this.anchor) <= 1e-3 * made.moved;
    const due = rest || back || this.age % LOOK_EVERY === 0 || this.age >= this.limit();
    let status = !Number.isFinite(made.size) ? "diverged" : rest ? "settled" : back ? "cycling" : "ran out";
    if (due) this.said = logits; // by which the next try guesses
    if (this.certifies && due && seen && this.problem.certify(logits)) status = "solved";
    if (status === "ran out" && this.age < this.limit()) return;
    if (this.certifies && status !== "solved" && this.used < this.budget) {
      this.again = true;
      return;
    }
    if (!seen) status = "diverged";
    this.end = { status, loops: this.used, tries: this.tries, residual, seen: status === "diverged" ? null : seen };
  }

  // The loop of the last try that first moved the state by at most the tolerance, or null.
  get settled() {
    const first = this.begun.at(-1) ?? 0;
    const place = this.frames.findIndex((frame, loop) => loop > first && frame.residual <= TOLERANCE);
    return place < 0 ? null : place;
  }
}

const loopsOf = (count) => `${count} loop${count === 1 ? "" : "s"}`;
export const power = (value) => value.toExponential(1).replace(/e([+-])(\d)$/, "e$10$2");

// What `looped-lite solve` prints of a run that has ended, without the answer itself.
export function inWords(end, facts = []) {
  const how = {
    solved: `solved, checked by the rules, try ${end.tries}, ${loopsOf(end.loops)}`,
    settled: `settled after ${loopsOf(end.loops)}`,
    cycling: `not settled: it goes in a circle, seen after ${loopsOf(end.loops)}`,
    "ran out": `not settled after ${loopsOf(end.loops)}`,
    diverged: `no answer: the state overflowed after ${loopsOf(end.loops)}`,
  }[end.status];
  if (end.status === "diverged") return how;
  return [how, ...(end.status === "solved" ? [] : [`residual ${power(end.residual)}`]), ...facts].join(", ");
}
