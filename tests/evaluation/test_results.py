"""Result files: what is written is read again, and what is broken is named."""

from __future__ import annotations

import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoi_d2.evaluation import result_files
from hoi_d2.evaluation.result_files import read_results, write_results
from hoi_d2.evaluation.results import (
    COLUMNS,
    HOIResults,
    ResultFormatError,
    fill_hoi_classes,
)

ROW = {
    "image_id": 7,
    "human_box": [1.0, 2.0, 3.0, 4.0],
    "object_box": None,
    "object_category_id": -1,
    "verb_id": 2,
    "hoi_id": -1,
    "score": 0.5,
}


def some_results(count: int, seed: int = 0, dtype: type = np.float32) -> HOIResults:
    rng = np.random.default_rng(seed)
    corners = rng.random((2, count, 2)) * 400
    boxes = np.concatenate([corners, corners + rng.random((2, count, 2)) * 200], 2).astype(dtype)
    boxes[1, ::3] = np.nan
    return HOIResults(
        image_ids=rng.integers(1, 99, count),
        human_boxes=boxes[0],
        object_boxes=boxes[1],
        object_classes=rng.integers(-1, 80, count).astype(np.int32),
        verb_classes=rng.integers(0, 117, count).astype(np.int32),
        hoi_classes=rng.integers(-1, 600, count).astype(np.int32),
        scores=rng.random(count).astype(dtype),
    )


def assert_same(a: HOIResults, b: HOIResults) -> None:
    assert len(a) == len(b)
    for name in HOIResults.__dataclass_fields__:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
@pytest.mark.parametrize("count", [0, 1, 25])
def test_round_trip(tmp_path, monkeypatch, suffix, count):
    monkeypatch.setattr(result_files, "BLOCK", 10)
    results = some_results(count)
    path = tmp_path / "deep" / f"results{suffix}"
    write_results(path, results)
    assert_same(read_results(path), results)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_json_is_what_other_tools_expect(tmp_path):
    results = some_results(4)
    write_results(tmp_path / "r.json", results)
    rows = json.loads((tmp_path / "r.json").read_text())
    assert [set(r) for r in rows] == [set(COLUMNS)] * 4
    assert rows[0]["object_box"] is None and len(rows[1]["object_box"]) == 4
    x0, y0, x1, y1 = results.human_boxes[2].astype(float)
    assert rows[2]["human_box"] == pytest.approx([x0, y0, x1 - x0, y1 - y0])
    assert isinstance(rows[0]["image_id"], int)


def test_rows_that_python_wrote_with_nan(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps([ROW, ROW | {"object_box": [float("nan")] * 4}]))
    assert np.isnan(read_results(path).object_boxes).all()


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "a JSON list of rows, .*; this is empty"),
        ("{}", "a JSON list of rows, .*; this begins with '{}'"),
        ("[] []", r"after 0 rows: Extra data: line 1 column 4 .*'\[\]'"),
        (json.dumps([ROW]) * 2, "not a JSON list of rows, after 1 rows: Extra data"),
        (json.dumps([ROW]) + "\n" * 9 + "x", "Extra data: line 10 column 1 .*'x'"),
        ("nonsense", "a JSON list .* at 'nonsense'"),
        ("[", "after 0 rows: the file ends early"),
        ('[{"image_id": 1', "after 0 rows: the file ends early"),
        (json.dumps([ROW, ROW])[:-1], "after 2 rows: the file ends early"),
        (json.dumps([ROW])[:-1] + " 3]", r"after 1 rows: .*'3\]'"),
        ("[" * 10**5, "after 0 rows: maximum recursion depth"),
        (json.dumps([ROW | {"extra": {"score": 1}}, 1]), "record 1: is int"),
        (json.dumps([None]), "record 0: is NoneType"),
        (json.dumps([ROW | {"extra": ROW}]), "a row within another row"),
        (json.dumps([ROW, ROW])[:-2] + ', "score": 1}]', "record 1: the key 'score' occurs twice"),
        ("[" * 900 + "]" * 900, "record 0: is list"),
        (json.dumps([ROW | {"score": 10**4000}]), "score is 1000"),
        (f'[{{"image_id": {"1" * 5000}}}]', "after 0 rows: Exceeds the limit"),
        (json.dumps([ROW | {"score": "\ud800\x1b"}]), "score is '.ud800.x1b'"),
        ("[1]", "record 0: is int"),
        (json.dumps([ROW, {"image_id": 1}]), "record 1: has no 'human_box'"),
        (json.dumps([ROW | {"human_box": [1, 2, 3]}]), "record 0: human_box is"),
        (json.dumps([ROW | {"human_box": None}]), "human_box is None, expected .x, y"),
        (json.dumps([ROW | {"human_box": [1, 2, 3, "4"]}]), "record 0: human_box is"),
        (json.dumps([ROW | {"score": None}]), "score is None, expected a number"),
        (json.dumps([ROW | {"score": "0.5"}]), "score is '0.5', expected a number"),
        (json.dumps([ROW | {"verb_id": True}, ROW]), "verb_id is True"),
        (json.dumps([ROW | {"image_id": 1.5}]), "image_id is 1.5, expected a whole number"),
        (json.dumps([ROW | {"image_id": 10**30}]), "image_id is 1000"),
        (json.dumps([ROW | {"verb_id": float("nan")}]), "verb_id is nan"),
    ],
)
def test_broken_json_is_named(tmp_path, content, message):
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(ResultFormatError, match=message) as error:
        read_results(path)
    assert str(path) in str(error.value)


def test_a_byte_order_mark_and_white_space_do_no_harm(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(f"\ufeff \n{json.dumps([ROW, ROW])}" + " \n" * 99)
    assert len(read_results(path)) == 2


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.just(ROW),
            st.dictionaries(st.sampled_from([*COLUMNS, "more"]), st.none() | st.text(max_size=3)),
            st.tuples(
                st.sampled_from(COLUMNS), st.recursive(st.floats() | st.text(), st.lists)
            ).map(lambda change: ROW | {change[0]: change[1]}),
        ),
        max_size=4,
    ),
    st.integers(0, 10_000),
)
def test_whatever_a_file_holds_it_is_read_or_named(tmp_path_factory, rows, cut):
    path = tmp_path_factory.mktemp("fuzz") / "r.json"
    path.write_text(json.dumps(rows)[: cut if cut < 5000 else None])
    try:
        results = read_results(path)
    except ResultFormatError as error:
        assert str(path) in str(error)
    else:
        assert len(results) == len(json.loads(path.read_text()))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"score": None}, "no column score"),
        ({"human_box": np.zeros((3, 3))}, r"human_box has shape \(3, 3\), expected \(3, 4\)"),
        ({"verb_id": np.zeros(2, dtype=int)}, r"verb_id has shape \(2,\)"),
        ({"hoi_id": np.array([1.0, 2.5, 3.0])}, "row 1: hoi_id is 2.5, expected a whole number"),
        ({"image_id": np.array(["a", "b", "c"])}, "image_id"),
        ({"image_id": np.ones(3, np.float16)}, "image_id is float16, expected whole numbers"),
        ({"score": np.array(0.5)}, r"has shape \(3,\), expected \(1,\)"),
        ({"score": np.array(["1", "2", "3"])}, "column score is <U1, expected numbers"),
        ({"score": np.array([None] * 3)}, "column score holds Python objects, expected numbers"),
        ({"human_box": np.ones((3, 4), bool)}, "column human_box is bool, expected numbers"),
        ({"object_box": np.ones((3, 4), complex)}, "column object_box is complex128"),
        ({"hoi_id": np.zeros(3, "V8")}, "column hoi_id unreadable .*V8"),
        ({"hoi_id": np.zeros(3, "i4,f4")}, "column hoi_id unreadable"),
        ({"score": np.zeros(3, "M8[s]")}, "column score is datetime64"),
    ],
)
def test_broken_npz_is_named(tmp_path, change, message):
    columns = some_results(3).to_columns() | change
    np.savez(tmp_path / "r.npz", **{k: v for k, v in columns.items() if v is not None})
    with pytest.raises(ResultFormatError, match=message):
        read_results(tmp_path / "r.npz")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("results_deep.json", "results_deep"),
        ("results_5000_digits.json", "Exceeds the limit"),
        ("results_void.npz", "column object_category_id unreadable"),
    ],
)
def test_hostile_files(name, message, real_data):
    path = real_data.parent / "cases/hostile" / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    with pytest.raises(ResultFormatError, match=message):
        read_results(path)


def test_a_member_that_is_no_array(tmp_path):
    write_results(tmp_path / "r.npz", some_results(3))
    with zipfile.ZipFile(tmp_path / "r.npz", "a") as archive:
        archive.writestr("more", b"text")
    assert len(read_results(tmp_path / "r.npz")) == 3
    with zipfile.ZipFile(tmp_path / "s.npz", "w") as archive:
        for name in COLUMNS:
            archive.writestr(name, b"text")
    with pytest.raises(ResultFormatError, match="column image_id unreadable"):
        read_results(tmp_path / "s.npz")


def test_no_npz_at_all(tmp_path):
    (tmp_path / "r.npz").write_bytes(b"PK no archive")
    with pytest.raises(ResultFormatError, match=r"not a complete \.npz file"):
        read_results(tmp_path / "r.npz")
    for name in ("none.npz", "none.json"):
        with pytest.raises(FileNotFoundError):
            read_results(tmp_path / name)


def test_memory_does_not_hold_the_rows_as_objects(tmp_path):
    path = tmp_path / "r.json"
    write_results(path, some_results(60_000))
    tracemalloc.start()
    results = read_results(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    arrays = sum(getattr(results, n).nbytes for n in HOIResults.__dataclass_fields__)
    # the text, a block of rows as objects, and the arrays twice while they are joined;
    # all rows as objects would need 100 MB more
    assert peak < 2 * path.stat().st_size + 2 * arrays + 20e6


def test_fill_hoi_classes():
    from hoi_d2.data.vocabulary import hico_det_vocabulary

    vocabulary = hico_det_vocabulary()
    obj, verb = vocabulary.hois[42]
    rows = [ROW | {"object_category_id": int(obj), "verb_id": int(verb)}, ROW]
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    columns["object_box"] = [[0.0, 0.0, 1.0, 1.0]] * 2
    filled = fill_hoi_classes(HOIResults.from_columns(columns), vocabulary)
    assert filled.hoi_classes.tolist() == [42, -1]


def test_slicing_and_joining():
    results = some_results(10)
    parts = [results[:3], results[3:3], results[3:]]
    assert_same(HOIResults.concatenate(parts), results)
    assert len(HOIResults.concatenate([])) == len(HOIResults.empty()) == 0
    assert len(results[results.scores > 2]) == 0
