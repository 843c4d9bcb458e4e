"""The web page of the demo, made with gradio (extra `[demo]`); nothing leaves the machine."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from types import MethodType
from typing import Any

from hoi_d2.engine.demo import OPEN_CONFIG, open_predictor
from hoi_d2.engine.demo_report import DrawOptions
from hoi_d2.engine.predictor import HOIPredictor, get_model, list_models
from hoi_d2.engine.web_session import COLUMNS, UploadError, WebSession, view, write_download

EPILOG = """\
examples:
  python tools/web_demo.py
  python tools/web_demo.py --config-file configs/RmLR/R50.yaml --port 8080 MODEL.WEIGHTS model.pth
"""


def build_page(session: WebSession, models: list[str]) -> Any:
    """The page as gradio Blocks.

    Args:
        session: what the page works on.
        models: names to choose from, the first one is chosen at the start.

    Raises:
        ImportError: gradio is not installed; says how to get it.
    """
    try:
        import gradio as gr
    except ImportError as error:
        message = "the web page needs the extra [demo]: pip install 'hoi-d2[demo]'"
        raise ImportError(f"{message} ({error})") from error
    with gr.Blocks(title="hoi_d2", analytics_enabled=False) as page:
        gr.Markdown("# Who does what with which object?")
        state, downloads = gr.State(None), gr.State(None)
        with gr.Row():
            with gr.Column():
                upload = gr.Image(
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "webcam", "clipboard"],
                    label="picture",
                    elem_id="upload",
                )
                upload.preprocess = MethodType(  # type: ignore[method-assign]
                    _path_of_upload, upload
                )
                model = gr.Dropdown(models, value=models[0], label="model", elem_id="model")
                classes: Any = gr.State("")
                if session.load_open is not None:
                    label = "or classes of your own, one a line: riding a horse"
                    classes = gr.Textbox(label=label, lines=2, elem_id="classes")
                threshold = gr.Slider(
                    0.0, 1.0, value=0.2, step=0.01, label="least score", elem_id="threshold"
                )
                top_k = gr.Slider(
                    1, 100, value=20, step=1, label="at most so many", elem_id="top-k"
                )
            with gr.Column():
                picture = gr.Image(
                    label="interactions",
                    format="png",
                    buttons=["download", "fullscreen"],
                    elem_id="picture",
                    interactive=False,
                )
                status = gr.Markdown("Choose a picture.", elem_id="status")
        table = gr.Dataframe(
            headers=list(COLUMNS), interactive=False, elem_id="table", label="choose a row"
        )
        with gr.Row():
            everything = gr.Button("show all", elem_id="all")
            download = gr.DownloadButton("JSON", elem_id="download", interactive=False)
        shown = [picture, table, download, status, downloads]

        def show(found: Any, folder: Any, least: float, most: float, chosen: int | None = None):
            if found is None:
                return [gr.skip()] * len(shown)
            prediction, remark = found
            seen = view(prediction, DrawOptions(least, int(most)), chosen=chosen, remark=remark)
            folder = folder or tempfile.TemporaryDirectory(prefix="hoi_d2_")
            path = write_download(seen.json, Path(folder.name))
            button = gr.DownloadButton(value=path, interactive=True)
            return seen.picture, seen.rows, button, seen.status, folder

        def analyse(
            path: str | None, name: str, own: str | None, folder: Any, least: float, most: float
        ):
            if path is None:
                return None, *_nothing(gr, "Choose a picture.", folder)
            try:
                found = session.analyse(
                    path, name, [c for c in (own or "").splitlines() if c.strip()]
                )
            except UploadError as error:
                gr.Warning(str(error))
                return None, *_nothing(gr, f"**Not done: {error}.**", folder)
            return found, *show(found, folder, least, most)

        def choose(found: Any, folder: Any, least: float, most: float, event: Any):
            return show(found, folder, least, most, chosen=int(event.row_value[0]))

        # gradio goes by this annotation; written above it would be a string that nobody can look up
        choose.__annotations__["event"] = gr.SelectData

        options = [state, downloads, threshold, top_k]
        new: dict[str, Any] = {
            "fn": analyse,
            "inputs": [upload, model, classes, downloads, threshold, top_k],
        }
        triggers = [upload.change, model.change]
        triggers += [] if session.load_open is None else [classes.blur]
        for trigger in triggers:
            trigger(**new, outputs=[state, *shown])
        for slider in (threshold, top_k):
            slider.change(show, options, shown, trigger_mode="always_last")
        everything.click(show, options, shown)
        table.select(choose, options, shown)
    return page


def _nothing(gr: Any, status: str, folder: Any) -> tuple:
    """An empty page with a message."""
    return None, [], gr.DownloadButton(value=None, interactive=False), status, folder


def _path_of_upload(component: Any, payload: Any) -> str | None:
    """The uploaded file as it is: gradio would open it here and answer with its own errors."""
    if payload is None or payload.path is None:
        return None
    return payload.path


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="A web page that finds and draws interactions in uploaded pictures.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config-file", metavar="F", help="a model of your own beside the others")
    parser.add_argument("--open", action="store_true", help=f"own classes, by {OPEN_CONFIG}")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 = everybody may come")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--max-megabytes", type=float, default=20, help="of an upload")
    parser.add_argument("--max-megapixels", type=float, default=40, help="of an upload")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE for --config-file")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Serves the page until Ctrl-C."""
    args = argument_parser().parse_args(arguments)
    own = [args.config_file] if args.config_file else []

    def load(name: str) -> HOIPredictor:
        if name in own:
            return HOIPredictor.from_config(name, args.opts)
        return get_model(name)

    session = WebSession(
        load,
        max_pixels=int(args.max_megapixels * 1e6),
        load_open=open_predictor if args.open else None,
    )
    names = [*own, *list_models(pretrained=True)]
    page = build_page(session, names)
    session.predictor(names[0])  # a model that cannot be loaded is better known now
    limit = args.max_megabytes
    server = make_server(page, host=args.host, port=args.port, max_megabytes=limit)
    print(f"http://{args.host}:{args.port} (Ctrl-C ends)", flush=True)
    server.run()
    return 0


def make_server(page: Any, *, host: str, port: int, max_megabytes: float) -> Any:
    """A uvicorn server for the page; its `run` serves until `should_exit`.

    gradio's own launch looks itself up within three seconds, and gives up on a busy machine. Fonts
    are those of the browser: nothing is fetched from the internet.
    """
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    app = gr.mount_gradio_app(
        FastAPI(),
        page.queue(max_size=16),
        path="/",
        server_name=host,
        server_port=port,
        max_file_size=int(max_megabytes * 1024 * 1024),
        theme=theme,
        footer_links=[],
        show_error=False,
        ssr_mode=False,
    )
    return uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning"))
