"""The time in a video is the time of its frames, in the table, the tracks and the drawn video."""

from __future__ import annotations

import csv
import json
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from hoi_d2.commands.main import main as hoi_d2_main
from hoi_d2.demo import video_source
from hoi_d2.demo.photographs import example_photographs
from hoi_d2.demo.report import DrawOptions
from hoi_d2.demo.video import run_on_video
from hoi_d2.demo.video_source import VideoSource
from hoi_d2.inference.interaction_log import InteractionLog
from hoi_d2.inference.tracking import PersonTracker
from hoi_d2.visualization import video as video_file
from hoi_d2.visualization.video import VideoFile, count_frames
from tests.demo.fake_predictor import FakePredictor
from tests.demo.toy_clip import write_clip
from tests.inference.test_tracking import HOLD, prediction

FRAME = np.full((48, 64, 3), 90, np.uint8)


def run(source, tmp_path: Path, predictor=None, **options):
    """Exit code, seconds of the table, the tracks, (frames, rate) of the drawn video."""
    output = tmp_path / "out"
    output.mkdir()
    draw = DrawOptions(0.0, 3)
    code = run_on_video(
        predictor or FakePredictor(), source, output, draw=draw, track=True, **options
    )
    with (output / "hoi_results.csv").open(newline="") as file:
        seconds = [float(line["seconds"]) for line in csv.DictReader(file)]
    tracks = json.loads((output / "hoi_tracks.json").read_text())
    [drawn] = output.glob("*.mp4")
    return code, seconds, tracks, (count_frames(drawn), VideoSource(str(drawn)).rate)


class Capture:
    """As cv2.VideoCapture, with frames at given times.

    Args:
        stamps: seconds of the frames.
        rate, count: of the header.
    """

    def __init__(self, stamps, *, rate: float, count: int = 0) -> None:
        self.stamps, self.rate, self.count, self.at = list(stamps), rate, count, -1

    def __call__(self, source):
        self.at = -1
        return self

    def isOpened(self) -> bool:
        return True

    def get(self, what: int) -> float:
        if what == cv2.CAP_PROP_POS_MSEC:
            return self.stamps[self.at] * 1000
        return {cv2.CAP_PROP_FPS: self.rate, cv2.CAP_PROP_FRAME_COUNT: self.count}[what]

    def grab(self) -> bool:
        self.at += 1
        return self.at < len(self.stamps)

    def read(self):
        return (True, FRAME) if self.grab() else (False, None)

    def release(self) -> None:
        pass


STAMPS = {
    "none": ([], 25, 0, []),
    "one": ([0.0], 25, 1, [0.0]),
    "as the header says": ([0, 0.04, 0.08], 25, 3, [0, 0.04, 0.08]),
    "a variable rate": ([0, 0.1, 10.0, 10.1], 10, 102, [0, 0.1, 10.0, 10.1]),
    "half a frame a second": ([0, 2, 4], 0.5, 3, [0, 2, 4]),
    "no times": ([0, 0, 0], 10, 3, [0, 0.1, 0.2]),
    "a time that falls back": ([0, 0.5, 0.1, 1.0], 2, 4, [0, 0.5, 1.0, 1.5]),
    "a time beyond the end": ([0, 0.5, 9000.0], 2, 3, [0, 0.5, 1.0]),
    "not a number": ([0, float("nan"), 0.2], 10, 3, [0, 0.1, 0.2]),
    "an impossible rate": ([0, 0.04], 90000, 0, [0, 0.04]),
}


@pytest.mark.parametrize("name", STAMPS)
def test_times_of_frames(name, monkeypatch):
    stamps, rate, count, expected = STAMPS[name]
    monkeypatch.setattr(cv2, "VideoCapture", Capture(stamps, rate=rate, count=count))
    assert [s for s, _ in VideoSource("a.mkv").frames()] == pytest.approx(expected)


def test_a_stream_begins_when_it_is_looked_at(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Capture([7000.0, 7000.5, 7001.0], rate=2, count=-1))
    source = VideoSource("rtsp://camera/1")
    assert source.is_live and [s for s, _ in source.frames()] == [0, 0.5, 1.0]


def test_a_stream_has_no_sound_of_another_time(monkeypatch, tmp_path):
    class NoSound(VideoFile):
        def __init__(self, path, *, frame_rate, sound_of=None):
            assert sound_of is None
            super().__init__(path, frame_rate=frame_rate)

        def write(self, frame, *, seconds=None):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Capture([70.0, 70.5], rate=2, count=-1))
    monkeypatch.setattr("hoi_d2.demo.video.VideoFile", NoSound)
    assert run_on_video(FakePredictor(), "http://camera/live.ts", tmp_path) == 0


@pytest.mark.parametrize(("rate", "frames"), [(0.5, 3), (5, 6), (29.97, 5)])
def test_every_rate_is_kept(rate, frames, tmp_path):
    write_clip(tmp_path / "in.avi", [FRAME] * frames, rate=rate)
    code, seconds, tracks, drawn = run(str(tmp_path / "in.avi"), tmp_path)
    assert code == 0
    assert seconds == pytest.approx([n / rate for n in range(frames)], abs=2e-3)
    assert drawn[0] == frames and drawn[1] == pytest.approx(rate, rel=1e-3)
    [hold] = tracks
    assert hold["duration_s"] == pytest.approx(frames / rate, abs=0.01)
    assert hold["frames"] == frames and hold["person_id"] == 0


def test_a_limit_is_no_break(tmp_path, capsys):
    write_clip(tmp_path / "in.avi", [FRAME] * 9, rate=3)
    code, seconds, _, drawn = run(str(tmp_path / "in.avi"), tmp_path, max_frames=2)
    assert code == 0 and len(seconds) == drawn[0] == 2
    assert "2 frames of 0.7 s" in capsys.readouterr().out


class Camera(Capture):
    """25 frames a second, of which one is seen when somebody looks; ends after so many looks."""

    def __init__(self, looks: int) -> None:
        super().__init__([], rate=25.0)
        self.looks = looks

    def read(self):
        self.looks -= 1
        if self.looks < 0:
            raise KeyboardInterrupt
        time.sleep(0.01)
        return True, FRAME


def test_a_camera_that_is_faster_than_the_model(tmp_path, monkeypatch):
    class Slow(FakePredictor):
        def __call__(self, image):
            time.sleep(0.15)
            return super().__call__(image)

    real, camera = cv2.VideoCapture, Camera(6)
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: camera if source == 0 else real(source))
    start = time.monotonic()
    code, seconds, tracks, (frames, rate) = run(0, tmp_path, Slow())
    watched = time.monotonic() - start
    assert code == 0 and len(seconds) == 6
    assert 0.75 < seconds[-1] < watched
    assert frames / rate == pytest.approx(seconds[-1] + 1 / 25, abs=0.03)
    [hold] = tracks
    assert hold["duration_s"] == pytest.approx(seconds[-1] + 1 / 25, abs=0.01)


def test_names_that_opencv_cannot_take(tmp_path):
    name = tmp_path / "bad\udcff.mp4"
    name.write_bytes(b"")
    with pytest.raises(ValueError, match="not UTF-8"):
        run_on_video(FakePredictor(), str(name), tmp_path)


CASES = {  # seconds of the last frame, frames read and drawn
    "short_audio_14s.mp4": (13.96, 350, 350),
    "vfr_real.mkv": (13.9, 40, 140),
    "vfr_sound.mkv": (13.9, 40, 140),
}


@pytest.mark.parametrize("name", CASES)
def test_videos_of_public_bug_reports(name, real_data, tmp_path, capsys):
    file = real_data.parent / "cases" / "video" / name
    if not file.is_file():
        pytest.skip("there are no cases next to HOI_D2_TEST_DATA")
    last, read, written = CASES[name]
    code, seconds, tracks, (frames, rate) = run(str(file), tmp_path)
    assert code == 0 and "the video ended after" not in capsys.readouterr().err
    assert seconds[-1] == pytest.approx(last) and len(seconds) == read
    assert frames == written and frames / rate == pytest.approx(14.0, abs=0.05)
    [hold] = tracks
    assert hold["duration_s"] == pytest.approx(14.0, abs=0.4)


@pytest.mark.parametrize("camera", [False, True])
def test_the_photo_model_on_a_video_and_a_camera(camera, tmp_path, monkeypatch, capsys):
    """What `hoi-d2 demo --video` and `--webcam` do where no config is named."""
    [photograph, *_] = example_photographs()
    frame = cv2.resize(cv2.imread(str(photograph)), (256, 300))
    source = ["--video", str(tmp_path / "in.avi")]
    write_clip(tmp_path / "in.avi", [frame] * 3, rate=4)
    if camera:
        frames = iter([(True, frame)] * 3)
        fake = Camera(0)
        fake.read = lambda: next(frames, (False, None))
        monkeypatch.setattr(cv2, "VideoCapture", lambda source: fake)
        source = ["--webcam"]
    output = tmp_path / "out"
    assert hoi_d2_main(["demo", *source, "--track", "--output", str(output)]) == 0
    with (output / "hoi_results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["frame"] for line in lines} == {"0", "1", "2"}
    assert {line["verb"] for line in lines if line["object"] == "tie"} >= {"wear"}
    assert {line["person_id"] for line in lines} == {"0"}, "it is one and the same person"
    assert "3 frames" in capsys.readouterr().out


def test_frames_are_seen_until_the_next_one(tmp_path):
    video = VideoFile(tmp_path / "a.mp4", frame_rate=10)
    for seconds, shade in ((0.0, 0), (0.3, 120), (0.31, 250), (0.5, 60)):
        video.write(np.full((48, 64, 3), shade, np.uint8), seconds=seconds)
    video.close(seconds=0.7)
    capture, shades = cv2.VideoCapture(str(tmp_path / "a.mp4")), []
    while (frame := capture.read()[1]) is not None:
        shades.append(round(float(frame.mean()) / 10) * 10)
    assert shades == [0, 0, 0, 250, 250, 60, 60]
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("kept", [5, 2])
def test_sound_never_cuts_the_picture(kept, tmp_path, monkeypatch):
    """ffmpeg is told how long the picture is; a file with fewer frames is not taken."""
    commands = []

    def ffmpeg(command, **_):
        commands.append(command)
        write_clip(Path(command[-1]), [FRAME] * kept, rate=5, codec="mp4v")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(video_file.shutil, "which", lambda _: "ffmpeg")
    monkeypatch.setattr(video_file.subprocess, "run", ffmpeg)
    video = VideoFile(tmp_path / "a.mp4", frame_rate=5, sound_of="in.mkv")
    for _ in range(5):
        video.write(FRAME)
    how = video.close()
    [command] = commands
    assert "-shortest" not in command and command[command.index("-t") + 1] == "1.000"
    assert ("kept 2 of 5" in how) == (kept == 2)
    assert count_frames(tmp_path / "a.mp4") == 5 and len(list(tmp_path.iterdir())) == 1


BOX, SCORE = np.array([[10.0, 10, 50, 110]]), np.array([0.9])


@pytest.mark.parametrize(
    ("times", "is_new"),
    [
        ([0.0, 0.5], False),
        ([0.0, 9.0], False),  # the next frame, however late it is
        ([0.0, None, 0.9], False),
        ([0.0, None, 1.2], True),  # missing in a frame, for more than a second
    ],
)
def test_people_are_followed_by_time(times, is_new):
    tracker, seen = PersonTracker(frame_rate=25), []
    for before, now in zip([0.0, *times], times):
        if now is None:
            tracker.numbers(BOX[:0], SCORE[:0], seconds=before + 0.1)
        else:
            seen.append(int(tracker.numbers(BOX, SCORE, seconds=now)[0]))
    assert seen == [0, int(is_new)]


def test_interactions_last_until_the_next_frame():
    log = InteractionLog(frame_rate=25)
    for number, seconds in enumerate((0.0, 0.2, 3.0, 3.2)):
        doing = [(0, HOLD)] if number != 2 else []
        people = [(10.0, 0.9)] if doing else []
        ids = [7] if doing else []
        log.add(number, prediction(people, doing, ids=ids), seconds=seconds)
    rows = [(r["start_s"], r["duration_s"], r["first_frame"], r["last_frame"]) for r in log.rows()]
    assert rows == [(0.0, 3.0, 0, 1), (3.2, 0.04, 3, 3)]


def test_the_source_is_looked_at_for_its_finest_rate(monkeypatch):
    stamps = [0, 0.1, 0.2, 10.0]
    monkeypatch.setattr(video_source.cv2, "VideoCapture", Capture(stamps, rate=0.4, count=4))
    assert VideoSource("a.mkv").finest_rate() == 10
    monkeypatch.setattr(cv2, "VideoCapture", Capture([0, 0.033, 0.067, 0.1], rate=29.97, count=4))
    assert VideoSource("a.mkv").finest_rate() == 29.97
