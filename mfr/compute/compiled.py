"""Loops over rows and latents, compiled for a CPU.

Shapes: B rows of a batch, d input size, h latents, k active latents of a row. A loop that takes `first` and `last` does that
part of the work and writes to its last arguments. These functions call none of another file, because numba's cache would not
notice a change there; hence the length of this one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:  # numba has no types
    Compiled = TypeVar("Compiled", bound=Callable[..., object])

    def njit(**options: object) -> Callable[[Compiled], Compiled]: ...
    def _prefetch(address: int) -> None: ...
else:
    from llvmlite import ir
    from numba import njit, types
    from numba.extending import intrinsic

    @intrinsic
    def _prefetch(typing_context, address):
        """Ask for the cache line at an address, without waiting for it."""

        def generate(context, builder, signature, arguments):
            pointer, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag])
            call = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
            # To read, into the second level of cache, as data.
            builder.call(call, [builder.inttoptr(arguments[0], pointer), flag(0), flag(2), flag(1)])
            return context.get_dummy_value()

        return types.void(types.int64), generate


Array = np.ndarray
# Rows up to this length are searched whole; longer ones by the maxima of max(GROUPS, 4k) groups.
WHOLE = 1024
GROUPS = 256
LINE_BYTES = 64
# Sums may be reordered to be vectorised; NaN and infinity keep their meaning.
REORDER = {"reassoc", "contract", "arcp", "nsz"}
# A function that is not inlined is compiled twice, alone and within its caller, with different rounding; either may be used.
INLINED = {"inline": "always", "fastmath": REORDER}


@njit(inline="always")
def _fetch(W: Array, rows: Array) -> None:
    """Ask for rows of W, float32, to be in the cache when they are needed."""
    size = 4 * W.shape[1]
    for row in rows:
        for byte in range(0, size, LINE_BYTES):
            _prefetch(W.ctypes.data + row * size + byte)


@njit(**INLINED)
def add_rows(out: Array, W: Array, rows: Array, weights: Array) -> None:
    """Add Σ_j weights_j W_{rows_j} to out (d), four rows at a time."""
    j = 0
    while j + 4 <= len(rows):
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        r0, r1, r2, r3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
        for i in range(len(out)):
            out[i] += w0 * W[r0, i] + w1 * W[r1, i] + w2 * W[r2, i] + w3 * W[r3, i]
        j += 4
    while j < len(rows):
        w0, r0 = weights[j], rows[j]
        for i in range(len(out)):
            out[i] += w0 * W[r0, i]
        j += 1


@njit(cache=True, fastmath=REORDER, nogil=True)
def combine(first: int, last: int, W: Array, indices: Array, weights: Array, out: Array) -> None:
    """Write Σ_j weights_rj W_{indices_rj} to rows r of out (B, d); indices and weights (B, k)."""
    for r in range(first, last):
        out[r] = 0
        add_rows(out[r], W, indices[r], weights[r])


@njit(cache=True, fastmath={"nnan", "nsz"})
def _count(values: Array, count: int, least: float | np.floating) -> int:
    """How many of the first `count` values are `least` or more."""
    reached = np.int32(0)
    for i in range(count):
        reached = np.int32(reached + (values[i] >= least))  # a sum of 64 bits would halve the speed
    return reached  # type: ignore[return-value]


@njit(inline="always")
def _turned(bits: int) -> int:
    """Bits of a float as an integer of the floats' order; its own inverse."""
    return np.int32(bits ^ ((bits >> 31) & 0x7FFFFFFF))  # type: ignore[return-value]


@njit(cache=True)
def _range(values: Array, count: int) -> tuple[float, float]:
    """Least and largest of the first `count` values, none of them NaN."""
    # As integers: the least of floats is not vectorised.
    bits = values.view(np.int32)
    low = high = _turned(bits[0])
    for i in range(count):
        own = _turned(bits[i])
        low = own if own < low else low
        high = own if own > high else high
    return _turned(low).view(np.float32), _turned(high).view(np.float32)  # type: ignore[attr-defined]


@njit(cache=True, fastmath={"nnan", "nsz"})
def _bisect(
    values: Array, count: int, k: int, slack: int, low: float | np.floating, high: float | np.floating, reached: int
) -> tuple[float | np.floating, float | np.floating, int]:
    """Raise `low` until k to k + slack (more if tied) of the first `count` values reach it.

    `reached` values reach `low`, and fewer than k exceed `high`. Returns low, high and reached.
    """
    while reached > k + slack:
        middle = low + (high - low) * np.float32(0.5)
        if not low < middle < high:
            break
        above = _count(values, count, middle)
        if above >= k:
            low, reached = middle, above
        else:
            high = middle
    return low, high, reached


@njit(cache=True, fastmath={"reassoc"})
def _candidates(row: Array, k: int, maxima: Array, candidates: Array, near: Array) -> tuple[int, float | np.floating]:
    """Write a superset of the k largest entries of a row (h) to near, and their places to candidates.

    Returns their number and a value that exactly k of them (more if tied) reach.
    """
    h, groups, count = len(row), maxima.shape[1], 0
    if groups == 0:
        low, high, reached = _bisect(row, h, k, k, *_range(row, h), h)
        for i in range(h):
            candidates[count] = i
            count += row[i] >= low
        for c in range(count):
            near[c] = row[candidates[c]]
        return count, _bisect(near, count, k, 0, low, high, reached)[0]
    # The k-th largest maximum of disjoint groups is a lower bound on the k-th largest value.
    largest, other = maxima[0], maxima[1]
    largest[:] = row[:groups]
    for start in range(groups, h, groups):
        part = row[start : start + groups]
        # Not in place, where LLVM would store by a mask, which is slow on some processors.
        for i in range(len(part)):
            other[i] = max(largest[i], part[i])
        other[len(part) :] = largest[len(part) :]
        largest, other = other, largest
    bound = _bisect(largest, groups, k, k // 4, *_range(largest, groups), groups)[0]
    for group in range(groups):
        if largest[group] >= bound:
            for i in range(group, h, groups):
                candidates[count], near[count] = i, row[i]
                count += row[i] >= bound
    return count, _bisect(near, count, k, 0, *_range(near, count), count)[0]


@njit(cache=True, fastmath={"reassoc"})
def _select(row: Array, k: int, buffers: tuple[Array, Array, Array, Array], values: Array, indices: Array) -> None:
    """Write the k largest entries of a row (h) to values (k), their places to indices (k).

    Any of equal entries may be taken. All values are NaN if the row is not finite.
    """
    total = np.float32(0)
    for i in range(len(row)):
        total += row[i]
    if not np.isfinite(total):
        values[:], indices[:] = np.nan, np.arange(k)
        return
    maxima, candidates, near, places = buffers
    count, least = _candidates(row, k, maxima, candidates, near)
    taken = 0
    for c in range(count):  # without a branch, which the processor could not predict
        places[taken] = c
        taken += near[c] > least
    for c in range(count if taken < k else 0):
        places[taken] = c
        taken += near[c] == least
    for j in range(k):
        values[j], indices[j] = near[places[j]], candidates[places[j]]


@njit(**INLINED)
def _dots(g: Array, W: Array, latents: Array, out: Array) -> None:
    """Set out_j = ⟨g, W_{l_j}⟩, four latents at a time.

    From the last to the first: after `add_rows`, the last rows of W are still in the cache.
    """
    j = len(out)
    while j % 4:
        j -= 1
        l0, p0 = latents[j], np.float32(0)
        for i in range(len(g)):
            p0 += g[i] * W[l0, i]
        out[j] = p0
    while j:
        j -= 4
        l0, l1, l2, l3 = latents[j], latents[j + 1], latents[j + 2], latents[j + 3]
        p0 = p1 = p2 = p3 = np.float32(0)
        for i in range(len(g)):
            p0 += g[i] * W[l0, i]
            p1 += g[i] * W[l1, i]
            p2 += g[i] * W[l2, i]
            p3 += g[i] * W[l3, i]
        out[j], out[j + 1], out[j + 2], out[j + 3] = p0, p1, p2, p3


@njit(cache=True, fastmath=REORDER, nogil=True)
def forward(
    first: int,
    last: int,
    pre: Array,
    target: Array,
    W: Array,
    norm: Array,
    relu: bool,
    scale: float | np.float32,
    g: Array,
    a: Array,
    d_values: Array,
    indices: Array,
    losses: Array,
) -> None:
    """Select, decode and differentiate rows `first` to `last`.

    Reads pre-activations pre (B, h), target (B, d), weights W (h, d) and their norm (h). Writes active latents indices (B, k),
    coefficients a (B, k) = v / norm, squared errors losses (B), g (B, d) = ∂loss/∂x̂ and d_values (B, k) = ∂loss/∂v. Here v is
    the value of an active latent, and the loss is scale / 2 times the sum of squared errors.
    """
    (k, d), h = (a.shape[1], target.shape[1]), len(W)
    scale, zero = np.float32(scale), np.float32(0)
    groups = 0 if h <= WHOLE else min(h, max(GROUPS, 4 * k))
    maxima, candidates, near = np.empty((2, groups), np.float32), np.empty(h + 1, np.int32), np.empty(h + 1, np.float32)
    buffers, values = (maxima, candidates, near, np.empty(h + 1, np.int32)), np.empty(k, np.float32)
    for r in range(first, last):
        _select(pre[r], k, buffers, values, indices[r])
        for j in range(k):
            if relu:
                values[j] = max(values[j], zero)
            a[r, j] = values[j] / norm[indices[r, j]]
        for i in range(d):
            g[r, i] = -target[r, i]
        add_rows(g[r], W, indices[r], a[r])
        square = zero
        for i in range(d):
            square += g[r, i] * g[r, i]
            g[r, i] *= scale
        losses[r] = square
        _dots(g[r], W, indices[r], d_values[r])
        for j in range(k):
            d_values[r, j] = zero if relu and values[j] <= zero else d_values[r, j] / norm[indices[r, j]]


@njit(cache=True, nogil=True)
def count_by_latent(first: int, last: int, indices: Array, block_rows: int, counts: Array) -> None:
    """Write to counts (h, blocks) how often each latent is in indices (B, k), for blocks `first` to `last` of rows."""
    for block in range(first, last):
        own = np.zeros(len(counts), np.int32)
        for r in range(block * block_rows, min(len(indices), (block + 1) * block_rows)):
            for latent in indices[r]:
                own[latent] += 1
        counts[:, block] = own


@njit(cache=True, nogil=True)
def place_by_latent(first: int, last: int, indices: Array, block_rows: int, starts: Array, pairs: Array) -> None:
    """Write pairs (row r, place j) of indices (B, k), each r·k + j, to pairs (B·k), for blocks `first` to `last` of rows.

    Those of a latent in a block begin at starts[latent, block] and end before starts[latent, block + 1].
    """
    k = indices.shape[1]
    for block in range(first, last):
        place = starts[:, block].copy()
        for r in range(block * block_rows, min(len(indices), (block + 1) * block_rows)):
            for j in range(k):
                pairs[place[indices[r, j]]] = r * k + j
                place[indices[r, j]] += 1


@njit(**INLINED)
def _add_pairs(out: Array, x: Array, g: Array, a: Array, d_values: Array, pairs: Array, k: int) -> None:
    """Add Σ a g_r + (∂loss/∂v) x_r over pairs to out (d), four at a time."""
    at = 0
    while at + 4 <= len(pairs):
        q0, q1, q2, q3 = pairs[at], pairs[at + 1], pairs[at + 2], pairs[at + 3]
        r0, r1, r2, r3 = q0 // k, q1 // k, q2 // k, q3 // k
        a0, a1, a2, a3 = a[q0], a[q1], a[q2], a[q3]
        v0, v1, v2, v3 = d_values[q0], d_values[q1], d_values[q2], d_values[q3]
        for i in range(len(out)):
            from_g = a0 * g[r0, i] + a1 * g[r1, i] + a2 * g[r2, i] + a3 * g[r3, i]
            from_x = v0 * x[r0, i] + v1 * x[r1, i] + v2 * x[r2, i] + v3 * x[r3, i]
            out[i] += from_g + from_x
        at += 4
    while at < len(pairs):
        q0 = pairs[at]
        r0, a0, v0 = q0 // k, a[q0], d_values[q0]
        for i in range(len(out)):
            out[i] += a0 * g[r0, i] + v0 * x[r0, i]
        at += 1


@njit(**INLINED)
def _pull(
    row: Array, norm: float, weight: float, W: Array, near: Array, scales: Array, together: Array, d_row: Array
) -> float | np.float32:
    """Sum of the cosines of a feature (d) of length `norm` with rows `near` of W, whose lengths are 1 / scales.

    The gradient of the sum, times −weight, is added to d_row (d). together (d) is a buffer.
    """
    together[:] = 0
    add_rows(together, W, near, scales)
    along = np.float32(0)
    for i in range(len(row)):
        along += together[i] * row[i]
    cosines = along / norm
    across = -weight / norm
    along *= weight / norm**3
    for i in range(len(row)):
        d_row[i] += across * together[i] + along * row[i]
    return cosines


@njit(cache=True, fastmath=REORDER, nogil=True)
def pull(
    first: int,
    last: int,
    W: Array,
    norm: Array,
    features: Array,
    starts: Array,
    partners: Array,
    scales: Array,
    weights: Array,
    cosines: Array,
    d_W: Array,
) -> None:
    """Write each latent's sum of cosines with its partners, for latents `first` to `last`, to cosines (h).

    Latent l of W (h, d), of length norm (h), has the partners features[partners[starts[l] : starts[l + 1]]], whose lengths are
    1 / scales. The gradient of each sum, times −weights (h), is added to d_W (h, d).
    """
    together = np.empty(W.shape[1], np.float32)
    for latent in range(first, last):
        near = slice(starts[latent], starts[latent + 1])
        cosines[latent] = _pull(
            W[latent], norm[latent], weights[latent], features, partners[near], scales[near], together, d_W[latent]
        )


@njit(cache=True, fastmath=REORDER, nogil=True)
def backward(
    first: int,
    last: int,
    x: Array,
    g: Array,
    W: Array,
    norm: Array,
    a: Array,
    d_values: Array,
    k: int,
    starts: Array,
    pairs: Array,
    d_W: Array,
    d_b: Array,
    pulls: bool,
    features: Array,
    partner_starts: Array,
    partners: Array,
    scales: Array,
    weights: Array,
    cosines: Array,
) -> None:
    """Write ∂loss/∂W to d_W (h, d) and ∂loss/∂b to d_b (h) for latents `first` to `last`; does what `pull` does if `pulls`.

    a and d_values of `forward` are flat (B·k); starts and pairs are those of `place_by_latent`. Blocks of rows of
    x and g (B, d) stay in a core's cache.
    """
    blocks, together = starts.shape[1] - 1, np.empty(W.shape[1], np.float32)
    for block in range(blocks):
        for latent in range(first, last):
            if block == 0:
                bias = along = np.float32(0)
                for at in range(starts[latent, 0], starts[latent, blocks]):
                    bias += d_values[pairs[at]]
                    along += d_values[pairs[at]] * a[pairs[at]]
                d_b[latent] = bias
                along /= norm[latent]
                for i in range(W.shape[1]):
                    d_W[latent, i] = -along * W[latent, i]
            if pulls and block == blocks - 1 and latent + 1 < last:
                _fetch(features, partners[partner_starts[latent + 1] : partner_starts[latent + 2]])
            begin, end = starts[latent, block], starts[latent, block + 1]
            _add_pairs(d_W[latent], x, g, a, d_values, pairs[begin:end], k)
            if pulls and block == blocks - 1:
                near = slice(partner_starts[latent], partner_starts[latent + 1])
                cosines[latent] = _pull(
                    W[latent], norm[latent], weights[latent], features, partners[near], scales[near], together, d_W[latent]
                )
