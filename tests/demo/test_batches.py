"""Folders of every size and content: what is read, left out, and left by an interruption."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hoi_d2.data.find_images import CAMERA_RAW, LEFTOVER, OTHER, find_images, image_ids
from hoi_d2.demo import images as demo_images
from hoi_d2.demo import report as demo_report
from hoi_d2.demo.images import drawing_names, keep_originals, run_on_images
from hoi_d2.demo.report import ResumeError
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.utils.signals import stopped_like_ctrl_c
from tests.demo.fake_predictor import FakePredictor


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((24, 32, 3), 90, np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    for number in range(5):
        save(tmp_path / "in" / f"img_{number}.jpg")
    return tmp_path / "in"


def table(output: Path) -> list[dict[str, str]]:
    with (output / "hoi_results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run(paths, output: Path, predictor=None, **options) -> int:
    output.mkdir(exist_ok=True)
    return run_on_images(predictor or FakePredictor(), paths, output, **options)


NAMES = {
    "a.jpg": None,
    "b.JFIF": None,
    "c.avif": None,
    "d.mpo": None,
    "e.jp2": None,
    "f.heic": None,  # its reader says how to save it
    "g.dng": CAMERA_RAW,
    "._a.jpg": LEFTOVER,
    ".DS_Store": LEFTOVER,
    "GOPR0001.THM": LEFTOVER,
    "notes.txt": OTHER,
}


@pytest.mark.parametrize("how", ["folder", "glob"])
def test_a_folder_is_read_or_counted(how, tmp_path):
    for name in NAMES:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "below.jpg").mkdir()
    counts: Counter[str] = Counter()
    found = find_images([str(tmp_path / "*" if how == "glob" else tmp_path)], counts)
    assert [p.name for p in found] == sorted(n for n, why in NAMES.items() if why is None)
    hidden = {".DS_Store", "._a.jpg"} if how == "glob" else set()  # * does not name these
    expected = Counter(why for n, why in NAMES.items() if why and n not in hidden)
    assert counts == expected


def test_what_is_left_out_is_in_the_last_line(folder, tmp_path, capsys):
    (folder / "bad.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    (folder / "._img_0.jpg").write_bytes(b"\0\x05\x16\x07")
    counts: Counter[str] = Counter()
    assert run(find_images([str(folder)], counts), tmp_path / "out", left_out=counts) == 1
    shown = capsys.readouterr()
    assert "save it as JPEG" in shown.err
    assert f"5 drawn, 1 could not be read, 1 left out (1 {LEFTOVER})" in shown.out


def test_links_that_lead_nowhere(folder, tmp_path, capsys):
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "gone.jpg").symlink_to("nothing.jpg")
    (folder / "above").symlink_to(folder)
    found = find_images([str(folder)])
    assert len(find_images([str(folder / "**" / "*.jpg")])) == len(found) == 7
    assert run(found, tmp_path / "out") == 1
    assert capsys.readouterr().err.count("is a link to nothing") == 2
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 5


@pytest.mark.parametrize("stem", ["9" * 20, "1" * 5000, str(2**53), "٣"])
def test_numbers_that_no_result_file_can_hold(stem):
    assert image_ids([Path(f"{stem}.jpg")]) == [1]


def test_leading_zeros_are_no_size():
    assert image_ids([Path("0" * 40 + "7.jpg")]) == [7]


def test_photographs_are_drawn_as_jpeg():
    paths = [Path("a.jpg"), Path("a.png"), Path("x/a.HEIC"), Path("b.tif")]
    assert drawing_names(paths) == ["a.jpg", "a_2.png", "a_3.jpg", "b.png"]


def test_table_and_json_agree(folder, tmp_path):
    assert run(find_images([str(folder)]), tmp_path / "out") == 0
    rows = json.loads((tmp_path / "out" / "hoi_results.json").read_text())
    files = json.loads((tmp_path / "out" / "images.json").read_text())
    lines = table(tmp_path / "out")
    assert len(rows) == len(lines) == 5
    for row, line in zip(rows, lines):
        assert (row["verb"], row["object"]) == (line["verb"], line["object"]) == ("hold", "mug")
        for box in ("human_box", "object_box"):
            assert list(map(float, line[box].split())) == pytest.approx(row[box], abs=0.05)
        assert files[str(row["image_id"])] == line["image"]
    assert rows[0]["human_box"] == [1, 2, 10, 20]  # x, y, width, height
    assert len(read_results(tmp_path / "out" / "hoi_results.json")) == 5


class Interrupted(FakePredictor):
    def __call__(self, images):
        if self.seen >= 2:
            raise KeyboardInterrupt
        return super().__call__(images)


def test_an_interrupted_run_goes_on(folder, tmp_path, capsys):
    paths, output = find_images([str(folder)]), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(paths, output, Interrupted(batch_size=2))
    assert len(json.loads((output / "images.json").read_text())) == 2
    assert len(read_results(output / "hoi_results.json")) == len(table(output)) == 2
    # As if it had been killed: the table is ahead of the files, and its last line is cut off.
    with (output / "hoi_results.csv").open("a") as file:
        file.write(f"{paths[3]},,hold,mug,0.7,1 2 10 20,5 5 3 4,\r\n{paths[4]},,ho")
    predictor = FakePredictor()
    assert run(paths, output, predictor, resume=True) == 0
    assert predictor.seen == 3, "what is done is not done again"
    assert "3 drawn, 2 were done before" in capsys.readouterr().out
    assert [line["image"] for line in table(output)] == list(map(str, paths))
    assert sorted(read_results(output / "hoi_results.json").image_ids) == [0, 1, 2, 3, 4]
    assert not list(output.glob("*.tmp")) and not list(output.glob("*.partial"))


def test_sigterm_is_an_interruption(folder, tmp_path):
    class Terminated(FakePredictor):
        def __call__(self, images):
            if self.seen >= 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().__call__(images)

    output, before = tmp_path / "out", signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stopped_like_ctrl_c():
        run(find_images([str(folder)]), output, Terminated(batch_size=2))
    assert len(json.loads((output / "images.json").read_text())) == 2
    assert signal.getsignal(signal.SIGTERM) is before


def test_resuming_nothing_and_everything(folder, tmp_path):
    paths, output = find_images([str(folder)]), tmp_path / "out"
    assert run(paths, output, resume=True) == 0
    before = (output / "hoi_results.json").read_bytes()
    predictor = FakePredictor()
    assert run(paths, output, predictor, resume=True) == 0
    assert predictor.seen == 0 and (output / "hoi_results.json").read_bytes() == before


def test_new_images_do_not_take_the_ids_of_done_ones(folder, tmp_path):
    output = tmp_path / "out"
    assert run(find_images([str(folder)]), output) == 0
    new = save(tmp_path / "more" / "other_3.jpg")
    assert run([*find_images([str(folder)]), new], output, resume=True) == 0
    files = json.loads((output / "images.json").read_text())
    assert len(files) == 6 and files["3"] == str(folder / "img_3.jpg")


def test_a_folder_of_another_version_is_refused(folder, tmp_path):
    output = tmp_path / "out"
    assert run(find_images([str(folder)]), output) == 0
    text = (output / "hoi_results.csv").read_text()
    (output / "hoi_results.csv").write_text(text.replace("human_box", "box"))
    with pytest.raises(ResumeError, match="has the columns image, person_id"):
        run(find_images([str(folder)]), output, resume=True)
    (output / "images.json").write_text("{")
    with pytest.raises(ResumeError, match=r"images\.json is damaged"):
        run(find_images([str(folder)]), output, resume=True)


def test_files_are_saved_while_it_runs(folder, tmp_path, monkeypatch):
    """A process that is killed loses half a minute, not a night."""
    monkeypatch.setattr(demo_report, "_SAVE_SECONDS", -1.0)
    monkeypatch.setattr(demo_report, "_SAVE_SHARE", 0)
    seen = []

    def read(path):
        there = tmp_path / "out" / "images.json"
        seen.append(len(json.loads(there.read_text())) if there.exists() else 0)
        return np.zeros((24, 32, 3), np.uint8)

    monkeypatch.setattr(demo_images, "read_image", read)
    assert run(find_images([str(folder)]), tmp_path / "out", FakePredictor(batch_size=1)) == 0
    assert seen == [0, 1, 2, 3, 4]


def test_an_input_in_the_output_is_kept(folder):
    linked = folder.parent / "linked"
    linked.symlink_to(folder)
    with pytest.raises(ValueError, match="is one of the inputs"):
        keep_originals([folder / "a.jpg"], [linked / "a.jpg"])
    keep_originals([folder / "a.jpg"], [linked / "b.jpg", folder.parent / "a.jpg"])


def test_100000_images_start_at_once(tmp_path, monkeypatch):
    """No file is looked at before the first one is read."""
    folder = tmp_path / "in"
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    for number in range(20_000):
        os.close(os.open(f"p_{number}.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)
    looks = Counter[str]()
    original = os.stat

    def stat(path, *rest, **options):
        looks[str(path)] += str(path).endswith(".jpg")
        return original(path, *rest, **options)

    def first(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(demo_images, "read_image", first)
    start = time.process_time()
    with pytest.raises(KeyboardInterrupt):
        run(find_images([str(folder)]), tmp_path / "out")
    assert looks.total() == 0
    assert time.process_time() - start < 4
