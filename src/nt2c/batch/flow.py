"""Reading ahead and writing behind, each in a thread, within a bound of memory."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class MemoryGate:
    """Lets files in while they fit into a bound together; a single one always.

    Parameters
    ----------
    limit_bytes : int
        What all files together may take.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit, self._used = limit_bytes, 0
        self._changed = threading.Condition()

    def enter(self, count: int) -> None:
        """Wait until `count` bytes more are within the bound, or nothing else is inside."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + count <= self._limit)
            self._used += count

    def leave(self, count: int) -> None:
        """Give `count` bytes back."""
        with self._changed:
            self._used -= count
            self._changed.notify_all()

    def clear(self) -> None:
        """Give all back, at the end of a run that may have left some behind."""
        with self._changed:
            self._used = 0


def ahead(items: Iterator[T], pool: ThreadPoolExecutor) -> Generator[T]:
    """Yield `items`, making the next one in a thread while the last one is used.

    Parameters
    ----------
    items : iterator
        Is advanced by one call at a time; what it raises comes out here.
    pool : ThreadPoolExecutor
        Of one thread.
    """
    end = object()
    following: Future[T | object] = pool.submit(next, items, end)
    while (item := following.result()) is not end:
        following = pool.submit(next, items, end)
        yield item  # type: ignore[misc]


class Sink(Generic[T, R]):
    """Hands items to a function that runs in a thread, one waiting at most.

    Parameters
    ----------
    use : callable
        Takes an iterator over the items. When it is done before they are, the rest is dropped.
    count : int
        Number of items.
    pool : ThreadPoolExecutor
        Of one thread: sinks are used one after another.

    Attributes
    ----------
    result : Future
        What `use` returns or raises.
    """

    def __init__(
        self, use: Callable[[Iterator[T]], R], count: int, pool: ThreadPoolExecutor
    ) -> None:
        self._items: _Handed[T] = _Handed(count)
        self.result: Future[R] = pool.submit(self._run, use)

    def put(self, item: T) -> None:
        """Hand an item over; wait while another one is waiting."""
        self._items.queue.put(item)

    def fail(self, error: BaseException) -> None:
        """Raise `error` in the iterator: no more items come."""
        self._items.queue.put(error)

    def _run(self, use: Callable[[Iterator[T]], R]) -> R:
        try:
            return use(self._items)
        finally:
            self._items.drop_rest()


class _Handed(Iterator[T]):
    """Iterator over a number of items that another thread puts into a queue, or an error."""

    def __init__(self, count: int) -> None:
        self.queue: queue.Queue[T | BaseException] = queue.Queue(maxsize=1)
        self._left = count

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if not self._left:
            raise StopIteration
        item = self.queue.get()
        self._left -= 1
        if isinstance(item, BaseException):
            self._left = 0
            raise item
        return item

    def drop_rest(self) -> None:
        """Take what still comes, so that nobody waits for its being taken."""
        while self._left:
            self._left = 0 if isinstance(self.queue.get(), BaseException) else self._left - 1
