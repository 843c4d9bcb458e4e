"""The demo command: images, hostile files, filters, video in and out, exit codes."""

from __future__ import annotations

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from hoi_d2.commands.demo import parse_args
from hoi_d2.commands.main import main as hoi_d2_main
from hoi_d2.data.find_images import find_images, image_ids
from hoi_d2.data.toy import scene as toy
from hoi_d2.demo import images as demo_images
from hoi_d2.demo import video as demo_video
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.visualization.video import VideoFile
from tests.demo.hostile_files import HOSTILE, ODD, write_image


def main(arguments):
    return hoi_d2_main(["demo", *arguments])


def scene(index: int) -> np.ndarray:
    return toy.render(toy.toy_scene("val", index))


@pytest.fixture
def folder(tmp_path):
    """Two scenes of the same name in two folders, and one more."""
    for name, index in (("a/scene_1.png", 1), ("b/scene_1.png", 2), ("b/scene_2.png", 3)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), scene(index))
    return tmp_path


def run(output, *arguments: object) -> int:
    return main([*map(str, arguments), "--output", str(output)])


def rows_of(output) -> list[dict[str, str]]:
    return list(csv.DictReader((output / "hoi_results.csv").open()))


@pytest.mark.parametrize(
    ("line", "images", "overrides"),
    [
        ("", [], []),
        ("--input a.jpg B.C", ["a.jpg"], ["B.C"]),
        ("--input a.jpg b.jpg MODEL.DEVICE cpu --output o", ["a.jpg", "b.jpg"], None),
        ("--output o --input A.jpg MODEL.DEVICE cpu", ["A.jpg"], ["MODEL.DEVICE", "cpu"]),
        ("--input a.jpg --output o MODEL.DEVICE cpu", ["a.jpg"], ["MODEL.DEVICE", "cpu"]),
    ],
)
def test_overrides_may_follow_the_images(line, images, overrides):
    args = parse_args(line.split())
    assert args.input == images
    assert args.opts == (["MODEL.DEVICE", "cpu"] if overrides is None else overrides)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--input MODEL.DEVICE cpu", "--input: expected at least one argument"),
        ("--input a.jpg --track", "--track needs --video or --webcam"),
    ],
)
def test_command_lines_that_mean_nothing(line, message, capsys):
    with pytest.raises(SystemExit):
        parse_args(line.split())
    assert message in capsys.readouterr().err


def test_nothing_to_find(tmp_path, capsys):
    assert run(tmp_path / "out", "--input", tmp_path / "none.jpg") == 2
    assert run(tmp_path / "out", "--input", tmp_path) == 2
    assert "no images in it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images(folder, tmp_path):
    output = tmp_path / "out"
    assert run(output, "--input", folder / "a", folder / "b/*.png", "--score-threshold", 0.1) == 0
    assert len(list(output.glob("*.png"))) == 3, "images of one name do not overwrite each other"
    files = json.loads((output / "images.json").read_text())
    assert files.pop("meta")["model"]
    results = read_results(output / "hoi_results.json")
    assert set(map(str, np.unique(results.image_ids))) == set(files)
    rows = rows_of(output)
    assert 0 < len(rows) < len(results), "the CSV holds what is drawn, the JSON everything"
    assert all(float(row["score"]) >= 0.1 for row in rows)


def test_originals_are_never_overwritten(folder, video, capsys):
    before = (folder / "a" / "scene_1.png").read_bytes()
    assert run(folder / "a", "--input", folder / "a") == 2
    assert "is one of the inputs" in capsys.readouterr().err
    assert (folder / "a" / "scene_1.png").read_bytes() == before
    moved = video.rename(video.with_suffix(".mp4"))
    before = moved.read_bytes()
    assert run(moved.parent, "--video", moved) == 2
    assert "is one of the inputs" in capsys.readouterr().err
    assert moved.read_bytes() == before


def test_output_that_cannot_be(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        assert run(output, "--input", folder / "a") == 2
        assert f"--output {output}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--top-k", "0"), ("--top-k", "-1"), ("--max-frames", "0"), ("--score-threshold", "nan")],
)
def test_numbers_that_cannot_be(option, value, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path, "--input", tmp_path, option, value)
    assert option in capsys.readouterr().err


def test_interrupted(folder, tmp_path, monkeypatch, capsys):
    """What was done before Ctrl-C is there and can be read."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_images, "read_image", interrupt)
    assert run(tmp_path / "out", "--input", folder / "a") == 130
    assert capsys.readouterr().err.endswith("error: interrupted\n")
    assert len(read_results(tmp_path / "out" / "hoi_results.json")) == 0


def test_filters(folder, tmp_path):
    output = tmp_path / "out"
    options = ("--score-threshold", 0, "--top-k", 2, "--verbs", "hold", "sit on")
    assert run(output, "--input", folder / "b", *options) == 0
    rows = rows_of(output)
    assert {row["verb"] for row in rows} <= {"hold", "sit_on"}
    assert 0 < len(rows) <= 4


def test_unknown_verb_gets_help(folder, tmp_path, capsys):
    assert run(tmp_path / "out", "--input", folder / "a", "--verbs", "rides") == 2
    assert "Did you mean ride" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [k for k in HOSTILE if k != "large"])
def test_a_file_that_is_no_image_is_named_and_skipped(kind, folder, tmp_path, capsys):
    bad = folder / "a" / "bad.png"
    write_image(bad, kind)
    assert run(tmp_path / "out", "--input", folder / "a") == 1
    error = capsys.readouterr().err
    assert "skipped" in error and "bad.png" in error and "Traceback" not in error
    assert (tmp_path / "out" / "scene_1.png").is_file()
    assert run(tmp_path / "out", "--input", bad) == 2


@pytest.mark.parametrize("kind", ODD)
def test_odd_images_are_images(kind, tmp_path):
    path = tmp_path / "odd_1.png"
    write_image(path, kind)
    assert run(tmp_path / "out", "--input", path) == 0
    height, width = scene(1).shape[:2]
    with Image.open(tmp_path / "out" / "odd_1.png") as drawn:
        assert drawn.width % width == 0 and drawn.height % height == 0


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ([], []),
        (["HICO_test2015_00000002.jpg", "COCO_val2014_000000000294.jpg"], [2, 294]),
        (["a.jpg", "b_7.jpg"], [1, 2]),
        (["x/1.jpg", "y/1.jpg"], [1, 2]),
    ],
)
def test_image_ids(names, ids, tmp_path):
    assert image_ids([tmp_path / name for name in names]) == ids


def test_find_images_takes_each_once(folder):
    found = find_images([str(folder / "b"), str(folder / "b/scene_1.png"), str(folder / "a/*")])
    assert [p.name for p in found] == ["scene_1.png", "scene_2.png", "scene_1.png"]


def test_find_images_of_subfolders(folder):
    with pytest.raises(FileNotFoundError, match=r"to include subfolders: '.*/\*\*/\*\.jpg'"):
        find_images([str(folder)])
    assert len(find_images([str(folder / "**")])) == 3, "folders are no images"


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "clip.avi"
    height, width = scene(1).shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (width, height))
    for _ in range(6):
        writer.write(scene(1))
    writer.release()
    return path


def test_video_in_and_out(video, tmp_path):
    output = tmp_path / "out"
    assert run(output, "--video", video, "--max-frames", 3, "--score-threshold", 0.1) == 0
    drawn = cv2.VideoCapture(str(output / "clip.mp4"))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert drawn.get(cv2.CAP_PROP_FPS) == pytest.approx(5)
    assert set(read_results(output / "hoi_results.json").image_ids.tolist()) == {0, 1, 2}
    assert {row["seconds"] for row in rows_of(output)} == {"0.000", "0.200", "0.400"}


def test_frames_with_odd_sides_lose_nothing(tmp_path):
    video = VideoFile(tmp_path / "odd.mp4", frame_rate=5)
    for _ in range(3):
        video.write(np.full((41, 61, 3), 90, np.uint8))
    video.close()
    drawn = cv2.VideoCapture(str(tmp_path / "odd.mp4"))
    size = drawn.get(cv2.CAP_PROP_FRAME_WIDTH), drawn.get(cv2.CAP_PROP_FRAME_HEIGHT)
    assert (*size, drawn.get(cv2.CAP_PROP_FRAME_COUNT)) == (62, 42, 3)


def test_sound_is_optional(video, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert run(tmp_path / "out", "--video", video, "--max-frames", 1) == 0
    assert "ffmpeg is not installed" in capsys.readouterr().out
    assert (tmp_path / "out" / "clip.mp4").stat().st_size > 0


@pytest.mark.parametrize("content", [b"", b"not a video", None])
def test_a_file_that_is_no_video(content, tmp_path, capsys):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    assert run(tmp_path / "out", "--video", path) == 2
    assert "clip.mp4" in capsys.readouterr().err


class Camera:
    """As cv2.VideoCapture; the user presses Ctrl-C after two frames."""

    def __init__(self, source: int) -> None:
        self.source, self.read_frames = source, 0

    def isOpened(self) -> bool:
        return self.source == 1

    def get(self, what: int) -> float:
        return 0.0

    def read(self) -> tuple[bool, np.ndarray]:
        self.read_frames += 1
        if self.read_frames > 2:
            raise KeyboardInterrupt
        return True, scene(1)

    def release(self) -> None:
        pass


def test_camera(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo_video.cv2, "VideoCapture", Camera)
    assert run(tmp_path / "none", "--webcam") == 2
    assert "cannot open camera 0" in capsys.readouterr().err
    assert run(tmp_path / "out", "--webcam", "--camera", 1) == 0
    assert "2 frames" in capsys.readouterr().out
    assert (tmp_path / "out" / "camera_1.mp4").is_file()
    assert read_results(tmp_path / "out" / "hoi_results.json").image_ids.max() == 1
