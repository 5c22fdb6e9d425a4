import numpy as np
import pytest

from mfr.runtime.errors import UserError
from mfr.sources.eeg.electrodes import TCP19, electrode, known_electrodes
from mfr.sources.eeg.montage import Montage, common, lost, named


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("EEG FP1-REF", "FP1"),
        ("EEG FP1-LE", "FP1"),
        ("Fp1.", "FP1"),
        ("Fc5..", "FC5"),
        (" cz ", "CZ"),
        ("EEG T7-REF", "T3"),
        ("T8", "T4"),
        ("P7", "T5"),
        ("p8.", "T6"),
        ("EEG EKG1-REF", "EKG1"),
        ("EEG FP1-F7", "EEG FP1-F7"),
        ("PHOTIC-REF", "PHOTIC"),
    ],
)
def test_electrode(label, name):
    assert electrode(label) == name


def test_named_electrodes():
    assert named(["T7", "c3"]) == ["T3", "C3"]
    with pytest.raises(UserError, match="T3 twice"):
        named(["T7", "T3"])


def test_known_electrodes_hold_tcp19_and_no_other_channel():
    assert len(set(TCP19)) == 19 and set(TCP19) | {"A1", "A2", "FPZ", "AF7", "CPP5H"} <= set(known_electrodes())
    assert not {"T7", "EKG1", "PHOTIC", "EOG", "STATUS", "EDF ANNOTATIONS"} & set(known_electrodes())


def test_common_electrodes_are_those_of_all_recordings_in_the_order_of_tcp19():
    first = ["PHOTIC", "EEG O1-REF", "CPz", "EEG FP1-REF", "EEG T7-REF", "EEG EKG1-REF"]
    second = ["T3", "Cpz.", "Fp1.", "O1..", "C3", "EKG1", "PHOTIC"]
    assert common({"a": first, "b": second}) == ["FP1", "T3", "O1", "CPZ"]
    with pytest.raises(UserError, match=r"in all of 3 recordings; c.edf costs most: it lacks 4 electrodes that at"):
        common({"a": first, "b": second, "c.edf": ["C3"]})


def test_common_electrodes_that_few_recordings_cost():
    full = {f"{n}.edf": [f"EEG {name}-REF" for name in TCP19] for n in range(5)}
    odd = {"odd.edf": ["C3", "ECG"], "other.edf": ["C3", "C4"]}
    assert lost(full) == "" and common(full, 30) == list(TCP19)
    assert lost(full | odd).startswith(
        "odd.edf costs most: it lacks 18 electrodes that at least half of the recordings have (FP1"
    )
    with pytest.raises(UserError) as raised:
        common(full | odd, 8)
    assert "common leaves 1 electrode (C3) in 7 recordings, fewer than min_channels = 8; odd.edf costs most" in str(
        raised.value
    )
    assert common(full | odd) == ["C3"] and common(full | {"odd.edf": [*TCP19[:8]]}, 8) == list(TCP19[:8])


def test_average_reference_and_bipolar_pairs():
    signals = np.random.default_rng(0).normal(size=(4, 50))
    electrodes = ["T3", "O1", "F7", "FP1"]
    assert Montage(electrodes, "referential").apply(signals) is signals
    average = Montage(electrodes, "average")
    np.testing.assert_allclose(average.apply(signals).mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(average.apply(signals)[0], 0.75 * signals[0] - signals[1:].sum(axis=0) / 4)
    bipolar = Montage(electrodes, "tcp_bipolar")
    assert bipolar.channels == ["FP1-F7", "F7-T3"] and average.channels == electrodes
    np.testing.assert_array_equal(bipolar.apply(signals), [signals[3] - signals[2], signals[2] - signals[0]])


def test_one_electrode_has_no_average_reference():
    with pytest.raises(UserError, match="montage: average needs at least two electrodes, but C3 is the only one"):
        Montage(["C3"], "average")
    assert Montage(["C3"], "referential").channels == ["C3"]


def test_tuh_has_22_pairs_of_which_tcp19_has_20():
    assert len(Montage([*TCP19, "A1", "A2"], "tcp_bipolar").channels) == 22
    channels = Montage(list(TCP19), "tcp_bipolar").channels
    assert len(channels) == 20 and {"A1-T3", "T4-A2"}.isdisjoint(channels)
    with pytest.raises(UserError, match="none of its pairs is among C3, FZ"):
        Montage(["C3", "FZ"], "tcp_bipolar")
