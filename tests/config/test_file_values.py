"""Values read out of config files are those of the loaded configs."""

from __future__ import annotations

import pytest

from hoi_d2.config.file_values import FileValues
from hoi_d2.model_zoo import configs_root
from tests.small_configs import read_config

FILES = {
    "first.yaml": "A: {B: 1, C: 1}\nMODEL: {WEIGHTS: first}",
    "second.yaml": "_BASE_: first.yaml\nA: {B: 2}",
    "third.yaml": "A: {D: 3}",
    "both.yaml": "_BASE_: [second.yaml, third.yaml]",
    "swapped.yaml": "_BASE_: [third.yaml, first.yaml, second.yaml]\nA: {C: 5}",
    "empty.yaml": "",
}


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("empty.yaml", "MODEL.WEIGHTS", ""),  # the default
        ("first.yaml", "A.B", 1),
        ("second.yaml", "A.B", 2),
        ("second.yaml", "A.C", 1),
        ("second.yaml", "MODEL.WEIGHTS", "first"),
        ("both.yaml", "A.B", 2),
        ("both.yaml", "A.D", 3),
        ("both.yaml", "MODEL.META_ARCHITECTURE", "GeneralizedRCNN"),
        ("swapped.yaml", "A.B", 2),
        ("swapped.yaml", "A.C", 5),
    ],
)
def test_value(file, key, value, tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    assert FileValues().value(tmp_path / file, key) == value


@pytest.mark.parametrize("key", ["A.E", "A.B.C", "MODEL.NOTHING"])
def test_a_key_that_does_not_exist(key, tmp_path):
    (tmp_path / "first.yaml").write_text(FILES["first.yaml"])
    with pytest.raises(KeyError, match=key):
        FileValues().value(tmp_path / "first.yaml", key)


@pytest.mark.parametrize(
    "name", ["toy/rmlr", "toy/detr", "photo/photo", "UPT/upt_R101-DC5_hico_det", "Base-HOI"]
)
def test_values_of_the_package_are_those_of_the_config(name):
    file, values = configs_root() / f"{name}.yaml", FileValues()
    model = read_config(file).MODEL
    assert values.value(file, "MODEL.META_ARCHITECTURE") == model.META_ARCHITECTURE
    assert values.value(file, "MODEL.WEIGHTS") == model.WEIGHTS
    detector = values.value(file, "MODEL.ENTITY_DETECTOR.WEIGHTS")
    assert detector == model.ENTITY_DETECTOR.WEIGHTS
