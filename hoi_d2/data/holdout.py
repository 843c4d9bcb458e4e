"""Splits off a held-out part of the training images, always the same one."""

from __future__ import annotations

import hashlib
import os
from typing import Any


def hold_out(
    records: list[dict[str, Any]], *, share: float = 0.1, seed: int = 0
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Splits records in two, by a hash of their file names.

    DEFR (arXiv 2203.05676, section 4.1) holds out 10 % at random. A hash depends neither on the
    order of the file nor on a library's random numbers.

    Args:
        records: dataset dicts with `file_name`.
        share: the share of the images to hold out.
        seed: another seed gives another split.

    Returns:
        The remaining records, and the round(share * N) held-out ones; both in the original order.
    """
    names = [os.path.basename(record["file_name"]) for record in records]
    digests = [hashlib.sha256(f"{seed}/{name}".encode()).digest() for name in names]
    order = sorted(range(len(records)), key=lambda i: (digests[i], names[i], i))
    held = set(order[: round(share * len(records))])
    rest = [record for i, record in enumerate(records) if i not in held]
    return rest, [records[i] for i in sorted(held)]
