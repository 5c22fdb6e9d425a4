import signal
import threading

import pytest
import torch
from torch.nn.functional import normalize

from mfr.runtime.interruption import Interrupted, Interruption, deferred
from mfr.saes import nearest as module
from mfr.saes.nearest import Nearest, by_topk, nearest


def dictionaries(m: int, n: int, d: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two dictionaries, with prices of the second's and values of the first's features."""
    generator = torch.Generator().manual_seed(0)
    A, B = (normalize(torch.randn(rows, d, generator=generator), dim=1) for rows in (m, n))
    return A, B, *(torch.rand(rows, generator=generator) / 10 for rows in (n, m))


def assert_sorted_by(found: Nearest, S: torch.Tensor, price: torch.Tensor, value: torch.Tensor, count: int) -> None:
    for net, values, indices in (
        (S - price, found.row_values, found.columns),
        ((S - value[:, None]).T, found.column_values, found.rows),
    ):
        expected = net.sort(dim=1, descending=True, stable=True)
        assert torch.allclose(values, expected.values[:, :count], atol=1e-6)
        assert torch.equal(indices, expected.indices[:, :count])


@pytest.mark.parametrize(("m", "n", "count"), [(1300, 4500, 16), (5, 3, 3), (700, 40, 1)])
def test_lists_are_the_sorted_matrix(m: int, n: int, count: int) -> None:
    A, B, price, value = dictionaries(m, n)
    assert m < 1000 or (m > 2 * module.BLOCK_ROWS and n > 2 * module.BLOCK_COLUMNS)
    assert_sorted_by(nearest(A, B, count, price, value), A @ B.T, price, value, count)
    zero = torch.zeros(1)
    assert_sorted_by(nearest(A, B, count), A @ B.T, zero.expand(n), zero.expand(m), count)
    assert nearest(A, B, 50).columns.shape == (m, min(50, m, n))


def test_topk_in_blocks_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    A, B, price, value = dictionaries(300, 200)
    monkeypatch.setattr(module, "GPU_ELEMENTS", 200 * 64)
    assert_sorted_by(by_topk(A, B, 16, price, value), A @ B.T, price, value, 16)


def test_threads_change_nothing_even_among_copies() -> None:
    A, B, price, value = dictionaries(1500, 600)
    A[700:1400], B[300:] = A[:700], B[:300]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = nearest(A, B, 8, price, value)
        torch.set_num_threads(3)
        assert all(map(torch.equal, vars(alone).values(), vars(nearest(A, B, 8, price, value)).values()))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("m", "n"), [(0, 5), (5, 0), (0, 0)])
def test_without_features_there_are_none(m: int, n: int) -> None:
    A, B, *_ = dictionaries(m, n)
    found = nearest(A, B, 3)
    assert found.columns.tolist() == [[-1]] * m and found.rows.tolist() == [[-1]] * n


def test_nan_is_refused() -> None:
    A, B, *_ = dictionaries(6, 5)
    A[2, 3] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        nearest(A, B, 2)


def test_a_signal_ends_the_search_between_two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    A, B, *_ = dictionaries(400, 30)
    started, keep_largest = [], module._keep_largest

    def signalled(*arguments: object) -> None:
        started.append(True)
        if len(started) == 3:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
        keep_largest(*arguments)

    monkeypatch.setattr(module, "BLOCK_ROWS", 4)
    monkeypatch.setattr(module, "_keep_largest", signalled)
    with Interruption(), pytest.raises(Interrupted), deferred():
        nearest(A, B, 16)
    assert len(started) < 20
