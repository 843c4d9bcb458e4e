"""Serves the web page of the demo."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from PIL import Image

from hoi_d2.demo.photographs import example_photographs
from hoi_d2.demo.web.guard import RequestGuard
from hoi_d2.demo.web.page import build_page
from hoi_d2.demo.web.session import Limits, WebSession
from hoi_d2.demo.web.uploads import OwnersMiddleware
from hoi_d2.inference.model_list import list_models
from hoi_d2.inference.open_vocabulary import OPEN_CONFIG, open_predictor
from hoi_d2.inference.predictor import DEFAULT_CONFIG, HOIPredictor, get_model
from hoi_d2.utils.arguments import MODEL_HELP, CommandParser, add_device_options

_FOLDER = "GRADIO_TEMP_DIR"  # read by gradio where a page is built
EPILOG = """\
examples:
  hoi-d2 web
  hoi-d2 web --model output/my_run --port 8080
  hoi-d2 web --config-file configs/RmLR/R50.yaml MODEL.WEIGHTS model.pth
  hoi-d2 web --open                     visitors may enter their own classes
  hoi-d2 web --open my_defr_det.yaml    the same with another DEFR-Det
"""


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    usual = Limits()
    parser = CommandParser(
        description="Serves a web page that finds and draws interactions in uploaded images.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--model",
        metavar="M",
        action="append",
        default=[],
        help=f"a model to offer besides the packaged ones; may be repeated: {MODEL_HELP}",
    )
    parser.add_argument(
        "--config-file",
        metavar="F",
        action="append",
        default=[],
        help="the same, as a config file; may be repeated",
    )
    add_device_options(parser)
    parser.add_argument(
        "--open",
        nargs="?",
        const=OPEN_CONFIG,
        metavar="F",
        help=f"let visitors enter their own classes; F is a DEFR-Det config, default {OPEN_CONFIG}",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on, default %(default)s; 0.0.0.0 = other machines may connect",
    )
    parser.add_argument(
        "--name",
        metavar="N",
        action="append",
        default=[],
        help="a host name under which visitors reach the server, such as that of a proxy",
    )
    parser.add_argument("--port", type=int, default=7860, help="default %(default)s")
    parser.add_argument(
        "--max-megabytes",
        type=float,
        default=usual.megabytes,
        help="largest file to accept, default %(default)g",
    )
    parser.add_argument(
        "--max-megapixels",
        type=float,
        default=usual.megapixels,
        help="largest image to accept, in million pixels, default %(default)g",
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="KEY VALUE for --model and --config-file"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serves the page until Ctrl-C; returns the exit code."""
    args = argument_parser().parse_args(argv)
    with upload_folder():
        server = _server(args)
        server.run()
    return 0 if server.started else 1


@contextmanager
def upload_folder() -> Iterator[None]:
    """Uploads lie in a folder of this server alone, which is removed at the end.

    gradio's own is shared by all its servers of a machine.
    """
    with tempfile.TemporaryDirectory(prefix="hoi_d2_uploads_") as folder:
        before = os.environ.get(_FOLDER)
        os.environ[_FOLDER] = folder
        try:
            yield
        finally:
            os.environ.pop(_FOLDER)
            if before is not None:
                os.environ[_FOLDER] = before


def _server(args: argparse.Namespace) -> Any:
    limits = Limits(args.max_megabytes, args.max_megapixels)
    load_open = (
        None
        if args.open is None
        else partial(open_predictor, model=args.open, device=args.device, half=args.half)
    )
    usual = DEFAULT_CONFIG.removesuffix(".yaml")
    shipped = sorted(list_models(pretrained=True), key=lambda name: name != usual)
    own = list(dict.fromkeys([*args.model, *args.config_file]))
    models = list(dict.fromkeys([*own, *shipped]))
    session = WebSession(
        partial(_load, args=args, models=models), limits=limits, load_open=load_open
    )
    for name in [*own, models[0]]:
        session.predictor(name)  # a model that cannot be used is an error now, not at a visit
    page = build_page(session, models, examples=example_photographs())
    return make_server(page, host=args.host, port=args.port, limits=limits, names=args.name)


def _load(name: str, *, args: argparse.Namespace, models: Sequence[str]) -> HOIPredictor:
    """A model of the page; a visitor may name no other, such as a file of this machine.

    Raises:
        KeyError: it is none of `models`.
    """
    if name not in models:
        raise KeyError("no such model here")
    if name in args.config_file:
        return HOIPredictor.from_config(name, args.opts, device=args.device, half=args.half)
    options = args.opts if name in args.model else ()
    return get_model(name, options=options, device=args.device, half=args.half)


def make_server(
    page: Any, *, host: str, port: int, limits: Limits, names: Sequence[str] = ()
) -> Any:
    """A uvicorn server for the page; its `run` serves until `should_exit`.

    gradio's own launch looks itself up within three seconds, and gives up on a busy machine.

    Args:
        page: of `build_page`.
        host: address to listen on.
        port: to listen on.
        limits: of uploads.
        names: host names under which visitors reach the server as well.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:  # said earlier, people would come to a closed door
                print(f"http://{host}:{port} (Ctrl-C ends)", flush=True)

    app = make_app(page, host=host, port=port, limits=limits, names=names)
    # an open page holds a connection for good: it must not hold the end up
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=2
    )
    return Server(config)


def make_app(page: Any, *, host: str, port: int, limits: Limits, names: Sequence[str] = ()) -> Any:
    """The page as an ASGI application, behind `RequestGuard` and `OwnersMiddleware`.

    Arguments as `make_server`.

    Fonts are those of the browser: nothing is fetched from the internet, and nothing is noted
    anywhere of what visitors do. Pillow's limit of pixels gives way to that of the page, which
    says more.
    """
    import gradio as gr
    from fastapi import FastAPI

    Image.MAX_IMAGE_PIXELS = None
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page.queue(max_size=16),
        path="/",
        server_name=host,
        server_port=port,
        max_file_size=limits.bytes,
        theme=theme,
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
    )
    # else gradio, which thinks that a mounted page is not served yet, would take any file of this
    # machine as an upload, and show it
    page.has_launched = True
    bound = OwnersMiddleware(app, page.owners)
    return RequestGuard(bound, host=host, names=names, max_bytes=limits.bytes)
