"""Who is who over the frames of a video, and how long each interaction lasts.

People are followed by ByteTrack (Zhang et al., ECCV 2022) as the extra `[video]` brings it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from hoi_d2.engine.prediction import HOIPrediction

_HELP = "following people needs the extra [video]: pip install 'hoi-d2[video]'"


class PersonTracker:
    """Gives the people of frame after frame a number that stays.

    Args:
        frame_rate: of the video; a person who is not seen for a second gets a new number.

    Raises:
        ImportError: the extra is not installed; says how to get it.
    """

    def __init__(self, *, frame_rate: float) -> None:
        self._tracker, self._update = _byte_track(frame_rate)

    def follow(self, prediction: HOIPrediction) -> HOIPrediction:
        """Adds `person_ids` to `hoi_instances`: numbers from 0, -1 where nobody is followed."""
        found = prediction.instances
        people = (found.pred_classes == prediction.vocabulary.person).nonzero().squeeze(1)
        ids = torch.full((len(found),), -1, dtype=torch.int64)
        boxes = found.pred_boxes.tensor[people].double().numpy()
        numbers = self._numbers(boxes, found.scores[people].double().numpy())
        ids[people] = torch.from_numpy(numbers)
        pairs = prediction.hoi_instances
        pairs.person_ids = ids[pairs.pair_indices[:, 0]]
        return prediction

    def _numbers(self, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """(N,) the number of each box."""
        import supervision

        rows = np.arange(len(boxes))
        detections = supervision.Detections(
            xyxy=boxes.reshape(-1, 4),
            confidence=scores,
            class_id=np.zeros(len(boxes), dtype=int),
            data={"row": rows},
        )
        tracked = self._update(detections)
        numbers = np.full(len(boxes), -1, dtype=np.int64)
        if len(tracked):
            numbers[np.asarray(tracked.data["row"], dtype=int)] = tracked.tracker_id
        return numbers


def _byte_track(frame_rate: float) -> tuple[Any, Any]:
    """The tracker and its update; it moved from `supervision` to `trackers` in supervision 0.30."""
    try:
        import supervision

        if not hasattr(supervision, "ByteTrack"):
            import trackers
    except ImportError as error:
        raise ImportError(f"{_HELP} ({error})") from error
    lost, sure = max(1, round(frame_rate)), 0.25
    if hasattr(supervision, "ByteTrack"):
        tracker = supervision.ByteTrack(
            track_activation_threshold=sure,
            lost_track_buffer=lost,
            frame_rate=frame_rate,
            minimum_consecutive_frames=1,
        )
        return tracker, tracker.update_with_detections
    tracker = trackers.ByteTrackTracker(
        lost_track_buffer=30,  # in frames of a video of 30 a second
        frame_rate=frame_rate,
        track_activation_threshold=sure,
        high_conf_det_threshold=sure,
        minimum_consecutive_frames=1,
    )
    return tracker, tracker.update


@dataclass
class _Episode:
    first: int
    last: int
    frames: int = 0
    best: float = 0.0


@dataclass
class InteractionLog:
    """Which person did what with which kind of object, from when to when.

    An interaction that is not seen for `gap` seconds and comes back is another one.

    Args:
        frame_rate: frames a second.
        gap: in seconds.
    """

    frame_rate: float
    gap: float = 1.0
    _episodes: dict[tuple, list[_Episode]] = field(default_factory=dict)

    def add(self, frame: int, prediction: HOIPrediction) -> None:
        """Notes the interactions of a frame; those of people without a number are left out."""
        best: dict[tuple, float] = {}
        for t in prediction.triplets:
            if t.person_id is not None:
                key = (t.person_id, t.verb, t.object)
                best[key] = max(t.score, best.get(key, 0.0))
        for key, score in best.items():
            episodes = self._episodes.setdefault(key, [])
            if not episodes or frame - episodes[-1].last > self.gap * self.frame_rate:
                episodes.append(_Episode(frame, frame))
            now = episodes[-1]
            now.last, now.frames, now.best = frame, now.frames + 1, max(now.best, score)

    def rows(self) -> list[dict[str, Any]]:
        """One for each interaction, by start: id, person_id, verb, object, seconds and frames."""
        found = [(e, key) for key, episodes in self._episodes.items() for e in episodes]
        found.sort(key=lambda item: (item[0].first, item[1][0]))
        return [
            {
                "id": number,
                "person_id": person,
                "verb": verb,
                "object": target,
                "start_s": round(e.first / self.frame_rate, 3),
                "duration_s": round((e.last - e.first + 1) / self.frame_rate, 3),
                "first_frame": e.first,
                "last_frame": e.last,
                "frames": e.frames,
                "best_score": round(e.best, 4),
            }
            for number, (e, (person, verb, target)) in enumerate(found)
        ]
