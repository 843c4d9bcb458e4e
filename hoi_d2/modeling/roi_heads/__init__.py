"""The parts of RmLR's head, one file each."""
