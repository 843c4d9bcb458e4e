"""Draws a `Scene`: colours, sizes and the order of drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.visualization.canvas import (
    GREY,
    WHITE,
    Color,
    HOIImage,
    load_font,
    text_mask,
    wrap_text,
)
from hoi_d2.visualization.fonts import font_for
from hoi_d2.visualization.layout import (
    BODY,
    FACE,
    LINE,
    OBJECT,
    LabelRequest,
    Obstacle,
    Place,
    head_region,
    place_labels,
)
from hoi_d2.visualization.scene import FALSE_ALARM, HIT, MISS, Pair, Scene

PERSON_COLORS: tuple[Color, ...] = (
    (255, 190, 11),
    (64, 196, 255),
    (255, 110, 180),
    (105, 232, 105),
    (190, 150, 255),
    (255, 140, 80),
    (0, 230, 200),
    (255, 240, 90),
    (130, 165, 255),
    (235, 110, 110),
    (190, 235, 40),
    (225, 180, 140),
)
"""One colour per person, in order of appearance; all are light, because the text is dark."""

STATE_COLORS: dict[str, Color] = {
    HIT: (90, 220, 110),
    MISS: (255, 190, 11),
    FALSE_ALARM: (255, 95, 95),
}
STATE_MARKS = {"": "", HIT: "✓ ", MISS: "missed: ", FALSE_ALARM: "✗ "}
"""Each state has a sign as well as a colour, for readers who cannot tell the colours apart."""

_CROWD = 12
"""With more pairs, fonts shrink and labels of one person with the same text are merged."""


@dataclass(frozen=True)
class Style:
    """Sizes in canvas pixels, from the size of the canvas and the number of labels."""

    line: int
    font: int

    @classmethod
    def of(cls, *, height: int, width: int, num_labels: int) -> Style:
        side = min(np.sqrt(height * width), 2.0 * min(height, width))
        crowding = np.clip(np.sqrt(_CROWD / max(num_labels, 1)), 0.75, 1.0)
        return cls(line=max(2, round(side / 300)), font=max(11, round(side * crowding / 40)))


@dataclass(frozen=True, eq=False)
class _Label:
    """A text, and the box that it should be close to."""

    text: str
    color: Color
    target: np.ndarray


class ScenePainter:
    """Draws a scene on an image.

    Args:
        output: the image to draw on.
        scene: boxes in pixels of the image before `output.scale`.
        vocabulary: class names.
        legend: see `HOIVisualizer`.
        font: font file; None = DejaVu Sans, or an installed font if letters are missing in it.
    """

    def __init__(
        self,
        output: HOIImage,
        scene: Scene,
        vocabulary: Vocabulary,
        *,
        legend: bool,
        font: str | None,
    ) -> None:
        self.output = output
        self.pairs = scene.pairs
        self.entities = scene.entities
        self.boxes = [_clipped(e.box * output.scale, output) for e in scene.entities]
        self.vocabulary = vocabulary
        self.legend = legend
        self.style = Style.of(height=output.height, width=output.width, num_labels=len(scene.pairs))
        self.font_file = font
        self.font = load_font(self.style.font, font)
        self.padding = max(2, self.style.font // 4)

    def paint(self) -> None:
        """Draws boxes, then lines, then labels; the legend last, because it extends the canvas."""
        self._draw_boxes()
        self._draw_lines()
        self._draw_labels()

    def color_of(self, pair: Pair) -> Color:
        """Returns the colour of the state if there is one, else of the person."""
        if pair.state:
            return STATE_COLORS[pair.state]
        return PERSON_COLORS[self.entities[pair.human].person % len(PERSON_COLORS)]

    def _draw_boxes(self) -> None:
        """Draws boxes, large ones first; solid for humans, dashed for objects."""
        order = sorted(range(len(self.boxes)), key=lambda i: -_area(self.boxes[i]))
        colors: list[list[Color]] = [[] for _ in self.entities]
        solid = {}
        for pair in self.pairs:
            solid[pair.human] = WHITE if pair.state else self.color_of(pair)
            if pair.object >= 0 and self.color_of(pair) not in colors[pair.object]:
                colors[pair.object].append(self.color_of(pair))
        for i in order:
            if i in solid:
                self.output.rectangle(self.boxes[i], solid[i], self.style.line)
            elif colors[i]:
                self.output.dashed_rectangle(self.boxes[i], colors[i], self.style.line)
            else:
                self.output.rectangle(self.boxes[i], GREY, max(2, round(0.6 * self.style.line)))

    def _draw_lines(self) -> None:
        thin = max(2, round(0.7 * self.style.line))
        for pair in self.pairs:
            if pair.object >= 0:
                start, end = self._line_of(pair)
                self.output.line(start, end, self.color_of(pair), thin)
                self.output.dot(end, self.color_of(pair), round(1.5 * self.style.line) + 1)

    def _line_of(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        """Returns the line from the person's centre to the object.

        It ends halfway between the object's centre and its nearest point, so that the lines of
        people on a long bench do not all end at its centre.
        """
        start, box = _center(self.boxes[pair.human]), self.boxes[pair.object]
        nearest = np.clip(start, box[:2], box[2:])
        return start, (nearest + _center(box)) / 2

    def _draw_labels(self) -> None:
        labels = self._labels()
        widest = max(0.3 * self.output.width, 9.0 * self.style.font)
        masks = [self._mask(label.text, widest) for label in labels]
        places = self._places(labels, masks)
        listed: list[_Label] = []
        for label, mask, place in zip(labels, masks, places):
            if place is not None and not place.short:
                self.output.label(mask, place.x, place.y, label.color)
            elif self.legend:
                listed.append(label)
                self._draw_number(len(listed), label, place)
        self._append_legend(listed)
        if not self.legend and None in places:
            self._draw_count(places.count(None))

    def _mask(self, text: str, widest: float) -> np.ndarray:
        """Renders a label in a font that has its letters."""
        font = load_font(self.style.font, font_for(text, self.font_file))
        return text_mask(wrap_text(text, font, widest), font, self.padding)

    def _draw_count(self, num_left: int) -> None:
        """Draws the number of labels that did not fit into the corner."""
        mask = text_mask(f"+{num_left}", self.font, self.padding)
        self.output.label(mask, 0, self.output.height - mask.shape[0], WHITE)

    def _labels(self) -> list[_Label]:
        """Returns one label per pair; in a crowd, one per person and verb for all objects."""
        groups: dict[tuple, list[Pair]] = {}
        for pair in self.pairs:
            same = (pair.human, pair.object_class, pair.state, *pair.verbs)
            groups.setdefault(same, []).append(pair)
        crowded = len(self.pairs) > _CROWD
        labels = []
        for pairs in groups.values():
            if crowded and len(pairs) > 2:
                labels.append(self._label(pairs[0], pairs[0].human, times=len(pairs)))
            else:
                labels += [self._label(pair, self._smaller_end(pair)) for pair in pairs]
        return labels

    def _label(self, pair: Pair, target: int, *, times: int = 1) -> _Label:
        text = STATE_MARKS[pair.state] + pair.text(self.vocabulary, times=times)
        return _Label(text=text, color=self.color_of(pair), target=self.boxes[target])

    def _draw_number(self, number: int, label: _Label, place: Place | None) -> None:
        """Draws the number of a label of the legend, at its box if no place is free."""
        mask = text_mask(str(number), self.font, self.padding)
        x, y = (place.x, place.y) if place else label.target[:2].astype(int)
        self.output.label(mask, x, y, label.color)

    def _append_legend(self, labels: list[_Label]) -> None:
        """Draws numbered labels in columns below the image."""
        rows = [(f"{number} {label.text}", label.color) for number, label in enumerate(labels, 1)]
        paint_list(self.output, rows, style=self.style, font=self.font_file)

    def _smaller_end(self, pair: Pair) -> int:
        """Returns the entity of the pair at which the label is placed."""
        ends = [i for i in (pair.object, pair.human) if i >= 0]
        return min(ends, key=lambda i: _area(self.boxes[i]))

    def _places(self, labels: list[_Label], masks: list[np.ndarray]) -> list[Place | None]:
        gap = self.style.line + 1
        height, width = text_mask("00", self.font, self.padding).shape
        requests = [
            LabelRequest(
                size=(mask.shape[1] + gap, mask.shape[0] + gap),
                short_size=(width + gap, height + gap) if self.legend else None,
                target=label.target,
                focus=np.array([(label.target[0] + label.target[2]) / 2, label.target[1]]),
            )
            for label, mask in zip(labels, masks)
        ]
        size = (self.output.height, self.output.width)
        return place_labels(requests, canvas_size=size, obstacles=self._obstacles())

    def _obstacles(self) -> list[Obstacle]:
        found = []
        for entity, box in zip(self.entities, self.boxes):
            if entity.category == self.vocabulary.person:
                found += [Obstacle(box, BODY), Obstacle(head_region(box), FACE)]
            else:
                found.append(Obstacle(box, self._object_cost(box)))
        for pair in self.pairs:
            if pair.object >= 0:
                found += self._line_obstacles(pair)
        return found

    def _object_cost(self, box: np.ndarray) -> float:
        """Returns the cost of covering an object: a label may cover a table, but not a ball."""
        label_area = 8.0 * self.style.font * self.style.font
        return max(BODY, OBJECT * min(1.0, 4 * label_area / max(_area(box), 1.0)))

    def _line_obstacles(self, pair: Pair) -> list[Obstacle]:
        start, end = self._line_of(pair)
        steps = max(2, int(np.hypot(*(end - start)) / self.style.font))
        points = start + np.linspace(0, 1, steps)[:, None] * (end - start)
        reach = 2.0 * self.style.line
        return [Obstacle(np.concatenate([p - reach, p + reach]), LINE) for p in points]


def paint_list(
    output: HOIImage,
    rows: Sequence[tuple[str, Color]],
    *,
    style: Style | None = None,
    font: str | None = None,
) -> None:
    """Draws labels that have no box in columns below the image."""
    if not rows:
        return
    style = style or Style.of(height=output.height, width=output.width, num_labels=len(rows))
    padding = max(2, style.font // 4)
    widest = output.width - 4 * padding
    masks = []
    for text, _ in rows:
        letters = load_font(style.font, font_for(text, font))
        masks.append(text_mask(wrap_text(text, letters, widest), letters, padding))
    output.append_labels(masks, [color for _, color in rows], gap=padding)


def _clipped(box: np.ndarray, output: HOIImage) -> np.ndarray:
    return np.clip(box, 0, [output.width, output.height, output.width, output.height])


def _area(box: np.ndarray) -> float:
    return float(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))


def _center(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2
