"""LPIPS with few random feature maps against a reference in NumPy."""

import pickle

import numpy as np
import pytest
from scipy.signal import correlate

from hali_tf.errors import UserError
from hali_tf.measures import lpips

_MAPS = (2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6)
_LAST = (1, 3, 6, 9, 12)  # convolutions before a pooling


@pytest.fixture(name="weights", scope="module")
def _weights():
    rng = np.random.default_rng(0)

    def array(*shape):
        return rng.normal(size=shape).astype(np.float32)

    network = {
        f"Conv_{i}": {"kernel": array(3, 3, before, maps), "bias": array(maps)}
        for i, (before, maps) in enumerate(zip((3, *_MAPS), _MAPS))
    }
    heads = {
        f"NetLinLayer_{i}": {"Conv_0": {"kernel": abs(array(1, 1, _MAPS[last], 1))}}
        for i, last in enumerate(_LAST)
    }
    return {"VGG16_0": network, **heads}


@pytest.fixture(name="path", scope="module")
def _path(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("lpips") / "vgg16.ckpt"
    path.write_bytes(pickle.dumps(weights, protocol=3))
    return str(path)


def _features(weights, image):
    """After the second, fourth, seventh, tenth and thirteenth convolution, of [H, W, 3]."""
    x = image / 127.5 - 1
    x = (x - np.array([-0.030, -0.088, -0.188])) / np.array([0.458, 0.448, 0.450])
    found = []
    for i, maps in enumerate(_MAPS):
        if i - 1 in _LAST:
            h, w, c = x.shape
            x = x.reshape(h // 2, 2, w // 2, 2, c).max(axis=(1, 3))
        kernel, bias = weights["VGG16_0"][f"Conv_{i}"].values()
        padded = np.pad(x, [(1, 1), (1, 1), (0, 0)])
        planes = [correlate(padded, kernel[..., m], "valid")[..., 0] + bias[m] for m in range(maps)]
        x = np.maximum(np.stack(planes, axis=-1), 0)
        if i in _LAST:
            found.append(x / (np.sqrt((x**2).sum(axis=-1, keepdims=True)) + 1e-10))
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_distance_equals_the_reference(weights, path, channels):
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 3, 16, 32, channels), dtype=np.uint8)
    heads = [weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"][0, 0, :, 0] for i in range(5)]
    expected = []
    for pair in zip(a, b):
        p, q = (_features(weights, np.broadcast_to(image, (16, 32, 3))) for image in pair)
        expected.append(sum((((u - v) ** 2) @ h).mean() for u, v, h in zip(p, q, heads)))
    np.testing.assert_allclose(lpips.load(path)(a, b), expected, rtol=1e-4)
    np.testing.assert_array_equal(lpips.load(path)(a, a), 0)


def test_other_files_are_refused_in_one_line_and_run_nothing(weights, tmp_path):
    class Call:
        def __reduce__(self):
            return (tmp_path.joinpath("called").write_text, ("",))

    short = {**weights, "NetLinLayer_4": {}}
    narrow = {**weights, "NetLinLayer_4": weights["NetLinLayer_0"]}
    for name, content in {
        "text": b"no pickle",
        "empty": b"",
        "short": pickle.dumps(short),
        "narrow": pickle.dumps(narrow),
        "call": pickle.dumps({**weights, "more": Call()}),
    }.items():
        (tmp_path / name).write_bytes(content)
    for name in ("text", "empty", "short", "narrow", "call", "none"):
        with pytest.raises(UserError, match=f"--lpips_weights=.*{name}: expected") as error:
            lpips.load(str(tmp_path / name))
        assert "\n" not in str(error.value)
    assert not (tmp_path / "called").exists()
