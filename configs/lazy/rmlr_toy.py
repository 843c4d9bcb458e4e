"""`toy/rmlr.yaml` as a lazy config of detectron2: every part is a call that stands here.

    from detectron2.config import LazyConfig, instantiate
    config = LazyConfig.load("configs/lazy/rmlr_toy.py")
    config.model.interaction_heads.masked_roi.mask = "union"  # any argument of any part
    model = instantiate(config.model)
    model.entity_detector.load_weights(config.train.detector_weights)
    HOICheckpointer(model).load(config.train.init_checkpoint)  # holds all but the detector
    use_onednn(model.entity_detector)  # faster on a CPU; hoi_d2.modeling.layers.onednn
    use_onednn(model.interaction_heads)

A part may be another class altogether: `config.model.entity_detector = L(MyDetector)(...)`.
"""

from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from hoi_d2.data.vocabulary import coco_objects, hico_det_vocabulary
from hoi_d2.modeling.entity_detector.detector_classes import DetectorClasses
from hoi_d2.modeling.entity_detector.detr import DetrEntityDetector
from hoi_d2.modeling.entity_detector.detr_network import DetrNetwork
from hoi_d2.modeling.losses import VerbFocalLoss
from hoi_d2.modeling.meta_arch.rmlr import RmLR
from hoi_d2.modeling.roi_heads.interaction_heads import InteractionHeads
from hoi_d2.modeling.roi_heads.interaction_reasoning import InteractionReasoningModule
from hoi_d2.modeling.roi_heads.masked_roi import MaskedRoI
from hoi_d2.modeling.roi_heads.pair_generator import PairGenerator
from hoi_d2.modeling.roi_heads.pair_targets import PairTargets
from hoi_d2.modeling.roi_heads.relation_encoder import InteractiveRelationEncoder

TOKEN, MAP, FEATURE, RELATION, VERBS = 128, 160, 128, 128, 117

model = L(RmLR)(
    entity_detector=L(DetrEntityDetector)(
        network=L(DetrNetwork)(
            name="conditional_detr",
            num_classes=80,
            num_queries=30,
            hidden_dim=TOKEN,
            ffn_dim=512,
            num_heads=8,
            encoder_layers=2,
            decoder_layers=3,
            dropout=0.0,
            norm_between_layers=True,
            # transformers wants plain lists.
            backbone=L(OmegaConf.to_container)(
                cfg={
                    "embedding_size": 32,
                    "hidden_sizes": [32, 64, MAP],
                    "depths": [1, 2, 2],
                    "layer_type": "basic",
                    "out_features": ["stage3"],
                }
            ),
            fold_batchnorm=True,
            channels_last=True,
        ),
        classes=L(DetectorClasses)(outputs=L(coco_objects)(), dataset=L(coco_objects)()),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    ),
    pair_generator=L(PairGenerator)(person=0, score_threshold=0.1),
    interaction_heads=L(InteractionHeads)(
        in_channels=MAP,
        token_dim=TOKEN,
        feature_dim=FEATURE,
        relation_dim=RELATION,
        relation_encoder=L(InteractiveRelationEncoder)(
            in_channels=MAP,
            hidden_dim=RELATION,
            num_layers=2,
            num_heads=8,
            ffn_dim=512,
            dropout=0.0,
        ),
        masked_roi=L(MaskedRoI)(mask="human_or_object", resolution=7, sampling_ratio=2, stride=16),
        reasoning=L(InteractionReasoningModule)(
            in_dim=4 * FEATURE,  # [g, s, m]: global, two tokens, union
            hidden_dim=256,
            num_layers=1,
            num_heads=8,
            ffn_dim=256,
            dropout=0.0,
            num_verbs=VERBS,
        ),
    ),
    pair_targets=L(PairTargets)(vocabulary=L(hico_det_vocabulary)()),
    vocabulary=L(hico_det_vocabulary)(),
    verb_loss=L(VerbFocalLoss)(alpha=0.5, gamma=0.2),
    prior_exponents=(1.0, 1.0),
    max_detections=100,
)

train = {
    "detector_weights": "hoi_d2://toy/detr.safetensors",
    "init_checkpoint": "hoi_d2://toy/rmlr.safetensors",
}
