"""Small recordings for tests, in every format that is read."""

import datetime
import struct
from pathlib import Path

import edfio
import mne
import numpy as np
from scipy.io import savemat

from mfr.sources.eeg.edf import FIELDS
from mfr.sources.eeg.simulation import coloured


def write_edf(path: Path, signals: dict[str, np.ndarray], rates: int | list[int] = 256, unit: str = "uV") -> Path:
    """One signal for each label, in `unit`, between −800 and 800."""
    rates = rates if isinstance(rates, list) else [rates] * len(signals)
    made = [
        edfio.EdfSignal(data, rate, label=label, physical_dimension=unit, physical_range=(-800, 800))
        for (label, data), rate in zip(signals.items(), rates, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    recording = edfio.Recording(startdate=datetime.date(2015, 1, 1))
    edfio.Edf(made, recording=recording, data_record_duration=1).write(path)
    return path


def noise(seconds: int, rate: int = 256, seed: int = 0) -> np.ndarray:
    """White noise of 20 µV."""
    return np.random.default_rng(seed).normal(0, 20, seconds * rate)


def pink(seconds: int, rate: int = 256, seed: int = 0) -> np.ndarray:
    """Noise of 20 µV with a spectrum that falls as that of EEG."""
    random = np.random.default_rng(seed)
    return 20 * coloured(random, 1, seconds * rate, rate, lambda f: (f > 0) * np.maximum(f, 0.5) ** -1.5)[0]


def write_edf_plus(path: Path, signals: dict[str, np.ndarray], rate: int = 256) -> Path:
    """EDF+ in data records of a second, each with a time stamp; its digital range is a quarter of 16 bits."""
    options = {"physical_dimension": "uV", "physical_range": (-800, 800), "digital_range": (-8192, 8191)}
    made = [edfio.EdfSignal(data, rate, label=label, **options) for label, data in signals.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf(made, annotations=[edfio.EdfAnnotation(1, None, "start")], data_record_duration=1).write(path)
    return path


def set_field(path: Path, name: str, content: bytes, signal: int = 0) -> None:
    """Overwrite a header field of an EDF file: one of the file, or one of edf.FIELDS of a signal."""
    data = bytearray(path.read_bytes())
    fixed = {"start": (168, 16), "header": (184, 8), "records": (236, 8), "duration": (244, 8), "signals": (252, 4)}
    signals = int(data[252:256])
    if name in fixed:
        at, width = fixed[name]
    else:
        names = list(FIELDS)
        width = FIELDS[name]
        at = 256 + signals * sum(FIELDS[before] for before in names[: names.index(name)]) + signal * width
    data[at : at + width] = content.ljust(width)
    path.write_bytes(data)


def write_bdf(path: Path, signals: dict[str, np.ndarray], rate: int = 256) -> Path:
    """24 bits a sample, between −8000 and 8000 µV, in data records of a second."""
    return _write_records(path, signals, rate, b"\xffBIOSEMI", 3, 8000)


def write_edf_by_hand(path: Path, signals: dict[str, np.ndarray], rate: int = 256) -> Path:
    """An EDF file whose labels may be equal, between −800 and 800 µV."""
    return _write_records(path, signals, rate, b"0       ", 2, 800)


def _write_records(path: Path, signals: dict[str, np.ndarray], rate: int, magic: bytes, size: int, limit: int) -> Path:
    data = np.stack(list(signals.values()))
    count, records = len(data), data.shape[1] // rate
    most = 2 ** (8 * size - 1)
    texts = {16: [label.split("#")[0] for label in signals], 80: [""] * count}
    fields = [(16, texts[16]), (80, texts[80]), (8, ["uV"] * count)]
    fields += [(8, [str(value)] * count) for value in (-limit, limit, -most, most - 1)]
    fields += [(80, texts[80]), (8, [str(rate)] * count), (32, [""] * count)]
    header = magic + b" " * 160 + b"01.01.1512.00.00" + str(256 * (1 + count)).encode().ljust(52)
    header += str(records).encode().ljust(8) + b"1       " + str(count).encode().ljust(4)
    header += b"".join(value.encode().ljust(width) for width, values in fields for value in values)
    digital = np.round((data + limit) * (2 * most - 1) / (2 * limit) - most).astype("<i4")
    bytes_ = digital.view(np.uint8).reshape(count, records, rate, 4)[..., :size]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + bytes_.transpose(1, 0, 2, 3).tobytes())
    return path


def write_gdf(path: Path, signals: dict[str, np.ndarray], rate: int = 256) -> Path:
    """GDF 1.25, between −800 and 800 µV, with an empty table of events."""
    data = np.stack(list(signals.values()))
    count, records = len(data), data.shape[1] // rate
    header = b"GDF 1.25" + b" " * 160 + b"2015010112000000" + struct.pack("<q", 256 * (1 + count)) + b" " * 44
    header += struct.pack("<qIII", records, 1, 1, count)
    header += b"".join(label.encode().ljust(16) for label in signals) + b" " * 80 * count + b"uV      " * count
    header += struct.pack(f"<{2 * count}d", *[-800.0] * count, *[800.0] * count)
    header += struct.pack(f"<{2 * count}q", *[-32768] * count, *[32767] * count)
    header += b" " * 80 * count + struct.pack(f"<{2 * count}i", *[rate] * count, *[3] * count) + b" " * 32 * count
    digital = np.round((data + 800) * 65535 / 1600 - 32768).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + digital.reshape(count, records, rate).transpose(1, 0, 2).tobytes() + b"\x01" + bytes(7))
    return path


def write_brainvision(path: Path, signals: dict[str, np.ndarray], rate: int = 256) -> Path:
    """A .vhdr file, and beside it its .eeg and .vmrk, in steps of 0.05 µV."""
    data = np.stack(list(signals.values()))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.round(data.T / 0.05).astype("<i2").tofile(path.with_suffix(".eeg"))
    named = [f"Ch{number}={label},,0.05,µV" for number, label in enumerate(signals, start=1)]
    path.write_text(
        f"Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile={path.stem}.eeg\n"
        f"MarkerFile={path.stem}.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels={len(data)}\n"
        f"DataPoints={data.shape[1]}\nSamplingInterval={1e6 / rate}\n[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\n"
        + "\n".join(named)
    )
    path.with_suffix(".vmrk").write_text(
        f"Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile={path.stem}.eeg\n[Marker Infos]\n"
    )
    return path


def write_eeglab(path: Path, signals: dict[str, np.ndarray], rate: int = 256, apart: bool = False) -> Path:
    """A .set file, with the samples in it or `apart` in a .fdt file."""
    data = np.stack(list(signals.values())).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    if apart:
        data.T.tofile(path.with_suffix(".fdt"))
    eeg = {
        **{"setname": "", "nbchan": float(len(data)), "trials": 1.0, "pnts": float(data.shape[1]), "srate": float(rate)},
        **{"xmin": 0.0, "xmax": (data.shape[1] - 1) / rate, "data": path.with_suffix(".fdt").name if apart else data},
        "chanlocs": np.array([(label,) for label in signals], dtype=[("labels", "O")]),
        **{name: np.array([]) for name in ("event", "epoch", "icawinv", "icasphere", "icaweights")},
    }
    savemat(path, {"EEG": eeg}, appendmat=False)
    return path


def write_fif(path: Path, signals: dict[str, np.ndarray], rate: int = 256, **options: str) -> Path:
    """A FIF file; a label that begins with EOG is of such a channel. `options` are those of MNE's `save`."""
    kinds = ["eog" if label.startswith("EOG") else "eeg" for label in signals]
    path.parent.mkdir(parents=True, exist_ok=True)
    info = mne.create_info(list(signals), rate, kinds)
    mne.io.RawArray(1e-6 * np.stack(list(signals.values())), info, verbose="ERROR").save(path, verbose="ERROR", **options)
    return path
