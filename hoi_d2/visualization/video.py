"""Writes videos: OpenCV encodes the frames, ffmpeg adds the sound if it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np


class VideoFile:
    """Writes a video; the file is complete after `close`.

    OpenCV writes MPEG-4 with a constant frame rate and without sound. A frame can have a start
    time: it is repeated until the next frame starts, and of two frames in one slot the later one is
    kept. If ffmpeg is installed, `close` converts the file to H.264, which browsers can play, with
    the sound of the original.

    Args:
        path: the path of the .mp4 file.
        frame_rate: frames per second.
        sound_of: a video whose sound is copied; None = no sound.

    Attributes:
        frames: number of frames in the file so far.
    """

    def __init__(
        self, path: str | Path, *, frame_rate: float, sound_of: str | Path | None = None
    ) -> None:
        self.path, self.frame_rate, self.sound_of = Path(path), frame_rate, sound_of
        self._raw = self.path.with_name(f"{self.path.stem}.partial{self.path.suffix}")
        self._writer: cv2.VideoWriter | None = None
        self._held: np.ndarray | None = None
        self.frames = 0

    def write(self, frame: np.ndarray, *, seconds: float | None = None) -> None:
        """Adds a frame, (H, W, 3) uint8 BGR; all frames must have the same size.

        MPEG-4 and H.264 need even sides: the last row or column of an odd side is repeated.

        Args:
            frame: the pixels.
            seconds: start time; None = right after the previous frame. The first frame always
                starts at 0.

        Raises:
            OSError: the file cannot be written.
        """
        if self._held is not None:
            start = self.frames + 1 if seconds is None else round(seconds * self.frame_rate)
            self._encode(self._held, start - self.frames)
        self._held = frame

    def _encode(self, frame: np.ndarray, times: int) -> None:
        odd = frame.shape[0] % 2, frame.shape[1] % 2
        if any(odd):  # OpenCV would drop the last row or column
            frame = cv2.copyMakeBorder(frame, 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE)
        if self._writer is None:
            fourcc, size = cv2.VideoWriter.fourcc(*"mp4v"), (frame.shape[1], frame.shape[0])
            self._writer = cv2.VideoWriter(str(self._raw), fourcc, self.frame_rate, size)
            if not self._writer.isOpened():
                raise OSError(f"{self.path}: this OpenCV cannot write MPEG-4 videos")
        for _ in range(times):
            self._writer.write(frame)
            self.frames += 1

    def close(self, *, seconds: float | None = None) -> str:
        """Completes the file.

        Args:
            seconds: end time of the last frame; None = after one frame interval.

        Returns:
            A message about the format and the sound.
        """
        if self._held is None:
            return "no frame"
        end = 0 if seconds is None else round(seconds * self.frame_rate)
        self._encode(self._held, max(1, end - self.frames))
        assert self._writer is not None
        self._writer.release()
        self._held, message = None, self._with_sound()
        if self._raw.is_file():
            self._raw.replace(self.path)
        return message

    def _with_sound(self) -> str:
        """Writes the final file with ffmpeg; the video is never shortened to the sound."""
        if shutil.which("ffmpeg") is None:
            return "without sound: ffmpeg is not installed"
        finished = self._raw.with_suffix(".h264.mp4")
        done = subprocess.run(self._command(finished), capture_output=True, text=True)
        if done.returncode:
            finished.unlink(missing_ok=True)
            return f"without sound: ffmpeg reports {done.stderr.strip()[-200:]}"
        if (kept := count_frames(finished)) < self.frames:
            finished.unlink(missing_ok=True)
            return f"without sound: ffmpeg kept {kept} of {self.frames} frames"
        finished.replace(self.path)
        self._raw.unlink()
        return "H.264, with the sound of the original if it has any"

    def _command(self, finished: Path) -> list[str]:
        command = ["ffmpeg", "-y", "-nostdin", "-loglevel", "error", "-i", str(self._raw)]
        if self.sound_of is not None:
            command += ["-i", str(self.sound_of), "-map", "0:v", "-map", "1:a?", "-c:a", "aac"]
        # As long as the video: longer sound is cut, shorter sound ends earlier.
        command += ["-t", f"{self.frames / self.frame_rate:.3f}"]
        return [*command, "-c:v", "libx264", "-pix_fmt", "yuv420p", str(finished)]


def count_frames(path: Path) -> int:
    """Returns the number of frames in a video file's header; 0 = it cannot be opened."""
    capture = cv2.VideoCapture(str(path))
    try:
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0) if capture.isOpened() else 0
    finally:
        capture.release()
