"""Contexts of EEG: the recording and start time of each window."""

import json

import numpy as np
import torch

from mfr.config.source import SourceSection
from mfr.description.contexts import Contexts
from mfr.vectors.reader import Vectors


class Windows(Contexts):
    """The recording of each window and its start in seconds."""

    def __init__(self, heldout: Vectors) -> None:
        self.recording, self.start_s = heldout.attached("recording"), heldout.attached("start_s")
        self.files = np.array(json.loads(heldout.fact("files")), dtype=object)

    def of_rows(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Columns top_recordings and top_starts_s, each as long as `rows`."""
        return {"top_recordings": self.files[self.recording[rows]], "top_starts_s": self.start_s[rows]}


def contexts(section: SourceSection, heldout: Vectors, device: torch.device) -> Contexts:
    """The contexts of a file of held-out windows."""
    return Windows(heldout)
