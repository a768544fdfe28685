"""`ClassifierConfig`: what an attribute classifier is made of."""

from __future__ import annotations

import dataclasses
import os

from hali_tf.config.groups import DEVICE_HELP
from hali_tf.config.settings import Settings, setting
from hali_tf.errors import UsageError
from hali_tf.files import scheme


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(Settings):
    """The settings of an attribute classifier; `hali_tf.attributes` has a flag for each."""

    data: str = setting("", "Data set with attributes, as for hali_tf.train: celeba.")
    data_dir: str = setting("", "Folder of the data set.", changes_weights=False)
    cache_dir: str = setting(
        "", "Where decoded images are kept; empty: ~/.cache/hali_tf.", changes_weights=False
    )
    image_size: int = setting(
        0,
        "Side of the images in pixels, that of the runs to evaluate; 0: the data set's.",
        at_least=0,
    )
    out: str = setting(
        "", "Folder to make; with --encoder_of, RUN/supervised if empty.", changes_weights=False
    )
    weights: str = setting(
        "imagenet",
        "Weights that VGG16's convolutions begin with: imagenet (downloaded by Keras), none, "
        "or a file (vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5).",
    )
    frozen_blocks: int = setting(
        4,
        "How many of VGG16's five blocks stay as they are; their output is computed once.",
        at_least=0,
        below=6,
    )
    degrade: bool = setting(
        True,
        "Whether it also learns from copies with blur and noise; false: clean images alone, as "
        "the paper's.",
    )
    encoder_of: str = setting(
        "",
        "Folder of a run: learn its data's attributes with its encoder, from random weights and "
        "end to end, instead of VGG16: the upper reference of the question representation.",
    )
    epochs: int = setting(6, "Passes over the training images.", at_least=1)
    batch_size: int = setting(64, "Images per step.", at_least=1)
    learning_rate: float = setting(
        0.0,
        "Adam's learning rate at the start, which falls to 0 by a cosine; 0: 1e-4, or 1e-3 from "
        "random weights.",
        at_least=0,
    )
    precision: str = setting(
        "auto",
        "auto: mixed_bfloat16 where the processor, or every GPU, computes in it, else float32.",
        one_of=("auto", "float32", "mixed_bfloat16"),
    )
    device: str = setting("auto", DEVICE_HELP, changes_weights=False)
    seed: int = setting(0, "Seed of all random numbers.", at_least=0, below=2**31)

    def validate(self) -> ClassifierConfig:
        """Returns the config with --out and --learning_rate resolved.

        Raises:
          UsageError: names the flag, what it takes and what it got.
        """
        self.check_bounds()
        if scheme(self.out or self.encoder_of):
            raise UsageError(f"--out={self.out}: expected a folder on a disk; name one")
        if self.encoder_of:
            return self._of_encoder()
        if not self.data:
            raise UsageError("--data is empty; name a data set with attributes: --data=celeba")
        if not self.out:
            raise UsageError("--out is empty; name the folder to make, such as runs/vgg16")
        if self.weights == "none" and self.frozen_blocks:
            raise UsageError(
                f"--weights=none with --frozen_blocks={self.frozen_blocks}: random weights must be "
                "trained; set --frozen_blocks=0"
            )
        if self.weights not in ("imagenet", "none") and not os.path.isfile(self.weights):
            raise UsageError(
                f"--weights={self.weights}: no such file; expected imagenet, none, or a file of "
                "VGG16's weights in Keras' format"
            )
        rate = self.learning_rate or (1e-3 if self.weights == "none" else 1e-4)
        return self.replace(learning_rate=rate)

    def _of_encoder(self):
        for flag in ("data", "data_dir", "image_size"):
            if getattr(self, flag):
                raise UsageError(
                    f"--{flag} with --encoder_of, whose run says which data; drop one of the two"
                )
        for flag in ("weights", "frozen_blocks", "degrade"):
            given, default = getattr(self, flag), getattr(ClassifierConfig, flag)
            if given != default:
                raise UsageError(
                    f"--{flag}={given} with --encoder_of: an encoder starts from random weights "
                    "and learns from images as they are; drop one of the two"
                )
        return self.replace(
            out=self.out or os.path.join(self.encoder_of, "supervised"),
            weights="none",
            frozen_blocks=0,
            degrade=False,
            learning_rate=self.learning_rate or 1e-3,
        )
