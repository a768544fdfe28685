"""Shows what a trained run makes of your own pictures: one labelled PNG, or a film as GIF.

python -m hali_tf.show --run_dir=RUN VERB [IMAGE ...] --out=FILE.png

  reconstruct IMAGE...        each picture, and its reconstruction from every level
  sample                      64 samples of the model; --seed=1 for others
  interpolate IMAGE IMAGE...  the way from each picture to the next, in the latents of every level;
                              with --out=FILE.gif it moves
  inpaint IMAGE...            the centre of each picture predicted from the rest, or with
                              --mask=FILE.png, of the size of the model's images, what is white
  traverse IMAGE...           components of the top level's latent multiplied by -3 to 3, or with
                              --level=1 feature maps of z_1 by -4 to 4
  innovate IMAGE...           entries of the top level's latent multiplied, and the change of z_1
                              that follows applied to the picture's own z_1, which keeps details
  film                        the samples of every evaluation during training, --out=FILE.gif

traverse and innovate show --component=K, or the components that change the pictures most.

A picture is a JPEG, PNG, GIF, BMP, WebP, TIFF or PPM of any size up to 2^26 pixels. It is turned
upright, laid on white where it is transparent, cropped to its central square, and brought to the
size and the channels of the model. An existing file is replaced.

  python -m hali_tf.show --run_dir=runs/faces reconstruct me.jpg you.png --out=us.png
  python -m hali_tf.show --run_dir=runs/faces interpolate me.jpg you.png --out=between.gif
  python -m hali_tf.show --run_dir=runs/faces inpaint me.jpg --mask=hat.png --out=hat_off.png
  python -m hali_tf.show --run_dir=runs/faces innovate me.jpg --component=17 --out=smile.png
"""

import os

from hali_tf import command, files
from hali_tf import config as configuration
from hali_tf.errors import UsageError, writing

# Of each verb: the fewest pictures, the most, the flags of its own, and what it writes.
_VERBS = {
    "reconstruct": (1, None, (), ("png",)),
    "sample": (0, 0, ("seed",), ("png",)),
    "interpolate": (2, None, (), ("png", "gif")),
    "inpaint": (1, None, ("mask",), ("png",)),
    "traverse": (1, None, ("level", "component"), ("png",)),
    "innovate": (1, None, ("component",), ("png",)),
    "film": (0, 0, (), ("gif",)),
}


def main(verb: str = "", *pictures: str) -> None:
    """Reads the flags and the pictures, draws, says where."""
    flags = configuration.run_flags()
    _check(verb, pictures, flags)
    command.import_tensorflow()
    from hali_tf.drawing.films import save_gif
    from hali_tf.drawing.grids import save_picture
    from hali_tf.evaluation import training_film
    from hali_tf.training import devices

    devices.choose(flags.device)
    frames = training_film.draw(flags.run_dir) if verb == "film" else _draw(verb, pictures, flags)
    with writing(f"--out={flags.out}"):
        if _format(flags.out) == "gif":
            save_gif(flags.out, frames)
        else:
            save_picture(flags.out, frames[0])
    print(f"written to {flags.out}")


def _format(out):
    return out.rpartition(".")[2].lower()


def _draw(verb, pictures, flags):
    """The frames of a film, or one picture."""
    from hali_tf.data.pictures import read
    from hali_tf.drawing.films import there_and_back
    from hali_tf.drawing.strips import draw_strips
    from hali_tf.evaluation import own_pictures
    from hali_tf.models.coder import Coder
    from hali_tf.runs.reopening import load_run, require_decoder

    config, model = load_run(flags.run_dir, flags.checkpoint)
    require_decoder(config)
    coder, own = Coder(model), {name: flags[name].value for name in _VERBS[verb][2]}
    images = read(pictures, coder.image_shape, config.data.name)
    names = [os.path.basename(path) for path in pictures]
    if _format(flags.out) == "gif":
        frames = own_pictures.interpolate_film(coder, images, names)
        return there_and_back([draw_strips(strips) for strips in frames])
    return [draw_strips(getattr(own_pictures, verb)(coder, images, names, **own))]


def _check(verb, pictures, flags):
    """Raises UsageError for what can be seen without the run."""
    verbs = ", ".join(_VERBS)
    if verb not in _VERBS:
        raise UsageError(f"expected a verb, one of {verbs}; received {verb or 'none'} (see --help)")
    fewest, most, own, formats = _VERBS[verb]
    if len(pictures) < fewest or most is not None and len(pictures) > most:
        expected = "no pictures" if most == 0 else f"{fewest} or more pictures"
        raise UsageError(f"{verb}: expected {expected}; received {len(pictures)}")
    for name in sorted({name for _, _, names, _ in _VERBS.values() for name in names}):
        if flags[name].present and name not in own:
            raise UsageError(f"--{name}: {verb} has no use for it; drop it (see --help)")
    configuration.check("seed", flags.seed, {"at_least": 0, "below": 2**63})
    endings = [f".{name}" for name in formats]
    if not flags.out.lower().endswith(tuple(endings)):
        raise UsageError(
            f"--out={flags.out}: expected the name of a file to write, ending in "
            f"{' or '.join(endings)}"
        )
    if not files.scheme(flags.out) and not os.path.isdir(os.path.dirname(flags.out) or "."):
        raise UsageError(f"--out={flags.out}: its folder does not exist; make it first")


if __name__ == "__main__":
    configuration.define_run_flags(
        "hali_tf.show",
        out=("", "File to write, .png or .gif; replaced if it is there."),
        mask=(
            "",
            "inpaint: image of the model's size, white where the picture is to be predicted; "
            "empty: the centre.",
        ),
        level=(0, "traverse: the level l of z_l; 0: the top one."),
        component=(
            -1,
            "traverse, innovate: number of the entry, or feature map, from 0; -1: those "
            "that change the pictures most.",
        ),
        seed=(0, "sample: other samples for another number."),
    )
    command.run(main, __doc__, positional=True)
