"""Converts a training checkpoint to a small safetensors file for publication: 16-bit weights only.

hoi-d2 strip output/toy/detr/model_final.pth detr.safetensors
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from hoi_d2.checkpoint.class_names import vocabulary_in
from hoi_d2.checkpoint.weight_files import averaged_weights, read_weights
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.files import sha256_of

ONLY_IN_TRAINING = ("dense_heads.", "network.extra_queries.")


def strip(checkpoint: Path, output: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Writes the averaged weights, if there are any, without parts that only training uses.

    The config, iteration and class names are stored in the file's metadata.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: it is damaged, or holds more than weights.
    """
    file = read_weights(checkpoint)
    weights = file.weights | averaged_weights(file)
    kept = {
        name: value.to(dtype).contiguous() if value.is_floating_point() else value
        for name, value in weights.items()
        if not name.startswith(ONLY_IN_TRAINING) and not name.endswith("num_batches_tracked")
    }
    metadata = {
        "config": re.sub(r"(?m)^OUTPUT_DIR: .*\n", "", file.extra.get("config", "")),
        "iteration": str(file.extra.get("iteration", "")),
    }
    if vocabulary := vocabulary_in(checkpoint):
        metadata["vocabulary"] = json.dumps(vocabulary.as_dict())
    if "frozen" in file.extra:  # on top of which frozen weights
        metadata["frozen"] = json.dumps(file.extra["frozen"])
    output.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, output, metadata=metadata)
    output.chmod(0o644)  # safetensors creates files that only the owner can read


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of a training (.pth)")
    parser.add_argument("output", type=Path, help="the file to write (.safetensors)")
    parser.add_argument("--fp32", action="store_true", help="keep 32-bit weights")
    args = parser.parse_args(argv)
    strip(args.checkpoint, args.output, dtype=torch.float32 if args.fp32 else torch.float16)
    size = args.output.stat().st_size / 1e6
    print(f"{args.output}: {size:.2f} MB, SHA-256 {sha256_of(args.output)}")
    return 0
