"""Loading that leaves nothing out: every name and every shape must fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from hoi_d2.checkpoint.errors import WeightsError

_LISTED = 30


def load_strictly(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    source: str,
    may_miss: tuple[str, ...] = (),
) -> int:
    """Loads weights into a module, or changes nothing.

    Args:
        module: takes them.
        weights: by name.
        source: for the message.
        may_miss: prefixes of names that need not be there.

    Returns:
        How many tensors were loaded.

    Raises:
        WeightsError: names are missing, are too many, or have another shape; lists them.
    """
    own = module.state_dict()
    counters = {name for name in (*own, *weights) if name.endswith("num_batches_tracked")}
    missing = [n for n in own if n not in weights and n not in counters]
    missing = [n for n in missing if not n.startswith(may_miss or ("\0",))]
    unexpected = [n for n in weights if n not in own and n not in counters]
    shapes = {n: (tuple(t.shape), tuple(own[n].shape)) for n, t in weights.items() if n in own}
    wrong = [f"{n} (file {a}, model {b})" for n, (a, b) in shapes.items() if a != b]
    if missing or unexpected or wrong:
        parts = [
            _listed("missing", missing),
            _listed("unexpected", unexpected),
            _listed("of another shape", wrong),
        ]
        what = "; ".join(part for part in parts if part)
        raise WeightsError(f"{source} does not fit {type(module).__name__}: {what}")
    module.load_state_dict({n: t for n, t in weights.items() if n in own}, strict=False)
    return len(shapes)


def _listed(what: str, names: Collection[str]) -> str:
    if not names:
        return ""
    names = list(names)
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {what}: {', '.join(names[:_LISTED])}{more}"
