"""What the questions of an evaluation share: who is compared, on which images, where results go.

A question is a module of this package, listed in `hali_tf.evaluation.registry`, with

  TITLE                     a heading that names the paper's section
  unanswerable(context)     None, or why the run cannot answer ("the data has no attributes")
  answer(context)           a dict for JSON; pictures go beside it, by `context.path`
  report(answer)            Markdown: tables, the pictures, what follows from them in words; the
                            first paragraph, the result in a sentence or two, is also printed
  inputs(context)           only where the answer depends on more than models, data, limit and seed
                            (a classifier): a dict for JSON; another value makes it answer anew
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re

import keras
from tqdm import tqdm

from hali_tf.config import Config
from hali_tf.data import Source, Split


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained model that is evaluated or compared with.

    Attributes:
      name: "HALI", "ALI" or "VAE"; with the run folder's name where two have the same.
      run_dir: its folder.
      config: of its run.
      model: restored; has encode, decode, decode_latents, reconstruct, sample, num_levels,
        latent_shapes.
    """

    name: str
    run_dir: str
    config: Config
    model: keras.Model

    @property
    def step(self):
        """The step of its checkpoint."""
        return int(self.model.step.numpy())

    @property
    def slug(self):
        """The name as part of file names."""
        return re.sub(r"\W+", "_", self.name.lower())

    def levels(self):
        """(label, l) of each level: ("HALI z_1", 1), ...; plain "ALI" where there is one only."""
        count = self.model.num_levels
        if count == 1:
            return [(self.name, 1)]
        return [(f"{self.name} z_{l}", l) for l in range(1, count + 1)]


@dataclasses.dataclass(frozen=True)
class Context:
    """One evaluation.

    Attributes:
      subjects: the run's own model first, then the baselines; all on the same data.
      source: the data of the run.
      folder: RUN/evaluation.
      limit: use at most so many images of a split, from the first; 0 for all.
      classifier_dir: folder of the attribute classifier; "" if the user named none.
      mask: PNG file of a mask to inpaint; "" if the user named none.
      seed: of every draw.
    """

    subjects: tuple[Subject, ...]
    source: Source
    folder: str
    limit: int = 0
    classifier_dir: str = ""
    mask: str = ""
    seed: int = 0

    @property
    def subject(self):
        """The run's own model."""
        return self.subjects[0]

    def split(self, name):
        """A split of the data, cut to `limit`; "train" is never cut."""
        split = _load(self.source, name)
        if not self.limit or name == "train":
            return split
        labels = None if split.labels is None else split.labels[: self.limit]
        return Split(split.images[: self.limit], labels, split.skipped)

    def path(self, name):
        """Of a file in the evaluation's folder."""
        return os.path.join(self.folder, name)

    def progress(self, iterable, words):
        """A bar with an ETA over `iterable`."""
        return tqdm(iterable, words, dynamic_ncols=True)


@functools.lru_cache(maxsize=3)
def _load(source, name):
    return source.load(name)
