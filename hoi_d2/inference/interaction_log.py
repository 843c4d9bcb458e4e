"""Measures how long each interaction of a video lasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hoi_d2.inference.prediction import HOIPrediction


@dataclass
class _Episode:
    first: int
    last: int
    start: float  # seconds
    seen: float  # of the last frame
    end: float
    frames: int = 0
    best: float = 0.0


@dataclass
class InteractionLog:
    """Which person did what with which kind of object, from when to when.

    An interaction that is missing in a frame and not seen for `gap` seconds is another one when it
    comes back. What is seen in a frame lasts until the next frame.

    Args:
        frame_rate: usual number of frames a second.
        gap: in seconds.
    """

    frame_rate: float
    gap: float = 1.0
    _episodes: dict[tuple, list[_Episode]] = field(default_factory=dict)

    def add(self, frame: int, prediction: HOIPrediction, *, seconds: float | None = None) -> None:
        """Notes the interactions of a frame; those of people without a number are left out.

        Args:
            frame: its number.
            prediction: what was found.
            seconds: its time; None = by the usual rate.
        """
        now = frame / self.frame_rate if seconds is None else seconds
        self._lasted_until(frame, now)
        best: dict[tuple, float] = {}
        for t in prediction.triplets:
            if t.person_id is not None:
                key = (t.person_id, t.verb, t.object)
                best[key] = max(t.score, best.get(key, 0.0))
        for key, score in best.items():
            episodes = self._episodes.setdefault(key, [])
            if not episodes or self._is_over(episodes[-1], frame, now):
                episodes.append(_Episode(frame, frame, now, now, now))
            episode = episodes[-1]
            episode.last, episode.seen, episode.end = frame, now, now + 1 / self.frame_rate
            episode.frames, episode.best = episode.frames + 1, max(episode.best, score)

    def _lasted_until(self, frame: int, seconds: float) -> None:
        """What was seen in the frame before lasted until this one."""
        for episodes in self._episodes.values():
            if episodes[-1].last == frame - 1:
                episodes[-1].end = seconds

    def _is_over(self, episode: _Episode, frame: int, seconds: float) -> bool:
        rounding = 1e-6
        return frame - episode.last > 1 and seconds - episode.seen > self.gap + rounding

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
                "start_s": round(e.start, 3),
                "duration_s": round(e.end - e.start, 3),
                "first_frame": e.first,
                "last_frame": e.last,
                "frames": e.frames,
                "best_score": round(e.best, 4),
            }
            for number, (e, (person, verb, target)) in enumerate(found)
        ]
