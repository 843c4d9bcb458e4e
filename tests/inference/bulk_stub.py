"""A model whose one interaction tells which image it has seen, and runs of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from PIL import Image

from hoi_d2.engine.launch import launch
from hoi_d2.inference.bulk import run as bulk_run
from hoi_d2.inference.bulk.run import Job, run
from hoi_d2.inference.choice import ModelChoice
from hoi_d2.structures import make_hoi_instances
from tests.demo.fake_predictor import WORDS


class StubPredictor:
    """As `HOIPredictor`: the width of the human box is the grey value of the image."""

    vocabulary, note, random_parts = WORDS, "", ()
    cfg = CfgNode(
        {
            "DATALOADER": {"NUM_WORKERS": 1},
            "TEST": {"HALF": False},
            "MODEL": {"DEVICE": "cpu"},
        }
    )
    batch_size = 3

    def model_input(self, image: np.ndarray) -> dict:
        pixels = torch.from_numpy(image).permute(2, 0, 1)
        return {"image": pixels, "height": image.shape[0], "width": image.shape[1]}

    def model(self, inputs: list[dict]) -> list[dict]:
        return [{"hoi_instances": self._found(i["image"])} for i in inputs]

    def _found(self, image: torch.Tensor):
        grey = float(image.float().mean())
        number = 0 if grey == 0 else 2
        return make_hoi_instances(
            image_size=tuple(image.shape[-2:]),
            human_boxes=torch.tensor([[0.0, 0, grey, 1]] * number).reshape(-1, 4),
            object_boxes=torch.tensor([[1.0, 1, 3, 4]] * number).reshape(-1, 4),
            object_classes=torch.tensor([1] * number),
            verb_classes=torch.tensor([0, 1][:number]),
            hoi_classes=torch.tensor([0, 1][:number]),
            scores=torch.tensor([0.25, 0.75][:number]),
            pair_indices=torch.tensor([[0, 1]] * number).reshape(-1, 2),
        )


def grey_image(path: Path, grey: int) -> None:
    """A PNG of 8 x 6 pixels."""
    Image.fromarray(np.full((6, 8, 3), grey, np.uint8)).save(path)


def job(inputs: Iterable[object], output: Path, **options: object) -> Job:
    """Shards of 4 images, batches of 3."""
    names = tuple(map(str, inputs))
    return Job(names, output, ModelChoice(), **{"shard_size": 4, **options})


def run_stub(job: Job, dies: str = "") -> None:
    """`run` with the stub, in each process of the run.

    Args:
        job: of the run.
        dies: rank of the process that is killed while it writes its second shard; "" = none.
    """
    ModelChoice.predictor = lambda self: StubPredictor()
    write, written = bulk_run.write_rows, []

    def write_or_die(path: Path, *rest: object) -> None:
        if written and os.environ.get("RANK") == dies:
            path.with_name(path.name + ".tmp").write_bytes(b"PAR1 half of it")
            os.kill(os.getpid(), signal.SIGKILL)
        written.append(path)
        write(path, *rest)

    bulk_run.write_rows = write_or_die
    launch(run, args=(job,))
