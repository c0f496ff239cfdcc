"""Files of tensors, and pretrained models: whole or not there at all, and refused with a reason when damaged."""

import errno
import json
import os
import struct
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import save_file

from looped_lite import checkpoints, paths
from looped_lite.checkpoints import check_writable, load_into, load_tensors, save_tensors, write_atomic
from looped_lite.model import LoopedTransformer, count_parameters
from looped_lite.paths import data_path, model_path, read_rows
from looped_lite.pretrained import load_pretrained, pretrained_names, save_pretrained
from looped_lite.recipe import Recipe
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.tasks.sudoku import Sudoku
from looped_lite.training import train


def recipe(task=None, **changes):
    return Recipe(task or PrefixSums(), **{"width": 16, "heads": 2, "steps": 8, "batch": 4, **changes})


def small(**changes):
    return recipe(**changes).build()


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


def refusal(call, *pieces):
    """``call`` raises a ValueError in one line that holds the pieces."""
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500 and all(piece in message for piece in pieces), message
    return True


# ---------------------------------------------------------------- files


def test_tensors_and_facts_come_back(tmp_path):
    tensors = {"a": torch.randn(3, 4), "b.c": torch.arange(5), "t": torch.randn(3, 4).T, "none": torch.zeros(0, 2)}
    tensors |= {
        "yes": torch.tensor([True, False]),
        "one": torch.tensor(2.5),
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    facts = {"step": 3, "history": {"loss": [0.1, 1 / 3]}, "name": "ä", "none": None}
    path = tmp_path / "new" / "x.safetensors"
    save_tensors(path, tensors, facts)
    loaded, got = load_tensors(path)
    assert got == facts and loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[n], tensors[n]) and loaded[n].dtype == tensors[n].dtype for n in tensors)
    assert os.listdir(tmp_path / "new") == ["x.safetensors"] and path.stat().st_mode & 0o777 == 0o644
    before = path.read_bytes()
    for _ in range(5):  # the library's own order changes from call to call
        save_tensors(path, dict(reversed(tensors.items())), facts)
        assert path.read_bytes() == before, "the same content is the same file"
    save_tensors(path, {}, {"loss": float("nan")})
    assert load_tensors(path) == ({}, {"loss": None})


@pytest.mark.parametrize(("place", "failure"), FAILURES)
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


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Else a power cut after the renaming leaves an empty file where a good one was."""
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(checkpoints.os, name, lambda *args, name=name, real=real: done.append(name) or real(*args))
    write_atomic(tmp_path / "x", b"1")
    assert done == ["fsync", "replace"]


def test_a_place_that_cannot_be_written_is_found_before_any_work(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for path, reason in ((tmp_path, "it is a folder"), (tmp_path / "file" / "x", ""), (tmp_path / ("n" * 300), "")):
        with pytest.raises(OSError, match=f"cannot save .*{reason}"):
            check_writable(path)
        with pytest.raises(OSError, match="cannot save"):
            write_atomic(path, b"1")
    check_writable(tmp_path / "new" / "x")
    assert os.listdir(tmp_path / "new") == [] and (tmp_path / "file").read_text() == "in the way"


def test_an_interrupt_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    write_atomic(tmp_path / "x", b"old")

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]


def test_what_a_killed_writer_left_is_cleared_at_the_next_save(tmp_path):
    """Its own only: not those of a writer that is alive, nor those of another file."""
    path = tmp_path / "x.safetensors"
    killed = "import os, sys, looped_lite.checkpoints as c; c.os.replace = lambda *a: os.kill(os.getpid(), 9)\n"
    killed += "c.write_atomic(sys.argv[1], b'1')"
    code = subprocess.run([sys.executable, "-c", killed, path], check=False, env=os.environ).returncode
    (left,) = os.listdir(tmp_path)
    assert code == -9 and left != path.name
    alive, other = f".x.safetensors.{os.getppid()}.abc.tmp", left.replace("x.safe", "y.safe")
    for name in (alive, other, ".x.safetensors.tmp", ".x.safetensors.99999999999999.a.tmp"):
        (tmp_path / name).write_text("")
    write_atomic(path, b"2")
    assert sorted(os.listdir(tmp_path)) == sorted(
        [path.name, alive, other, ".x.safetensors.tmp", ".x.safetensors.99999999999999.a.tmp"]
    )
    check_writable(path)
    assert len(os.listdir(tmp_path)) == 5


@pytest.mark.parametrize(("place", "failure"), FAILURES)
def test_training_on_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, monkeypatch, place, failure):
    path = tmp_path / "run.safetensors"
    go = lambda **more: train(recipe(), save_every=3, checkpoint=path, progress=False, **more)[1]

    def fill_the_disk(run):
        if run.step == 4:
            monkeypatch.setattr(checkpoints.os, place, failure)

    with pytest.raises(OSError, match="cannot save"):
        go(on_step=fill_the_disk)
    monkeypatch.undo()
    assert load_tensors(path)[1]["run"]["step"] == 3 and os.listdir(tmp_path) == [path.name]
    assert go().step == 8


def test_missing_files(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(FileNotFoundError, match="no checkpoint at"):
            load_tensors(path)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, 0.5, -1])
def test_truncated_files_are_refused(tmp_path, keep):
    path = tmp_path / "x.safetensors"
    save_tensors(path, small().state_dict())
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    assert refusal(lambda: load_tensors(path), f"{path} is not a whole safetensors file")


def test_foreign_files_are_refused_and_never_unpickled(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(small().state_dict(), path)
    contents = [path.read_bytes(), b"hello", b"\x80\x02}q\x00.", b"PK\x03\x04" + bytes(100), b"\xff" * 500, b"{}" * 50]
    for content in contents:
        path.write_bytes(content)
        assert refusal(lambda: load_tensors(path), "is not a whole safetensors file")
        assert refusal(lambda: train(recipe(), checkpoint=path, progress=False), "is not a whole safetensors file")
        assert path.read_bytes() == content


def rewrite(path, **header):
    """Write the file again with entries of its header replaced, or left out where they are None."""
    with checkpoints.safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    save_file(tensors, path, metadata={k: v for k, v in (metadata | header).items() if v is not None})


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"facts": None}, "lacks 'facts' in its header: expected a file saved by looped_lite"),
        ({"sha256": None}, "lacks 'sha256' in its header"),
        ({"sha256": "0" * 64}, "does not match its own checksum: it was damaged or changed after it was saved"),
        ({"facts": "{}"}, "does not match its own checksum"),
        ({"facts": "[]"}, "is not a whole safetensors file (facts are list, expected an object)"),
        ({"facts": "{"}, "is not a whole safetensors file"),
        ({"facts": '{"a":' * 5000 + "1" + "}" * 5000}, "is not a whole safetensors file"),
        ({"facts": '{"a":' + "1" * 5000 + "}"}, "is not a whole safetensors file"),
    ],
)
def test_a_changed_header_is_refused(tmp_path, header, message):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.ones(3)}, {"box": [2, 3]})
    rewrite(path, **header)
    assert refusal(lambda: load_tensors(path), message)


def test_every_bit_counts(tmp_path):
    """One bit flipped, anywhere in a file of a few hundred bytes: refused, or what comes back is what was saved."""
    path, tensors, facts = (
        tmp_path / "x.safetensors",
        {"a": torch.ones(3), "b": torch.arange(2)},
        {"box": [2, 3], "lr": 1e-05},
    )
    save_tensors(path, tensors, facts)
    data, refused = path.read_bytes(), 0
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            got, said = load_tensors(path)
        except ValueError:
            refused += 1
        else:
            assert said == facts and all(torch.equal(got[name], tensors[name]) for name in tensors)
    assert refused > 0.97 * 8 * len(data)


def test_the_checksum_knows_names_types_and_shapes():
    base = {"a": torch.zeros(2, 3)}
    others = [
        {"b": base["a"]},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3, dtype=torch.int32)},
        {"a": torch.ones(2, 3)},
        {},
    ]
    sums = [checkpoints.checksum(tensors, {}) for tensors in [base, *others]] + [
        checkpoints.checksum(base, {"box": [2, 3]})
    ]
    assert len(set(sums)) == 7 and checkpoints.checksum(base, {"x": 1, "y": 2}) == checkpoints.checksum(
        base, {"y": 2, "x": 1}
    )


def test_a_checkpoint_without_a_run_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_pretrained(small(), path)
    assert refusal(
        lambda: train(recipe(), checkpoint=path, progress=False),
        "holds no training run: expected a file saved by train",
    )


def test_load_into_names_the_first_difference():
    own = small().state_dict()
    for tensors, message in (
        ({k: v for k, v in own.items() if k != "embed.bias"}, "it lacks embed.bias (16,)"),
        (own | {"extra": torch.zeros(2)}, "this one has no extra (2,)"),
        (own | {"embed.bias": torch.zeros(3)}, "embed.bias is (3,) there, (16,) here"),
    ):
        assert refusal(
            lambda tensors=tensors: load_into(small(), tensors, "x.st"), "x.st is for another model: ", message
        )
    for bad in (torch.nan, torch.inf):
        spoiled = own | {"embed.bias": torch.full((16,), bad)}
        assert refusal(
            lambda spoiled=spoiled: load_into(small(), spoiled, "x.st"), "embed.bias holds values that are not finite"
        )


# ---------------------------------------------------------------- pretrained models


@pytest.mark.parametrize(
    "changes", [{}, {"recall": "external", "norm": "gru"}, {"blocks": 2, "mlp_ratio": 2, "heads": 4}]
)
def test_save_and_load(data, changes):
    model, x = small(**changes), PrefixSums().encode("01101")
    path = save_pretrained(
        model, "my.first", {"steps": 10, "scores": {"exact_32": 1.0}, "recipe": "made up", "name": "other"}
    )
    assert path == data / "my.first.safetensors" == model_path("my.first") and os.listdir(data) == [
        "my.first.safetensors"
    ]
    loaded = load_pretrained("my.first")
    assert isinstance(loaded, LoopedTransformer) and not loaded.training and torch.equal(loaded(x, 5), model(x, 5))
    assert loaded.recipe == model.recipe == recipe(**changes) and loaded.card == load_tensors(path)[1]
    assert (
        loaded.card["steps"] == 10 and loaded.card["scores"] == {"exact_32": 1.0} and loaded.card["name"] == "my.first"
    )
    assert loaded.card["parameters"] == count_parameters(model) and loaded.card["command"] == model.recipe.command()
    assert pretrained_names() == ["my.first"]
    assert all(torch.equal(load_pretrained(name)(x, 5), model(x, 5)) for name in (path, str(path)))


def test_the_card_rebuilds_the_task_with_all_its_settings(data):
    """A window that was forgotten brought a saved model back with other logits."""
    for task in (PrefixSums(window=7, most_loops=9), Sudoku((3, 2), attention="full")):
        model = recipe(task).build()
        save_pretrained(model, "m")
        x, _ = (
            task.batch(2, task.last_level, torch.Generator())
            if task.name == "prefix-sums"
            else (torch.rand(2, 36, 7), 0)
        )
        assert load_pretrained("m").recipe.task == task and torch.equal(load_pretrained("m")(x, 4), model(x, 4))


@dataclass(frozen=True)
class Ones(PrefixSums):
    """A learner's own task."""

    shape: tuple = (1, 2)

    name = "ones"


def test_a_task_of_ones_own_needs_no_list(data):
    save_pretrained(recipe(Ones(shape=(3, 4))).build(), "ones")
    assert load_pretrained("ones").recipe.task == Ones(shape=(3, 4))


def test_unknown_names_get_near_ones(data):
    assert refusal(
        lambda: load_pretrained("a"), "no pretrained model 'a': ", "a.safetensors' is missing (no models in "
    )
    for name in ("prefix-sums-internal-post-seed0", "prefix-sums-internal-pre-seed0", *"bcdefgh"):
        save_pretrained(small(), name)
    near = lambda name: lambda: load_pretrained(name)
    assert refusal(
        near("prefix-sums-internal-post"), "did you mean prefix-sums-internal-post-seed0, prefix-sums-internal-pre-"
    )
    assert refusal(near("zzz"), "known are b, c, d, e, f, g and 3 more")
    assert refusal(near("n" * 5000), "no pretrained model ")


def with_card(**changes):
    """A good model whose card says something else, with a checksum that agrees."""

    def damage(path):
        tensors, card = load_tensors(path)
        facts = card["recipe"]
        for name, value in changes.items():
            place = {"task_": facts["task"], "card_": card}.get(name[:5], facts)
            place[name.removeprefix("task_").removeprefix("card_")] = value
        save_tensors(path, tensors, card)

    return damage


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def spoil(value):
    def damage(path):
        tensors, card = load_tensors(path)
        tensors["embed.weight"][0, 0] = value
        save_tensors(path, tensors, card)

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "does not match its own checksum"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "is not a whole safetensors file"),
        (lambda path: path.unlink(), "m.safetensors' is missing"),
        (lambda path: save_tensors(path, {}, {}), "holds no model: expected a file saved by save_pretrained"),
        (spoil(torch.nan), "embed.weight holds values that are not finite"),
        (spoil(-torch.inf), "embed.weight holds values that are not finite"),
        (with_card(width=32), "is for another model"),
        (with_card(norm="gru"), "is for another model"),
        (with_card(card_recipe=3), "a recipe must be an object with a task, got 3"),
        (with_card(task=[]), "a recipe must be an object with a task"),
        (with_card(colour=3), "unknown setting 'colour'"),
        (with_card(task_colour=3), "unknown setting 'colour'"),
        (with_card(task_kind="juggling"), "unknown task 'juggling'"),
        (with_card(blocks=10**9), "blocks must be a whole number from 1 to 1,000"),
        (with_card(blocks=1000, width=65536), "GB to train, this machine has"),
        (with_card(width=-1), "width must be a whole number from 1 to 65,536, got -1"),
        (with_card(width=10**9), "width must be"),
        (with_card(lr=[[[[3]]]]), "lr must be a number"),
        (with_card(steps=10**300), "steps must be"),
    ],
)
def test_damaged_models_and_impossible_cards_are_refused(data, damage, message):
    damage(save_pretrained(small(), "m"))
    assert refusal(lambda: load_pretrained("m"), message, "m.safetensors")


def test_a_box_that_is_turned_is_another_model(data):
    """Settings are under the checksum: [3, 2] for [2, 3] has the same shapes, loads, and scores nothing."""
    path = save_pretrained(Recipe(Sudoku((2, 3)), width=16, heads=4).build(), "m")
    path.write_bytes(path.read_bytes().replace(b"[2, 3]", b"[3, 2]"))
    assert refusal(lambda: load_pretrained("m"), "does not match its own checksum")


@pytest.mark.parametrize(("place", "failure"), FAILURES)
def test_the_model_that_was_there_survives_a_full_disk(data, monkeypatch, place, failure):
    old, x = small(), PrefixSums().encode("011")
    save_pretrained(old, "m", {"note": 0})
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.os, place, failure)
        with pytest.raises(OSError, match="cannot save"):
            save_pretrained(small(recall="none"), "m", {"note": 1})
    loaded = load_pretrained("m")
    assert loaded.card["note"] == 0 and torch.equal(loaded(x, 3), old(x, 3)) and os.listdir(data) == ["m.safetensors"]


def test_a_model_that_could_not_come_back_is_refused(data):
    model = small()
    model.recipe = recipe(width=32)
    assert refusal(lambda: save_pretrained(model, "m"), "is for another model")
    assert refusal(
        lambda: save_pretrained(LoopedTransformer(3, 2, heads=2), "m"), "needs a model that knows its recipe"
    )
    broken = small()
    broken.embed.bias.data[0] = torch.nan
    assert refusal(lambda: save_pretrained(broken, "m"), "embed.bias holds values that are not finite")
    assert not data.exists()


def test_data_path(monkeypatch, tmp_path):
    monkeypatch.delenv("LOOPED_LITE_DATA", raising=False)
    assert data_path("checkpoints").is_dir() and data_path("a", "b").parts[-3:] == ("data", "a", "b")
    package = tmp_path / "site" / "looped_lite"
    monkeypatch.setattr(paths, "__file__", str(package / "paths.py"))
    assert data_path("x") == package / "data" / "x"  # installed: no repository around the package
    monkeypatch.setenv("LOOPED_LITE_DATA", str(tmp_path / "mine"))
    assert data_path("x") == tmp_path / "mine" / "x"


def test_rows_of_results(tmp_path):
    path = tmp_path / "rows.csv"
    assert read_rows(path) == []
    path.write_text("\ufeffa,b\n1,2\n\n3,4\n")
    assert read_rows(path) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    for text in ("a,b\n1,2\n3\n", "a,b\n1,2\n3,4,5\n"):
        path.write_text(text)
        assert refusal(lambda: read_rows(path), "rows.csv, line 3: expected 2 columns, as in the header")


def test_every_shipped_model_loads_and_can_be_retrained():
    """Checksums included. What they score is asserted in the lessons."""
    assert "prefix-sums-internal-post-seed0" in pretrained_names()
    for name in pretrained_names():
        model = load_pretrained(name)
        assert model.card["name"] == name and model.card["parameters"] == count_parameters(model)
        assert model.card["command"] == model.recipe.command() and model.card["command"].startswith(
            "looped-lite train "
        )
        assert not any(word in json.dumps(model.card) for word in ("/root", "/home", "/tmp", "/work"))
    header = struct.unpack("<Q", model_path(name).read_bytes()[:8])[0]
    assert header < 10_000, "the card is for people, too"
