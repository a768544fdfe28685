"""Renews the pictures of docs/gallery.md and docs/celeba64.md from the runs that are there.

  python scripts/gallery.py
  python scripts/gallery.py --runs=DIR --docs=DIR

Of each run of --runs that the table below names, its pictures go to --docs: those that training
and evaluation left in the run folder, and for digits those that `hali_tf.show` draws of test
images. What needs a run or a picture that is not there stays as it is, and the script says so.
"""

from __future__ import annotations

import os
import sys

from absl import flags
from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.errors import UserError
from hali_tf.files import replacing

_DIGITS = (24, 32, 33, 35, 37, 31)  # test images that are easy to read
_LARGEST = (800, 1600)  # pixels, so that no picture takes more than 300 kB
# Run, file in its folder, and file in docs/.
COPIED = (
    ("digits", "figures/reconstructions.png", "digits_reconstructions.png"),
    ("digits", "figures/samples.png", "digits_samples.png"),
    ("mnist", "figures/reconstructions.png", "mnist_reconstructions.png"),
    ("mnist", "figures/samples.png", "mnist_samples.png"),
    ("mnist_100", "evaluation/conditional_samples.png", "mnist_100_samples.png"),
    ("svhn_small", "evaluation/reconstruction.png", "svhn_reconstructions.jpg"),
    ("svhn_small", "evaluation/inpainting_centre.png", "svhn_inpainting.jpg"),
    (
        "imagenette128_small",
        "evaluation/reconstruction.png",
        "imagenette128_reconstructions.jpg",
    ),
    ("faces/seed_0", "figures/reconstructions.png", "celeba64/reconstruction_hali.jpg"),
    ("faces/seed_0", "evaluation/samples_hali_seed_0.png", "celeba64/samples_hali.jpg"),
    *(
        ("faces/seed_0", f"evaluation/{name}.png", f"celeba64/{name}.jpg")
        for name in (
            "reconstruction",
            "inpainting_centre",
            "traversal_z_1",
            "traversal_z_2",
            "innovation_axes",
        )
    ),
)
# More pictures of docs/celeba64.md alone.
OF_FACES = (
    ("faces/seed_0", "evaluation/samples_ali_penalty.png", "celeba64/samples_ali.jpg"),
    *(
        ("faces/seed_0", f"evaluation/{name}.png", f"celeba64/{name}.jpg")
        for name in ("perceptual", "inpainting", "innovation")
    ),
)
DRAWN = (
    "reconstruct.png",
    "inpaint.png",
    "traverse.png",
    "innovate.png",
    "interpolate.gif",
    "film.gif",
)


def main() -> None:
    """Copies and draws."""
    runs, docs = flags.FLAGS.runs, flags.FLAGS.docs
    if not os.path.isdir(docs):
        raise UserError(f"--docs={docs}: no such folder; start the script at the repository's root")
    for run, source, target in (*COPIED, *OF_FACES):
        _copy(os.path.join(runs, run, source), os.path.join(docs, target))
    if os.path.isdir(os.path.join(runs, "digits")):
        draw(os.path.join(runs, "digits"), os.path.join(docs, "gallery"))


def _copy(source, target):
    if not os.path.exists(source):
        print(f"{target} stays: there is no {source}")
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    jpeg = target.endswith(".jpg")
    options = {"format": "JPEG", "quality": 85} if jpeg else {"format": "PNG"}
    with Image.open(source) as picture, replacing(target) as temporary:
        picture.thumbnail(_LARGEST)
        # Plots have transparency, which JPEG has not.
        (picture.convert("RGB") if jpeg else picture).save(temporary, **options)
    print(f"{target} renewed")


def draw(run_dir: str, folder: str) -> None:
    """Draws what `hali_tf.show` makes of test images of a run, as FOLDER/digits_VERB."""
    command.import_tensorflow()
    from hali_tf.drawing.films import save_gif, there_and_back
    from hali_tf.drawing.strips import draw_strips, save_strips
    from hali_tf.evaluation import own_pictures, training_film
    from hali_tf.models.coder import Coder
    from hali_tf.runs.reopening import load_run, open_data

    config, model = load_run(run_dir)
    coder = Coder(model)
    images = open_data(config).load("test").images[list(_DIGITS)]
    names = [f"digit {i}" for i in _DIGITS]
    few, two = (images[:3], names[:3]), (images[2:4], names[2:4])
    strips = {
        "reconstruct": own_pictures.reconstruct(coder, images, names),
        "inpaint": own_pictures.inpaint(coder, *few, mask=""),
        "traverse": own_pictures.traverse(coder, images[1:2], names[1:2], level=0, component=-1),
        "innovate": own_pictures.innovate(coder, images[1:2], names[1:2], component=-1),
    }
    frames = [draw_strips(frame) for frame in own_pictures.interpolate_film(coder, *two)]
    os.makedirs(folder, exist_ok=True)
    for verb, drawn in strips.items():
        save_strips(os.path.join(folder, f"digits_{verb}.png"), drawn)
    save_gif(os.path.join(folder, "digits_interpolate.gif"), there_and_back(frames))
    film = [frame.quantize(32) for frame in training_film.draw(run_dir)]  # below 300 kB
    save_gif(os.path.join(folder, "digits_film.gif"), film)
    print(f"{folder}/digits_*: {', '.join(DRAWN)} renewed")


if __name__ == "__main__":
    configuration.define(
        "hali_tf.gallery",
        runs=("runs", "folder of the runs"),
        docs=("docs", "folder of the pictures"),
    )
    command.run(main, __doc__)
