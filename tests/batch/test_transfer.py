"""Transfers: in order, tried twice, and not once more where the disk is full."""

import errno
import threading

import pytest

from nfcodec.batch.transfer import Transfers, disk_full


class Place:
    """As much of a tree as a pool of transfers asks for."""

    def __init__(self, threads=2):
        self.threads = threads


class Flaky:
    """Fails the first ``times`` times for each value."""

    def __init__(self, times, error=None):
        self.times, self.error, self.calls = times, error or OSError("gone"), {}

    def __call__(self, value):
        self.calls[value] = self.calls.get(value, 0) + 1
        if self.calls[value] <= self.times:
            raise self.error
        return value * 10


def run(work, values, threads=2):
    with Transfers([Place(threads)]) as transfers:
        return list(transfers.map(work, values))


def test_results_come_in_the_order_of_the_values():
    assert [(v, f.result()) for v, f in run(Flaky(0), range(600))] == [(v, v * 10) for v in range(600)]


def test_what_fails_once_is_tried_again():
    work = Flaky(1)
    assert [f.result() for _, f in run(work, [1, 2, 3])] == [10, 20, 30]
    assert set(work.calls.values()) == {2}


def test_what_fails_twice_has_failed():
    work = Flaky(2)
    [(_, future)] = run(work, [1])
    with pytest.raises(OSError, match="gone"):
        future.result()
    assert work.calls == {1: 2}


def test_a_full_disk_is_not_asked_twice():
    work = Flaky(9, OSError(errno.ENOSPC, "full"))
    [(_, future)] = run(work, [1])
    assert disk_full(future.exception()) and work.calls == {1: 1}
    assert not disk_full(OSError(errno.ENOENT, "none")) and not disk_full(ValueError())


def test_cancelling_waits_for_what_has_begun_and_forgets_the_rest():
    began, go, done = threading.Event(), threading.Event(), []

    def slow():
        began.set()
        go.wait()
        done.append("slow")

    with Transfers([Place(1)]) as transfers:
        transfers.submit(slow)
        later = transfers.submit(lambda: done.append("later"))
        later.add_done_callback(lambda _: go.set())  # the first goes on when the second is cancelled
        began.wait()
        transfers.cancel()
        assert done == ["slow"] and later.cancelled()


def test_threads_are_those_that_all_places_bear():
    assert Transfers([Place(5), Place(3)])._pool._max_workers == 3
