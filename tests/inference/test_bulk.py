"""hoi-d2 predict: every image once, whatever happens in between."""

from __future__ import annotations

import json
import os
import signal
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from hoi_d2.commands import predict as command
from hoi_d2.commands.main import main
from hoi_d2.data.find_images import OTHER
from hoi_d2.evaluation import prediction_table
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.evaluation.results import HOIResults, ResultFormatError
from hoi_d2.inference.bulk import run as bulk_run
from hoi_d2.inference.bulk.plan import PlanError, open_plan, read_plan
from hoi_d2.inference.bulk.run import Progress
from hoi_d2.inference.bulk.sources import Entry, InputError, list_images, read_entry
from hoi_d2.inference.choice import ModelChoice
from tests.demo.fake_predictor import WORDS
from tests.engine.processes import run_alone, run_by_torchrun
from tests.inference.bulk_stub import StubPredictor, grey_image, job, run_stub

pytest.importorskip("pyarrow")
GREYS = [10 * n for n in range(11)]  # the first image is black: it has no interaction


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Eleven images in a folder of thirteen files; one cannot be read."""
    folder = tmp_path_factory.mktemp("images")
    for number, grey in enumerate(GREYS):
        grey_image(folder / f"img_{number:02d}.png", grey)
    (folder / "img_99.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("none")
    return folder


@pytest.fixture
def stub(monkeypatch) -> None:
    monkeypatch.setattr(ModelChoice, "predictor", lambda self: StubPredictor())


def rows(output: Path) -> list[dict]:
    """The rows of all shards, in order."""
    _, parquet = prediction_table.arrow()
    files = sorted((output / "shards").glob("*.parquet"))
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


def assert_complete(output: Path) -> None:
    """Each image of `folder` once, with what the stub finds in it."""
    found = rows(output)
    assert [row["image_id"] for row in found] == [*range(11), 99]
    for row, grey in zip(found, GREYS):
        assert (row["height"], row["width"], row["error"]) == (6, 8, None)
        widths = [i["human_box"]["width"] for i in row["interactions"]]
        assert widths == ([grey] * 2 if grey else [])
        assert [i["verb"] for i in row["interactions"]] == (["wash", "hold"] if grey else [])
    assert found[-1]["error"] == "not an image of a known format"
    assert found[-1]["width"] is None and found[-1]["interactions"] == []
    assert not list(output.rglob("*.tmp"))


# --- inputs ---------------------------------------------------------------------------------------


def test_a_run_goes_on_on_another_device_in_other_batches(folder, tmp_path, stub):
    first = job([folder], tmp_path)
    bulk_run.run(first)
    elsewhere = ModelChoice(device="cpu", batch_size=2)
    bulk_run.run(replace(first, resume=True, model=elsewhere))
    with pytest.raises(SystemExit, match="2"):  # its scores would differ
        bulk_run.run(replace(first, resume=True, model=ModelChoice(half=True)))


def test_no_input_has_no_images():
    assert list(list_images([], Counter())) == []


def make_tar(path: Path, folder: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.add(folder, arcname="sub")
    return path


def test_an_archive_holds_what_its_folder_holds(folder, tmp_path):
    archive, left_out = make_tar(tmp_path / "a.tar", folder), Counter[str]()
    entries = {e.file: e for e in list_images([str(archive)], left_out)}
    assert set(entries) == {
        f"{archive}/sub/{p.name}" for p in folder.iterdir() if p.stem != "notes"
    }
    assert left_out == {OTHER: 1}
    for number in (0, 10):
        pixels = read_entry(entries[f"{archive}/sub/img_{number:02d}.png"])
        assert pixels.shape == (6, 8, 3) and (pixels == GREYS[number]).all()


def test_a_list_names_a_path_on_each_line(tmp_path):
    (tmp_path / "l.txt").write_bytes(b"a.jpg\r\n\nb c.jpg \n\xff.jpg\na.jpg")
    names = [e.file for e in list_images([str(tmp_path / "l.txt")], Counter())]
    assert names == ["a.jpg", "b c.jpg ", "\udcff.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("l.txt", b"", InputError, "no images in it"),
        ("none.txt", None, FileNotFoundError, "none.txt"),
        ("none.jpg", None, FileNotFoundError, "no such image"),
        ("a.tar", b"x" * 2000, InputError, "not a complete tar archive"),
        ("a.tar.gz", b"", InputError, "decompress it"),
    ],
)
def test_inputs_that_cannot_be_listed(name, content, error, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=said):
        list(list_images([str(tmp_path / name)], Counter()))


def test_an_archive_that_is_cut_off(folder, tmp_path):
    archive = make_tar(tmp_path / "a.tar", folder)
    archive.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(InputError, match="not a complete tar archive"):
        list(list_images([str(archive)], Counter()))


def test_images_that_are_gone_when_they_are_read(tmp_path):
    for entry, said in [
        (Entry("gone.jpg"), "does not exist"),
        (Entry("gone.tar/a.jpg", "gone.tar", 512, 10), "No such file"),
    ]:
        with pytest.raises(OSError, match=said):
            read_entry(entry)


# --- the plan -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard_size", [1, 4, 12, 100])
def test_shards_are_the_images_in_order(folder, tmp_path, shard_size):
    plan = open_plan(tmp_path, [str(folder)], {}, shard_size=shard_size)
    again = read_plan(tmp_path)
    assert plan == again and plan.images == 12
    items = [item for shard in again.waiting() for item in again.items(shard)]
    assert [i.entry.file for i in items] == sorted(map(str, folder.glob("img_*")))
    assert [i.image_id for i in items] == [*range(11), 99]
    assert Counter(i.shard for i in items) == {s: again.size_of(s) for s in again.waiting()}


def test_names_without_a_number_of_their_own(tmp_path):
    (tmp_path / "l.txt").write_text("a/1.jpg\nb/1.jpg\n")
    plan = open_plan(tmp_path, [str(tmp_path / "l.txt")], {}, shard_size=5)
    assert [item.image_id for item in plan.items(0)] == [1, 2]


@pytest.mark.parametrize(
    ("options", "said"),
    [({"shard_size": 3}, "another shard_size"), ({"settings": {"a": 2}}, r"another a \(1, now 2")],
)
def test_another_run_is_refused(folder, tmp_path, options, said):
    open_plan(tmp_path, [str(folder)], {"a": 1}, shard_size=4)
    options = {"settings": {"a": 1}, "shard_size": 4, **options}
    with pytest.raises(PlanError, match=said):
        open_plan(tmp_path, [str(folder)], **options)


def test_damaged_plans(tmp_path):
    with pytest.raises(PlanError, match="holds no run"):
        read_plan(tmp_path)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(PlanError, match="is damaged"):
        read_plan(tmp_path)


# --- runs -----------------------------------------------------------------------------------------


def test_one_process(folder, tmp_path, stub):
    bulk_run.run(job([folder], tmp_path / "out"))
    assert_complete(tmp_path / "out")
    assert Progress.of(tmp_path / "out") == Progress(3, 3, 12, 1, 1)


def test_two_processes_and_one_is_killed(folder, tmp_path):
    """SIGKILL in the middle of a shard; the next run, of one process, does what is left."""
    output = tmp_path / "out"
    with pytest.raises(ChildFailedError):
        run_by_torchrun(2, run_stub, job([folder], output, shard_size=2), "1")
    finished = {p: p.stat().st_mtime_ns for p in (output / "shards").glob("*.parquet")}
    assert 0 < len(finished) < 6
    assert (output / "shards" / "000003.parquet.tmp").is_file(), "killed while it wrote"
    assert run_alone(run_stub, job([folder], output, shard_size=2, resume=True)) == 0
    assert_complete(output)
    assert all(path.stat().st_mtime_ns == then for path, then in finished.items())


def test_an_interrupted_run_goes_on(folder, tmp_path, stub, monkeypatch, capsys):
    output, seen = tmp_path / "out", []

    def interrupted(self, inputs):
        seen.extend(inputs)
        if len(seen) == 7:  # the second batch of the second shard
            raise KeyboardInterrupt
        return model(self, inputs)

    model = StubPredictor.model
    monkeypatch.setattr(StubPredictor, "model", interrupted)
    with pytest.raises(SystemExit) as end:
        bulk_run.run(job([folder], output))
    assert end.value.code == 130 and "--resume" in capsys.readouterr().err
    assert [p.name for p in (output / "shards").iterdir()] == ["000000.parquet"]
    bulk_run.run(job([folder], output, resume=True))
    assert_complete(output)
    assert len(seen) == 7 + 7, "a finished shard is not read again"


def test_a_reader_that_dies_is_one_line(folder, tmp_path, stub, monkeypatch, capsys):
    def killed(self, image):
        if image.mean() == GREYS[5]:
            os.kill(os.getpid(), signal.SIGKILL)
        return to_input(self, image)

    to_input = StubPredictor.model_input
    monkeypatch.setattr(StubPredictor, "model_input", killed)
    with pytest.raises(SystemExit) as end:
        bulk_run.run(job([folder], tmp_path))
    assert end.value.code == 2
    assert "error: a process that reads images died" in capsys.readouterr().err
    assert not (tmp_path / "shards" / "000001.parquet").exists()
    monkeypatch.setattr(StubPredictor, "model_input", to_input)
    bulk_run.run(job([folder], tmp_path, resume=True))
    assert_complete(tmp_path)


def test_an_output_is_not_taken_for_another_run(folder, tmp_path, stub, capsys):
    bulk_run.run(job([folder], tmp_path))
    for options in ({}, {"resume": True, "shard_size": 5}):
        with pytest.raises(SystemExit) as end:
            bulk_run.run(job([folder], tmp_path, **options))
        assert end.value.code == 2
    assert capsys.readouterr().err.count("choose another") == 2


def test_without_pyarrow(folder, tmp_path, stub, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SystemExit):
        bulk_run.run(job([folder], tmp_path / "out"))
    assert "pip install 'hoi-d2[predict]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kinds", "code"), [("good", 0), ("good bad", 1), ("bad", 2)])
def test_the_command(kinds, code, folder, tmp_path, stub, capsys):
    files = {"good": folder / "img_03.png", "bad": folder / "img_99.jpg"}
    inputs = [str(files[kind]) for kind in kinds.split()]
    output = str(tmp_path / "out")
    assert main(["predict", "--input", *inputs, "--output", output, "--shard-size", "1"]) == code
    assert f"{len(inputs)} of {len(inputs)} shards finished" in capsys.readouterr().out
    assert main(["predict", "merge", output]) == 0
    assert len(read_results(tmp_path / "out" / command.MERGED)) == 2 * ("good" in kinds)


def test_merging_needs_every_shard(folder, tmp_path, stub, capsys):
    bulk_run.run(job([folder], tmp_path))
    assert main(["predict", "merge", str(tmp_path), "--output", str(tmp_path / "all.parquet")]) == 0
    together = rows(tmp_path)
    _, parquet = prediction_table.arrow()
    assert parquet.read_table(tmp_path / "all.parquet").to_pylist() == together
    (tmp_path / "shards" / "000001.parquet").unlink()
    assert main(["predict", "merge", str(tmp_path)]) == 2
    assert "1 of 3 shards are not finished (the first is 1)" in capsys.readouterr().err


# --- the table ------------------------------------------------------------------------------------


def some_results(image_id: int, number: int) -> HOIResults:
    rng = np.random.default_rng(image_id)
    boxes = rng.uniform(0, 500, (number, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    objects, classes = boxes + 1, np.ones(number, np.int32)
    objects[:1], classes[:1] = np.nan, -1  # the first one has no object
    zero = np.zeros(number, np.int32)
    scores = rng.uniform(size=number).astype(np.float32)
    ids = np.full(number, image_id)
    return HOIResults(ids, boxes, objects, classes, zero, zero - 1, scores)


@pytest.mark.parametrize("numbers", [[], [0], [3], [2, 0, 1], [0, 5, 0]])
@pytest.mark.parametrize("wanted", [None, [], [1], [2, 0]])
def test_a_table_gives_back_its_results(numbers, wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_table, "BLOCK", 2)
    parts = [some_results(i, n) for i, n in enumerate(numbers)]
    images = [prediction_table.ImageRow(i, f"{i}.jpg", 5, 6, p) for i, p in enumerate(parts)]
    prediction_table.write_rows(tmp_path / "a.parquet", images, WORDS)
    found = read_results(tmp_path / "a.parquet", None if wanted is None else np.array(wanted))
    kept = [p for i, p in enumerate(parts) if wanted is None or i in wanted]
    expected = HOIResults.concatenate(kept)
    for name, values in vars(expected).items():
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-6, err_msg=name)


def test_class_names_come_along(tmp_path):
    prediction_table.write_rows(tmp_path / "a.parquet", [], WORDS)
    _, parquet = prediction_table.arrow()
    metadata = parquet.read_schema(tmp_path / "a.parquet").metadata
    content = json.loads(metadata[prediction_table.METADATA])
    assert content["vocabulary"] == WORDS.as_dict()


@pytest.mark.parametrize("content", [b"", b"no Parquet"])
def test_a_damaged_table(content, tmp_path):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(ResultFormatError, match=r"a\.parquet: not a Parquet file"):
        read_results(tmp_path / "a.parquet")


def test_the_table_of_another_program(tmp_path):
    pa, parquet = prediction_table.arrow()
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ResultFormatError, match="its columns are a"):
        read_results(tmp_path / "a.parquet")
