import { clears, makeGrid } from "./grid.mjs";
import { begin } from "./page.mjs";
import { layOut, open, sideOf } from "./sudoku.mjs";

const outer = { internal: "recall", none: "no recall" };

function models(problem) {
  if (sideOf(problem.box) === 9) return [{ name: "sudoku-9x9-averaged", words: "sudoku-9x9-averaged: recall, outer norm; what solve uses" }];
  const alike = ["internal-post", "none-post", "internal-pre", "none-pre"].map((name) => {
    const [recall, norm] = name.split("-");
    return { name: `sudoku-6x6-${name}-seed0`, words: `${outer[recall]}, ${norm === "post" ? "outer" : "pre"} norm; one of four trained alike` };
  });
  return [{ name: "sudoku-6x6", words: "sudoku-6x6: recall, outer norm; what solve uses" }, ...alike];
}

function board(element, edit) {
  let cells = [];
  let shape = "";
  let given = [];

  function build(box) {
    const side = sideOf(box);
    if (shape === box.join()) return;
    shape = box.join();
    const label = `sudoku, ${side} rows of ${side} cells: arrow keys move, digits write, Delete clears`;
    const style = (r, c) => `${r % box[0] === 0 ? "above" : ""} ${c % box[1] === 0 ? "before" : ""}`;
    ({ cells } = makeGrid(element, { rows: side, columns: side, label, kind: "sudoku", style, type }));

    function type(place, key) {
      const digit = key.length === 1 && key >= "1" && key <= String(side);
      if (!digit && !clears(key)) return false;
      const next = [...given];
      next[place] = digit ? Number(key) : 0;
      edit(next.map((one) => one || ".").join(""));
      return true;
    }
  }

  function paint(cell, place, digit, kind, sure) {
    const side = Math.sqrt(cells.length);
    cell.textContent = digit || "";
    cell.dataset.kind = kind;
    cell.style.setProperty("--sure", sure.toFixed(2));
    const where = `row ${Math.floor(place / side) + 1} column ${(place % side) + 1}`;
    const words = { given: `given ${digit}`, clash: `given ${digit}, breaks a rule`, wrong: `${digit}, breaks a rule`, said: `${digit}, certainty ${sure.toFixed(2)}`, empty: "empty" };
    cell.setAttribute("aria-label", `${where}: ${words[kind]}`);
  }

  return {
    // what was typed, though it is no puzzle: `wrong` names the cells that show why
    draft(found, wrong) {
      if (!found) {
        element.innerHTML = "";
        shape = "";
        return;
      }
      build(found.box);
      given = found.grid;
      cells.forEach((cell, i) => paint(cell, i, given[i], wrong.includes(i) ? "clash" : given[i] ? "given" : "empty", 1));
    },
    draw(problem, seen, look) {
      build(problem.box);
      given = problem.grid;
      const filled = seen ? problem.fill(seen) : given;
      cells.forEach((cell, i) => {
        const kind = given[i] ? "given" : !seen ? "empty" : look.wrong.has(i) ? "wrong" : "said";
        paint(cell, i, filled[i], kind, seen ? seen.sure[i] : 1);
      });
    },
  };
}

// The cells of a text that has as many as a grid, even where they break a rule.
function draft(text) {
  for (const box of [[2, 3], [3, 3]]) {
    const side = sideOf(box);
    const characters = layOut(text, side).flat();
    if (characters.length === side * side) {
      return { box, grid: characters.map((one) => ("123456789".includes(one) && Number(one) <= side ? Number(one) : 0)) };
    }
  }
  return null;
}

begin(async () => {
  const { groups, tries } = await (await fetch("sudoku/examples.json")).json();
  return { name: "sudoku", examples: groups, open: (text) => open(text, tries), draft, models, board };
});
