"""Submits a training to SLURM; at its time limit it saves its state and is queued again.

hoi-d2 slurm --nodes 2 --gpus 8 --hours 24 --partition gpu -- \\
    --config-file configs/RmLR/R50.yaml SOLVER.REFERENCE_WORLD_SIZE 4 OUTPUT_DIR output/r50
hoi-d2 slurm --nodes 2 --gpus 8 -- predict --input folder --output output/mine

The arguments after `--` are those of hoi-d2 train, or `predict` and those of hoi-d2 predict. Needs
`pip install hoi-d2[slurm]`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.extras import import_extra
from hoi_d2.utils.user_errors import UserError

PREDICT = "predict"
"""First word of the arguments where the job is no training."""


class Training:
    """The function of each task of the job; submitit stores and calls it, also after a requeue.

    Args:
        arguments: arguments of hoi-d2 train, or `predict` and those of hoi-d2 predict.
    """

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments

    def __call__(self) -> None:
        from submitit.helpers import TorchDistributedEnvironment

        # The names that torchrun sets, which hoi_d2.engine.launch looks for.
        TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        restarted = int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0  # also after a node failed
        arguments = with_resume(self.arguments) if restarted else self.arguments
        if arguments[0] == PREDICT:
            from hoi_d2.commands.predict import main as predict

            predict(arguments[1:])
        else:
            from hoi_d2.engine.setup import main as train

            train(arguments)

    def checkpoint(self) -> Any:
        """Returns the job to submit again; submitit calls this after the state is saved."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(Training(with_resume(self.arguments)))


def with_resume(arguments: list[str]) -> list[str]:
    """Returns the same arguments with --resume, which comes before the KEY VALUE overrides."""
    command = arguments[: arguments[0] == PREDICT]
    rest = arguments[len(command) :]
    return arguments if "--resume" in rest else [*command, "--resume", *rest]


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the options of the job and, in `train`, the arguments of the training."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1, help="default %(default)s")
    parser.add_argument("--gpus", type=int, default=8, help="GPUs per node, one process each")
    parser.add_argument(
        "--cpus", type=int, default=8, help="CPU cores per GPU, for the data loader"
    )
    parser.add_argument("--hours", type=float, default=24, help="time limit of the job")
    parser.add_argument(
        "--legs", type=int, default=20, help="maximum number of times the job is queued again"
    )
    parser.add_argument(
        "--grace", type=int, default=180, help="seconds before the time limit at which it saves"
    )
    parser.add_argument("--partition", default="", help="as of sbatch")
    parser.add_argument("--constraint", default="", help="as of sbatch")
    parser.add_argument("--name", default="hoi_d2", help="name of the job, default %(default)s")
    parser.add_argument(
        "--log-dir", type=Path, default=Path("output/slurm"), help="default %(default)s"
    )
    parser.add_argument(
        "train", nargs="+", help="arguments of hoi-d2 train, after --; or predict and its arguments"
    )
    return parser.parse_args(arguments)


def submit(args: argparse.Namespace) -> Any:
    """Submits the job and returns submitit's handle of it.

    Raises:
        MissingExtraError: submitit is not installed.
        UserError: SLURM is not available.
    """
    submitit = import_extra("submitit", extra="slurm", needed_by="hoi-d2 slurm")
    executor = submitit.AutoExecutor(folder=args.log_dir, slurm_max_num_timeout=args.legs)
    if executor.cluster != "slurm":  # submitit would start processes on this machine instead
        raise UserError(
            "SLURM is not available (srun is not on PATH): run this on a login node, or train on "
            "this machine with hoi-d2 train"
        )
    options = {
        "slurm_partition": args.partition,
        "slurm_constraint": args.constraint,
    }
    executor.update_parameters(
        name=args.name,
        nodes=args.nodes,
        gpus_per_node=args.gpus,
        tasks_per_node=args.gpus,
        cpus_per_task=args.cpus,
        timeout_min=int(args.hours * 60),
        slurm_signal_delay_s=args.grace,
        **{key: value for key, value in options.items() if value},
    )
    return executor.submit(Training(args.train))


def main(argv: list[str] | None = None) -> int:
    """Submits the job; returns the exit code."""
    args = parse_args(argv)
    job = submit(args)
    print(f"submitted {job.job_id}; logs in {args.log_dir}, stop it with: scancel {job.job_id}")
    return 0
