"""Runs a task over all rows that are missing, while the next are read and the last are written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from absl.flags import FlagValues

import hali_tf
from hali_tf import files
from hali_tf.bulk.shards import Shards, Target
from hali_tf.bulk.tasks import Task
from hali_tf.config import Config
from hali_tf.errors import UserError, writing
from hali_tf.models.autoencoder import Autoencoder
from hali_tf.models.averaged import Averaged
from hali_tf.models.coder import Coder
from hali_tf.progress import progress_bar
from hali_tf.runs import lock, reopening
from hali_tf.runs.checkpoints import variables_of
from hali_tf.training import devices


def open_run(flags: FlagValues, decodes: bool = True) -> tuple[Config, Autoencoder, Coder]:
    """The run that a command's flags name, on the device that they name.

    Args:
      flags: those of `hali_tf.bulk.flags`.
      decodes: whether the command needs its decoder.

    Raises:
      UserError: the device is missing, or as `reopening.load_run` and `require_decoder`.
    """
    devices.choose(flags.device)
    config, model = reopening.load_run(flags.run_dir, flags.checkpoint)
    if decodes:
        reopening.require_decoder(config)
    return config, model, Coder(model, flags.batch_size)


def weights_digest(model: Averaged) -> str:
    """SHA-256 of all weights that encode and decode, the same in every version of Keras."""
    digest = hashlib.sha256()
    for variable in tf.nest.flatten(variables_of(model.average)):
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()


def make(task: Task, target: Target, model: Averaged, batch_size: int) -> str:
    """Computes what is missing of a task's files.

    Args:
      task: what to compute.
      target: where it goes.
      model: whose `Coder` the task has.
      batch_size: rows at a time; the values depend on it, in the last bits.

    Returns:
      A sentence that says what was made.

    Raises:
      UserError: the files are of another job, an input is unusable, or they cannot be written.
    """
    job = {
        "task": task.name,
        "weights": weights_digest(model),
        "step": int(model.step.numpy()),
        "batch_size": batch_size,
        **task.identity,
        "hali_tf": hali_tf.__version__,
        "tensorflow": tf.__version__,
    }
    shards = Shards.create(target, task.layout, task.rows, json.loads(json.dumps(job)))
    with _alone(target):
        shards.check_manifest()  # another command may have begun in between
        shards.remove_partial()
        missing = shards.missing()
        try:
            _run(task, shards, missing, batch_size)
        except tf.errors.ResourceExhaustedError as error:
            why, *_ = error.message.splitlines()
            raise UserError(
                f"--batch_size={batch_size}: the device has too little memory ({why}); choose a "
                "smaller batch, and another --out"
            ) from error
    count = len(shards.ranges())
    there = count - len(missing)
    words = f", {there} of which were there" if there else ""
    return f"{task.rows:,} rows in {count} file{'s' * (count > 1)}{words}: {target.out}"


@contextlib.contextmanager
def _alone(target):
    """Keeps other commands away; not on an object store, where two would write equal files."""
    if files.scheme(target.out):
        yield
        return
    with writing(f"--out={target.out}"):
        manifest = open(target.manifest, "r+", encoding="utf-8")
    with manifest:
        is_own = lock.take(manifest, target.out)
        if not is_own or not os.path.samestat(
            os.fstat(manifest.fileno()), os.stat(target.manifest)
        ):
            raise UserError(f"--out={target.out}: another command is writing it")
        yield


def _run(task, shards, missing, batch_size):
    done = task.rows - sum(end - begin for begin, end in missing)
    bar = progress_bar(words=task.name, total=task.rows, initial=done, unit="row")
    with bar, ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        loading = [reader.submit(task.load, *rows) for rows in missing[:1]]
        written = None
        for number, (begin, _) in enumerate(missing):
            inputs = loading.pop().result()
            loading += [reader.submit(task.load, *rows) for rows in missing[number + 1 :][:1]]
            outputs = _compute(task, inputs, batch_size, bar)
            if written:
                written.result()
            written = writer.submit(shards.write, begin, outputs)
        if written:
            written.result()


def _compute(task, inputs, batch_size, bar):
    """The outputs of a shard, each one array that the batches fill."""
    rows, outputs = len(next(iter(inputs.values()))), {}
    for begin in range(0, rows, batch_size):
        batch = {name: array[begin : begin + batch_size] for name, array in inputs.items()}
        for name, part in task.compute(batch).items():
            if name in inputs:
                outputs[name] = inputs[name]
                continue
            if name not in outputs:
                outputs[name] = np.empty((rows, *part.shape[1:]), part.dtype)
            outputs[name][begin : begin + batch_size] = part
        bar.update(min(batch_size, rows - begin))
    return outputs
