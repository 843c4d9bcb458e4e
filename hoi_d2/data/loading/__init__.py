"""Data loaders: sampling, mapping, what happens to unreadable images."""
