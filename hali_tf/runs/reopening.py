"""What a run is made of, from its configuration; and what it has learned, from its folder alone."""

import dataclasses
import os

from hali_tf import data
from hali_tf.config import Config
from hali_tf.models import HALI, VAE, LabelledEncoder, SemiSupervisedHALI
from hali_tf.runs.checkpoints import Checkpoints


def open_data(config):
    """The `data.Source` of a `Config`."""
    return data.open_source(
        config.data,
        config.data_dir,
        config.image_size,
        config.channels,
        config.strict_data,
        config.cache_dir,
    )


def make_model(config):
    """The model of a resolved `Config`, with new weights."""
    kind, own = _kind(config)
    return kind(
        config.table(),
        seed=config.seed,
        ema_decay=config.ema_decay,
        precision=config.precision,
        jit_compile=config.jit_compile == "true",
        batch_norm_momentum=config.batch_norm_momentum,
        sync_batch_norm=config.sync_batch_norm,
        **own,
    )


def _kind(config):
    """The class of a run's model, and its own arguments."""
    if config.model == "vae":
        return VAE, {}
    game = {
        "hybrid_joints": config.hybrid_shares(),
        "gradient_penalty": config.gradient_penalty,
    }
    if not config.labels_per_class:
        return HALI, {"noise": config.noise, **game}
    settings = {name: getattr(config, name) for name in ("noise", "label_weight", "consistency")}
    if config.encoder_only:
        return LabelledEncoder, settings
    return SemiSupervisedHALI, {**settings, **game, "cycle_labels": config.cycle_labels}


def load_run(run_dir, which="last"):
    """What a run has learned, from its folder alone.

    Args:
      run_dir: folder of the run.
      which: "last" or "best" checkpoint.

    Returns:
      (Config, model) with the weights of the checkpoint; for use, not to train on.

    Raises:
      UserError: no run folder, no checkpoint in it, or one of another model.
    """
    config = Config.from_file(os.path.join(run_dir, "config.json"))
    config = dataclasses.replace(config, run_dir=run_dir)
    model = make_model(dataclasses.replace(config, precision="float32"))
    Checkpoints(run_dir, model).restore_for_use(which)
    return config, model
