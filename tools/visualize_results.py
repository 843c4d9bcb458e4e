#!/usr/bin/env python
"""Draws ground truth next to prediction; hoi_d2/commands/visualize_results.py has the code."""

import sys

from hoi_d2.commands.visualize_results import main

if __name__ == "__main__":
    sys.exit(main())
