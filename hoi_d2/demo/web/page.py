"""The web page of the demo, made with gradio (extra `[demo]`); nothing leaves the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any

from hoi_d2.demo.report import DrawOptions
from hoi_d2.demo.web.result import message_html, result_html
from hoi_d2.demo.web.session import UploadError, WebSession
from hoi_d2.demo.web.uploads import EVERYBODY, UploadOwners, visitor_of
from hoi_d2.utils.extras import import_extra
from hoi_d2.visualization.scene import DRAW_THRESHOLD

_HERE = Path(__file__).parent
EMPTY = "Choose an image, take one with the camera, or paste one."
_KEPT_SECONDS = 3600
"""Uploads are deleted and sessions forgotten after that time."""


def build_page(session: WebSession, models: list[str], *, examples: Sequence[Path] = ()) -> Any:
    """The page as gradio Blocks.

    Args:
        session: what the page works on.
        models: names to choose from, the first one is chosen at the start.
        examples: images of this machine that visitors may click, each with a button.

    Raises:
        MissingExtraError: gradio is not installed.
    """
    gr = import_extra("gradio", extra="demo", needed_by="the web page")
    kept, owners = (_KEPT_SECONDS, _KEPT_SECONDS), UploadOwners(_KEPT_SECONDS)
    with gr.Blocks(title="hoi_d2", analytics_enabled=False, delete_cache=kept) as page:
        gr.Markdown("# Who does what with which object?")
        found = gr.State(None, time_to_live=_KEPT_SECONDS)
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                upload, model, classes, find = _questions(gr, session, models)
                _example_buttons(gr, upload, examples, page.upload_file_set, owners)
                least, most = _sliders(gr)
            with gr.Column(scale=2, min_width=320):
                result = gr.HTML(
                    message_html(EMPTY),
                    elem_id="result",
                    css_template=_text("web_result.css"),
                    js_on_load=_text("web_result.js"),
                )
        analyse = _of_the_visitor(gr, session, owners)
        _connect(analyse, upload, model, classes, find, least, most, found, result)
    _open_own_files_only(gr, upload, page.upload_file_set)
    page.owners = owners  # for the server, which sees who uploads
    return page


def _questions(gr: Any, session: WebSession, models: list[str]) -> tuple[Any, Any, Any, Any]:
    """Image, model, and classes of one's own with their button (None where not offered)."""
    upload = gr.Image(
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        label="Image",
        elem_id="upload",
        height=240,
    )
    gr.HTML(
        limit=session.limits.bytes,
        words=session.limits.words,
        elem_id="limits",
        html_template="<p>${words}</p>",
        css_template=_text("web_upload.css"),
        js_on_load=_text("web_upload.js"),
    )
    model = gr.Dropdown(models, value=models[0], label="Model", elem_id="model")
    if session.load_open is None:
        return upload, model, gr.State(""), None
    classes = gr.Textbox(
        label="Or your own classes, one on each line",
        placeholder="riding a horse\nfeeding a dog",
        lines=3,
        elem_id="classes",
    )
    return upload, model, classes, gr.Button("Find these classes", size="sm", elem_id="find")


def _sliders(gr: Any) -> tuple[Any, Any]:
    """Lowest score and largest number of what is shown."""
    least = gr.Slider(
        0.0, 1.0, value=DRAW_THRESHOLD, step=0.01, label="Lowest score shown", elem_id="threshold"
    )
    most = gr.Slider(1, 100, value=20, step=1, label="Most interactions shown", elem_id="top-k")
    for slider in (least, most):
        slider.preprocess = MethodType(_within_bounds, slider)
    return least, most


def _of_the_visitor(gr: Any, session: WebSession, owners: UploadOwners) -> Callable[..., Any]:
    """The function of the events that read an image, which must be the visitor's own."""

    def analyse(
        request: Any,
        path: str | None,
        name: str,
        own: str | None,
        least: float,
        most: float,
    ) -> tuple[Any, str]:
        if path is None:
            return None, message_html(EMPTY)
        phrases = [line.strip() for line in (own or "").splitlines() if line.strip()]
        try:
            if not owners.has(path, visitor_of(request.headers.get("cookie", ""))):
                raise UploadError("the file no longer exists: upload it again")
            found = session.analyse(path, name, phrases)
        except UploadError as error:
            return None, message_html(f"Not done: {error}.", refused=True)
        return found, _shown(found, least, most)

    analyse.__annotations__["request"] = gr.Request  # by which gradio knows what to give
    return analyse


def _shown(found: Any, least: float, most: float) -> str:
    """What the page shows of a visitor's prediction."""
    if found is None:
        return message_html(EMPTY)
    options = DrawOptions(least, int(most))
    return result_html(found.prediction, options, remark=found.remark, warning=found.warning)


def _connect(
    analyse: Callable[..., Any],
    upload: Any,
    model: Any,
    classes: Any,
    find: Any,
    least: Any,
    most: Any,
    found: Any,
    result: Any,
) -> None:
    """What happens when; `found` keeps the prediction of each visitor."""
    triggers = [upload.change, model.change, *([] if find is None else [find.click])]
    for trigger in triggers:
        trigger(
            analyse,
            [upload, model, classes, least, most],
            [found, result],
            trigger_mode="always_last",
            concurrency_id="model",
            api_visibility="private",
        )
    for slider in (least, most):
        slider.change(
            _shown,
            [found, least, most],
            result,
            trigger_mode="always_last",
            show_progress="hidden",
            api_visibility="private",
        )


def _example_buttons(
    gr: Any, upload: Any, examples: Sequence[Path], files: set[str], owners: UploadOwners
) -> None:
    """A button for each example, which puts a copy of it into the image field."""
    from gradio.processing_utils import save_file_to_cache

    def choose(example: Path) -> str:
        copy = save_file_to_cache(str(example), cache_dir=upload.GRADIO_CACHE)
        files.add(copy)
        owners.add(copy, EVERYBODY)
        return copy

    for number, example in enumerate(examples):
        words = example.stem.replace("_", " ")
        button = gr.Button(f"Example: {words}", size="sm", elem_id=f"example-{number}")
        button.click(partial(choose, example), None, upload, api_visibility="private")


def _open_own_files_only(gr: Any, upload: Any, files: set[str]) -> None:
    """Binds the image field to files that the server itself has stored.

    A visitor's event names a path, and gradio believes it in more than one place: without `meta`
    it is not looked at, and an address is downloaded.

    Args:
        gr: the module.
        upload: the image field.
        files: paths that the server has made, for uploads and examples; it grows.
    """

    def check(path: Any) -> Any:
        if str(path) not in files:
            raise gr.Error("That file was not uploaded.", print_exception=False)
        return path

    async def stored(component: Any, path: Any) -> Any:
        """gradio's way of a file into its folder, which would download an address."""
        return check(path)

    def preprocess(component: Any, payload: Any) -> str | None:
        """The uploaded file as it is: gradio would open it here, and answer with its errors."""
        return None if payload is None or payload.path is None else check(payload.path)

    upload.async_move_resource_to_block_cache = MethodType(stored, upload)
    upload.preprocess = MethodType(preprocess, upload)


def _within_bounds(component: Any, payload: Any) -> float:
    """What was typed into a slider's field, made possible: gradio would fail, with a trace."""
    if not isinstance(payload, (int, float)):  # None = the field was emptied
        return component.value
    return min(max(payload, component.minimum), component.maximum)


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
