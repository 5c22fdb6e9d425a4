import threading
from collections.abc import Iterator
from itertools import count, islice

import pytest
import torch

from mfr.compute.threads import each, prefetched


def test_items_come_in_order_from_another_thread() -> None:
    threads = set()

    def items() -> Iterator[int]:
        for item in range(100):
            threads.add(threading.current_thread())
            yield item

    assert list(prefetched(items(), 3)) == list(range(100))
    assert len(threads) == 1 and threading.current_thread() not in threads


def test_only_so_many_are_taken_ahead() -> None:
    taken = []
    ahead = prefetched((taken.append(item) or item for item in count()), 4)
    assert list(islice(ahead, 10)) == list(range(10))
    ahead.close()
    assert 10 <= len(taken) <= 15


def test_what_the_items_raise_comes_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("gone")

    ahead = prefetched(items(), 5)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="gone"):
        next(ahead)


def test_the_other_thread_computes_with_as_many_threads_as_the_callers() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        each(abs, [1])  # leaves torch's number for threads that begin later at 1
        assert next(prefetched(iter(torch.get_num_threads, None), 1)) == 2
    finally:
        torch.set_num_threads(before)
