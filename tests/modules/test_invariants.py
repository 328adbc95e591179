"""Each invariant 1 to 48 has a numbered test, and a known break of the code that the test sees (docs/seeds.md)."""

import re
from pathlib import Path

import pytest

from benchmarks.seeds.breaks import BREAKS, ROOT

TESTS = Path(__file__).parents[1]


def numbered(path):
    return {int(n) for n in re.findall(r"^def test_(\d\d)_", path.read_text(encoding="utf-8"), re.MULTILINE)}


def test_every_number_has_a_break():
    assert [b.number for b in BREAKS] == list(range(1, 49))


@pytest.mark.parametrize("change", BREAKS, ids=lambda b: str(b.number))
def test_the_break_and_its_test_exist(change):
    assert change.number in numbered(TESTS / change.test)
    code = (ROOT / "nfcodec" / change.file).read_text(encoding="utf-8")
    assert code.count(change.old) == 1
    assert change.new != change.old
