"""Capture a language model's activations in blocks, so that an interrupted dump resumes."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.numpy import load, save

from mfr.compute.threads import prefetched
from mfr.runtime.errors import UserError
from mfr.runtime.resume import Parts
from mfr.sources.language_model.model import capture_in_parts
from mfr.sources.language_model.tokens import is_kept

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

BLOCK_BYTES = 1 << 25
BATCHES_AHEAD = 2


class Float16OverflowError(Exception):
    """A finite activation is infinite in float16."""


class NotFiniteError(Exception):
    """A vector is NaN or infinite: the first of them is that of position `position` among those kept."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


@dataclass
class Capture:
    """A model, a hook, and how to capture vectors there.

    Vectors are of the positions that `is_kept` keeps, stored as `dtype`. `batch` is the number of sequences per forward pass.
    """

    model: "TransformerBridge"
    hook: str
    batch: int
    left_out: Sequence[int]
    dtype: torch.dtype

    def kept(self, tokens: np.ndarray) -> np.ndarray:
        """Which positions of tokens (S, T) have a vector, as (S, T) bool."""
        return is_kept(torch.from_numpy(tokens), self.left_out).numpy()

    def vectors(self, tokens: np.ndarray) -> np.ndarray:
        """Vectors (rows, d) of the kept positions of tokens (S, T).

        Raises `Float16OverflowError` if a finite value does not fit `dtype`, `NotFiniteError`, and what `capture` raises.
        """
        activations = capture_in_parts(self.model, torch.from_numpy(tokens), self.hook)
        kept = torch.from_numpy(self.kept(tokens)).to(activations[0].device)
        stored = list[torch.Tensor]()
        for part, kept_here in zip(activations, torch.split(kept, len(activations[0])), strict=True):
            rows = part.to(self.dtype)[kept_here]
            finite = rows.isfinite()
            if not finite.all():
                if part[kept_here][rows.isinf()].isfinite().any():
                    raise Float16OverflowError
                raise NotFiniteError(sum(map(len, stored)) + int(finite.all(dim=1).int().argmin()))
            stored.append(rows)
        return torch.cat(stored).cpu().numpy()


class Blocks:
    """The vectors of one split, stored in `parts` as blocks of whole batches.

    A block's name is `name` and the number of its first sequence. `sequences` and `rows` count what is stored; `size` is d.
    """

    def __init__(self, parts: Parts, name: str, capture: Capture) -> None:
        self.parts = parts
        self.name = name
        self.capture = capture
        self.names: list[str] = []
        self.sequences = 0
        self.rows = 0
        self.size = 0

    def complete(self, sequences: Iterable[np.ndarray], every_s: float, report: Callable[[int], None]) -> None:
        """Make the missing blocks of all `sequences`, each (T,).

        A block ends after `every_s` seconds of work or `BLOCK_BYTES`. Calls `report` with the number of vectors after each
        batch. Threads read sequences ahead and store blocks. Raises what `Capture.vectors` raises, but `UserError` for NaN or
        infinite values.
        """
        unread = self._resume(sequences)
        if self.rows:
            print(f"{self.name}: resuming at vector {self.rows}", file=sys.stderr)
        done, first, rows = list[tuple[np.ndarray, np.ndarray]](), self.sequences, self.rows
        storing, started = list[Future[None]](), time.monotonic()
        with ThreadPoolExecutor(1, "blocks") as thread, closing(prefetched(self._batched(unread), BATCHES_AHEAD)) as batches:
            for tokens in batches:
                done.append((tokens, self._vectors(tokens, first)))
                first += len(tokens)
                rows += len(done[-1][1])
                report(rows)
                if time.monotonic() - started >= every_s or sum(vectors.nbytes for _, vectors in done) >= BLOCK_BYTES:
                    _wait(storing)
                    storing.append(thread.submit(self._put, done))
                    done, started = [], time.monotonic()
            _wait(storing)
        if done:
            self._put(done)

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Tokens (S, T) and vectors (rows, d) of each batch in order, whatever its block."""
        for name in self.names:
            block = load(self.parts.get(name))
            tokens, vectors = block["tokens"], block["vectors"]
            for start in range(0, len(tokens), self.capture.batch):
                batch = tokens[start : start + self.capture.batch]
                rows = np.count_nonzero(self.capture.kept(batch))
                yield batch, vectors[:rows]
                vectors = vectors[rows:]

    def _resume(self, sequences: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Count the stored blocks whose tokens match `sequences`; return the remaining sequences."""
        unread = iter(sequences)
        while (piece := self.parts.find(name := self._next())) is not None:
            block = load(piece)
            coming = list(islice(unread, len(block["tokens"])))
            if not np.array_equal(coming, block["tokens"]):
                return chain(coming, unread)
            self._count(name, block)
        return unread

    def _batched(self, sequences: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        while batch := list(islice(sequences, self.capture.batch)):
            yield np.stack(batch)

    def _vectors(self, tokens: np.ndarray, first: int) -> np.ndarray:
        """Vectors of a batch, whose first sequence is number `first`; `UserError` if one is NaN or infinite."""
        try:
            return self.capture.vectors(tokens)
        except NotFiniteError as error:
            # Attention spreads NaN within a sequence, so that the position says nothing.
            sequence = first + np.argwhere(self.capture.kept(tokens))[error.position][0]
            raise UserError(
                f"dump_activations.hook: {self.capture.hook} is NaN or infinite in sequence {sequence} of "
                f"{self.name.partition('-')[0]}, although the weights are finite; choose a hook in an earlier layer, or "
                "another model"
            ) from None

    def _put(self, batches: list[tuple[np.ndarray, np.ndarray]]) -> None:
        tokens, vectors = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
        name, block = self._next(), {"tokens": tokens, "vectors": vectors}
        self.parts.put(name, save(block))
        self._count(name, block)

    def _next(self) -> str:
        return f"{self.name}-{self.sequences}"

    def _count(self, name: str, block: dict[str, np.ndarray]) -> None:
        self.names.append(name)
        self.sequences += len(block["tokens"])
        self.rows += len(block["vectors"])
        self.size = block["vectors"].shape[1]


def _wait(storing: list[Future[None]]) -> None:
    """Wait for blocks that are being stored; raises what failed there."""
    while storing:
        storing.pop().result()
