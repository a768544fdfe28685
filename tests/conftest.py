"""Fixtures that several tests share."""

import contextlib
import ipaddress
import os
import pathlib
import socket

import pytest

# Tests start commands while gRPC's threads run. Python 3.9 forks for them, and gRPC's handlers of
# forks can then abort the child before it becomes the command.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"  # or Gradio's client, which tests call, asks another host

import hali_tf  # noqa: F401  (quiet TensorFlow logs, before any test imports TensorFlow)

import keras  # isort: skip
import tensorflow as tf  # isort: skip
from absl import logging  # isort: skip

# For tests of replicas; here, before anything that a test module imports starts the devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def seeded():
    """Layers that a test makes without a seed begin with the same weights in every run."""
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """No test needs another host: one that asks for it fails. Child processes are not held back."""
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connect_here(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _require_loopback(address[0])
        return connect(self, address)

    def resolve_here(host, *arguments, **options):
        _require_loopback(host)
        return resolve(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        patch.setattr(socket, "getaddrinfo", resolve_here)
        yield


def _require_loopback(host):
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name)
        if address.is_loopback or address.is_unspecified:
            return
    raise NetworkNeeded(f"a test asked for the host {name}; tests need no network")


class NetworkNeeded(BaseException):
    """Not an Exception, so that no code under test takes it for a host that is away."""


@pytest.fixture
def said(caplog):
    """Function: what was said as a warning."""
    logging.get_absl_logger().addHandler(caplog.handler)
    yield lambda: caplog.text
    logging.get_absl_logger().removeHandler(caplog.handler)


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real image sets beside the checkout, where a developer has one."""
    root = pathlib.Path(os.environ.get("HALI_TF_TEST_DATA", "../shared/data"))
    if not (root / "mnist").is_dir():
        pytest.skip("real image sets are not at hand (HALI_TF_TEST_DATA names their folder)")
    return root.resolve()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folder of a small attribute classifier."""
    from hali_tf.attributes import training
    from tests.attributes.faces import ENCODER, config_of, faces

    folder = tmp_path_factory.mktemp("classifier") / "out"
    training.train(config_of(folder), faces(), ENCODER)
    return folder
