"""Parameters of EEG recordings: which are studied, and how they become vectors."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from mfr.config.base import Filled, PathOrName, Positive, PositiveFloat, Section, Seed
from mfr.config.source import SourceSection, Stages

Run = Annotated[int, Field(ge=1, le=14)]


class Simulated(Section):
    """The corpus that is simulated if no recordings are named."""

    subjects: Annotated[int, Field(ge=2)] = Field(12, description="Subjects, with one or two sessions each.")
    seconds: Annotated[int, Field(ge=10)] = Field(60, description="Length of a recording, in whole seconds.")
    seed: Seed = Field(0, description="Seed of the simulation.")


class Eegbci(Section):
    """Part of the data set `eegbci`: 64 channels, 160 Hz, one to two minutes per run."""

    subjects: Annotated[int, Field(ge=1, le=109)] = Field(20, description="Number of subjects, from the first of 109.")
    runs: Annotated[list[Run], Field(min_length=1)] = Field(
        [1, 2], description="Runs of each subject: 1 is rest with eyes open, 2 with eyes closed, 3 to 14 are motor tasks."
    )


class PrepareRecordings(Section):
    """The EEG recordings that are studied."""

    recordings: PathOrName = Field(
        "simulated",
        description="`simulated`; `eegbci`, a public data set that MNE downloads once; or a folder, which is searched for EDF, "
        "BDF, GDF, FIF, BrainVision (.vhdr) and EEGLAB (.set) files. `~` is your home; `$HOME` is not replaced.",
    )
    simulated: Simulated = Field(Simulated(), description="Size of the `simulated` corpus.")
    eegbci: Eegbci = Field(Eegbci(), description="Part of the data set `eegbci`.")


class PreprocessEeg(Section):
    """How recordings become vectors (paper, section 4.2)."""

    subject_pattern: Filled | None = Field(
        None,
        description="Regular expression whose one group is the subject. It is searched for in each file's path, with slashes, "
        "below the recordings folder. `null` recognises the names of TUH EEG and BIDS; otherwise the subject is the topmost "
        "folder or, if there is none, the file's name.",
    )
    channels: Literal["tcp19", "common"] | Annotated[list[Filled], Field(min_length=1)] = Field(
        "tcp19",
        description="`tcp19` (19 electrodes of the 10–20 system), `common` (the electrodes shared by all readable recordings), "
        "or a list of electrodes such as [C3, C4].",
    )
    min_channels: Positive = Field(
        8,
        description="Fewest electrodes that `channels: common` may leave if some recordings lack electrodes that others have; "
        "with fewer it is refused.",
    )
    montage: Literal["referential", "average", "tcp_bipolar"] = Field(
        "referential",
        description="Reference of a channel: the recording's own (`referential`), the mean of `channels` (`average`), or a "
        "neighbour (`tcp_bipolar`). `tcp_bipolar` uses those of TUH's 22 pairs with both electrodes in `channels`: 20 for "
        "`tcp19`, which lacks A1 and A2.",
    )
    low_hz: PositiveFloat = Field(0.5, description="Lower edge of the Butterworth band-pass, in Hz.")
    high_hz: PositiveFloat = Field(45.0, description="Upper edge of the Butterworth band-pass, in Hz.")
    order: Positive = Field(5, description="Order of the band-pass; it is applied forwards and backwards.")
    notch_hz: PositiveFloat | list[PositiveFloat] | None = Field(
        None,
        description="Frequencies that notch filters remove, in Hz, such as 50 or [50, 60]; `null` for none. They must be below "
        "half of `rate_hz`.",
    )
    rate_hz: PositiveFloat = Field(128.0, description="Sampling rate after resampling, in Hz.")
    window_s: PositiveFloat = Field(0.25, description="Length of a window, in seconds.")
    step_s: PositiveFloat = Field(0.25, description="Time between the starts of two windows, in seconds.")
    standardise: Literal["window_channel", "recording_channel", "recording_robust", "none"] = Field(
        "window_channel",
        description="Scale each channel to zero mean and unit variance in each window (`window_channel`), or over all windows "
        "of its recording (`recording_channel`). `recording_robust` instead uses the recording's median, and its interquartile "
        "range / 1.349, which equals the standard deviation of normal data. `none` keeps microvolts.",
    )
    noisy_above: PositiveFloat | None = Field(
        10.0,
        description="A window is dropped as noisy if a channel's standard deviation exceeds this many times that channel's "
        "median over the windows of the recording. `null` keeps all.",
    )
    unit: Literal["uV", "mV", "V"] | None = Field(
        None,
        description="Unit of recordings that state none, one that is no voltage, or a wrong one: one that makes the amplitude "
        "implausible (see `wrong_units`). Other recordings keep their own. `null` skips such recordings.",
    )
    wrong_units: Literal["refuse", "correct"] = Field(
        "refuse",
        description="What happens to a recording whose amplitude (median standard deviation of a window) is outside 0.05 to "
        "2000 µV, for example because volts were read as microvolts, and which `unit` does not make plausible. `refuse` skips "
        "it; `correct` multiplies it by the power of 1000, at most a million, that brings it nearest to 10 µV, if its spectrum "
        "falls as that of EEG does and nothing else is wrong.",
    )
    split: Literal["subject", "time"] = Field(
        "subject",
        description="Training, validation and held-out vectors come from different subjects (`subject`), or from the first, a "
        "middle and the last part of each recording (`time`). `time` works with one subject, but says nothing about others.",
    )
    heldout_share: float = Field(0.25, gt=0, lt=1, description="Share of the subjects (or time) that is held out.")
    validation_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the subjects (or time) for validation, at least one subject; 0 makes validation empty.",
    )
    seed: Seed = Field(0, description="Seed that chooses held-out and validation subjects.")

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
            raise ValueError(f"not a regular expression: {error}") from None
        if groups != 1:
            raise ValueError(f"must have exactly one group, for the subject, such as (S\\d+), but it has {groups}")
        return pattern

    @model_validator(mode="after")
    def _band_fits(self) -> "PreprocessEeg":
        if not self.low_hz < self.high_hz:
            raise ValueError(f"low_hz = {self.low_hz} must be below high_hz = {self.high_hz}")
        if self.high_hz >= self.rate_hz / 2:
            raise ValueError(f"high_hz = {self.high_hz} must be below half of rate_hz = {self.rate_hz}")
        if round(self.window_s * self.rate_hz) < 2 or round(self.step_s * self.rate_hz) < 1:
            raise ValueError(
                f"window_s = {self.window_s} or step_s = {self.step_s} is too short for rate_hz = {self.rate_hz}; "
                "a window needs two samples, a step one"
            )
        return self

    @model_validator(mode="after")
    def _shares_leave_training(self) -> "PreprocessEeg":
        if self.heldout_share + self.validation_share >= 1:
            shares = f"heldout_share = {self.heldout_share} and validation_share = {self.validation_share}"
            raise ValueError(f"{shares} leave nothing for training; their sum must be below 1")
        return self


class Denoise(Section):
    """Noise that is added to held-out windows, to measure how much of it an SAE removes."""

    windows: Positive = Field(100, description="Held-out windows to which each kind of noise is added, at most.")
    line_hz: PositiveFloat = Field(50.0, description="Frequency of the mains noise, which is added after the band-pass, in Hz.")
    seed: Seed = Field(0, description="Seed of the choice of windows and of the noise.")


class Eeg(SourceSection):
    """Windows of EEG recordings."""

    stages: ClassVar[Stages] = {
        "prepare_recordings": ["prepare_recordings"],
        "preprocess_eeg": ["preprocess_eeg"],
        "denoise": ["denoise"],
    }

    prepare_recordings: PrepareRecordings = PrepareRecordings()
    preprocess_eeg: PreprocessEeg = PreprocessEeg()
    denoise: Denoise = Denoise()

    @model_validator(mode="after")
    def _methods_are_no_references(self) -> "Eeg":
        taken = sorted({"nothing", "pca", "wiener"} & set(self.methods))
        if taken:
            raise ValueError(f"methods has {', '.join(taken)}, the name of a reference in the denoising tables; rename it")
        return self

    @model_validator(mode="after")
    def _notches_matter(self) -> "Eeg":
        preprocess = self.preprocess_eeg
        if any(notch >= preprocess.rate_hz / 2 for notch in preprocess.notches_hz):
            raise ValueError(
                f"preprocess_eeg.notch_hz = {max(preprocess.notches_hz)} must be below half of preprocess_eeg.rate_hz = "
                f"{preprocess.rate_hz}; the vectors contain no higher frequency, so remove it"
            )
        return self

    @model_validator(mode="after")
    def _line_is_sampled(self) -> "Eeg":
        if self.denoise.line_hz >= self.preprocess_eeg.rate_hz / 2:
            raise ValueError(
                f"denoise.line_hz = {self.denoise.line_hz} must be below half of "
                f"preprocess_eeg.rate_hz = {self.preprocess_eeg.rate_hz}, the highest frequency that a window can contain"
            )
        return self
