"""Measures how long a slider of the explorer takes to change the picture.

  python scripts/explorer_latency.py
  python scripts/explorer_latency.py --architecture=hali128 --channels=3 --moves=50

The page is that of `python -m hali_tf.explore`, of a model with random weights. A visitor without
a browser moves an entry of the top level and a map of z_1 at once, and takes the changed picture.
Printed are the times from the move to the picture, and the processors' time for it, which is what
to compare on a machine that has other work as well.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hali_tf import command
from hali_tf import config as configuration


def main() -> None:
    """Opens the page, moves the sliders, prints a line."""
    import numpy as np

    values = flags.FLAGS
    configuration.check("moves", values.moves, {"at_least": 2})
    command.import_tensorflow()
    from gradio_client import Client, handle_file

    from hali_tf.drawing.grids import save_png
    from hali_tf.exploring import page, subject
    from hali_tf.models.coder import Coder
    from hali_tf.runs.reopening import make_model

    config = configuration.Config.of(
        run_dir="none",
        architecture=values.architecture,
        channels=values.channels,
        width=values.width,
        precision="float32",
        jit_compile="false",
    )
    coder = Coder(make_model(config.validate()))
    pictures = np.random.default_rng(0).integers(0, 256, (8, *coder.image_shape), np.uint8)
    blocks = page.build(subject.Subject("random weights", coder, "", pictures))
    visitor = Client(page.launch(blocks, 0), verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "picture.png")
        save_png(path, pictures[0], 0)
        visitor.predict(handle_file(path), api_name="/choose")
    _, _, way, *sliders = visitor.predict(api_name="/start")
    times, began = [], time.process_time()
    for move in range(values.moves):
        sliders[0] = sliders[-1] = -3 + 6 * move / values.moves
        start = time.perf_counter()
        visitor.predict(way, *sliders, api_name="/vary")
        times.append(1000 * (time.perf_counter() - start))
    spent = 1000 * (time.process_time() - began) / values.moves
    blocks.close()
    best, median, late = np.percentile(times[1:], [0, 50, 95])
    print(
        f"{values.architecture}, width {values.width:g}, {values.moves} moves: best {best:.0f} ms, "
        f"median {median:.0f} ms, 95 % within {late:.0f} ms; {spent:.0f} ms of processor"
    )


if __name__ == "__main__":
    configuration.define(
        "hali_tf.explorer_latency",
        architecture=("hali64", "Of hali_tf.architectures."),
        width=(1.0, "Multiplies the feature maps."),
        channels=(3, "1 or 3."),
        moves=(100, "How often the sliders are moved."),
    )
    command.run(main, __doc__)
