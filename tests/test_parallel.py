import os
import threading
from contextvars import copy_context

import pytest

from nfcodec.parallel import begun, every, limit, limited, ordered_map, thread_count


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_results_come_in_order(threads):
    assert list(ordered_map(lambda x: x * x, range(50), threads=threads)) == [x * x for x in range(50)]
    assert list(ordered_map(lambda x: x, [], threads=threads)) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_every_item_is_seen_once(threads):
    found = []
    with limited(threads):
        every(found.append, range(50))
    assert sorted(found) == list(range(50))


def test_few_items_are_taken_ahead():
    """A long signal must not be read to its end before the first result is used."""
    taken = []

    def items():
        for i in range(1000):
            taken.append(i)
            yield i

    results = ordered_map(lambda x: x, items(), threads=2)
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
        list(ordered_map(function, range(1000), threads=2))
    assert len(ran) < 20


def test_pieces_in_flight_have_ended_when_an_error_arrives():
    """Who catches it may take away what they work on."""
    started, running = threading.Event(), set()

    def function(x):
        if x == 0:
            started.wait(10)
            raise ValueError("zero")
        running.add(x)
        started.set()
        running.discard(x)

    with pytest.raises(ValueError, match="zero"):
        list(ordered_map(function, range(3), threads=3))
    assert not running


def test_threads_are_kept():
    def names():
        return set(ordered_map(lambda x: threading.current_thread().name, range(9), threads=2))

    first = names()
    before = threading.active_count()
    assert names() | first == first or len(names() | first) <= 2
    assert threading.active_count() <= max(before, len(threading.enumerate()))
    assert threading.current_thread().name not in first


def test_pieces_use_no_further_threads():
    """They would wait for the threads that they run on."""

    def inner(x):
        me = threading.current_thread().name
        return thread_count(), {me} == set(ordered_map(lambda y: threading.current_thread().name, range(9), threads=2))

    assert set(ordered_map(inner, range(8), threads=2)) == {(1, True)}


def test_a_limit_holds_in_its_block_and_thread():
    assert limit() is None
    with limited(3):
        assert thread_count() == 3
        with limited(1), limited(None):
            assert thread_count() == 1
            here = {threading.current_thread().name}
            assert set(ordered_map(lambda x: threading.current_thread().name, range(5), threads=4)) == here
        found = []
        other = threading.Thread(target=lambda: found.append(limit()))
        other.start()
        other.join()
        assert found == [None] and copy_context().run(limit) == 3
    assert limit() is None


def test_the_default_is_that_of_other_libraries(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert thread_count() == 5
    for nonsense in ("", "0", "many", "-2"):
        monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
        assert 1 <= thread_count() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_has_threads_of_its_own():
    list(ordered_map(lambda x: x, range(4), threads=2))
    child = os.fork()
    if not child:
        os._exit(sum(ordered_map(lambda x: x, range(4), threads=2)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 6


def test_a_call_that_has_begun_tells_its_result_and_its_error_when_asked():
    caller = threading.get_ident()
    for threads in (1, 2):
        with limited(threads):
            assert begun(lambda x: (x, threading.get_ident() == caller), 3)() == (3, threads == 1)
            fails = begun(lambda x: 1 // x, 0)
            with pytest.raises(ZeroDivisionError):
                fails()


def test_with_one_thread_nothing_begins_early():
    ran = []
    with limited(1):
        later = begun(ran.append, 1)
        assert not ran
        later()
    assert ran == [1]
