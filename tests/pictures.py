"""Awkward pictures, which must be the same to all that read pictures."""

import io

import numpy as np
from PIL import Image


def encoded(picture, kind="PNG", **options):
    """The bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def noise(height, width, channels, levels=2):
    """Black and white, or a few levels, at random: nothing has harder edges."""
    rng = np.random.default_rng(height * 1000 + width)
    steps = rng.integers(0, levels, (height, width, channels)) * (255 // (levels - 1))
    return Image.fromarray(steps.astype(np.uint8).squeeze())


def smooth(height, width):
    """A picture as photographs are."""
    return noise(max(1, height // 16), max(1, width // 16), 3).resize(
        (width, height), Image.Resampling.BICUBIC
    )


def _make():
    made = {}
    for height, width in ((16, 16), (28, 28), (40, 28), (60, 90), (333, 500), (7, 5), (1, 100)):
        for channels in (1, 3, 4):
            picture = noise(height, width, channels)
            made[f"png {width}x{height}x{channels}"] = encoded(picture)
            if channels < 4:
                name = f"{width}x{height}x{channels}"
                made[f"jpeg {name}"] = encoded(picture, "JPEG")
                made[f"jpeg progressive {name}"] = encoded(picture, "JPEG", progressive=True)
    made["jpeg photograph"] = encoded(smooth(900, 1300), "JPEG", quality=90)
    made["png photograph"] = encoded(smooth(300, 400))
    rng = np.random.default_rng(0)
    made["png 16 bits"] = encoded(
        Image.fromarray(rng.integers(0, 2**16, (50, 70)).astype(np.uint16))
    )
    made["png 16 bits, all dark"] = encoded(Image.fromarray(np.full((20, 20), 200, np.uint16)))
    made["png grey and alpha"] = encoded(noise(50, 60, 4, 256).convert("LA"))
    made["png alpha of all levels"] = encoded(noise(64, 50, 4, 256))
    made["png grey, one level transparent"] = encoded(noise(50, 60, 1, 4), transparency=85)
    made["png one colour transparent"] = encoded(noise(50, 60, 3), transparency=(0, 255, 255))
    black_and_white = noise(50, 60, 1).convert("1")
    made["png black and white"] = encoded(black_and_white)
    made["png black and transparent"] = encoded(black_and_white, transparency=1)
    for bits in (1, 2, 4, 8):
        palette = noise(50, 60, 3, 4).quantize(2**bits)
        made[f"png palette of {bits} bits"] = encoded(palette, bits=bits)
        made[f"png palette of {bits} bits with alpha"] = encoded(palette, bits=bits, transparency=0)
    cmyk = rng.integers(0, 256, (50, 50, 4)).astype(np.uint8)
    made["jpeg CMYK"] = encoded(Image.frombytes("CMYK", (50, 50), cmyk.tobytes()), "JPEG")
    made["gif"] = encoded(noise(50, 60, 3), "GIF")
    made["webp with alpha"] = encoded(noise(50, 60, 4), "WEBP", lossless=True)
    made["tiff 16 bits"] = encoded(
        Image.fromarray(rng.integers(0, 2**16, (30, 20)).astype(np.uint16)), "TIFF"
    )
    for turn in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        made[f"turned {turn}, jpeg"] = encoded(smooth(48, 96), "JPEG", exif=exif)
        made[f"turned {turn}, png"] = encoded(noise(30, 40, 3), exif=exif)
    return made


AWKWARD = _make()
