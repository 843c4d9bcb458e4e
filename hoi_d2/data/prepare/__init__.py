"""Turns downloaded archives into the folders that hoi_d2 registers.

- `command`: what the `hoi-d2 data prepare-*` commands share; start here.
- `files`: downloads, archives and checksums.
- `counts`: published numbers of each split, to compare with what is on disk.
- `hico_det`, `vcoco`: the steps of one dataset each.
"""
