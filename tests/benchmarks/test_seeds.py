"""The protocol, the data sets and the row keeper of the papers' tables."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.seeds import datasets, rows
from benchmarks.seeds.protocol import PROTOCOLS

SMALL = PROTOCOLS["small"]


def test_scaled_steps_and_frequency_are_the_papers_at_full_size():
    full = PROTOCOLS["full"]
    assert (full.scaled(150_000), full.scaled(30_000), full.frequency(200)) == (150_000, 30_000, 200)
    assert SMALL.scaled(30_000) == SMALL.outer // 5


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "RESULTS", tmp_path / "results")
    return lambda settings=None: rows.Rows("try", SMALL, tmp_path / "work", settings)


def test_a_finished_row_is_not_measured_again(table):
    first = table().row({"method": "a", "seed": 0}, lambda: {"psnr": 1.0})
    again = table().row({"seed": 0, "method": "a"}, lambda: pytest.fail("measured twice"))
    assert again == first and first["psnr"] == 1.0 and first["cpu_seconds"] >= 0


def test_rows_of_other_settings_or_keys_are_not_taken(table):
    table({"lr": 1}).row({"seed": 0}, lambda: {"psnr": 1.0})
    assert table({"lr": 2}).row({"seed": 0}, lambda: {"psnr": 2.0})["psnr"] == 2.0
    assert table({"lr": 1}).row({"seed": 1}, lambda: {"psnr": 3.0})["psnr"] == 3.0


def test_a_line_that_was_cut_off_is_left_aside(table):
    made = table()
    made.row({"seed": 0}, lambda: {"psnr": 1.0})
    log = made.folder / "rows.jsonl"
    log.write_text(log.read_text() + '{"identity": "')
    assert table().row({"seed": 0}, lambda: {"psnr": 9.0})["psnr"] == 1.0


def test_a_result_says_what_made_it(table):
    made = table({"lr": 1})
    made.row({"seed": 0}, lambda: {"psnr": 1.0})
    content = json.loads(made.write(note="x").read_text())
    assert {"command", "date", "machine", "protocol", "settings", "rows", "means", "note"} <= set(content)
    assert content["rows"][0]["seed"] == 0


def test_means_and_spread_over_seeds():
    found = rows.averaged([{"m": "a", "p": 1.0}, {"m": "a", "p": 3.0}, {"m": "b", "p": 5.0}], ("m",), ("p",))
    assert found[0] == {"m": "a", "seeds": 2, "p": 2.0, "p_sd": 1.414}
    assert found[1] == {"m": "b", "seeds": 1, "p": 5.0, "p_sd": None}


def test_drawn_sets_are_the_same_again_and_train_and_test_differ(tmp_path):
    for name in ("text", "sdf"):
        train, test = (datasets.load(name, s, 32, tmp_path, count=3) for s in ("train", "test"))
        again = datasets.load(name, "test", 32, tmp_path, count=3)
        assert all(np.array_equal(a, b) for a, b in zip(test.pixels, again.pixels, strict=True))
        assert not any(np.array_equal(a, b) for a in train.pixels for b in test.pixels)


def test_distance_fields_have_slope_one():
    grey = datasets.draw_sdf(np.random.default_rng(4), 64)[..., 0].astype(float) / 127.5  # distance + 1
    dy, dx = np.gradient(grey, 2.0 / 64)
    free = (grey > 0.02) & (grey < 1.98)
    assert np.median(np.hypot(dy, dx)[free]) == pytest.approx(1.0, abs=0.06)
    assert grey.min() < 1.0 < grey.max()


def test_batches_depend_on_seed_and_step_alone():
    signals = datasets.Signals([np.arange(40 * 40 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 40, 3)] * 2, 32)
    assert torch.equal(signals.batch(1, 2, 3), signals.batch(1, 2, 3))
    assert not torch.equal(signals.batch(1, 2, 3), signals.batch(1, 3, 3))
    assert signals.batch(1, 2, 3).shape == (3, 32 * 32, 3) and signals.centre(2).shape == (2, 32 * 32, 3)


def test_cuts_of_a_row_and_spread_are_shown():
    from benchmarks.seeds.show import pivot

    first = {"m": "a", "w": 5, "p": 1.0, "p_sd": 0.25}
    means = [first, {"m": "a", "w": 7, "p": 2.0, "p_sd": None}, {"m": "b", "w": 7, "p": 3.0}]
    assert pivot(means, "m", "w", "p").splitlines()[2:] == ["| a | 1.00 ± 0.25 | 2.00 |", "| b | – | 3.00 |"]
