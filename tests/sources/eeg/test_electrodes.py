import pytest

from mfr.sources.eeg.electrodes import TCP19, channels_of, describe_labels, electrode, electrodes_of

REFERENCES = (
    "REF",
    "Ref",
    "LE",
    "CLE",
    "AR",
    "CAR",
    "AVG",
    "Avg",
    "AV",
    "COM",
    *("A1", "A2", "M1", "M2", "A1A2", "A1+A2", "(A1+A2)/2", "M1M2"),
)
ABC = [f"{letter}{number}" for letter in "ABCD" for number in range(1, 33)]


@pytest.mark.parametrize("prefix", ["", "EEG ", "POL ", "EEG:", "eeg-"])
@pytest.mark.parametrize(
    "reference",
    ["", ".", "..", *(f"-{name}" for name in REFERENCES), "_REF", " - Ref"],
)
def test_prefixes_and_references_are_no_part_of_an_electrodes_name(prefix, reference):
    assert electrode(f"{prefix}Fp1{reference}") == "FP1" and electrode(f"{prefix}T7{reference}") == "T3"


@pytest.mark.parametrize("label", ["F7-T3", "EEG FP1-F7", "A1-T3", "A1-A2", "M1-M2", "FPZ-CZ", "EKG1-EKG2", "FP1-F7-REF"])
def test_a_bipolar_channel_is_no_electrode(label):
    assert electrode(label) == label and electrodes_of([label]) == [label]


def test_other_labels():
    assert list(map(electrode, ["EEG 001", "E1", "E128", "EOG L-A2", "Status"])) == ["001", "E1", "E128", "EOG L-A2", "STATUS"]


def test_the_second_electrode_of_all_pairs_is_their_reference():
    assert electrodes_of(["EEG Fp1-Pz", "EEG T7-Pz", "EEG C3-Pz", "ECG-Ref"]) == ["FP1", "T3", "C3", "ECG"]
    chain = ["FP1-F7", "F7-T3", "T3-T5", "T5-O1", "A1-T3", "T4-A2"]
    assert electrodes_of(chain) == chain
    assert electrodes_of(["EEG Fpz-Cz", "EEG Pz-Oz"]) == ["EEG FPZ-CZ", "EEG PZ-OZ"]
    assert electrodes_of(["C3-Cz", "C4-Cz"]) == ["C3-CZ", "C4-CZ"]  # as likely two bipolar channels
    assert electrodes_of(["C3-A2", "C4-A1", "O1-A2", "LOC-A2"]) == ["C3", "C4", "O1", "LOC"]


@pytest.mark.parametrize("labels", [ABC, ABC[:64], [*ABC[:32], "EXG1", "Status"], ["A1", "A2", "B1"]])
def test_positions_of_a_biosemi_cap_are_no_electrodes_of_the_10_20_system(labels):
    names = electrodes_of(labels)
    assert not {"A1", "A2"} & set(names) and names[:2] == ["BIOSEMI A1", "BIOSEMI A2"]
    assert not {"C3", "C4"} & set(names)


def test_ears_and_electrodes_beside_other_channels_keep_their_names():
    labels = [*TCP19, "A1", "A2", "E1", "E2", "C1", "D1", "T1", "EMG1"]
    assert electrodes_of(labels) == labels


def test_channels_of_electrodes_and_of_bipolar_channels():
    labels = ["EEG Fp1-Pz", "EEG C3-Pz", "EEG C4-Pz", "C3"]
    assert channels_of(labels, ["C3", "FP1", "O1"]) == [[1, 3], [0], []]
    assert channels_of(labels, electrodes_of(["EEG C4-Pz"])) == [[2]]
    assert channels_of(ABC, electrodes_of(["A2", "B5"])) == [[1], [36]]


def test_what_labels_a_recording_has():
    assert describe_labels([], "C3") == "it has no EEG channel"
    assert describe_labels(["O1"], "C3") == "its label is O1"
    assert describe_labels(["EEG C3-P3", "X", "Y"], "C3") == "its labels are EEG C3-P3, X, Y (most like C3: EEG C3-P3)"
    assert describe_labels([*"abcdefgh"], "C3").startswith("its labels are a, b, c, d, e, f, … and 2 more")
