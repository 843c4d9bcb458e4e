"""Frames with their times, of a video file, a stream or a camera."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

_USUAL_RATE = 25.0
_RATES = (0.01, 1000.0)  # frames a second that can be
_FINEST = 120.0
_LOOKED_AT = 250
_LATE = 1.0  # seconds that a time may lie behind the end that the file names


class VideoSource:
    """Gives frames and the second from which each is seen.

    The time of a frame is what the file or the stream says of it, whatever its rate; a camera has
    no such times, and its frames are dated when they are read: a model that is slower than the
    camera does not make the time run slower.

    Args:
        source: a file, the address of a stream, or the number of a camera.

    Attributes:
        is_open: whether OpenCV can read it.
        is_live: a camera, or a stream without an end.
        rate: frames a second that its header names; 25 where that cannot be.
        duration: seconds, by its header; 0 = unknown.
    """

    def __init__(self, source: str | int) -> None:
        self.source = source
        self._capture = cv2.VideoCapture(source)
        self.is_open = bool(self._capture.isOpened())
        rate = self._capture.get(cv2.CAP_PROP_FPS) if self.is_open else 0.0
        self.rate = rate if _RATES[0] <= rate <= _RATES[1] else _USUAL_RATE
        self.is_camera = isinstance(source, int)
        count = 0.0 if self.is_camera else self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.duration = max(count, 0.0) / self.rate
        self.is_live = self.is_camera or (is_address(source) and not self.duration)

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Seconds, which grow from frame to frame, and (H, W, 3) uint8 BGR."""
        last, first = -1.0, 0.0
        began: float | None = None
        while True:
            ok, frame = self._capture.read()
            if not ok:
                return
            if self.is_camera:
                now = time.monotonic()
                began = now if began is None else began
                seconds = now - began
            else:
                stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if self.is_live and last < 0:
                    first = stamp  # its own clock began before anybody looked
                seconds = stamp - first
            last = self._sound(seconds, last)
            yield last, frame

    def _sound(self, seconds: float, last: float) -> float:
        """The time of a frame; one interval after the last one where it cannot be."""
        possible = math.isfinite(seconds) and seconds > last
        if self.duration:
            possible &= seconds <= self.duration + _LATE
        if possible and seconds >= 0:
            return seconds
        return 0.0 if last < 0 else last + (0.001 if self.is_camera else 1 / self.rate)

    def finest_rate(self) -> float:
        """Frames a second that show every one of the first frames: the header's rate, or more where
        frames come faster (a variable rate, whose header has the mean)."""
        if self.is_camera or is_address(self.source):
            return self.rate
        capture = cv2.VideoCapture(self.source)
        stamps: list[float] = []
        while len(stamps) < _LOOKED_AT and capture.grab():
            stamps.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        capture.release()
        steps = np.diff(stamps)
        steps = steps[steps > 0]
        if not len(steps) or steps.min() > 0.7 / self.rate:  # stamps are rounded
            return self.rate
        return float(min(_FINEST, round(1 / steps.min(), 2)))

    def release(self) -> None:
        """Closes it."""
        self._capture.release()


def is_address(source: str | int) -> bool:
    """Whether a source is the address of a stream, not a file."""
    return "://" in str(source)


def check_name(path: Path) -> None:
    """Raises ValueError where OpenCV would crash on the name of a file."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"--video {str(path)!r}: the name is not UTF-8, which OpenCV cannot open; rename it"
        ) from None
