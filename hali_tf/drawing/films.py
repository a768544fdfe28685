"""Films as GIF files."""

from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image

from hali_tf.files import replacing

_REST = 8  # frames
_MILLISECONDS = 100  # that a frame is shown


def there_and_back(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """Two or more frames to the last and back to the first, with a rest at each end."""
    return [*[frames[0]] * _REST, *frames[1:-1], *[frames[-1]] * _REST, *frames[-2:0:-1]]


def save_gif(path: str | os.PathLike, frames: Sequence[Image.Image]) -> None:
    """Writes an endless film as GIF.

    Args:
      path: of the file; an existing one is replaced.
      frames: pictures of one size; of equal ones in a row the file has one, shown longer.
    """
    with replacing(path) as temporary:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=_MILLISECONDS,
            loop=0,
        )
