"""Parses a .mat file in a separate process: a damaged file can crash scipy's parser.

    python hoi_d2/data/datasets/mat_reader.py FILE OUTPUT VARIABLE ...

It imports nothing of this package, so that it starts fast. The output is a pickle of {name: array},
without those that the file lacks, and under "" the names of all variables. Without VARIABLE only
the names are read. Errors go to stderr, in one line.
"""

from __future__ import annotations

import pickle
import sys


def main() -> int:
    """Returns the exit code."""
    from scipy.io import loadmat, whosmat

    file, output, *names = sys.argv[1:]
    try:
        found = {"": [entry[0] for entry in whosmat(file)]}
        if names:
            content = loadmat(file, variable_names=names)
            found |= {name: content[name] for name in names if name in content}
    except Exception as error:  # scipy raises many kinds of errors for damaged files
        print(f"{type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr)
        return 1
    with open(output, "wb") as stream:
        pickle.dump(found, stream, protocol=pickle.HIGHEST_PROTOCOL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
