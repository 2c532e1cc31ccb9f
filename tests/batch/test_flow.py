"""Reading ahead and writing behind: in order, bounded, errors come out, nothing hangs."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from nt2c.batch.flow import MemoryGate, Sink, ahead


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as one:
        yield one


def test_ahead_makes_one_item_while_another_is_used(pool):
    made = [threading.Event() for _ in range(4)]

    def items():
        for index, event in enumerate(made):
            event.set()
            yield index

    flow = ahead(items(), pool)
    assert next(flow) == 0
    assert made[1].wait(10)  # though nobody has asked for it
    assert not made[2].is_set()
    assert list(flow) == [1, 2, 3]


def test_ahead_raises_what_making_raises(pool):
    def items():
        yield 1
        raise ZeroDivisionError

    flow = ahead(items(), pool)
    assert next(flow) == 1
    with pytest.raises(ZeroDivisionError):
        next(flow)


def test_sinks_use_their_items_one_after_another(pool):
    first, second = Sink(list, 2, pool), Sink(list, 1, pool)
    second.put("c")
    for item in "ab":
        first.put(item)
    assert (first.result.result(10), second.result.result(10)) == (["a", "b"], ["c"])


def test_sink_that_fails_takes_the_rest_so_that_nobody_waits(pool):
    def use(items):
        next(items)
        raise ZeroDivisionError

    sink = Sink(use, 4, pool)
    for item in range(4):
        sink.put(item)
    with pytest.raises(ZeroDivisionError):
        sink.result.result(10)
    after = Sink(list, 1, pool)
    after.put(7)
    assert after.result.result(10) == [7]


def test_error_of_the_maker_is_raised_in_the_sink(pool):
    sink = Sink(list, 3, pool)
    sink.put(1)
    sink.fail(KeyError("of the maker"))
    with pytest.raises(KeyError, match="of the maker"):
        sink.result.result(10)


def test_gate_lets_in_what_fits_and_a_single_one_always():
    gate, passed = MemoryGate(10), threading.Event()
    gate.enter(11)
    gate.leave(11)
    gate.enter(6)

    def second():
        gate.enter(5)
        passed.set()

    threading.Thread(target=second, daemon=True).start()
    assert not passed.wait(0.05)
    gate.enter(4)
    gate.leave(6)
    assert passed.wait(10)
