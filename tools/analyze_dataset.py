#!/usr/bin/env python
"""What a data set holds; hoi_d2/commands/analyze_dataset.py has the code."""

import sys

from hoi_d2.commands.analyze_dataset import main

if __name__ == "__main__":
    sys.exit(main())
