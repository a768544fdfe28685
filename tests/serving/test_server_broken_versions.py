"""Versions that do not load, and warm-up."""

import os
import pathlib
import shutil
import time

import pytest
import tensorflow as tf
from grpc import StatusCode
from tensorflow_serving.apis import prediction_log_pb2

from hali_tf.errors import UserError
from serving.embedded.server import EmbeddedServer, ServerOptions, one_model
from tests.serving import toy_models as toy
from tests.serving.serving_calls import fails, wait_for


def test_half_written_version_never_loads(embed, tmp_path):
    """Other names, no saved_model.pb, no numbers: nothing that could be picked up."""
    base = tmp_path / "base"
    base.mkdir()
    toy.save(str(base), 1)
    server = embed(base)
    whole = toy.save(str(tmp_path), 2)
    shutil.copytree(whole, base / "2.tmp")
    shutil.copytree(whole, base / "-3")
    (base / "4" / "variables").mkdir(parents=True)
    (base / "5").write_text("a file")
    (base / "99999999999999999999").mkdir()
    shutil.copy(os.path.join(whole, "saved_model.pb"), base / "99999999999999999999")
    toy.save(str(base), 6)  # what it loads says that it has looked
    wait_for(lambda: toy.ask(server) == 6)
    assert set(server.status()) == {1, 6}


def truncate_variables(path):
    data = next(path.glob("variables/variables.data*"))
    os.truncate(data, data.stat().st_size // 2)


def truncate_graph(path):
    os.truncate(path / "saved_model.pb", (path / "saved_model.pb").stat().st_size // 2)


def empty_graph(path):
    os.truncate(path / "saved_model.pb", 0)


def garbled_warmup(path):
    (path / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no records" * 10)


@pytest.mark.parametrize(
    "breakage",
    [truncate_variables, toy.drop_variables, truncate_graph, empty_graph, garbled_warmup],
)
def test_broken_version_is_reported_and_the_old_one_serves(embed, tmp_path, caplog, breakage):
    toy.save(str(tmp_path), 1)
    server = embed(tmp_path)
    whole = toy.save(str(tmp_path / ".."), 2)
    beside = pathlib.Path(whole)
    breakage(beside)
    os.rename(beside, tmp_path / "2")
    wait_for(lambda: server.status().get(2, ("",))[0] == "END")
    state, code, message = server.status()[2]
    assert code != 0 and message
    assert "toy version 2 could not be loaded (attempt 2 of 2, given up)" in caplog.text
    assert toy.ask(server) == 1
    with fails(StatusCode.NOT_FOUND, "Servable not found for request: Specific(toy, 2)"):
        toy.ask(server, version=2)
    time.sleep(0.3)
    assert caplog.text.count("toy version 2 could not be loaded") == 2  # tries are bounded
    shutil.rmtree(tmp_path / "2")
    toy.save(str(tmp_path), 3)
    wait_for(lambda: toy.ask(server) == 3)


def test_repaired_within_the_retries(embed, tmp_path):
    toy.save(str(tmp_path), 1)
    server = embed(tmp_path, max_num_load_retries=200)
    whole = toy.save(str(tmp_path / ".."), 2)
    shutil.copytree(whole, tmp_path / "2", ignore=shutil.ignore_patterns("variables"))
    wait_for(lambda: server.status().get(2, ("", 0))[1] != 0)
    shutil.copytree(os.path.join(whole, "variables"), tmp_path / "2" / "variables")
    shutil.rmtree(whole)
    wait_for(lambda: toy.ask(server) == 2)
    assert server.status()[2] == ("AVAILABLE", 0, "")


def failing_warmup():
    logs = toy.warmup_logs()
    logs[1].classify_log.request.model_spec.signature_name = "nope"
    return logs


@pytest.mark.parametrize(
    "logs, code", [(failing_warmup(), 3), ([prediction_log_pb2.PredictionLog()], 12)]
)
def test_failing_warmup_fails_the_load(embed, tmp_path, logs, code):
    toy.save(str(tmp_path), 1)
    server = embed(tmp_path)
    toy.save(str(tmp_path), 2, warmup=logs)
    wait_for(lambda: server.status().get(2, ("",))[0] == "END")
    assert server.status()[2][1] == code
    assert toy.ask(server) == 1


def test_warmup_can_be_turned_off(embed, tmp_path):
    toy.save(str(tmp_path), 1, warmup=failing_warmup())
    assert toy.ask(embed(tmp_path, enable_model_warmup=False)) == 1


def test_python_in_the_graph_is_refused(tmp_path):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, x):
            return {"y": tf.numpy_function(lambda a: a, [x], tf.float32)}

    module = Module()
    signatures = {"serving_default": module.__call__}
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=signatures)
    options = ServerOptions(one_model("toy", tmp_path), port=0, max_num_load_retries=0)
    with pytest.raises(UserError, match="Op type not registered 'PyFunc'"):
        EmbeddedServer(options).start()


def test_compiled_function_is_refused(tmp_path):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)], jit_compile=True)
        def __call__(self, x):
            return {"y": x * 2.0}

    module = Module()
    signatures = {"serving_default": module.__call__}
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=signatures)
    options = ServerOptions(one_model("toy", tmp_path), port=0, max_num_load_retries=0)
    with pytest.raises(UserError, match="XLA compilation disabled"):
        EmbeddedServer(options).start()
