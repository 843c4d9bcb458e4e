"""Arguments and error handling that the tools/prepare_*.py commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.data.prepare.counts import KNOWN_SHA256
from hoi_d2.data.prepare.files import PreparationError, check_sha256, extract, sha256_of
from hoi_d2.data.trees import datasets_root


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the arguments that every preparation has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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


def run(prepare: Callable[[list[str] | None], None], argv: list[str] | None = None) -> int:
    """Calls `prepare` and turns its errors into a message and an exit code."""
    try:
        prepare(argv)
    except (PreparationError, DataFormatError, FileNotFoundError) as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        return 1
    return 0
