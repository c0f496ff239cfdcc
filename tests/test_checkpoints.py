"""Files of tensors, and pretrained models: whole or not there at all, and refused with a reason when something is wrong."""

import errno
import hashlib
import json
import os
from dataclasses import dataclass

import pytest
import torch

from looped_lite import checkpoints, paths
from looped_lite.checkpoints import load_into, load_tensors, save_tensors, write_atomic, write_together
from looped_lite.model import LoopedTransformer, count_parameters
from looped_lite.paths import data_path
from looped_lite.pretrained import (
    TASKS,
    get_task,
    load_pretrained,
    pretrained_names,
    save_pretrained,
)
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.training import train


def small(**changes):
    return Recipe(PrefixSums(), **{"width": 16, "heads": 2, **changes}).build()


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*args, **kwargs):
    raise OSError(errno.EROFS, "Read-only file system")


# places at which a full or read-only disk shows itself
FAILURES = [("fsync", full), ("replace", read_only), ("chmod", read_only)]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder of our own."""
    monkeypatch.setenv("LOOPED_LITE_DATA", str(tmp_path))
    return tmp_path / "checkpoints"


# ---------------------------------------------------------------- files


def test_tensors_and_facts_come_back(tmp_path):
    tensors = {"a": torch.randn(3, 4), "b.c": torch.arange(5), "t": torch.randn(3, 4).T}
    facts = {"step": 3, "history": {"loss": [0.1, 1 / 3]}, "name": "ä", "none": None}
    save_tensors(tmp_path / "new" / "x.safetensors", tensors, facts)
    loaded, got = load_tensors(tmp_path / "new" / "x.safetensors")
    assert got == facts and loaded.keys() == tensors.keys()
    assert all(
        torch.equal(loaded[name], tensors[name]) and loaded[name].dtype == tensors[name].dtype for name in tensors
    )
    assert os.listdir(tmp_path / "new") == ["x.safetensors"]
    assert (tmp_path / "new" / "x.safetensors").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("place, failure", FAILURES)
def test_a_full_or_read_only_disk_leaves_the_old_file(tmp_path, monkeypatch, place, failure):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.ones(3)})
    before = path.read_bytes()
    monkeypatch.setattr(checkpoints.os, place, failure)
    with pytest.raises(OSError) as caught:
        save_tensors(path, {"a": torch.zeros(3)})
    assert str(caught.value).startswith(f"cannot save {path}: ") and "\n" not in str(caught.value)
    assert ("No space left" if failure is full else "Read-only") in str(caught.value)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot save"):
        write_atomic(tmp_path / "file" / "x", b"1")
    assert (tmp_path / "file").read_text() == "in the way"


def test_an_interrupt_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    write_atomic(tmp_path / "x", b"old")

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]


def test_files_written_together_change_together(tmp_path, monkeypatch):
    a, b = tmp_path / "a", tmp_path / "b"
    write_together({a: b"1", b: b"1"})
    synced = []

    def second_time(number):
        synced.append(number)
        if len(synced) == 2:
            full()

    monkeypatch.setattr(checkpoints.os, "fsync", second_time)
    with pytest.raises(OSError, match="No space left"):
        write_together({a: b"2", b: b"2"})
    assert a.read_bytes() == b.read_bytes() == b"1" and sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("place, failure", FAILURES)
def test_training_on_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, monkeypatch, place, failure):
    path = tmp_path / "run.safetensors"
    go = lambda **changes: train(
        small(), PrefixSums(), 8, batch=4, save_every=3, checkpoint=path, progress=False, **changes
    )

    def fill_the_disk(run):
        if run.step == 4:
            monkeypatch.setattr(checkpoints.os, place, failure)

    with pytest.raises(OSError, match="cannot save"):
        go(on_step=fill_the_disk)
    monkeypatch.undo()
    assert load_tensors(path)[1]["run"]["step"] == 3 and os.listdir(tmp_path) == [path.name]
    assert go().step == 8


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_tensors(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_tensors(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, 0.5, -1])
def test_truncated_files_are_refused(tmp_path, keep):
    path = tmp_path / "x.safetensors"
    save_tensors(path, small().state_dict())
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError) as caught:
        load_tensors(path)
    assert f"{path} is not a whole safetensors checkpoint" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"hello", b"\x80\x02}q\x00.", b"PK\x03\x04" + bytes(100), b"\xff" * 500, b"{}" * 50]
)
def test_foreign_files_are_refused(tmp_path, content):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a whole safetensors checkpoint"):
        load_tensors(path)
    with pytest.raises(ValueError, match="is not a whole safetensors checkpoint"):
        train(small(), PrefixSums(), 2, checkpoint=path, progress=False)
    assert path.read_bytes() == content


def test_a_torch_pickle_is_refused_and_not_executed(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(small().state_dict(), path)
    with pytest.raises(ValueError, match="is not a whole safetensors checkpoint"):
        load_tensors(path)


def test_a_checkpoint_without_a_run_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_tensors(path, small().state_dict())
    with pytest.raises(ValueError, match="holds no training run: expected a file saved by train"):
        train(small(), PrefixSums(), 2, checkpoint=path, progress=False)


def test_load_into_names_the_first_difference():
    own = small().state_dict()
    for tensors, message in (
        ({k: v for k, v in own.items() if k != "embed.bias"}, r"it lacks embed.bias \(16,\)"),
        (own | {"extra": torch.zeros(2)}, r"this one has no extra \(2,\)"),
        (own | {"embed.bias": torch.zeros(3)}, r"embed.bias is \(3,\) there, \(16,\) here"),
    ):
        with pytest.raises(ValueError, match="x.st is for another model: .*" + message):
            load_into(small(), tensors, "x.st")


# ---------------------------------------------------------------- pretrained models


@pytest.mark.parametrize(
    "changes", [{}, {"recall": "external", "norm": "gru"}, {"blocks": 2, "mlp_ratio": 2, "heads": 4}]
)
def test_save_and_load(data, changes):
    model = small(**changes)
    path = save_pretrained(
        model, "my.first", {"seed": 3, "steps": 10, "scores": {"exact_32": 1.0}, "sha256": "made up"}
    )
    assert path == data / "my.first.safetensors" and sorted(os.listdir(data)) == [
        "my.first.json",
        "my.first.safetensors",
    ]
    loaded, x = load_pretrained("my.first"), PrefixSums().encode("01101")
    assert isinstance(loaded, LoopedTransformer) and not loaded.training and torch.equal(loaded(x, 5), model(x, 5))
    assert loaded.task == PrefixSums() and loaded.card == json.loads((data / "my.first.json").read_text())
    assert loaded.card["seed"] == 3 and loaded.card["scores"] == {"exact_32": 1.0}
    assert loaded.card["parameters"] == count_parameters(model)
    assert loaded.card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert pretrained_names() == ["my.first"]
    assert torch.equal(load_pretrained(path)(x, 5), model(x, 5)) and torch.equal(
        load_pretrained(str(path))(x, 5), model(x, 5)
    )


def test_the_card_rebuilds_the_task(data):
    model = PrefixSums(window=7, most_loops=9).model(0, recall="none")
    save_pretrained(model, "w7", {})
    card = json.loads((data / "w7.json").read_text())
    assert (card["task"], card["task_settings"]) == ("prefix-sums", {"window": 7, "most_loops": 9})
    assert card["model"]["recall"] == "none"
    assert load_pretrained("w7").task == PrefixSums(window=7, most_loops=9)


@dataclass(frozen=True)
class Ones(PrefixSums):
    """A learner's own task."""

    name: str = "ones"
    shape: tuple = (1, 2)


def test_a_task_of_ones_own(data, monkeypatch):
    model = Ones(shape=(3, 4)).model(0, width=16, heads=2)
    with pytest.raises(ValueError, match=r"task 'ones' is not in looped_lite.pretrained.TASKS: add it"):
        save_pretrained(model, "ones", {})
    monkeypatch.setitem(TASKS, "ones", f"{__name__}:Ones")
    save_pretrained(model, "ones", {})
    assert load_pretrained("ones").task == Ones(shape=(3, 4))


def test_unknown_names_get_near_ones(data):
    with pytest.raises(ValueError, match=r"no pretrained model 'a': .*a.json is missing \(no models in "):
        load_pretrained("a")
    for name in ("prefix-sums-internal-post-seed0", "prefix-sums-internal-pre-seed0"):
        save_pretrained(small(), name, {})
    with pytest.raises(ValueError, match=r"did you mean prefix-sums-internal-post-seed0, "):
        load_pretrained("prefix-sums-internal-post")
    with pytest.raises(ValueError, match=r"known are prefix-sums-internal-post-seed0, "):
        load_pretrained("zzz")


def damage_weights(weights, card):
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)


def another_model(weights, card):
    facts = json.loads(card.read_text())
    facts["model"]["width"] = 32
    card.write_text(json.dumps(facts))


def change(key, value):
    def damage(weights, card):
        facts = json.loads(card.read_text())
        facts[key] = value
        card.write_text(json.dumps(facts))

    return damage


@pytest.mark.parametrize(
    "damage, message",
    [
        (damage_weights, "does not match the sha256 in m.json"),
        (lambda w, c: w.write_bytes(w.read_bytes()[:1000]), "m.safetensors is not a whole safetensors checkpoint"),
        (
            lambda w, c: w.write_bytes(b"version https://example.invalid/spec\n"),
            "is not a whole safetensors checkpoint",
        ),
        (lambda w, c: w.unlink(), "m.safetensors is missing"),
        (lambda w, c: c.unlink(), "m.json is missing"),
        (lambda w, c: c.write_text(c.read_text()[:50]), "m.json is not a model card"),
        (lambda w, c: c.write_bytes(b"\xff\xfe\x00"), "m.json is not a model card"),
        (lambda w, c: c.write_text("[]"), "m.json is not a model card"),
        (lambda w, c: c.write_text('{"task": "prefix-sums"}'), "m.json is not a model card"),
        (another_model, "is for another model"),
        (change("task", "juggling"), "unknown task 'juggling': expected one of prefix-sums, sudoku, chess"),
        (change("task_settings", {"colour": 3}), "task 'prefix-sums' cannot be made with {'colour': 3}"),
        (change("model", {"colour": 3}), "a prefix-sums model cannot be made with {'colour': 3}"),
        (change("model", 3), "m.json is not a model card"),
    ],
)
def test_damaged_models_are_refused(data, damage, message):
    save_pretrained(small(), "m", {})
    damage(data / "m.safetensors", data / "m.json")
    with pytest.raises(ValueError) as caught:
        load_pretrained("m")
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("place, failure", FAILURES)
def test_the_pair_that_was_there_survives_a_full_disk(data, monkeypatch, place, failure):
    old, x = small(), PrefixSums().encode("011")
    save_pretrained(old, "m", {"seed": 0})
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.os, place, failure)
        with pytest.raises(OSError, match="cannot save"):
            save_pretrained(small(recall="none"), "m", {"seed": 1})
    loaded = load_pretrained("m")
    assert loaded.card["seed"] == 0 and torch.equal(loaded(x, 3), old(x, 3))
    assert sorted(os.listdir(data)) == ["m.json", "m.safetensors"]


def test_a_model_that_its_card_cannot_rebuild_is_refused(data):
    with pytest.raises(ValueError, match="is for another model"):
        save_pretrained(small(), "m", {"model": {"width": 32}})
    with pytest.raises(ValueError, match="needs a model that knows its task"):
        save_pretrained(LoopedTransformer(3, 2, width=16, heads=2), "m", {})
    assert not data.exists()


def test_data_path(monkeypatch, tmp_path):
    monkeypatch.delenv("LOOPED_LITE_DATA", raising=False)
    assert data_path("checkpoints").is_dir() and data_path("a", "b").parts[-3:] == ("data", "a", "b")
    package = tmp_path / "site" / "looped_lite"
    monkeypatch.setattr(paths, "__file__", str(package / "paths.py"))
    assert data_path("x") == package / "data" / "x"  # installed: no repository around the package
    monkeypatch.setenv("LOOPED_LITE_DATA", str(tmp_path / "mine"))
    assert data_path("x") == tmp_path / "mine" / "x"


def test_get_task():
    assert get_task("prefix-sums", window=3) == PrefixSums(window=3)
    with pytest.raises(ValueError, match="unknown task 'prefix sums': expected one of prefix-sums, sudoku, chess"):
        get_task("prefix sums")


def test_every_shipped_model_loads():
    """Checksums included. What they score is asserted in the lessons."""
    assert "prefix-sums-internal-post-seed0" in pretrained_names()
    for name in pretrained_names():
        model = load_pretrained(name)
        assert model.card["name"] == name and model.card["parameters"] == count_parameters(model)
        assert all(p.isfinite().all() for p in model.parameters())
        assert not any(word in json.dumps(model.card) for word in ("/root", "/home", "/tmp", "/work"))
