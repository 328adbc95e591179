"""Which item next, on how many threads."""

from __future__ import annotations

from nfcodec.batch.items import Item
from nfcodec.batch.schedule import Assignment, Schedule


def items(*costs: float) -> list[Item]:
    return [Item(f"{i}", "", f"{i}.out", cost) for i, cost in enumerate(costs)]


def taken(schedule: Schedule) -> list[tuple[float, int]]:
    """(cost, threads) of everything that may run now."""
    found = []
    while (a := schedule.next()) is not None:
        found.append((a.item.cost, a.threads))
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
    assert (large.item.cost, large.threads, large.alone) == (100, 2, True)
    assert schedule.next() is None, "nothing beside it"
    schedule.done(large.item)
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


def test_failed_items_come_once_more_alone_at_the_end() -> None:
    schedule = Schedule(items(5, 4, 4, 4), 2)
    bad, good = take(schedule), take(schedule)
    assert schedule.failed(bad.item, again=True) is False
    for a in (take(schedule), take(schedule)):
        assert a.attempt == 1
        schedule.done(a.item)
    assert schedule.next() is None, "something else still runs"
    schedule.done(good.item)
    again = take(schedule)
    assert (again.item.path, again.attempt, again.alone, again.item.replace) == (bad.item.path, 2, True, True)
    assert not schedule.finished and schedule.unfinished == 1
    assert schedule.failed(again.item, again=True) is True
    assert schedule.finished and schedule.next() is None


def test_some_failures_are_final() -> None:
    schedule = Schedule(items(1), 1)
    assert schedule.failed(take(schedule).item, again=False) is True
    assert schedule.finished


def test_patience_brings_second_attempts_forward() -> None:
    schedule = Schedule(items(*[1] * 9), 1, patience=1)
    for _ in range(2):
        assert schedule.failed(take(schedule).item, again=True) is False
    again = take(schedule)
    assert again.attempt == 2
    schedule.failed(again.item, again=True)
    assert not schedule.exhausted
    again = take(schedule)
    assert again.attempt == 2, "one has failed for good, the other may be the one too many"
    schedule.failed(again.item, again=True)
    assert schedule.exhausted


def test_patience_with_luck() -> None:
    schedule = Schedule(items(*[1] * 5), 1, patience=0)
    schedule.failed(take(schedule).item, again=True)
    again = take(schedule)
    assert again.attempt == 2
    schedule.done(again.item)
    assert take(schedule).attempt == 1 and not schedule.exhausted
