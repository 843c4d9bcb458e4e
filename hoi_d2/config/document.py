"""`docs/config.md`: every key that hoi_d2 adds, its default and its comment, from `defaults.py`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from detectron2.config import CfgNode, get_cfg

from hoi_d2.config import defaults

_ASSIGNED = re.compile(
    r"^    (?P<target>[\w.]+(?: = [\w.]+)*) = (?P<value>.+?)(?:  # (?P<said>.*))?$"
)
_HEAD = """# Config keys

These keys are added to [detectron2's](https://detectron2.readthedocs.io/en/latest/modules/config.html).
This page is made from `hoi_d2/config/defaults.py` by `make docs`: change the comments there.
"""


def config_document() -> str:
    """Returns the text of `docs/config.md`."""
    cfg = get_cfg()
    defaults.add_hoi_config(cfg)
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, comment in key_comments():
        groups.setdefault(key.rpartition(".")[0], []).append((key, comment))
    sections = [_HEAD]
    for group, keys in groups.items():
        rows = [f"| `{key}` | `{_value(cfg, key)}` | {_cell(comment)} |" for key, comment in keys]
        sections.append(
            "\n".join([f"## {group}", "", "| key | default | meaning |", "|---|---|---|", *rows])
        )
    return "\n\n".join(section.strip() for section in sections) + "\n"


def key_comments() -> Iterator[tuple[str, str]]:
    """Each assigned key with the comment above it and the one on its line, in their order.

    A comment above a line speaks for the assignment below it. Comments of an assigned group stand
    with its first key.
    """
    for function in _functions():
        above: list[str] = []
        names = _root(function)
        for line in inspect.getsource(function).splitlines()[1:]:
            if line.strip().startswith("#"):
                above.append(line.strip().lstrip("# "))
            elif found := _ASSIGNED.match(line):
                *others, target = reversed(found["target"].split(" = "))
                keys = [_full(name, names) for name in (target, *others) if "." in name]
                names |= {name: keys[0] for name in (target, *others) if "." not in name}
                comment = " ".join([*above, *([found["said"]] if found["said"] else [])])
                if found["value"].startswith("CfgNode()"):
                    above = [comment] if comment else []
                else:
                    above = []
                    yield keys[0], comment
            elif not line.strip():
                above = []


def _functions() -> list[Any]:
    """Returns the functions that `add_hoi_config` calls, in its order."""
    called = re.findall(r"^    (_add_\w+)\(", inspect.getsource(defaults.add_hoi_config), re.M)
    return [getattr(defaults, name) for name in called]


def _root(function: Any) -> dict[str, str]:
    """Maps the function's argument to its full name: `node` -> "SOLVER"; "" for the config."""
    source = inspect.getsource(defaults.add_hoi_config)
    argument = re.search(rf"{function.__name__}\(cfg\.?([\w.]*)\)", source)
    assert argument is not None
    return {next(iter(inspect.signature(function).parameters)): argument[1]}


def _full(name: str, names: dict[str, str]) -> str:
    first, _, rest = name.partition(".")
    return f"{names[first]}.{rest}".lstrip(".")


def _value(cfg: CfgNode, key: str) -> str:
    value: Any = cfg
    for part in key.split("."):
        value = value[part]
    return "{}" if isinstance(value, CfgNode) else repr(value).replace("'", '"')


def _cell(comment: str) -> str:
    return comment.replace("|", "\\|")
