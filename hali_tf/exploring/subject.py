"""What is explored: a run folder or a server, with the same methods."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hali_tf.data import learned_names
from hali_tf.evaluation import traversal
from hali_tf.evaluation.innovation import names_of_entries
from hali_tf.exploring.served import ServedCoder
from hali_tf.exporting import classifier as classifiers
from hali_tf.files import read_json
from hali_tf.measures import spectra
from hali_tf.models.coder import Coder
from hali_tf.runs.history import weights_of
from hali_tf.runs.reopening import load_run, open_data, require_decoder
from serving.client import HaliClient

_OFFERED = 24  # pictures to choose from
_FITTED = 4000  # images, at most: somebody waits for it
_MEASURED = 2  # of them tell which components are strong

# Images, uint8 [N, H, W, C], to names of K classes and scores, float32 [N, K].
Classify = Callable[[np.ndarray], "tuple[Sequence[str], np.ndarray]"]


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model and what is known of it.

    Attributes:
      name: where it is, for the page's head.
      coder: of the run's model, or of the served one.
      data: `--data` of the run, which decides how pictures are cropped; "" for a server.
      pictures: to choose from, uint8 [N, H, W, C].
      labels: names of the K classes whose y is part of the top latent; () where there is none.
      names: of entries of the top latent, by their number.
      classify: scores of images; None where the model has no classes.
    """

    name: str
    coder: Coder
    data: str
    pictures: np.ndarray
    labels: Sequence[str] = ()
    names: Mapping[int, str] = dataclasses.field(default_factory=dict)
    classify: Classify | None = None

    def strongest(self, level: int, count: int) -> list[int]:
        """Components of z_l to play with: of the top level those with names, then the strongest.

        Args:
          level: l.
          count: how many, at most.
        """
        named = list(self.names)[: count // 2] if level == self.coder.num_levels else []
        z = self.coder.encode(self.pictures[:_MEASURED])[level - 1]
        effects = traversal.effects(self.coder, z, level, range(z.shape[-1]))
        strong = [int(k) for k in spectra.by_strength(effects) if k not in named]
        return (named + strong)[:count]

    def component(self, level: int, number: int) -> str:
        """The name of a component: "z_2[3]", and what it stands for, where that is known."""
        name = self.names.get(number) if level == self.coder.num_levels else None
        return f"z_{level}[{number}]" + (f": {name}" if name else "")


def of_run(
    run_dir: str, checkpoint: str = "last", data_dir: str = "", cache_dir: str = ""
) -> Subject:
    """A run folder as a subject.

    Args:
      run_dir: folder of the run.
      checkpoint: "last" or "best".
      data_dir: where the run's data are now; "" for where they were in training.
      cache_dir: where decoded images are kept; "" for where they were in training.

    Raises:
      UserError: it holds no run, or its data cannot be read.
    """
    config, model = load_run(run_dir, checkpoint)
    require_decoder(config)
    source, classify = open_data(config, data_dir, cache_dir), None
    labels: Sequence[str] = ()
    test = source.load("test")
    if config.labels.per_class:
        labels = learned_names(source, config.labels.classes)
        classify = _classify(model, lambda: classifiers.OwnLabel(labels))
    elif test.labels is not None or source.load("train").labels is not None:
        classify = _classify(
            model, lambda: classifiers.fit(model.average, source, source.load("train"), _FITTED)
        )
    step = int(model.step.numpy())
    entries = {**_of_evaluation(run_dir, step), **_of_labels(model.latent_shapes[-1][-1], labels)}
    pictures = test.part(_OFFERED).images
    name, data = f"{run_dir}, step {step:,}", config.data.name
    return Subject(name, Coder(model), data, pictures, labels, entries, classify)


def of_server(target: str, model: str) -> Subject:
    """A served model as a subject.

    The pictures to choose from are samples, since a server has no images.

    Args:
      target: host:port of the gRPC port.
      model: its name on the server.

    Raises:
      HaliClientError: there is no answer, or no such model.
    """
    client = HaliClient(target, model)
    coder, classify = ServedCoder(client), None
    labels: Sequence[str] = ()
    pictures = coder.sample(np.arange(_OFFERED))
    if client.has_classifier:
        classify = functools.partial(_served_scores, client)
        if coder.classes:
            labels = tuple(map(str, classify(pictures[:1])[0]))
    entries = _of_labels(coder.latent_shapes[-1][-1], labels)
    return Subject(f"{model} at {target}", coder, "", pictures, labels, entries, classify)


def _classify(model, make):
    """`Classify` of a run; the classifier is made when it is first asked."""
    made = functools.lru_cache(maxsize=None)(make)

    def classify(images):
        return made().names, made().scores(model.average.encode(images)).numpy()

    return classify


def _served_scores(client, images):
    names, scores = client.classify(images)
    return names[0], scores


def _of_evaluation(run_dir, step):
    """{entry: label} by the evaluation of these weights, best correlated first; {} without one."""
    weights = weights_of(run_dir, step)
    try:
        file = read_json(os.path.join(run_dir, "evaluation", "innovation.json"))
        (subject, *_), labels = file["asked_of"]["subjects"], file["answer"]["labels"]
        if {name: subject[name] for name in weights} != weights:
            return {}
        return names_of_entries(labels)
    except (OSError, ValueError, LookupError, TypeError):  # none, or damaged, or of an old version
        return {}


def _of_labels(length, labels):
    """{entry: label} of the y at the end of a top latent of this length."""
    return dict(enumerate(labels, start=length - len(labels)))
