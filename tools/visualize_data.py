#!/usr/bin/env python
"""Draws the annotations of a data set; hoi_d2/commands/visualize_data.py has the code."""

import sys

from hoi_d2.commands.visualize_data import main

if __name__ == "__main__":
    sys.exit(main())
