"""Models of the Hugging Face hub: the one place that is asked for their files.

What is on this machine is used without a look at the network. What is not is downloaded, or named
with its size and the command where there is no network.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from hoi_d2.checkpoint.hub_cache import is_here, local_folder
from hoi_d2.checkpoint.hub_download import download
from hoi_d2.model_zoo.published import HubModel

logger = logging.getLogger(__name__)
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = (".pth", ".pt", ".bin", ".safetensors", ".pkl", ".yaml", ".json")


def is_hub_id(source: str) -> bool:
    """Whether a source reads as the id of a model of the hub, and is no path of this machine."""
    return bool(_ID.fullmatch(source)) and not source.endswith(_FILES) and not Path(source).exists()


def hub_folder(model: HubModel) -> Path:
    """The folder with the files of a model, downloaded if they are not here.

    Raises:
        MissingFilesError: they are not here, and the hub cannot be reached.
        HubError: the hub has no such model or revision.
        ChangedFileError: they are not those that were used first.
    """
    return local_folder(model) or download([model])[0]


def require(models: Sequence[HubModel]) -> None:
    """Downloads those of the models that are not here, before any of them is needed.

    Raises:
        MissingFilesError: there are some, and the hub cannot be reached; names them all.
        HubError, ChangedFileError: see `hub_folder`.
    """
    if absent := [model for model in dict.fromkeys(models) if not is_here(model)]:
        logger.info("not on this machine, asked of the hub: %s", ", ".join(map(str, absent)))
        download(absent)
