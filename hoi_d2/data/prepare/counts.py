"""Published numbers of each split, and how the files on disk compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

_SHA256 = """
4294509b297649bc02ba9e17a9760b78d3f1f9866f90fa5e42619a9104138f06  anno.mat
cfeaefcc1e006a0d7d205dfba95ac6614341995d18613e016ae650d278757daa  instances_test2015.json
ccbe12875abb459692d85d2366381240bc883e5fdc22cf15610ea524de062326  instances_vcoco_test.json
712cb26acd8123089667c310f3b36f85ceb6a022626233d3138c34029a64b0ab  instances_vcoco_train.json
a9cd182d9fe4574e6743e43a40367fe524bab08d9cb56377f9be98bc7430d272  instances_vcoco_trainval.json
be8ff0b360f8dbb7023eb4b2a8b42afa13dba588ec009b1905a18a9ad2efd24c  instances_vcoco_val.json
9b9ea6a9721024c505cb5823bb5f3cc39fb2240206fded4a3e1536ae78e20f7a  test_hico.json
29e3522b6b60d89e13c3187f948aff3ccd3ce53473102847e46646ed1532fc8b  trainval_hico.json
2267afe7adc0a6c3e8ac90fb35f6d3a5bd5cd3c7edebf0622d0cbb7a67fddf19  vcoco_train.json
2025bf42ce985a079ad88fd052aba47d85f1531c5b04a95804427c8bcb75eedd  vcoco_val.json
"""
KNOWN_SHA256 = {
    name: value for value, name in (line.split() for line in _SHA256.split("\n") if line)
}
"""Checksums of published annotation files (HICO's `anno.mat`: the one of 20160224_det)."""


@dataclass(frozen=True)
class Expected:
    """Published numbers of one split.

    Args:
        images: files in the image folder.
        annotated: images with at least one visible pair.
        interactions: rows of (human, verb, object) with a visible object; None = depends on the
            file format.
    """

    images: int
    annotated: int
    interactions: int | None


EXPECTED = {
    "hico_det_train": Expected(38118, 37633, 117871),
    "hico_det_test": Expected(9658, 9546, 33405),
    "vcoco_train": Expected(2533, 2336, 6400),
    "vcoco_val": Expected(2867, 2633, 7417),
    "vcoco_trainval": Expected(5400, 4969, 13817),
    "vcoco_test": Expected(4946, 4532, 12402),
}
"""Published counts of each split; tests/data/test_prepare.py counts them in the real files.

V-COCO's are those of the UPT form: without role-less actions, missing objects and `point`."""

WHY_HICO_DET_DIFFERS = (
    "HICO-DET has 38,118 training images, of which 37,633 are in most training files: the other "
    "485 have image-level labels, but no interaction with a box (the official file marks all of "
    "theirs `invis`). The same holds for 112 of the 9,658 test images; those do count in the "
    "official metric, because what is detected in them is wrong, so hico_det_test has all 9,658."
)


@dataclass(frozen=True)
class Found:
    """Counts of the files of one split that are on disk."""

    images: int
    annotated: int
    interactions: int

    @classmethod
    def of(cls, records: Sequence[dict], point: int | None = None) -> Found:
        """Counts dataset dicts, without the verb `point`."""
        visible = [
            sum(p["object"] >= 0 and p["verb"] != point for p in r["hoi_annotations"])
            for r in records
        ]
        images = sum(Path(r["file_name"]).is_file() for r in records)
        return cls(images, sum(v > 0 for v in visible), sum(visible))


def count_table(found: dict[str, Found]) -> str:
    """Returns a table that compares the counts on disk with the published ones."""
    rows = []
    for name, counts in found.items():
        expected = EXPECTED[name]
        for key in ("images", "annotated", "interactions"):
            here, there = getattr(counts, key), getattr(expected, key)
            verdict = "" if there is None else "ok" if here == there else "differs"
            rows.append([name, key, here, there, verdict])
    return tabulate(rows, headers=["split", "count", "found", "published", ""], intfmt=",")
