"""Measures how long each interaction of a video lasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hoi_d2.inference.prediction import HOIPrediction


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
