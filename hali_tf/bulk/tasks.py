"""What is computed of each row: encode, decode, sample.

A task has `name`, the number of `rows`, the `layout` of what it computes, and its `identity`, on
which the values depend beside the model; `load` gives the inputs of some rows, which may take long,
and `compute` the outputs of a batch of them.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from hali_tf.bulk.formats import Array, Layout
from hali_tf.bulk.images import PictureImages, SplitImages
from hali_tf.bulk.shards import Shards
from hali_tf.models.coder import Coder, sample_seeds

Arrays = dict[str, np.ndarray]


class Task(Protocol):
    """What `running.make` asks for."""

    name: str
    rows: int
    layout: Layout
    identity: dict[str, Any]

    def load(self, begin: int, end: int) -> Arrays:
        """The inputs of the rows [begin, end)."""

    def compute(self, inputs: Arrays) -> Arrays:
        """The outputs of a batch, as `layout` says; those with an input's name are that input."""


class Encode:
    """Means z_l of every level, and the reconstruction from each; beside what images bring.

    Args:
      coder: `Coder`.
      images: where they come from.
      reconstructions: whether there are reconstructions.
    """

    name = "encode"

    def __init__(
        self, coder: Coder, images: SplitImages | PictureImages, reconstructions: bool = True
    ):
        self._coder, self.rows, self.load = coder, images.rows, images.load
        self.identity = images.identity
        self.layout = dict(images.layout)
        for level, shape in enumerate(coder.latent_shapes, start=1):
            self.layout[f"z_{level}"] = Array("float32", shape)
        self._rebuilds = reconstructions
        for level in range(1, coder.num_levels + 1) if reconstructions else ():
            self.layout[f"reconstruction_{level}"] = Array("uint8", coder.image_shape)

    def compute(self, inputs: Arrays) -> Arrays:
        """See `Task`."""
        outputs = dict(inputs)
        images = outputs.pop("image")
        zs, rebuilt = (
            self._coder.rebuild(images) if self._rebuilds else (self._coder.encode(images), [])
        )
        for name, arrays in (("z", zs), ("reconstruction", rebuilt)):
            outputs.update({f"{name}_{level}": part for level, part in enumerate(arrays, start=1)})
        return outputs


class Decode:
    """`image` from z_l of files that encode wrote; beside what its images brought.

    Args:
      coder: `Coder`.
      latents: what encode wrote.
      level: l.
    """

    name = "decode"

    def __init__(self, coder: Coder, latents: Shards, level: int):
        self._coder, self._latents, self._level = coder, latents, level
        self.rows = latents.rows
        self.identity = {"latents": latents.digest(), "level": level}
        carried = {
            name: array
            for name, array in latents.layout.items()
            if not name.startswith(("z_", "reconstruction_"))
        }
        self.layout = {**carried, "image": Array("uint8", coder.image_shape)}

    def load(self, begin: int, end: int) -> Arrays:
        """See `Task`."""
        carried = [name for name in self.layout if name != "image"]
        arrays = self._latents.read(begin, end, [*carried, f"z_{self._level}"])
        arrays["z"] = arrays.pop(f"z_{self._level}")
        return arrays

    def compute(self, inputs: Arrays) -> Arrays:
        """See `Task`."""
        outputs = dict(inputs)
        outputs["image"] = self._coder.decode(outputs.pop("z"), self._level)
        return outputs


class Sample:
    """`image` from draws of the prior; with the `seed` that gives it, and its `label` if asked for.

    Args:
      coder: `Coder`.
      count: number of images.
      seed: that all their seeds follow from. A larger `count` begins with the same images.
      labels: class numbers that the images have in turn; () for draws of the prior.
    """

    name = "sample"

    def __init__(self, coder: Coder, count: int, seed: int, labels: tuple[int, ...] = ()):
        self._coder, self.rows = coder, count
        self.identity = {"seed": seed, "labels": list(labels)}
        self._seeds = sample_seeds(seed, count)
        self._labels = np.array(labels, np.int64)
        self.layout = {"image": Array("uint8", coder.image_shape), "seed": Array("int64")}
        if labels:
            self.layout["label"] = Array("int64")

    def load(self, begin: int, end: int) -> Arrays:
        """See `Task`."""
        arrays = {"seed": self._seeds[begin:end]}
        if len(self._labels):
            arrays["label"] = self._labels[np.arange(begin, end) % len(self._labels)]
        return arrays

    def compute(self, inputs: Arrays) -> Arrays:
        """See `Task`."""
        return {"image": self._coder.sample(inputs["seed"], inputs.get("label")), **inputs}
