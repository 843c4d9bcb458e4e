"""What the web page shows of a prediction, as HTML: image, table, downloads.

The image of each pair lies ready in the page; `web_result.js` shows it while its row is pointed
at or chosen, so that nothing has to be drawn again by the server.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from hoi_d2.demo.report import DrawOptions
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.visualization.painter import PERSON_COLORS
from hoi_d2.visualization.scene import joined_words, readable_verbs

COLUMNS = ("#", "verb", "object", "score", "person box", "object box")
NUMBERS = ("#", "score")
HINT = "Point at a row to see its pair; choose it to keep the pair in view, again to let it go."
SHOWN_SIDE = 1600
"""The longer side of an image in the page; the model has seen the whole one."""

_COLOR = "#{:02x}{:02x}{:02x}".format(*PERSON_COLORS[0])


def message_html(text: str, *, refused: bool = False) -> str:
    """A page without an image."""
    kind = "refused" if refused else "empty"
    return f'<p id="status" class="{kind}" role="status">{html.escape(text)}</p>'


def result_html(
    prediction: HOIPrediction, options: DrawOptions, *, remark: str = "", warning: str = ""
) -> str:
    """A prediction.

    Args:
        prediction: everything that the model found.
        options: which interactions are shown.
        remark: for the status line.
        warning: a line that nobody overlooks, "" = none.
    """
    shown = options.select(prediction)
    found = (
        f"{len(shown.hoi_instances)} of {len(prediction.hoi_instances)} interactions shown "
        f"(score {options.score_threshold:.2f} or more, at most {options.top_k})"
    )
    status = ". ".join(filter(None, [found, remark[:1].upper() + remark[1:]]))
    parts = [f'<p id="status" role="status">{html.escape(status)}</p>']
    if warning:
        parts.append(f'<p id="warning" role="alert">{html.escape(warning)}</p>')
    parts.append(_figure(shown, options.score_threshold))
    parts.append(_downloads(shown))
    parts.append(_table(shown) if len(shown.hoi_instances) else _nothing(prediction, options))
    return "\n".join(parts)


def table_rows(prediction: HOIPrediction) -> list[tuple[str, ...]]:
    """One a triplet, best first, with the texts of `COLUMNS`."""
    words = readable_verbs(prediction.vocabulary)
    verbs = [words[v] for v in prediction.hoi_instances.verb_classes.tolist()]
    return [
        (
            str(number),
            verb,
            (t.object or "").replace("_", " "),
            f"{t.score:.3f}",
            _box_text(t.human_box),
            _box_text(t.object_box),
        )
        for number, (verb, t) in enumerate(zip(verbs, prediction.triplets), 1)
    ]


def pair_numbers(prediction: HOIPrediction) -> list[int]:
    """For each row the number of its pair; pairs are numbered in the order of their first row."""
    pairs = map(tuple, prediction.hoi_instances.pair_indices.tolist())
    numbers: dict[tuple[int, ...], int] = {}
    return [numbers.setdefault(pair, len(numbers)) for pair in pairs]


def _nothing(prediction: HOIPrediction, options: DrawOptions) -> str:
    scores = prediction.hoi_instances.scores
    text = "The model found no interaction in this image."
    if len(scores):
        best = float(scores.max())
        text = (
            f"Nothing scores {options.score_threshold:.2f} or more; the best score is {best:.3f}."
        )
    return f'<p class="empty">{text}</p>'


def _table(shown: HOIPrediction) -> str:
    token = hashlib.sha256(shown.image.tobytes()).hexdigest()[:8]
    classes = [' class="number"' if name in NUMBERS else "" for name in COLUMNS]
    head = "".join(f"<th{c}>{html.escape(name)}</th>" for c, name in zip(classes, COLUMNS))
    lines = []
    for texts, pair in zip(table_rows(shown), pair_numbers(shown)):
        cells = "".join(f"<td{c}>{html.escape(text)}</td>" for c, text in zip(classes, texts))
        # a choice outlives a change of the threshold, not a change of the image
        key = f"{token}-{texts[0]}"
        lines.append(
            f'<tr tabindex="0" aria-selected="false" data-key="{key}" data-of="{pair}">{cells}</tr>'
        )
    body = "\n".join(lines)
    return (
        f'<p class="hint">{HINT}</p>\n<div class="rows"><table id="table" role="grid">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _downloads(shown: HOIPrediction) -> str:
    content = base64.b64encode(shown.to_json(indent=1).encode()).decode()
    return (
        '<p class="downloads">'
        '<a id="download" download="hoi_results.json" '
        f'href="data:application/json;base64,{content}">Download JSON</a> '
        '<a id="save" download="interactions.jpg" href="#">Download image</a></p>'
    )


def _figure(shown: HOIPrediction, score_threshold: float) -> str:
    """The drawn image, and over it, unseen at first, each pair alone on the dark image."""
    drawn = shown.draw(score_threshold=score_threshold, top_k=None)
    size = f'viewBox="0 0 {drawn.width} {drawn.height}"'
    height, width = (side * drawn.scale for side in shown.image.shape[:2])
    layers = "".join(_pairs(shown, drawn.scale, drawn.width, drawn.height))
    plain = f'<image id="plain" href="{_data_uri(shown.image)}" width="{width}" height="{height}"/>'
    return (
        f'<figure id="image"><img alt="the image with its interactions" '
        f'src="{_data_uri(drawn.get_image())}"/>'
        f'<svg {size} aria-hidden="true"><defs>{plain if layers else ""}</defs>{layers}</svg>'
        "</figure>"
    )


def _pairs(shown: HOIPrediction, scale: float, width: int, height: int) -> list[str]:
    rows, numbers = table_rows(shown), pair_numbers(shown)
    font = max(width, height) / 34
    layers = []
    for pair in dict.fromkeys(numbers):
        of_pair = [row for row, number in enumerate(numbers) if number == pair]
        first = shown.triplets[of_pair[0]]
        verbs = joined_words([rows[row][1] for row in of_pair])
        text = f"{verbs} {rows[of_pair[0]][2]} {first.score:.2f}"
        boxes = [first.human_box] + ([first.object_box] if first.object_box else [])
        rectangles = [_rectangle([scale * v for v in box]) for box in boxes]
        x = min(max(scale * first.human_box[0], 0), max(width - 0.62 * font * len(text), 0))
        y = max(scale * min(box[1] for box in boxes) - 0.5 * font, 1.2 * font)
        outlines = "".join(
            f"<rect class={kind} {r}/>" for kind, r in zip(("human", "object"), rectangles)
        )
        layers.append(
            f'<g data-pair="{pair}" style="--line:{font / 8:.2f}; --color:{_COLOR}">'
            f'<clipPath id="pair-{pair}">{"".join(f"<rect {r}/>" for r in rectangles)}</clipPath>'
            f'<rect width="{width}" height="{height}"/><use href="#plain" opacity="0.3"/>'
            f'<use href="#plain" clip-path="url(#pair-{pair})"/>{outlines}'
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{font:.1f}">{html.escape(text)}</text></g>'
        )
    return layers


def _rectangle(box: Sequence[float]) -> str:
    x0, y0, x1, y1 = box
    return f'x="{x0:.1f}" y="{y0:.1f}" width="{max(x1 - x0, 0):.1f}" height="{max(y1 - y0, 0):.1f}"'


def _data_uri(raw_image: np.ndarray) -> str:
    image = Image.fromarray(raw_image)
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    file = BytesIO()
    image.save(file, "JPEG", quality=92)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _box_text(box: Sequence[float] | None) -> str:
    return "" if box is None else " ".join(f"{v:.0f}" for v in box)
