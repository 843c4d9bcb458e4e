"""Training records of a zero-shot setting, without the unseen HOI classes."""

from __future__ import annotations

from collections.abc import Collection

PAIR, LABEL = "pair", "label"
POLICIES = (PAIR, LABEL)


def without_unseen(
    records: list[dict], unseen: Collection[int], *, policy: str = PAIR, keep_empty: bool = False
) -> list[dict]:
    """Removes the interactions of unseen HOI classes.

    Args:
        records: dataset dicts; they are not changed.
        unseen: HOI ids.
        policy: `pair` removes every interaction of a pair with an unseen one, so that training
            does not treat the unseen one as negative (GEN-VLKT and later papers); `label` removes
            only the unseen interactions.
        keep_empty: keep images without remaining interactions. Papers drop them.

    Raises:
        ValueError: the policy is unknown.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy: expected one of {', '.join(POLICIES)}, got {policy!r}")
    unseen, kept = frozenset(unseen), []
    for record in records:
        pairs = record["hoi_annotations"]
        hidden = {(p["human"], p["object"]) for p in pairs if p["hoi"] in unseen}
        if policy == PAIR:
            left = [p for p in pairs if (p["human"], p["object"]) not in hidden]
        else:
            left = [p for p in pairs if p["hoi"] not in unseen]
        if left or keep_empty:
            kept.append({**record, "hoi_annotations": left})
    return kept
