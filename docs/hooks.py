"""mkdocs: MODEL_ZOO.md of the root as a page of the site, with its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
IMAGE = "projects/defr_ablation/ablation.png"


def on_files(files: Files, config: Any) -> Files:
    """Adds the image that is not below `docs`."""
    files.append(File.generated(config, IMAGE, abs_src_path=str(ROOT / IMAGE)))
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """The page's images lie beside it here, not below `docs`."""
    if page.file.src_uri != "model_zoo.md":
        return markdown
    return (ROOT / "MODEL_ZOO.md").read_text().replace("](docs/", "](")
