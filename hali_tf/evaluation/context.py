"""What the questions of an evaluation share: the models, the data, where results go."""

from __future__ import annotations

import dataclasses
import functools
import os

from hali_tf.data import Source, Split
from hali_tf.errors import UserError
from hali_tf.evaluation.subjects import Subject


@dataclasses.dataclass(frozen=True)
class Context:
    """One evaluation.

    Attributes:
      subjects: the run's own model first, then the baselines; all on the same data.
      source: the data of the run.
      folder: RUN/evaluation.
      limit: how many images of a held-out split are used, by `Split.part`; 0 for all.
      classifier_dirs: folders of attribute classifiers, as far as the user named any.
      mask: PNG file of a mask to inpaint; "" if the user named none.
      feature_weights: file of the Inception network; "" if the user named none.
      lpips_weights: file of LPIPS' weights; "" if the user named none.
    """

    subjects: tuple[Subject, ...]
    source: Source
    folder: str
    limit: int = 0
    classifier_dirs: tuple[str, ...] = ()
    mask: str = ""
    feature_weights: str = ""
    lpips_weights: str = ""

    @property
    def subject(self) -> Subject:
        """The run's own model."""
        return self.subjects[0]

    @property
    def labels(self) -> dict[str, list[str]]:
        """Name of each subject to the labels of its levels."""
        return {s.name: [label for label, _ in s.levels()] for s in self.subjects}

    def split(self, name: str) -> Split:
        """A split of the data; "validation" and "test" are cut to `limit`.

        Raises:
          UserError: there are fewer than two test images, which intervals over images take.
        """
        split = _load(self.source, name)
        if name == "test" and len(split.images) < 2:
            data = self.subject.config.data
            raise UserError(
                f"--data_dir={data.data_dir}: {data.name} has {len(split.images)} test image, and "
                "an evaluation takes 2 or more"
            )
        cut = self.limit and name != "train"
        return _part(self.source, name, self.limit) if cut else split

    def path(self, name: str) -> str:
        """Path of a file in the evaluation's folder."""
        return os.path.join(self.folder, name)


@functools.lru_cache(maxsize=3)
def _load(source: Source, name: str) -> Split:
    return source.load(name)


@functools.lru_cache(maxsize=2)
def _part(source: Source, name: str, limit: int) -> Split:
    return _load(source, name).part(limit)
