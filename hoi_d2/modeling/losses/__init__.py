"""Losses of pairs and of images."""
