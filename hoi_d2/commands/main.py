"""The console command `hoi-d2`: finds the command, runs it, reports user errors.

Only the module of the command that is called is imported, so that `--help` needs no torch.
"""

from __future__ import annotations

import difflib
import importlib
import io
import os
import select
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.user_errors import EXIT_CODE, IN_SETUP, UserError, report

_READER_IS_GONE = 141  # as a shell reports the end by SIGPIPE


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        module: the module in `hoi_d2.commands` with a `main(argv)`.
        text: a one-line description.
        example: example arguments.
        reported: errors that become one line and exit code 2; all others keep their traceback.
    """

    module: str
    text: str
    example: str
    reported: tuple[type[BaseException], ...] = IN_SETUP


DATA_COMMANDS = {
    "validate": Command(
        "validate_data",
        "check an annotation file, record by record",
        "mine.json --image-root images",
    ),
    "visualize": Command(
        "visualize_data", "draw annotations", "toy_hoi_val --output look --num 20 --html"
    ),
    "analyze": Command(
        "analyze_dataset", "class frequencies, box sizes, ...", "mine.json --output numbers"
    ),
    "convert": Command(
        "convert_annotations",
        "convert annotations from Label Studio or CVAT",
        "label_studio export.json --output mine.json",
    ),
    "prepare-hico-det": Command(
        "prepare_hico_det", "prepare HICO-DET", "--archive hico_20160224_det.tar.gz --download"
    ),
    "prepare-vcoco": Command(
        "prepare_vcoco", "prepare V-COCO", "--annotations instances_vcoco_test.json"
    ),
    "prepare-hico": Command("prepare_hico", "prepare HICO", "--archive hico_20150920.tar.gz"),
    "prepare-mpii": Command("prepare_mpii", "prepare MPII", "--archive mpii_human_pose_v1.tar.gz"),
    "errors": Command(
        "visualize_results",
        "a page with curves, AP per class and the worst images of a result file",
        "--dataset toy_hoi_val --results hoi_results.json --worst-first --output errors",
    ),
    "toy": Command(
        "make_toy_dataset", "write the toy world as files", "datasets --train 50 --val 20"
    ),
}

COMMANDS = {
    "demo": Command("demo", "find and draw interactions", "photo.jpg folder --output drawn"),
    "predict": Command(
        "predict",
        "find interactions in very many images",
        "--input folder --output output/mine --num-gpus 4",
    ),
    "web": Command("web", "the demo as a web page", "--port 7860"),
    "train": Command(
        "train",
        "train a model",
        "--config-file toy/rmlr.yaml --num-gpus 1 OUTPUT_DIR output/mine",
        reported=(UserError,),  # the run itself reports errors during its setup
    ),
    "eval": Command(
        "eval",
        "evaluate a model, or score a result file with --results",
        "--config-file toy/rmlr.yaml MODEL.WEIGHTS hoi_d2://toy/rmlr.safetensors",
    ),
    "data": Command(
        "data", "check, draw, analyze, convert and prepare datasets", "validate mine.json"
    ),
    "export": Command(
        "export", "export a model as ONNX", "--config-file toy/rmlr.yaml --output onnx"
    ),
    "benchmark": Command("benchmark", "measure speed", "infer --config-file toy/rmlr.yaml"),
    "plot": Command(
        "plot_log", "draw learning curves", "output/run1 output/run2 --output curves.png"
    ),
    "download": Command(
        "download", "download published weights; without a name, a table of them", "zeroshot"
    ),
    "convert-weights": Command(
        "convert_weights",
        "convert the weights of a published detector",
        "detr-r50-e632da11.pth detr_r50.safetensors --sha256 e632da11",
    ),
    "convert-results": Command(
        "convert_results",
        "convert results of PPDM, QPIC, CDN, UPT or V-COCO's tool",
        "predictions.json --output results.npz",
    ),
    "strip": Command(
        "strip_checkpoint",
        "make a small file for publication from a checkpoint",
        "model_final.pth model.safetensors",
    ),
    "cache": Command(
        "cache_detections",
        "store the output of the frozen detector",
        "--config-file RmLR/R50.yaml --output output/cache",
    ),
    "slurm": Command(
        "slurm_train", "submit a training to SLURM", "--nodes 2 -- --config-file RmLR/R50.yaml"
    ),
    "env": Command("env", "show versions and what is missing", ""),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # escape characters that the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    if words[:1] == ["--version"]:
        from hoi_d2 import __version__

        print(f"hoi-d2 {__version__}")
        return 0
    if words[:1] == ["data"]:
        return dispatch("hoi-d2 data", DATA_COMMANDS, words[1:])
    return dispatch("hoi-d2", COMMANDS, words)


def dispatch(name: str, commands: dict[str, Command], words: list[str]) -> int:
    """Runs the command that the first word names."""
    if not words or words[0] in ("-h", "--help"):
        print(usage(name, commands))
        return 0 if words else EXIT_CODE
    word, *rest = words
    if word not in commands:
        near = difflib.get_close_matches(word, commands, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" See {name} --help."
        print(f"error: unknown command {word!r}.{hint}", file=sys.stderr)
        return EXIT_CODE
    return run(f"{name} {word}", commands[word], rest)


def run(name: str, command: Command, argv: list[str]) -> int:
    """Calls the command; a user error becomes one line and exit code 2."""
    CommandParser.command = name
    try:
        module = importlib.import_module(f"hoi_d2.commands.{command.module}")
        code = module.main(argv) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError as error:
        if _reader_is_gone():
            return _READER_IS_GONE
        report(error)
        return EXIT_CODE
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except command.reported as error:
        report(error)
        return EXIT_CODE


def _reader_is_gone() -> bool:
    """Whether nobody reads the standard output any more, as after `hoi-d2 ... | head`.

    What is still to be written goes nowhere then: Python would complain once more at its end.
    """
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(events & select.POLLERR for _, events in output.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def usage(name: str, commands: dict[str, Command]) -> str:
    """Returns the help text: one line and an example per command."""
    lines = [f"usage: {name} COMMAND [arguments]; {name} COMMAND --help shows the options", ""]
    for word, command in commands.items():
        lines += [f"  {word:17s} {command.text}", f"      {name} {word} {command.example}".rstrip()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
