"""The hashes by numpy are those of the server, bit for bit."""

from __future__ import annotations

import random
import struct
import uuid
from typing import Any

import numpy as np
import numpy.typing as npt

from ticks_platform.timescale import hashing
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows

ODD = [0.0, -0.0, float("inf"), float("-inf"), 5e-324, -1.0, 1e300, 0.1, 4503599627370497.5]
NANS = [struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (0x7FF8 << 48, 0xFFF8 << 48, (0x7FF8 << 48) + 7)]


def signed(hashes: hashing.Hashes) -> list[int]:
    found: list[int] = hashes.view(np.int64).tolist()
    return found


def quoted(values: list[Any]) -> str:
    return ",".join(f"'{value}'" for value in values)


def test_hashes_are_those_of_the_server(database: Database) -> None:
    draw = random.Random(17)
    ids = [uuid.UUID(int=draw.getrandbits(128)) for _ in range(2000)] + [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)]
    numbers = [*ODD, *NANS]
    numbers += [draw.choice((draw.uniform(0, 1000), draw.gauss(0, 1e9))) for _ in range(len(ids) - len(numbers))]
    small = [0, -1, 32767, -32768, 7, 31] + [draw.randint(-32768, 32767) for _ in range(len(ids) - 6)]
    # The seed 0 is not mixed in.
    seeds = [0] * 20 + [draw.randint(-(2**63), 2**63 - 1) for _ in range(len(ids) - 20)]
    draw.shuffle(seeds)
    found = rows(
        database,
        "SELECT uuid_hash_extended(id, seed), hashfloat8extended(number, seed), hashint2extended(small, seed) "
        f"FROM unnest(ARRAY[{quoted(ids)}]::uuid[], "
        f"ARRAY[{quoted(numbers)}]::float8[], ARRAY{small}::smallint[], "
        f"ARRAY[{quoted(seeds)}]::bigint[]) "
        "WITH ORDINALITY AS given (id, number, small, seed, place) ORDER BY place",
    )
    seed: npt.NDArray[np.uint64] = np.array(seeds, np.int64).view(np.uint64)
    of_ids = hashing.uuids(np.frombuffer(b"".join(each.bytes for each in ids), "V16"), seed)
    of_numbers = hashing.floats(np.array(numbers), seed)
    of_small = hashing.integers(np.array(small, np.int16), seed)
    assert found == list(zip(signed(of_ids), signed(of_numbers), signed(of_small), strict=True))
