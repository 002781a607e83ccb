"""PostgreSQL's extended hash functions by numpy, bit for bit: of uuid, double precision and smallint.

The algorithm is Bob Jenkins' lookup3 as in PostgreSQL's src/common/hashfn.c (`hash_bytes_extended`,
`hash_bytes_uint32_extended`), on a little-endian machine. A seed comes with each value, so hashes can be chained.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
Hashes = npt.NDArray[np.uint64]

_START = 0x9E3779B9 + 3923095
_NAN = np.float64("nan")


def uuids(values: npt.NDArray[np.void], seeds: Hashes) -> Hashes:
    """Hash UUIDs of 16 bytes each: `uuid_hash_extended(value, seed)`."""
    words = np.ascontiguousarray(values).view("<u4").reshape(-1, 4)
    a, b, c = _begun(16, seeds)
    a += words[:, 0]
    b += words[:, 1]
    c += words[:, 2]
    _mix(a, b, c)
    a += words[:, 3]
    return _final(a, b, c)


def floats(values: npt.NDArray[np.float64], seeds: Hashes) -> Hashes:
    """Hash double precision numbers: `hashfloat8extended(value, seed)`. Zeros of both signs are the seed itself."""
    # One NaN for all, as get_float8_nan() makes it.
    nan = np.isnan(values)
    known = np.where(nan, _NAN, values) if nan.any() else values
    words = known.astype("<f8").view("<u4").reshape(-1, 2)
    a, b, c = _begun(8, seeds)
    a += words[:, 0]
    b += words[:, 1]
    return np.where(values == 0, seeds, _final(a, b, c))


def integers(values: npt.NDArray[np.int16], seeds: Hashes) -> Hashes:
    """Hash small integers: `hashint2extended(value, seed)`."""
    a, b, c = _begun(4, seeds)
    a += values.astype(np.int32).view(np.uint32)
    return _final(a, b, c)


def _begun(length: int, seeds: Hashes) -> tuple[Words, Words, Words]:
    begin = np.uint32((_START + length) & 0xFFFFFFFF)
    a, b, c = np.full((3, len(seeds)), begin)
    if not seeds.any():
        return a, b, c
    a += (seeds >> np.uint64(32)).astype(np.uint32)
    b += seeds.astype(np.uint32)
    _mix(a, b, c)
    if not seeds.all():
        # The seed 0 is not mixed in.
        for state in (a, b, c):
            state[seeds == 0] = begin
    return a, b, c


def _rotated(word: Words, bits: int) -> Words:
    return (word << np.uint32(bits)) | (word >> np.uint32(32 - bits))


def _mix(a: Words, b: Words, c: Words) -> None:
    for x, y, z, bits in ((a, c, b, 4), (b, a, c, 6), (c, b, a, 8), (a, c, b, 16), (b, a, c, 19), (c, b, a, 4)):
        x -= y
        x ^= _rotated(y, bits)
        y += z


def _final(a: Words, b: Words, c: Words) -> Hashes:
    for x, y, bits in ((c, b, 14), (a, c, 11), (b, a, 25), (c, b, 16), (a, c, 4), (b, a, 14), (c, b, 24)):
        x ^= y
        x -= _rotated(y, bits)
    return (b.astype(np.uint64) << np.uint64(32)) | c
