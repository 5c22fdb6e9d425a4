from pathlib import Path

import numpy as np
import pytest
import torch

from mfr.runtime.errors import UserError
from mfr.runtime.resume import Parts
from mfr.sources.language_model import activations
from mfr.sources.language_model.activations import Blocks, Capture, Float16OverflowError
from mfr.sources.language_model.model import capture as activations_at
from mfr.sources.language_model.model import load, pin
from tests.support.models import CONTEXT, save

TEXTS = [f"text number {i} holds some words" for i in range(40)]


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Capture:
    folder = save("gpt2", TEXTS, tmp_path_factory.mktemp("model"))
    model = load(pin(str(folder), None), torch.device("cpu"))
    return Capture(model, "blocks.0.hook_mlp_out", batch=3, left_out=[0], dtype=torch.float32)


def sequences(seed: int, number: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 30, (number, CONTEXT), dtype=np.int32)


def complete(folder: Path, capture: Capture, sequences: np.ndarray, every_s: float = 1e-9) -> tuple[Blocks, list[int]]:
    """The blocks of all sequences, and what was told of each batch that was run."""
    blocks, told = Blocks(Parts(folder, "key"), "train", capture), []
    blocks.complete(sequences, every_s, told.append)
    return blocks, told


def test_vectors_come_batch_by_batch_however_they_fell_into_blocks(tmp_path, capture, monkeypatch) -> None:
    few, _ = complete(tmp_path / "few", capture, sequences(0), every_s=1e9)
    many, told = complete(tmp_path / "many", capture, sequences(0))
    monkeypatch.setattr(activations, "BLOCK_BYTES", 8000)
    some, _ = complete(tmp_path / "some", capture, sequences(0), every_s=1e9)
    assert len(few.names) == 1 < len(some.names) < len(many.names) == len(told) == 7
    for first, *others in zip(few.batches(), some.batches(), many.batches(), strict=True):
        for arrays in others:
            assert all(np.array_equal(*pair) for pair in zip(first, arrays, strict=True))
    kept = capture.kept(sequences(0))
    assert told[-1] == few.rows == kept.sum() < kept[:, 1:].size
    expected = activations_at(capture.model, torch.from_numpy(sequences(0)), capture.hook).numpy()[kept]
    np.testing.assert_allclose(np.concatenate([vectors for _, vectors in few.batches()]), expected, rtol=1e-5, atol=1e-7)


def test_only_blocks_that_are_missing_are_made(tmp_path, capture, capsys) -> None:
    whole, _ = complete(tmp_path / "whole", capture, sequences(0))
    complete(tmp_path / "parts", capture, sequences(0, number=12))
    again, told = complete(tmp_path / "parts", capture, sequences(0))
    assert len(told) == 3 and told[-1] == whole.rows
    assert "train: resuming at vector" in capsys.readouterr().err
    for first, second in zip(whole.batches(), again.batches(), strict=True):
        assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))


def test_a_damaged_block_is_made_again(tmp_path, capture) -> None:
    whole, _ = complete(tmp_path / "whole", capture, sequences(0))
    piece = tmp_path / "whole" / f"{whole.names[1]}.part"
    content = piece.read_bytes()
    piece.write_bytes(content[:-50] + bytes([content[-50] ^ 1]) + content[-49:])
    complete(tmp_path / "whole", capture, sequences(0))
    assert piece.read_bytes() == content


def test_blocks_of_a_text_that_has_changed_are_made_again(tmp_path, capture) -> None:
    complete(tmp_path / "parts", capture, sequences(0))
    changed = sequences(0)
    changed[7, 5] += 1
    expected, _ = complete(tmp_path / "expected", capture, changed)
    blocks, told = complete(tmp_path / "parts", capture, changed)
    assert len(told) == 5
    for first, second in zip(expected.batches(), blocks.batches(), strict=True):
        assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))


@pytest.mark.parametrize(("scale", "fits"), [(60_000, True), (70_000, False)])
def test_values_that_float16_cannot_hold_are_seen(capture, scale, fits) -> None:
    def loud(activations: torch.Tensor, hook: object) -> torch.Tensor:
        return activations / activations.abs().max() * scale

    half = Capture(capture.model, capture.hook, capture.batch, capture.left_out, torch.float16)
    with capture.model.hooks([(capture.hook, loud)]):
        if fits:
            assert half.vectors(sequences(0)).dtype == np.float16
        else:
            with pytest.raises(Float16OverflowError):
                half.vectors(sequences(0))


@pytest.mark.parametrize("tokens_a_pass", [1, 2 * CONTEXT, 3 * CONTEXT])
def test_parts_of_a_batch_give_its_vectors(capture, tokens_a_pass, monkeypatch) -> None:
    whole = capture.vectors(sequences(0))
    monkeypatch.setattr("mfr.sources.language_model.model.TOKENS_A_PASS", tokens_a_pass)
    np.testing.assert_allclose(capture.vectors(sequences(0)), whole, rtol=1e-5, atol=1e-7)


def test_a_vector_that_is_not_finite_is_named_by_its_sequence(tmp_path, capture, monkeypatch) -> None:
    def broken(activations: torch.Tensor, hook: object) -> torch.Tensor:
        return torch.where(torch.arange(len(activations))[:, None, None] == 1, torch.nan, activations)

    # The hook sees parts of two sequences: it breaks sequences 1, 4, 7 and so on, of batches of three.
    monkeypatch.setattr("mfr.sources.language_model.model.TOKENS_A_PASS", 2 * CONTEXT)
    with (
        capture.model.hooks([(capture.hook, broken)]),
        pytest.raises(UserError, match="is NaN or infinite in sequence 1 of train"),
    ):
        complete(tmp_path, capture, sequences(0))
