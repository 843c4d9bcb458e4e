"""Datasets: reading annotations and images, and turning them into model inputs.

Start with `open_dataset`, the way from a name or a file to records and vocabulary; `builtin`
registers the named splits.

- `dataset`: `open_dataset`.
- `builtin`: registers built-in and own datasets; `trees` has the paths of their files.
- `vocabulary`, `open_vocabulary`, `class_spaces`, `catalog`: classes of datasets, users, detectors.
- `datasets`: loaders of annotation files, one module per format.
- `images`, `image_sizes`: read images, and the sizes that annotation files lack.
- `mappers`, `classification_mapper`, `transforms`: dataset dict -> augmented model input.
- `loading`: the training and test loaders.
- `samplers`: over-sampling of rare classes.
- `zero_shot`, `holdout`: parts of a training set.
- `statistics`, `validation`, `suspicions`: numbers and errors of a dataset, for the command line.
- `prepare`, `converters`: downloaded archives and exports of labelling tools.
- `toy`: the toy world, a small dataset that is drawn by the program.
"""

from hoi_d2.data.dataset import Dataset, open_dataset

__all__ = ["Dataset", "open_dataset"]
