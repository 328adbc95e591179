"""Pictures of a group on several threads: each as soon as its references are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from nfcodec.moving.group import Picture
from nfcodec.parallel import ordered_map


class Forgetful(Protocol):
    """Something that holds what it can make anew."""

    def forget(self) -> None:
        """Give that up."""
        ...


R = TypeVar("R", bound=Forgetful)
# A map in order, on threads: items are begun in their order.
OrderedMap = Callable[[Callable[[Picture], R], Iterable[Picture]], Iterator[R]]


class Schedule(Generic[R]):
    """Makes the ``pictures`` of a group, in coded order, with ``make`` (picture, its references); ``known``: of further
    places. What no later picture needs forgets what it can."""

    def __init__(
        self, pictures: Sequence[Picture], make: Callable[[Picture, list[R]], R], known: Mapping[int, R]
    ) -> None:  # fmt: skip
        self._pictures, self._make = pictures, make
        self._found: dict[int, Future[R]] = {p.at: Future() for p in pictures}
        for at, result in known.items():
            self._found[at] = Future()
            self._found[at].set_result(result)
        self._needed = Counter(r for p in pictures for r in p.references)

    def run(self, on_threads: OrderedMap[R] = ordered_map) -> Iterator[R]:
        """The results in coded order."""
        return on_threads(self._one, self._pictures)

    def _one(self, picture: Picture) -> R:
        # Pictures are begun in coded order, so that what one waits for is being made.
        found = self._found[picture.at]
        try:
            result = self._make(picture, [self._found[r].result() for r in picture.references])
        except BaseException as error:
            found.set_exception(error)
            raise
        found.set_result(result)
        for at in picture.references:
            self._needed[at] -= 1
            if not self._needed[at]:
                self._found[at].result().forget()
        return result
