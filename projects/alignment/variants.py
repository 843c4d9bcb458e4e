"""The ways to align that are compared: names, and the options of the config that make them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from hoi_d2.config.load import load_config

CML = "MODEL.RMLR.CML"
CONFIG = Path(__file__).parent / "layout.yaml"
LEVELS = {"sentence": (1.0, 0.0), "word": (0.0, 1.0), "both": (1.0, 1.0), "cls": (1.0, 0.0)}
PLACES = {
    "output": [f"{CML}.IRM_VECTORS", "output", f"{CML}.FEEDS_IRM", False],
    "output+input": [f"{CML}.IRM_VECTORS", "output", f"{CML}.FEEDS_IRM", True],
    "input": [f"{CML}.IRM_VECTORS", "input", f"{CML}.FEEDS_IRM", True],
    "beside": [f"{CML}.IRM_VECTORS", "input", f"{CML}.FEEDS_IRM", False],
}
STEPS_AN_EPOCH = 530  # of 64 of the images that are trained on


@dataclass(frozen=True)
class Variant:
    """One way to align.

    Attributes:
        level: a key of `LEVELS`; "none": no cross-modal learning; "layers": the self-attention
            that the IRM reads with `place` "input", and no text.
        attention: `CROSS_ATTENTION`: "mean", "fixed", "learnt" or "layer".
        place: a key of `PLACES`: which vectors L^m is about, and whether the IRM reads them.
        text: "MiniLM"; the others for the level "sentence" alone. "centred": as
            MODEL.CLASSIFIER.ROWS. "factor": a random vector of the object and one of the verb,
            which has no meaning.
        schedule: of the weight, from the first to the last step: "constant", or "falling" to 0.
        weight: of each L1 term; the largest one of a schedule.
        steps: of 64 images.
        share: of the images that are trained on.
    """

    level: str = "both"
    attention: str = "fixed"
    place: str = "output"
    text: str = "MiniLM"
    schedule: str = "constant"
    weight: float = 0.3
    steps: int = 2 * STEPS_AN_EPOCH
    share: float = 1.0

    @property
    def aligns(self) -> bool:
        """Whether it has a text."""
        return self.level in LEVELS

    @property
    def name(self) -> str:
        """Of its files."""
        length = f"{self.steps}-{self.share:g}"
        if not self.aligns:
            return f"{self.level}-{length}"
        words = (self.level, self.attention, self.place, self.text, self.schedule)
        return "-".join([*words, f"{self.weight:g}", length])

    def options(self) -> list[Any]:
        """Of the config."""
        length = ["SOLVER.MAX_ITER", self.steps]
        if self.level == "none":
            return [f"{CML}.ENABLED", False, *length]
        weights = (self.weight * w for w in LEVELS.get(self.level, (0.0, 0.0)))
        keys = (f"{CML}.SENTENCE_IRM_WEIGHT", f"{CML}.WORD_IRM_WEIGHT")
        of_weights = [x for pair in zip(keys, weights) for x in pair]
        pooling = ["MODEL.LANGUAGE.POOLING", "cls" if self.level == "cls" else "mean"]
        place = PLACES["input" if self.level == "layers" else self.place]
        return [*of_weights, f"{CML}.CROSS_ATTENTION", self.attention, *place, *pooling, *length]

    def config(self) -> CfgNode:
        """The project's config with these options."""
        return load_config(CONFIG, ["MODEL.DEVICE", "cpu", *self.options()])

    def factor(self, step: int) -> float:
        """Of the weight at a step, 0..1."""
        done = step / self.steps
        return {"constant": 1.0, "falling": 1.0 - done}[self.schedule]


NONE = Variant("none")
