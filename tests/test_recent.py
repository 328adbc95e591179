"""Results that are kept for a while."""

import pytest

from nfcodec.recent import Recent


def test_only_the_latest_are_kept():
    made = []

    def make(key):
        made.append(key)
        return f"result {key}"

    recent = Recent(2)
    assert [recent.get(key, make) for key in (1, 2, 1, 3, 1, 2)] == [f"result {k}" for k in (1, 2, 1, 3, 1, 2)]
    assert made == [1, 2, 3, 2]  # 2 went when 3 came: 1 had been asked for since


def test_there_is_room_before_the_next_is_made():
    """Two results of the full size at once would double the memory."""
    recent, alive = Recent(1), []

    def make(key):
        alive.append(len(recent._kept))
        return key

    for key in range(4):
        recent.get(key, make)
    assert alive == [0, 0, 0, 0]


def test_a_failure_keeps_nothing():
    recent = Recent(2)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            recent.get(5, lambda key: 1 // 0)
    assert recent.get(5, lambda key: "fine") == "fine"
