"""Configuration: every key with its default, and how a config file is read."""
