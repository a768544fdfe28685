"""One file of each kind that people's folders hold."""

import io

import numpy as np
import pytest
from PIL import Image

from hali_tf.data.crops import central_square
from hali_tf.data.images import decode
from hali_tf.errors import BadImage
from serving.client import pictures as client_pictures


def _bytes(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _photograph(width=40, height=30):
    """A smooth picture whose four corners can be told apart."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([255 * x / (width - 1), 255 * y / (height - 1), 0 * x + 60], axis=-1)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def test_a_plain_image_keeps_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    decoded = decode(_bytes(Image.fromarray(pixels)), 8, 3)
    assert decoded.dtype == np.uint8 and (decoded == pixels).all()


def test_the_central_square_is_kept():
    pixels = np.zeros((4, 10, 3), dtype=np.uint8)
    pixels[:, 3:7] = 255
    assert (decode(_bytes(Image.fromarray(pixels)), 4, 3) == 255).all()
    assert central_square(10, 4) == (3, 0, 7, 4) and central_square(4, 11) == (0, 3, 4, 7)


def test_pixels_outside_the_square_do_not_bleed_into_it():
    pixels = np.zeros((16, 40, 3), dtype=np.uint8)
    pixels[:, 12:28] = 255
    assert (decode(_bytes(Image.fromarray(pixels)), 4, 3) == 255).all()


@pytest.mark.parametrize("size", [8, 64])
def test_resizing_keeps_the_picture(size):
    decoded = decode(_bytes(_photograph(64, 64)), size, 3).astype(int)
    expected = 255 * (np.arange(size) + 0.5) / size
    assert np.abs(decoded[size // 2, :, 0] - expected).max() < 6
    assert np.abs(decoded[:, size // 2, 1] - expected).max() < 6


def test_a_large_jpeg_equals_its_png_though_decoded_at_less_detail():
    photograph = _photograph(1200, 900)
    jpeg = decode(_bytes(photograph, "JPEG", quality=95), 32, 3).astype(int)
    assert np.abs(jpeg - decode(_bytes(photograph), 32, 3)).max() <= 4


def test_28_at_32_is_padded_with_zeros():
    pixels = np.random.default_rng(0).integers(1, 256, (28, 28), dtype=np.uint8)
    decoded = decode(_bytes(Image.fromarray(pixels)), 32, 1)
    assert (decoded[2:30, 2:30, 0] == pixels).all()
    assert decoded.astype(int).sum() == pixels.astype(int).sum()


def test_grey_becomes_three_equal_channels_and_colour_becomes_grey():
    grey = decode(_bytes(Image.new("L", (5, 5), 90)), 5, 3)
    assert grey.shape == (5, 5, 3) and (grey == 90).all()
    colour = decode(_bytes(Image.new("RGB", (5, 5), (255, 0, 0))), 5, 1)
    assert colour.shape == (5, 5, 1) and (colour == 76).all()  # 0.299 * 255


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_divided_by_256(channels):
    values = np.array([[0, 255], [256, 65535]], dtype=np.uint16)
    decoded = decode(_bytes(Image.fromarray(values)), 2, channels)
    assert (decoded == np.array([[0, 0], [1, 255]])[..., None]).all()


def test_16_bit_tiff():
    values = np.full((4, 4), 32768, dtype=np.uint16)
    assert (decode(_bytes(Image.fromarray(values), "TIFF"), 4, 3) == 128).all()


def test_cmyk_jpeg():
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    decoded = decode(_bytes(cyan, "JPEG", quality=100), 16, 3)
    assert np.abs(decoded.astype(int) - (0, 255, 255)).max() <= 3


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = _bytes(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert (decode(data, 6, 3) == (255, 0, 0)).all()


def test_an_exif_orientation_is_applied():
    upright = _photograph(20, 20)
    lying = upright.transpose(Image.Transpose.ROTATE_90)  # 6: turn clockwise to see it upright.
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode(_bytes(lying, "JPEG", quality=100, exif=exif), 20, 3).astype(int)
    assert np.abs(decoded - np.asarray(upright)).mean() < 3


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    image.paste((10, 20, 30, 255), (0, 0, 2, 4))
    decoded = decode(_bytes(image), 4, 3)
    assert (decoded[:, :2] == (10, 20, 30)).all() and (decoded[:, 2:] == 255).all()


def test_a_palette_with_transparency_is_laid_on_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.paste(1, (0, 0, 2, 4))
    decoded = decode(_bytes(image, transparency=0), 4, 3)
    assert (decoded[:, :2] == (200, 100, 0)).all() and (decoded[:, 2:] == 255).all()
    assert (decode(_bytes(image), 4, 3)[:, 2:] == (10, 20, 30)).all()


def test_black_and_white():
    assert (decode(_bytes(Image.new("1", (4, 4), 1)), 4, 3) == 255).all()


def test_a_line_of_pixels_is_enlarged():
    assert (decode(_bytes(Image.new("L", (100, 1), 7)), 16, 1) == 7).all()


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "the file is empty"),
        (b"<html>404 Not Found</html>", "not an image in a known format"),
        (bytes(1000), "not an image in a known format"),
        (_bytes(_photograph(200, 200), "JPEG")[:900], "truncated"),
        (_bytes(Image.effect_noise((200, 200), 50))[:900], "."),
        (_bytes(_photograph(200, 200), "JPEG")[:30], "."),
        (_bytes(_photograph(20, 20), "GIF")[:60], "."),
        (_bytes(Image.new("F", (4, 4), 0.5), "TIFF"), "floating-point"),
        (_bytes(Image.fromarray(np.full((4, 4), 70000, dtype=np.int32)), "TIFF"), "16 bits"),
    ],
    ids=[
        "empty",
        "text",
        "zeros",
        "truncated jpeg",
        "truncated png",
        "jpeg header",
        "truncated gif",
        "float",
        "32 bits",
    ],
)
def test_bad_files_say_why(data, reason):
    with pytest.raises(BadImage, match=reason) as caught:
        decode(data, 16, 3)
    assert "\n" not in str(caught.value) and "BytesIO" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damage_anywhere_is_reported_or_survived_but_never_another_error():
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        whole = np.frombuffer(_bytes(_photograph(), kind), dtype=np.uint8)
        for _ in range(60):
            data = whole.copy()
            data[rng.integers(len(data), size=8)] = rng.integers(256, size=8)
            try:
                assert decode(data.tobytes(), 16, 3).shape == (16, 16, 3)
            except BadImage:
                pass


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_damaged_exif_tag_says_nothing_of_the_picture(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    with_tag = _bytes(_photograph(), kind, exif=b"Exif\0\0garbage here", **options)
    plain = decode(_bytes(_photograph(), kind, **options), 16, 3)
    np.testing.assert_array_equal(decode(with_tag, 16, 3), plain)
    np.testing.assert_array_equal(client_pictures.decode(with_tag, (16, 16, 3)), plain)
