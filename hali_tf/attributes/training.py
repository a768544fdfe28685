"""Trains an `AttributeClassifier` on the training split.

VGG16, which judges reconstructions, also learns from degraded copies of the images unless --degrade
is false; an encoder, the reference of what features are worth, from the images alone.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hali_tf import data
from hali_tf.attributes import classifier as classifiers
from hali_tf.attributes import folder as folders
from hali_tf.attributes import memory
from hali_tf.attributes.degradation import degraded
from hali_tf.config import ClassifierConfig
from hali_tf.errors import UserError, reason, writing
from hali_tf.files import DAMAGE, read_json, replacing, write_json
from hali_tf.layers import random
from hali_tf.measures import scores
from hali_tf.progress import progress_bar
from hali_tf.runs import reopening, run_folder
from hali_tf.runs.checkpoints import Checkpoints, check_name
from hali_tf.training import callbacks, devices
from hali_tf.training.cluster import Workers

_ON_NON_FINITE = "start again in a new --out, with a lower --learning_rate or --precision=float32"


def open_data(config: ClassifierConfig) -> tuple[data.Source, dict[str, Any] | None]:
    """The data and, with --encoder_of, the arguments of the `EncoderTrunk`.

    Raises:
      UserError: the data or the run is missing, or the data has no attributes.
    """
    if config.encoder_of:
        of_run = run_folder.read_config(config.encoder_of, "encoder_of")
        source = reopening.open_data(of_run, cache_dir=config.cache_dir)
        encoder = {"architecture": of_run.model.architecture, "width": of_run.model.width}
    else:
        source = data.open_source(
            config.data, config.data_dir, config.image_size, cache_dir=config.cache_dir
        )
        encoder = None
    if not source.multi_label:
        raise UserError(
            f"{source.name}: the data has no attributes; expected a set with some: --data=celeba"
        )
    return source, encoder


def train(
    config: ClassifierConfig, source: data.Source, encoder: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Makes the folder --out, or resumes in it; a trained classifier is left as it is.

    Args:
      config: a validated one.
      source: data with attributes.
      encoder: arguments of `EncoderTrunk`, or None for VGG16.

    Returns:
      The contents of classifier.json: see `folders.save`; and the accuracies of each attribute
      on the splits "validation" and "test".

    Raises:
      UserError: a split has no labels, the weights cannot be had, the folder has another
        configuration, was begun with other images or cannot be written, the memory is too small, or
        the loss is not finite.
      callbacks.Interrupted: a signal asked to stop; the same call resumes.
    """
    check_name(config.out)
    config = _decided(config)
    if os.path.exists(os.path.join(config.out, "classifier.json")):
        _tidy(config)
        return folders.card(config.out)
    memory.check(config, source.image_shape, encoder)
    splits = _load(source)
    classifier = _build(config, source, encoder, splits["train"].labels)
    _make_folder(config, splits["train"])
    _fit(config, classifier, splits["train"])
    measured = {name: _measure(classifier, splits[name]) for name in ("validation", "test")}
    card = {"encoder": encoder, **measured, "config": config.flat()}
    remedy = "; make room, and the same command resumes from the last checkpoint"
    with writing(f"--out={config.out}", remedy):
        folders.save(config.out, classifier, card)
    _tidy(config)
    return folders.card(config.out)


def _load(source):
    """The three splits, by name; UserError if one has no attributes."""
    splits = {name: source.load(name) for name in data.SPLITS}
    for name, split in splits.items():
        if split.labels is None:
            raise UserError(
                f"--data={source.name}: its {name} images have no attributes; expected attributes "
                "of all three splits, to train and to measure with"
            )
    return splits


def _build(config, source, encoder, labels):
    """The classifier with its first weights.

    An attribute's threshold is its share of `labels`; 1 and 0 where none and all have it, so that
    it is decided so of every image.
    """
    keras.utils.set_random_seed(config.seed)
    shape = source.image_shape
    if encoder:
        trunk = classifiers.EncoderTrunk(shape, **encoder, precision=config.precision)
    else:
        trunk = classifiers.VGG16(shape, config.weights, config.frozen_blocks, config.precision)
    names, shares = source.label_names or (), np.mean(np.asarray(labels), axis=0)
    thresholds = np.where(np.isin(shares, (0, 1)), 1 - shares, shares)
    return classifiers.AttributeClassifier(
        trunk, names, shape, thresholds, config.seed, config.degrade
    )


def _tidy(config):
    """Removes what only a training that resumes needs."""
    shutil.rmtree(os.path.join(config.out, "checkpoints"), ignore_errors=True)
    for path in (_features_path(config), _images_path(config)):
        if os.path.exists(path):
            os.remove(path)


def _decided(config):
    """The config without "auto", which in a folder that is there is what it was there.

    Raises UserError if --out holds what another configuration began.
    """
    path = os.path.join(config.out, "config.json")
    earlier = ClassifierConfig.from_file(path) if os.path.exists(path) else None
    if earlier and earlier.encoder_of:  # an encoder never did; earlier versions had no flag
        earlier = earlier.replace(degrade=False)
    if config.precision == "auto":
        decided = earlier.precision if earlier else devices.native_precision()
        config = config.replace(precision=decided)
    differences = config.differences(earlier) if earlier else []
    if differences:
        raise UserError(
            f"--out={config.out} holds a classifier of another configuration; name another or "
            "repeat its flags. " + "; ".join(differences)
        )
    return config


def _make_folder(config, train):
    """Makes the folder; in one that is there, checks that it was begun with these images."""
    path = _images_path(config)
    began = read_json(path)
    other = run_folder.difference(began, train) if began else ""
    if other:
        raise UserError(
            f"--out={config.out}: these are not the training images that it was begun with "
            f"({other}); name the data that it was begun with, or another --out"
        )
    with writing(f"--out={config.out}"):
        os.makedirs(config.out, exist_ok=True)
        write_json(os.path.join(config.out, "config.json"), config.flat())
        write_json(path, began or run_folder.describe(train))


def _fit(config, classifier, split):
    """Trains from the folder's last checkpoint on, and saves one per epoch."""
    steps_an_epoch = -(-len(split.images) // config.batch_size)
    steps = config.epochs * steps_an_epoch
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    classifier.compile(keras.optimizers.Adam(rate), jit_compile=False)  # Keras 3 would choose
    classifier.optimizer.build(classifier.trainable_variables)
    checkpoints = Checkpoints(config.out, classifier)
    first_step = checkpoints.restore() or 0
    if first_step == steps:  # stopped before it was measured; Keras 2 fits no less than a step
        return
    if config.frozen_blocks:
        split = _features(classifier, split, _features_path(config), config.seed)
    batches = data.train_batches(
        split, config.batch_size, config.seed, first_step, steps, labels=True
    )
    alone = Workers(tf.distribute.get_strategy())
    save = callbacks.Save(callbacks.Every(steps_an_epoch, steps), checkpoints, alone)
    with callbacks.Progress(steps) as progress, save:
        all_callbacks = [callbacks.StopOnNonFinite(_ON_NON_FINITE), progress, save]
        for callback in all_callbacks:
            callback.first_step = first_step
        classifier.fit(batches, verbose=0, shuffle=False, callbacks=all_callbacks)


def _images_path(config):
    return os.path.join(config.out, "images.json")


def _features_path(config):
    return os.path.join(config.out, "features.npy")


def _features(
    classifier: classifiers.AttributeClassifier, split: data.Split, path: str, seed: int
) -> data.Split:
    """The output of the frozen blocks for all images and all mirrored ones, perhaps both degraded.

    It is computed once and kept in the file `path`, which is mapped into memory: 64 KiB per image
    of 64x64 for four blocks, with degraded ones.

    Returns:
      float16 [2N, h, w, C] in place of images, 4N with degraded ones.
    """
    trunk = classifier.trunk
    variants = [(worse, mirror) for worse in range(1 + classifier.degraded) for mirror in (1, -1)]
    if not os.path.exists(path):
        fixed = tf.function(trunk.fixed, reduce_retracing=True)
        shape = trunk.fixed(tf.constant(split.images[:1])).shape[1:]
        try:
            with replacing(path) as temporary:
                _write_features(fixed, split.images, temporary, shape, seed, variants)
        except OSError as error:
            size = 2 * len(variants) * len(split.images) * np.prod(shape) / 2**30
            raise UserError(
                f"{path}: cannot be written, {size:.1f} GiB ({reason(error)}); make "
                "room, or name an --out on a larger disk"
            ) from error
    try:
        features = np.load(path, mmap_mode="r")
    except DAMAGE as error:
        raise UserError(f"{path}: damaged ({error}); remove it, and it is made again") from error
    return data.Split(features, np.concatenate([split.labels] * len(variants)))


def _write_features(fixed, images, path, shape, seed, variants):
    """`variants` are (whether degraded, 1 or -1 if mirrored)."""
    count = len(images)
    with open(path, "wb") as f:
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(variants) * count, *shape)}
        np.lib.format.write_array_header_1_0(f, header)
        starts = [(*variant, i) for variant in variants for i in range(0, count, classifiers.BATCH)]
        bar = progress_bar(starts, "frozen blocks", unit_scale=classifiers.BATCH, unit="image")
        for number, (worse, mirror, i) in enumerate(bar):
            batch = tf.constant(np.asarray(images[i : i + classifiers.BATCH])[:, :, ::mirror])
            batch = degraded(batch, random.fold([seed, 1], number)) if worse else batch
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
