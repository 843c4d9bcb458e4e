"""Interactions as sentences, and what a frozen language model makes of them."""
