"""Which server the behaviour tests talk to.

By default they start the embedded server in this process. With TENSORFLOW_MODEL_SERVER (path of a
stock binary) they start that one; with HALI_TF_SERVING_TARGET (host:port) they use a server that
runs already and serves `toy` as `python tests/serving/toy_models.py DIR` writes it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format

from serving.embedded.server import EmbeddedServer, ServerOptions, one_model
from tests.serving import toy_models
from tests.serving.fake_serving import servicer, target  # noqa: F401  (fixtures)
from tests.serving.serving_calls import Target, free_port, target_of

tf.get_logger().setLevel("ERROR")


@pytest.fixture(scope="session")
def toy_base(tmp_path_factory):
    """Base path of `toy` with the versions 1 and 2; nobody may change it."""
    base = tmp_path_factory.mktemp("toy")
    for version in (1, 2):
        toy_models.save(str(base), version)
    return str(base)


@pytest.fixture(scope="session")
def toy_config(toy_base):
    """ModelConfigList of `toy` with all versions and the labels stable and canary."""
    models = one_model("toy", toy_base)
    models.config[0].model_version_policy.all.SetInParent()
    models.config[0].version_labels["stable"] = 1
    models.config[0].version_labels["canary"] = 2
    return models


@pytest.fixture(scope="session")
def server(request, tmp_path_factory):
    """The server under test: versions 1 (stable) and 2 (canary) of `toy`, no batching."""
    running = os.environ.get("HALI_TF_SERVING_TARGET")
    binary = os.environ.get("TENSORFLOW_MODEL_SERVER")
    if running:
        yield Target(running, None)
        return
    models = request.getfixturevalue("toy_config")
    if binary:
        with _stock_server(binary, models, tmp_path_factory.mktemp("stock")) as stock:
            yield stock
        return
    options = ServerOptions(
        models,
        port=0,
        rest_api_port=0,
        allow_version_labels_for_unavailable_models=True,
        max_examples=100_000,  # the stock server has no limit
    )
    with EmbeddedServer(options) as embedded:
        yield target_of(embedded)


@pytest.fixture(scope="session")
def rest(server):
    """The same server, where its REST port is known."""
    if not server.rest:
        pytest.skip("HALI_TF_SERVING_TARGET names the gRPC port alone")
    return server


@contextlib.contextmanager
def _stock_server(binary, models, folder):
    config = folder / "models.config"
    config.write_text("model_config_list {" + text_format.MessageToString(models) + "}")
    monitoring = folder / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    ports = free_port(), free_port()
    process = subprocess.Popen(
        [
            binary,
            f"--port={ports[0]}",
            f"--rest_api_port={ports[1]}",
            f"--model_config_file={config}",
            f"--monitoring_config_file={monitoring}",
            "--allow_version_labels_for_unavailable_models=true",
        ]
    )
    try:
        target = Target(f"localhost:{ports[0]}", f"http://localhost:{ports[1]}")
        grpc.channel_ready_future(target.channel).result(timeout=60)
        yield target
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def embed():
    """Starts embedded servers for one test: embed(base path or ModelConfigList, options)."""
    with contextlib.ExitStack() as stack:

        def start(models, **options):
            if not hasattr(models, "config"):
                models = one_model("toy", str(models))
            options = {
                "port": 0,
                "file_system_poll_wait_seconds": 0.05,
                "max_num_load_retries": 1,
                "load_retry_interval_micros": 50_000,
                "allow_reload": True,
                **options,
            }
            return target_of(stack.enter_context(EmbeddedServer(ServerOptions(models, **options))))

        yield start


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A root and two certificates that it signed, for server and client."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    new_key = ["-newkey", "rsa:2048", "-nodes"]
    openssl(
        "req",
        "-x509",
        *new_key,
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        "-subj",
        "/CN=root",
        "-days",
        "2",
    )
    for name in ("server", "client"):
        openssl(
            "req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            f"{name}.crt",
            "-days",
            "2",
            "-extfile",
            "names",
        )
    return folder
