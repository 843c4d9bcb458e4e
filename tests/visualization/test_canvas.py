import numpy as np
import pytest
from PIL import Image

from hoi_d2.visualization.canvas import BLACK, HOIImage, load_font, text_mask, wrap_text

RED, BLUE = (255, 0, 0), (0, 0, 255)


def blank(height=60, width=80, value=128):
    return np.full((height, width, 3), value, dtype=np.uint8)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", 0),
        ("ride", 1),
        ("ride a bicycle", 1),
        ("ride a bicycle and hold a ball and sit on a chair", 3),
        ("incomprehensibilities", 1),
    ],
)
def test_wrap_text(text, lines):
    font = load_font(12)
    wrapped = wrap_text(text, font, 120)
    assert wrapped.replace("\n", " ") == text
    assert len(wrapped.split("\n")) == max(lines, 1)
    for line in wrapped.split("\n"):
        assert font.getlength(line) <= 120 or " " not in line


def test_text_mask_holds_the_ink_of_every_line():
    font = load_font(14)
    one, two = text_mask("ride", font, 3), text_mask("ride\nbicycle", font, 3)
    assert one.max() > 230 and one[:, :3].max() == 0 and one[:, -3:].max() == 0
    assert two.shape[0] > 1.7 * one.shape[0]
    assert two[one.shape[0] :].max() > 230


def test_a_font_that_is_none_is_named():
    with pytest.raises(FileNotFoundError, match="no_such_font"):
        load_font(12, "no_such_font.ttf")


def test_the_image_is_copied():
    image = blank()
    HOIImage(image).rectangle(np.array([10, 10, 40, 40]), RED, 2)
    assert (image == 128).all()


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_scale(scale):
    output = HOIImage(blank(), scale)
    assert (output.height, output.width) == output.get_image().shape[:2]
    assert output.get_image().shape == (60 * scale, 80 * scale, 3)


def test_rectangle_is_where_it_should_be():
    output = HOIImage(blank())
    output.rectangle(np.array([20, 10, 50, 40]), RED, 2)
    changed = (output.get_image() != 128).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert abs(rows[0] - 10) <= 4 and abs(rows[-1] - 39) <= 4
    assert abs(columns[0] - 20) <= 4 and abs(columns[-1] - 49) <= 4
    assert not changed[15:35, 25:45].any()  # an outline
    assert tuple(output.get_image()[25, 20]) == RED


@pytest.mark.parametrize("value", [0, 255])
def test_a_line_is_seen_on_black_and_on_white(value):
    output = HOIImage(blank(value=value))
    output.line(np.array([10, 30]), np.array([70, 30]), RED, 2)
    column = output.get_image()[25:36, 40].astype(int)
    assert (column == RED).all(axis=1).any()
    if value:  # the dark rim sets the line off from a light ground
        assert (column < 70).all(axis=1).any()


def test_boxes_far_outside_do_no_harm():
    output = HOIImage(blank())
    output.rectangle(np.array([-1e9, -1e9, 1e9, 1e9]), RED, 2)
    output.line(np.array([-1e12, 5]), np.array([1e12, 5]), RED, 2)
    assert (output.get_image() == RED).all(axis=2).any()


def test_dashes_take_turns():
    output = HOIImage(blank(200, 300))
    output.dashed_rectangle(np.array([20, 20, 280, 180]), [RED, BLUE], 2)
    image = output.get_image()
    reds, blues = (image == RED).all(axis=2), (image == BLUE).all(axis=2)
    assert reds.any() and blues.any()
    top = image[20, 30:270]
    assert (top == 128).all(axis=1).any()  # gaps


def test_a_small_box_is_solid():
    output = HOIImage(blank())
    output.dashed_rectangle(np.array([20, 20, 40, 40]), [RED], 2)
    assert (output.get_image()[20, 22:38] == RED).all()


@pytest.mark.parametrize(("x", "y"), [(5, 5), (-4, -4), (70, 50), (200, 200)])
def test_label_is_cut_off_at_the_edge(x, y):
    output = HOIImage(blank())
    mask = np.zeros((12, 20), dtype=np.uint8)
    mask[6, 10] = 255
    output.label(mask, x, y, RED)
    image = output.get_image()
    inside = 0 <= y + 6 < 60 and 0 <= x + 10 < 80
    assert (image == BLACK).all(axis=2).any() == inside
    expected = max(0, min(60, y + 12) - max(0, y)) * max(0, min(80, x + 20) - max(0, x))
    assert (image != 128).any(axis=2).sum() == expected


def test_append_labels_keeps_the_image():
    output = HOIImage(blank())
    masks = [np.zeros((10, 30), dtype=np.uint8)] * 5
    output.append_labels(masks, [RED, BLUE, RED, BLUE, RED], gap=2)
    image = output.get_image()
    assert image.shape[1] == 80 and output.height == len(image) > 60
    assert (image[:60] == 128).all()
    assert (image == RED).all(axis=2).sum() == 3 * 300
    assert (image == BLUE).all(axis=2).sum() == 2 * 300


def test_saved_pixels_come_back(tmp_path):
    output = HOIImage(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    output.rectangle(np.array([5, 5, 30, 30]), RED, 2)
    output.save(tmp_path / "new" / "a.png")
    with Image.open(tmp_path / "new" / "a.png") as image:
        assert (np.asarray(image) == output.get_image()).all()
    output.save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="extension"):
        output.save(tmp_path / "a.nothing")
