import threading

import pytest
import torch

from mfr.compute.threads import each, even_bounds, side_by_side


@pytest.mark.parametrize(("threads", "count"), [(1, 10), (3, 10), (4, 2)])
def test_parts_cover_everything_once(threads: int, count: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    seen, names = [], set()

    def loop(first: int, last: int, step: int) -> None:
        seen.extend(range(first, last, step))
        names.add(threading.current_thread())

    try:
        side_by_side(loop, even_bounds(count), 1)
        assert sorted(seen) == list(range(count))
        assert len(even_bounds(count)) == threads + 1 and len(names) <= threads
    finally:
        torch.set_num_threads(before)


def test_what_a_part_raises_is_raised() -> None:
    def loop(first: int, last: int) -> None:
        if first == 5:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        side_by_side(loop, [0, 5, 9])


def test_tasks_have_a_thread_of_torch_each() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    together = threading.Barrier(3, timeout=20)

    def task(a: int, b: int) -> tuple[int, int]:
        together.wait()
        return a * b, torch.get_num_threads()

    found = each(task, range(6), range(6))
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert found == [(a * a, 1) for a in range(6)] and after == 3
