"""The table of docs/evaluation.md: our figures next to those of the official tools.

    HOI_D2_TEST_DATA=FOLDER python tests/evaluation/equality_table.py

FOLDER holds `reference/` (detections and the tools' figures for them) and the annotations.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.datasets.vcoco import load_vcoco
from hoi_d2.data.vocabulary import hico_det_rare_hois, hico_det_vocabulary, vcoco_vocabulary
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.evaluation.results_check import check_results
from hoi_d2.evaluation.scorers import HICODetScorer, Scored, VCOCOScorer


class Row(NamedTuple):
    """A figure in percent, ours and the reference's, which has so many decimals."""

    name: str
    ours: float
    reference: float
    decimals: int

    @property
    def equal(self) -> bool:
        """Whether ours, rounded as the reference is, is the reference."""
        return self.difference == 0

    @property
    def difference(self) -> float:
        """Of the rounded figures."""
        return round(self.ours, self.decimals) - round(self.reference, self.decimals)


def expected(folder: Path, file: str, tool: str) -> dict[str, Any]:
    """The block of `expected.json` whose title begins with a tool's name."""
    blocks = json.loads((folder / "reference" / "expected.json").read_text())[file]
    return next(block for title, block in blocks.items() if title.startswith(tool))


def score_hico_det(
    folder: Path, *, annotations: str = "instances_test2015.json", **options: Any
) -> Scored:
    """The large reference file, scored."""
    scorer = HICODetScorer(
        load_hico_det(folder / "hico_det" / annotations),
        hico_det_vocabulary(),
        rare_hois=hico_det_rare_hois(),
        **options,
    )
    return scorer.score(read_results(folder / "reference" / "hico_det_results.npz"))


def hico_det_rows(folder: Path) -> Iterator[Row]:
    """The official rule, both settings: means, and the worst of 600 classes."""
    scored = score_hico_det(folder, image_labels_file=folder / "hico_det" / "anno.mat")
    means = expected(folder, "hico_det_results.npz", "official")
    with np.load(folder / "reference" / "hico_det_ap_official.npz") as official:
        per_class = official["AP"]
    for column, setting in enumerate(("default", "known_object")):
        for group, value in means[f"mAP_{setting}"].items():
            name = f"mAP_{setting}_{group}"
            yield Row(f"HICO-DET official, {name}", scored.metrics[name], value, 4)
        ours = getattr(scored.details, f"ap_{setting}")
        worst = int(np.argmax(np.abs(ours - per_class[:, column])))
        pair = 100 * ours[worst], 100 * per_class[worst, column]
        yield Row(f"HICO-DET official, {setting}, worst of 600 classes", *pair, 10)


def peer_rows(folder: Path) -> Iterator[Row]:
    """QPIC's and CDN's own tools."""
    for protocol in ("qpic", "cdn"):
        scored = score_hico_det(folder, annotations="test_hico.json", protocol=protocol)
        means = expected(folder, "hico_det_results.npz", protocol)["mAP_default"]
        for group, value in means.items():
            name = f"mAP_default_{group}"
            yield Row(f"HICO-DET {protocol}, {name}", scored.metrics[name], value, 5)


def subset_rows(folder: Path) -> Iterator[Row]:
    """500 images, means over the classes that are annotated in them (UPT's meter)."""
    results = read_results(folder / "reference" / "hico_det_results_500.npz")
    wanted = set(results.image_ids.tolist())
    records = load_hico_det(folder / "hico_det" / "instances_test2015.json")
    records = [r for r in records if r["image_id"] in wanted]
    hois = sorted({p["hoi"] for r in records for p in r["hoi_annotations"]})
    scorer = HICODetScorer(
        records, hico_det_vocabulary(), rare_hois=hico_det_rare_hois(), evaluated_hois=hois
    )
    metrics = scorer.score(results).metrics
    (means,) = expected(folder, "hico_det_results_500.npz", "UPT").values()
    for group, value in means.items():
        name = f"mAP_default_{group}"
        yield Row(f"HICO-DET 500 images, {name}", metrics[name], value, 4)


def score_vcoco(folder: Path) -> Scored:
    """The V-COCO reference, scored."""
    files = folder / "reference" / "vcoco_train"
    records = load_vcoco(
        files / "vcoco_train.json",
        coco_annotations=files / "instances_vcoco_all_2014.json",
        image_ids=files / "vcoco_train.ids",
    )
    scorer = VCOCOScorer(records, vcoco_vocabulary())
    assert not scorer.warnings, scorer.warnings
    results = read_results(files / "results.npz")
    results, _ = check_results(results, vcoco_vocabulary(), scorer.image_ids)
    return scorer.score(results)


def vcoco_class_rows(folder: Path, scored: Scored | None = None) -> Iterator[Row]:
    """All actions and action-roles; the official tool prints two decimals."""
    scored = scored or score_vcoco(folder)
    scores = scored.details
    official = expected(folder, "vcoco_train/results.npz", "official")
    for action, name in enumerate(scores.actions):
        value = official["agent"]["AP"][name]
        yield Row(f"V-COCO agent, {name}", 100 * scores.agent[action], value, 2)
    for number in (1, 2):
        ap, values = official[f"role_scenario_{number}"]["AP"], getattr(scores, f"role_s{number}")
        for verb, name in enumerate(vcoco_vocabulary().verbs):
            if not np.isnan(values[verb]):
                title = "-".join(name.rsplit("_", 1))
                yield Row(f"V-COCO role S{number}, {name}", 100 * values[verb], ap[title], 2)


def vcoco_mean_rows(folder: Path, scored: Scored | None = None) -> Iterator[Row]:
    """Means; the reference's are means of the two printed decimals, and so are ours here."""
    rows = list(vcoco_class_rows(folder, scored))
    means = expected(folder, "vcoco_train/results.npz", "official")["mean"]
    for name, title, without in (
        ("agent_26", "V-COCO agent", ""),
        ("role_s1_24", "V-COCO role S1", "point_instr"),
        ("role_s1_25", "V-COCO role S1", ""),
        ("role_s2_24", "V-COCO role S2", "point_instr"),
        ("role_s2_25", "V-COCO role S2", ""),
    ):
        chosen = [r for r in rows if r.name.startswith(f"{title},")]
        chosen = [r.ours for r in chosen if not without or not r.name.endswith(without)]
        mean = float(np.mean(np.round(chosen, 2)))
        yield Row(f"V-COCO mean of {name}", mean, means[name], 4)


def main() -> int:
    """Prints the table; returns 1 if a figure differs."""
    folder = Path(os.environ["HOI_D2_TEST_DATA"])
    rows = [*hico_det_rows(folder), *peer_rows(folder), *subset_rows(folder)]
    scored = score_vcoco(folder)
    classes = list(vcoco_class_rows(folder, scored))
    worst = max(classes, key=lambda row: abs(row.difference))
    rows += vcoco_mean_rows(folder, scored)
    rows += [worst._replace(name=f"{worst.name} (worst of {len(classes)} classes)")]
    print("| figure | ours | reference | difference |")
    print("|---|---|---|---|")
    for row in rows:
        ours, reference = (f"{v:.{row.decimals}f}" for v in (row.ours, row.reference))
        print(f"| {row.name} | {ours} | {reference} | {row.difference:g} |")
    return int(not all(row.equal for row in [*rows, *classes]))


if __name__ == "__main__":
    sys.exit(main())
