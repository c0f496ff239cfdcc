import { begin } from "./page.mjs";
import { layOut, open, sideOf } from "./sudoku.mjs";

const outer = { internal: "recall", none: "no recall" };

function models(problem) {
  if (sideOf(problem.box) === 9) return [{ name: "sudoku-9x9", words: "sudoku-9x9: recall, outer norm; what solve uses" }];
  const alike = ["internal-post", "none-post", "internal-pre", "none-pre"].map((name) => {
    const [recall, norm] = name.split("-");
    return { name: `sudoku-6x6-${name}-seed0`, words: `${outer[recall]}, ${norm === "post" ? "outer" : "pre"} norm; one of four trained alike` };
  });
  return [{ name: "sudoku-6x6", words: "sudoku-6x6: recall, outer norm; what solve uses" }, ...alike];
}

// A grid whose cells can be reached by arrow keys and typed into.
function board(element, edit) {
  let cells = [];
  let shape = "";
  let given = [];

  function build(box) {
    const side = sideOf(box);
    if (shape === box.join()) return;
    shape = box.join();
    element.innerHTML = "";
    const grid = document.createElement("div");
    grid.className = "sudoku";
    grid.style.setProperty("--side", side);
    grid.setAttribute("role", "grid");
    grid.setAttribute("aria-label", `sudoku, ${side} rows of ${side} cells: arrow keys move, digits write, Delete clears`);
    cells = [];
    for (let r = 0; r < side; r++) {
      const row = document.createElement("div");
      row.setAttribute("role", "row");
      for (let c = 0; c < side; c++) {
        const cell = document.createElement("div");
        cell.setAttribute("role", "gridcell");
        cell.tabIndex = cells.length ? -1 : 0;
        cell.className = `${r % box[0] === 0 ? "above" : ""} ${c % box[1] === 0 ? "before" : ""}`;
        cells.push(cell);
        row.append(cell);
      }
      grid.append(row);
    }
    grid.addEventListener("keydown", (event) => press(event, side));
    grid.addEventListener("click", (event) => focus(cells.indexOf(event.target)));
    element.append(grid);
  }

  function focus(place) {
    if (place < 0) return;
    cells.forEach((cell, i) => (cell.tabIndex = i === place ? 0 : -1));
    cells[place].focus();
  }

  function press(event, side) {
    const place = cells.indexOf(document.activeElement);
    if (place < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const [row, column] = [Math.floor(place / side), place % side];
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -column], End: [0, side - 1 - column] };
    if (moves[event.key]) {
      const [r, c] = [row + moves[event.key][0], column + moves[event.key][1]];
      if (r >= 0 && r < side && c >= 0 && c < side) focus(r * side + c);
    } else if ((event.key >= "1" && event.key <= String(side)) || ["Delete", "Backspace", "0", ".", " "].includes(event.key)) {
      const next = [...given];
      next[place] = event.key >= "1" && event.key <= "9" ? Number(event.key) : 0;
      edit(next.map((digit) => digit || ".").join(""));
      focus(place);
    } else return;
    event.preventDefault();
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
