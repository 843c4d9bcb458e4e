"""`hoi-d2 predict --ray`: the shards of a run on a Ray cluster.

Ray Data hands the numbers of unfinished shards to actors, each of which holds the model. A shard is
written as by `run`: completely or not at all. Ray starts an actor that dies again, with the shard
that it had; what it cannot finish is left to --resume.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from hoi_d2.evaluation.prediction_table import arrow
from hoi_d2.inference.bulk.plan import read_plan
from hoi_d2.inference.bulk.run import INTERRUPTED, Job, begin, load_predictor, predict_shards
from hoi_d2.utils.extras import import_extra
from hoi_d2.utils.signals import stopped_like_ctrl_c
from hoi_d2.utils.user_errors import IN_SETUP, UserError, reported_mistakes

LOCAL = "local"
"""The address that starts a cluster on this machine, for this run alone."""


class ClusterError(UserError, RuntimeError):
    """The cluster cannot be reached, is too small, or has given up a shard."""


class ShardWorker:
    """The actor: predicts the shards that it is given, with a model that it loads once.

    Args:
        job: of the run; its output folder is one that all machines share.
    """

    def __init__(self, job: Job) -> None:
        self.plan = read_plan(job.output)
        self.predictor = load_predictor(job)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Writes the files of the shards in column `id`; returns the column."""
        shards = [int(number) for number in batch["id"]]
        size = self.predictor.batch_size
        predict_shards(self.predictor, self.plan, shards, batch_size=size, progress=False)
        return batch


def run_on_ray(job: Job, *, address: str = LOCAL, workers: int = 1) -> None:
    """Predicts the unfinished shards of a run.

    Args:
        job: what to do.
        address: of the cluster, as `ray.init` takes it ("auto" = the one of this machine).
        workers: number of actors; each has one GPU, unless the job is for the CPU or this machine
            has no CUDA.

    Raises:
        SystemExit: status 2 with a line on the console; 130 after Ctrl-C or SIGTERM.
    """
    try:
        with stopped_like_ctrl_c(), reported_mistakes(IN_SETUP):
            arrow()
            ray = import_extra("ray", extra="ray", needed_by="hoi-d2 predict --ray")
            import_extra("ray.data", extra="ray", needed_by="hoi-d2 predict --ray")
            _, waiting = begin(job)
            if waiting:
                gpus = int(torch.cuda.is_available() and job.model.device != "cpu")
                _connect(ray, address, workers, gpus)
                _predict(ray, job, waiting, workers, gpus)
    except KeyboardInterrupt:
        print("error: interrupted; use --resume to continue", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def _connect(ray: Any, address: str, workers: int, gpus: int) -> None:
    if not ray.is_initialized():
        try:
            ray.init(address=address, include_dashboard=False, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ClusterError(f"--ray {address}: {error}") from error
    found = ray.cluster_resources()
    for name, needed in (("CPU", workers), ("GPU", workers * gpus)):
        if found.get(name, 0) < needed:
            raise ClusterError(
                f"the cluster has {found.get(name, 0):g} {name}, and {workers} workers need "
                f"{needed}: give a smaller --num-gpus"
            )


def _predict(ray: Any, job: Job, shards: list[int], workers: int, gpus: int) -> None:
    ray.data.DataContext.get_current().enable_progress_bars = False
    waiting = ray.data.from_items(
        [{"id": shard} for shard in shards], override_num_blocks=len(shards)
    )
    written = waiting.map_batches(
        ShardWorker,
        fn_constructor_args=(job,),
        batch_size=1,
        num_gpus=gpus,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    try:
        with tqdm(total=len(shards), unit="shard") as bar:
            for _ in written.iter_batches(batch_size=1):
                bar.update()
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ClusterError(
            f"a worker failed ({reason}); finished shards are kept; use --resume to continue"
        ) from error
