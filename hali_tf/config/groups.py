"""The groups of a training run's settings, in the order in which config.json lists them."""

from __future__ import annotations

import dataclasses
import math
import os

from hali_tf import files
from hali_tf.architectures import ARCHITECTURES
from hali_tf.config.settings import Settings, setting, step_range
from hali_tf.errors import UsageError

DEVICE_HELP = (
    "auto: all GPUs, or the CPU where there are none; cpu; gpu; or GPUs by name: gpu:0,gpu:1."
)
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class DataConfig(Settings):
    """Which images, and from where."""

    name: str = setting(
        "digits",
        "Data set: digits (built in), mnist, svhn, cifar10, imagenet128, tfds:NAME[:CONFIG], "
        "celeba, folder (images under --data_dir, in class folders or not), "
        "npz (arrays x_train, ...).",
        flag="data",
    )
    data_dir: str = setting(
        "",
        "Folder of the data set (npz: the file or its folder), or the one that "
        "tensorflow-datasets downloads it to.",
        changes_weights=False,
    )
    cache_dir: str = setting(
        "", "Where decoded images are kept; empty: ~/.cache/hali_tf.", changes_weights=False
    )
    image_size: int = setting(
        0,
        "Side of the images in pixels; 0: that of --architecture, or where it is empty of --data.",
        at_least=0,
    )
    channels: int = setting(0, "1 grey, 3 colour; 0: as the data set has.", one_of=(0, 1, 3))
    flip: bool = setting(
        False,
        "Train on the mirror image of every training image too, left and right exchanged; false: "
        "as the paper.",
    )
    strict_data: bool = setting(
        False, "Stop at the first image that cannot be read.", changes_weights=False
    )

    def image_flags(self) -> str:
        """The flags that say which images a run has."""
        flags = {"data": self.name, "image_size": self.image_size, "channels": self.channels}
        if self.name in ("folder", "npz"):
            flags["data_dir"] = files.real_path(os.path.expanduser(self.data_dir))
        return " ".join(f"--{name}={value}" for name, value in flags.items())


@dataclasses.dataclass(frozen=True)
class ModelConfig(Settings):
    """Which model, of which layers."""

    kind: str = setting(
        "hali",
        "hali; ali, which has one level; or vae, with ALI's encoder and decoder.",
        flag="model",
        one_of=("hali", "ali", "vae"),
    )
    architecture: str = setting(
        "",
        "Layer tables; empty: by --model and --image_size, or the size of --data where this is 0. "
        "One of: " + ", ".join(ARCHITECTURES),
    )
    width: float = setting(
        1.0,
        "Multiplies every number of feature maps; rounded to multiples of 16.",
        above=0,
        below=1000,
    )
    dropout: bool = setting(True, "Use the dropout of the tables.")
    init_from: str = setting(
        "",
        "RUN or RUN:best: a new run begins with the weights of that run's last or best checkpoint.",
    )


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig(Settings):
    """The game between discriminator, encoder and decoder."""

    noise: float = setting(
        0.2,
        "Sigma of the noise at the inputs of HALI's and ALI's encoder and discriminator.",
        at_least=0,
    )
    hybrid_joints: str = setting(
        "",
        "S_1,S_2,...: shares from 0 to 1, level 1 first; levels that are not named have none. For "
        "each S_l the discriminator of HALI and ALI also sees S_l x batch images that were decoded "
        "from the encoder's own z_l. Empty: the paper's objective.",
    )
    gradient_penalty: float = setting(
        0.0,
        "Gamma of the R1 penalty on the slope of HALI's and ALI's discriminator; 0: the paper's "
        "objective.",
        at_least=0,
    )
    cycle_latents: float = setting(
        0.0,
        "Weight of the squared distance between the z_L from which HALI or ALI generated an image "
        "and the encoder's z_L for that image; 0: the paper's objective.",
        at_least=0,
    )
    cycle_contrast: float = setting(
        0.0,
        "Weight of a contrastive loss (InfoNCE) of HALI and ALI: of the images generated for one "
        "micro-batch on one device, the one that was generated from z_L should have the encoding "
        "nearest to it; 0: the paper's objective.",
        at_least=0,
    )
    latent_moments: float = setting(
        0.0,
        "Weight of the distance (MMD) of the mean and the covariance of HALI's and ALI's encoded "
        "z_L from those of the prior, over one micro-batch on one device; 0: the paper's "
        "objective.",
        at_least=0,
    )
    image_discriminator: bool = setting(
        False,
        "Whether HALI and ALI also play against a second discriminator, which sees the images "
        "alone; false: the paper's objective.",
    )

    def hybrid_shares(self) -> tuple[float, ...]:
        """Returns the shares of --hybrid_joints; () where it is empty.

        Raises:
          UsageError: it is no list of shares.
        """
        try:
            shares = tuple(map(float, self.hybrid_joints.split(","))) if self.hybrid_joints else ()
        except ValueError:
            shares = (math.nan,)
        if all(0 <= share <= 1 for share in shares):
            return shares
        raise UsageError(
            f"--hybrid_joints={self.hybrid_joints}: expected shares from 0 to 1 with commas "
            "between, such as 0.5,0.5"
        )


@dataclasses.dataclass(frozen=True)
class LabelsConfig(Settings):
    """What a semi-supervised run learns from labels (section 7.2)."""

    per_class: int = setting(
        0,
        "Semi-supervised training with this many labelled images of each class; 0: without labels.",
        flag="labels_per_class",
        at_least=0,
    )
    classes: int = setting(
        0, "Number of classes of a semi-supervised run; filled in from the data set.", at_least=0
    )
    shift: int = setting(
        0,
        "Shift labelled images by up to this many pixels at random, which the paper does not.",
        flag="label_shift",
        at_least=0,
        at_most=128,
    )
    warp: float = setting(
        0.0,
        "Turn, scale and slant labelled images at random, which the paper does not: the largest "
        "change of an entry of the affine map's matrix, 0 to 1.",
        flag="label_warp",
        at_least=0,
        at_most=1,
    )
    weight: float = setting(
        1.0,
        "Weight of the cross-entropy of labelled images; 1: the paper's objective.",
        flag="label_weight",
        above=0,
    )
    consistency: float = setting(
        0.0,
        "Images without a label, moved as the labelled ones are, should get the label that the "
        "averaged encoder gives to the unmoved image with a probability of 0.95 or more: the "
        "weight of this cross-entropy; 0: the paper's objective.",
        at_least=0,
    )
    spreading: str = setting(
        "",
        "--consistency then leaves out images to which another label spreads from the labelled "
        "ones, over nearest neighbours. pixels: neighbours by pixels, for images such as digits; "
        "or the folder of a run with the same labelled images: neighbours by what its encoder "
        "computes; empty: none.",
        flag="label_spreading",
    )
    cycle: float = setting(
        0.0,
        "Weight of the cross-entropy of the encoder's label for generated images against the "
        "one they were generated from; 0: the paper's objective.",
        flag="cycle_labels",
        at_least=0,
    )
    encoder_only: bool = setting(
        False,
        "Train the encoder alone, by the labels and --consistency, without the game: a "
        "reference for comparison; --cycle_labels then has no effect.",
    )

    def spreading_run(self) -> str:
        """Returns the run folder of --label_spreading; "" for pixels and for none."""
        return "" if self.spreading == "pixels" else self.spreading


@dataclasses.dataclass(frozen=True)
class OptimisationConfig(Settings):
    """How weights, averages and statistics are updated, and on what."""

    steps: int = setting(
        10000,
        "Number of steps, over all starts of the run.",
        changes_weights=False,
        at_least=1,
        below=2**48,
    )
    batch_size: int = setting(64, "Images per step, over all devices together.", at_least=1)
    accumulate: int = setting(
        1,
        "Compute the gradients in this many micro-batches, one after the other, and apply their "
        "mean, which needs the memory of one micro-batch. The result equals that of a step on this "
        "many times as many devices: batch norm normalises each micro-batch by itself, and its "
        "moving statistics become the mean over micro-batches. Without batch norm, dropout, "
        "--hybrid_joints, --cycle_contrast and --latent_moments it equals the plain step.",
        at_least=1,
    )
    remat: bool = setting(
        False,
        "Keep only the inputs of blocks of layers, and compute the rest again in the backward "
        "pass: the same step up to rounding, with less memory and more time; not under XLA.",
    )
    optimizer: str = setting(
        "Adam", "A class of keras.optimizers, or addons/NAME for one of tensorflow-addons."
    )
    learning_rate: float = setting(1e-4, "Learning rate of all optimisers.", above=0)
    learning_rate_fall: str = setting(
        "",
        "FIRST,LAST: the learning rate falls from step FIRST, to 0 at step LAST; empty: it stays.",
    )
    beta_1: float = setting(
        0.5, "Decay of the gradients' mean, in optimisers such as Adam.", at_least=0, below=1
    )
    beta_2: float = setting(
        0.999, "Decay of the mean of their squares, in these optimisers.", at_least=0, below=1
    )
    ema_decay: float = setting(
        0.998,
        "Decay of the moving averages of encoder and decoder, which evaluation and export use.",
        at_least=0,
        below=1,
    )
    batch_norm_momentum: float = setting(
        0.95, "Share of the old moving statistics in the new ones.", at_least=0, below=1
    )
    sync_batch_norm: bool = setting(
        False, "Normalise by the global batch instead of each replica's part; not under XLA."
    )
    precision: str = setting(
        "auto",
        f"{', '.join(PRECISIONS)}; auto: mixed_bfloat16 where the processor, or every GPU, "
        "computes in it, else float32.",
        one_of=PRECISIONS,
    )
    jit_compile: str = setting(
        "auto", "XLA: auto, true or false; auto is true on GPUs.", one_of=("auto", "true", "false")
    )
    device: str = setting("auto", DEVICE_HELP, changes_weights=False)
    virtual_devices: int = setting(
        1, "Split the CPU into this many devices, to try replicas without GPUs.", at_least=1
    )
    worker_minutes: float = setting(
        10.0,
        "With TF_CONFIG: wait this many minutes for the other workers.",
        changes_weights=False,
        above=0,
    )

    def falling_steps(self) -> tuple[int, int] | None:
        """Returns (first, last) step of --learning_rate_fall; None if it is empty.

        Raises:
          UsageError: it is no range of steps.
        """
        return step_range("learning_rate_fall", self.learning_rate_fall)


@dataclasses.dataclass(frozen=True)
class RunConfig(Settings):
    """What a run saves and reports, and its seed."""

    seed: int = setting(0, "Seed of all random numbers.", at_least=0, below=2**31)
    checkpoint_every: int = setting(
        1000, "Steps between checkpoints, with figures.", changes_weights=False, at_least=1
    )
    log_every: int = setting(50, "Steps between logged metrics.", changes_weights=False, at_least=1)
    profile_steps: str = setting(
        "", "FIRST,LAST: profile these steps for TensorBoard.", changes_weights=False
    )
    on_divergence: str = setting(
        "warn",
        "What happens when a side of the training collapses: warn; stop; or rollback, "
        "return to the best checkpoint and continue with other random draws, at most three times. "
        "A value that is not finite always stops or rolls back.",
        changes_weights=False,
        one_of=("warn", "stop", "rollback"),
    )
    dry_run: bool = setting(
        False,
        "Print the resolved configuration, the model, its size and memory, and stop.",
        changes_weights=False,
    )

    def profiled_steps(self) -> tuple[int, int] | None:
        """Returns (first, last) step of --profile_steps; None if it is empty.

        Raises:
          UsageError: it is no range of steps.
        """
        return step_range("profile_steps", self.profile_steps)
