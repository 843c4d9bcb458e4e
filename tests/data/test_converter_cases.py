"""Exports that users make: what becomes of each, by the command as they call it."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path

import pytest
from cases import case
from test_converters import region, relation

from hoi_d2.commands.main import main
from hoi_d2.data.converters.label_studio_names import file_name
from hoi_d2.data.converters.shapes import box_of_brush, box_of_ellipse, box_of_turned_rectangle

PERSON, BICYCLE = [64, 48, 128, 288], [160, 144, 192, 144]
RIDE = ("person", "ride", "bicycle")

# file -> interactions, boxes by label and image names of the document
CONVERTED = [
    ("label_studio/ls_bi.json", {("person", "hug", "person")}, {}, ["street.jpg"]),
    ("label_studio/ls_caption_with_dot.json", {RIDE}, {"person": PERSON}, ["street.jpg"]),
    ("label_studio/ls_float_size.json", {RIDE}, {"bicycle": BICYCLE}, ["street.jpg"]),
    ("label_studio/ls_polygon_no_relation.json", set(), {"person": PERSON}, ["street.jpg"]),
    ("label_studio/ls_polygon_person.json", {RIDE}, {"person": PERSON}, ["street.jpg"]),
    ("label_studio/ls_rectangle_plus_labels.json", {RIDE}, {"person": PERSON}, ["street.jpg"]),
    ("label_studio/ls_rot90.json", {RIDE}, {"person": [96, 48, 96, 384]}, ["street.jpg"]),
    ("label_studio/ls_s3.json", {RIDE}, {}, ["day1/0001.jpg", "day2/0001.jpg"]),
    ("label_studio/ls_two_folders_same_name.json", {RIDE}, {}, ["camA/0001.jpg", "camB/0001.jpg"]),
    ("cvat/attr_named_Interactions.xml", {RIDE}, {"bicycle": BICYCLE}, ["street.jpg"]),
    ("cvat/g_both_verbs.xml", {RIDE, ("person", "hold", "bicycle")}, {}, ["street.jpg"]),
    ("cvat/g_person_verb.xml", {("person", "eat", "apple")}, {}, ["street.jpg"]),
    ("cvat/g_person_action.xml", {("person", "eat", "apple")}, {}, ["street.jpg"]),
    ("cvat/polygon_object.xml", {RIDE}, {"bicycle": BICYCLE}, ["street.jpg"]),
    ("cvat/group_in_polygon.xml", {RIDE}, {"bicycle": BICYCLE}, ["street.jpg"]),
    ("cvat/polygon_all_no_inter.xml", set(), {"bicycle": [5, 6, 3, 4]}, ["street.jpg"]),
    ("cvat/interactions_undefined_default.xml", set(), {"person": PERSON}, ["street.jpg"]),
    ("cvat/rotation360.xml", {RIDE}, {"person": PERSON}, ["street.jpg"]),
]
# file -> exit code and what is said
REFUSED = [
    (
        "label_studio/ls_image_rotation90.json",
        1,
        ["result[0] (person)", "90 degrees", "2 left out"],
    ),
    ("label_studio/ls_prediction_only.json", 1, ["task 1", "predictions", "1 left out"]),
    ("label_studio/ls_rectangle_plus_labels_norel.json", 1, ["without a label", "1 left out"]),
    ("label_studio/ls_coco_export.json", 2, ["COCO", 'the export "JSON"']),
    ("label_studio/ls_json_min.json", 2, ["JSON-MIN", 'the export "JSON"']),
    ("label_studio/ls_zero_width.json", 2, ["task 1: result[1]", "bicycle with an area"]),
    ("hostile/label_studio_value_text.json", 2, ["task 7: result[0]"]),
    ("hostile/label_studio_width_list.json", 2, ["task 7: result[0]"]),
    ("cvat/dup_id.xml", 2, ["box[2]: attribute id = '2'", "box[1] has the same"]),
    ("cvat/verb_with_colon_only.xml", 2, ["'ride:'", "attribute `id`"]),
    ("cvat/tag_only.xml", 1, ["tag[0] (ride)", "1 left out"]),
    ("hostile/cvat_5000_digits.xml", 2, ["image 0 (a.jpg): width, height"]),
]


def convert(file: Path, output: Path, *options: str) -> int:
    tool = "cvat" if file.suffix == ".xml" else "label_studio"
    return main(["data", "convert", tool, str(file), "--output", str(output), *options])


def interactions(document: dict) -> set[tuple]:
    names = {c["id"]: c["name"] for c in document["categories"]}
    verbs = {v["id"]: v["name"] for v in document["verb_categories"]}
    label = {a["id"]: names[a["category_id"]] for a in document["annotations"]} | {None: None}
    return {
        (label[p["human_annotation_id"]], verbs[p["verb_id"]], label[p["object_annotation_id"]])
        for p in document["hoi_annotations"]
    }


def boxes(document: dict) -> dict[str, list[float]]:
    """The first box of each label."""
    names = {c["id"]: c["name"] for c in document["categories"]}
    return {names[a["category_id"]]: a["bbox"] for a in reversed(document["annotations"])}


@pytest.mark.parametrize(
    ("name", "pairs", "some", "images"), CONVERTED, ids=[c[0] for c in CONVERTED]
)
def test_case_is_converted(tmp_path, name, pairs, some, images, capsys):
    output = tmp_path / "out.json"
    assert convert(case(name), output) == 0
    document = json.loads(output.read_text())
    assert interactions(document) == pairs
    assert boxes(document).items() >= some.items()
    assert [i["file_name"] for i in document["images"]] == images
    assert ("no interactions" in capsys.readouterr().err) == (not pairs)


def test_an_arrow_both_ways_is_two_interactions(tmp_path):
    output = tmp_path / "out.json"
    assert convert(case("label_studio/ls_bi.json"), output) == 0
    pairs = json.loads(output.read_text())["hoi_annotations"]
    assert [(p["human_annotation_id"], p["object_annotation_id"]) for p in pairs] == [
        (1, 2),
        (2, 1),
    ]


@pytest.mark.parametrize(("name", "code", "said"), REFUSED, ids=[r[0] for r in REFUSED])
def test_case_is_refused_and_the_earlier_output_stays(tmp_path, name, code, said, capsys):
    output = tmp_path / "out.json"
    output.write_text("earlier")
    assert convert(case(name), output) == code
    error = capsys.readouterr().err
    assert all(words in error for words in said), error
    assert [p.read_text() for p in tmp_path.iterdir()] == ["earlier"]


# --- the same kinds, made here -------------------------------------------------------------------


def label_studio(tmp_path: Path, *results: dict, **task) -> Path:
    head = {"id": 7, "data": {"image": "/data/upload/1/1a2b3c4d-a.jpg"}}
    file = tmp_path / "export.json"
    file.write_text(json.dumps([head | {"annotations": [{"result": list(results)}]} | task]))
    return file


def shape(kind: str, label: str = "bicycle", **value) -> dict:
    """A region of another shape in a 200 x 120 image."""
    head = {"id": "s", "type": kind, "original_width": 200, "original_height": 120}
    return head | {"value": value | {kind: [label]}}


MAN = region("p", "person", 10, 20, 50, 80)
DIAGONAL = math.sqrt(0.5)
SHAPES = [
    # a shape in per cent of 200 x 120, its box [x, y, w, h] in pixels
    (shape("polygonlabels", points=[[10, 10], [30, 20], [20, 50]]), [20, 12, 40, 48]),
    (shape("vectorlabels", vertices=[{"x": 10, "y": 10}, {"x": 30, "y": 20}]), [20, 12, 40, 12]),
    (shape("ellipselabels", x=50, y=50, radiusX=10, radiusY=10), [80, 48, 40, 24]),
    (shape("ellipselabels", x=50, y=50, radiusX=10, radiusY=10, rotation=90), [88, 40, 24, 40]),
    (shape("ellipselabels", x=5, y=50, radiusX=10, radiusY=10), [0, 48, 30, 24]),  # cut
    (shape("rectanglelabels", x=50, y=10, width=20, height=10, rotation=90), [88, 12, 12, 40]),
    (shape("rectanglelabels", x=50, y=50, width=10, height=10, rotation=180), [80, 48, 20, 12]),
    (shape("rectanglelabels", x=50, y=50, width=10, height=10, rotation=-360), [100, 60, 20, 12]),
    (
        shape("rectanglelabels", x=50, y=50, width=10, height=10, rotation=45),
        [100 - 12 * DIAGONAL, 60, 32 * DIAGONAL, 32 * DIAGONAL],
    ),
]


@pytest.mark.parametrize(("drawn", "box"), SHAPES, ids=range(len(SHAPES)))
def test_label_studio_shapes(tmp_path, drawn, box):
    file, output = label_studio(tmp_path, MAN, drawn, relation("s", "p", ["hold"])), tmp_path / "o"
    assert convert(file, output) == 0
    document = json.loads(output.read_text())
    assert boxes(document)["bicycle"] == pytest.approx(box, abs=1e-3)
    assert interactions(document) == {("person", "hold", "bicycle")}


UNSUPPORTED = [
    (shape("keypointlabels", x=5, y=5, width=1), "a key point has no box"),
    (shape("timeserieslabels", start=1), "the shape 'timeseries' has no box"),
    (shape("bitmasklabels", imageDataURL="data:"), "a bit mask"),
    (shape("brushlabels", format="rle"), "a mask without `rle`"),
    (shape("polygonlabels", points=[[1, 1]]) | {"image_rotation": 270}, "turned by 270 degrees"),
    ({**shape("rectangle", x=1, y=1, width=5, height=5)}, "a rectangle without a label"),
]


@pytest.mark.parametrize(("drawn", "why"), UNSUPPORTED, ids=[u[1] for u in UNSUPPORTED])
def test_what_cannot_become_a_box_is_left_out_if_asked(tmp_path, drawn, why, capsys):
    drawn["value"].pop("rectangle", None)
    results = [MAN, drawn, relation("p", "s", ["hold"]), relation("p", "p", ["wave"])]
    file, output = label_studio(tmp_path, *results), tmp_path / "o"
    assert convert(file, output) == 1
    assert not output.exists()
    error = capsys.readouterr().err
    assert why in error and "task 7: result[1]" in error and "2 left out" in error
    assert convert(file, output, "--skip-unsupported") == 0
    assert interactions(json.loads(output.read_text())) == {("person", "wave", None)}
    assert "2 left out\n" in capsys.readouterr().err


def pack(values: list[int], lengths=(3, 4, 8, 16)) -> list[int]:
    """rle-pack's stream, one byte a value: runs of equal values, else single values."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{n - 1:04b}" for n in lengths)
    start = 0
    while start < len(values):
        end = start + 1
        while end < len(values) and values[end] == values[start]:
            end += 1
        end = min(end, start + 2 ** lengths[-1])
        slot = next(i for i, n in enumerate(lengths) if end - start <= 2**n)
        single = "0" if end - start == 1 else "1"
        bits += f"{single}{slot:02b}{end - start - 1:0{lengths[slot]}b}{values[start]:08b}"
        start = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@pytest.mark.parametrize("painted", [(), (0,), (5, 6), (3, 4, 11), (34,), tuple(range(35))])
def test_brush(painted):
    """Against the pixels themselves."""
    width, height = 7, 5
    values = [v for i in range(35) for v in ([9, 9, 9, 255] if i in painted else [0, 0, 0, 0])]
    xs, ys = [i % width for i in painted], [i // width for i in painted]
    expected = (min(xs), min(ys), max(xs) + 1, max(ys) + 1) if painted else None
    assert box_of_brush(pack(values), width, height) == expected


@pytest.mark.parametrize("rle", [[], [0] * 4, [300], ["a"], pack([0] * 40), pack([1] * 140)[:-2]])
def test_a_broken_brush_is_named(tmp_path, rle, capsys):
    with pytest.raises(ValueError):
        box_of_brush(rle, 7, 5)
    drawn = shape("brushlabels", format="rle", rle=rle)
    assert convert(label_studio(tmp_path, MAN, drawn), tmp_path / "o") == 2
    assert "task 7: result[1].value.rle" in capsys.readouterr().err


def test_turned_shapes_against_their_outlines():
    """Many points of the outline, turned one by one."""
    for degrees in (0, 17, 90, 133, 270, 359):
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        circle = [(3 * math.cos(t / 500), 2 * math.sin(t / 500)) for t in range(3142)]
        xs = [5 + x * cos - y * sin for x, y in circle]
        ys = [6 + x * sin + y * cos for x, y in circle]
        found = box_of_ellipse((5, 6), (3, 2), degrees)
        assert found == pytest.approx((min(xs), min(ys), max(xs), max(ys)), abs=1e-3)
        corners = [(1 + x * cos - y * sin, 2 + x * sin + y * cos) for x in (0, 4) for y in (0, 3)]
        xs, ys = zip(*corners)
        found = box_of_turned_rectangle((1, 2, 5, 5), degrees, (1, 2))
        assert found == pytest.approx((min(xs), min(ys), max(xs), max(ys)))


RESOLVED = base64.urlsafe_b64encode(b"gs://bucket/day 1/a.jpg").decode().rstrip("=")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("", ""),
        ("a.jpg", "a.jpg"),
        ("/data/upload/3/0a1b2c3d-street%20one.jpg", "street one.jpg"),
        ("/data/upload/0a1b2c3d-a.jpg", "a.jpg"),
        ("http://localhost:8080/data/upload/3/a-b.jpg", "a-b.jpg"),
        ("/data/local-files/?d=day1/a.jpg", "day1/a.jpg"),
        ("/data/local-files/?d=day1%5Ca.jpg", "day1/a.jpg"),
        ("s3://bucket/day1/x/a.jpg", "day1/x/a.jpg"),
        ("azure-blob://box/a.jpg", "a.jpg"),
        ("https://host/day1/a.jpg?X-Amz-Signature=1", "day1/a.jpg"),
        (f"/tasks/5/resolve/?fileuri={RESOLVED}", "day 1/a.jpg"),
        ("C:\\images\\a.jpg", "images/a.jpg"),
        ("/home/me/a.jpg", "home/me/a.jpg"),
        ("data:image/png;base64,AAAA", ""),
        ("http://[broken", ""),
    ],
)
def test_names_in_addresses(address, name):
    assert file_name(address) == name


@pytest.mark.parametrize(
    ("data", "options", "name"),
    [
        ({"image": "/x/a.jpg", "caption": "No. 1.jpg"}, [], "x/a.jpg"),
        ({"caption": "It is 3.5. Good", "pic": "/x/a.png"}, [], "x/a.png"),
        ({"left": "/x/a.jpg", "right": "/x/b.jpg"}, ["--image-field", "right"], "x/b.jpg"),
        ({"left": "/x/a.jpg", "right": "/x/b.jpg"}, [], None),
        ({"image": ["/x/a.jpg"]}, [], None),
        ({"image": "/data/local-files/?d=../../a.jpg"}, [], None),
        ({"caption": "A man. He rides"}, [], None),
    ],
)
def test_the_field_of_the_image(tmp_path, data, options, name, capsys):
    output = tmp_path / "o"
    code = convert(label_studio(tmp_path, MAN, data=data), output, *options)
    if name is None:
        assert code == 2 and "--image-field" in capsys.readouterr().err
    else:
        assert [i["file_name"] for i in json.loads(output.read_text())["images"]] == [name]


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([MAN, region("p", "person", 90, 20, 50, 80)], ["result[1].id = 'p'", "result[0]"]),
        ([MAN, region("q", "dog", 300, 20, 50, 80)], ["result[1]", "a dog in the image, which"]),
        ([MAN | {"value": {"x": 1, "rectanglelabels": ["man"]}}], ["result[0].value", "x, y, w"]),
        ([MAN, relation("p", "p", [""])], ["result[1].labels", "verbs"]),
        ([MAN, {"type": "relation", "from_id": "p", "to_id": "p", "labels": ["a"],
                "direction": "up"}], ["direction = 'up'"]),
        ([MAN, shape("polygonlabels", points=[[1, 1], [2, 1]])], ["a bicycle with an area"]),
        ([MAN, shape("polygonlabels", points=[[1, "1"]])], ["result[1].value.points"]),
    ],
)  # fmt: skip
def test_a_wrong_region_is_named_by_task(tmp_path, results, said, capsys):
    assert convert(label_studio(tmp_path, *results), tmp_path / "o") == 2
    error = capsys.readouterr().err
    assert all(words in error for words in ["export.json: task 7", *said]), error


def test_two_tasks_with_one_image(tmp_path, capsys):
    file = label_studio(tmp_path, MAN)
    tasks = json.loads(file.read_text())
    file.write_text(json.dumps([*tasks, tasks[0] | {"id": 8}]))
    assert convert(file, tmp_path / "o") == 2
    error = capsys.readouterr().err
    assert "task 8: image = 'a.jpg'" in error and "that of" in error and "task 7" in error


def test_a_choice_for_a_region_and_a_skipped_task_are_noted(tmp_path, capsys):
    choice = {"id": "p", "type": "choices", "value": {"choices": ["blurred"]}}
    assert convert(label_studio(tmp_path, MAN, choice), tmp_path / "o") == 0
    assert "1 results of the type 'choices'" in capsys.readouterr().err
    skipped = [{"was_cancelled": True, "result": []}]
    assert convert(label_studio(tmp_path, annotations=skipped), tmp_path / "o") == 0
    assert json.loads((tmp_path / "o").read_text())["images"] == []
    assert "1 tasks that their annotator skipped" in capsys.readouterr().err


def cvat(tmp_path: Path, *shapes: str) -> Path:
    file = tmp_path / "annotations.xml"
    image = f'<image id="0" name="a.jpg" width="200" height="120">{"".join(shapes)}</image>'
    file.write_text(f"<annotations>{image}</annotations>")
    return file


def element(label: str, group: str = "", tag: str = "box", inner: str = "", **attributes) -> str:
    """A shape with attributes of its label; a box of its own for each label."""
    left = 10 + 7 * len(label)
    place = f'xtl="{left}" ytl="20" xbr="{left + 40}" ybr="100"' if tag == "box" else group
    group = f'group_id="{group}"' if tag == "box" and group else ""
    inside = "".join(f'<attribute name="{k}">{v}</attribute>' for k, v in attributes.items())
    return f'<{tag} label="{label}" {place} {group}>{inside}{inner}</{tag}>'


WAVE, HOLD = ("person", "wave", None), ("person", "hold", "mug")
WRITTEN = [
    ([element("person", interactions="hold\uff1a2\uff1bwave", id="1"),
      element("mug", id="\uff12")], {WAVE, HOLD}),
    ([element("person", INTERACTIONS="wave ; ", Id="1")], {WAVE}),
    ([element("person", interactions="__undefined__", verb="__undefined__", id="__undefined__"),
      element("mug", id="__undefined__")], set()),
    ([element("person", "1", Verb="hold"), element("mug", "1")], {HOLD}),
    ([element("person", "1", Action="hold\uff0clift"), element("mug", "1")],
     {HOLD, ("person", "lift", "mug")}),
    ([element("person", "1", verb="hold"), element("mug", "1"), element("plate", "1", verb="wash")],
     {HOLD, ("person", "hold", "plate"), ("person", "wash", "plate")}),
    ([element("person", "1", verb="hug"), element("Person", "1")], {("person", "hug", "person")}),
    ([element("person", "1", verb="wave")], {WAVE}),
    ([element("person", "0"), element("mug", "0")], set()),
    ([element("person", id="7"), element("mug", id="7")], set()),  # nothing refers to them
]  # fmt: skip


@pytest.mark.parametrize(("shapes", "pairs"), WRITTEN, ids=range(len(WRITTEN)))
def test_ways_to_write_interactions_in_cvat(tmp_path, shapes, pairs):
    assert convert(cvat(tmp_path, *shapes), tmp_path / "o") == 0
    assert interactions(json.loads((tmp_path / "o").read_text())) == pairs


JOINTS = '<points label="a" points="20,30" outside="0"/><points label="b" points="60,90"/>'
JOINTS += '<points label="c" points="0,0" outside="1"/>'
CUBOID = " ".join(
    f'{c}{v}{side}="{n}"'
    for c, numbers in (("x", (20, 20, 60, 60, 40, 40, 80, 80)), ("y", (30, 90) * 4))
    for (v, side), n in zip([(v, s) for s in "12" for v in ("tl", "bl", "tr", "br")], numbers)
)
DRAWN = [
    ("polygon", 'points="20,30;60,30;60,90"', [20, 30, 40, 60]),
    ("polyline", 'points="20,30;60,90"', [20, 30, 40, 60]),
    ("points", 'points="20,30;60,90;30,40"', [20, 30, 40, 60]),
    ("ellipse", 'cx="40" cy="60" rx="20" ry="30"', [20, 30, 40, 60]),
    ("ellipse", 'cx="40" cy="60" rx="30" ry="20" rotation="90.0"', [20, 30, 40, 60]),
    ("mask", 'rle="1, 2" left="20" top="30" width="40" height="60"', [20, 30, 40, 60]),
    ("skeleton", "", [20, 30, 40, 60]),
    ("cuboid", CUBOID, [20, 30, 60, 60]),
    ("box", 'xtl="10" ytl="40" xbr="70" ybr="80" rotation="90"', [20, 30, 40, 60]),
    ("box", 'xtl="20" ytl="30" xbr="60" ybr="90" rotation="180.00"', [20, 30, 40, 60]),
]


@pytest.mark.parametrize(
    ("tag", "place", "box"), DRAWN, ids=[f"{d[0]}-{i}" for i, d in enumerate(DRAWN)]
)
def test_cvat_shapes(tmp_path, tag, place, box):
    drawn = f'<{tag} label="mug" {place}>{JOINTS if tag == "skeleton" else ""}</{tag}>'
    assert convert(cvat(tmp_path, drawn), tmp_path / "o") == 0
    assert boxes(json.loads((tmp_path / "o").read_text()))["mug"] == pytest.approx(box)


@pytest.mark.parametrize(
    "shape", ['<tag label="mug"/>', '<points label="mug" points="1,2"/>', '<cloud label="mug"/>']
)
def test_cvat_shapes_without_a_box(tmp_path, shape, capsys):
    person = element("person", id="1", interactions="wave; hold:2")
    inside = shape.replace("/>", '><attribute name="id">2</attribute></x>')
    inside = inside.replace("</x>", f"</{shape[1:].split()[0]}>")
    file, output = cvat(tmp_path, person, inside), tmp_path / "o"
    assert convert(file, output) == 1
    error = capsys.readouterr().err
    assert "(mug)" in error and "hold:2" in error and "2 left out" in error
    assert convert(file, output, "--skip-unsupported") == 0
    assert interactions(json.loads(output.read_text())) == {WAVE}


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([element("mug", "1", verb="hold")], ["group 1", "--person"]),
        ([element("person", "1"), element("mug", "1")], ["group 1 = 'box[1]'", "`verb`"]),
        ([element("person", "1"), element("man", "1")], ["group 1", "`verb`"]),
        ([element("person", interactions=":2"), element("mug", id="2")], ["':2'", "verb:id"]),
        ([element("mug", interactions="hold:1", id="1")], ["on persons only"]),
        (['<box label="mug" xtl="5" ytl="5" xbr="5" ybr="9"/>'], ["box[0]", "mug with an area"]),
        (['<box label="mug" xtl="5" ytl="5" xbr="9" ybr="9" rotation="x"/>'], ["degrees"]),
        (['<polygon label="mug" points="5,5;a"/>'], ["polygon[0].points"]),
        (['<ellipse label="mug" cx="1"/>'], ["ellipse[0]", "cx, cy, rx, ry"]),
        (['<skeleton label="mug"><points points="1,1" outside="1"/></skeleton>'], ["joints"]),
        (['<box xtl="5" ytl="5" xbr="9" ybr="9"/>'], ["box[0].label"]),
        ([f'<mask label="mug" left="{"9" * 5000}" top="1" width="1" height="1"/>'], ["mask[0]"]),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_named_by_image(tmp_path, shapes, said, capsys):
    assert convert(cvat(tmp_path, *shapes), tmp_path / "o") == 2
    error = capsys.readouterr().err
    assert all(words in error for words in ["image 0 (a.jpg)", *said]), error


def test_names_that_differ_by_case_are_one_class(tmp_path, capsys):
    shapes = [element("person", interactions="Hold:2; hold_:3"), element("mug", id="2")]
    assert convert(cvat(tmp_path, *shapes, element("Mug ", id="3")), tmp_path / "o") == 0
    document = json.loads((tmp_path / "o").read_text())
    assert [v["name"] for v in document["verb_categories"]] == ["Hold"]
    assert [c["name"] for c in document["categories"]] == ["person", "mug"]
    assert "the verb 'hold_', taken for 'Hold'" in capsys.readouterr().err


def test_control_characters_do_not_reach_the_terminal(tmp_path, capsys):
    drawn = shape("keypointlabels", "\x1b[2Jmug", x=1, y=1)
    assert convert(label_studio(tmp_path, drawn), tmp_path / "o") == 1
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tool", "content", "said"),
    [
        ("cvat", "[]", "CVAT for images 1.1"),
        ("cvat", "<annotation><object/></annotation>", "CVAT for images 1.1"),
        ("label_studio", "<annotations/>", "valid JSON"),
        ("label_studio", '[{"id": 1, "id": 2}]', "'id'"),
        ("label_studio", "[" * 100_000, "valid JSON"),
    ],
)
def test_other_files_are_named(tmp_path, tool, content, said, capsys):
    file, output = tmp_path / "x", tmp_path / "o"
    file.write_text(content)
    assert main(["data", "convert", tool, str(file), "--output", str(output)]) == 2
    assert said in capsys.readouterr().err
    assert not output.exists()


def test_the_export_is_not_written_over(tmp_path, capsys):
    file = cvat(tmp_path, element("person", interactions="wave"))
    before = file.read_text()
    assert convert(file, file) == 2
    assert "is the export itself" in capsys.readouterr().err
    assert file.read_text() == before
