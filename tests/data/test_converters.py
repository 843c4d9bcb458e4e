from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hoi_d2.data.converters.cvat import convert_cvat
from hoi_d2.data.converters.document import DocumentBuilder
from hoi_d2.data.converters.label_studio import convert_label_studio
from hoi_d2.data.datasets.hoi_json import load_hoi_json, read_vocabulary
from hoi_d2.data.datasets.records import DataFormatError

TOOL = Path(__file__).parents[2] / "tools/convert_annotations.py"

# What both exports below say: (human box, object box or None, object, verb), boxes XYXY.
EXPECTED = {
    ((10, 20, 60, 100), (30, 60, 130, 110), "bicycle", "ride"),
    ((10, 20, 60, 100), (30, 60, 130, 110), "bicycle", "hold"),
    ((10, 20, 60, 100), None, None, "wave"),
    ((140, 20, 180, 100), (10, 20, 60, 100), "person", "watch"),
}


def region(name: str, label: str, x: float, y: float, w: float, h: float) -> dict:
    """A box in pixels of a 200 x 120 image, in per cent."""
    value = {"x": x / 2, "y": y / 1.2, "width": w / 2, "height": h / 1.2, "rotation": 0}
    head = {"id": name, "type": "rectanglelabels", "original_width": 200, "original_height": 120}
    return head | {"image_rotation": 0, "value": value | {"rectanglelabels": [label]}}


def relation(start: str, end: str, labels: list[str], direction: str = "right") -> dict:
    ends = {"from_id": start, "to_id": end, "direction": direction, "labels": labels}
    return {"type": "relation"} | ends


def label_studio() -> list[dict]:
    result = [
        region("p", "man", 10, 20, 50, 80),
        region("b", "bicycle", 30, 60, 100, 50),
        region("q", "woman", 140, 20, 40, 80),
        relation("p", "b", ["ride"]),
        relation("b", "p", ["hold"]),  # drawn from the object: the person is the one who acts
        relation("p", "p", ["wave"]),
        relation("p", "q", ["watch"], direction="left"),
    ]
    address = "/data/upload/3/0a1b2c3d-street%20one.jpg"
    empty = {"data": {"image": "/data/local-files/?d=two.jpg"}, "annotations": []}
    cancelled = {"was_cancelled": True, "result": []}
    done = {"was_cancelled": False, "result": result}
    return [{"id": 7, "data": {"image": address}, "annotations": [cancelled, done]}, empty]


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
 <image id="0" name="street one.jpg" width="200" height="120">
  <box label="man" xtl="10" ytl="20" xbr="60" ybr="100" group_id="1">
   <attribute name="id">1</attribute><attribute name="interactions">hold:2; wave</attribute></box>
  <box label="bicycle" xtl="30" ytl="60" xbr="130" ybr="110" group_id="1">
   <attribute name="id">2</attribute><attribute name="verb">ride</attribute></box>
  <box label="woman" xtl="140" ytl="20" xbr="180" ybr="100">
   <attribute name="interactions">watch:1</attribute></box>
 </image>
 <image id="1" name="two.jpg" width="200" height="120"></image>
</annotations>"""


def write(tmp_path, tool: str, content: object) -> Path:
    file = tmp_path / ("export.json" if tool == "label_studio" else "annotations.xml")
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def convert(file: Path, **options) -> dict:
    builder = DocumentBuilder(persons=["man", "woman"], **options)
    (convert_label_studio if file.suffix == ".json" else convert_cvat)(file, builder)
    return builder.document()


def facts(file: Path) -> set[tuple]:
    vocabulary, found = read_vocabulary(file), set()
    for record in load_hoi_json(file):
        entities = record["annotations"]
        for pair in record["hoi_annotations"]:
            boxes = [tuple(round(v, 2) for v in e["bbox"]) for e in entities]
            target, verb = pair["object"], vocabulary.verbs[pair["verb"]]
            name = vocabulary.objects[entities[target]["category_id"]] if target >= 0 else None
            box = boxes[target] if target >= 0 else None
            found.add((boxes[pair["human"]], box, name, verb))
    return found


@pytest.mark.parametrize(("tool", "content"), [("label_studio", []), ("cvat", "<annotations/>")])
def test_empty_export(tmp_path, tool, content):
    document = convert(write(tmp_path, tool, content))
    assert document["images"] == document["hoi_annotations"] == []
    assert document["categories"] == [{"id": 1, "name": "person"}]


@pytest.mark.parametrize(("tool", "content"), [("label_studio", label_studio()), ("cvat", CVAT)])
def test_export_of_each_tool(tmp_path, write_json, tool, content):
    document = convert(write(tmp_path, tool, content))
    file = write_json(document, "out.json")
    assert facts(file) == EXPECTED
    assert len(document["hoi_annotations"]) == len(EXPECTED)
    records = load_hoi_json(file)
    assert [r["file_name"] for r in records] == ["street one.jpg", "two.jpg"]
    assert (records[0]["width"], records[0]["height"]) == (200, 120)
    assert [c["name"] for c in document["categories"]] == ["person", "bicycle"]
    assert read_vocabulary(file).verbs == ("hold", "ride", "watch", "wave")


def test_classes_of_an_earlier_file_come_first(tmp_path):
    earlier = {"categories": [{"id": 5, "name": "car"}, {"id": 6, "name": "person"}]}
    earlier["verb_categories"] = [{"id": 1, "name": "wave"}]
    document = convert(write(tmp_path, "cvat", CVAT), classes_from=earlier)
    assert [c["name"] for c in document["categories"]] == ["car", "person", "bicycle"]
    assert [v["name"] for v in document["verb_categories"]] == ["wave", "hold", "ride", "watch"]


def changed(index: int, **changes) -> list[dict]:
    tasks = label_studio()
    tasks[0]["annotations"][1]["result"][index] |= changes
    return tasks


BROKEN = [
    ("label_studio", changed(0, value={"x": "1", "rectanglelabels": ["man"]}), "result[0].value"),
    ("label_studio", changed(1, original_width=100), "original_width"),
    ("label_studio", changed(3, to_id="z"), "result[3]"),
    ("label_studio", changed(3, labels=[]), "verbs"),
    ("label_studio", [{"id": 7, "data": {"text": "hello"}}], "task 7"),
    ("label_studio", {"a": 1}, "a list"),
    ("cvat", CVAT.replace('xbr="60"', 'xbr="x"'), "image 0"),
    ("cvat", CVAT.replace("hold:2", "hold:9"), "hold:9"),
    ("cvat", CVAT.replace('label="man"', 'label="dog"'), "person"),
    ("cvat", CVAT.replace('name="verb"', 'name="color"'), "group 1"),
    ("cvat", CVAT.replace('width="200"', 'width="wide"', 1), "width, height"),
    ("cvat", CVAT[:-20], "valid XML"),
    ("cvat", '<!DOCTYPE a [<!ENTITY b "b">]><annotations/>', "document type"),
    ("cvat", "<annotations><track/></annotations>", "for images"),
]


@pytest.mark.parametrize(("tool", "content", "expected"), BROKEN, ids=[b[2] for b in BROKEN])
def test_broken_export_is_named(tmp_path, tool, content, expected):
    file = write(tmp_path, tool, content)
    with pytest.raises(DataFormatError) as error:
        convert(file)
    assert expected in str(error.value)
    assert file.name in str(error.value)


def test_tool(tmp_path):
    file, output = write(tmp_path, "cvat", CVAT), tmp_path / "new/out.json"
    command = [sys.executable, str(TOOL), "cvat", str(file), "--output", str(output)]
    command += ["--person", "man", "woman"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 images" in done.stdout
    assert facts(output) == EXPECTED
    failed = subprocess.run([*command[:-2], "driver"], capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "--person" in failed.stderr
