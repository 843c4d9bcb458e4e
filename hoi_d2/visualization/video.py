"""Writes videos: OpenCV encodes the frames, ffmpeg adds the sound if it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np


class VideoFile:
    """A video that is being written.

    OpenCV writes MPEG-4 without sound. Where ffmpeg is installed, `close` makes it H.264, which
    browsers play, with the sound of the original.

    Args:
        path: of the .mp4.
        frame_rate: frames a second.
        sound_of: a video whose sound is taken over, None = none.
    """

    def __init__(
        self, path: str | Path, *, frame_rate: float, sound_of: str | Path | None = None
    ) -> None:
        self.path, self.frame_rate, self.sound_of = Path(path), frame_rate, sound_of
        self._writer: cv2.VideoWriter | None = None
        self.frames = 0

    def write(self, frame: np.ndarray) -> None:
        """Adds a frame, (H, W, 3) uint8 BGR; all of one size.

        MPEG-4 and H.264 want even sides: an odd one has its last row or column twice.

        Raises:
            OSError: the file cannot be written.
        """
        odd = frame.shape[0] % 2, frame.shape[1] % 2
        if any(odd):  # OpenCV would drop the last row or column
            frame = cv2.copyMakeBorder(frame, 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE)
        if self._writer is None:
            fourcc, size = cv2.VideoWriter.fourcc(*"mp4v"), (frame.shape[1], frame.shape[0])
            self._writer = cv2.VideoWriter(str(self.path), fourcc, self.frame_rate, size)
            if not self._writer.isOpened():
                raise OSError(f"{self.path}: this OpenCV cannot write MPEG-4 videos")
        self._writer.write(frame)
        self.frames += 1

    def close(self) -> str:
        """Finishes the file; returns a message about its format and sound."""
        if self._writer is None:
            return "no frame"
        self._writer.release()
        if shutil.which("ffmpeg") is None:
            return "without sound: ffmpeg is not installed"
        finished = self.path.with_suffix(".h264.mp4")
        sound = [] if self.sound_of is None else ["-i", str(self.sound_of), "-map", "1:a?"]
        command = ["ffmpeg", "-y", "-nostdin", "-loglevel", "error", "-i", str(self.path)]
        command += [*sound[:2], "-map", "0:v", *sound[2:], "-c:v", "libx264", "-pix_fmt", "yuv420p"]
        command += ["-c:a", "aac", "-shortest"]
        done = subprocess.run([*command, str(finished)], capture_output=True, text=True)
        if done.returncode:
            finished.unlink(missing_ok=True)
            return f"without sound: ffmpeg reports {done.stderr.strip()[-200:]}"
        finished.replace(self.path)
        return "H.264, with the sound of the original if it has any"
