#!/usr/bin/env python
"""Counts what a data set holds, as a table, figures and files; hoi_d2/commands/analyze_dataset.py has the code."""

import sys

from hoi_d2.commands.analyze_dataset import main

if __name__ == "__main__":
    sys.exit(main())
