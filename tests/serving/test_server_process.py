"""The real process: its log, its flags, its drain."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import types

import grpc
import numpy as np
import pytest
from absl import flags as absl_flags
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hali_tf.errors import UsageError
from serving import server as server_command
from serving.client import HaliClient, HaliClientError
from serving.embedded import configuration
from serving.embedded.configuration import options_of
from serving.embedded.flags import define_flags
from serving.embedded.protos import SSLConfig
from serving.embedded.server import EmbeddedServer, ServerOptions, one_model
from tests.serving import toy_models as toy
from tests.serving.serving_calls import Target, free_port, listens, wait_for

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


def wait_until_serving(server):
    """Waits until the server of a `Target` says that it is healthy."""
    health = health_pb2_grpc.HealthStub(server.channel)
    request = health_pb2.HealthCheckRequest()
    wait_for(lambda: health.Check(request, wait_for_ready=True, timeout=60).status == 1)


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
        wait_until_serving(server)
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


def test_clients_of_a_server_that_stops(tmp_path):
    """Whatever SIGTERM meets is answered or UNAVAILABLE, for 16 clients that never pause."""
    toy.save(str(tmp_path), 1, warmup=())
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, f"--model_base_path={tmp_path}", "--model_name=toy", f"--port={port}"],
        stderr=subprocess.DEVNULL,
    )
    counts, codes = [0] * 16, []

    def client(index):
        with HaliClient(f"localhost:{port}", "toy", timeout=60) as hali:
            try:
                while True:
                    hali.sample([index])
                    counts[index] += 1
            except HaliClientError as error:
                codes.append(error.code)

    try:
        server = Target(f"localhost:{port}", None)
        wait_until_serving(server)
        threads = [threading.Thread(target=client, args=(index,)) for index in range(16)]
        for thread in threads:
            thread.start()
        wait_for(lambda: all(count > 5 for count in counts))
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert process.wait(60) == 0
        assert codes == [grpc.StatusCode.UNAVAILABLE] * 16
    finally:
        process.kill()


@pytest.mark.parametrize("client_verify", [True, False])
def test_tls(toy_base, certificates, tmp_path, client_verify):
    """With `client_verify` nobody without a certificate; those who have one may reload."""
    texts = {name: (certificates / name).read_text() for name in ("server.key", "server.crt")}
    config = SSLConfig(
        server_key=texts["server.key"],
        server_cert=texts["server.crt"],
        custom_ca=(certificates / "ca.crt").read_text(),
        client_verify=client_verify,
    )
    file = tmp_path / "ssl.config"
    file.write_text(text_format.MessageToString(config))
    found = options(
        f"--model_base_path={toy_base}", "--model_name=toy", f"--ssl_config_file={file}"
    )
    assert found.allow_reload == client_verify
    pem = {
        "ca_file": str(certificates / "ca.crt"),
        "cert_file": str(certificates / "client.crt"),
        "key_file": str(certificates / "client.key"),
    }
    with EmbeddedServer(dataclasses.replace(found, port=0)) as embedded:
        target = f"localhost:{embedded.port}"
        with HaliClient(target, "toy", **pem) as hali:
            assert len(hali.sample([1])) == 1
        without = {"ca_file": pem["ca_file"]}  # a certificate of its own
        for other in ({}, {"tls": True}, without):
            is_welcome = other is without and not client_verify
            refusal = pytest.raises(HaliClientError, match="UNAVAILABLE")
            with HaliClient(target, "toy", retries=0, **other) as hali:
                with contextlib.nullcontext() if is_welcome else refusal:
                    assert len(hali.sample([1])) == 1


def test_reloading_needs_the_flag_where_clients_show_no_certificate(
    toy_base, certificates, tmp_path
):
    config = SSLConfig(
        server_key=(certificates / "server.key").read_text(),
        server_cert=(certificates / "server.crt").read_text(),
    )
    (tmp_path / "ssl").write_text(text_format.MessageToString(config))
    common = [f"--model_base_path={toy_base}", f"--ssl_config_file={tmp_path}/ssl"]
    assert not options(common[0]).allow_reload and not options(*common).allow_reload
    assert options(*common, "--allow_reload").allow_reload
    config.client_verify = True
    (tmp_path / "ssl").write_text(text_format.MessageToString(config))
    with pytest.raises(UsageError, match="client_verify needs custom_ca"):
        options(*common)


def test_a_configuration_file_that_is_corrected(toy_base, tmp_path, monkeypatch):
    """Neither a model without versions, nor nonsense, nor a bug holds up the correction."""
    file, empty = tmp_path / "models.config", tmp_path / "empty"
    empty.mkdir()

    def write(models):
        file.write_text("model_config_list {" + text_format.MessageToString(models) + "}")

    models = one_model("toy", toy_base)
    embedded = EmbeddedServer(ServerOptions(models, port=0, max_num_load_retries=0))
    read, bugs = configuration.read_models, [RuntimeError("a bug")]

    def read_models(path):
        if bugs:
            raise bugs.pop()
        return read(path)

    monkeypatch.setattr(configuration, "read_models", read_models)
    stop = threading.Event()
    values = types.SimpleNamespace(
        model_config_file=str(file), model_config_file_poll_wait_seconds=0.02
    )
    poll = threading.Thread(
        target=server_command._poll_config, args=(embedded, models, values, stop)
    )
    with embedded:
        write(models)
        poll.start()
        wait_for(lambda: not bugs)
        more = one_model("toy", toy_base)
        more.config.add().CopyFrom(one_model("empty", empty).config[0])
        write(more)
        wait_for(lambda: "empty" in embedded.manager.configs)
        file.write_text("nonsense {")
        more.config[1].name = "corrected"
        write(more)
        wait_for(lambda: "corrected" in embedded.manager.configs)
        stop.set()
        poll.join(30)


def test_whatever_stops_the_start_is_said():
    """An error that nobody foresaw ends the process instead of a thread."""

    class Broken:
        def wait_until_loaded(self):
            raise RuntimeError("a bug")

    stop, failures = threading.Event(), []
    server_command._start_up(Broken(), stop, failures)
    assert stop.is_set() and str(failures[0]) == "a bug"


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


def test_a_base_path_that_tensorflow_takes_for_a_pattern(tmp_path):
    (tmp_path / "run[1]").mkdir()
    with pytest.raises(UsageError, match="--model_base_path=.* has .*; rename the folder"):
        options(f"--model_base_path={tmp_path}/run[1]")


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
    assert found.host == "localhost"  # nobody else's, unless --host says so
    assert (found.port, found.rest_api_port, found.grpc_max_threads) == (8500, 8501, 3)
    assert found.refusal_seconds == 1
    assert found.max_num_load_retries == 5 and found.load_retry_interval_micros == 60_000_000


def test_ssl_config_needs_key_and_certificate(tmp_path):
    (tmp_path / "ssl").write_text(text_format.MessageToString(SSLConfig(server_key="k")))
    with pytest.raises(UsageError, match="needs server_key and server_cert"):
        options(f"--model_base_path={tmp_path}", f"--ssl_config_file={tmp_path}/ssl")


def test_a_host_that_is_none_is_not_taken_for_a_port(toy_base):
    code, text = run(
        f"--model_base_path={toy_base}", f"--host={'a' * 64}", f"--port={free_port()}"
    )  # too long for a name, so that no name server is asked
    assert code == 1
    assert f"hali_tf: --host={'a' * 64}: no address of this machine" in text


def test_a_host_of_another_machine_is_not_taken_for_a_port(toy_base):
    foreign = "192.0.2.1"  # of the addresses for documentation (RFC 5737)
    code, text = run(f"--model_base_path={toy_base}", f"--host={foreign}", f"--port={free_port()}")
    assert code == 1
    assert f"hali_tf: --host={foreign}: no address of this machine" in text


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_address_of_ipv6(toy_base):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no IPv6")
    options = ServerOptions(one_model("toy", toy_base), host="::1", port=0, rest_api_port=0)
    with EmbeddedServer(options) as embedded:
        assert toy.ask(Target(f"[::1]:{embedded.port}", None)) == 2
