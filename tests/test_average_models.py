"""Averages of models (data/average_models.py)."""

import json

import pytest
import torch

from data import average_models
from looped_lite.pretrained import load_pretrained, save_pretrained
from looped_lite.recipe import Recipe
from looped_lite.tasks.prefix_sums import PrefixSums

SMALL = Recipe(PrefixSums(last_level=4), width=16, heads=2, steps=10)


def models(tmp_path, *recipes):
    paths = []
    for number, recipe in enumerate(recipes):
        torch.manual_seed(number)
        model = recipe.build()
        for weight in model.parameters():
            weight.data.normal_()
        card = {"steps": 10, "minutes": 0.5, "threads": 1}
        paths.append(str(save_pretrained(model, tmp_path / f"part-{number}.safetensors", card)))
    return paths


def test_weights_are_means_and_the_card_tells_the_parts(tmp_path):
    paths = models(tmp_path, SMALL, SMALL, Recipe(SMALL.task, width=16, heads=2, steps=7, begin=str(tmp_path / "a")))
    out = tmp_path / "mean.safetensors"
    assert average_models.main([*paths, "--out", str(out)]) == 0
    mean, parts = load_pretrained(out), [load_pretrained(path) for path in paths]
    for name, weight in mean.state_dict().items():
        wanted = sum(part.state_dict()[name].double() for part in parts) / 3
        assert torch.equal(weight, wanted.float()), name
    assert mean.recipe.steps == 7 and mean.recipe.begin == "a"
    assert mean.card["steps"] == 30 and mean.card["minutes"] == 1.5
    assert [part["name"] for part in mean.card["averaged"]] == ["part-0", "part-1", "part-2"]
    assert str(tmp_path) not in json.dumps(mean.card["recipe"])


def test_a_training_that_two_parts_share_counts_once(tmp_path, monkeypatch):
    """Two that go on from the mean of two: four trainings, told and counted."""
    monkeypatch.chdir(tmp_path)
    paths = models(tmp_path, SMALL, SMALL)
    assert average_models.main([*paths, "--out", "mean.safetensors"]) == 0
    card = {"steps": 7, "minutes": 0.25}
    for name in ("third", "fourth"):
        recipe = Recipe(SMALL.task, width=16, heads=2, steps=7, begin="mean.safetensors")
        save_pretrained(recipe.build(), f"{name}.safetensors", card)
    assert average_models.main(["third.safetensors", "fourth.safetensors", "--out", "last.safetensors"]) == 0
    found = load_pretrained("last.safetensors").card
    assert found["steps"] == 34 and found["minutes"] == 1.5
    assert [part["name"] for part in found["averaged"][1]["begin"]["averaged"]] == ["part-0", "part-1"]
    assert [part["name"] for part in found["averaged"]] == ["third", "fourth"]


def test_models_of_several_shapes_and_single_ones_are_refused(tmp_path, capsys):
    paths = models(tmp_path, SMALL, Recipe(SMALL.task, width=32, heads=2, steps=10))
    for asked in (paths, paths[:1], [*paths[:1], str(tmp_path / "missing.safetensors")]):
        with pytest.raises(SystemExit) as stop:
            average_models.main([*asked, "--out", str(tmp_path / "mean.safetensors")])
        assert stop.value.code == 2 and not (tmp_path / "mean.safetensors").exists()
        said = capsys.readouterr().err.splitlines()[-1]
        assert "equal in recall" in said or "missing" in said
