"""The real process: its log, its flags, its drain."""

import os
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from absl import flags as absl_flags
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hali_tf.errors import UsageError
from serving.embedded.configuration import options_of
from serving.embedded.flags import define_flags
from serving.embedded.protos import SSLConfig
from tests.serving import toy_models as toy
from tests.serving.serving_calls import Target, free_port, wait_for

COMMAND = [sys.executable, "-m", "serving.server"]


def run(*flags):
    """(exit code, stderr) of a server that is expected to give up."""
    done = subprocess.run([*COMMAND, *flags], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def options(*arguments):
    """The ServerOptions of a command line."""
    values = absl_flags.FlagValues()
    define_flags(values)
    values(["server", *arguments])
    return options_of(values)


def listens(port):
    with socket.socket() as sock:
        return sock.connect_ex(("localhost", port)) == 0


def test_serves_and_drains(tmp_path):
    """SIGTERM: the call in flight is answered, new ones are refused, exit code 0."""
    gate = tmp_path / "gate"
    toy.save(str(tmp_path), 1, gate=str(gate), warmup=())
    ports = free_port(), free_port()
    process = subprocess.Popen(
        [
            *COMMAND,
            f"--model_base_path={tmp_path}",
            "--model_name=toy",
            f"--port={ports[0]}",
            f"--rest_api_port={ports[1]}",
            "--enable_batching=true",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        first = process.stderr.readline()
        assert "embedded server, for development" in first and "TF-Serving" in first
        rest_of_log = []
        reader = threading.Thread(target=lambda: rest_of_log.extend(process.stderr))
        reader.start()
        server = Target(f"localhost:{ports[0]}", f"http://localhost:{ports[1]}")
        health = health_pb2_grpc.HealthStub(server.channel)
        request = health_pb2.HealthCheckRequest()
        wait_for(lambda: health.Check(request, wait_for_ready=True, timeout=60).status == 1)
        # A second process finds the port taken, and says so in one line.
        code, text = run(f"--model_base_path={tmp_path}", f"--port={ports[0]}")
        assert code == 1
        assert text.splitlines()[1:] == [
            f"hali_tf: --port={ports[0]}: cannot listen there (Address already in use); "
            "name another port"
        ]
        answers = []
        x = {"x": np.zeros((1, 4), np.float32)}
        caller = threading.Thread(target=lambda: answers.append(server.predict(x, "slow")))
        caller.start()
        wait_for(lambda: os.path.exists(toy.reached(gate)))
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: not listens(ports[0]))
        assert not answers
        gate.touch()
        assert process.wait(60) == 0
        caller.join(10)
        assert answers[0]["y"].tolist() == [[1, 1, 1, 1]]
        reader.join(10)
        assert any("draining" in line for line in rest_of_log)
        assert not any("Traceback" in line for line in rest_of_log)
    finally:
        process.kill()
        process.stderr.close()


def test_no_version_that_loads(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"broken")
    code, text = run(
        f"--model_base_path={tmp_path}", f"--port={free_port()}", "--max_num_load_retries=0"
    )
    assert code == 1
    assert text.splitlines()[-1].startswith(
        "hali_tf: Failed to start server. Error: 1 servable(s) did not become available: {default:"
    )
    assert "Traceback" not in text


def test_unknown_flag():
    code, text = run("--modle_name=x")
    assert code == 2
    assert text.startswith("hali_tf: Unknown command line flag 'modle_name'")
    assert len(text.splitlines()) == 1


def test_help_lists_the_flags():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert (
        "--model_base_path: folder whose" in done.stdout and "--[no]enable_batching" in done.stdout
    )


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "--model_base_path is required"),
        (["--model_base_path=/does/not/exist"], "--model_base_path=/does/not/exist: there is no"),
        (["--port=x"], "flag --port=x: invalid"),
        (["--port=70000"], "flag --port=70000: 70000 is not an integer in the range [0, 65535]"),
        (["--port=0"], "both 0"),
        (["--port=8500", "--rest_api_port=8500"], "name different ones"),
        (["--enable_batching=maybe"], "--enable_batching=maybe"),
        (["--batching_parameters_file=x"], "without --enable_batching"),
        (["--enable_batching", "--batching_parameters_file=/nope"], "/nope: cannot be read"),
        (["--model_config_file=/nope"], "--model_config_file=/nope: cannot be read"),
        (["--model_base_path=/tmp", "--monitoring_config_file=/nope"], "/nope: cannot be read"),
        (["--model_base_path=/tmp", "--ssl_config_file=/nope"], "/nope: cannot be read"),
        (["--max_num_load_retries=-1"], "--max_num_load_retries"),
    ],
)
def test_flags_that_cannot_work(flags, message):
    with pytest.raises((UsageError, absl_flags.Error)) as caught:
        options(*flags)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("model_config_list {", "not a text ModelServerConfig"),
        ("", "model_config_list has no config"),
        (
            'model_config_list { config { name: "m" base_path: "x" '
            'model_platform: "tensorflow" } }',
            "to have an absolute path",
        ),
        ('model_config_list { config { name: "m" base_path: "/tmp" } }', "model_platform"),
        (
            'model_config_list { config { name: "m" base_path: "/no" '
            'model_platform: "tensorflow" } }',
            "is no folder",
        ),
    ],
)
def test_bad_model_config(tmp_path, text, message):
    file = tmp_path / "models.config"
    file.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        options(f"--model_config_file={file}")
    assert str(file) in str(caught.value)


def test_config_files_reach_the_options(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models.config").write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{tmp_path}/models" '
        'model_platform: "tensorflow" model_version_policy { specific { versions: 3 } } '
        'version_labels { key: "stable" value: 3 } } }'
    )
    (tmp_path / "monitoring").write_text('prometheus_config { enable: true path: "/m" }')
    (tmp_path / "batching").write_text("max_batch_size { value: 8 }")
    found = options(
        f"--model_config_file={tmp_path}/models.config",
        f"--monitoring_config_file={tmp_path}/monitoring",
        "--enable_batching",
        f"--batching_parameters_file={tmp_path}/batching",
        "--rest_api_port=8501",
        "--grpc_max_threads=3",
    )
    assert found.models.config[0].version_labels["stable"] == 3
    assert found.metrics_path == "/m"
    assert found.batching.max_batch_size == 8
    assert (found.port, found.rest_api_port, found.grpc_max_threads) == (8500, 8501, 3)
    assert found.max_num_load_retries == 5 and found.load_retry_interval_micros == 60_000_000


def test_ssl_config_needs_key_and_certificate(tmp_path):
    (tmp_path / "ssl").write_text(text_format.MessageToString(SSLConfig(server_key="k")))
    with pytest.raises(UsageError, match="needs server_key and server_cert"):
        options(f"--model_base_path={tmp_path}", f"--ssl_config_file={tmp_path}/ssl")
