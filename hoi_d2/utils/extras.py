"""Packages of the optional extras, imported where they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from hoi_d2.utils.user_errors import UserError


class MissingExtraError(UserError, ImportError):
    """A package of an extra is not installed; the message has the command that installs it."""


def import_extra(module: str, *, extra: str, needed_by: str) -> Any:
    """Imports a module of an extra.

    Args:
        module: such as "pyarrow.parquet".
        extra: its name in pyproject.toml.
        needed_by: what the user called, for the message.

    Raises:
        MissingExtraError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{needed_by} needs {module.split('.')[0]}: pip install 'hoi-d2[{extra}]' ({error})"
        ) from error
