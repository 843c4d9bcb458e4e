"""Layers that several parts of the models share."""
