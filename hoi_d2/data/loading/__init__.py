"""Data loaders for training and testing.

- `build`: makes the loaders of a config; start here.
- `stream`: the order of the training images, the same for any number of processes and workers.
- `samples`: maps records in the workers and replaces images that cannot be read.
- `dataset_report`: logs the contents of a training set and the classes without samples.
"""
