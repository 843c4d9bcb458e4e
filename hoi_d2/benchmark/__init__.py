"""Benchmarks of inference, training, data loading, evaluation, the demo and starting up.

Start with `stopwatch.py`; each command of `tools/benchmark.py` is a module that uses it.

- `stopwatch`: measures named parts, by hooks on methods; the table and the options all share.
- `infer`: a model's forward pass, and how other keys of the config change it.
- `train`: a training step, and whether the loader keeps up with it.
- `batches`: images of mixed sizes in batches, against one by one.
- `cached`: training from stored outputs of the detector against training from images.
- `data`: decoding and augmenting images, and the loader as a whole.
- `evaluate`: the metrics of HICO-DET and V-COCO.
- `demo`: `hoi-d2 demo` on photographs, from reading to writing.
- `start`: how long commands take before they do anything.
- `images`: the training data of `train` and `data`; made up where a dataset is not on disk.
- `zoo`: parameter counts and the cost of a training step, for the model zoo.
"""
