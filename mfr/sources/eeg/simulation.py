"""Simulate a small corpus of EEG recordings.

Its folders and names follow TUH EEG (Obeid and Picone, 2016). A recording is the sum of

- a 1/f background and weak theta and beta rhythms, from sources spread over the scalp,
- an alpha rhythm that waxes and wanes, strongest over the occiput,
- blinks, and muscle bursts over the temples,
- mains interference and amplifier noise.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import edfio
import numpy as np

from mfr.compute.seeds import numpy_stream
from mfr.sources.eeg.electrodes import TCP19

RATES_HZ = (250, 256, 400, 512)
RANGE_UV = 800.0
SOURCES = 24
LEVEL = 1.3  # scales the mean power from 1 to 45 Hz to that of a healthy adult's recording
# For each electrode of the 10–20 system, polar angle from the vertex and azimuth from the nose (right positive), in degrees.
SCALP = {
    **{"FP1": (72, -18), "FP2": (72, 18), "F7": (72, -54), "F8": (72, 54), "T3": (72, -90), "T4": (72, 90), "T5": (72, -126)},
    **{"T6": (72, 126), "O1": (72, -162), "O2": (72, 162), "F3": (49, -39), "F4": (49, 39), "P3": (49, -141), "P4": (49, 141)},
    **{"C3": (36, -90), "C4": (36, 90), "FZ": (36, 0), "PZ": (36, 180), "CZ": (0, 0)},
}


@dataclass(frozen=True)
class Session:
    """One recording of one subject."""

    subject: int
    number: int
    rate_hz: int
    line_hz: int
    reference: str
    truncated: bool

    @property
    def path(self) -> str:
        """Path in the corpus, as in TUH EEG: group, subject, session and year, montage, file name."""
        name = "".join(chr(ord("a") + self.subject // 26**place % 26) for place in reversed(range(8)))
        montage = "01_tcp_ar" if self.reference == "REF" else "02_tcp_le"
        folder = f"edf/{self.subject // 100:03d}/{name}/s{self.number:03d}_2015/{montage}"
        return f"{folder}/{name}_s{self.number:03d}_t000.edf"


def sessions(subjects: int) -> list[Session]:
    """Sessions of the corpus: one or two per subject, alternately.

    The second subject's second file is cut short.
    """
    made: list[Session] = []
    for subject in range(subjects):
        for number in range(1, 2 + subject % 2):
            rate_hz = RATES_HZ[len(made) % len(RATES_HZ)]
            line_hz = (60, 50)[subject // 2 % 2]
            reference = ("REF", "LE")[len(made) // 3 % 2]
            made.append(Session(subject, number, rate_hz, line_hz, reference, truncated=(subject, number) == (1, 2)))
    return made


def write_corpus(folder: Path, subjects: int, seconds: int, seed: int) -> list[str]:
    """Write the corpus below `folder` and return its files' paths relative to `folder`.

    Equal arguments give equal bytes, also on another x86-64 processor: the last bits that it computes otherwise are lost as
    samples become 16-bit integers.
    """
    for session in sessions(subjects):
        path = folder / session.path
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, session, seconds, seed)
        if session.truncated:
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) * 6 // 10 + 1])
    return [session.path for session in sessions(subjects)]


def _write(path: Path, session: Session, seconds: int, seed: int) -> None:
    """Write a session as an EDF file: the channels `TCP19`, and some channels that are not EEG."""
    channels = zip(TCP19, simulate(session, seconds, seed), strict=True)
    signals = [_signal(f"EEG {name}-{session.reference}", channel, session.rate_hz) for name, channel in channels]
    heart_rate = 2 * session.rate_hz if session.number == 2 else session.rate_hz
    beats = np.exp(-((((np.arange(seconds * heart_rate) / heart_rate) % 0.85 - 0.4) / 0.02) ** 2) / 2)
    signals.insert(5, _signal(f"EEG EKG1-{session.reference}", 500 * beats, heart_rate))
    signals.append(_signal(f"PHOTIC-{session.reference}", np.zeros(seconds * session.rate_hz), session.rate_hz))
    if session.subject % 3 == 0:
        signals.append(_signal("IBI", np.full(seconds, 0.85), 1))
    # A fixed date, so that a recording's bytes depend only on the parameters.
    header = edfio.Recording(startdate=datetime.date(2015, 1, 1))
    edfio.Edf(signals, recording=header, starttime=datetime.time(12), data_record_duration=1).write(path)


def _signal(label: str, data: np.ndarray, rate_hz: int) -> edfio.EdfSignal:
    clipped = data.clip(-RANGE_UV, RANGE_UV)
    return edfio.EdfSignal(clipped, rate_hz, label=label, physical_dimension="uV", physical_range=(-RANGE_UV, RANGE_UV))


def simulate(session: Session, seconds: int, seed: int) -> np.ndarray:
    """Signals of the channels `TCP19`, (19, seconds · rate) float64 in microvolts.

    The frequency of alpha, the strength of each rhythm and the positions of the sources are the same in all of a subject's
    sessions.
    """
    subject = numpy_stream("simulated_subject", seed, session.subject)
    alpha_hz = subject.uniform(9.2, 10.4)
    strength = np.exp(subject.normal(0, 0.15, size=5))
    places = subject.normal(size=(SOURCES, 3)) * [1, 1, 0.7] + [0, 0, 0.3]
    random = numpy_stream("simulated_session", seed, session.subject, session.number)
    rate, samples = session.rate_hz, seconds * session.rate_hz

    def noise(count: int, spectrum: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return coloured(random, count, samples, rate, spectrum)

    background = _gains(0.8 * places / np.linalg.norm(places, axis=1, keepdims=True), 0.5)
    background /= np.linalg.norm(background, axis=1, keepdims=True)
    alpha = noise(3, lambda f: np.exp(-(((f - alpha_hz) / 1.0) ** 2) / 2))
    waxing = 0.35 + 1.1 / (1 + np.exp(-2 * noise(1, lambda f: (f > 0) * np.exp(-((f / 0.15) ** 2)))))
    occipital = 0.4 + _gains(_positions([(85, -150), (85, 150), (60, 180)]), 0.8)
    signals = 13.5 * strength[0] * background @ noise(SOURCES, lambda f: _power_law(f, 1.5))
    signals += 3.8 * strength[1] * background @ noise(SOURCES, lambda f: np.exp(-(((f - 6.2) / 1.5) ** 2) / 2))
    signals += 2.8 * strength[2] * background @ noise(SOURCES, lambda f: np.exp(-(((f - 18.5) / 4.5) ** 2) / 2))
    signals += 5.3 * strength[3] * occipital @ (alpha * waxing)
    signals += _blinks(random, samples, rate)
    signals += _muscle(random, noise(4, lambda f: (f > 15) * np.exp(-(((f - 80) / 30) ** 2) / 2)), rate) * strength[4]
    mains = np.sin(2 * np.pi * session.line_hz * np.arange(samples) / rate)
    signals += random.uniform(1.5, 4.5, size=(len(TCP19), 1)) * mains
    scaled: np.ndarray = LEVEL * (signals + random.normal(0, 0.8, size=signals.shape))
    return scaled


def coloured(
    random: np.random.Generator, count: int, samples: int, rate_hz: float, spectrum: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Gaussian noise (count, samples) of unit variance with a given spectrum.

    Its power at frequency f is proportional to `spectrum(f)`.
    """
    frequencies = np.fft.rfftfreq(samples, 1 / rate_hz)
    amplitude = np.sqrt(spectrum(frequencies))
    parts = random.normal(size=(2, count, len(frequencies)))
    noise = np.fft.irfft((parts[0] + 1j * parts[1]) * amplitude, n=samples, axis=1)
    scaled: np.ndarray = noise * samples / (2 * np.sqrt((amplitude**2).sum()))
    return scaled


def _power_law(frequencies: np.ndarray, exponent: float) -> np.ndarray:
    # Flat below 0.3 Hz, as after an amplifier's high-pass filter, and 0 at 0 Hz.
    power: np.ndarray = (frequencies > 0) * np.maximum(frequencies, 0.3) ** -exponent
    return power


def _positions(angles: list[tuple[float, float]]) -> np.ndarray:
    """Unit vectors (angles, 3) for polar angles and azimuths as in `SCALP`."""
    polar, azimuth = np.radians(angles).T
    return np.stack([np.sin(polar) * np.sin(azimuth), np.sin(polar) * np.cos(azimuth), np.cos(polar)], axis=1)


def _gains(places: np.ndarray, width: float) -> np.ndarray:
    """Gain (19, sources) of each electrode of `TCP19` for sources at `places` (sources, 3).

    The gain is a Gaussian of the distance, with the standard deviation `width`.
    """
    electrodes = _positions([SCALP[name] for name in TCP19])
    distance = np.linalg.norm(electrodes[:, None] - places[None], axis=2)
    gain: np.ndarray = np.exp(-((distance / width) ** 2) / 2)
    return gain


def _blinks(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Blinks (19, samples) at random times, strongest over the forehead."""
    shape = np.hanning(int(0.4 * rate))
    train = np.zeros(samples)
    for start in np.cumsum(random.gamma(4, 1.5, size=2 + samples // rate)) * rate:
        if start + len(shape) < samples:
            train[int(start) : int(start) + len(shape)] += random.uniform(100, 220) * shape
    return _gains(_positions([(90, 0)]), 0.35) * train


def _muscle(random: np.random.Generator, noise: np.ndarray, rate: int) -> np.ndarray:
    """Muscle activity (19, samples): bursts of `noise` (4, samples) around the temples."""
    envelope = np.full(noise.shape, 0.1)
    for row in envelope:
        for start in np.cumsum(random.gamma(2, 6, size=2 + len(row) // rate)) * rate:
            length = int(random.uniform(0.4, 1.6) * rate)
            if start + length < len(row):
                row[int(start) : int(start) + length] += np.hanning(length)
    muscle: np.ndarray = 14 * _gains(_positions([(85, -90), (85, 90), (85, -60), (85, 60)]), 0.3) @ (noise * envelope)
    return muscle
