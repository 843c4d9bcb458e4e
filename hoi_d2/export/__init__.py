"""Exports models to ONNX, with a runner that needs only onnxruntime, numpy and Pillow.

- `onnx`: the export and its check; start here.
- `rmlr`, `defr_det`, `detector`: the graphs of each model; `graph` describes one graph.
- `runner`: the runner, which is copied into the exported folder.
"""
