"""A model as ONNX graphs: they do in onnxruntime what the model does in PyTorch, at any length, and come as whole files
or not at all.
"""

import inspect
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from looped_lite.cli import main
from looped_lite.export import export, fixed_cells, plane, samples
from looped_lite.pretrained import load_pretrained
from looped_lite.recipe import Recipe, get_task


def test_importing_it_needs_nothing_of_the_extra():
    code = (
        "import sys, looped_lite.export, looped_lite.cli; print({'onnx', 'onnxscript', 'onnxruntime'} &"
        " set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_package_is_named_in_a_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["export", "sudoku-6x6", "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert 'onnxruntime: pip install "looped-lite[export]"' in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def untrained(task, **settings):
    """A model of this recipe, whose weights are moved from where they begin, so that nothing is 0 or 1."""
    recipe = Recipe(get_task(task) if isinstance(task, str) else task, **settings)
    model = recipe.build().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in model.parameters():
            part += 0.1 * torch.randn(part.shape, generator=generator)
    model.recipe = recipe
    return model


@pytest.fixture(scope="module")
def needed():
    if "dynamic_shapes" not in inspect.signature(torch.onnx.export).parameters:
        pytest.skip("this PyTorch cannot export")
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)


def states(folder, x, loops):
    """States, logits and residuals of the files in a folder, loop by loop, and what encode.onnx gave."""
    import onnxruntime

    encode, step = (onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("encode", "step"))
    h, *recalled = encode.run(None, {"x": x.numpy()})
    z, seen = h, []
    for _ in range(loops):
        z, logits, residual, moved, size = step.run(
            None, {"z": z, **{f"recalled_{i}": r for i, r in enumerate(recalled)}}
        )
        seen.append([torch.from_numpy(part) for part in (z, logits, residual, moved, size)])
    return torch.from_numpy(h), seen


# prefix sums have lengths, two blocks recall twice; sudoku has masks, chess reads across
CASES = [
    ("prefix-sums", {"blocks": 2}),
    ("prefix-sums", {"recall": "none", "norm": "gru"}),
    (get_task("sudoku", box=(2, 3)), {"recall": "external", "norm": "pre"}),
    ("chess", {"norm": "sandwich"}),
]


@pytest.mark.slow
@pytest.mark.parametrize("task, settings", CASES, ids=[str(settings) for _, settings in CASES])
def test_the_graphs_do_what_the_model_does(needed, tmp_path, task, settings):
    model = untrained(task, width=16, **settings)
    folder = export(model, tmp_path / "made")
    cells = fixed_cells(model)
    assert (cells is None) == (task == "prefix-sums")
    for batch, length in ((1, cells or 5), (3, cells or 40)):
        x = torch.randn(batch, length, model.embed.in_features, generator=torch.Generator().manual_seed(1))
        h, seen = states(folder, x, 5)
        with torch.no_grad():
            loop = model.loop(x)
            z = loop.start()
            assert torch.allclose(h, z, atol=1e-5)
            for after, logits, residual, moved, size in seen:
                before, z = z, loop(z)
                assert torch.allclose(after, z, rtol=1e-3, atol=1e-3)
                assert torch.allclose(logits, loop.read_out(z), rtol=1e-3, atol=1e-3)
                step, length = (z - before).flatten(1).norm(dim=1), z.flatten(1).norm(dim=1)
                for found, wanted in ((residual, step / length), (moved, step), (size, length)):
                    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_what_lies_beside_the_graphs(needed, tmp_path, capsys):
    assert main(["export", "sudoku-6x6", "--out", str(tmp_path)]) == 0
    assert str(tmp_path) in capsys.readouterr().out
    facts = json.loads((tmp_path / "model.json").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encode.onnx", "model.json", "step.onnx"]
    assert {"name": "sudoku-6x6", "recall": "internal", "cells": 36}.items() <= facts.items()
    assert {"restart_every": 64, "guess_after": 4}.items() <= facts.items()
    assert b".py" not in (tmp_path / "step.onnx").read_bytes()  # no path of the machine that wrote it
    weights = 4 * facts["parameters"]
    assert weights < facts["files"]["step.onnx"]["bytes"] + facts["files"]["encode.onnx"]["bytes"] < 1.3 * weights


def test_the_plane_is_the_models_own():
    model = load_pretrained("sudoku-6x6")
    found, again = (plane(model, samples(model)) for _ in range(2))
    axes = torch.tensor(found["axes"])
    assert found == again and torch.allclose(axes @ axes.T, torch.eye(2), atol=1e-5)


def test_what_cannot_be_exported_is_refused_in_a_line(needed, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("mine")
    for words in (["nothing"], ["sudoku-6x6"]):
        assert main(["export", *words, "-o", str(tmp_path / "file")]) == 2
        said = capsys.readouterr().err
        assert said.startswith("looped-lite: ") and said.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"
    nobody = load_pretrained("sudoku-6x6")
    nobody.recipe = None
    with pytest.raises(ValueError, match="recipe"):
        export(nobody, tmp_path / "out")


@pytest.mark.slow
def test_graphs_that_do_something_else_are_not_written(needed, tmp_path, monkeypatch):
    import looped_lite.export as module

    model = untrained("prefix-sums", width=16)
    other = untrained("prefix-sums", width=16, seed=1)
    other.recipe = replace(other.recipe, seed=1)
    made = module.graphs(other)
    monkeypatch.setattr(module, "graphs", lambda model: made)
    with pytest.raises(RuntimeError, match="do not do what the model does"):
        export(model, tmp_path / "out")
    assert not list(tmp_path.rglob("*.onnx"))
