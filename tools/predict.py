#!/usr/bin/env python
"""The same as `hoi-d2 predict`; --help shows the options."""

import sys

from hoi_d2.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
