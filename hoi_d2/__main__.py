"""`python -m hoi_d2` is the console command `hoi-d2`."""

import sys

from hoi_d2.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
