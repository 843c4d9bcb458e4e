"""The forms of annotations: JSON, odgt and MATLAB, exports of labelling tools, stored boxes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from data_forms import mpii, struct, struct_array, upt_hico_det
from scipy.io import savemat
from test_converters import CVAT, label_studio
from test_hico_det import qpic_record
from test_hoi_json import document
from test_vcoco import odgt_line, official, qpic, upt

from hoi_d2.data.converters.cvat import convert_cvat
from hoi_d2.data.converters.document import DocumentBuilder
from hoi_d2.data.converters.label_studio import convert_label_studio
from hoi_d2.data.dataset import open_dataset
from hoi_d2.data.datasets.detections import read_detections
from hoi_d2.data.datasets.hoi_json import load_hoi_json
from hoi_d2.data.validation import validate_file
from hoi_d2.data.vocabulary import coco_objects
from hoi_d2.modeling.entity_detector.stored_boxes import _from_detections
from hoi_d2.utils.user_errors import UserError, printable
from tests.fuzz.checks import check_dataset, interactions_in
from tests.fuzz.form import Form
from tests.fuzz.matlab import kept_parser

LABELS = "labels.json"
COCO = "coco.json"


def annotations(kind: str, *, coco: str = "", labels: str = "") -> Callable[[Path], None]:
    """A reader as `hoi-d2 data validate` and `open_dataset` are.

    Args:
        kind: the format.
        coco: COCO's file beside official labels; the damaged one is the labels.
        labels: official labels beside COCO's file, which is the damaged one.
    """

    def read(path: Path) -> None:
        main, *others = _files(path, coco, labels)
        report = validate_file(main, coco_annotations=others)
        json.dumps(report.as_dict())
        for problem in report.problems:
            printable(str(problem)).encode()
        try:
            options = {"split": "test"} if path.suffix == ".mat" else {}
            found = open_dataset(main, file_format=kind, coco_annotations=others, **options)
        except UserError:
            assert not report.is_sound or kind in ("hico", "mpii"), "it is sound and cannot be read"
            raise
        check_dataset(found)
        if path.suffix != ".mat" and not labels:  # nothing is lost silently
            count = sum(len(r["hoi_annotations"]) for r in found.records)
            assert count == interactions_in(path.read_text(encoding="utf-8-sig"))

    return read


def _files(path: Path, coco: str, labels: str) -> list[Path]:
    if labels:
        return [path.with_name(labels), path]
    return [path, path.with_name(coco)] if coco else [path]


def _beside_official(folder: Path) -> None:
    labels, coco = official()
    (folder / LABELS).write_text(json.dumps(labels))
    (folder / COCO).write_text(json.dumps(coco))


def _as_lines(value: Any, rng: Random) -> bytes:
    return "\n".join(map(json.dumps, value if isinstance(value, list) else [value])).encode()


def hoi_a() -> list[dict]:
    """HOI-A in QPIC's form, which is named."""
    return [qpic_record(file_name="trainval_000007.png", img_id=7)]


def hico_odgt() -> list[dict]:
    """HICO-DET as HoiTransformer's file has it, two lines."""
    boxes = [{"tag": "person", "box": [10, 10, 50, 90]}, {"tag": "bicycle", "box": [1, 5, 8, 6]}]
    pair = {"subject_id": 0, "object_id": 1, "interaction": "sit on", "category_id": 88}
    record = {"hico_image_name": "HICO_train2015_00000007.jpg", "width": 640, "height": 480}
    record |= {"gtboxes": boxes, "hoi": [pair]}
    return [record, record | {"hico_image_name": "HICO_train2015_00000008.jpg"}]


# --- MATLAB --------------------------------------------------------------------------------------


def _cell(values: Sequence[Any]) -> np.ndarray:
    array = np.empty((len(values), 1), dtype=object)
    array[:, 0] = values
    return array


def hico_det_mat() -> dict:
    """`anno_bbox.mat`: two images, one with a pair and an HOI without a visible one."""

    def boxes(box: list[float]) -> np.ndarray:
        return struct_array([struct(x1=box[0], x2=box[2], y1=box[1], y2=box[3])])

    nothing = np.zeros((0, 0))
    pair = {"bboxhuman": boxes([1, 2, 30, 40]), "bboxobject": boxes([20, 9, 60, 50])}
    pairs = struct(id=153, **pair, connection=np.array([[1, 1]], dtype=np.uint8), invis=0)
    absent = struct(id=1, bboxhuman=nothing, bboxobject=nothing, connection=nothing, invis=1)
    shape = struct(width=64, height=56, depth=3)
    images = [
        struct(filename=f"HICO_test2015_{i:08d}.jpg", size=shape, hoi=struct_array([pairs, absent]))
        for i in (1, 2)
    ]
    return {"bbox_test": struct_array(images)}


def hico_mat() -> dict:
    """`anno.mat`: labels of three images."""
    labels = np.full((600, 3), np.nan)
    labels[:4, 0] = [1, 0, -1, np.nan]
    names = _cell([f"HICO_test2015_{i:08d}.jpg" for i in (4, 9, 2)])
    return {"anno_test": labels, "list_test": names}


def mpii_mat() -> dict:
    """MPII's release: three images."""
    acts = [struct(cat_name="sports", act_name=n, act_id=i) for i, n in ((7, "ski"), (3, "yoga"))]
    images = [struct(image=struct(name=f"0{i}5.jpg"), annorect=np.zeros((0, 0))) for i in range(3)]
    acts.append(struct(cat_name="sports", act_name=np.zeros((0, 0)), act_id=-1))
    fields = {"annolist": struct_array(images), "img_train": np.array([[1, 1, 1]])}
    return {"RELEASE": struct(**fields, act=struct_array(acts).reshape(-1, 1))}


def as_mat(value: Any, rng: Random) -> bytes:
    """A .mat file; most are not compressed, so that changed bytes change what is in it."""
    file = BytesIO()
    savemat(file, value, do_compression=rng.random() < 0.2)
    return file.getvalue()


ODD_ARRAYS = (
    *(np.zeros((0, 0)), np.zeros((3, 0)), np.array([[np.nan]]), np.array([[1 + 2j]])),
    *(np.array([[2**62]]), np.array([["text"]]), np.zeros((2, 2, 2)), np.array([[True]])),
    *(_cell(["a", 1]), _cell([]), struct(a=1), np.full((600, 3), 7.0), np.array([[-(2**31)]])),
)


def mat_form(name: str, file: str, kind: str, sample: Callable[[], dict]) -> Form:
    """A form of MATLAB, parsed in a process that stays, so that scipy is imported once."""
    read = kept_parser(annotations(kind))
    return Form(name, file, lambda: [sample()], read, as_mat, odd=ODD_ARRAYS, suite=25)


# --- tools and stored boxes ----------------------------------------------------------------------


def exports(convert: Callable) -> Callable[[Path], None]:
    """A reader as `hoi-d2 data convert` is."""

    def read(path: Path) -> None:
        builder = DocumentBuilder(persons=["man", "woman"])
        convert(path, builder)
        for line in (*builder.left_out, *builder.notes):
            printable(line).encode()
        written = path.with_name(f"{path.name}.out.json")
        written.write_text(json.dumps(builder.document()), encoding="utf-8")
        load_hoi_json(written)

    return read


def cvat_bytes(value: Any, rng: Random) -> bytes:
    """An export as nested lists [tag, attributes, text, members] -> XML."""
    from xml.etree import ElementTree

    def element(item: list) -> ElementTree.Element:
        tag, attributes, text, members = item
        made = ElementTree.Element(tag, attributes)
        made.text = text
        made.extend(map(element, members))
        return made

    return ElementTree.tostring(element(value), encoding="utf-8")


def cvat_tree() -> list:
    """The export as nested lists."""
    from xml.etree import ElementTree

    def item(e: ElementTree.Element) -> list:
        return [e.tag, dict(e.attrib), e.text or "", [item(member) for member in e]]

    return item(ElementTree.fromstring(CVAT.encode()))


CVAT_WORDS = (b"&lol;", b"<!DOCTYPE a [<!ENTITY lol 'x'>]>", b"<!ENTITY x SYSTEM '/etc/passwd'>")
CVAT_WORDS += (b"<image>", b"</image>", b'xtl="', b"1e400", b"nan", b"<points/>", b"<mask/>")
CVAT_WORDS += (b"ride:7; hold:9", b'group_id="2"', b"&#0;", b"<![CDATA[", b'rotation="45"')


def coco_results() -> list[dict]:
    return [
        {"image_id": 7, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5},
        {"image_id": 9, "category_id": 2, "bbox": [1, 2, 30.5, 40], "score": 1},
    ]


def coco_annotations() -> dict:
    boxes = [{k: v for k, v in row.items() if k != "score"} for row in coco_results()]
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}]
    return {"images": [{"id": 7}, {"id": 9}], "annotations": boxes, "categories": categories}


def read_stored_boxes(path: Path) -> None:
    """As `MODEL.ENTITY_DETECTOR.PRECOMPUTED.FILE` is read."""
    found = read_detections(path, dict(enumerate(("N/A", *coco_objects()))))
    stored = _from_detections(str(path), found, coco_objects())
    for boxes in stored.boxes.values():
        assert np.isfinite([b[0] for b in boxes]).all()
        assert all(0 <= b[2] <= 1 and b[1] in range(80) for b in boxes)


ODD_LABELS = ("ride", "bicycle", "relation", "rectanglelabels", "left", "bi", 359.9, "brushlabels")

FORMS = [
    Form("own data", "x.json", lambda: [document()], annotations("hoi_json")),
    Form("HICO-DET, QPIC", "x.json", lambda: [[qpic_record()]], annotations("hico_det")),
    Form("HICO-DET, UPT", "x.json", lambda: [upt_hico_det()], annotations("hico_det")),
    Form("HICO-DET, odgt", "x.odgt", lambda: [hico_odgt()], annotations("hico_det"), _as_lines),
    mat_form("HICO-DET, anno_bbox.mat", "anno_bbox.mat", "hico_det", hico_det_mat),
    mat_form("HICO, anno.mat", "anno.mat", "hico", hico_mat),
    Form("MPII, JSON", "x.json", lambda: [mpii()], annotations("mpii")),
    mat_form("MPII, .mat", "mpii.mat", "mpii", mpii_mat),
    Form(
        "V-COCO, official",
        LABELS,
        lambda: [official()[0]],
        annotations("vcoco", coco=COCO),
        beside=_beside_official,
    ),
    Form(
        "V-COCO, COCO's file",
        COCO,
        lambda: [official()[1]],
        annotations("vcoco", labels=LABELS),
        beside=_beside_official,
    ),
    Form("V-COCO, QPIC", "x.json", lambda: [qpic()], annotations("vcoco")),
    Form("V-COCO, UPT", "x.json", lambda: [upt()], annotations("vcoco")),
    Form("V-COCO, odgt", "x.odgt", lambda: [[odgt_line()]], annotations("vcoco"), _as_lines),
    Form("HOI-A, QPIC", "x.json", lambda: [hoi_a()], annotations("")),
    Form(
        "Label Studio",
        "x.json",
        lambda: [label_studio()],
        exports(convert_label_studio),
        odd=ODD_LABELS,
    ),
    Form(
        "CVAT",
        "x.xml",
        lambda: [cvat_tree(), CVAT.encode()],
        exports(convert_cvat),
        cvat_bytes,
        words=CVAT_WORDS,
    ),
    Form("stored boxes, results", "x.json", lambda: [coco_results()], read_stored_boxes),
    Form("stored boxes, COCO", "x.json", lambda: [coco_annotations()], read_stored_boxes),
]
