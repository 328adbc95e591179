import threading

import pytest
import torch

from nfcodec.parallel import ordered_map


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_results_come_in_order(workers):
    assert list(ordered_map(lambda x: x * x, range(50), workers=workers)) == [x * x for x in range(50)]
    assert list(ordered_map(lambda x: x, [], workers=workers)) == []


def test_few_items_are_taken_ahead():
    """A long signal must not be read to its end before the first result is used."""
    taken = []

    def items():
        for i in range(1000):
            taken.append(i)
            yield i

    results = ordered_map(lambda x: x, items(), workers=2)
    assert next(results) == 0
    assert len(taken) <= 6
    results.close()
    assert len(taken) <= 6


def test_an_error_reaches_the_caller_and_stops_the_rest():
    ran = []

    def function(x):
        ran.append(x)
        if x == 3:
            raise ValueError("three")
        return x

    with pytest.raises(ValueError, match="three"):
        list(ordered_map(function, range(1000), workers=2))
    assert len(ran) < 20


def test_workers_use_one_thread_and_leave_the_callers_setting():
    torch.set_num_threads(3)
    counts = list(ordered_map(lambda x: torch.get_num_threads(), range(6), workers=2))
    assert counts == [1] * 6 and torch.get_num_threads() == 3


def test_workers_are_gone_afterwards():
    before = threading.active_count()
    list(ordered_map(lambda x: x, range(9), workers=4))
    assert threading.active_count() == before
