"""Converts exports of labelling tools to hoi_d2's JSON for own data.

- `document`: builds the JSON from names; start here.
- `cvat`, `label_studio`: read one tool's export each.
"""
