"""The demo on a video file, a stream or a camera."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from hoi_d2.demo.images import keep_originals
from hoi_d2.demo.report import DEFAULT, DemoReport, DrawOptions
from hoi_d2.demo.video_source import VideoSource, check_name, is_address
from hoi_d2.inference.interaction_log import InteractionLog
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.inference.predictor import HOIPredictor
from hoi_d2.inference.tracking import PersonTracker
from hoi_d2.utils.files import write_json
from hoi_d2.visualization import InteractionDrawer
from hoi_d2.visualization.video import VideoFile


def run_on_video(
    predictor: HOIPredictor,
    source: str | int,
    output: Path,
    *,
    draw: DrawOptions = DEFAULT,
    track: bool = False,
    max_frames: int | None = None,
) -> int:
    """Draws the interactions in a video; writes hoi_results.csv and hoi_results.json.

    Image ids in hoi_results.json are frame numbers. With `track` hoi_tracks.json is written as
    well: which person did what, the start time and the duration. Times are those of the source
    (`VideoSource`), in seconds; the drawn video shows each frame at its time.

    Args:
        predictor: the model.
        source: a file, the URL of a stream, or a camera index; Ctrl-C ends a camera.
        output: the output folder.
        draw: which interactions are drawn.
        track: whether to track people.
        max_frames: maximum number of frames; None = all.

    Returns:
        0; 1 if the video ended before its stated duration; 2 if it has no frame.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the drawn video would overwrite it, or OpenCV cannot open a file of this name.
    """
    target = _target(source, output)
    frames = VideoSource(source)
    if not frames.is_open:
        reason = "" if isinstance(source, int) else ": OpenCV cannot decode it"
        what = "camera " if isinstance(source, int) else ""
        print(f"demo: cannot open {what}{source}{reason}", file=sys.stderr)
        return 2
    sound = None if isinstance(source, int) or frames.is_live else source
    video = VideoFile(target, frame_rate=frames.finest_rate(), sound_of=sound)
    tracker = PersonTracker(frame_rate=frames.rate) if track else None
    log = InteractionLog(frames.rate)
    done, seconds = 0, 0.0
    try:
        with DemoReport(output, ("frame", "seconds"), predictor.vocabulary) as report:
            for number, (seconds, frame) in enumerate(_progress(frames, max_frames)):
                prediction = predictor(frame)
                if tracker is not None:
                    prediction = tracker.follow(prediction, seconds=seconds)
                drawn = draw.select(prediction)
                log.add(number, drawn, seconds=seconds)
                report.add(number, (number, f"{seconds:.3f}"), prediction, drawn)
                video.write(_drawn_frame(drawn, draw.font), seconds=seconds)
                done = number + 1
    except KeyboardInterrupt:  # Ctrl-C ends a camera
        pass
    finally:
        frames.release()
        is_whole = max_frames is None or done < max_frames
        how = video.close(seconds=_end(seconds, frames) if is_whole else None)
        if tracker is not None:
            write_json(output / "hoi_tracks.json", log.rows())
    if done:
        print(
            f"{done} frames of {seconds + 1 / frames.rate:.1f} s in {video.path} ({video.frames} "
            f"at {video.frame_rate:g} per second; {how}); results in {output}"
        )
    return _exit_code(done, seconds, frames, is_limited=not is_whole)


def _target(source: str | int, output: Path) -> Path:
    """The file of the drawn video; the source is checked if it is a file."""
    if isinstance(source, int):
        return output / f"camera_{source}.mp4"
    target = output / f"{Path(source).stem}.mp4"
    if not is_address(source):
        check_name(Path(source))
        if not Path(source).is_file():
            raise FileNotFoundError(f"--video {source}: no such file")
        keep_originals([Path(source)], [target])
    return target


def _progress(frames: VideoSource, limit: int | None) -> Iterator[tuple[float, np.ndarray]]:
    """Yields frames and shows progress in seconds; the number of frames is not known in advance."""
    total = round(frames.duration, 1) or None
    with tqdm(total=total, unit="s", unit_scale=False) as bar:
        for number, (seconds, frame) in enumerate(islice(frames.frames(), limit), start=1):
            yield seconds, frame
            bar.n = round(seconds, 1)
            bar.set_postfix_str(f"{number} frames", refresh=False)
            bar.update(0)


def _end(seconds: float, frames: VideoSource) -> float:
    """Returns the end time of the last frame: the header's duration if it is plausible."""
    usual = seconds + 1 / frames.rate
    return frames.duration if seconds < frames.duration <= usual + 1 else usual


def _exit_code(done: int, seconds: float, frames: VideoSource, *, is_limited: bool) -> int:
    if not done:
        print("demo: the video has no frame that can be decoded", file=sys.stderr)
        return 2
    seen = seconds + 1 / frames.rate
    if seen < 0.98 * frames.duration and not is_limited:  # headers are not always exact
        print(
            f"demo: the video ended after {done} frames, at {seen:.1f} of {frames.duration:.1f} s",
            file=sys.stderr,
        )
        return 1
    return 0


def _drawn_frame(drawn: HOIPrediction, font: str | None) -> np.ndarray:
    """Returns the frame with interactions drawn, BGR, in the frame's size."""
    visualizer = InteractionDrawer(drawn.image, scale=1.0, legend=False, font=font)
    image = visualizer.draw_hoi_instances(
        drawn.hoi_instances, drawn.vocabulary, score_threshold=0.0, top_k=None
    )
    return cv2.cvtColor(image.get_image(), cv2.COLOR_RGB2BGR)
