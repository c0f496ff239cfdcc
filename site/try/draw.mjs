// The two curves of a run, as the inside of an SVG: the residual on a log axis, and the state's path in the plane of its model.

import { power, TOLERANCE } from "./loop.mjs";
import { plain } from "./text.mjs";

export const COLOURS = ["#0072B2", "#A65E00"];
const DASHES = ["", "7 4"];
const most = 600; // points of a curve

const escape = (text) => text.replace(/[&<>"]/g, (one) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[one]);
const line = (points, lane) =>
  points.length < 2
    ? ""
    : `<polyline points="${points.map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" ")}" fill="none" stroke="${COLOURS[lane]}" stroke-width="2" stroke-dasharray="${DASHES[lane]}"/>`;
const thin = (list) => {
  const stride = Math.ceil(list.length / most);
  return list.filter((_, i) => i % stride === 0 || i === list.length - 1);
};

// Residuals of all `runs`, with the loop that is shown, where a try begins, and where each settled.
export function residualPlot(runs, at, { width = 620, height = 230 } = {}) {
  const [left, right, top, bottom] = [52, 12, 16, 34];
  const loops = Math.max(16, ...runs.map((run) => run.frames.length - 1));
  const all = runs.flatMap((run) => run.frames.slice(1).map((frame) => frame.residual)).filter((r) => Number.isFinite(r) && r > 0);
  const low = Math.min(-4.6, Math.max(-9, Math.floor(Math.log10(Math.min(1, ...all.slice(-4000))))));
  const high = 1;
  const x = (loop) => left + (loop / loops) * (width - left - right);
  const y = (residual) => {
    const place = Number.isFinite(residual) ? Math.log10(Math.max(residual, 1e-30)) : high;
    return top + ((high - Math.min(high, Math.max(low, place))) / (high - low)) * (height - top - bottom);
  };
  const parts = [];
  for (let p = Math.ceil(low); p <= high; p += low < -6 ? 2 : 1) {
    parts.push(`<line x1="${left}" x2="${width - right}" y1="${y(10 ** p)}" y2="${y(10 ** p)}" stroke="#e4e4e4"/>`);
    parts.push(`<text x="${left - 6}" y="${y(10 ** p) + 4}" text-anchor="end">10<tspan dy="-5" font-size="9">${p}</tspan></text>`);
  }
  const stride = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000].find((s) => loops / s <= width / 75);
  for (let loop = 0; loop <= loops; loop += stride) {
    parts.push(`<text x="${x(loop)}" y="${height - bottom + 16}" text-anchor="middle">${loop}</text>`);
  }
  parts.push(`<text x="${(left + width) / 2}" y="${height - 4}" text-anchor="middle">loop</text>`);
  parts.push(`<line x1="${left}" x2="${width - right}" y1="${y(TOLERANCE)}" y2="${y(TOLERANCE)}" stroke="#555" stroke-dasharray="3 3"/>`);
  parts.push(`<text x="${width - right}" y="${y(TOLERANCE) - 5}" text-anchor="end">below this it has settled</text>`);
  runs.forEach((run, lane) => {
    for (const begun of run.begun.slice(1, 40)) {
      parts.push(`<line x1="${x(begun)}" x2="${x(begun)}" y1="${top}" y2="${height - bottom}" stroke="${COLOURS[lane]}" stroke-dasharray="1 4"/>`);
    }
    const points = run.frames.map((frame, loop) => [loop, frame.residual]).slice(1);
    parts.push(line(thin(points).map(([loop, residual]) => [x(loop), y(residual)]), lane));
    const settled = run.settled;
    if (settled !== null && settled <= at) {
      const spot = [x(settled), y(run.frames[settled].residual)];
      const anchor = settled > 0.6 * loops ? "end" : "start";
      parts.push(`<circle cx="${spot[0]}" cy="${spot[1]}" r="5" fill="#fff" stroke="${COLOURS[lane]}" stroke-width="2.5"/>`);
      parts.push(`<text x="${spot[0] + (anchor === "end" ? -9 : 9)}" y="${spot[1] + 16}" text-anchor="${anchor}">settles at loop ${settled}</text>`);
    }
  });
  parts.push(`<line x1="${x(at)}" x2="${x(at)}" y1="${top}" y2="${height - bottom}" stroke="#222"/>`);
  const words = runs.map((run, lane) => {
    const now = run.frames[Math.min(at, run.frames.length - 1)]?.residual;
    const rests = run.settled !== null && run.settled <= at ? `settled at loop ${run.settled}` : "not settled";
    const which = runs.length > 1 ? `run ${lane + 1}: ` : "";
    return now === null || now === undefined ? `${which}not begun` : `${which}at loop ${at} ${power(now)} of the state's length, ${rests}`;
  });
  return svg(width, height, `How far each loop moves the state; ${words.join("; ")}`, parts.join(""));
}

// The path of one run's state up to the loop that is shown: a square where it began, a dot where it is.
export function pathPlot(run, at, lane, { width = 240, height = 200 } = {}) {
  const shown = run.frames.slice(0, at + 1).map((frame) => frame.at).filter((p) => p.every((v) => Number.isFinite(v) && Math.abs(v) < 1e15));
  if (!shown.length) return svg(width, height, "No path yet", "");
  const middle = [0, 1].map((i) => (Math.max(...shown.map((p) => p[i])) + Math.min(...shown.map((p) => p[i]))) / 2);
  const reach = Math.max(0.5, ...shown.flatMap((p) => p.map((v, i) => Math.abs(v - middle[i]))));
  const scale = (Math.min(width, height) / 2 - 18) / reach;
  const place = (p) => [width / 2 + (p[0] - middle[0]) * scale, height / 2 - (p[1] - middle[1]) * scale];
  const points = thin(shown).map(place);
  const [first, last] = [points[0], points.at(-1)];
  const parts = [
    `<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" fill="none" stroke="#bbb"/>`,
    line(points, lane),
    `<rect x="${first[0] - 4}" y="${first[1] - 4}" width="8" height="8" fill="#fff" stroke="#222"/>`,
    `<circle cx="${last[0]}" cy="${last[1]}" r="5" fill="${COLOURS[lane]}" stroke="#fff"/>`,
    `<text x="6" y="${height - 7}">${plain(2 * reach)} high and wide</text>`,
  ];
  return svg(width, height, `The state's path over ${shown.length - 1} loops, in a plane ${plain(2 * reach)} wide`, parts.join(""));
}

// A bit of the line that stands for a run, to put beside its name.
export const swatch = (lane) =>
  `<svg viewBox="0 0 30 8" aria-hidden="true" class="swatch">${line([[1, 4], [29, 4]], lane)}</svg>`;

const svg = (width, height, label, inside) =>
  `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(label)}" font-size="12" fill="#333">${inside}</svg>`;
