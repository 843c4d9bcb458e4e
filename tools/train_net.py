#!/usr/bin/env python
"""Trains or evaluates a model; the arguments are detectron2's.

python tools/train_net.py --config-file configs/toy/rmlr.yaml
python tools/train_net.py --config-file configs/RmLR/R50.yaml --num-gpus 4 SOLVER.BASE_LR 2e-4
python tools/train_net.py --config-file configs/RmLR/R50.yaml --resume
python tools/train_net.py --config-file configs/RmLR/R50.yaml --eval-only MODEL.WEIGHTS model.pth
torchrun --nproc_per_node 4 tools/train_net.py --config-file configs/RmLR/R50.yaml
"""

from hoi_d2.engine.setup import main

if __name__ == "__main__":
    main()
