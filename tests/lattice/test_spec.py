"""The geometry of a level."""

import dataclasses
import json
import math

import pytest

from nfcodec.errors import CorruptError, LimitError
from nfcodec.lattice.spec import OPPONENT, LatticeSpec, Plane, usual_passes
from nfcodec.limits import Limits

SPEC = LatticeSpec.of(spacing=(4, 6), bases=3, width=9, w0=3.0)


def named(count):
    return [Plane(f"plane {i}", min(i, 1)) for i in range(count)]


def test_spec_survives_json():
    for spec in (SPEC, LatticeSpec(), LatticeSpec.of(spacing=(128,), planes=named(2))):
        assert LatticeSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_counts_of_the_default():
    spec = LatticeSpec()
    assert (spec.axes, spec.tables, spec.functions, spec.coded) == (2, 2, 128, 192)


@pytest.mark.parametrize(
    "change",
    [
        {"spacing": [8, 7]}, {"spacing": []}, {"spacing": [2] * 4}, {"spacing": [8, 0]}, {"spacing": [8, -2]},
        {"spacing": [8.0, 8]}, {"spacing": 8}, {"spacing": None}, {"bases": 0}, {"bases": "3"}, {"bases": 3.0},
        {"bases": True}, {"extra": 0}, {"width": 0}, {"planes": 0}, {"planes": 1.0}, {"planes": []},
        {"w0": 0.0}, {"w0": -1.0}, {"w0": math.inf}, {"w0": math.nan}, {"w0": "12"}, {"w0": 12}, {"w0": True},
        {"depth": 2},
    ],
)  # fmt: skip
def test_impossible_specs(change):
    with pytest.raises(CorruptError):
        LatticeSpec.from_dict({**SPEC.to_dict(), **change})


@pytest.mark.parametrize("key", sorted(SPEC.to_dict()))
def test_missing_keys(key):
    data = SPEC.to_dict()
    del data[key]
    with pytest.raises(CorruptError):
        LatticeSpec.from_dict(data)


@pytest.mark.parametrize("data", [None, 3, [], [1, 2], "spec"])
def test_other_things_than_a_dictionary(data):
    with pytest.raises(CorruptError):
        LatticeSpec.from_dict(data)


def test_limits_are_met_exactly():
    spec = LatticeSpec()
    count = sum(math.prod(s) for s in spec.shapes().values())
    spec.validate(Limits(max_parameters=count))
    with pytest.raises(LimitError):
        spec.validate(Limits(max_parameters=count - 1))


@pytest.mark.parametrize("change", [{"spacing": [100_000, 100_000]}, {"width": 100_000}])
def test_large_specs_meet_a_limit(change):
    with pytest.raises(LimitError):
        LatticeSpec.from_dict({**SPEC.to_dict(), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"planes": [["a", 0], ["a", 1]]}, {"planes": [["a", 1], ["b", 0]]}, {"planes": [["a", 0], ["b", 2]]},
        {"planes": [["a", 0], [3, 1]]}, {"passes": [[0, 1, 3]]}, {"passes": [[0, 1, 2], [0, 1, 3]]},
        {"passes": [[0, 2, 3], [0, 1, 2], [1, 1, 3], [2, 1, 3]]}, {"passes": [[3, 1, 3]]}, {"passes": [[0, 1]]},
        {"layers": []}, {"layers": [9]}, {"layers": [2, 2, 6]}, {"layers": [1, 2, 3, 6]}, {"layers": [3, 2, 6]},
        {"layers": [-1, 6]}, {"region": [4]}, {"region": [0, 4]}, {"region": [4, 4, 4]}, {"region": [4.0, 4]},
    ],
)  # fmt: skip
def test_impossible_geometry(change):
    passes = tuple((plane, i, i + 1) for plane in range(3) for i in (1, 2))
    spec = dataclasses.replace(SPEC, passes=passes, layers=(6,))
    spec.validate()
    with pytest.raises(CorruptError):
        LatticeSpec.from_dict({**spec.to_dict(), **change})


def test_usual_passes_of_photographs():
    """Part of the format: networks of the shipped init were trained for these."""
    passes, layers = usual_passes(3, 64)
    assert passes == (
        (0, 1, 3), (0, 3, 6), (1, 1, 6), (2, 1, 6), (0, 6, 10), (0, 10, 15), (1, 6, 15), (2, 6, 15),
        (0, 15, 28), (0, 28, 43), (0, 43, 64), (1, 15, 64), (2, 15, 64),
    )  # fmt: skip
    assert layers == (4, 8, 13)
    assert LatticeSpec() == LatticeSpec.of() and LatticeSpec().planes == OPPONENT


@pytest.mark.parametrize("planes", [1, 2, 4])
@pytest.mark.parametrize("bases", [1, 2, 3, 5, 16, 64, 300])
def test_usual_passes_are_sound(planes, bases):
    spec = LatticeSpec.of(spacing=(bases + bases % 2,), planes=named(planes), bases=bases)
    spec.validate()
    assert LatticeSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
