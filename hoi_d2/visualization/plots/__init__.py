"""Figures: curves, dataset statistics, learning curves."""
