// What the pages have in common: an input, one or two runs beside each other, and everything that moves them.

import * as ort from "./ort/ort.wasm.bundle.min.mjs";
import { pathPlot, residualPlot, swatch } from "./draw.mjs";
import { inWords, Model, MOST_LOOPS, power, Run } from "./loop.mjs";
import { plain } from "./text.mjs";

const PACE = 110; // milliseconds a loop, while it plays
const $ = (id) => document.getElementById(id);
const cellsOf = (element) => [...element.querySelectorAll("[role=gridcell]")];
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// `task`: name, examples (group -> texts), models(problem), board(element, edit), and
// open(text), which refuses what is no instance; draft(text), what of such a text can be drawn, or null
export async function start(task) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: new URL("./ort/ort-wasm-simd-threaded.wasm", import.meta.url).href };
  ort.env.logLevel = "error";
  const models = new Map();
  const model = (name) => {
    if (!models.has(name)) models.set(name, Model.open(ort, `${task.name}/${name}`));
    return models.get(name);
  };
  const state = { problem: null, lanes: [], at: 0, reach: 0, playing: false, working: false, loading: false, queued: null, token: 0, cell: null };
  const loops = () => Math.max(0, ...state.lanes.map((lane) => (lane.run?.frames.length ?? 1) - 1));

  // ---- the input

  const groups = Object.entries(task.examples);
  $("group").replaceChildren(...groups.map(([name], i) => new Option(name, i)));
  const turn = groups.map(() => 0);
  function example(next) {
    const i = Number($("group").value);
    if (next) turn[i] = (turn[i] + 1) % groups[i][1].length;
    type(groups[i][1][turn[i]]);
  }
  function type(text) {
    $("text").value = text;
    return take();
  }

  let late = null;
  $("text").addEventListener("input", () => {
    clearTimeout(late);
    stop();
    late = setTimeout(take, 200);
  });
  $("group").addEventListener("change", () => example(false));
  $("another").addEventListener("click", () => example(true));

  // Who presses a button means the text that is in the field, also when it was typed a moment ago.
  function upToDate() {
    if (late !== null) take();
  }

  // Read what is in the field; what is wrong with it is said, and nothing runs.
  async function take() {
    clearTimeout(late);
    late = null;
    stop();
    state.token += 1;
    const text = $("text").value;
    try {
      state.problem = task.open(text);
      refuse("");
    } catch (error) {
      Object.assign(state, { problem: null, loading: false, at: 0, reach: 0 });
      refuse(error.message);
      state.lanes.forEach((lane) => lane.remove());
      state.lanes = [new Lane(null)];
      state.lanes[0].board.draft(task.draft(text), error.cells ?? []);
      return draw();
    }
    fillModels();
    // the board at once, without a word of the run before; the model may still be on its way
    state.lanes.forEach((lane) => lane.remove());
    state.lanes = [new Lane(null)];
    state.lanes[0].board.draw(state.problem, null, null);
    Object.assign(state, { at: 0, reach: 0 });
    await restart();
  }

  function refuse(words) {
    $("error").textContent = words;
    $("text").setAttribute("aria-invalid", words ? "true" : "false");
  }

  // ---- which models run

  function fillModels() {
    const found = task.models(state.problem);
    for (const select of [$("model-0"), $("model-1")]) {
      const before = select.value;
      select.replaceChildren(...found.map(({ name, words }) => new Option(words, name)));
      if (found.some(({ name }) => name === before)) select.value = before;
      select.disabled = found.length < 2;
    }
  }

  async function restart() {
    const queued = state.queued;
    stop();
    state.queued = state.loading ? queued : null; // pressed before the first model was there
    state.token += 1;
    const mine = state.token;
    if (!state.problem) return;
    const wanted = $("beside").checked ? [0, 1] : [0];
    $("second").hidden = wanted.length < 2;
    let opened;
    state.loading = true;
    draw();
    try {
      opened = await Promise.all(wanted.map((i) => model($(`model-${i}`).value)));
    } catch (error) {
      models.clear();
      if (mine !== state.token) return;
      Object.assign(state, { loading: false, queued: null });
      refuse(`The model could not be loaded: ${error.message}`);
      $("stills").open = true;
      return draw();
    }
    if (mine !== state.token) return;
    state.loading = false;
    state.lanes.forEach((lane) => lane.remove());
    state.lanes = wanted.map(
      (i) => new Lane(new Run(opened[i], state.problem, { start: $(`start-${i}`).value, restarts: $("restarts") ? $("restarts").checked : true })),
    );
    Object.assign(state, { at: 0, reach: 0 });
    say("");
    draw();
    if (state.queued) go(...state.queued);
  }
  for (const id of ["model-0", "model-1", "start-0", "start-1", "beside", "restarts"]) $(id)?.addEventListener("change", restart);

  // ---- a run on the page

  class Lane {
    constructor(run) {
      this.run = run;
      this.place = document.querySelectorAll(".lane").length;
      this.element = $("lane").content.firstElementChild.cloneNode(true);
      $("lanes").append(this.element);
      this.find = (name) => this.element.querySelector(name);
      if (run) {
        const { recall, norm, parameters, steps } = run.model.facts;
        const norms = { post: "outer norm", pre: "pre norm", peri: "norm inside the branches" };
        const said = recall === "none" ? "no recall" : `${recall} recall`;
        this.find(".name").innerHTML = `${swatch(this.place)} <span></span>`;
        this.find(".name span").textContent = `${said}, ${norms[norm] ?? norm}`;
        this.find(".about").textContent = `${parameters.toLocaleString("en")} parameters, trained for ${steps.toLocaleString("en")} steps`;
      }
      this.find(".path").hidden = !run;
      this.board = task.board(this.find(".board"), type);
    }

    remove() {
      const cell = cellsOf(this.element).indexOf(document.activeElement);
      if (cell >= 0) state.cell = cell; // who writes into the board goes on there
      this.element.remove();
    }

    draw(at) {
      const { run } = this;
      if (!run) return;
      const shown = Math.min(at, Math.max(0, run.frames.length - 1));
      const frame = run.frames[shown];
      const seen = frame?.seen ?? null;
      const look = seen ? run.problem.look(seen) : null;
      this.board.draw(run.problem, seen, look);
      const parts = [`Loop ${shown}${run.tries > 1 && frame?.number ? `, try ${frame.number}${frame.assumed}` : ""}`];
      if (shown && !seen) parts.push("the state overflowed");
      if (look) parts.push(look.words);
      if (shown) parts.push(`last step ${power(frame.residual)} of the state's length, which is ${plain(frame.size)}`);
      if (shown === MOST_LOOPS) parts.push("this page goes no further");
      this.find(".now").textContent = `${parts[0]}: ${parts.slice(1).join("; ") || "nothing said yet"}.`;
      this.find(".result").textContent = result(run);
      this.find(".path div").innerHTML = pathPlot(run, shown, this.place);
    }
  }

  // What `looped-lite solve` says, once it would say it; the answer first.
  function result(run) {
    if (!run.end) return "";
    const { seen } = run.end;
    if (!seen) return inWords(run.end);
    const look = run.problem.look(seen);
    const best = look.solved === false ? `not solved in ${run.end.tries} tr${run.end.tries === 1 ? "y" : "ies"}; best state: ` : "";
    return `${best}${look.answer} (${inWords(run.end, look.facts ?? [])})`;
  }

  // ---- what moves

  const ended = () => state.lanes.length > 0 && state.lanes.every((lane) => lane.run?.end);
  const ready = () => Boolean(state.problem) && state.lanes.every((lane) => lane.run);

  function stop() {
    state.queued = null;
    state.playing = false;
    state.reach = state.at;
  }

  // Where the run is on its way to: what was asked for last, also while the model is still loading.
  const heading = () => (state.playing ? state.at : Math.max(state.reach, state.queued && !state.queued[1] ? state.queued[0] : 0));

  async function go(reach, playing) {
    if (state.loading && state.problem) state.queued = [reach, playing]; // as soon as the model is there
    if (!ready() || state.loading) return draw();
    state.reach = Math.min(reach, MOST_LOOPS);
    state.playing = playing;
    if (state.working) return;
    state.working = true;
    let drawn = 0;
    const before = ended() && state.at === loops();
    try {
      while (state.at < state.reach) {
        const token = state.token;
        if (state.at >= loops()) for (const lane of state.lanes) await lane.run.step();
        if (token !== state.token) continue; // another input came meanwhile
        state.at += 1;
        const slow = state.playing && !calm();
        if (slow || performance.now() - drawn > (calm() ? 1000 : 50)) {
          draw();
          drawn = performance.now();
          await pause(slow ? PACE : 0);
        }
        if (state.playing && !before && ended() && state.at >= loops()) stop();
      }
    } catch (error) {
      stop();
      say(`The run stopped: ${error.message}`);
    } finally {
      state.working = false;
      state.playing = false;
    }
    draw();
    say(state.lanes.map((lane) => `${lane.find(".now").textContent} ${lane.find(".result").textContent}`).join(" "));
  }

  function say(words) {
    $("say").textContent = words;
  }

  function draw() {
    const waits = state.loading && state.queued;
    const busy = state.at < state.reach;
    $("stage").classList.toggle("one", state.lanes.length < 2);
    for (const lane of state.lanes) lane.draw(state.at);
    if (state.cell !== null && state.lanes.length) {
      cellsOf($("lanes"))[state.cell]?.focus();
      state.cell = null;
    }
    $("play").textContent = waits ? "Loading …" : busy ? "Pause" : "Play";
    $("loop").max = [64, 128, 256, 512, 1024, 2048, 4096, 8192, MOST_LOOPS].find((most) => most >= loops());
    $("loop").value = state.at;
    $("loop").setAttribute("aria-valuetext", `loop ${state.at}`);
    $("count").textContent = state.at;
    for (const id of ["play", "step", "ten", "reset", "loop"]) $(id).disabled = !state.problem;
    const runs = state.lanes.map((lane) => lane.run).filter(Boolean);
    $("residual").parentElement.hidden = !runs.length;
    $("residual").innerHTML = runs.length ? residualPlot(runs, Math.min(state.at, loops()), { width: Math.max(300, Math.min(736, $("residual").clientWidth)) }) : "";
  }

  function on(id, event, move) {
    $(id).addEventListener(event, () => {
      const { value } = $(id); // before the page is drawn anew
      upToDate();
      move(value);
    });
  }
  on("play", "click", () => (state.at < state.reach ? (stop(), draw()) : go(MOST_LOOPS, true)));
  on("step", "click", () => go(state.at + 1, false));
  on("ten", "click", () => go(Math.max(10, 10 * heading()), false));
  on("reset", "click", restart);
  on("loop", "input", (value) => {
    const wanted = Number(value);
    if (wanted <= loops()) {
      stop();
      state.at = state.reach = wanted;
      draw();
    } else go(wanted, false);
  });

  // ---- the first instance, and the stills away

  $("app").hidden = false;
  $("stills").open = false;
  addEventListener("resize", draw);
  example(false);
}

export async function begin(make) {
  try {
    if (typeof WebAssembly !== "object") throw new Error("this browser runs no WebAssembly");
    await start(await make());
  } catch (error) {
    $("sorry").hidden = false;
    $("sorry").textContent = `The model does not run here (${error.message}). The pictures below show what it does.`;
    $("app").hidden = true;
  }
}
