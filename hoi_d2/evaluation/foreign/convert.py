"""Any result file of another code base as columns: the code behind `hoi-d2 convert-results`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hoi_d2.data.datasets.records import read_json
from hoi_d2.evaluation.foreign.forms import PPDM, UPT_MAT, VCOCO_PICKLE, form_on_disk, is_ppdm
from hoi_d2.evaluation.foreign.ppdm import read_ppdm
from hoi_d2.evaluation.foreign.upt_mat import read_upt_mat
from hoi_d2.evaluation.foreign.vcoco_pickle import read_vcoco_pickle
from hoi_d2.evaluation.results import HOIResults, ResultFormatError


@dataclass(frozen=True, eq=False)
class Converted:
    """A result file of another code base.

    Args:
        form: its form, in words.
        dataset: `hico_det` or `vcoco`.
        results: its rows.
        notes: what was assumed, and what could not be kept.
    """

    form: str
    dataset: str
    results: HOIResults
    notes: Sequence[str]


def convert_results(
    path: str | Path, *, dataset: str = "", first_verb: int | None = None
) -> Converted:
    """Reads a file or folder of a known form.

    Args:
        path: JSON of PPDM, QPIC or CDN; UPT's folder of .mat files; V-COCO's pickle.
        dataset: `hico_det` or `vcoco`, for JSON; "" = by the names of its images.
        first_verb: the number of the first verb in JSON, 0 or 1; None = by its object numbers.

    Raises:
        FileNotFoundError: no such file or folder.
        ResultFormatError, DataFormatError: of no known form, or broken; names the record.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such result file: {path}")
    form = form_on_disk(path)
    if form == UPT_MAT:
        return Converted(form, "hico_det", *read_upt_mat(path))
    if form == VCOCO_PICKLE:
        return Converted(form, "vcoco", *read_vcoco_pickle(path))
    items = [] if path.is_dir() else read_json(path)
    if not is_ppdm(items):
        raise ResultFormatError(
            f"{path}: none of the forms that can be converted: {PPDM}; {UPT_MAT}; {VCOCO_PICKLE}"
        )
    return Converted(PPDM, *read_ppdm(items, str(path), dataset, first_verb))
