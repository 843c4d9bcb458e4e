"""Training records of a zero-shot setting: what is left when some HOI classes may not be seen."""

from __future__ import annotations

from collections.abc import Collection

PAIR, LABEL = "pair", "label"
POLICIES = (PAIR, LABEL)


def without_unseen(
    records: list[dict], unseen: Collection[int], *, policy: str = PAIR, keep_empty: bool = False
) -> list[dict]:
    """Records without the interactions of unseen HOI classes.

    Args:
        records: dataset dicts; they are not changed.
        unseen: HOI ids.
        policy: `pair` takes away every interaction of a pair that has an unseen one, so that
            what is left of it does not teach that the unseen one is absent (GEN-VLKT and the
            papers after it); `label` takes away the unseen ones alone.
        keep_empty: keep images that have no interaction left. Papers drop them.

    Raises:
        ValueError: no such policy.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy {policy!r}: one of {', '.join(POLICIES)}")
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
