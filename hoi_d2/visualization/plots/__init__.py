"""Figures: curves, dataset statistics, error causes, learning curves."""
