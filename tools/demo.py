#!/usr/bin/env python
"""Finds and draws interactions in images, folders, videos or from a camera; see --help."""

import sys

from hoi_d2.demo.command import main

if __name__ == "__main__":
    sys.exit(main())
