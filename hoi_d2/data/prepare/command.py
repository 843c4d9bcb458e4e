"""Arguments that the `hoi-d2 data prepare-*` commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from hoi_d2.data.prepare.counts import KNOWN_SHA256
from hoi_d2.data.prepare.files import PreparationError, check_sha256, extract
from hoi_d2.data.trees import datasets_root
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.files import sha256_of


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the arguments that every preparation has."""
    parser = CommandParser(description=description)
    parser.add_argument(
        "--root", type=Path, default=datasets_root(), help="default: DETECTRON2_DATASETS"
    )
    parser.add_argument(
        "--archive", nargs="+", type=Path, default=[], help="downloaded archives to extract"
    )
    parser.add_argument(
        "--sha256", nargs="+", default=[], help="checksums of the archives, in the same order"
    )
    return parser


def extract_archives(args: argparse.Namespace, target: Path) -> None:
    """Checks and extracts every archive of the command line.

    Raises:
        PreparationError: an archive cannot be extracted, or the number of checksums differs from
            the number of archives.
    """
    if args.sha256 and len(args.sha256) != len(args.archive):
        raise PreparationError("--sha256: give one checksum for each --archive")
    for archive, expected in zip(args.archive, args.sha256):
        check_sha256(archive, expected)
    for archive in args.archive:
        print(f"{archive}: {extract(archive, target)} files written to {target}")


def report_checksum(file: Path) -> None:
    """Prints whether an annotation file is the published one."""
    known = KNOWN_SHA256.get(file.name)
    if known is not None:
        verdict = "as published" if sha256_of(file) == known else "differs from the published file"
        print(f"{file}: {verdict} (SHA-256)")
