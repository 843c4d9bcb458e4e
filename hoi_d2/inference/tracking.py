"""Who is who over the frames of a video.

Boxes are given to people by the largest sum of IoUs with where each person should be by now: first
the sure boxes, then the unsure ones to those who are left, as in ByteTrack (Zhang et al., ECCV
2022); a smoothed velocity takes the place of its Kalman filter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import box_iou

from hoi_d2.inference.prediction import HOIPrediction

_SURE, _UNSURE = 0.25, 0.1  # scores between follow somebody, but do not begin somebody
_MIN_IOU = 0.1
_SAME_PERSON = 0.7  # a box with this IoU is a second one of the same person
_GOES_ON = 0.85  # of the velocity, from frame to frame, while a person is hidden
_NEW_SHARE = 0.3  # of the newest step in the velocity
_SHORTEST = 0.25  # frames; two frames that are closer have a wrong time


@dataclass
class _Person:
    """A person who is followed: XYXY box at the time `seen`, which is in frames of the usual rate
    and has fractions where the rate varies; velocity in pixels a frame."""

    number: int
    box: np.ndarray
    seen: float
    velocity: np.ndarray | None = None

    def expected_box(self, frame: float) -> np.ndarray:
        """The last box, moved by its velocity, which decays while it is not seen."""
        if self.velocity is None:
            return self.box
        steps = (1 - _GOES_ON ** (frame - self.seen)) / (1 - _GOES_ON)
        return self.box + np.tile(self.velocity, 2) * steps

    def see(self, box: np.ndarray, frame: float) -> None:
        """Notes where the person is now."""
        step = (_center(box) - _center(self.box)) / max(frame - self.seen, _SHORTEST)
        old = step if self.velocity is None else self.velocity
        self.velocity = (1 - _NEW_SHARE) * old + _NEW_SHARE * step
        self.box, self.seen = box, frame


class PersonTracker:
    """Gives the people of frame after frame a number that stays.

    Args:
        frame_rate: usual rate of the video; a person who is missing in a frame and not seen for
            more than a second gets a new number.
    """

    def __init__(self, *, frame_rate: float) -> None:
        self._rate, self._patience = frame_rate, max(1, round(frame_rate))
        self._people: list[_Person] = []
        self._frame, self._last = -1.0, -1.0  # the times of this frame and of the one before
        self._known = 0

    def follow(self, prediction: HOIPrediction, *, seconds: float | None = None) -> HOIPrediction:
        """Adds `person_ids` to `hoi_instances`: numbers from 0, -1 where no person is tracked.

        Args:
            prediction: of the next frame.
            seconds: its time, which grows; None = one frame of the usual rate after the last one.
        """
        found = prediction.instances
        people = (found.pred_classes == prediction.vocabulary.person).nonzero().squeeze(1)
        ids = torch.full((len(found),), -1, dtype=torch.int64)
        boxes = found.pred_boxes.tensor[people].double().numpy()
        ids[people] = torch.from_numpy(
            self.numbers(boxes, found.scores[people].numpy(), seconds=seconds)
        )
        pairs = prediction.hoi_instances
        pairs.person_ids = ids[pairs.pair_indices[:, 0]]
        return prediction

    def numbers(
        self, boxes: np.ndarray, scores: np.ndarray, *, seconds: float | None = None
    ) -> np.ndarray:
        """(N,) track number of each box of the next frame, -1 = none.

        Args:
            boxes: (N, 4) XYXY of people.
            scores: (N,).
            seconds: as of `follow`.
        """
        self._last = self._frame
        self._frame = self._last + 1 if seconds is None else seconds * self._rate
        numbers = np.full(len(boxes), -1, dtype=np.int64)
        self._people = [
            p
            for p in self._people
            if p.seen == self._last or self._frame - p.seen <= self._patience
        ]
        for wanted in (scores >= _SURE, (scores >= _UNSURE) & (scores < _SURE)):
            self._recognise(boxes, np.flatnonzero(wanted), numbers)
        for row in np.argsort(-scores, kind="stable"):
            if numbers[row] < 0:
                numbers[row] = self._second_box(boxes, row, numbers)
            if numbers[row] < 0 and scores[row] >= _SURE:
                numbers[row] = self._begin(boxes[row])
        return numbers

    def _recognise(self, boxes: np.ndarray, rows: np.ndarray, numbers: np.ndarray) -> None:
        """Gives these boxes to the people who have none in this frame yet."""
        missing = [p for p in self._people if p.seen < self._frame]
        if not missing or not len(rows):
            return
        from scipy.optimize import linear_sum_assignment  # slow to import

        overlap = _iou(np.stack([p.expected_box(self._frame) for p in missing]), boxes[rows])
        for who, column in zip(*linear_sum_assignment(overlap, maximize=True)):
            if overlap[who, column] >= _MIN_IOU:
                missing[who].see(boxes[rows[column]], self._frame)
                numbers[rows[column]] = missing[who].number

    def _second_box(self, boxes: np.ndarray, row: int, numbers: np.ndarray) -> int:
        """The person of this frame whose box this nearly is, -1 = none."""
        known = np.flatnonzero(numbers >= 0)
        if not len(known):
            return -1
        overlap = _iou(boxes[row][None], boxes[known])[0]
        best = int(overlap.argmax())
        return int(numbers[known[best]]) if overlap[best] >= _SAME_PERSON else -1

    def _begin(self, box: np.ndarray) -> int:
        self._people.append(_Person(self._known, box, self._frame))
        self._known += 1
        return self._known - 1


def _center(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) of two sets of XYXY boxes."""
    return box_iou(torch.from_numpy(a), torch.from_numpy(b)).nan_to_num().numpy()
