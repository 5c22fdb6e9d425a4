from itertools import permutations

import pytest
import torch
from torch.nn.functional import normalize

from mfr.saes.similarity import largest_cosines, matched, similarities


def dictionaries(h: int = 6, m: int = 6) -> tuple[torch.Tensor, torch.Tensor, list[list[float]]]:
    """Two dictionaries of any lengths, and all their cosines."""
    generator = torch.Generator().manual_seed(0)
    A, B = torch.randn(h, 4, generator=generator), torch.randn(m, 4, generator=generator) * 3
    return A, B, torch.cosine_similarity(A[:, None], B[None], dim=2).tolist()


def unit(A: torch.Tensor, B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return normalize(A, dim=1), normalize(B, dim=1)


def test_largest_cosines_by_loops() -> None:
    A, B, cosines = dictionaries(6, 9)
    values, indices = largest_cosines(A, B)
    assert values.tolist() == pytest.approx([max(row) for row in cosines], abs=1e-6)
    assert indices.tolist() == [max(range(9), key=row.__getitem__) for row in cosines]


@pytest.mark.parametrize(("h", "m"), [(6, 6), (3, 7), (7, 3)])
def test_partners_are_the_best_of_all_permutations(h: int, m: int) -> None:
    A, B, cosines = dictionaries(h, m)
    (found,) = similarities([unit(A, B)])
    shorter, longer = sorted((h, m))
    by_shorter = cosines if h <= m else list(zip(*cosines, strict=True))
    orders = permutations(range(longer), shorter)
    total = max(sum(by_shorter[i][j] for i, j in enumerate(order)) for order in orders)
    assert found.mcc_hungarian == pytest.approx(total / shorter, abs=1e-6)
    chosen = list(zip(found.rows.tolist(), found.columns.tolist(), strict=True))
    assert found.cosines.tolist() == pytest.approx([cosines[i][j] for i, j in chosen], abs=1e-6)
    assert len(set(found.rows.tolist())) == len(set(found.columns.tolist())) == shorter


def test_mmcs_and_recovered_by_loops_and_in_reverse() -> None:
    A, B, cosines = dictionaries(6, 5)
    (found,) = similarities([unit(A, B)])
    columns = [max(row[j] for row in cosines) for j in range(5)]
    assert found.mmcs_max == pytest.approx(sum(max(row) for row in cosines) / 6, abs=1e-6)
    assert found.recovered(0.6) == pytest.approx(sum(best > 0.6 for best in columns) / 5)
    assert 0 < found.recovered(0.6) < 1
    assert found.reversed.mmcs_max == pytest.approx(sum(columns) / 5, abs=1e-6)
    assert found.reversed.mcc_hungarian == found.mcc_hungarian < found.mmcs_max


def test_a_dictionary_without_features_resembles_nothing() -> None:
    A, B, _ = dictionaries()
    (found,) = similarities([unit(A[:0], B)])
    assert found.cosines.shape == (0,) and torch.tensor(found.mcc_hungarian).isnan()


def test_matched_pairs_by_loops() -> None:
    A, B, cosines = dictionaries()
    nearest = {(i, max(range(6), key=lambda j: cosines[i][j])) for i in range(6)}
    of_columns = {(max(range(6), key=lambda i: cosines[i][j]), j) for j in range(6)}
    expected = {"max": nearest, "max_symmetric": nearest | of_columns, "mutual": nearest & of_columns}
    A, B = unit(A, B)
    for matching, pairs in expected.items():
        rows, columns = matched(A, B, matching)
        assert set(zip(rows.tolist(), columns.tolist())) == pairs
    assert len(matched(A, B, "max_symmetric")[0]) == 12 and len(expected["mutual"]) < 6
