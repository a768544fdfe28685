"""Encoded pictures in an exported graph: what `data.images.decode` does, by TensorFlow's own ops.

Equal to it up to rounding, but for what TensorFlow's decoders cannot do: an EXIF tag that turns the
picture is not followed, and there are no formats but JPEG and PNG.
"""

from __future__ import annotations

import tensorflow as tf

from hali_tf.data.crops import Box

# What decoding may cost: a small file can say that it is of any size. Fewer than `data.images` has,
# for a server decodes the pictures of many callers at a time.
MAX_PIXELS = 2**24
_MAX_SCANS = 1000
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = 25  # bytes of a PNG up to its bits a channel
_TO_GREY = (19595.0, 38470.0, 7471.0)  # ITU-R 601 times 2^16, as Pillow has it


def prepare(
    encoded: tf.Tensor, shape: tuple[int, int, int], boxes: dict[tuple[int, int], Box]
) -> tf.Tensor:
    """A JPEG or PNG as training saw it: cropped to a square, resized, in the model's channels.

    Args:
      encoded: string scalar.
      shape: (H, W, C) of the model's images, H = W.
      boxes: as `data.crops.own_boxes`; pictures of other sizes keep their central square.

    Returns:
      uint8 [H, W, C].

    Raises:
      tf.errors.InvalidArgumentError: it is neither, is damaged, or has too many pixels.
    """
    size, _, channels = shape
    is_jpeg, width, height = _checked(encoded)
    with tf.control_dependencies([_refuse_large(encoded, is_jpeg, width, height)]):
        encoded = tf.identity(encoded)
    image = tf.cond(
        is_jpeg,
        lambda: _square(_decode_jpeg(encoded, width, height, None if boxes else size), boxes),
        lambda: _on_white(_square(tf.io.decode_png(encoded, channels=4), boxes), _opaque(encoded)),
    )
    image = tf.ensure_shape(_grey(image) if channels == 1 else image, [None, None, channels])
    if size != 32:
        return _resize(image, size)
    # 28x28 is MNIST and its kin, which training pads.
    is_28 = tf.logical_and(tf.equal(width, 28), tf.equal(height, 28))
    padded = tf.cond(is_28, lambda: tf.pad(image, [[2, 2], [2, 2], [0, 0]]), lambda: image)
    return _resize(padded, size)


def _checked(encoded):
    """(whether it is a JPEG, width, height) by the header alone; raises if it is no JPEG or PNG."""
    head = tf.strings.substr(encoded, 0, _HEADER)
    head = tf.strings.substr(head + bytes(_HEADER), 0, _HEADER)  # where it has fewer bytes
    is_jpeg = tf.equal(tf.strings.substr(head, 0, 3), b"\xff\xd8\xff")
    is_png = tf.equal(tf.strings.substr(head, 0, len(_PNG)), _PNG)
    known = tf.debugging.Assert(
        tf.logical_or(is_jpeg, is_png), ["image/encoded: neither a JPEG nor a PNG"]
    )

    def of_jpeg():
        shape = tf.io.extract_jpeg_shape(encoded)
        return shape[1], shape[0]

    def of_png():
        sides = tf.io.decode_raw(tf.strings.substr(head, 16, 8), tf.int32, little_endian=False)
        return sides[0], sides[1]

    with tf.control_dependencies([known]):
        return (is_jpeg, *tf.cond(is_jpeg, of_jpeg, of_png))


def _refuse_large(encoded, is_jpeg, width, height):
    """The op that raises if decoding could cost too much."""
    pixels = tf.cast(width, tf.int64) * tf.cast(height, tf.int64)
    smallest = tf.cast(tf.minimum(width, height), tf.int64)
    # Each scan of a progressive JPEG is a pass over all pixels.
    scans = tf.cond(is_jpeg, lambda: tf.size(tf.strings.split(encoded, b"\xff\xda")), lambda: 0)
    return tf.group(
        tf.debugging.Assert(
            tf.logical_and(pixels <= MAX_PIXELS, smallest > 0),
            [
                tf.strings.join(
                    [
                        f"image/encoded: expected 1 to {MAX_PIXELS} pixels; received ",
                        tf.strings.as_string(width),
                        "x",
                        tf.strings.as_string(height),
                    ]
                )
            ],
        ),
        tf.debugging.Assert(
            scans <= _MAX_SCANS + 1, [f"image/encoded: a JPEG of more than {_MAX_SCANS} scans"]
        ),
    )


def _decode_jpeg(encoded, width, height, size):
    """[h, w, 3], with the detail far below `size` left out as Pillow's `draft` does."""

    def decode(ratio):
        return tf.io.decode_jpeg(encoded, 3, ratio, dct_method="INTEGER_ACCURATE")

    if size is None:
        return decode(1)
    smallest = tf.minimum(width, height)
    fits = tf.minimum(
        width // _ceiling(2 * size * width, smallest),
        height // _ceiling(2 * size * height, smallest),
    )
    ratios = (1, 2, 4, 8)
    chosen = tf.reduce_sum([tf.cast(fits >= ratio, tf.int32) for ratio in ratios[1:]])
    return tf.switch_case(chosen, [lambda ratio=ratio: decode(ratio) for ratio in ratios])


def _ceiling(one, other):
    return -(-one // other)


def _square(image, boxes):
    """The box of `boxes` where the size has one, or the central square."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    side = tf.minimum(height, width)
    left, upper = (width - side) // 2, (height - side) // 2
    for (own_width, own_height), box in boxes.items():
        known = tf.logical_and(tf.equal(width, own_width), tf.equal(height, own_height))
        own = (box[0], box[1], box[2] - box[0])
        left, upper, side = (
            tf.where(known, mine, central) for mine, central in zip(own, (left, upper, side))
        )
    return image[upper : upper + side, left : left + side]


def _opaque(encoded):
    """The alpha that TensorFlow adds to a PNG without one: the largest number of its bits."""
    bits = tf.io.decode_raw(tf.strings.substr(encoded, _HEADER - 1, 1), tf.uint8)[0]
    return tf.cast(tf.minimum(2 ** tf.cast(bits, tf.int32) - 1, 255), tf.uint8)


def _on_white(image, opaque):
    """[h, w, 4] to [h, w, 3]; what is transparent shows white."""
    colour, alpha = image[..., :3], image[..., 3:]

    def lay():
        # Whole numbers of 16 bits, which hold 255 x 255: a large picture has many pixels.
        missing = tf.cast(alpha, tf.uint16) * (255 - tf.cast(colour, tf.uint16))
        return tf.cast((255 * 255 + 127 - missing) // 255, tf.uint8)

    return tf.cond(tf.reduce_all(tf.equal(alpha, opaque)), lambda: colour, lay)


def _grey(image):
    """[h, w, 3] to [h, w, 1]; every sum is a whole number that float32 holds."""
    weighted = tf.tensordot(tf.cast(image, tf.float32), tf.constant(_TO_GREY), 1)
    return tf.cast((weighted + 2.0**15) / 2.0**16, tf.uint8)[..., tf.newaxis]


def _resize(image, size):
    """Lanczos as Pillow has it: along the rows, rounded, then along the columns."""
    for _ in range(2):
        image = tf.transpose(image, [1, 0, 2])
        rows, columns = tf.shape(image)[0], tf.shape(image)[1]
        resized = tf.raw_ops.ScaleAndTranslate(
            images=image[tf.newaxis],
            size=tf.stack([size, columns]),
            scale=tf.stack([tf.cast(size, tf.float32) / tf.cast(rows, tf.float32), 1.0]),
            translation=tf.zeros([2]),
            kernel_type="lanczos3",
            antialias=True,
        )[0]
        # Lanczos overshoots at edges.
        image = tf.cast(tf.round(tf.clip_by_value(resized, 0.0, 255.0)), tf.uint8)
    return tf.ensure_shape(image, [size, size, image.shape[-1]])
