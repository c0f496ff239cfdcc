"""The claims table: its rule, and that what lies in data/results is what the rows give."""

import math

import pytest

from experiments import claims
from experiments.claims import CLAIMS, TASKS, anisotropy, mean, minus, seen, verdict
from experiments.sweep import write_rows
from looped_lite.paths import data_path, read_rows

STORED = read_rows(data_path("results", "claims.csv"))


def test_an_interval_counts_only_if_all_of_it_lies_above_the_margin():
    assert [seen(*ends, 0.0) for ends in ((0.1, 0.2), (0, 0), (-0.1, 0.2), (-0.2, -0.1))] == [
        "yes",
        "open",
        "open",
        "no",
    ]
    assert seen(-0.04, 0.01, -0.05) == "yes"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ("", "not run"),
        ("yes", "holds"),
        ("yes open", "holds with an exception"),
        ("yes open no", "not seen here"),
        ("no no", "not seen here"),
    ],
)
def test_the_rule(answers, said):
    assert verdict(answers.split()) == said


def test_a_mean_wants_three_seeds_and_pairs_them():
    assert mean("", "", {"0": 1.0, "1": 2.0}) is None
    part = mean("", "", minus({"0": 1.0, "1": 2.0, "2": 3.5, "3": 9.0}, {"2": 0.5, "0": 0.0, "1": 0.0}))
    assert part.count == 3 and part.effect == 2.0 and part.low < 0 < part.high


def test_stored_verdicts_follow_from_stored_intervals():
    for number in {row["number"] for row in STORED}:
        for task in {row["task"] for row in STORED if row["number"] == number}:
            rows = [row for row in STORED if (row["number"], row["task"]) == (number, task)]
            parts = [row for row in rows if row["effect"]]
            answers = [seen(*(float(row[name]) for name in ("low", "high", "margin"))) for row in parts]
            assert answers == [row["seen"] for row in parts] and {row["verdict"] for row in rows} == {verdict(answers)}
            assert all(int(row["count"]) >= 3 and math.isfinite(float(row["effect"])) for row in parts)
    assert len({row["number"] for row in STORED}) == len(CLAIMS) >= 12


def test_the_table_is_what_the_rows_give(tmp_path, monkeypatch):
    chosen = [claim for claim in CLAIMS if claim.measure is not anisotropy]  # its own draws take seconds
    monkeypatch.setattr(claims, "CLAIMS", chosen)
    write_rows(tmp_path / "claims.csv", claims.table_of_claims())
    without = lambda rows: [{key: value for key, value in row.items() if key != "number"} for row in rows]
    assert without(read_rows(tmp_path / "claims.csv")) == without(row for row in STORED if row["task"] in TASKS)
