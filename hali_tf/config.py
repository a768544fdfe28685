"""Every flag of hali_tf, and the frozen `Config` they become; no other file defines or reads one."""

from __future__ import annotations

import dataclasses
import json
import math
import os

from absl import flags

from hali_tf.architectures import ARCHITECTURES
from hali_tf.errors import UsageError, UserError

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
# A run may go on with other values of these: they change no weight of any step.
_MAY_CHANGE = (
    "run_dir",
    "data_dir",
    "cache_dir",
    "steps",
    "checkpoint_every",
    "log_every",
    "profile_steps",
    "dry_run",
)
_DEFAULT_ARCHITECTURE = {
    ("hali", 16): "hali16",
    ("hali", 32): "hali32",
    ("hali", 64): "hali64",
    ("hali", 128): "hali128",
    ("ali", 16): "ali16",
    ("ali", 32): "ali32",
    ("ali", 64): "ali64",
    ("ali", 128): "ali128",
    ("vae", 16): "ali16",
    ("vae", 32): "ali32",
    ("vae", 64): "ali64",
    ("vae", 128): "ali128",
}


def _field(default, help_text, **checks):
    return dataclasses.field(default=default, metadata={"help": help_text, **checks})


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run is made of; a field is a flag of the same name."""

    data: str = _field(
        "digits",
        "Data set: digits (built in), mnist, svhn, cifar10, imagenet128, tfds:NAME[:CONFIG], celeba, "
        "folder (images under --data_dir, in class folders or not), npz (arrays x_train, ...).",
    )
    data_dir: str = _field("", "Where the data set is, or is to be stored by tensorflow-datasets.")
    cache_dir: str = _field("", "Where decoded images are kept; empty: ~/.cache/hali_tf.")
    image_size: int = _field(0, "Side of the images in pixels; 0: the architecture's.", at_least=0)
    channels: int = _field(0, "1 grey, 3 colour; 0: as the data set has.", one_of=(0, 1, 3))
    strict_data: bool = _field(False, "Stop at the first image that cannot be read.")
    model: str = _field(
        "hali",
        "hali; ali, which has one level; or vae, with ALI's encoder and decoder.",
        one_of=("hali", "ali", "vae"),
    )
    architecture: str = _field(
        "", "Layer tables; empty: by --model and --image_size. One of: " + ", ".join(ARCHITECTURES)
    )
    width: float = _field(
        1.0, "Multiplies every number of feature maps; rounded to multiples of 16.", above=0
    )
    dropout: bool = _field(True, "Use the dropout of the tables.")
    noise: float = _field(
        0.2,
        "Sigma of the noise at the inputs of HALI's and ALI's encoder and discriminator.",
        at_least=0,
    )
    hybrid_joints: str = _field(
        "",
        "S_1,S_2,...: for each share S_l of the batch, 0 to 1, HALI's and ALI's discriminator "
        "also tells real examples from so many that the decoder made from z_l of the encoder; "
        "empty: the paper's objective.",
    )
    gradient_penalty: float = _field(
        0.0,
        "Gamma of the R1 penalty on the slope of HALI's and ALI's discriminator; 0: the paper's "
        "objective.",
        at_least=0,
    )
    labels_per_class: int = _field(
        0, "Semi-supervised: learn from so many labels of each class; 0: from none.", at_least=0
    )
    classes: int = _field(
        0, "Number of classes of a semi-supervised run; filled in from the data set.", at_least=0
    )
    label_shift: int = _field(
        0,
        "Shift labelled images by up to so many pixels at random, which the paper does not.",
        at_least=0,
    )
    label_warp: float = _field(
        0.0,
        "Turn, scale and slant labelled images at random, which the paper does not: the most "
        "that is added to an entry of the unit matrix.",
        at_least=0,
    )
    label_weight: float = _field(
        1.0, "Weight of the cross-entropy of labelled images; 1: the paper's objective.", above=0
    )
    consistency: float = _field(
        0.0,
        "Weight of the cross-entropy of the encoder's label for images without one, moved as the "
        "labelled ones are, against the label that the averaged encoder is sure of for them unmoved; "
        "0: the paper's objective.",
        at_least=0,
    )
    cycle_labels: float = _field(
        0.0,
        "Weight of the cross-entropy of the encoder's label for generated images against the "
        "one they were generated from; 0: the paper's objective.",
        at_least=0,
    )
    encoder_only: bool = _field(
        False,
        "Train the encoder alone, by the labels and --consistency, without the game: a "
        "reference to compare with, which leaves --cycle_labels without a part.",
    )
    run_dir: str = _field("", "Folder of the run; a run that is there goes on.")
    steps: int = _field(10000, "Train until this step.", at_least=1)
    batch_size: int = _field(64, "Images a step, over all replicas together.", at_least=1)
    optimizer: str = _field(
        "Adam", "A class of keras.optimizers, or addons/NAME for one of tensorflow-addons."
    )
    learning_rate: float = _field(1e-4, "Of every optimiser of the model.", above=0)
    learning_rate_fall: str = _field(
        "",
        "FIRST,LAST: the learning rate falls from step FIRST, to 0 at step LAST; empty: it stays.",
    )
    beta_1: float = _field(0.5, "Of the optimisers that have it.", at_least=0, below=1)
    beta_2: float = _field(0.999, "Of the optimisers that have it.", at_least=0, below=1)
    ema_decay: float = _field(
        0.998,
        "Of the averages of encoder and decoder, which all evaluation uses.",
        at_least=0,
        below=1,
    )
    batch_norm_momentum: float = _field(
        0.95, "Share of the old moving statistics in the new ones.", at_least=0, below=1
    )
    sync_batch_norm: bool = _field(
        False, "Normalise by the global batch instead of each replica's part; not under XLA."
    )
    precision: str = _field(
        "auto",
        "auto: mixed_bfloat16 where the processor computes in it, else float32.",
        one_of=PRECISIONS,
    )
    jit_compile: str = _field(
        "auto", "XLA: auto, true or false; auto is true on GPUs.", one_of=("auto", "true", "false")
    )
    virtual_devices: int = _field(
        1, "Split the CPU into this many devices, to try replicas without GPUs.", at_least=1
    )
    seed: int = _field(0, "Of everything random.", at_least=0, below=2**31)
    checkpoint_every: int = _field(1000, "Steps between checkpoints, with figures.", at_least=1)
    log_every: int = _field(50, "Steps between logged metrics.", at_least=1)
    profile_steps: str = _field("", "FIRST,LAST: profile these steps for TensorBoard.")
    dry_run: bool = _field(
        False, "Print the resolved configuration, the model, its size and memory, and stop."
    )

    def validate(self):
        """Returns the config with --image_size and --architecture resolved.

        Raises:
          UsageError: names the flag, what it takes and what it got.
        """
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name), field.metadata)
        if not self.run_dir and not self.dry_run:
            raise UsageError("--run_dir is empty; name the folder of the run, such as runs/digits")
        if self.batch_size % self.virtual_devices:
            raise UsageError(
                f"--batch_size={self.batch_size} cannot be shared among "
                f"--virtual_devices={self.virtual_devices}; make it a multiple"
            )
        if self.sync_batch_norm and self.jit_compile == "true":
            raise UsageError(
                "--sync_batch_norm with --jit_compile=true: XLA cannot compile statistics that "
                "cross replicas; drop one of the two"
            )
        for name in ("gradient_penalty", "hybrid_joints"):
            if getattr(self, name) and self.model == "vae":
                raise UsageError(
                    f"--{name}={getattr(self, name)} with --model=vae, which has no "
                    "discriminator; expected --model=hali or ali"
                )
        if self.gradient_penalty and self.precision == "mixed_float16":
            raise UsageError(
                f"--gradient_penalty={self.gradient_penalty} with --precision=mixed_float16, whose "
                "range it leaves; expected mixed_bfloat16 or float32"
            )
        if self.hybrid_joints and self.encoder_only:
            raise UsageError(
                f"--hybrid_joints={self.hybrid_joints} with --encoder_only, which has no game; "
                "drop one of the two"
            )
        self._check_labels()
        self.step_range("profile_steps")
        fall = self.step_range("learning_rate_fall")
        if fall and fall[1] < self.steps:
            raise UsageError(
                f"--steps={self.steps} with --learning_rate_fall={self.learning_rate_fall}: after "
                f"step {fall[1]} nothing would be learned; train fewer steps or let it fall later"
            )
        name = self.architecture or self._default_architecture()
        if name not in ARCHITECTURES:
            raise UsageError(
                f"--architecture={name}: there is none of this name; choose one of "
                + ", ".join(ARCHITECTURES)
            )
        table = ARCHITECTURES[name]
        if self.image_size not in (0, table.image[0]):
            raise UsageError(
                f"--image_size={self.image_size} with --architecture={name}, which takes "
                f"{table.image[0]}; change or drop one of the two"
            )
        if self.model != "hali" and len(table.levels) != 1:
            raise UsageError(
                f"--model={self.model} has one level, --architecture={name} has {len(table.levels)}; "
                "choose an ali architecture or --model=hali"
            )
        if len(self.hybrid_shares()) > len(table.levels):
            raise UsageError(
                f"--hybrid_joints={self.hybrid_joints} with --architecture={name}: expected at "
                f"most {len(table.levels)} shares, one for each level"
            )
        return dataclasses.replace(self, architecture=name, image_size=table.image[0])

    def _check_labels(self):
        if self.labels_per_class and self.model == "vae":
            raise UsageError(
                f"--labels_per_class={self.labels_per_class} with --model=vae, which has no label; "
                "expected --model=hali or ali"
            )
        for name in (
            "label_shift",
            "label_warp",
            "label_weight",
            "consistency",
            "cycle_labels",
            "encoder_only",
        ):
            value = getattr(self, name)
            if value != getattr(Config, name) and not self.labels_per_class:
                raise UsageError(f"--{name}={value} needs labels; set --labels_per_class")

    def _default_architecture(self):
        # The size each named set comes in; others must say theirs.
        size = self.image_size or {
            "digits": 16,
            "mnist": 32,
            "svhn": 32,
            "cifar10": 32,
            "celeba": 64,
            "imagenet128": 128,
        }.get(self.data, 0)
        if (self.model, size) in _DEFAULT_ARCHITECTURE:
            return _DEFAULT_ARCHITECTURE[self.model, size]
        sizes = sorted(size for model, size in _DEFAULT_ARCHITECTURE if model == self.model)
        raise UsageError(
            f"--data={self.data} --image_size={self.image_size}: no architecture of this size; set "
            f"--image_size to one of {', '.join(map(str, sizes))}, or name an --architecture"
        )

    def step_range(self, name):
        """(first, last) step of a flag that says FIRST,LAST; None where it is empty.

        Raises:
          UsageError: it says something else.
        """
        value = getattr(self, name)
        if not value:
            return None
        parts = value.split(",")
        if len(parts) == 2 and all(p.strip().isdigit() for p in parts):
            first, last = map(int, parts)
            if 1 <= first <= last:
                return first, last
        raise UsageError(
            f"--{name}={value}: expected FIRST,LAST with 1 <= FIRST <= LAST, such as 100,110"
        )

    def hybrid_shares(self) -> tuple[float, ...]:
        """The shares of --hybrid_joints, a tuple of floats; () where it is empty.

        Raises:
          UsageError: it says something else.
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

    def table(self):
        """The `architectures.Architecture` in the run's channels, width, dropout and label."""
        table = ARCHITECTURES[self.architecture].adapt(self.channels, self.width, self.dropout)
        return table.with_label(self.classes) if self.labels_per_class else table

    def to_json(self):
        """The fields as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_file(cls, path):
        """Reads what `to_json` wrote.

        Raises:
          UserError: the file is missing or is no configuration of this version.
        """
        try:
            with open(path, encoding="utf-8") as f:
                return cls(**json.load(f))
        except FileNotFoundError as error:
            raise UserError(
                f"{path}: not found; expected the configuration that `python -m hali_tf.train` "
                "writes: name the folder of a run that was started"
            ) from error
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: not a configuration of this version ({error})") from error

    def hyperparameters(self):
        """Dict of the fields on which the weights of a step depend."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in _MAY_CHANGE}

    def differences(self, other):
        """What would change a weight: ["--field: OWN here, OTHER there", ...]."""
        theirs = other.hyperparameters()
        return [
            f"--{name}: {own!r} here, {theirs[name]!r} there"
            for name, own in self.hyperparameters().items()
            if own != theirs[name]
        ]


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """What an attribute classifier is made of; a field is a flag of the same name."""

    data: str = _field("", "Data set with attributes, as for hali_tf.train: celeba.")
    data_dir: str = _field("", "Where the data set is.")
    cache_dir: str = _field("", "Where decoded images are kept; empty: ~/.cache/hali_tf.")
    image_size: int = _field(
        0,
        "Side of the images in pixels, that of the runs to evaluate; 0: the data set's.",
        at_least=0,
    )
    out: str = _field("", "Folder to make; with --encoder_of, RUN/supervised if empty.")
    weights: str = _field(
        "imagenet",
        "Of VGG16's convolutions at the start: imagenet (downloaded by keras.applications), none, "
        "or a file (vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5).",
    )
    frozen_blocks: int = _field(
        4,
        "How many of VGG16's five blocks stay as they are; their output is computed once.",
        at_least=0,
        below=6,
    )
    encoder_of: str = _field(
        "",
        "Folder of a run: learn its data's attributes with its encoder, from random weights and "
        "end to end, instead of VGG16: the upper reference of the question representation.",
    )
    epochs: int = _field(6, "Passes over the training images.", at_least=1)
    batch_size: int = _field(64, "Images a step.", at_least=1)
    learning_rate: float = _field(
        0.0,
        "Of Adam at the start; it falls to 0 by a cosine. 0: 1e-4, from random weights 1e-3.",
        at_least=0,
    )
    precision: str = _field(
        "auto",
        "auto: mixed_bfloat16 where the processor computes in it, else float32.",
        one_of=("auto", "float32", "mixed_bfloat16"),
    )
    seed: int = _field(0, "Of everything random.", at_least=0, below=2**31)

    def validate(self):
        """Returns the config with --out resolved.

        Raises:
          UsageError: names the flag, what it takes and what it got.
        """
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name), field.metadata)
        if self.encoder_of:
            for name in ("data", "data_dir", "image_size"):
                if getattr(self, name):
                    raise UsageError(
                        f"--{name} with --encoder_of, whose run says which data; drop one of the two"
                    )
            out = self.out or os.path.join(self.encoder_of, "supervised")
            return dataclasses.replace(
                self,
                out=out,
                weights="none",
                frozen_blocks=0,
                learning_rate=self.learning_rate or 1e-3,
            )
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
        return dataclasses.replace(self, learning_rate=rate)


def _check(name, value, checks):
    """Raises UsageError if the value of a flag is outside of what its field's metadata say."""
    if "one_of" in checks and value not in checks["one_of"]:
        choices = ", ".join(str(c) for c in checks["one_of"])
        raise UsageError(f"--{name}={value}: expected one of {choices}")
    for key, outside, words in (
        ("at_least", lambda v, bound: v < bound, "at least"),
        ("above", lambda v, bound: v <= bound, "above"),
        ("below", lambda v, bound: v >= bound, "below"),
    ):
        # Of NaN and infinity no bound would speak reliably, hence the second condition.
        if key in checks and (outside(value, checks[key]) or not math.isfinite(value)):
            raise UsageError(f"--{name}={value}: expected {words} {checks[key]}")


_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


def define_train_flags():
    """Defines a flag for each field of `Config`."""
    _define(Config, "hali_tf.train")


def define_classifier_flags():
    """Defines a flag for each field of `ClassifierConfig`."""
    _define(ClassifierConfig, "hali_tf.attributes")


def _define(record, module):
    for field in dataclasses.fields(record):
        _DEFINE[type(field.default)](
            field.name, field.default, field.metadata["help"], module_name=module
        )


def config_from_flags():
    """The validated `Config` of the command line.

    Raises:
      UsageError: a flag, or two together, cannot work.
    """
    return _from_flags(Config).validate()


def classifier_config_from_flags():
    """The validated `ClassifierConfig` of the command line.

    Raises:
      UsageError: a flag, or two together, cannot work.
    """
    return _from_flags(ClassifierConfig).validate()


def _from_flags(record):
    return record(**{f.name: flags.FLAGS[f.name].value for f in dataclasses.fields(record)})


def define_run_flags(module, **extra):
    """Defines --run_dir and `extra` flags, name=(default, help), for a command on a run folder."""
    flags.DEFINE_string(
        "run_dir", "", "Folder of the run, as given to hali_tf.train.", module_name=module
    )
    for name, (default, help_text) in extra.items():
        _DEFINE[type(default)](name, default, help_text, module_name=module)


def run_flags():
    """Values of the defined flags as a namespace, --run_dir checked.

    Raises:
      UsageError: --run_dir is empty or no folder, --checkpoint neither last nor best.
    """
    run_dir = flags.FLAGS.run_dir
    if not run_dir or not os.path.isdir(run_dir):
        raise UsageError(
            f"--run_dir={run_dir}: no such folder; expected a folder that hali_tf.train made"
        )
    if "checkpoint" in flags.FLAGS:
        _check("checkpoint", flags.FLAGS.checkpoint, {"one_of": ("last", "best")})
    return flags.FLAGS
