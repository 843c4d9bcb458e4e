"""What a GPU computes, and how fast: one command for a machine that has one.

Start with `check.py`, which runs the sections one after the other in processes of their own.

- `check`: the command; collects the sections' figures.
- `numbers`: every meta-architecture in float32, TF32, float16 and bfloat16 against the CPU.
- `processes`: a short training by one process and by two.
- `speed`: training steps, inference over batch sizes, DEFR-Det over the number of pairs.
- `report`: the page `docs/gpu.md`.
"""

from hoi_d2.benchmark.gpu.check import main

__all__ = ["main"]
