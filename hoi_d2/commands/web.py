"""`hoi-d2 web`: a web page that finds and draws interactions in uploaded images."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Serves the page until Ctrl-C; returns the exit code."""
    from hoi_d2.demo.web.server import main as serve

    return serve(argv)
