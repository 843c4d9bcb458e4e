"""Detectors that find the entities of the pairs, behind one interface."""
