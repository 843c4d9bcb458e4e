from __future__ import annotations

import json

import pytest

from hoi_d2.utils.strict_json import DuplicateKeyError, line_and_column, loads


@pytest.mark.parametrize("text", ["{}", "[]", '{"a": {"a": [{"b": 1}, {"b": 1}]}}', "1", '"x"'])
def test_what_the_standard_parser_reads(text):
    assert loads(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "key", "place"),
    [
        ('{"a": 1, "a": 1}', "a", "line 1 column 1"),
        ('[{"b": 1},\n  {"a": [1], "b": 2, "a": null}]', "a", "line 2 column 3"),
        ('{"x": {"y": {"\\u0061": 1, "a": 2}}}', "a", "line 1 column 13"),
        ('{"": 1, "": 2}', "", "line 1 column 1"),
    ],
)
def test_two_equal_keys(text, key, place):
    with pytest.raises(DuplicateKeyError) as error:
        loads(text)
    assert error.value.key == key
    assert line_and_column(text, error.value.position) == place


def test_deeper_than_the_place_can_be_found():
    depth = 900
    text = '{"a": ' * depth + '{"b": 1, "b": 2}' + "}" * depth
    with pytest.raises((DuplicateKeyError, RecursionError)) as error:
        loads(text)
    assert getattr(error.value, "position", None) is None


@pytest.mark.parametrize("text", ["", "{", '{"a": 1,}', "1" * 5000])
def test_other_errors_are_the_standard_ones(text):
    with pytest.raises(ValueError) as error:
        loads(text)
    assert not isinstance(error.value, DuplicateKeyError)
