"""Metrics of HOI detection (HICO-DET, V-COCO) and of image-level recognition (HICO, MPII).

Start here: `score_file` scores a result file; `evaluators` scores a model during `--eval-only`.
Both use `scorers`, which turn ground truth and results into metrics and a per-class table.

- `score_file`: a result file, a dataset and options give metrics.
- `evaluators`: detectron2 evaluators of HICO-DET and V-COCO.
- `image_level_evaluators`: detectron2 evaluators of HICO and MPII.
- `box_evaluation`: COCO's box AP of the entity detector.
- `scorers`: metrics, table and ranked detections of one dataset.
- `results`: the results of a model as columns.
- `result_files`: reads and writes results, metrics and tables.
- `foreign`: result files of other code bases.
- `results_check`: refuses results that cannot be scored, warns about unusual ones.
- `ground_truth`: annotations as columns.
- `hico_det_metrics`: HICO-DET's metric and its published variants.
- `vcoco_truth`: annotations as V-COCO's official tool reads them.
- `vcoco_metrics`: V-COCO's agent AP and role AP.
- `image_level_metrics`: HICO's and MPII's metric, their score files and labels.
- `matching`: IoU, grouping, ranking and NMS on arrays.
- `average_precision`: 11-point and all-point AP, also of weighted images.
- `bootstrap`: confidence intervals.
- `error_analysis`: the cause of each false positive and its cost in AP.
"""
