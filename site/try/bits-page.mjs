import { open } from "./bits.mjs";
import { begin } from "./page.mjs";

function models() {
  const alike = ["internal-post", "none-post", "internal-pre", "none-pre"].map((name) => {
    const [recall, norm] = name.split("-");
    const words = `${recall === "none" ? "no recall" : "recall"}, ${norm === "post" ? "outer" : "pre"} norm; one of four trained alike`;
    return { name: `prefix-sums-${name}-seed0`, words };
  });
  return [
    { name: "prefix-sums-quick-seed0", words: "prefix-sums-quick-seed0: recall, outer norm, about three bits a loop; what solve uses" },
    { name: "prefix-sums-seed0", words: "prefix-sums-seed0: the same, of lesson 04, twice as wide and slower" },
    ...alike,
  ];
}

// Each bit of the input, and the model's bit below it: blue where it is right, orange and struck out where it is wrong.
function board(element) {
  let shown = null;
  let answers = [];
  return {
    draft() {
      element.innerHTML = "";
      shown = null;
    },
    draw(problem, seen, look) {
      if (shown !== problem) {
        shown = problem;
        element.innerHTML = `<div class="bits" role="img"></div>`;
        const pairs = problem.bits.map((bit) => {
          const pair = document.createElement("span");
          pair.innerHTML = `<b>${bit}</b><b></b>`;
          return pair;
        });
        answers = pairs.map((pair) => pair.lastChild);
        element.firstChild.append(...pairs);
        element.classList.toggle("long", problem.bits.length > 256);
        if (problem.bits.length > 256) element.tabIndex = 0;
        else element.removeAttribute("tabindex");
      }
      element.firstChild.setAttribute("aria-label", `${problem.bits.length} bits, each with the model's bit below it; ${look?.words ?? "nothing said yet"}`);
      answers.forEach((answer, i) => {
        answer.textContent = seen ? seen.classes[i] : "";
        answer.dataset.kind = !seen ? "empty" : seen.classes[i] === problem.right[i] ? "right" : "wrong";
        answer.style.setProperty("--sure", seen ? (2 * seen.sure[i] - 1).toFixed(2) : 0);
      });
    },
  };
}

begin(async () => {
  const { groups } = await (await fetch("bits/examples.json")).json();
  return { name: "bits", examples: groups, open, draft: () => null, models, board };
});
