"""The logs of a run: a console that can be read, and log.txt, which has everything."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import suppress
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info
from detectron2.utils.logger import setup_logger
from tabulate import tabulate
from torch import nn

from hoi_d2.utils.files import write_atomically
from hoi_d2.utils.user_errors import UserError

logger = logging.getLogger(__name__)
LOG_NAME, CONFIG_NAME = "log.txt", "config.yaml"
_LOGGERS = ("fvcore", "detectron2", "hoi_d2")


class LogFileError(UserError, OSError):
    """log.txt cannot be written any more, mostly because its disk is full."""


# Of detectron2, and of no use to whoever reads the console: the console has a table of the metrics.
_FOR_THE_FILE_ALONE = {
    "detectron2.data.common": ("Serializing ", "Serialized dataset "),
    "detectron2.engine.defaults": ("Evaluation results for ",),
    "detectron2.evaluation.testing": ("copypaste: ",),
}


def make_output_dir(name: str) -> None:
    """Makes OUTPUT_DIR; an OSError says so where that cannot be done."""
    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"OUTPUT_DIR {name} cannot be created: {error.strerror}") from error


def start_logs(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Makes OUTPUT_DIR with log.txt and config.yaml.

    detectron2's `default_setup` also prints the environment and twice the config, some 700 lines.
    Here they are on the level below what the console shows.

    Args:
        cfg: frozen.
        args: of the command line.

    Raises:
        OSError: OUTPUT_DIR cannot be made or written.
    """
    output, rank = Path(cfg.OUTPUT_DIR), comm.get_rank()
    make_output_dir(cfg.OUTPUT_DIR)
    for name in _LOGGERS:
        for handler in setup_logger(str(output), distributed_rank=rank, name=name).handlers:
            if getattr(handler, "stream", None) is sys.stdout:
                handler.setLevel(logging.INFO)
                handler.addFilter(is_for_the_console)
            elif isinstance(handler, logging.StreamHandler):
                end_on_error(handler, output / LOG_NAME)
    logger.debug("environment:\n%s", collect_env_info())
    logger.debug("arguments: %s", args)
    logger.debug("config:\n%s", cfg.dump())
    if comm.is_main_process():
        write_atomically(output / CONFIG_NAME, lambda file: file.write(cfg.dump().encode()))
    number = comm.get_world_size()
    logger.info(
        "%s; torch %s on %s; everything in %s (%s: also environment, config and model)",
        f"{number} processes" if number > 1 else "1 process",
        torch.__version__,
        _device(cfg.MODEL.DEVICE),
        *(output, LOG_NAME),
    )


def is_for_the_console(record: logging.LogRecord) -> bool:
    """Whether a line is shown, and not only written to log.txt."""
    return not record.getMessage().startswith(_FOR_THE_FILE_ALONE.get(record.name, ()))


def end_on_error(handler: logging.StreamHandler, file: Path) -> None:
    """Makes the first line that a handler cannot write end the run.

    logging itself prints a traceback for each line, without an end.

    Args:
        handler: of the file; it is closed and taken off before the error is raised.
        file: for the message.
    """

    def end(record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        for name in _LOGGERS:
            own = logging.getLogger(name)
            for other in own.handlers[:]:
                if getattr(other, "stream", None) is handler.stream:
                    own.removeHandler(other)
        with suppress(OSError):
            handler.stream.close()  # else the interpreter tries once more at its end
        if not isinstance(error, OSError):
            return
        raise LogFileError(
            f"{file} cannot be written ({error.strerror}): free some space on its disk and go on "
            "with --resume, or take another OUTPUT_DIR"
        ) from error

    handler.handleError = end  # type: ignore[method-assign]


def _device(name: str) -> str:
    if name.startswith("cuda"):
        return torch.cuda.get_device_name(name)
    return name if torch.cuda.is_available() else f"{name} (there is no GPU)"


def log_model(model: nn.Module) -> None:
    """Its parts with their numbers of parameters; the modules themselves go to log.txt alone."""
    logger.debug("model:\n%s", model)
    logger.info("%s\n%s", type(model).__name__, parameter_table(model))


def parameter_table(model: nn.Module) -> str:
    """Parameters of each part in millions, and how many of them are trained."""
    rows = [(name, *_count(part)) for name, part in model.named_children()]
    rows = [row for row in rows if row[1]]
    rows.append(("all", *_count(model)))
    table = [(name, f"{total / 1e6:.2f}", f"{trained / 1e6:.2f}") for name, total, trained in rows]
    return tabulate(table, headers=("part", "parameters (M)", "trained (M)"), disable_numparse=True)


def _count(module: nn.Module) -> tuple[int, int]:
    parameters = list(module.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)
