"""The page of a GPU check: one table for each section."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tabulate import tabulate

Row = dict[str, Any]


def page(result: dict[str, Any]) -> str:
    """Markdown of what `check.main` measured."""
    parts = ["# On a GPU", _INTRODUCTION, _machine(result["machine"])]
    for name, (title, text, table) in _SECTIONS.items():
        section = result["sections"].get(name)
        if section is None:
            continue
        parts += [f"## {title}", text]
        if "error" in section:
            parts.append(f"**Failed**: `{section['error']}`")
        if section.get("rows"):
            parts.append(table(section["rows"]))
        parts.append(f"Measured in {section['seconds']:.0f} s.")
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """\
Written by `tools/gpu_check.sh`, which checks a machine with a GPU in less than 10 minutes:
numbers against the CPU, two processes, speed and memory. `gpu.json` next to this page holds the
same figures. Weights of the speed tests are random; times do not depend on them."""


def _machine(machine: Row) -> str:
    rows = [
        (name, machine[name])
        for name in ("gpu", "gpus", "memory_gb", "cuda", "torch", "python", "cpu")
        if name in machine
    ]
    return _table(("machine", ""), rows)


def _numbers(rows: list[Row]) -> str:
    headers = (
        "config",
        "precision",
        "found again",
        "score",
        "largest",
        "loss",
        "gradient",
        "verdict",
    )
    lines = []
    for row in rows:
        found = f"{row['found']:.0%} of {row['number']}" if row.get("found") is not None else ""
        cells = [_short(row.get(key)) for key in ("score", "largest", "loss")]
        cosine = f"{row['cosine']:.5f}" if row.get("cosine") is not None else ""
        lines.append((row["config"], row["precision"], found, *cells, cosine, _verdict(row)))
    return _table(headers, lines)


def _processes(rows: list[Row]) -> str:
    headers = ("processes", "backend", "precision", "first loss", "last loss", "difference", "")
    lines = [
        (
            row["processes"],
            row["backend"] or "",
            row["precision"],
            *(f"{row['losses'][i]:.4f}" for i in (0, -1)),
            _short(row["difference"]),
            _verdict(row),
        )
        for row in rows
    ]
    return _table(headers, lines)


def _training(rows: list[Row]) -> str:
    headers = (
        *("detector", "pairs", "images/s, model alone", "with the loader", "loader alone"),
        *("peak memory, MB", "largest parts of a step"),
    )
    lines: list[tuple] = []
    for row in rows:
        if "error" in row:
            lines.append((row["name"], row["pairs"], row["error"]))
            continue
        speed, parts = row["images_per_second"], row["parts"]
        total = sum(parts.values())
        largest = sorted(parts, key=parts.__getitem__, reverse=True)[:3]
        lines.append(
            (
                row["name"],
                row["pairs"],
                *(f"{speed[key]:.1f}" for key in ("model alone", "both", "loader alone")),
                row["peak_memory_mb"],
                ", ".join(f"{name} {parts[name] / total:.0%}" for name in largest),
            )
        )
    return _table(headers, lines)


def _inference(rows: list[Row]) -> str:
    batches = sorted({row["batch"] for row in rows})
    headers = ("model", *(f"batch {b}" for b in batches), "peak memory, MB")
    lines = []
    for name in dict.fromkeys(row["name"] for row in rows):
        own = {row["batch"]: row for row in rows if row["name"] == name}
        cells = [_speed(own.get(batch, {})) for batch in batches]
        lines.append((name, *cells, max(row.get("peak_memory_mb", 0) for row in own.values())))
    return _table(headers, lines)


def _speed(row: Row) -> str:
    """Images per second; empty where it was not measured."""
    return row.get("error") or (f"{row['images_per_second']:.1f}" if row else "")


def _pairs(rows: list[Row]) -> str:
    headers = ("precision", "pairs", "ms per image", "of these, encoder", "peak memory, MB")
    lines = [
        (row["precision"], row["pairs"], row["error"])
        if "error" in row
        else (
            row["precision"],
            row["pairs"],
            f"{row['ms']:.1f}",
            f"{row['encoder_ms']:.1f}",
            row["peak_memory_mb"],
        )
        for row in rows
    ]
    return _table(headers, lines)


_SECTIONS: dict[str, tuple[str, str, Callable[[list[Row]], str]]] = {
    "numbers": (
        "Numbers",
        "Every meta-architecture against float32 on the CPU. *Found again*: findings of the CPU "
        "with a score of at least 0.05 that the GPU has too, with the mean and the largest "
        "difference of their scores. *Loss* (relative difference) and *gradient* (cosine): of one "
        "training batch. Empty: not compared, but finite.",
        _numbers,
    ),
    "processes": (
        "Two processes",
        "`toy/rmlr.yaml`, a few steps. Two processes on one GPU communicate through gloo; NCCL "
        "needs a GPU for each. *Difference*: of a step's loss, relative to one process in float32.",
        _processes,
    ),
    "training": (
        "Training of RmLR-R50",
        "Batch 16 of made-up photographs in the augmentation of the config, mixed precision "
        "(bfloat16) for the head. *Most* pairs: 435 in each image; *found*: those of the "
        "detections.",
        _training,
    ),
    "inference": (
        "Inference",
        "Images per second, 800 x 1066, the most pairs (435 an image), from images in the CPU's "
        "memory to interactions there.",
        _inference,
    ),
    "pairs": (
        "DEFR-Det over the number of pairs",
        "ViT-B/16 at 672 x 672 on one image. The encoder runs once for each image; a pair is one "
        "more query of its last block.",
        _pairs,
    ),
}


def _verdict(row: Row) -> str:
    if "error" in row:
        return f"failed: {row['error']}"[:200]
    return "ok" if row["ok"] else "**differs**"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _table(headers: tuple, rows: list[tuple]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
