"""The parser of every command line: mistakes are one line and exit code 2."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

MODEL_HELP = (
    "a checkpoint, the folder of a run, a name of the zoo (toy/rmlr) or organisation/name of the "
    "Hugging Face hub"
)


def add_device_options(parser: argparse.ArgumentParser, *, batch_size: int | None = None) -> None:
    """Adds --device and --half, and --batch-size where it has a default."""
    parser.add_argument(
        "--device", metavar="D", help="cpu, cuda, cuda:1, ...; default: a GPU where there is one"
    )
    parser.add_argument("--half", action="store_true", help="compute with 16 bits, on a GPU")
    if batch_size is not None:
        parser.add_argument(
            "--batch-size",
            type=count,
            default=batch_size,
            metavar="N",
            help="images that go through the model together, default %(default)s",
        )


def count(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return number


class CommandParser(argparse.ArgumentParser):
    """argparse's parser with `error: ...` as the only line of a mistake.

    The description is shown as it is written. `command` is the name that help and examples show;
    the entry point of all commands sets it.
    """

    command = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("prog", self.command or None)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)
