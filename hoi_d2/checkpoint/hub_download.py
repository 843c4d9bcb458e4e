"""Downloads models of the Hugging Face hub, at the revision and with the hashes of the first use.

`HF_ENDPOINT` names another hub, `HF_HUB_OFFLINE=1` forbids downloads, `HF_HOME` says where files
go. A broken connection is resumed by huggingface_hub.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hoi_d2.checkpoint.download_record import (
    ChangedFileError,
    DownloadRecord,
    check_files,
    read_record,
)
from hoi_d2.checkpoint.hub_cache import (
    again,
    files_lacking,
    files_wanted,
    lacking_here,
    other_revision,
)
from hoi_d2.model_zoo.published import MEGABYTES, PINNED, HubModel, names_for
from hoi_d2.utils.user_errors import UserError

logger = logging.getLogger(__name__)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
_TIMEOUT = 10.0  # seconds for the hub's answer


class MissingFilesError(UserError, FileNotFoundError):
    """Files of the hub are not on this machine and cannot be downloaded now; names all of them."""


class HubError(UserError, FileNotFoundError):
    """The hub has no such model, revision or file, or does not give it out."""


class CacheFolderError(UserError, OSError):
    """The folder that downloads go to is full or cannot be written."""


class _Unreachable(Exception):
    """Nobody answers as a hub does; says why."""


@dataclass
class _Plan:
    """A model at one commit.

    Attributes:
        record: of its first use, or a new one; with the hashes that the hub gives for large files.
        asked: the revision that the hub was asked for.
        megabytes: of each file to download.
    """

    model: HubModel
    record: DownloadRecord
    asked: str
    megabytes: dict[str, float]


def download(
    models: Sequence[HubModel], *, update: bool = False, force: bool = False
) -> list[Path]:
    """Downloads models and records their revisions and hashes.

    Args:
        models: all are looked up before the first file is downloaded.
        update: take the hub's newest revision, and record it in place of the first one.
        force: also files that are here.

    Returns:
        The folder of each.

    Raises:
        MissingFilesError: the hub cannot be reached, or the connection broke; names all that are
            missing.
        HubError: the hub has no such model, revision or files.
        ChangedFileError: a revision or a hash is not the recorded one.
        CacheFolderError: the disk is full, or the folder cannot be written.
    """
    try:
        plans = [_plan(model, update=update) for model in models]
    except _Unreachable as error:
        raise missing(models, str(error)) from error
    folders = []
    for index, plan in enumerate(plans):
        try:
            folders.append(_carry_out(plan, force=force))
        except _Unreachable as error:
            raise missing(models[index:], str(error)) from error
    return folders


def missing(models: Sequence[HubModel], why: str) -> MissingFilesError:
    """The error that names every missing file, its size and the command.

    Args:
        models: with files that are not here.
        why: they cannot be downloaded now.
    """
    sizes = [MEGABYTES.get(str(model), 0) for model in models]
    absent = [
        f"{model} ({', '.join(lacking_here(model)) or 'all files'}; {in_words(size)})"
        for model, size in zip(models, sizes)
    ]
    total = f", {in_words(sum(sizes))}" if all(sizes) else ""
    return MissingFilesError(
        f"files of the Hugging Face hub are not on this machine{total}: {', '.join(absent)}; and "
        f"they cannot be downloaded now: {why}. With a network, run "
        f"hoi-d2 download {' '.join(names_for(models))}"
    )


def in_words(megabytes: float) -> str:
    """A size that is known about, or not at all."""
    return f"about {megabytes} MB" if megabytes else "size unknown"


def _plan(model: HubModel, *, update: bool) -> _Plan:
    """Asks the hub for a model, and compares its answer with the record."""
    record = None if update else read_record(str(model))
    commit = record.commit if record else "" if update else PINNED.get(str(model), "")
    asked = commit or model.revision
    info = _ask(model, asked)
    if commit and info.sha != commit:
        raise other_revision(model, commit, info.sha, f"at {_hub()}")
    files = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    wanted = files_wanted(files.keys(), model.files)
    if not wanted:
        raise HubError(
            f"{model} at {_hub()} (revision {info.sha}) cannot be used: it has no "
            f"{', no '.join(files_lacking(files.keys(), model.files))}"
        )
    record = record or DownloadRecord(str(model), info.sha)
    for name in wanted:
        if lfs := files[name].lfs:  # of large files the hub knows the hash
            _check_announced(model, record, name, lfs["sha256"])
            record.sha256[name] = lfs["sha256"]
    return _Plan(model, record, asked, {n: (files[n].size or 0) / 1e6 for n in wanted})


def _check_announced(model: HubModel, record: DownloadRecord, name: str, found: str) -> None:
    """Raises ChangedFileError, before anything is downloaded, where the hub has another file."""
    if found != (expected := record.sha256.get(name, found)):
        raise ChangedFileError(
            f"{name} of {model} at {_hub()} is another file: expected SHA-256 {expected}, found "
            f"{found}. To use it from now on: hoi-d2 download --update {names_for([model])[0]}"
        )


def _ask(model: HubModel, revision: str) -> Any:
    """The hub's description of a model: one request, not repeated."""
    from huggingface_hub import HfApi
    from huggingface_hub import errors as hub_errors

    try:
        return HfApi(endpoint=_hub()).model_info(
            model.repository, revision=revision or None, files_metadata=True, timeout=_TIMEOUT
        )
    except hub_errors.RevisionNotFoundError as error:
        if revision != model.revision:  # the recorded or the pinned one is gone
            newest = _ask(model, model.revision).sha
            raise other_revision(model, revision, newest, f"at {_hub()}") from error
        raise HubError(
            f"{_hub()} has no revision {revision or 'main'} of {model.repository}"
        ) from error
    except hub_errors.GatedRepoError as error:
        raise HubError(
            f"{_hub()}/{model.repository} is for users who have accepted its terms: accept them "
            "there, then log in with `hf auth login`"
        ) from error
    except hub_errors.RepositoryNotFoundError as error:
        raise HubError(
            f"{model.repository} is no file or folder of this machine, and {_hub()} has no model "
            "of that name, or shows it only after `hf auth login`"
        ) from error
    except hub_errors.HfHubHTTPError as error:
        raise _Unreachable(f"{_hub()} answers with error {_status(error)}") from error
    except ValueError as error:
        raise _Unreachable(f"{_hub()} does not answer as a hub does, but a proxy may") from error
    except Exception as error:  # no network, no such host, a certificate, ...: many classes
        raise _Unreachable(_reason(error)) from error


def _carry_out(plan: _Plan, *, force: bool) -> Path:
    """Downloads the files that are not in the cache, and records them."""
    from huggingface_hub import hf_hub_download

    folder = Path()
    for name, size in plan.megabytes.items():
        logger.info("%s: %s, %.1f MB", plan.model, name, size)
        try:
            path = hf_hub_download(
                plan.model.repository,
                name,
                revision=plan.asked or None,
                endpoint=_hub(),
                force_download=force,
            )
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _DISK:
                raise CacheFolderError(
                    f"{name} of {plan.model} could not be written: {error.strerror}. Set HF_HOME "
                    "to a folder with room that can be written"
                ) from error
            raise _Unreachable(
                f"{name} broke off ({_reason(error)}); files that are complete are kept"
            ) from error
        folder = Path(path).parent
        if folder.name != plan.record.commit:
            raise other_revision(plan.model, plan.record.commit, folder.name, f"at {_hub()}")
    check_files(plan.record, folder, plan.megabytes, again(plan.model))
    return folder


def _hub() -> str:
    """The address of the hub."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def _status(error: Any) -> str:
    return str(getattr(getattr(error, "response", None), "status_code", "")) or str(error)


def _reason(error: Exception) -> str:
    """Why the hub cannot be reached, in words."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, which forbids it"
    text = str(error).strip().splitlines()
    return f"{_hub()} does not answer ({text[0] if text else type(error).__name__})"
