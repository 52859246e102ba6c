from __future__ import annotations

import threading

import pytest

from edgemass.in_order import InOrder

PATIENCE_S = 10.0


def test_threads_have_it_one_at_a_time_in_the_order_of_asking() -> None:
    lock = InOrder()
    order: list[int] = []

    def work(number: int) -> None:
        with lock:
            order.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    with lock:
        for number, thread in enumerate(threads):
            thread.start()
            while len(lock._waiting) <= number:
                thread.join(0.0005)
        assert order == []
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order == list(range(20))


def test_it_is_never_held_twice_and_never_lost() -> None:
    lock = InOrder()
    total = 0

    def work() -> None:
        nonlocal total
        for _ in range(500):
            with lock:
                before = total
                total = before + 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert total == 4000
    assert not lock._held


def test_an_error_inside_lets_it_go() -> None:
    lock = InOrder()
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    with lock:
        pass
