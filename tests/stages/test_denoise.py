"""The stage denoise on small files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mfr.compute.seeds import numpy_stream
from mfr.config.eeg import Denoise
from mfr.config.experiment import Execution
from mfr.denoising import noise
from mfr.denoising.denoisers import denoised, scores, standards
from mfr.denoising.records import read_denoising
from mfr.runtime.errors import UserError
from mfr.saes.ensemble import Ensemble
from stages import denoise
from tests.support import eeg_files
from tests.support.small_training import write_run

SETTINGS = Denoise(windows=30, line_hz=40.0, seed=3)
EXECUTION = Execution(device="cpu", threads=1)


@pytest.fixture
def saes() -> Ensemble:
    return Ensemble.random([4, 9, 4], 64, 80, "topk", seed=0)


@pytest.fixture
def files(tmp_path: Path, saes: Ensemble) -> denoise.Files:
    found = denoise.Files(*(tmp_path / name for name in ("saes.safetensors", "saes.json", "train.h5", "heldout.h5")))
    write_run(found.saes, saes)
    eeg_files.write(found.train, 700, seed=0)
    eeg_files.write(found.heldout, 120, seed=1)
    return found


def test_a_row_for_each_noise_strength_and_denoiser(files: denoise.Files, saes: Ensemble, tmp_path: Path) -> None:
    output = tmp_path / "denoising.json"
    denoise.run(files, SETTINGS, output, EXECUTION)
    table = read_denoising(output).table()
    assert len(table) == 5 * 4 * (2 + 2 + 3) and table.notna().all(axis=None)
    gains = table.groupby("denoiser")["snr_gain_db"]
    assert (gains.get_group("nothing") == 0).all() and (gains.get_group("wiener") > 0).all()

    # By hand: the second SAE on blinks at 5 dB.
    windows = eeg_files.write(tmp_path / "again.h5", 120, seed=1)
    clean = windows[np.sort(numpy_stream("denoised_windows", 3).permutation(120)[:30])]
    shape = noise.Shape(eeg_files.CHANNELS, eeg_files.SAMPLES, eeg_files.RATE_HZ, 40.0)
    blinks = noise.draw("blink", 30, shape, numpy_stream("noise", 3, noise.KINDS.index("blink")))
    noisy = noise.add(clean, blinks, 5)
    moments = standards(noisy, noisy[:, :, 0], noisy[:, :, 0], "window_channel")
    ours = denoised(noisy, *moments, lambda x: saes.reconstruct(1, torch.from_numpy(x).float()).double().numpy())
    row = table.query("noise == 'blink' and snr_db == 5 and denoiser == 'sae' and k == 9").iloc[0]
    assert row[["snr_gain_db", "rrmse_time", "rrmse_spectrum"]].tolist() == pytest.approx(
        [*scores(clean, noisy, ours)], rel=1e-3
    )

    before = output.read_bytes()
    denoise.run(files, SETTINGS, output, EXECUTION)
    assert output.read_bytes() == before
    denoise.run(files, SETTINGS.model_copy(update={"seed": 4}), output, EXECUTION)
    assert output.read_bytes() != before


def test_few_windows_are_all_taken_and_k_may_be_the_whole_size(files: denoise.Files, saes: Ensemble, tmp_path: Path) -> None:
    assert denoise.chosen_rows(7, SETTINGS).tolist() == list(range(7))
    write_run(files.saes, replace(saes, k=[4, 64, 4]))
    eeg_files.write(files.train, 100, seed=0)
    denoise.run(files, SETTINGS, tmp_path / "denoising.json", EXECUTION)
    assert np.isfinite(read_denoising(tmp_path / "denoising.json").table()["snr_gain_db"]).all()


def test_references_are_fitted_on_blocks_from_all_over_the_file(files: denoise.Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoise, "BLOCK_ROWS", 50)
    monkeypatch.setattr(denoise, "REFERENCE_ROWS", 200)
    with denoise.Vectors(files.train) as train:
        blocks = list(denoise._training_blocks(train))
        assert [len(vectors) for vectors, _ in blocks] == [50, 50, 50, 50]
        torch.testing.assert_close(torch.from_numpy(blocks[1][0]), train.read(200, 250))
    windows = eeg_files.write(files.train, 700, seed=0)
    np.testing.assert_allclose(blocks[1][1], windows[200:250], atol=1e-3)


def test_weights_for_vectors_of_another_size_are_refused(files: denoise.Files, tmp_path: Path) -> None:
    other = Ensemble.random([4], 64, 79, "topk", seed=0)
    write_run(files.saes, other)
    with pytest.raises(UserError, match=r"heldout.h5: vectors of size 80, but .* was trained on 79"):
        denoise.run(files, SETTINGS, tmp_path / "denoising.json", EXECUTION)
    assert not (tmp_path / "denoising.json").exists()
