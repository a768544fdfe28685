"""Awkward pictures, which must be the same to all that read pictures, and hostile ones."""

import io
import struct
import zlib

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


def png(width, height, *chunks, pixels=b""):
    """A grey PNG of a header, further chunks (kind, content), and packed pixels."""

    def chunk(kind, content):
        length, check = len(content), zlib.crc32(kind + content)
        return struct.pack(">I", length) + kind + content + struct.pack(">I", check)

    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    all_chunks = (header, *chunks, (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in all_chunks)


def _resized(data, mark, place, form, *sides):
    """A file whose header says another size: packed sides at `place` behind `mark`."""
    changed = bytearray(data)
    start = data.index(mark) + place
    changed[start : start + struct.calcsize(form)] = struct.pack(form, *sides)
    return bytes(changed)


def many_scans(count):
    """A small progressive JPEG with so many scans more."""
    whole = encoded(Image.new("L", (64, 64)), "JPEG", progressive=True)
    first = whole.index(b"\xff\xda")
    end = whole.index(b"\xff", first + 2)
    return whole[:end] + whole[first:end] * count + whole[end:]


def _make_hostile():
    photograph, made = smooth(200, 300), {}
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
        whole = encoded(photograph, kind)
        for share in (0.01, 0.1, 0.5, 0.9):
            made[f"{kind} cut at {share:.0%}"] = whole[: int(len(whole) * share)]
    made["nothing"], made["zeros"], made["text"] = b"", bytes(1000), b"<html>404</html>"
    # Small files that say that they are large.
    made["PNG bomb"] = encoded(Image.new("1", (12_000, 12_000)))
    made["PNG bomb, larger"] = png(2**31 - 1, 2**31 - 1)
    made["PNG of no pixels"] = png(0, 5)
    made["PNG of negative size"] = png(2**32 - 1, 5)
    made["PNG of one line"] = png(2**26 + 1, 1)
    jpeg, gif = encoded(photograph, "JPEG"), encoded(photograph, "GIF")
    made["JPEG bomb"] = _resized(jpeg, b"\xff\xc0", 5, ">HH", 65_500, 65_500)
    made["JPEG of no height"] = _resized(jpeg, b"\xff\xc0", 5, ">HH", 0, 300)
    made["JPEG of many scans"] = many_scans(2000)
    made["GIF bomb"] = _resized(gif, b"GIF8", 6, "<HH", 65_500, 65_500)
    bmp = encoded(photograph, "BMP")
    made["BMP bomb"] = _resized(bmp, b"BM", 18, "<ii", 2**30, 2**30)
    made["BMP of negative width"] = _resized(bmp, b"BM", 18, "<ii", -300, 200)
    made["PPM bomb"] = b"P6 99999 99999 255\n" + bytes(100)
    made["PPM of absurd size"] = b"P6 " + b"9" * 5000 + b" 1 255\n"
    made["TIFF bomb"] = encoded(Image.new("1", (12_000, 12_000)), "TIFF", compression="tiff_lzw")
    tiff = bytearray(encoded(photograph, "TIFF"))
    end = 10 + 12 * struct.unpack("<H", tiff[8:10])[0]
    tiff[end : end + 4] = struct.pack("<I", 8)  # its directory is followed by itself
    made["TIFF that leads back"] = bytes(tiff)
    # Chunks that grow, and metadata that is none.
    grown = zlib.compress(bytes(50_000_000), 9)
    made["PNG with a profile that grows"] = png(4, 4, (b"iCCP", b"a\0\0" + grown))
    made["PNG with a text that grows"] = png(4, 4, (b"zTXt", b"a\0\0" + grown))
    made["PNG whose pixels grow"] = png(4, 4, pixels=bytes(50_000_000))
    broken = b"MM\0*" + b"\xff" * 50
    made["PNG with a broken EXIF tag"] = png(4, 4, (b"eXIf", broken), pixels=bytes(20))
    for turn in (0, 9, 65_535):
        exif = Image.Exif()
        exif[0x0112] = turn
        made[f"JPEG turned {turn}"] = encoded(photograph, "JPEG", exif=exif)
    # Formats whose readers are not for strangers, under any name.
    made["EPS"] = encoded(Image.new("RGB", (9, 9)), "EPS")
    made["PDF"] = encoded(Image.new("RGB", (9, 9)), "PDF")
    made["ICO"] = encoded(Image.new("RGB", (32, 32)), "ICO")
    made["TGA"] = encoded(Image.new("RGB", (9, 9)), "TGA")
    made["SVG"] = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
    made["float"] = encoded(Image.new("F", (4, 4), 0.5), "TIFF")
    made["32 bits"] = encoded(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF")
    frames = [Image.new("P", (9, 9), number) for number in range(99)]
    made["animation"] = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    return made


HOSTILE = _make_hostile()
