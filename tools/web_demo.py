#!/usr/bin/env python
"""A web page that finds and draws interactions in uploaded images (extra [demo]); see --help."""

import sys

from hoi_d2.demo.web.server import main

if __name__ == "__main__":
    sys.exit(main())
