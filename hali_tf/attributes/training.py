"""Trains an `classifiers.AttributeClassifier` on the training split.

VGG16, which judges reconstructions, also learns from degraded copies of the images; an encoder, the
reference of what features are worth, from the images alone.
"""

import dataclasses
import json
import os
import shutil

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from hali_tf import data
from hali_tf.attributes import classifier as classifiers
from hali_tf.attributes.degradation import degraded
from hali_tf.errors import UserError
from hali_tf.files import replacing, write_json
from hali_tf.layers import random
from hali_tf.measures import scores
from hali_tf.runs import reopening
from hali_tf.runs.checkpoints import Checkpoints
from hali_tf.runs.run_folder import read_config
from hali_tf.training import callbacks, devices

_BATCH = 128  # images at a time through the frozen blocks


def open_data(config):
    """The data of a `ClassifierConfig` and, with --encoder_of, what `EncoderTrunk` takes.

    Raises:
      UserError: the data or the run is not there, or the data has no attributes.
    """
    if config.encoder_of:
        of_run = read_config(config.encoder_of)
        source = reopening.open_data(of_run)
        encoder = {"architecture": of_run.model.architecture, "width": of_run.model.width}
    else:
        source = data.open_source(
            config.data, config.data_dir, config.image_size, cache_dir=config.cache_dir
        )
        encoder = None
    if not source.multi_label:
        raise UserError(
            f"{source.name}: the data has no attributes; expected a set that has: --data=celeba"
        )
    return source, encoder


def train(config, source, encoder=None):
    """Makes the folder --out, or goes on in it; one that is trained is left as it is.

    Args:
      config: validated `ClassifierConfig`.
      source: `data.Source` with attributes.
      encoder: arguments of `EncoderTrunk`, or None for VGG16.

    Returns:
      The contents of classifier.json: beside what `classifiers.save` writes, accuracies of
      each attribute on the splits "validation" and "test".

    Raises:
      UserError: weights that cannot be had, a folder of another configuration or that cannot be
        written, a loss that is not finite.
      callbacks.Interrupted: a signal asked to stop; the same call goes on.
    """
    if config.precision == "auto":
        config = dataclasses.replace(config, precision=devices.native_precision())
    _check_folder(config)
    if os.path.exists(os.path.join(config.out, "classifier.json")):
        return classifiers.card(config.out)
    keras.utils.set_random_seed(config.seed)
    if encoder:
        trunk = classifiers.EncoderTrunk(source.image_shape, **encoder, precision=config.precision)
    else:
        trunk = classifiers.VGG16(
            source.image_shape, config.weights, config.frozen_blocks, config.precision
        )
    _make_folder(config)
    split = source.load("train")
    classifier = classifiers.AttributeClassifier(
        trunk, source.label_names, source.image_shape, split.labels.mean(axis=0), config.seed
    )
    _fit(config, classifier, split)
    measured = {name: _measure(classifier, source.load(name)) for name in ("validation", "test")}
    card = {"encoder": encoder, **measured, "config": dataclasses.asdict(config)}
    classifiers.save(config.out, classifier, card)
    shutil.rmtree(os.path.join(config.out, "checkpoints"))
    if os.path.exists(_features_path(config)):
        os.remove(_features_path(config))
    return classifiers.card(config.out)


def _check_folder(config):
    """Raises UserError if --out holds what another configuration began."""
    path = os.path.join(config.out, "config.json")
    if not os.path.exists(path):
        return
    try:
        with open(path, encoding="utf-8") as f:
            there = json.load(f)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); name another --out") from error
    differences = [
        f"--{name}: {value!r} here, {there.get(name)!r} there"
        for name, value in config.hyperparameters().items()
        if there.get(name) != value
    ]
    if differences:
        raise UserError(
            f"--out={config.out} holds a classifier of another configuration; name another or "
            "repeat its flags. " + "; ".join(differences)
        )


def _make_folder(config):
    try:
        os.makedirs(config.out, exist_ok=True)
        write_json(os.path.join(config.out, "config.json"), dataclasses.asdict(config))
    except OSError as error:
        raise UserError(f"--out={config.out}: cannot be written ({error})") from error


def _fit(config, classifier, split):
    """Trains from where the folder's last checkpoint is, saving one an epoch."""
    steps_an_epoch = -(-len(split.images) // config.batch_size)
    steps = config.epochs * steps_an_epoch
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    classifier.compile(keras.optimizers.Adam(rate))
    classifier.optimizer.build(classifier.trainable_variables)
    checkpoints = Checkpoints(config.out, classifier)
    first_step = checkpoints.restore()
    if config.frozen_blocks:
        split = _features(classifier.trunk, split, _features_path(config), config.seed)
    batches = data.train_batches(
        split, config.batch_size, config.seed, first_step, steps, labels=True
    )
    save = callbacks.Save(callbacks.Every(steps_an_epoch, steps), checkpoints)
    bar = tqdm(total=steps, initial=first_step, desc="train", unit="step", dynamic_ncols=True)
    with bar, save:
        beside = [callbacks.StopOnNonFinite(), _Bar(bar), save]
        for callback in beside:
            callback.first_step = first_step
        classifier.fit(batches, verbose=0, callbacks=beside)


class _Bar(callbacks.StepCallback):
    """Moves a bar."""

    def __init__(self, bar):
        super().__init__()
        self._bar = bar

    def at(self, step, logs):
        self._bar.set_postfix_str(f"loss {logs['loss']:.4f}", refresh=False)
        self._bar.update()


def _features_path(config):
    return os.path.join(config.out, "features.npy")


def _features(trunk, split, path, seed):
    """The frozen blocks' output for all images, all mirrored ones, then both degraded.

    It is computed once and kept in the file `path`, of which memory holds what is in use: 64 KiB an
    image for three blocks at 64x64.

    Returns:
      `data.Split` of float16 [4N, h, w, C] in place of images.
    """
    if not os.path.exists(path):
        fixed = tf.function(trunk.fixed, reduce_retracing=True)
        shape = trunk.fixed(tf.constant(split.images[:1])).shape[1:]
        try:
            with replacing(path) as beside:
                _write_features(fixed, split.images, beside, shape, seed)
        except OSError as error:
            size = 8 * len(split.images) * np.prod(shape) / 2**30
            raise UserError(
                f"{path}: cannot be written, {size:.1f} GiB ({error.strerror or error}); make "
                "room, or name an --out on a larger disk"
            ) from error
    features = np.load(path, mmap_mode="r")
    return data.Split(features, np.concatenate([split.labels] * 4))


def _write_features(fixed, images, path, shape, seed):
    count = len(images)
    with open(path, "wb") as f:
        header = {"descr": "<f2", "fortran_order": False, "shape": (4 * count, *shape)}
        np.lib.format.write_array_header_1_0(f, header)
        variants = [(worse, mirror) for worse in (False, True) for mirror in (1, -1)]
        starts = [(*variant, i) for variant in variants for i in range(0, count, _BATCH)]
        for number, (worse, mirror, i) in enumerate(
            tqdm(starts, "frozen blocks", unit_scale=_BATCH, unit="image")
        ):
            batch = tf.constant(np.asarray(images[i : i + _BATCH])[:, :, ::mirror])
            batch = degraded(batch, random.fold([seed, 0], number)) if worse else batch
            maps = tf.cast(fixed(batch), tf.float32)
            maps = tf.minimum(maps, np.finfo(np.float16).max)
            f.write(tf.cast(maps, tf.float16).numpy().tobytes())


def _measure(classifier, split):
    """Accuracies of each attribute on a labelled split, in per cent."""
    probabilities = classifier.probabilities(split.images)
    decisions = probabilities > classifier.thresholds
    labels = split.labels.astype(bool)
    measures = {
        "plain": scores.accuracy(labels, decisions),
        "balanced": scores.balanced_accuracy(labels, decisions),
        "balanced_at_half": scores.balanced_accuracy(labels, probabilities > 0.5),
    }
    return {
        "images": len(split.images),
        **{name: list(values) for name, values in measures.items()},
    }
