"""How much of the encoder is trained, with few photographs: rows of language against others.

Each training photograph is shown mirrored half of the time. Share of the rate and steps are chosen
on the validation photographs with seed 1, for each line of the table.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import torch
from drift import drift
from masks import unmasked_blocks
from photographs import BLOCKS, kept, pooled, squares
from recogniser import Recogniser, Variant, train
from torch import Tensor
from trained_blocks import TrainedBlocks

from hoi_d2.config.load import load_config

if TYPE_CHECKING:
    from run import Study

WHOLE = 16
PARTS = {"nothing": 0, "last block": 1, "last 4 blocks": 4, "whole encoder": WHOLE}
SHARES = (1 / 30, 1 / 10, 1 / 3)
STEPS = (200, 600)
LAST = "last 4 blocks"
GRID = (  # photographs, rows, what is trained
    *product(("tail",), ("random", "MiniLM"), ("nothing", LAST)),
    ("tail", "shuffled", "nothing"),
    *product(("5",), ("random", "MiniLM"), ("nothing", "last block")),
)
MORE = (  # hours on one core
    ("tail", "shuffled", LAST),
    *product(("5",), ("random", "MiniLM"), (LAST,)),
    *product(("tail", "5"), ("random", "MiniLM"), ("whole encoder",)),
)
BATCH = 16  # twice as many steps in the same time
_FORWARD = 32  # photographs at a time that are only encoded


@dataclass(frozen=True)
class Tuning:
    """One line of the study.

    Attributes:
        shots: how many photographs, as of `few`.
        rows: as of `Variant`.
        trained: a key of `PARTS`.
        gamma: of the classifier.
        share: of the learning rate, for the encoder.
        steps: of `BATCH` photographs.
    """

    shots: str
    rows: str
    trained: str
    gamma: float
    share: float = 0.1
    steps: int = STEPS[0]

    @property
    def name(self) -> str:
        parts = (self.rows, self.trained, f"{self.gamma:g}", f"{self.share:.3f}", str(self.steps))
        return "_".join(parts).replace(" ", "_")

    @property
    def variant(self) -> Variant:
        return Variant(self.rows, "LSE-Sign", gamma=self.gamma, steps=self.steps, batch=BATCH)


class FineTuning:
    """Runs of the study, each made once and kept in a folder.

    Args:
        study: whose photographs and encoder they have.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.folder = study, study.output / "tuned"
        self._seen: dict[tuple[str, int], Tensor] = {}

    def table(self, seeds: list[int], grid: tuple) -> list[dict]:
        """Test scores of `grid`."""
        table = []
        for shots, rows, trained in grid:
            tuning = self.chosen(shots, rows, trained)
            for seed in seeds:
                scores = self.scores(tuning, "test", seed=seed)
                table.append({**asdict(tuning), "seed": seed, "test": scores})
        return table

    def chosen(self, shots: str, rows: str, trained: str) -> Tuning:
        """Share, then steps, by mAP on the validation photographs, seed 1.

        Gamma is that of the frozen encoder.
        """

        def best(choices: list[Tuning]) -> Tuning:
            return max(choices, key=lambda t: self.scores(t, "val", seed=1)["mAP"])

        gamma = self.study.tuned("LSE-Sign", rows, shots).gamma
        first = Tuning(shots, rows, trained, gamma)
        if trained != "nothing":
            first = best([replace(first, share=share) for share in SHARES])
        return best([replace(first, steps=steps) for steps in STEPS])

    def scores(self, tuning: Tuning, part: str, *, seed: int) -> dict:
        """Of one run, with what it moved."""
        file = self.folder / tuning.shots / f"{tuning.name}_{seed}_{part}.json"
        if not file.exists():
            start = time.process_time()
            model = self.model(tuning, seed=seed)
            trained = time.process_time()
            scores = self._scored(model, tuning, part, seed)
            seconds = trained - start, time.process_time() - trained
            print(f"{tuning.shots}, {file.stem}: {seconds[0]:.1f} + {seconds[1]:.1f} s", flush=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(scores | {"seconds": seconds[0]}))
        return json.loads(file.read_text())

    def model(self, tuning: Tuning, *, seed: int) -> Recogniser:
        """Trained once: what the validation photographs chose is what the test photographs see."""
        file = self.folder / tuning.shots / f"{tuning.name}_{seed}.pt"
        if file.exists():
            model = self._untrained(tuning, seed)
            model.load_state_dict(torch.load(file))
            return model
        study, blocks = self.study, PARTS[tuning.trained]
        rows = study.chosen(tuning.shots, seed)
        drawn = f"{tuning.shots}_{seed}"
        both = [self.inputs("train", blocks, rows, mirrored=name) for name in ("", drawn)]
        more = {"share": tuning.share, "mirrored": both[1]}
        if blocks:
            more["blocks"] = TrainedBlocks(study.encoder, blocks)
        actions = study.parts["train"].actions[rows]
        model = train(tuning.variant, both[0], actions, seed=seed, **more)
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), file)
        return model

    def _untrained(self, tuning: Tuning, seed: int) -> Recogniser:
        torch.manual_seed(seed)  # as `train` does
        blocks, variant = PARTS[tuning.trained], tuning.variant
        part = TrainedBlocks(self.study.encoder, blocks) if blocks else None
        return Recogniser(variant, variant.config(), part).eval()

    @torch.no_grad()
    def _scored(self, model: Recogniser, tuning: Tuning, part: str, seed: int) -> dict:
        features = torch.cat([model.blocks(x) for x in self._unseen(part, PARTS[tuning.trained])])
        scores = self.study.metrics(model.head(features).numpy(), part, tuning.shots, seed)
        if part == "test":
            actions = self.study.parts[part].actions
            scores["drift"] = drift(self._untrained(tuning, seed), model, features, actions)
        return scores

    def _unseen(self, part: str, blocks: int) -> Iterator[Tensor]:
        """Inputs of validation and test photographs, in parts."""
        everything = torch.arange(len(self.study.parts[part]))
        if blocks == WHOLE:
            yield from (self.inputs(part, blocks, some) for some in everything.split(_FORWARD))
            return
        if (part, blocks) not in self._seen:
            self._seen[part, blocks] = self.inputs(part, blocks, everything)
        yield from self._seen[part, blocks].split(_FORWARD)

    @torch.no_grad()
    def inputs(self, part: str, blocks: int, rows: Tensor, *, mirrored: str = "") -> Tensor:
        """What the trained blocks are fed: features, maps or images, of some photographs.

        Args:
            part: of the study.
            blocks: how many are trained.
            rows: of the part.
            mirrored: not "": the photographs mirrored; a name for these rows.
        """
        encoder = self.study.encoder
        if blocks == WHOLE:
            images = self._images(part)[self.study.places[part][rows]]
            return images.flip(-1) if mirrored else images
        if mirrored:
            tokens = self._mirrored_maps(rows, mirrored)
        else:
            tokens = self.study.parts[part].maps[rows]
        if not blocks:
            return pooled(encoder, tokens)
        maps = [unmasked_blocks(encoder, x.float(), blocks + 1)[:, 1:] for x in tokens.split(64)]
        return torch.cat(maps).transpose(1, 2).unflatten(2, encoder.grid)

    def _images(self, part: str) -> Tensor:
        """(N, 3, R, R) bytes of all records of the official split that a part is of."""
        split = "test" if part == "test" else "train"
        square = squares(load_config(self.study.config, []))
        file = self.study.output / "seen" / f"{split}_images.npy"
        records = self.study.records[split]
        return kept(records, lambda some: torch.stack([square(r) for r in some]), file)

    def _mirrored_maps(self, rows: Tensor, name: str) -> Tensor:
        """As `Photographs.maps`, of some training photographs mirrored."""
        encoder, square = self.study.encoder, squares(load_config(self.study.config, []))

        @torch.no_grad()
        def maps(some: list[dict]) -> Tensor:
            images = encoder.normalize(torch.stack([square(r) for r in some]).flip(-1))
            return encoder.tokens_before_last(images, masked_blocks=BLOCKS).half()

        places = self.study.places["train"][rows].tolist()
        records = [self.study.records["train"][place] for place in places]
        return kept(records, maps, self.study.output / "seen" / f"mirrored_{name}.npy")
