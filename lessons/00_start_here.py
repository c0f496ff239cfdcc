# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 · Start here
#
# **What is a model that thinks in loops?**
#
# Most neural networks push an input through a stack of different layers, once. The models of this course have *one* layer, or
# very few, and apply it again and again, until the answer stops changing. A hard question simply gets more loops. In this lesson
# you watch two of them at work: one adds up bits, the other solves sudoku.
#
# **After this lesson you can** say what a looped transformer does, read the two pictures that the whole course uses (a board that fills in,
# and a curve that says how much the state still moves), and use the exercises.
#
# **Time**: 20 minutes for you, about a minute for the machine. Nothing is trained here: the models come with the course.
# **You need**: Python. If you know what a transformer is, good; if not, lesson 02 builds one from its parts.

# %%
import torch

from looped_exercises import lesson_00 as ex
from looped_exercises import report
from looped_lite import accuracy_over_loops, boards, count_parameters, load_pretrained, plots, solve_one, watch, widgets

model = load_pretrained("prefix-sums-internal-post-seed0")
print(
    f"{count_parameters(model):,} parameters, trained for {model.card['scores']['minutes']:.1f} minutes on one CPU core"
)

# %% [markdown]
# ## A question that takes many steps
#
# Here is the problem. You get a string of bits. Walk along it from left to right and say at every bit whether the number of ones *so far* is odd (1)
# or even (0):
#
# | input  | 1 | 0 | 1 | 1 | 0 | 1 |
# |---|---|---|---|---|---|---|
# | **answer** | 1 | 1 | 0 | 1 | 1 | 0 |
#
# These are **prefix sums** (modulo 2), or running parity. Easy to say, and yet the last answer depends on every single bit: flip the first
# input bit, and all answers flip.
#
# Before a model does it, you do. This is also how exercises work in this course:
#
# - you replace `raise NotImplementedError("your turn")` and run the cell;
# - the answer is checked at once, in this notebook, and the message says what is wrong, not only that something is;
# - as long as an exercise is open, the lesson goes on with the course's own version, so you are never stuck. Once it is right, yours is used;
# - hints are folded above it, the solution below it.

# %% [markdown]
# ### Exercise 00.1 · running parity
#
# Difficulty 1 of 5 · about 3 minutes
#
# Write a function that takes a list of bits and returns the list of running parities. About three lines.
#
# <details><summary>Hint 1</summary>
#
# Keep one number, the parity so far, and append it at every bit.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `parity = (parity + bit) % 2`, or `parity ^= bit`.
#
# </details>


# %% tags=["exercise"]
@ex.running_parity
def running_parity(bits):
    """A list of bits -> the list whose entry i is the parity of bits[0], ..., bits[i]."""
    ### BEGIN SOLUTION
    parity, answer = 0, []
    for bit in bits:
        parity = (parity + bit) % 2
        answer.append(parity)
    return answer
    ### END SOLUTION


# %% tags=["hidden-tests"]
### BEGIN HIDDEN TESTS
assert running_parity([1, 1, 0, 1]) == [1, 0, 0, 1]
assert running_parity([0] * 7) == [0] * 7
assert ex.running_parity.state == "solved"
### END HIDDEN TESTS

# %% [markdown]
# ## The same question, answered by a loop
#
# Your function walks: bit after bit, and it carries the parity along. The model cannot walk. It looks at all bits at once, and in one loop every cell
# sees only itself and its two neighbours on each side. So news travels at most two cells a loop.
#
# > **Predict.** A string of 16 bits: about how many loops until the last answer can be known?
#
# Now run it. Each cell shows the model's answer after so many loops, **blue if it is right, orange and struck out if it is wrong**, and paler where the
# model is less sure. The curve on the right says how much a loop still changes the model's state, as a share of the state's length:
# the **residual**.

# %%
text = "1011010011100101"
seen = watch(model, text)
draw, describe = boards.prefix_sums.draw(seen, model.recipe.task)
plots.show(
    plots.gif([draw(loop) for loop in range(15)], seconds=7),
    alt="A row of 16 input bits and the model's answers below. Over 14 loops wrong answers, struck out, "
    "give way to right ones from left to right, while the residual falls.",
    caption="What to see: the right answers spread from the left, because the first bit needs no news "
    "and the last needs it from all the others. When all are right the residual begins to fall steadily.",
)

# %% [markdown]
# The picture above is a recording. Below is the same thing in your hands: press play, or drag the slider to any loop.

# %%
widgets.watch_player(model, text)

# %% tags=["claims"]
# Check the claims: the last of 16 bits is 15 cells from the first, and 16 from the mark at the start: 8 loops at 2 cells each
truth = torch.as_tensor(running_parity([int(bit) for bit in text]))
answers = seen.logits[:, 1:].argmax(-1)  # (loops + 1, bits); the first cell marks the start of the string
first_right = int((answers == truth).all(1).float().argmax())
print(f"all 16 answers are right after loop {first_right}, and the state settles at loop {seen.settled}")
assert first_right >= 16 // 2 and -(-15 // 2) == -(-16 // 2) == 8
assert (answers[first_right:] == truth).all(), "once right, it stays right"
steps = seen.residuals[first_right : seen.settled]
assert first_right <= 14 and (steps.diff() < 0).all(), (
    "the picture shows it, and from there on the residual falls steadily"
)
assert seen.settled is not None and first_right < seen.settled

# %% [markdown]
# Two things happened, and they are worth telling apart. First the answer became **right**. Some loops later the state became **still**: another loop
# would hardly move it. Nobody told the model when to stop. It was trained only to have the right answer at the end of a random number of loops.
#
# The state that a loop does not move is called a **fixed point**, and it is what this whole course is about. In symbols: let $h$ be the input, turned into
# vectors, and $z_t$ the state after $t$ loops. One block $f$ is applied again and again,
#
# $$z_{t+1} = f(z_t, h), \qquad\text{and at a fixed point}\qquad z^* = f(z^*, h).$$
#
# The residual above is $\lVert z_{t+1} - z_t\rVert / \lVert z_{t+1}\rVert$. The course calls the state settled when it falls below $10^{-4}$.

# %% [markdown]
# ## Type your own
#
# Any bits, up to 96 of them. Try to find a string that it gets wrong. Try letters, too: you get a sentence, not a crash.

# %%
widgets.solver(model, "0110100110", label="your bits")

# %% [markdown]
# ## Still is not the same as right
#
# Did you find one? Here is a question for which you know the answer at once: ones, and nothing but ones.
#
# > **Predict.** 16 ones, then 40 ones. Is the model right, and does it come to rest?

# %%
for count in (16, 40):
    ones = "1" * count
    solution, right = solve_one(model, ones), "".join(str(bit) for bit in running_parity([1] * count))
    wrong = sum(a != b for a, b in zip(solution.answer, right, strict=True))
    print(
        f"{count} ones: {solution.answer}\n         {solution.status} after {solution.loops} loops, {wrong} answers wrong"
    )

names = {"another random seed": "prefix-sums-internal-post-seed1", "other training strings": "prefix-sums-seed0"}
others = {change: solve_one(load_pretrained(name), ones) for change, name in names.items()}
for change, other in others.items():
    print(f"the same block with {change}: {'right' if other.answer == right else 'wrong'} on 40 ones")

# %% tags=["claims"]
# Check the claims: 16 ones right, of 40 the first 24; settled all the same; two other models are right
sixteen = solve_one(model, "1" * 16)
assert sixteen.answer == "10" * 8 and sixteen.status == solution.status == "settled"
assert solution.answer != right and solution.answer[:24] == right[:24] and solution.answer[24] != right[24]
assert all(other.status == "settled" and other.answer == right for other in others.values())

# %% [markdown]
# With 40 ones this model settles, calmly, on a wrong answer: after 24 bits the alternation breaks. The model that was trained from the next random
# seed does not make this mistake, and neither does one that saw other strings in training. Nobody noticed in training, and a test on random strings did not show it: they hardly ever hold so many ones in a row.
#
# Keep two things from this. A small residual says that the state has stopped, not that it has stopped at the right place. And a test on random
# strings says how a model does on random strings. Lesson 04 comes back to this model, and mends it by what it is trained on.

# %% [markdown]
# ## Longer than anything it was trained on
#
# The model saw strings of up to 32 bits in training, and never ran for more than 20 loops. You have just been free to ask for 96.
#
# > **Predict.** What happens at 128 bits, eight times as long as the string above and four times as long as any in training? Does it need more loops? Does it break?

# %%
generator = torch.Generator().manual_seed(7)
bits = torch.randint(2, (128,), generator=generator)
long = watch(model, "".join(map(str, bits.tolist())), tol=1e-4)
truth_128 = torch.as_tensor(running_parity(bits.tolist()))
chances = long.logits[:, 1:].softmax(-1).gather(-1, truth_128.expand(len(long.logits), -1)[..., None])[..., 0]
plots.show(
    plots.answers_over_loops(chances, 0, 2, "One string of 128 bits", "probability of the right bit", "cell (bit)"),
    alt="Heat map of 128 cells against loops. Right answers fill it from the left along a straight front, "
    "a little slower than the dashed line at two cells a loop.",
    caption="What to see: each row is one loop, each column one bit; yellow is right and sure, dark is wrong and sure. "
    "The front of right answers moves along a straight line. The dashed line moves at two cells a loop: "
    "nothing can be known to the right of it, only guessed.",
)
long_right = int((long.logits[:, 1:].argmax(-1) == truth_128).all(1).float().argmax())
print(f"all 128 answers are right after loop {long_right}, and the state settles at loop {long.settled}")

# %% tags=["claims"]
# Check the claims, on 32 fresh strings
x, y = model.recipe.task.batch(32, 128, torch.Generator().manual_seed(8))
exact = {loops: float(right.float().mean()) for loops, right in accuracy_over_loops(model, x, y, [20, 128]).items()}
print("share of 32 strings of 128 bits with all 128 answers right, by loops:", exact)
assert exact[20] == 0 and exact[128] >= 0.95
assert 6 <= long_right / first_right <= 10, "8 times as many bits, about 8 times as many loops"
assert (long.logits[-1, 1:].argmax(-1) == truth_128).all() and long.settled is not None
assert model.recipe.task.last_level == 32 and model.recipe.task.most_loops == 20
assert all(model.card["scores"][f"exact_{length}"] >= 0.98 for length in (64, 128, 256, 512))

# %% [markdown]
# It needs more loops, about eight times as many as the 16 bits above did, and it does not break: it keeps going until there is nothing left to change. After the 20 loops it was trained
# with, not one of 32 such strings is right in every bit; after 128 loops, at least 0.95 of them are. The card that comes with the model says the same up to 512 bits: at
# least 0.98 of the test strings were right in every bit.
#
# **What this does not show.** This is one model, from one random seed, on one problem that suits it. Other ways to put the same parts together do worse, and some never
# settle at all; which ones, and why, is what you find out in lessons 03 to 06, with three seeds for each. And there are problems for which nobody has found a
# procedure that one block could repeat: chess, in lesson 08, is closer to that end.

# %% [markdown]
# ## A question without a road
#
# Bits can be walked along, from left to right. Sudoku has rules and no road: every row, every column and every box of 3 by 3 holds the digits 1 to 9 once. Can a loop do that, too?
#
# Below is a second model. Its cells are the 81 squares; in every loop a cell looks along its row, its column, its box, and over the whole board. Nobody told it the rules: it saw puzzles, each with its solution.
#
# > **Predict.** Will the digits come one after the other, as from a pencil, or all at once? And can the loop take a wrong digit back?

# %%
sudoku = load_pretrained("sudoku-9x9")
print(f"{count_parameters(sudoku):,} parameters")
puzzle = "31.7.....4.6.2.3...8...45.......6413...31....7..4..6.........58....6....9..5....."
thought = watch(sudoku, puzzle, loops=120)
read = boards.sudoku.read(
    thought
)  # givens (81,); and after each loop, (121, 81): digits, sure, and broken, which cells break a rule
solved_at = int((read.broken.sum(1) == 0).argmax())
picks = sorted({1, 3, solved_at // 4, solved_at // 2, 3 * solved_at // 4, solved_at - 1, solved_at})
plots.show(
    boards.sudoku.story(read, picks),
    alt="Eight 9x9 sudoku boards: the puzzle, then the model's answer after more and more loops. First most cells are struck out in orange, then fewer, and in the last board none.",
    caption="What to see: grey cells are given, blue ones are the model's, paler where it is less sure; orange and struck out breaks a rule. After one loop every cell holds a digit, and most of them clash. Then groups of cells change their minds until everything fits.",
)
print(
    f"no rule is broken from loop {solved_at} on; after {thought.loops} loops one loop still moves the state by {thought.residuals[-1]:.0%} of its length"
)

# %% tags=["claims"]
# Check the claims
from looped_lite.tasks.sudoku_puzzles import solve

empty, last_digits = read.givens == 0, read.digits[-1]
took_back = (read.digits[1:solved_at] != last_digits).any(0)
print(f"cells that break a rule after loop 1: {read.broken[1].sum()} of {empty.sum()}")
print(f"cells that took back a digit at least once: {took_back.sum()}")
assert len(picks) == 7 and (read.digits[1] > 0).all() and count_parameters(sudoku) > 2 * count_parameters(model)
assert read.broken[1].sum() > empty.sum() / 2, "most of them clash"
assert read.broken[picks[0]].sum() > read.broken[picks[-2]].sum() > 0, "then fewer"
assert took_back.sum() >= 10, "and many change their minds"
assert read.broken[solved_at:].sum() == 0 and (read.digits[solved_at:] == last_digits).all(), (
    "once right, it stays right"
)
lowest = int(thought.residuals.argmin()) + 1
print(f"the residual is lowest at loop {lowest}: {thought.residuals.min():.3f}")
assert lowest < 60 and thought.residuals[-20:].min() > 4 * thought.residuals.min(), "but it is not still"
assert solve(read.givens.tolist())[0] == [last_digits.tolist()], "a search program finds one solution: this one"

# %% [markdown]
# All at once, and with second thoughts: a digit is not written down but held, and as long as it does not fit the others it can go. In the end the rules are kept, and no digit changes any more. Here is the same puzzle in your hands, with the residual beside it:

# %%
widgets.watch_player(sudoku, puzzle, loops=120)

# %% [markdown]
# Did you look at the residual to the end? It falls, and then it rises again. The state still moves, on a way along which every digit stays what it is. Forty ones came to rest on a wrong answer; this is a right answer that does not come to rest. Lesson 07 finds out what goes on there, and brings this very loop to rest.
#
# And here is room for yours. Type or paste the 81 cells row by row, with dots or zeros for the empty ones. The buttons hold a puzzle that works and three that do not: you get a sentence, not a guess.

# %%
one = next(cell for cell, digit in enumerate(puzzle) if digit != ".")
widgets.solver(
    sudoku,
    puzzle,
    examples={
        "a puzzle": puzzle,
        "a digit twice": puzzle[: one + 1] + puzzle[one] + puzzle[one + 2 :],
        "several solutions": puzzle[:one] + "." + puzzle[one + 1 :],
        "no solution": "12345678." + "." * 8 + "9" + "." * 63,
    },
    label="your puzzle",
)

# %% [markdown]
# **What this cannot show.** One solved puzzle proves little, and this one was chosen because it is solved. Lesson 07 counts thousands, says how sure the counts are, and shows puzzles on which the loop never comes to rest. Nor does the model know what it is refused: that a puzzle has several solutions, or none, is found by a small search program that looks at it first.

# %% [markdown]
# ## What is inside the loop?
#
# One transformer block. Here it is as the course draws it; you build it from its parts in lesson 02.

# %%
plots.show(
    plots.block_diagram("internal", "post"),
    alt="Block diagram: the state z passes an attention branch and an MLP branch, each reading Wz z + Wh h "
    "and each followed by a norm N; the output returns to the input.",
    caption="What to see: the input h comes back inside every branch (internal recall), and a norm N closes each branch "
    "on the stream (outer norm). Lesson 03 takes these two choices apart.",
)

# %% [markdown]
# ## What the course holds
#
# | lesson | the question it answers | what you build |
# |---|---|---|
# | 01 · fixed points | when does repeating a map settle? | iteration, residual, cobweb, power iteration |
# | 02 · a loop block from scratch | what is inside the loop? | RMSNorm, rotary positions, masked attention, the block |
# | 03 · recall and normalization | where does the input enter, where does the norm sit? | every variant, as one small change each |
# | 04 · learning to loop | how do you train through 30 loops? | progressive loss, curriculum, gradients through a loop |
# | 05 · thinking longer than trained | does it extrapolate? | accuracy against loops, other starts |
# | 06 · three axes | does it arrive, does it listen, does it stay trainable? | path-independence, sensitivity, spectra |
# | 07 · sudoku | can 60 thousand parameters solve puzzles? | encoding, symmetries, structured attention |
# | 08 · chess | what if there is no algorithm to learn? | planes, moves, legality |
# | 09 · spend loops where they are needed | how much compute does each instance need? | halting, compaction, acceleration |
# | 10 · the whole grid | do the paper's claims hold here? | intervals over seeds, verdicts, a sweep that survives |
# | 11 · beyond one block | what changes with more blocks, 10,000 loops, another machine? | scaled residuals, long horizons, training in two processes |
# | 12 · your own question | how does a question become a page that others can trust? | a task in one file, an experiment, findings |
#
# Lessons build on each other, but each can be opened alone. What is trained in front of you takes minutes, on a CPU. The other models come with the course, and each
# carries a card that says how it was made: `looped-lite card NAME`. The helper package `looped_lite` is short enough to read in an evening, and you are
# invited to.
#
# The ideas come from A. Labovich, *Stability and Generalization in Looped Transformers* (arXiv 2604.15259). Where our measurements agree with the paper the course says so,
# and where they do not it says that too.

# %% [markdown]
# ## Recap
#
# - A looped model applies one block again and again: $z_{t+1} = f(z_t, h)$.
# - More loops are more thinking, with the same parameters. News travels a fixed number of cells a loop, so longer problems need more of them.
# - A good loop ends at a fixed point: the residual falls, and the answer stays. You can see that it is done without knowing the answer, but not that it is right.
#
# ## Self-test
#
# **1.** A model sees three neighbours on each side instead of two. How many loops does a string of 60 bits need at the very least?
#
# <details><summary>Answer</summary>
#
# 20. The last bit is 59 cells from the first one, whose news it needs, and 60 from the mark at the start, which says that the string begins there. At 3 cells a loop
# both take 20 loops.
#
# </details>
#
# **2.** The residual is below $10^{-4}$. Is the answer right?
#
# <details><summary>Answer</summary>
#
# Not for sure: 40 ones came to rest at a wrong answer. A small residual says that the state has stopped moving. Whether that means "right"
# is something to measure, not to assume.
#
# </details>
#
# **3.** Why can the model use 128 loops although training never went beyond 20?
#
# <details><summary>Answer</summary>
#
# Each loop is the same block, and it takes the state and the input as it finds them: it does not count. If what it does is "extend the right answers by a cell or two, and leave alone
# what is right already", it can be repeated for as long as there is something to extend.
#
# </details>
#
# ## Further reading
#
# - A. Labovich, *Stability and Generalization in Looped Transformers*, arXiv 2604.15259: the paper behind this course.
# - A. Schwarzschild and others, *Can You Learn an Algorithm? Generalizing from Easy to Hard Problems with Recurrent Networks*, NeurIPS 2021: prefix sums, mazes and chess,
#   trained short and tested long.
# - M. Dehghani and others, *Universal Transformers*, ICLR 2019: a transformer that loops one block.
# - S. Bai, J. Z. Kolter, V. Koltun, *Deep Equilibrium Models*, NeurIPS 2019: going straight for the fixed point.

# %%
report(ex)

# %% [markdown]
# Next: **01 · fixed points**, where you find out when repeating a map settles, with a pocket calculator's worth of mathematics.
