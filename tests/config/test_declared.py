from mfr.config.declared import changed_since, differing, fingerprint, keys_of, values_of

RAW = {
    "seeds": [0],
    "eeg": {"train": {"steps": 3}, "methods": {"mfr": {}}, "denoise": {"seed": 1}},
    "execution": {"threads": 2},
}
NAMES = {"source": "eeg", "method": "mfr", "seed": "0"}


def test_a_stage_declares_the_keys_of_its_source_and_method() -> None:
    assert keys_of("train", NAMES) == ["eeg.train", "eeg.methods.mfr"]
    assert keys_of("denoise", NAMES) == ["eeg.denoise"] and keys_of("export", NAMES) == []
    assert keys_of("dump_activations", {}) == ["language_model.text", "language_model.dump_activations"]


def test_values_may_be_missing() -> None:
    assert values_of(RAW, "train", NAMES) == {"eeg.train": {"steps": 3}, "eeg.methods.mfr": {}}
    assert values_of({"eeg": None}, "train", NAMES) == {"eeg.train": None, "eeg.methods.mfr": None}


def test_a_fingerprint_names_the_keys_that_changed() -> None:
    planned = fingerprint(values_of(RAW, "train", NAMES))
    assert changed_since(planned, values_of(RAW | {"execution": {}, "seeds": []}, "train", NAMES)) == []
    edited = {**RAW, "eeg": {**RAW["eeg"], "train": {"steps": 4}}}
    assert changed_since(planned, values_of(edited, "train", NAMES)) == ["eeg.train"]
    assert changed_since("abc", values_of(RAW, "train", NAMES)) == ["eeg.train", "eeg.methods.mfr"]
    assert changed_since(fingerprint({}), {}) == []


def test_settings_that_differ_are_named_with_both_values() -> None:
    first, second = {"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1, "c": 3}, "d": [1], "e": 0}
    assert list(differing(first, second)) == [("a.c", 2, 3), ("e", None, 0)]
