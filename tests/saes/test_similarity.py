from itertools import permutations

import pytest
import torch

from mfr.saes.similarity import cosines, hungarian, matched, mcc_hungarian, mmcs_max


def dictionaries() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator) * 3


def test_cosines_ignore_length() -> None:
    A, B = dictionaries()
    expected = torch.cosine_similarity(A[:, None], B[None], dim=2)
    assert torch.allclose(cosines(A, B), expected, atol=1e-6)


def test_hungarian_finds_the_best_of_all_permutations() -> None:
    similarity = cosines(*dictionaries())
    best = max(sum(similarity[i, j].item() for i, j in enumerate(order)) for order in permutations(range(6)))
    rows, columns = hungarian(similarity)
    assert similarity[rows, columns].sum().item() == pytest.approx(best, abs=1e-5)


def test_mmcs_and_mcc_by_loops() -> None:
    A, B = dictionaries()
    similarity = cosines(A, B).tolist()
    assert mmcs_max(A, B) == pytest.approx(sum(max(row) for row in similarity) / 6, abs=1e-6)
    best = max(sum(similarity[i][j] for i, j in enumerate(order)) for order in permutations(range(6)))
    assert mcc_hungarian(A, B) == pytest.approx(best / 6, abs=1e-6)
    assert mcc_hungarian(A, B) < mmcs_max(A, B)


def test_matched_pairs_by_loops() -> None:
    similarity = cosines(*dictionaries())
    nearest = {(i, max(range(6), key=lambda j: similarity[i, j])) for i in range(6)}
    of_columns = {(max(range(6), key=lambda i: similarity[i, j]), j) for j in range(6)}
    expected = {"max": nearest, "max_symmetric": nearest | of_columns, "mutual": nearest & of_columns}
    for matching, pairs in expected.items():
        rows, columns = matched(similarity, matching)
        assert set(zip(rows.tolist(), columns.tolist())) == pairs
    assert len(matched(similarity, "max_symmetric")[0]) == 12 and len(expected["mutual"]) < 6
