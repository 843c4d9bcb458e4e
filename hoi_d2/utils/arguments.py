"""The parser of every command line: mistakes are one line and exit code 2."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn


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
