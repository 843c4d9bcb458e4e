"""Loaders of annotation files, one module per file format.

- `records`: checked reads, error messages and the cache of all loaders; start here.
- `hico_det`, `vcoco`, `hico`, `mpii`: load a dataset in any of its published forms.
- `hoi_json`: loads own data; `hoi_json_classes` reads its classes.
- `qpic_form`, `upt_form`, `odgt_form`, `vcoco_official`, `hico_det_mat`: one file format each.
- `coco_without_vcoco`: COCO for detectors that will be used on V-COCO.
- `checks`: flaws of records; `mat`: reads MATLAB files.
"""
