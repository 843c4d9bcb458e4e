"""Finds interactions in very many images; results are Parquet files (extra [predict]).

    hoi-d2 predict --input folder --output output/mine --num-gpus 4
    hoi-d2 predict --input list.txt shards/00.tar --output output/mine --num-gpus 8 \\
        --num-machines 2 --machine-rank 0 --dist-url tcp://HOST:PORT
    torchrun --nproc-per-node 4 tools/predict.py --input folder --output output/mine
    hoi-d2 predict --input folder --output /shared/mine --ray auto --num-gpus 16
    hoi-d2 predict merge output/mine

Inputs are images, folders, globs, tar archives, and text files with a path on each line. The
images are cut into shards; each becomes one file in DIR/shards, completely or not at all. To
continue an interrupted run, use the same command with --resume. `merge` joins the shards to one
file, which hoi-d2 eval --results can score. The columns are described in docs/predict.md.

Exit code: 0 = all done, 1 = some image could not be read (its row has the reason), 2 = nothing
could be done, 130 = interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hoi_d2.commands.model_arguments import (
    add_model_arguments,
    check_model_arguments,
    model_choice,
    without_overrides,
)
from hoi_d2.engine.launch import LaunchError, launch
from hoi_d2.evaluation.prediction_table import SUFFIX, merge
from hoi_d2.inference.bulk.plan import PlanError, read_plan
from hoi_d2.inference.bulk.run import Job, Progress, run
from hoi_d2.utils.arguments import CommandParser, count
from hoi_d2.utils.user_errors import reported_mistakes

MERGED = f"predictions{SUFFIX}"


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; KEY VALUE overrides of the config may stand anywhere in it."""
    words, opts = without_overrides(list(sys.argv[1:] if arguments is None else arguments))
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--input", nargs="+", required=True, metavar="PATH", help="inputs, see above")
    add("--output", required=True, type=Path, metavar="DIR", help="folder of the run")
    add("--resume", action="store_true", help="continue the run in DIR")
    add_model_arguments(parser)
    add(
        "--shard-size",
        type=count,
        default=1000,
        metavar="N",
        help="images per shard, default %(default)s",
    )
    add("--num-gpus", type=count, default=1, help="processes on this machine; with --ray: in total")
    add("--ray", metavar="ADDRESS", help="run on a Ray cluster: auto, local or HOST:PORT")
    add("--num-machines", type=count, default=1, help="number of machines")
    add("--machine-rank", type=int, default=0, help="number of this machine, from 0")
    add("--dist-url", default="auto", help="address of machine 0, tcp://HOST:PORT")
    parser.usage = f"{parser.prog} --input PATH ... --output DIR [options] [KEY VALUE ...]"
    args = parser.parse_args(words)
    args.opts = opts
    check_model_arguments(parser, args)
    if args.ray and (args.num_machines > 1 or args.dist_url != "auto"):
        parser.error("--ray has the machines of its cluster: leave out --num-machines, --dist-url")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["merge"]:
        return merge_main(words[1:])
    args = parse_args(words)
    job = Job(
        inputs=tuple(args.input),
        output=args.output,
        model=model_choice(args),
        shard_size=args.shard_size,
        resume=args.resume,
    )
    if args.ray:
        from hoi_d2.inference.bulk.ray_data import run_on_ray

        run_on_ray(job, address=args.ray, workers=args.num_gpus)
    else:
        _launch(job, args)
    progress = Progress.of(args.output)
    print(f"{progress}; results in {args.output}")
    if not progress.unreadable:
        return 0
    return 1 if progress.unreadable < progress.images else 2


def _launch(job: Job, args: argparse.Namespace) -> None:
    with reported_mistakes((LaunchError,)):
        launch(
            run,
            num_gpus=args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            device=args.device or "cuda",
            args=(job,),
        )


def merge_main(argv: Sequence[str]) -> int:
    """`hoi-d2 predict merge DIR`: one file of all shards; returns the exit code.

    Raises:
        PlanError: a shard is missing, or the folder holds no run.
    """
    parser = CommandParser(description="Joins the shards of a finished run to one Parquet file.")
    parser.prog = f"{parser.prog} merge"
    parser.add_argument("run", type=Path, metavar="DIR", help="folder of the run")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"default: DIR/{MERGED}")
    args = parser.parse_args(argv)
    plan, output = read_plan(args.run), args.output or args.run / MERGED
    if missing := plan.waiting():
        raise PlanError(
            f"{args.run}: {len(missing)} of {len(plan.offsets)} shards are not finished (the first "
            f"is {missing[0]}); repeat the command of the run with --resume"
        )
    images = merge([plan.shard_file(shard) for shard in range(len(plan.offsets))], output)
    print(f"{output}: {images} images")
    return 0
