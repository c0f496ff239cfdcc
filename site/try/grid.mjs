// A board whose cells are reached by arrow keys and written into by other keys: `rows` of `columns` cells, `label` says what it is.
// `type(cell, key)` returns whether it took the key.

export function makeGrid(element, { rows, columns, label, kind, type, style = () => "" }) {
  const grid = document.createElement("div");
  grid.className = kind;
  grid.style.setProperty("--side", columns);
  grid.setAttribute("role", "grid");
  grid.setAttribute("aria-label", label);
  const cells = [];
  for (let r = 0; r < rows; r++) {
    const row = document.createElement("div");
    row.setAttribute("role", "row");
    for (let c = 0; c < columns; c++) {
      const cell = document.createElement("div");
      cell.setAttribute("role", "gridcell");
      cell.tabIndex = cells.length ? -1 : 0;
      cell.className = style(r, c);
      cells.push(cell);
      row.append(cell);
    }
    grid.append(row);
  }
  const focus = (place) => cells[place]?.focus();
  grid.addEventListener("focusin", (event) => cells.forEach((cell) => (cell.tabIndex = cell === event.target ? 0 : -1)));
  grid.addEventListener("click", (event) => focus(cells.indexOf(event.target.closest("[role=gridcell]"))));
  grid.addEventListener("keydown", (event) => {
    const place = cells.indexOf(document.activeElement);
    if (place < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const [row, column] = [Math.floor(place / columns), place % columns];
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -column], End: [0, columns - 1 - column] };
    if (moves[event.key]) {
      const [r, c] = [row + moves[event.key][0], column + moves[event.key][1]];
      if (r >= 0 && r < rows && c >= 0 && c < columns) focus(r * columns + c);
    } else if (!type(place, event.key)) return;
    event.preventDefault();
  });
  element.replaceChildren(grid);
  return { grid, cells };
}

export const clears = (key) => ["Delete", "Backspace", "0", ".", " "].includes(key);
