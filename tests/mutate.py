"""Change the core on purpose, one line at a time, and see whether a test notices: ``python tests/mutate.py [WORD
...]``.

Each mutant is a name, a file, a piece of its source that stands there once, what to put in its place, and the tests
that must fail. They run on a copy of the checkout. With words, only mutants whose names or files hold one of them. Exit
code 1 if a mutant survives that nobody has explained (see tests/README.md), or if its piece of source is no longer
there.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch  # noqa: F401 (each mutant runs in a fork of this process, which has the slow imports behind it)

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "looped_lite"


class Mutant(NamedTuple):
    name: str
    old: str
    new: str
    equivalent: str = ""  # why no test can tell


M = Mutant
# file -> the names of its test files, and its mutants
MUTANTS: dict[str, tuple[str, list[Mutant]]] = {
    "blocks": (
        "blocks",
        [
            M("scores not scaled", "q, k, v = (q / head_width**0.5).mT.contiguous()", "q, k, v = q.mT.contiguous()"),
            M("a window beyond the last cell", "(seen < 0) | (seen >= cells)", "(seen < 0) | (seen > cells)"),
            M("a window before the first cell", "(seen < 0) | (seen >= cells)", "(seen < -1) | (seen >= cells)"),
            M("rotation mirrored", "first * cos - second * sin", "first * cos + second * sin"),
            M("axes turn at different rates", "frequency).flatten(1)", "frequency).mT.flatten(1)"),
            M("keys not normalized", "k = rms_norm(rotate(k, angles))", "k = rotate(k, angles)"),
            M("no temperature", "rms_norm(rotate(q, angles)) * self.temperature", "rms_norm(rotate(q, angles))"),
            M(
                "biases open what the mask closes",
                'bias if self.mask is None else bias.masked_fill(~self.mask, float("-inf"))',
                "bias",
            ),
            M("recall not the identity at first", "nn.init.eye_(self.Wh.weight)", "pass"),
            M("gru begins open", "constant_(self.gate.bias, -1.0)", "constant_(self.gate.bias, 1.0)"),
            M("gru forgets the reset", "torch.cat([reset * z, update], dim=-1)", "torch.cat([z, update], dim=-1)"),
            M("peri is post", "return z + norm(update)", "return norm(z + update)"),
            M("no external recall", 'if self.recall_at == "external":', "if False:"),
            M(
                "internal recall in one branch",
                'if self.recall_at == "internal" else u',
                'if self.recall_at == "internal" and not branch else u',
            ),
        ],
    ),
    "model": (
        "model",
        [
            M(
                "rows of the wrong recall",
                "None if part is None else part[rows]",
                "None if part is None else part[: len(self.h[rows])]",
            ),
            M(
                "joined in another order",
                "torch.cat([loop.h for loop in loops])",
                "torch.cat([loop.h for loop in loops[::-1]])",
            ),
            M(
                "noise of nobody's generator",
                "torch.randn(self.h.shape, generator=generator)",
                "torch.randn(self.h.shape)",
            ),
            M("zeros are the input", "return torch.zeros_like(self.h)", "return self.h"),
            M(
                "states one loop late",
                "            z = self(z)\n            yield z",
                "            yield z\n            z = self(z)",
            ),
            M("no vector for each cell", "h if self.cell_embedding is None else h + self.cell_embedding", "h"),
            M("never across", "logits.transpose(1, 2) if self.across else logits", "logits"),
            M(
                "one block compiled",
                "for block in model.blocks:\n        block.compile",
                "for block in model.blocks[:1]:\n        block.compile",
            ),
            M("compiled for one shape", "block.compile(dynamic=dynamic)", "block.compile(dynamic=False)"),
            M("no compiler found late", "if shutil.which(compiler) is None:", "if False:"),
            M("all parameters counted", "if p.requires_grad)", "if True)", "every parameter here is trained"),
        ],
    ),
    "recipe": (
        "recipe",
        [
            M("one seed for all", "torch.manual_seed(self.seed)", "torch.manual_seed(0)"),
            M(
                "building moves the global generator",
                "with torch.random.fork_rng(devices=[]):",
                "with torch.enable_grad():",
            ),
            M(
                "decay may be negative",
                'in which the rate falls to 0", 1e-9, 1.0)',
                'in which the rate falls to 0", -2.0, 1.0)',
            ),
            M(
                "seeds beyond 64 bits",
                'of the weights and of all that is drawn", 0, 2**63 - 1)',
                'of the weights and of all that is drawn", 0, 2**70)',
            ),
            M("memory for weights alone", "if 4 * needed > memory():", "if needed > memory():"),
            M(
                "a setting of the task forgotten",
                "for f in fields(task) if f.init}",
                "for f in fields(task)[:-1] if f.init}",
            ),
            M("missing settings of today's version", "version >= later[name][0]}", "version > later[name][0]}"),
            M(
                "old files get today's default",
                "return {name: later[name][1] for name in known - given.keys()} | tuples",
                "return tuples",
            ),
            M("versions of the future", "not 1 <= version <= VERSION", "not 1 <= version"),
            M(
                "digest without the task",
                "json.dumps(oldest_form(self.to_dict()), sort_keys=True)",
                "json.dumps({**oldest_form(self.to_dict()), 'task': 0}, sort_keys=True)",
            ),
            M(
                "digest of some settings",
                "json.dumps(oldest_form(self.to_dict()), sort_keys=True)",
                "json.dumps({**oldest_form(self.to_dict()), 'lr': 0}, sort_keys=True)",
            ),
            M("printed line without the task's settings", "if f.init and value != default_of(f):", "if False:"),
            M("printed line without zeros", "if value != f.default:", "if value and value != f.default:"),
            M("a pool that settles", "if self.pool is not None and self.settle is not None:", "if False:"),
            M("a pool of a batch refused", "self.pool < self.batch", "self.pool <= self.batch"),
            M("settle of all steps refused", "self.settle > self.steps", "self.settle >= self.steps"),
        ],
    ),
    "checks": (
        "recipe",
        [
            M("true is a number", "and not isinstance(value, bool)", ""),
            M("halves are whole", 'if not fits or (kind == "a whole number" and value != int(value)):', "if not fits:"),
            M("low ends are out", "low <= value <= high", "low < value <= high"),
            M(
                "settings stay what they were",
                "kind(check(name, getattr(setting_of, name), low, high))",
                "check(name, getattr(setting_of, name), low, high)",
            ),
        ],
    ),
    "training": (
        "training",
        [
            M("shallow batches counted", "if level == run.level and n + k >= 0.8 * most:", "if level == run.level:"),
            M("easy levels counted", "if level == run.level and n + k >= 0.8 * most:", "if n + k >= 0.8 * most:"),
            M(
                "running accuracy not reset",
                "run.level, run.running = task.harder(level), 0.0",
                "run.level = task.harder(level)",
            ),
            M("its weight doubled", "run.running += 0.3 * (", "run.running += 0.6 * ("),
            M("cells that are not scored counted", "correct_cells(logits, y)[scored]", "correct_cells(logits, y)"),
            M("moves on at another accuracy", "if run.running > recipe.advance and", "if run.running > 0.89 and"),
            M("the last level is reset too", "recipe.advance and level != task.last_level:", "recipe.advance:"),
            M("levels never easier", "level = task.draw_level(run.level, generator)", "level = run.level"),
            M("no clipping", "parameters(), state.recipe.clip)", "parameters(), 1e9)"),
            M("clipping at one", "parameters(), state.recipe.clip)", "parameters(), 1.0)"),
            M(
                "Muon on every matrix",
                "p in model.blocks.parameters() if p.ndim == 2",
                "p in model.parameters() if p.ndim == 2",
            ),
            M(
                "Muon on every parameter of the loop",
                "p in model.blocks.parameters() if p.ndim == 2",
                "p in model.blocks.parameters() if p.ndim",
            ),
            M("AdamW on all that Muon has", "if id(p) not in chosen]", "]"),
            M("beta2 ignored", "betas=(0.9, recipe.beta2)", "betas=(0.9, 0.999)"),
            M(
                "no weight decay",
                "recipe.beta2), weight_decay=recipe.weight_decay)",
                "recipe.beta2), weight_decay=0.01)",
            ),
            M(
                "Muon at AdamW's rate",
                "[recipe.lr] if recipe.muon is None else [recipe.muon, recipe.lr]",
                "[recipe.lr, recipe.lr]",
            ),
            M("warm-up from zero", "(step + 1) / warmup", "step / warmup"),
            M("decay too long", "(steps - step) / (decay * steps)", "(steps - step) / (1.1 * decay * steps)"),
            M(
                "settle at the share of decay",
                "recipe.decay if recipe.settle is None else recipe.settle / end",
                "recipe.decay",
            ),
            M(
                "settle one step late",
                'before = [task.first_level, *run.history["level"]]',
                'before = run.history["level"]',
            ),
            M(
                "always one loop with gradient",
                "k = int(torch.randint(1, most - n + 1, (), generator=generator))\n    return",
                "k = 1 + 0 * int(torch.randint(1, most - n + 1, (), generator=generator))\n    return",
            ),
            M(
                "never without gradient",
                "n = int(torch.randint(0, most, (), generator=generator))",
                "n = 0 * int(torch.randint(0, most, (), generator=generator))",
            ),
            M(
                "gradient through all loops",
                "    with torch.no_grad():\n        for _ in range(n):",
                "    with torch.enable_grad():\n        for _ in range(n):",
            ),
            M(
                "half precision with stale weights",
                "cache_enabled=False",
                "cache_enabled=True",
                "PyTorch 2.13 keeps no copy of a weight made without gradient; older ones did",
            ),
            M("right once leaves the pool", 'leaves = (right & pool["right"][rows])', "leaves = right"),
            M("a loop over the horizon", "(age >= recipe.horizon)", "(age > recipe.horizon)"),
            M("old instances from noise", "noisy = fresh & (", "noisy = ("),
            M(
                "fresh instances from an old state",
                'torch.where(fresh[:, None, None], loop.h, pool["z"][rows])',
                'pool["z"][rows]',
            ),
            M("the pool's running mean", "run.running += 0.02 * (", "run.running += 0.2 * ("),
            M("the generator not resumed", 'state.generator.set_state(tensors["generator"])', "pass"),
            M(
                "the moments not resumed",
                "owner[id(place)].state[place][key] = value.to(place.device) if value.ndim else value",
                "pass",
            ),
            M("the pool not resumed", 'pool[name] = tensors[f"pool.{name}"].to(part)', "pass"),
            M(
                "any recipe resumes",
                'same_recipe(path, Recipe.from_dict(facts["recipe"]).to_dict(), recipe.to_dict())',
                "pass",
            ),
            M("any task's settings resume", '{f"task.{k}": v for k, v in facts["task"].items()} | {', "{"),
            M("any level resumes", 'number("level", level, min(ends), max(ends))', "pass"),
            M("any step resumes", "if lengths != {step} or", "if"),
            M("only Ctrl-C is heard", '("SIGINT", "SIGTERM", "SIGHUP")', '("SIGINT",)'),
            M(
                "the second Ctrl-C ignored",
                "            raise KeyboardInterrupt\n        asked",
                "            return\n        asked",
            ),
            M("handlers not put back", "signal.signal(getattr(signal, name), handler)", "pass"),
            M("not saved by the clock", "SAVE_SECONDS = 60.0", "SAVE_SECONDS = 1e9"),
            M("not saved by steps", "run.step % save_every == 0", "False"),
            M(
                "a step's length, not its share of the state's",
                "squared(z - before) / squared(z)",
                "squared(z - before)",
            ),
            M(
                "no reward for standing still",
                "relative_step(before, z) if recipe.still else loss",
                "0.0 if recipe.still else loss",
            ),
            M("nan trains on", "    if not math.isfinite(value.item()):", "    if False:"),
            M("infinite gradients train on", "    if not math.isfinite(norm):", "    if False:"),
            M("batches of one seed", "torch.Generator().manual_seed(recipe.seed)", "torch.Generator().manual_seed(0)"),
            M("begins with anything", "if digest and not checksum(tensors, facts).startswith(digest):", "if False:"),
            M("never compiled", "compile_blocks(model) if recipe.compiled else model", "model"),
            M("unwritable found late", "        check_writable(checkpoint)\n", ""),
        ],
    ),
    "solving": (
        "solving",
        [
            M("the second try from the input", 'loop.start("noise", generator), lambda', "loop.start(), lambda"),
            M("the image not brought back", "lambda logits: put(back(logits))", "lambda logits: put(logits)"),
            M("the guess not brought back", "lambda logits: put(back(logits))", "lambda logits: back(logits)"),
            M(
                "one noise for all tries",
                "generator = torch.Generator().manual_seed(number)",
                "generator = torch.Generator().manual_seed(1)",
            ),
            M("guesses at once", "said is not None and number >= task.guess_after", "said is not None"),
            M("one draw for all guesses", "said, torch.Generator().manual_seed(number)", "said, torch.Generator()"),
            M("guesses unasked", "job.said if self.guess else None", "job.said"),
            M("guesses by the image's logits", "job.said = job.back(logits[None])", "job.said = logits[None]"),
            M("overflow goes on", "lost = (~size.isfinite()).tolist()", "lost = size.isnan().tolist()"),
            M("absolute residuals", "residual = moved / size.clamp_min(TINY)", "residual = moved"),
            M("nothing cycles", "if job.age & (job.age - 1) == 0]", "if False]"),
            M("much cycles", "<= 1e-3 * moved)", "<= moved)"),
            M("anchors of other rows", "self.anchor[keep]", "self.anchor[: len(keep)]"),
            M(
                "loops of other rows",
                "self.loop, self.z, self.anchor = self.loop[keep]",
                "self.loop, self.z, self.anchor = self.loop[: len(keep)]",
            ),
            M("a budget for each try", "left = job.age + job.budget - job.used", "left = job.budget"),
            M("the schedule of the next try", "self.restart(job.tries - 1)", "self.restart(job.tries)"),
            M(
                "the certificate asked now and then",
                "(ends[row] or job.age % LOOK_EVERY == 0 or job.age >= self.limit(job))",
                "(job.age % LOOK_EVERY == 0)",
            ),
            M("the certificate not asked at rest", "(ends[row] or job.age", "(job.age"),
            M("the certificate not asked on the way", "job.age % LOOK_EVERY == 0 or", ""),
            M("certified answers run on", 'status = "solved"', "pass"),
            M("nan is class 0", 'status == "diverged" or not logits.isfinite().all()', 'status == "diverged"'),
            M(
                "all at once",
                "while self.waiting and len(self.jobs) + len(fresh) < self.at_once:",
                "while self.waiting:",
            ),
            M("reads without end", "islice(numbered, ahead - (read - given))", "islice(numbered, ahead)"),
            M(
                "lenient",
                "            if strict:\n                raise",
                "            if False:\n                raise",
            ),
            M("loops of the last try alone", "status, job.used, job.tries", "status, job.age, job.tries"),
            M(
                "gradients kept",
                "@torch.no_grad()  # here, since each thread has a switch of its own",
                "@torch.enable_grad()",
            ),
            M("watching without the extra loops", "len(residuals) >= settled + extra", "len(residuals) >= settled"),
            M("watching one try", "if not certifies or task.certify(x, logits[-1]).all():", "if True:"),
            M("watching the image", "logits.append(back(loop.read_out(z)))", "logits.append(loop.read_out(z))"),
            M("infinite residuals in JSON", "if not math.isfinite(self.residual):", "if False:"),
        ],
    ),
    "evaluation": (
        "evaluation",
        [
            M(
                "a curve off by one",
                "z, active = loop.start(start, generator), ",
                "z, active = loop(loop.start(start, generator)), ",
            ),
            M("all points the last one", "found[t] = logits.clone()", "found[t] = logits"),
            M(
                "other rows stand still",
                "loop[~stays], z[~stays], active[~stays]",
                "loop[~stays], z[~stays], active[: int((~stays).sum())]",
            ),
            M("stillness not relative", "<= still * lengths(z) if still", "<= still if still"),
            M(
                "parts in another order",
                "torch.cat([part[t] for part in parts])",
                "torch.cat([part[t] for part in parts[::-1]])",
            ),
            M("nobody stands still", "<= still * lengths(z) if still else", "< 0 if still else"),
        ],
    ),
    "pretrained": (
        "checkpoints",
        [
            M("models that train on", "return model.eval()", "return model"),
            M(
                "saved without a look",
                "load_into(Recipe.from_dict(recipe.to_dict()).build(), model.state_dict(), path)",
                "pass",
            ),
            M("cards that name another recipe", "if key not in known}", "}"),
        ],
    ),
    "checkpoints": (
        "checkpoints",
        [
            M(
                "settings not under the checksum",
                "hashlib.sha256(json.dumps(facts, sort_keys=True).encode())",
                "hashlib.sha256()",
            ),
            M("shapes not under the checksum", "{tuple(tensor.shape)}", ""),
            M("types not under the checksum", "{tensor.dtype}", ""),
            M("names not under the checksum", "\\0{name}\\0{tensor", "\\0{tensor"),
            M("no checksum", "if found != saved:", "if False:"),
            M("not on the disk", "            os.fsync(file.fileno())\n", ""),
            M("written in place", "os.replace(temporary, path)", "path.write_bytes(data)"),
            M("temporary files stay", "if temporary and os.path.exists(temporary):", "if False:"),
            M("nothing is cleared", "if writer and not alive(int(writer[1])):", "if False:"),
            M("other writers cleared", "if writer and not alive(int(writer[1])):", "if writer:"),
            M("infinite weights load", "if not tensors[name].isfinite().all():", "if tensors[name].isnan().any():"),
            M("headers in any order", "write_atomic(path, in_order(data))", "write_atomic(path, data)"),
        ],
    ),
    "intervals": (
        "evaluation",
        [
            M("a Wilson interval of zero width", "half = z / (1 + z * z / n)", "half = 0 * z / (1 + z * z / n)"),
            M("Wald instead of Wilson", "middle = (share + z * z / (2 * n)) / (1 + z * z / n)", "middle = share"),
        ],
    ),
    "tasks/__init__": (
        "training evaluation recipe",
        [
            M(
                "one cell is enough",
                "return correct_cells(logits, targets).all(-1)",
                "return correct_cells(logits, targets).any(-1)",
            ),
            M("nan is right", "& ~logits.isnan().any(-1)", ""),
            M("unscored cells are wrong", "return right | (targets == IGNORE)", "return right"),
        ],
    ),
    "tasks/prefix_sums": (
        "prefix_sums",
        [
            M(
                "random strings only",
                "first, second = round(size * self.uniform)",
                "first, second = size + 0 * round(size * self.uniform)",
            ),
            M("all runs begin with 0", "(torch.randint(2, (size, 1), generator=generator) + switches", "(switches"),
            M(
                "densities of a half",
                "(torch.rand(size, length, generator=generator) < density)",
                "(torch.rand(size, length, generator=generator) < 0.5)",
            ),
            M("half of the batches shorter", ">= self.shorter:", ">= 0.5:"),
            M(
                "never as deep as the last level",
                "most = self.last_loops if level == self.last_level and self.last_loops else self.most_loops",
                "most = self.most_loops",
            ),
            M(
                "the BOS cell scored",
                "F.pad(prefix_sums(bits), (1, 0), value=IGNORE)",
                "F.pad(prefix_sums(bits), (1, 0), value=0)",
            ),
            M(
                "levels beyond the last",
                "min(level + max(2, level // 4), self.last_level)",
                "level + max(2, level // 4)",
            ),
        ],
    ),
    "tasks/sudoku": (
        "sudoku",
        [
            M(
                "no jitter of givens",
                "share = level + 0.2 * torch.rand(size, 1, generator=generator) - 0.1",
                "share = level + 0 * torch.rand(size, 1, generator=generator)",
            ),
            M(
                "one jitter for all",
                "0.2 * torch.rand(size, 1, generator=generator)",
                "0.2 * torch.rand(1, 1, generator=generator)",
            ),
            M(
                "no symmetries",
                "torch.from_numpy(apply_symmetry(grids, cells, digits)) for grids in both",
                "torch.from_numpy(grids) for grids in both",
            ),
            M("givens scored", "(solutions - 1).masked_fill(puzzles > 0, IGNORE)", "(solutions - 1)"),
            M("givens overwritten", "torch.where(givens > 0, givens, logits.argmax(-1) + 1)", "logits.argmax(-1) + 1"),
            M("boxes not checked", "unit_masks(box)[:3].float()", "unit_masks(box)[:2].float()"),
            M("boxes forbid no guess", "unit_masks(box)[:3].any(0)", "unit_masks(box)[:2].any(0)"),
            M("guesses where the answer is sure", "unsure = (1 - first + second)", "unsure = (first - second)"),
            M("guesses of givens", "clamp_min(1e-3) * (x[..., 0] > 0)", "clamp_min(1e-3)"),
            M("the likeliest digit", "drawn_by(chances[rows, cell], draws[:, 1])", "chances[rows, cell].argmax(-1)"),
            M("guesses by logits that are no numbers", "logits.double().nan_to_num()", "logits.double()"),
            M("the guess not in the answer", "torch.where(new, SURE * guessed[..., 1:], logits)", "logits"),
            M(
                "nan certified",
                "keeps_rules(fill(x, logits), self.box) & logits.isfinite().all(-1).all(-1)",
                "keeps_rules(fill(x, logits), self.box)",
            ),
            M(
                "digits not brought back",
                "over_digits(over_cells(logits, where), digits[:, 1:] - 1)",
                "over_cells(logits, where)",
            ),
            M(
                "levels below zero",
                "max(round(level - self.stride, 6), self.last_level)",
                "round(level - self.stride, 6)",
            ),
            M("one given changed is solved", '"solved": is_valid_solution(filled, givens, self.box)', '"solved": True'),
        ],
    ),
    "tasks/chess": (
        "chess",
        [
            M("mirrored boards, other squares", "torch.where(mirror[:, None], targets ^ 7, targets)", "targets"),
            M(
                "black stays upside down",
                "swapped[boards].reshape(-1, 8, 8)[:, ::-1]",
                "swapped[boards].reshape(-1, 8, 8)",
            ),
            M("kings on both halves", "left = (upright[:, :, :4]", "left = 0 * (upright[:, :, :4]"),
            M(
                "any promotion",
                "if known is not move and not mates_at_once(board, known) and mates_at_once(board, move):",
                "if False:",
            ),
            M(
                "depths beyond the level",
                "depth for depth in self.depths if depth <= level",
                "depth for depth in self.depths",
            ),
            M("shares of positions", 'if self.shares == "groups":', "if False:"),
            M("shares of sizes", "sizes.sqrt() if", "sizes if"),
        ],
    ),
}


def copy_of_checkout(folder: Path) -> None:
    """Package, tests and settings are copied; the data is only linked to."""
    for name in (PACKAGE, "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "data").symlink_to(ROOT / "data")


def run_tests(folder: Path, tests: str) -> None:
    """What a child does: the tests in ``folder``, with nothing of the package imported before."""
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    words = ["-x", "-q", "-p", "no:cacheprovider", *(f"tests/test_{name}.py" for name in tests.split())]
    sys.exit(int(pytest.main(words)))


def killed(folder: Path, tests: str) -> bool:
    """Do the tests fail in ``folder``? A mutant that makes them run for ten minutes counts as seen."""
    child = multiprocessing.get_context("fork").Process(target=run_tests, args=(folder, tests))
    child.start()
    child.join(600)
    if child.is_alive():
        child.kill()
        return True
    if child.exitcode > 2:  # 2: the mutant cannot even be imported; below 0: the signal that a test sent ended it
        raise SystemExit(f"pytest ended with {child.exitcode}")
    return child.exitcode != 0


def main(words: list[str]) -> int:
    counts = {"killed": 0, "survived": 0, "equivalent": 0, "stale": 0}
    for file, (tests, mutants) in MUTANTS.items():
        if words and not any(word in f"{file}: {mutant.name}" for mutant in mutants for word in words):
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            copy_of_checkout(folder)
            path = folder / PACKAGE / f"{file}.py"
            source = path.read_text(encoding="utf-8")
            for mutant in mutants:
                if words and not any(word in f"{file}: {mutant.name}" for word in words):
                    continue
                began = time.monotonic()
                if source.count(mutant.old) != 1:
                    what = "stale"
                else:
                    path.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
                    what = "killed" if killed(folder, tests) else "equivalent" if mutant.equivalent else "survived"
                counts[what] += 1
                print(f"{what:>10}  {file}: {mutant.name}  ({time.monotonic() - began:.0f} s)", flush=True)
            path.write_text(source, encoding="utf-8")
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return 1 if counts["survived"] or counts["stale"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
