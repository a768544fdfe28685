"""What the tests of image sets share."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def write():
    """Writes one image file of a single colour, or of the pixels given."""

    def write_image(path, pixels=(200, 100, 50), size=(12, 10), **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(pixels, np.ndarray):
            image = Image.fromarray(pixels)
        else:
            mode = "RGB" if isinstance(pixels, tuple) else "L"
            image = Image.new(mode, size, pixels)
        image.save(path, **options)
        return path

    return write_image
