"""The parameters of EEG recordings: which are studied, and how they become vectors."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from mfr.config.base import Positive, PositiveFloat, Section, Seed
from mfr.config.source import SourceSection

Run = Annotated[int, Field(ge=1, le=14)]


class Simulated(Section):
    """The corpus that is simulated when no recordings are named."""

    subjects: Annotated[int, Field(ge=2)] = Field(12, description="Subjects; each has one to two sessions.")
    seconds: Annotated[int, Field(ge=10)] = Field(60, description="Length of a recording in whole seconds.")
    seed: Seed = Field(0, description="Seed of the simulation.")


class Eegbci(Section):
    """What is taken of the data set `eegbci`, which MNE downloads once: 64 channels, 160 Hz, one to two minutes a run."""

    subjects: Annotated[int, Field(ge=1, le=109)] = Field(20, description="The first so many of its 109 subjects.")
    runs: Annotated[list[Run], Field(min_length=1)] = Field(
        [1, 2], description="Runs of each subject: 1 rest with eyes open, 2 with eyes closed, 3 to 14 motor tasks."
    )


class PrepareRecordings(Section):
    """The EEG recordings that are studied."""

    recordings: str = Field(
        "simulated",
        description="`simulated`; `eegbci`, a public data set (it needs a network once); or a folder that is searched for EDF, "
        "BDF, GDF, FIF, BrainVision (.vhdr) and EEGLAB (.set) files.",
    )
    simulated: Simulated = Field(Simulated(), description="Size of the `simulated` corpus.")
    eegbci: Eegbci = Field(Eegbci(), description="Part of the data set `eegbci`.")


class PreprocessEeg(Section):
    """From recordings to vectors (paper, section 4.2)."""

    subject_pattern: str | None = Field(
        None,
        description="Regular expression with one group, which is the subject where it is found in a file's path below the "
        "recordings (with slashes); `null` knows TUH EEG's and BIDS' names, and else takes the topmost folder, or without one "
        "the file's name: then each file is a subject of its own.",
    )
    channels: Literal["tcp19", "common"] | list[str] = Field(
        "tcp19",
        description="`tcp19` (the 19 electrodes of the 10–20 system), `common` (those that all readable recordings have), or "
        "a list of electrodes such as [C3, C4].",
    )
    montage: Literal["referential", "average", "tcp_bipolar"] = Field(
        "referential",
        description="What a channel is measured against: the recording's own reference, the mean of `channels`, or a "
        "neighbour: those of TUH's 22 pairs of which both electrodes are in `channels` (20 of `tcp19`, which has no A1, A2).",
    )
    low_hz: PositiveFloat = Field(0.5, description="Lower edge of the Butterworth band-pass in Hz.")
    high_hz: PositiveFloat = Field(45.0, description="Upper edge of the Butterworth band-pass in Hz.")
    order: Positive = Field(5, description="Order of the band-pass; it is applied forwards and backwards.")
    notch_hz: PositiveFloat | list[PositiveFloat] | None = Field(
        None, description="Frequencies that notch filters take out, such as 50 or [60, 120]; `null` for none."
    )
    rate_hz: PositiveFloat = Field(128.0, description="Rate after resampling, in Hz.")
    window_s: PositiveFloat = Field(0.25, description="Length of a window in seconds.")
    step_s: PositiveFloat = Field(0.25, description="Time between the starts of two windows in seconds.")
    standardise: Literal["window_channel", "recording_channel", "recording_robust", "none"] = Field(
        "window_channel",
        description="Each channel has zero mean and unit variance in each window, or over the windows of its recording; "
        "`recording_robust` takes the recording's median and its interquartile range (1.349 of it, as in a normal "
        "distribution) instead; `none` leaves microvolts.",
    )
    noisy_above: PositiveFloat | None = Field(
        10.0,
        description="A window is dropped as noisy where a channel's standard deviation is more than so many times the median "
        "of that channel's windows in the recording; `null` keeps all.",
    )
    wrong_units: Literal["refuse", "correct"] = Field(
        "refuse",
        description="What is done with a recording whose amplitude (median standard deviation of a window) lies outside 0.05 "
        "to 2000 µV, as where volts were taken for microvolts: skip it, or multiply it by the power of 1000 that brings it "
        "nearest to 10 µV.",
    )
    split: Literal["subject", "time"] = Field(
        "subject",
        description="Training, validation and held-out vectors are of different subjects, or of different times: the first, "
        "a middle and the last part of each recording, which says nothing about other subjects but serves for one.",
    )
    heldout_share: float = Field(0.25, gt=0, lt=1, description="Share of the subjects (or time) kept for evaluation.")
    validation_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the subjects (or time) kept for validation, at least one subject; 0 leaves validation empty.",
    )
    seed: Seed = Field(0, description="Seed of the choice of held-out and validation subjects.")

    @property
    def notches_hz(self) -> list[float]:
        """`notch_hz` as a list."""
        return [] if self.notch_hz is None else self.notch_hz if isinstance(self.notch_hz, list) else [self.notch_hz]

    @field_validator("subject_pattern")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        if groups != 1:
            raise ValueError(f"must have one group, such as (S\\d+), for the subject: this has {groups}")
        return pattern

    @model_validator(mode="after")
    def _band_fits(self) -> "PreprocessEeg":
        if not self.low_hz < self.high_hz:
            raise ValueError(f"low_hz = {self.low_hz} must lie below high_hz = {self.high_hz}")
        if self.high_hz >= self.rate_hz / 2:
            raise ValueError(f"high_hz = {self.high_hz} must lie below half of rate_hz = {self.rate_hz}")
        if round(self.window_s * self.rate_hz) < 2 or round(self.step_s * self.rate_hz) < 1:
            raise ValueError(f"window_s and step_s are too short for rate_hz = {self.rate_hz}: a window needs two samples")
        return self

    @model_validator(mode="after")
    def _shares_leave_training(self) -> "PreprocessEeg":
        if self.heldout_share + self.validation_share >= 1:
            shares = f"heldout_share = {self.heldout_share} and validation_share = {self.validation_share}"
            raise ValueError(f"{shares} leave nothing for training: their sum must be below 1")
        return self


class Denoise(Section):
    """What noise is added to held-out windows, to measure how much of it an SAE takes away."""

    windows: Positive = Field(100, description="Held-out windows to which each kind of noise is added, or all if fewer.")
    line_hz: PositiveFloat = Field(50.0, description="Frequency of the mains, added after the band-pass, in Hz.")
    seed: Seed = Field(0, description="Seed of the windows and of the noise.")


class Eeg(SourceSection):
    """Windows of EEG recordings."""

    prepare_recordings: PrepareRecordings = PrepareRecordings()
    preprocess_eeg: PreprocessEeg = PreprocessEeg()
    denoise: Denoise = Denoise()

    @model_validator(mode="after")
    def _methods_are_no_references(self) -> "Eeg":
        taken = sorted({"nothing", "pca", "wiener"} & set(self.methods))
        if taken:
            raise ValueError(f"methods has {', '.join(taken)}, which the tables call what SAEs are compared with: rename it")
        return self

    @model_validator(mode="after")
    def _line_is_sampled(self) -> "Eeg":
        if self.denoise.line_hz >= self.preprocess_eeg.rate_hz / 2:
            raise ValueError(
                f"denoise.line_hz = {self.denoise.line_hz} must lie below half of "
                f"preprocess_eeg.rate_hz = {self.preprocess_eeg.rate_hz}, or no window could hold it"
            )
        return self
