"""The console command `hoi-d2`: the same code as `tools/`, from any folder."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import hoi_d2

_PACKAGE = Path(__file__).parent
_LIGHT = "HOI_D2_SKIP_REGISTRATION"  # what tools set to start fast; of no use here


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        target: `module:function`, which takes the arguments, or the name of a file of `tools`.
        text: what it does, in a line.
        example: its arguments in a sensible call.
        light: it needs neither models nor registered datasets, and starts at once.
    """

    target: str
    text: str
    example: str
    light: bool = False


DATA_COMMANDS = {
    "validate": Command(
        "validate_data.py",
        "name every wrong record of a file",
        "mine.json --image-root images",
        light=True,
    ),
    "visualize": Command(
        "visualize_data.py", "draw annotations", "toy_hoi_val --output look --num 20 --html"
    ),
    "analyze": Command(
        "analyze_dataset.py", "class frequencies, box sizes, ...", "mine.json --output numbers"
    ),
    "convert": Command(
        "convert_annotations.py",
        "from Label Studio or CVAT",
        "label_studio export.json --output mine.json",
        light=True,
    ),
    "prepare-hico-det": Command(
        "prepare_hico_det.py",
        "HICO-DET",
        "--archive hico_20160224_det.tar.gz --download",
        light=True,
    ),
    "prepare-vcoco": Command(
        "prepare_vcoco.py", "V-COCO", "--annotations instances_vcoco_test.json", light=True
    ),
    "prepare-hico": Command(
        "prepare_hico.py", "HICO", "--archive hico_20150920.tar.gz", light=True
    ),
    "prepare-mpii": Command(
        "prepare_mpii.py", "MPII", "--archive mpii_human_pose_v1.tar.gz", light=True
    ),
    "errors": Command(
        "visualize_results.py",
        "a page with curves, AP of each class and the worst images of a result file",
        "--dataset toy_hoi_val --results hoi_results.json --worst-first --output errors",
    ),
    "toy": Command("make_toy_dataset.py", "the toy world as files", "datasets --train 50 --val 20"),
}

COMMANDS = {
    "demo": Command(
        "hoi_d2.demo.command:main",
        "find and draw interactions; without an image, the whole project on the toy world",
        "--config-file toy/rmlr.yaml --input photo.jpg folder --output drawn",
    ),
    "train": Command(
        "hoi_d2.engine.setup:main",
        "train a model",
        "--config-file toy/rmlr.yaml --num-gpus 1 OUTPUT_DIR output/mine",
    ),
    "eval": Command(
        "hoi_d2.cli:evaluate",
        "evaluate a model, or with --results a result file",
        "--config-file toy/rmlr.yaml MODEL.WEIGHTS hoi_d2://toy/rmlr.safetensors",
        light=True,
    ),
    "data": Command(
        "hoi_d2.cli:data",
        "check, draw, count, convert and prepare data sets",
        "validate mine.json --image-root images",
        light=True,
    ),
    "export": Command(
        "export_model.py",
        "a model as ONNX",
        "--config-file toy/defr_det.yaml --output onnx",
    ),
    "benchmark": Command(
        "benchmark.py", "how long things take", "infer --config-file toy/rmlr.yaml"
    ),
    "env": Command("hoi_d2.cli:environment", "versions, and what is missing", "", light=True),
}


def usage(name: str, commands: dict[str, Command]) -> str:
    """One line and an example for each command."""
    lines = [f"usage: {name} COMMAND [arguments]; COMMAND --help tells more", ""]
    for word, command in commands.items():
        lines += [f"  {word:17s} {command.text}", f"      {name} {word} {command.example}".rstrip()]
    return "\n".join(lines)


def dispatch(name: str, commands: dict[str, Command], arguments: list[str]) -> int:
    """Runs one of the commands; returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage(name, commands))
        return 0 if arguments else 2
    word, *rest = arguments
    if word not in commands:
        print(f"{name}: no command {word}\n{usage(name, commands)}", file=sys.stderr)
        return 2
    target = commands[word].target
    if not commands[word].light:
        register_all()
    if target.endswith(".py"):
        return run_tool(target, rest, name=f"{name} {word}")
    module, function = target.split(":")
    before, sys.argv = sys.argv, [f"{name} {word}", *rest]
    try:
        result = getattr(importlib.import_module(module), function)(rest)
    finally:
        sys.argv = before
    return result if isinstance(result, int) else 0


def register_all() -> None:
    """What `import hoi_d2` does, where the console command has left it out."""
    if "hoi_d2.modeling" not in sys.modules:
        hoi_d2.register()


def run_tool(file: str, arguments: list[str], *, name: str) -> int:
    """Runs a file of `tools` in this process."""
    before, light = sys.argv, os.environ.get(_LIGHT)
    sys.argv = [name, *arguments]
    path = tools_folder() / file
    try:  # as runpy does, but for its own name in sys.argv, by which argparse calls the command
        code = compile(path.read_bytes(), str(path), "exec")
        exec(code, {"__name__": "__main__", "__file__": str(path)})
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
        if light is None:
            os.environ.pop(_LIGHT, None)
    return 0


def tools_folder() -> Path:
    """`tools`: inside an installed package, or beside it in a checkout."""
    packaged = _PACKAGE / "model_zoo" / "tools"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "tools"


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    return dispatch("hoi-d2", COMMANDS, sys.argv[1:] if arguments is None else arguments)


def data(arguments: list[str]) -> int:
    """`hoi-d2 data ...`"""
    return dispatch("hoi-d2 data", DATA_COMMANDS, arguments)


def evaluate(arguments: list[str]) -> int:
    """Scores a result file where one is given; else runs a model over the test set."""
    if any(a == "--results" or a.startswith("--results=") for a in arguments):
        return run_tool("evaluate_results.py", arguments, name="hoi-d2 eval")
    register_all()
    from hoi_d2.engine.setup import main as train_main

    train_main(["--eval-only", *arguments])
    return 0


def environment(arguments: list[str]) -> None:
    """Prints what `compat.environment_report` finds."""
    from hoi_d2.utils.compat import environment_report

    rows = environment_report()
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}s}  {value}")


if __name__ == "__main__":
    sys.exit(main())
