"""The console command `hoi-d2`: the same functions as `tools/`, from any folder."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "demo": ("hoi_d2.engine.demo:main", "find and draw interactions; without --input the toy demo"),
    "train": ("hoi_d2.engine.setup:main", "train a model, as tools/train_net.py"),
    "eval": ("hoi_d2.cli:evaluate", "evaluate a model, as tools/train_net.py --eval-only"),
    "env": ("hoi_d2.cli:environment", "versions, and what is missing"),
}


def usage() -> str:
    lines = [f"  {name:10s} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: hoi-d2 COMMAND [arguments]; COMMAND --help tells more", *lines])


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"hoi-d2: no command {name}\n{usage()}", file=sys.stderr)
        return 2
    module, function = COMMANDS[name][0].split(":")
    result = getattr(importlib.import_module(module), function)(rest)
    return result if isinstance(result, int) else 0


def evaluate(arguments: list[str]) -> None:
    from hoi_d2.engine.setup import main as train_main

    train_main(["--eval-only", *arguments])


def environment(arguments: list[str]) -> None:
    """Prints what `compat.environment_report` finds."""
    from hoi_d2.compat import environment_report

    rows = environment_report()
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}s}  {value}")


if __name__ == "__main__":
    sys.exit(main())
