"""The demo on a video file or a camera."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from hoi_d2.demo.images import keep_originals
from hoi_d2.demo.report import DEFAULT, DemoReport, DrawOptions
from hoi_d2.inference.interaction_log import InteractionLog
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.inference.predictor import HOIPredictor
from hoi_d2.inference.tracking import PersonTracker
from hoi_d2.visualization import HOIVisualizer
from hoi_d2.visualization.video import VideoFile

_USUAL_RATE = 25.0


def run_on_video(
    predictor: HOIPredictor,
    source: str | int,
    output: Path,
    *,
    draw: DrawOptions = DEFAULT,
    track: bool = False,
    max_frames: int | None = None,
) -> int:
    """Writes the video with interactions drawn, hoi_results.csv, and hoi_results.json with frame
    numbers as image ids; with `track` also hoi_tracks.json: who did what, from when, how long.

    Args:
        predictor: the model.
        source: a file, or the number of a camera, which Ctrl-C ends.
        output: folder.
        draw: what is drawn.
        track: follow people.
        max_frames: at most that many; None = all.

    Returns:
        0; 1 where the video broke off before its end; 2 where there was no frame.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the drawn video would overwrite it.
    """
    is_camera = isinstance(source, int)
    name = f"camera_{source}" if is_camera else Path(str(source)).stem
    target = output / f"{name}.mp4"
    if not is_camera and "://" not in str(source):  # a stream's address is no file
        _check_file(Path(str(source)), target)
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        what = f"camera {source}" if is_camera else f"{source} (a video that OpenCV can decode?)"
        print(f"demo: cannot open {what}", file=sys.stderr)
        return 2
    rate = capture.get(cv2.CAP_PROP_FPS)
    rate = rate if 1 <= rate <= 1000 else _USUAL_RATE
    total = 0 if is_camera else max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    expected = min(total, max_frames) if max_frames is not None and total else total
    tracker = PersonTracker(frame_rate=rate) if track else None
    log = InteractionLog(rate)
    sound = None if isinstance(source, int) else source
    video = VideoFile(target, frame_rate=rate, sound_of=sound)
    frames = islice(_frames(capture), max_frames)
    try:
        with DemoReport(output, ("frame", "seconds"), predictor.vocabulary) as report:
            for number, frame in enumerate(tqdm(frames, total=expected or None, unit="frame")):
                prediction = predictor(frame)
                if tracker is not None:
                    prediction = tracker.follow(prediction)
                drawn = draw.select(prediction)
                log.add(number, drawn)
                report.add(number, (number, f"{number / rate:.3f}"), prediction, drawn)
                video.write(_drawn_frame(drawn))
    except KeyboardInterrupt:  # the way to end a camera
        pass
    finally:
        capture.release()
        how = video.close()
    if tracker is not None:
        (output / "hoi_tracks.json").write_text(json.dumps(log.rows(), indent=1))
    print(f"{video.frames} frames in {video.path} ({how}); results in {output}")
    return _exit_code(video.frames, expected)


def _check_file(source: Path, target: Path) -> None:
    if not source.is_file():
        raise FileNotFoundError(f"--video {source}: no such file")
    keep_originals([source], [target])


def _exit_code(done: int, expected: int) -> int:
    if not done:
        print("demo: the video has no frame that can be decoded", file=sys.stderr)
        return 2
    if done < 0.98 * expected:  # what a container says of itself is not always exact
        print(f"demo: broken off after {done} of about {expected} frames", file=sys.stderr)
        return 1
    return 0


def _drawn_frame(drawn: HOIPrediction) -> np.ndarray:
    """BGR, of the frame's own size."""
    visualizer = HOIVisualizer(drawn.image, scale=1.0, legend=False)
    image = visualizer.draw_hoi_instances(
        drawn.hoi_instances, drawn.vocabulary, score_threshold=0.0, top_k=None
    )
    return np.ascontiguousarray(image.get_image()[:, :, ::-1])


def _frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    while True:
        ok, frame = capture.read()
        if not ok:
            return
        yield frame
