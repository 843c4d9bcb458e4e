"""Exports of labelling tools -> hoi_d2's JSON for own data."""
