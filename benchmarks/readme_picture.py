"""The picture at the top of README.md, from the shipped model: trained on 32 bits, asked for up to 512.

python benchmarks/readme_picture.py
"""

from pathlib import Path

import matplotlib
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from looped_lite import plots
from looped_lite.evaluation import accuracy_over_loops
from looped_lite.pretrained import load_pretrained
from looped_lite.tasks.prefix_sums import prefix_sums

OUT = Path(__file__).resolve().parent.parent / "notebooks" / "images" / "longer_than_trained.png"
NAME = "prefix-sums-internal-post-seed0"
STRINGS = {32: 64, 64: 64, 128: 32, 256: 16, 512: 16}
# fmt: off
LOOPS = [1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128,
         160, 192, 256, 288, 320, 384, 448, 512, 640, 768, 1024]
# fmt: on


@torch.no_grad()
def right_over_loops(model, bits, loops):
    """Which answers to one string are right after each loop: (loops, bits) bool."""
    x = model.recipe.task.encode("".join(map(str, bits.tolist())))
    states = model.states(x, loops)
    return torch.stack([model.read_out(z)[0, 1:].argmax(-1) == prefix_sums(bits) for z in states])


def main():
    torch.set_num_threads(1)
    model, generator = load_pretrained(NAME), torch.Generator().manual_seed(0)
    bits = torch.randint(2, (256,), generator=generator)
    loops = 160
    front = right_over_loops(model, bits, loops)
    with matplotlib.rc_context(plots.STYLE):
        fig = Figure(figsize=(9.6, 3.7))
        left, right = fig.subplots(1, 2)
        colours = ListedColormap([plots.WRONG, plots.RIGHT])
        place = (0.5, len(bits) + 0.5, loops + 0.5, 0.5)
        left.imshow(front, cmap=colours, aspect="auto", interpolation="nearest", vmin=0, vmax=1, extent=place)
        left.grid(False)
        left.set(title="One string of 256 bits: which answers are right", xlabel="bit", ylabel="loop")
        patches = [Patch(color=plots.RIGHT, label="right"), Patch(color=plots.WRONG, label="wrong")]
        left.legend(handles=patches, loc="lower left", frameon=True, handlelength=1.2)
        for (length, count), colour in zip(STRINGS.items(), plots.shades(len(STRINGS)), strict=True):
            x, y = model.recipe.task.batch(count, length, generator)
            places = [t for t in LOOPS if t <= 2 * length]
            exact = accuracy_over_loops(model, x, y, places)
            share = [float(exact[t].float().mean()) for t in places]
            right.plot(places, share, color=colour, label=f"{length} bits")
            after = [value for t, value in zip(places, share, strict=True) if t >= length]
            print(
                f"{length} bits, {count} strings: exact match {min(after):.3f} or better from {length} to {2 * length} "
                "loops"
            )
            assert min(after) == 1.0  # README.md says so
        right.axvline(model.recipe.task.most_loops, color=plots.INK, linewidth=1, linestyle=(0, (1, 2)))
        right.set_xscale("log", base=2)
        right.set_xticks([4, 16, 64, 256, 1024], ["4", "16", "64", "256", "1024"])
        right.set(
            title="Strings with every answer right", xlabel="loops (dotted: the most in training)", ylabel="exact match"
        )
        right.set_ylim(-0.03, 1.05)
        right.legend(loc="upper left")
        OUT.parent.mkdir(exist_ok=True)
        fig.savefig(OUT, dpi=150)
    print(OUT)


if __name__ == "__main__":
    main()
