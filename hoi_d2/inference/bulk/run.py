"""What each process of `hoi-d2 predict` does: every n-th unfinished shard, one after the other.

Processes meet once, before the first image, where the first one says which shards are left. A
process that dies takes the shard in its hands with it, and nothing else: the next run with
--resume reads that shard again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from detectron2.utils import comm
from tqdm import tqdm

from hoi_d2.engine.resources import check_resources
from hoi_d2.engine.trained_weights import half_precision
from hoi_d2.evaluation.prediction_table import ImageRow, arrow, unreadable, write_rows
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.inference.bulk.loader import Read, load
from hoi_d2.inference.bulk.plan import PLAN, Plan, PlanError, open_plan, read_plan
from hoi_d2.inference.choice import ModelChoice, print_notes
from hoi_d2.inference.predictor import HOIPredictor, best_first
from hoi_d2.modeling.batches import forward_in_batches
from hoi_d2.utils.locks import lock_folder
from hoi_d2.utils.processes import from_first_process
from hoi_d2.utils.signals import stopped_like_ctrl_c
from hoi_d2.utils.user_errors import IN_A_STEP, IN_SETUP, UserError, reported_mistakes

INTERRUPTED = 130


@dataclass(frozen=True)
class Job:
    """A run over many images.

    Args:
        inputs: as `sources.list_images` takes them.
        output: the folder.
        model: which model.
        shard_size: images of a shard.
        resume: continue the run that the folder holds.
    """

    inputs: tuple[str, ...]
    output: Path
    model: ModelChoice
    shard_size: int = 1000
    resume: bool = False


def run(job: Job) -> None:
    """Called in every process of the run.

    Raises:
        SystemExit: status 2 with a line on the console, where the user can mend what is wrong;
            130 after Ctrl-C or SIGTERM.
    """
    try:
        with stopped_like_ctrl_c():
            # RuntimeError: the first process has failed, and says why itself.
            with reported_mistakes((*IN_SETUP, RuntimeError)):
                arrow()
                plan, waiting = from_first_process(lambda: begin(job))
            shards = waiting[comm.get_rank() :: comm.get_world_size()]
            if not shards:
                return
            with reported_mistakes(IN_SETUP):
                predictor = load_predictor(job)
            with reported_mistakes(IN_A_STEP), _explained_deaths():
                predict_shards(predictor, plan, shards, batch_size=predictor.batch_size)
    except KeyboardInterrupt:
        print("error: interrupted; use --resume to continue", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def begin(job: Job) -> tuple[Plan, list[int]]:
    """Locks the folder and lists the images, or reads the list of the run that goes on.

    Returns:
        The plan, and the numbers of the unfinished shards.

    Raises:
        OSError: the folder cannot be made.
        PlanError: the folder holds a run, and `resume` is not set; or it holds another run.
    """
    try:
        job.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"--output {job.output}: {error.strerror}") from error
    lock_folder(job.output, "--output")
    if (job.output / PLAN).exists() and not job.resume:
        raise PlanError(
            f"--output {job.output} already holds a run: use --resume to continue it, "
            "or choose another folder"
        )
    plan = open_plan(job.output, job.inputs, job.model.decides(), shard_size=job.shard_size)
    return plan, plan.waiting()


def load_predictor(job: Job) -> HOIPredictor:
    """Builds the model of the run in this process."""
    predictor = job.model.predictor()
    check_resources(predictor.cfg.DATALOADER.NUM_WORKERS)
    if comm.is_main_process():
        print_notes(predictor)
    if not torch.cuda.is_available():  # else every process would take all cores
        torch.set_num_threads(max(1, torch.get_num_threads() // comm.get_local_size()))
    return predictor


class WorkerDiedError(UserError, RuntimeError):
    """A process that reads images was ended from outside, or by what it read."""


@contextmanager
def _explained_deaths() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        # A connection error comes first where the main process is receiving a batch.
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise WorkerDiedError(
            f"a process that reads images died ({error}); finished shards are kept. Give the run "
            "more memory or shared memory, then use --resume to continue"
        ) from error


def predict_shards(
    predictor: HOIPredictor,
    plan: Plan,
    shards: list[int],
    *,
    batch_size: int,
    progress: bool = True,
) -> None:
    """Writes the files of these shards.

    Args:
        predictor: the model.
        plan: of the run.
        shards: their numbers.
        batch_size: images that go through the model together.
        progress: whether the first process shows a progress bar.
    """
    workers = predictor.cfg.DATALOADER.NUM_WORKERS
    images = load(plan, shards, predictor.model_input, batch_size=batch_size, num_workers=workers)
    total = sum(map(plan.size_of, shards))
    hidden = not (progress and comm.is_main_process())
    with closing(images) as batches, tqdm(total=total, unit="image", disable=hidden) as bar:
        for shard, group in groupby(batches, key=lambda batch: batch[0].item.shard):
            rows: list[ImageRow] = []
            for batch in group:
                rows += predict_batch(predictor, batch)
                bar.update(len(batch))
            write_rows(plan.shard_file(shard), rows, predictor.vocabulary)


@torch.inference_mode()
def predict_batch(predictor: HOIPredictor, batch: list[Read]) -> list[ImageRow]:
    """The rows of a batch, in order."""
    inputs = [read.model_input for read in batch if read.model_input is not None]
    with half_precision(predictor.cfg):
        outputs = iter(forward_in_batches(predictor.model, inputs))
    rows = []
    for read in batch:
        number, file = read.item.image_id, read.item.entry.file
        if read.model_input is None:
            rows.append(ImageRow(number, file, 0, 0, HOIResults.empty(), read.error))
            continue
        height, width = read.model_input["height"], read.model_input["width"]
        found = best_first(next(outputs)["hoi_instances"])
        results = HOIResults.from_hoi_instances(number, found)
        rows.append(ImageRow(number, file, height, width, results))
    return rows


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        shards: number of shards.
        finished: how many of them are finished.
        images: in the finished ones.
        unreadable: images of these that could not be read.
        left_out: files that were not taken for images.
    """

    shards: int
    finished: int
    images: int
    unreadable: int
    left_out: int

    @classmethod
    def of(cls, folder: Path) -> Progress:
        """Of the run in a folder.

        Raises:
            PlanError: it holds none.
        """
        plan = read_plan(folder)
        waiting = set(plan.waiting())
        done = [n for n in range(len(plan.offsets)) if n not in waiting]
        counts = [unreadable(plan.shard_file(shard)) for shard in done]
        images, bad = (sum(column) for column in zip(*counts)) if counts else (0, 0)
        return cls(len(plan.offsets), len(done), images, bad, sum(plan.left_out.values()))

    def __str__(self) -> str:
        others = f", {self.left_out} other files left out" if self.left_out else ""
        return (
            f"{self.finished} of {self.shards} shards finished: {self.images} images, "
            f"{self.unreadable} of them could not be read{others}"
        )
