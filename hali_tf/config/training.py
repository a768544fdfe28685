"""`Config`: what a training run is made of, checked as a whole."""

from __future__ import annotations

import dataclasses

from hali_tf.architectures import ARCHITECTURES
from hali_tf.architectures.rows import Architecture
from hali_tf.config import groups
from hali_tf.config.settings import Settings, entries, setting
from hali_tf.errors import UsageError

# The sizes for which there are an architecture hali<size> and one ali<size>.
_SIZES = (16, 32, 64, 128)
# The size in which each named data set comes; for others --image_size is needed.
_SIZE_OF_DATA = {
    "digits": 16,
    "mnist": 32,
    "svhn": 32,
    "cifar10": 32,
    "celeba": 64,
    "imagenet128": 128,
}


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """The settings of a run, in groups; `hali_tf.train` has a flag for each."""

    data: groups.DataConfig = groups.DataConfig()
    model: groups.ModelConfig = groups.ModelConfig()
    objective: groups.ObjectiveConfig = groups.ObjectiveConfig()
    labels: groups.LabelsConfig = groups.LabelsConfig()
    run_dir: str = setting(
        "", "Folder of the run; a run that is already there resumes.", changes_weights=False
    )
    optimisation: groups.OptimisationConfig = groups.OptimisationConfig()
    run: groups.RunConfig = groups.RunConfig()

    def validate(self) -> Config:
        """Returns the config with --image_size and --architecture resolved.

        Raises:
          UsageError: names the flag, what it takes and what it got.
        """
        self.check_bounds()
        _check_run_dir(self)
        _check_devices(self)
        _check_objective(self)
        _check_labels(self)
        _check_steps(self)
        name = self.model.architecture or _default_architecture(self)
        size, levels = _architecture(name).image[0], len(_architecture(name).levels)
        if self.data.image_size not in (0, size):
            raise UsageError(
                f"--image_size={self.data.image_size} with --architecture={name}, which takes "
                f"{size}; change or drop one of the two"
            )
        if self.model.kind != "hali" and levels != 1:
            raise UsageError(
                f"--model={self.model.kind} has one level, --architecture={name} has {levels}; "
                "choose an ali architecture or --model=hali"
            )
        if len(self.objective.hybrid_shares()) > levels:
            raise UsageError(
                f"--hybrid_joints={self.objective.hybrid_joints} with --architecture={name}: "
                f"expected at most {levels} shares, one for each level"
            )
        if self.labels.shift > size // 2:
            raise UsageError(
                f"--label_shift={self.labels.shift} with images of {size}x{size} would leave "
                f"little of them; expected at most {size // 2}"
            )
        return self.replace(architecture=name, image_size=size)

    def table(self) -> Architecture:
        """Returns the architecture in the run's channels, width, dropout and label."""
        table = _architecture(self.model.architecture).adapt(
            self.data.channels, self.model.width, self.model.dropout
        )
        return table.with_label(self.labels.classes) if self.labels.per_class else table


def _architecture(name):
    if name not in ARCHITECTURES:
        raise UsageError(
            f"--architecture={name}: there is none of this name; choose one of "
            + ", ".join(ARCHITECTURES)
        )
    return ARCHITECTURES[name]


def _check_run_dir(config):
    if not config.run_dir and not config.run.dry_run:
        raise UsageError("--run_dir is empty; name the folder of the run, such as runs/digits")


def check_shares(optimisation: groups.OptimisationConfig, devices: int, named: str) -> None:
    """Refuses a batch that cannot be shared among devices and micro-batches, two images for each.

    Batch norm of one image alone is 0 on maps of 1x1, so that its z_L would say nothing of it.

    Args:
      optimisation: has the batch.
      devices: how many.
      named: how the message names the devices.

    Raises:
      UsageError: says what it has to be a multiple of, or at least.
    """
    parts = devices * optimisation.accumulate
    least = 2 if optimisation.sync_batch_norm else 2 * parts
    if optimisation.batch_size % parts:
        raise UsageError(
            f"--batch_size={optimisation.batch_size} cannot be shared among {named} with "
            f"--accumulate={optimisation.accumulate}; make it a multiple of {parts}"
        )
    if optimisation.batch_size < least:
        raise UsageError(
            f"--batch_size={optimisation.batch_size} with {named} and "
            f"--accumulate={optimisation.accumulate} is one image for each part, and batch "
            f"normalisation needs two; expected at least {least}"
        )


def _check_devices(config):
    optimisation = config.optimisation
    devices = optimisation.virtual_devices
    check_shares(optimisation, devices, f"--virtual_devices={devices}")
    if optimisation.sync_batch_norm and optimisation.accumulate > 1:
        raise UsageError(
            f"--sync_batch_norm with --accumulate={optimisation.accumulate}: the global batch is "
            "never there as a whole; drop one of the two"
        )
    if optimisation.remat and (optimisation.sync_batch_norm or optimisation.jit_compile == "true"):
        other = "--sync_batch_norm" if optimisation.sync_batch_norm else "--jit_compile=true"
        raise UsageError(
            f"--remat with {other}, which cannot compute a part of the step twice; drop one of the "
            "two"
        )
    if optimisation.sync_batch_norm and optimisation.jit_compile == "true":
        raise UsageError(
            "--sync_batch_norm with --jit_compile=true: XLA cannot compile statistics that "
            "cross replicas; drop one of the two"
        )


def _check_objective(config):
    for flag, field, value in entries(config.objective):
        if value == field.default:
            continue
        if config.model.kind == "vae":
            raise UsageError(
                f"--{flag}={value} with --model=vae, which has no game; expected --model=hali or "
                "ali"
            )
        if config.labels.encoder_only and flag != "noise":  # its encoder sees the noise as well
            raise UsageError(
                f"--{flag}={value} with --encoder_only, which has no game; drop one of the two"
            )
    penalty = config.objective.gradient_penalty
    if penalty and config.optimisation.precision == "mixed_float16":
        raise UsageError(
            f"--gradient_penalty={penalty} with --precision=mixed_float16, whose "
            "range it leaves; expected mixed_bfloat16 or float32"
        )


def _check_labels(config):
    if config.labels.per_class and config.model.kind == "vae":
        raise UsageError(
            f"--labels_per_class={config.labels.per_class} with --model=vae, which has no label; "
            "expected --model=hali or ali"
        )
    for flag, field, value in entries(config.labels):
        if value != field.default and not config.labels.per_class:
            raise UsageError(f"--{flag}={value} needs labels; set --labels_per_class")
    if config.labels.spreading and not config.labels.consistency:
        raise UsageError(
            f"--label_spreading={config.labels.spreading} with --consistency=0, where it has no "
            "effect; set --consistency or drop the flag"
        )


def _check_steps(config):
    profiled, steps = config.run.profiled_steps(), config.optimisation.steps
    if profiled and profiled[0] > steps:
        raise UsageError(
            f"--profile_steps={config.run.profile_steps} with --steps={steps}: the run ends before "
            "its first step"
        )
    fall = config.optimisation.falling_steps()
    if fall and fall[1] < config.optimisation.steps:
        raise UsageError(
            f"--steps={config.optimisation.steps} with "
            f"--learning_rate_fall={config.optimisation.learning_rate_fall}: after "
            f"step {fall[1]} nothing would be learned; set --steps={fall[1]} or less, or in a new "
            "run let it fall later"
        )


def _default_architecture(config):
    size = config.data.image_size or _SIZE_OF_DATA.get(config.data.name, 0)
    if size not in _SIZES:
        raise UsageError(
            f"--data={config.data.name} --image_size={config.data.image_size}: no architecture of "
            f"this size; set --image_size to one of {', '.join(map(str, _SIZES))}, or name an "
            "--architecture"
        )
    return f"{'hali' if config.model.kind == 'hali' else 'ali'}{size}"
