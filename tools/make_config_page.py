#!/usr/bin/env python
"""Writes docs/config.md, the table of hoi_d2's config keys; `make docs` calls it."""

from pathlib import Path

from hoi_d2.config.document import config_document

PAGE = Path(__file__).resolve().parents[1] / "docs" / "config.md"

if __name__ == "__main__":
    PAGE.write_text(config_document())
