"""What a run is made of, from its configuration; and what it has learned, from its folder alone."""

from __future__ import annotations

import tensorflow as tf

from hali_tf import data
from hali_tf.config import Config
from hali_tf.data import Source
from hali_tf.errors import UsageError, UserError
from hali_tf.models import HALI, VAE, LabelledEncoder, SemiSupervisedHALI
from hali_tf.models.autoencoder import Autoencoder
from hali_tf.runs.checkpoints import Checkpoints, variables_of
from hali_tf.runs.run_folder import read_config


def open_data(config: Config, data_dir: str = "", cache_dir: str = "") -> Source:
    """The `data.Source` of a `Config`, or the same images in other folders."""
    return data.open_source(
        config.data.name,
        data_dir or config.data.data_dir,
        config.data.image_size,
        config.data.channels,
        config.data.strict_data,
        cache_dir or config.data.cache_dir,
    )


def make_model(config: Config) -> Autoencoder:
    """The model of a resolved `Config`, with new weights."""
    kind, own = _kind(config)
    optimisation = config.optimisation
    return kind(
        config.table(),
        seed=config.run.seed,
        ema_decay=optimisation.ema_decay,
        from_noise=not config.model.init_from,
        precision=optimisation.precision,
        jit_compile=optimisation.jit_compile == "true",
        batch_norm_momentum=optimisation.batch_norm_momentum,
        sync_batch_norm=optimisation.sync_batch_norm,
        accumulate=optimisation.accumulate,
        remat=optimisation.remat,
        **own,
    )


def _kind(config):
    """The class of a run's model, and its own arguments."""
    if config.model.kind == "vae":
        return VAE, {}
    objective, labels = config.objective, config.labels
    noise = {"noise": objective.noise}
    game = {
        "hybrid_joints": objective.hybrid_shares(),
        "gradient_penalty": objective.gradient_penalty,
        "cycle_latents": objective.cycle_latents,
        "cycle_contrast": objective.cycle_contrast,
        "latent_moments": objective.latent_moments,
        "image_discriminator": objective.image_discriminator,
    }
    if not labels.per_class:
        return HALI, {**noise, **game}
    learning = {"label_weight": labels.weight, "consistency": labels.consistency}
    if labels.encoder_only:
        return LabelledEncoder, {**noise, **learning}
    return SemiSupervisedHALI, {**noise, **learning, **game, "cycle_labels": labels.cycle}


def load_run(
    run_dir: str, which: str = "last", flag: str = "run_dir"
) -> tuple[Config, Autoencoder]:
    """What a run has learned, from its folder alone.

    Args:
      run_dir: folder of the run.
      which: "last" or "best" checkpoint.
      flag: by which the user names the folder.

    Returns:
      (Config, model) with the weights of the checkpoint; for use, not to train on.

    Raises:
      UserError: no run folder, no checkpoint in it, or one of another model.
    """
    config = read_config(run_dir, flag).replace(run_dir=run_dir)
    model = make_model(config.replace(precision="float32"))
    Checkpoints(run_dir, model).restore_for_use(which)
    return config, model


def require_decoder(config: Config) -> None:
    """Raises UserError if a run, of `load_run`, trained its encoder alone."""
    if config.labels.encoder_only:
        raise UserError(
            f"--run_dir={config.run_dir}: was trained with --encoder_only, so that its decoder has "
            "learned nothing; name a run without it (encode takes this one with "
            "--reconstructions=false)"
        )


def folder_of(source: str) -> tuple[str, str]:
    """The folder and the checkpoint, "last" or "best", of --init_from: "RUN" or "RUN:best"."""
    best = source.endswith(":best")
    return (source[: -len(":best")], "best") if best else (source, "last")


def copy_weights(source: str, model: Autoencoder) -> None:
    """Gives a model the weights, averages and statistics of another run; its step stays.

    Args:
      source: --init_from, "RUN" or "RUN:best".
      model: `Autoencoder` of the same architecture.

    Raises:
      UserError: no such run or checkpoint, or one of another architecture.
    """
    config, other = load_run(*folder_of(source), "init_from")
    own, theirs = (_named(variables_of(m)) for m in (model, other))
    del theirs["step"]
    for name, variable in theirs.items():
        if name not in own or own[name].shape != variable.shape:
            raise UsageError(
                f"--init_from={source}: its {config.model.kind} ({config.model.architecture}, "
                f"width {config.model.width}) does not fit this model ({name} differs); repeat the "
                "flags of its model"
            )
    for name, variable in theirs.items():
        own[name].assign(variable.numpy())


def _named(tree, path=""):
    """The variables of a tree of dicts and lists, by path; without those of optimisers."""
    found = {}
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, (dict, list)):
            found.update(_named(value, f"{path}{key}/"))
        elif isinstance(value, tf.Variable):
            found[f"{path}{key}"] = value
    return found
