"""Tests need no network."""

import socket

import pytest


@pytest.mark.parametrize("host", ["198.51.100.1", "example.org"])
def test_another_host_cannot_be_asked(host):
    with pytest.raises(BaseException, match="tests need no network"):
        socket.create_connection((host, 80), timeout=0.1)


def test_this_host_can():
    with socket.create_server(("localhost", 0)) as server:
        socket.create_connection(server.getsockname()[:2]).close()
