"""What is known of a run: its labels, and the names of its entries."""

import json
import pathlib

import numpy as np
import pytest

from hali_tf.exploring import subject as subjects
from hali_tf.exploring import views
from hali_tf.exploring.served import ServedCoder
from hali_tf.runs import history
from tests.exporting.runs import make_run


def found(folder, step, labels):
    """Writes an answer of the evaluation: label to its entry and correlation."""
    rows = {name: dict(zip(("entry", "correlation_validation"), row)) for name, row in labels}
    weights = {**history.weights_of(folder, step), "ways_back": 0}
    file = {"asked_of": {"subjects": [weights]}, "answer": {"labels": rows}}
    path = pathlib.Path(folder, "evaluation", "innovation.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(file))


def test_entries_have_the_names_that_the_evaluation_found(tmp_path):
    folder = make_run(tmp_path / "run", width=0.1)
    assert subjects.of_run(folder).names == {}
    found(folder, 0, [("Smiling", (3, 0.2)), ("Hat", (5, -0.9)), ("Male", (3, -0.4))])
    subject = subjects.of_run(folder)
    assert subject.names == {5: "Hat", 3: "Male"}
    assert subject.component(2, 5) == "z_2[5]: Hat" and subject.component(1, 5) == "z_1[5]"
    first, *others = subject.strongest(2, 3)
    assert first == 5 and len(others) == 2 and 5 not in others
    found(folder, 1000, [("Smiling", (3, 0.2))])
    assert subjects.of_run(folder).names == {}, "it is of other weights"
    found(folder, 0, [("Smiling", (3, 0.2))])
    pathlib.Path(folder, "rollbacks.json").write_text('[{"at": 1, "to": 0}]')
    assert subjects.of_run(folder).names == {}, "it is of other weights"
    for text in ("{", "[1]", "{}"):
        pathlib.Path(folder, "evaluation", "innovation.json").write_text(text)
        assert subjects.of_run(folder).names == {}


def test_labels_of_training_alone_are_enough_to_classify(tmp_path):
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 16, 16), dtype=np.uint8) for n in (24, 6))
    np.savez(tmp_path / "set.npz", x_train=train, y_train=np.arange(24) % 3, x_test=test)
    flags = {"data": "npz", "data_dir": str(tmp_path / "set.npz"), "image_size": 16}
    subject = subjects.of_run(make_run(tmp_path / "run", width=0.1, **flags))
    names, scores = subject.classify(subject.pictures[:2])
    assert len(names) == 3 and scores.shape == (2, 3)


@pytest.mark.slow
def test_a_semi_supervised_run_has_its_labels(tmp_path):
    subject = subjects.of_run(make_run(tmp_path / "run", width=0.1, labels_per_class=5, classes=10))
    assert list(subject.labels) == list("0123456789")
    length = subject.coder.latent_shapes[-1][0]
    assert subject.component(2, length - 1).endswith("]: 9")
    names, scores = subject.classify(subject.pictures[:2])
    assert len(names) == 10 and scores.sum() == pytest.approx(2, abs=1e-4)
    threes = views.sample(subject.coder, 0, 4, label=3)
    assert threes.shape == (4, 16, 16, 1)
    assert (threes != views.sample(subject.coder, 0, 4, label=4)).any()


class Client:
    """Of a server with [z_1, y] of two entries and three classes; keeps what it decodes."""

    image_shape, num_levels = (2, 2, 1), 1

    def signatures(self):
        y = type("Info", (), {})
        return {"encode": type("Signature", (), {"outputs": {"y": y}})}

    def encode(self, images):
        return [(np.zeros((len(images), 5), np.float32),) * 2]

    def decode(self, z):
        self.decoded = z
        return z


def test_a_server_draws_a_label_by_its_top_latent(monkeypatch):
    monkeypatch.setattr("serving.client.tensors.shape_of", lambda info: [-1, 3])
    client = Client()
    z = ServedCoder(client).sample(np.array([7, 8, 7]), np.array([2, 0, 0]))
    np.testing.assert_array_equal(z[:, 2:], [[0, 0, 1], [1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(z[0, :2], z[2, :2])
    assert (z[0, :2] != z[1, :2]).all()
