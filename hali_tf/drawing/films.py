"""Films as GIF files."""

from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image

from hali_tf.files import replacing


def there_and_back(frames: Sequence[Image.Image], rest: int = 8) -> list[Image.Image]:
    """Frames to the last and back to the first, so that a repeated film has no jump.

    Args:
      frames: two or more.
      rest: for how many frames it stays at each end.
    """
    return [*[frames[0]] * rest, *frames[1:-1], *[frames[-1]] * rest, *frames[-2:0:-1]]


def save_gif(path: str | os.PathLike, frames: Sequence[Image.Image], seconds: float = 0.1) -> None:
    """Writes an endless film as GIF.

    Args:
      path: of the file; an existing one is replaced.
      frames: pictures of one size; of equal ones in a row the file has one, shown longer.
      seconds: that a frame is shown.
    """
    with replacing(path) as temporary:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=round(1000 * seconds),
            loop=0,
        )
