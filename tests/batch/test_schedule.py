"""Which item next, on how many threads."""

from __future__ import annotations

from nfcodec.batch.events import BatchItem
from nfcodec.batch.schedule import Assignment, Schedule
from nfcodec.lattice.together import MOST


def items(*costs: float) -> list[BatchItem]:
    return [BatchItem(f"{i}", "", f"{i}.out", cost) for i, cost in enumerate(costs)]


def taken(schedule: Schedule) -> list[tuple[float, int]]:
    """(cost, threads) of everything that may run now."""
    found = []
    while (a := schedule.next()) is not None:
        found.append((a.items[0].cost, a.threads))
    return found


def take(schedule: Schedule) -> Assignment:
    assignment = schedule.next()
    assert assignment is not None
    return assignment


def test_largest_first_and_one_thread_each() -> None:
    found = taken(Schedule(items(1, 3, 2, 2, 1, 1, 1, 1), 2))
    assert found == [(3, 1), (2, 1), (2, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1)]


def test_few_items_share_the_cores() -> None:
    schedule = Schedule(items(1, 1, 1), 12)
    first = take(schedule)
    assert first.threads == 4 and not first.alone
    assert taken(Schedule(items(1), 4)) == [(1, 4)]


def test_an_item_that_would_keep_the_others_waiting_runs_alone() -> None:
    schedule = Schedule(items(1, 1, 100, 1), 2)
    large = take(schedule)
    assert (large.items[0].cost, large.threads, large.alone) == (100, 2, True)
    assert schedule.next() is None, "nothing beside it"
    schedule.done(large.items[0])
    assert not take(schedule).alone


def test_nothing_is_made_to_wait_for_the_end_of_others() -> None:
    schedule = Schedule(items(3, 3, 3), 2)
    assert [take(schedule).alone for _ in range(3)] == [False] * 3


def test_many_large_items_run_beside_each_other() -> None:
    assert taken(Schedule(items(*[100] * 8), 2))[:6] == [(100, 1)] * 6


def test_what_may_not_fit_into_memory_runs_alone() -> None:
    schedule = Schedule(items(*[100] * 8), 2, room=99)
    assert take(schedule).alone and schedule.next() is None
    assert not take(Schedule(items(*[100] * 8), 2, room=100)).alone


def test_small_items_are_done_together() -> None:
    schedule = Schedule(items(9, *[1] * 200), 2, small=1)
    assert [len(take(schedule).items) for _ in range(3)] == [1, MOST, MOST]
    sizes = []
    while (some := schedule.next()) is not None:
        sizes.append(len(some.items))
        assert some.threads == 1 and not some.alone or len(some.items) == 1
    assert sizes[0] == MOST and sizes == sorted(sizes, reverse=True) and sizes[-1] == 1
    assert sum(sizes) == 200 - 2 * MOST


def test_together_items_get_verdicts_of_their_own() -> None:
    schedule = Schedule(items(*[1] * 8), 1, small=1)
    four = take(schedule).items
    assert len(four) == 4 == MOST
    schedule.done(four[0])
    assert schedule.failed(four[1], again=True) is False
    assert schedule.failed(four[2], again=False) is True
    assert schedule.unfinished == 6
    schedule.done(four[3])
    while not schedule.finished:
        some = take(schedule)
        assert len(some.items) == 1 or some.attempt == 1
        for item in some.items:
            schedule.done(item)


def test_failed_items_come_once_more_alone_at_the_end() -> None:
    schedule = Schedule(items(5, 4, 4, 4), 2)
    bad, good = take(schedule), take(schedule)
    assert schedule.failed(bad.items[0], again=True) is False
    for a in (take(schedule), take(schedule)):
        assert a.attempt == 1
        schedule.done(a.items[0])
    assert schedule.next() is None, "something else still runs"
    schedule.done(good.items[0])
    again = take(schedule)
    assert (again.items[0].path, again.items[0].replace) == (bad.items[0].path, True)
    assert (again.attempt, again.alone) == (2, True)
    assert not schedule.finished and schedule.unfinished == 1
    assert schedule.failed(again.items[0], again=True) is True
    assert schedule.finished and schedule.next() is None


def test_some_failures_are_final() -> None:
    schedule = Schedule(items(1), 1)
    assert schedule.failed(take(schedule).items[0], again=False) is True
    assert schedule.finished


def test_patience_brings_second_attempts_forward() -> None:
    schedule = Schedule(items(*[1] * 9), 1, patience=1)
    for _ in range(2):
        assert schedule.failed(take(schedule).items[0], again=True) is False
    again = take(schedule)
    assert again.attempt == 2
    schedule.failed(again.items[0], again=True)
    assert not schedule.exhausted
    again = take(schedule)
    assert again.attempt == 2, "one has failed for good, the other may be the one too many"
    schedule.failed(again.items[0], again=True)
    assert schedule.exhausted


def test_patience_with_luck() -> None:
    schedule = Schedule(items(*[1] * 5), 1, patience=0)
    schedule.failed(take(schedule).items[0], again=True)
    again = take(schedule)
    assert again.attempt == 2
    schedule.done(again.items[0])
    assert take(schedule).attempt == 1 and not schedule.exhausted
