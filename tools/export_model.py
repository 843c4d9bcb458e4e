#!/usr/bin/env python
"""The same as `hoi-d2 export`; --help shows the options."""

import sys

from hoi_d2.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
