"""The exported version: what it answers, what it holds, how it appears."""

import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from hali_tf import data, export
from hali_tf.errors import UsageError, UserError
from hali_tf.exporting import classifier, version, warmup
from hali_tf.runs.lock import locked
from tests.commands import run
from tests.exporting.runs import make_run

BATCHES = (1, 7, 32)
HERE = pathlib.Path(__file__).parent


def png(array):
    file = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def requests(model):
    """Inputs for each signature and batch size."""
    rng = np.random.default_rng(1)
    made = {}
    for batch in BATCHES:
        images = rng.integers(0, 256, (batch, *model.image_shape)).astype(np.uint8)
        for name in ("encode", "serving_default", "reconstruct", "classify"):
            made[f"{name}/images/{batch}"] = images
        z_1, z_2 = (rng.standard_normal((batch, *s)).astype("f") for s in model.latent_shapes)
        made[f"decode/z_2/{batch}"], made[f"decode_1/z_1/{batch}"] = z_2, z_1
        made[f"decode_latents/z_2/{batch}"] = z_2
        made[f"sample/seeds/{batch}"] = rng.integers(-(2**62), 2**62, batch)
        made[f"classify_examples/inputs/{batch}"] = np.array(
            [warmup.example(png(image)).SerializeToString() for image in images]
        )
    return made


@pytest.fixture(scope="module")
def answers(version_dir, requests, tmp_path_factory):
    """What a fresh process with only tensorflow answers."""
    folder = tmp_path_factory.mktemp("session")
    np.savez(folder / "requests.npz", **requests)
    subprocess.run(
        [
            sys.executable,
            HERE / "bare_session.py",
            version_dir,
            folder / "requests.npz",
            folder / "answers.npz",
        ],
        check=True,
        cwd=folder,
    )
    with np.load(folder / "answers.npz") as answers:
        return dict(answers)


def assert_same(served, ours):
    if ours.dtype == np.uint8:
        difference = np.abs(served.astype(int) - ours.astype(int))
        assert difference.max() <= 1 and (difference > 0).mean() <= 0.001
    else:
        np.testing.assert_allclose(served, ours, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch", BATCHES)
def test_every_signature_equals_the_model(batch, model, requests, answers):
    images = requests[f"encode/images/{batch}"]
    for level, q in enumerate(model.encode(images), start=1):
        for name in ("encode", "serving_default"):
            assert_same(answers[f"{name}/z_{level}/{batch}"], q.mean.numpy())
            assert_same(answers[f"{name}/z_{level}_stddev/{batch}"], q.stddev.numpy())
        rebuilt = model.reconstruct(images, level).numpy()
        assert_same(answers[f"reconstruct/reconstruction_{level}/{batch}"], rebuilt)
    for name, level in (("decode", 2), ("decode_1", 1)):
        ours = model.decode(requests[f"{name}/z_{level}/{batch}"], level).numpy()
        assert_same(answers[f"{name}/images/{batch}"], ours)
    z_1, _ = model.decode_latents(requests[f"decode_latents/z_2/{batch}"])
    assert_same(answers[f"decode_latents/z_1/{batch}"], z_1.numpy())
    ours = model.sample(requests[f"sample/seeds/{batch}"]).numpy()
    assert_same(answers[f"sample/images/{batch}"], ours)


@pytest.mark.parametrize("batch", BATCHES)
def test_classify_and_its_examples_agree(batch, answers):
    scores = answers[f"classify/scores/{batch}"]
    assert scores.shape == (batch, 10)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert (answers[f"classify/classes/{batch}"] == [str(d).encode() for d in range(10)]).all()
    np.testing.assert_allclose(answers[f"classify_examples/scores/{batch}"], scores, atol=1e-5)


FORBIDDEN = {
    "PyFunc",
    "PyFuncStateless",
    "EagerPyFunc",
    "RandomStandardNormal",
    "RandomUniform",
    "TruncatedNormal",
    "RandomUniformInt",
    "NumpyFunction",
    "XlaLaunch",
}


def graph_of(version_dir):
    """(functions, nodes of all of them and of the graph) of a version."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(pathlib.Path(version_dir, "saved_model.pb").read_bytes())
    (meta,) = saved.meta_graphs
    functions = meta.graph_def.library.function
    return functions, [*meta.graph_def.node, *(n for f in functions for n in f.node_def)]


def test_encoded_pictures_are_decoded_one_at_a_time(version_dir):
    loops = [n for n in graph_of(version_dir)[1] if n.op in ("While", "StatelessWhile")]
    assert max(loop.attr["parallel_iterations"].i for loop in loops) == 1  # 10 by default


def test_the_graph_holds_only_what_a_stock_server_runs(version_dir):
    functions, nodes = graph_of(version_dir)
    operations = {node.op for node in nodes} - {f.signature.name for f in functions}
    assert not operations & FORBIDDEN
    known = tf.raw_ops.__dict__
    assert all(op in known or op.startswith("_") for op in operations), "a custom op"
    marks = {"_XlaMustCompile", "_xla_compile_id"}
    for holder in [*nodes, *functions]:
        for mark in marks & set(holder.attr):
            assert not holder.attr[mark].b, f"{mark} on {holder}"
    floats = {d for node in nodes for d in node.attr["T"].list.type or [node.attr["T"].type]}
    assert not floats & {tf.bfloat16.as_datatype_enum, tf.float16.as_datatype_enum}


def test_variables_are_the_averages_alone(version_dir, model):
    names = tf.train.list_variables(os.path.join(version_dir, "variables", "variables"))
    numbers = sum(int(np.prod(shape)) for name, shape in names if "_CHECKPOINTABLE" not in name)
    served = model.average.encoder.weights + model.average.decoder.weights
    linear = (16 + 8 * 4 * 4 + 1) * 10  # the classifier on z_2 and z_1 pooled to 4x4
    assert numbers == sum(int(np.prod(v.shape)) for v in served) + linear


def test_warm_up_has_every_signature_at_every_batch(version_dir):
    path = os.path.join(version_dir, warmup.PATH)
    seen = set()
    for record in tf.data.TFRecordDataset(path):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        if log.HasField("classify_log"):
            request = log.classify_log.request
            batch = len(request.input.example_list.examples)
        else:
            request = log.predict_log.request
            (value,) = request.inputs.values()
            batch = value.tensor_shape.dim[0].size
            assert not tf.make_ndarray(value).any()
            assert len(record.numpy()) < 200  # zeros are not written one by one
        seen.add((request.model_spec.signature_name, batch))
    names = (
        "encode serving_default decode decode_1 decode_latents reconstruct sample classify "
        "classify_examples"
    ).split()
    assert seen == {(name, batch) for name in names for batch in warmup.BATCH_SIZES}


def test_model_card(version_dir):
    card = json.loads(pathlib.Path(version_dir, "assets.extra", "model_card.json").read_text())
    assert card["config"]["data"] == "digits" and card["levels"] == 2
    assert card["signatures"]["decode"] == {
        "inputs": {"z_2": {"dtype": "float32", "shape": ["B", 16], "range": "any"}},
        "outputs": {"images": {"dtype": "uint8", "shape": ["B", 16, 16, 1], "range": "0 to 255"}},
    }
    assert card["training"]["packages"]["tensorflow"] == tf.__version__


def test_versions_count_up_and_are_never_overwritten(run_dir, tmp_path):
    assert export.export(run_dir, str(tmp_path)).endswith("/1")
    assert export.export(run_dir, str(tmp_path), version=5).endswith("/5")
    (tmp_path / "²").mkdir()  # a digit, but no number
    (tmp_path / f"{2**63}").mkdir()  # no server takes it
    assert version.next_version(tmp_path) == 6
    (tmp_path / "1764000000000000000").mkdir()
    assert version.next_version(tmp_path) == 1764000000000000001
    with pytest.raises(UsageError, match="--version=5.*exists"):
        export.export(run_dir, str(tmp_path), version=5)


def test_a_version_that_is_there_is_refused_before_any_work(run_dir, tmp_path, monkeypatch):
    (tmp_path / "3").mkdir()
    monkeypatch.setattr("hali_tf.exporting.classifier.of_run", None)
    with pytest.raises(UsageError, match="--version=3.*exists"):
        export.export(run_dir, str(tmp_path), version=3)


def test_a_failed_or_killed_export_leaves_nothing_to_serve(run_dir, tmp_path, monkeypatch):
    def killed(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(warmup, "write", killed)
        with pytest.raises(UserError, match="No space left"):
            export.export(run_dir, str(tmp_path))
    assert not [name for name in os.listdir(tmp_path) if name.isdigit()]
    export.export(run_dir, str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["1", "lock"], "what was left is removed"


def test_two_exports_at_once_do_not_touch_each_other(run_dir, tmp_path):
    partial = tmp_path / ".exporting-1"
    with locked(str(tmp_path)):
        partial.mkdir()
        with pytest.raises(UserError, match=rf"--export_dir={tmp_path}: process \d+ on .* works"):
            export.export(run_dir, str(tmp_path))
    assert partial.exists()


def test_data_without_labels_exports_without_classify(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", images=rng.integers(0, 256, (40, 16, 16, 1)).astype(np.uint8))
    folder = make_run(tmp_path / "run", data="npz", data_dir=str(tmp_path / "x.npz"), image_size=16)
    path = export.export(folder, str(tmp_path / "export"))
    assert "no labels" in capsys.readouterr().out
    loaded = tf.saved_model.load(path)
    assert "classify" not in loaded.signatures and "encode" in loaded.signatures


def save_npz(path, **labels):
    """An npz file of 60 training and 20 test images, and a run on it."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (80, 16, 16, 1)).astype(np.uint8)
    np.savez(path / "x.npz", x_train=images[:60], x_test=images[60:], **labels)
    return make_run(
        path / "run",
        data="npz",
        data_dir=str(path / "x.npz"),
        image_size=16,
        labels_per_class=2,
        classes=3,
    )


def test_test_images_without_labels_leave_the_accuracy_to_validation_images(tmp_path, capsys):
    folder = save_npz(tmp_path, y_train=np.arange(60) % 3)
    path = export.export(folder, str(tmp_path / "export"))
    assert "classify: validation accuracy" in capsys.readouterr().out
    card = json.loads(pathlib.Path(path, "assets.extra", "model_card.json").read_text())
    assert card["classify_test_accuracy"] is None
    assert 0 <= card["classify_validation_accuracy"] <= 1


def test_data_of_other_classes_than_the_run_learned_are_refused(tmp_path):
    folder, other = save_npz(tmp_path, y_train=np.arange(60) % 3), tmp_path / "other"
    other.mkdir()
    save_npz(other, y_train=np.arange(60) % 3, class_names=list("abcd"))
    flags = {"classify": "true", "data_dir": str(other / "x.npz")}
    with pytest.raises(UserError, match="npz: has 4 classes, and the run learned 3; name"):
        export.export(folder, str(tmp_path / "export"), **flags)
    assert not list((tmp_path / "export").glob("[0-9]*"))


def test_the_run_folder_is_enough(tmp_path, capsys):
    folder = save_npz(tmp_path, y_train=np.arange(60) % 3)
    os.rename(tmp_path / "x.npz", tmp_path / "elsewhere.npz")
    out = str(tmp_path / "export")
    path = export.export(folder, out)
    assert "no classify" in capsys.readouterr().out
    assert "classify" not in tf.saved_model.load(path).signatures
    with pytest.raises(UserError, match="x.npz: no such file"):
        export.export(folder, out, classify="true")
    path = export.export(folder, out, classify="true", data_dir=str(tmp_path / "elsewhere.npz"))
    assert "classify" in tf.saved_model.load(path).signatures
    path = export.export(folder, out, classify="false", data_dir=str(tmp_path / "elsewhere.npz"))
    assert "classify" not in tf.saved_model.load(path).signatures


def test_one_level_model_has_its_signatures(tmp_path):
    path = export.export(make_run(tmp_path / "run", model="ali"), str(tmp_path / "export"))
    names = set(tf.saved_model.load(path).signatures)
    assert names == {
        "encode",
        "serving_default",
        "decode",
        "reconstruct",
        "sample",
        "classify",
        "classify_examples",
    }


class Flat:
    """An encoder whose top latent is the image's four pixels."""

    @staticmethod
    def encode(x):
        flat = tf.reshape(tf.cast(x, tf.float32), [-1, 4])
        return [type("Q", (), {"mean": flat})]


def test_classifier_separates_what_is_separable():
    """Classes that are offsets of one latent; absent classes never win."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    images = (labels[:, None, None, None] * 80 + rng.integers(0, 20, (300, 2, 2, 1))).astype("u1")

    source = data.Source("toy", (2, 2, 1), None, ("a", "b", "c", "never seen"))
    split = data.Split(images, labels)
    fitted = classifier.fit(Flat, source, split)
    assert classifier.accuracy(Flat, fitted, split) > 0.98
    scores = fitted.scores(Flat.encode(images)).numpy()
    assert scores.shape == (300, 4) and scores[:, 3].max() < 1e-3
    attributes = np.stack([labels > 0, labels > 1, labels >= 0], axis=1).astype(np.uint8)
    source = data.Source("toy", (2, 2, 1), None, ("some", "much", "always"), multi_label=True)
    split = data.Split(images, attributes)
    fitted = classifier.fit(Flat, source, split)
    assert classifier.accuracy(Flat, fitted, split) > 0.98
    assert fitted.scores(Flat.encode(images)).numpy()[:, 2].min() > 0.999


def test_classifier_is_fitted_to_all_classes_of_a_sorted_set():
    """To a hundred of its images, though the first hundred are of one class."""
    labels = np.repeat(np.arange(3), 100)
    images = (labels[:, None, None, None] * np.full((2, 2, 1), 80)).astype(np.uint8)

    source, split = data.Source("toy", (2, 2, 1), None), data.Split(images, labels)
    fitted = classifier.fit(Flat, source, split, 100)
    assert classifier.accuracy(Flat, fitted, split) == 1
    two = data.Split(images[:200], labels[:200])
    assert classifier.accuracy(Flat, classifier.fit(Flat, source, two), two) == 1
    one_class = data.Split(images[:100], labels[:100])
    fitted = classifier.fit(Flat, source, one_class)
    assert classifier.accuracy(Flat, fitted, one_class) == 1


def test_the_command_says_what_is_wrong(run_dir, tmp_path):
    def export(run_dir, *flags):
        code, _, err = run("export", f"--run_dir={run_dir}", f"--export_dir={tmp_path}", *flags)
        return code, err.splitlines()

    code, (line,) = export(run_dir, f"--export_dir={tmp_path}/a[1]")
    assert code == 2 and "--export_dir=" in line and "choose another" in line
    code, (line,) = export("nowhere")
    assert code == 2 and "--run_dir=nowhere" in line
    (tmp_path / "empty").mkdir()
    code, lines = export(tmp_path / "empty")
    assert code == 1 and "config.json" in lines[-1] and "Traceback" not in " ".join(lines)
    code, lines = export(run_dir, "--checkpoint=best")
    assert code == 1 and "best: no checkpoint" in lines[-1]
