"""`python -m serving.client`: pictures and numbers in and out, errors in one line."""

import errno
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from hali_tf.data import crops, folder, images
from serving.client import command as client_command
from serving.client import files, pictures
from tests.pictures import AWKWARD, encoded, noise
from tests.serving.fake_serving import IMAGE, SIGNATURES


def grey_picture(path, level=100, size=(40, 30), mode="L", **options):
    Image.new("L", size, level).convert(mode).save(path, **options)
    return str(path)


@pytest.fixture
def run(target, capsys):
    """Runs the command in this process; returns (exit status, stdout, stderr)."""

    def command(*arguments):
        status = client_command.main([*arguments, f"--target={target}"])
        return (status, *capsys.readouterr())

    return command


def test_encode_then_decode(run, tmp_path):
    for name, level in (("b.png", 20), ("a.jpg", 10)):
        grey_picture(tmp_path / name, level)
    (tmp_path / "notes.txt").write_text("not a picture")
    latents = tmp_path / "latents.json"
    assert run("encode", f"--image={tmp_path}", f"--out={latents}") == (0, "", "")
    table = json.loads(latents.read_text())
    assert table["files"] == ["a.jpg", "b.png"]
    assert np.shape(table["z_1_stddev"]) == (2, 2, 2, 4)
    assert np.array(table["z_2"])[:, 0].tolist() == [12, 22]  # the fake adds 2 to z_2

    out = tmp_path / "decoded.npy"
    assert run("decode", f"--latents={latents}", f"--out={out}")[0] == 0
    assert np.load(out)[:, 0, 0, 0].tolist() == [12, 22]
    grid = tmp_path / "decoded.png"
    assert run("decode", f"--latents={latents}", "--level=1", f"--out={grid}")[0] == 0
    assert np.asarray(Image.open(grid)).shape == (IMAGE[0], 2 * IMAGE[1] + 2, 3)


def test_latents_come_as_npz_npy_and_bare_json(run, tmp_path):
    picture = grey_picture(tmp_path / "a.png", 10)
    out = tmp_path / "out.npy"
    assert run("encode", f"--image={picture}", f"--out={tmp_path / 'latents.npz'}")[0] == 0
    z = np.load(tmp_path / "latents.npz")["z_2"]
    np.save(tmp_path / "latents.npy", z)
    (tmp_path / "latents.json").write_text(json.dumps(z.tolist()))
    for suffix in ("npz", "npy", "json"):
        assert run("decode", f"--latents={tmp_path}/latents.{suffix}", f"--out={out}")[0] == 0
        assert np.load(out)[0, 0, 0, 0] == 12


def test_reconstruct_shows_the_originals_beside_each_level(run, tmp_path):
    for name, level in (("a.png", 10), ("b.png", 20)):
        grey_picture(tmp_path / name, level)
    out = tmp_path / "grid.png"
    assert run("reconstruct", f"--image={tmp_path}", f"--out={out}") == (0, "", "")
    grid = np.asarray(Image.open(out))
    height, width, _ = IMAGE
    assert grid.shape == (2 * height + 2, 3 * width + 4, 3)
    rows, columns = [0, height + 2], [0, width + 2, 2 * width + 4]
    assert grid[rows][:, columns, 0].tolist() == [[10, 10, 11], [20, 20, 21]]
    assert grid[height].min() == 255  # a white gap

    arrays = tmp_path / "r.npz"
    assert run("reconstruct", f"--image={tmp_path / 'a.png'}", f"--out={arrays}")[0] == 0
    assert sorted(np.load(arrays)) == ["images", "reconstruction_1", "reconstruction_2"]


def test_classify_prints_json(run, tmp_path):
    status, out, _ = run("classify", f"--image={grey_picture(tmp_path / 'a.png', 10)}")
    assert status == 0
    assert json.loads(out) == {
        "files": ["a.png"],
        "classes": [["10", "10"]],
        "scores": [[11.0, 11.0]],
    }


def test_sample_by_seeds_and_by_count(run, servicer, tmp_path):
    out = tmp_path / "samples.npy"
    assert run("sample", "--seeds=7,3", f"--out={out}")[0] == 0
    assert np.load(out)[:, 0, 0, 0].tolist() == [7, 3]
    assert run("sample", "--count=5", f"--out={tmp_path / 'samples.png'}", "--label=canary")[0] == 0
    grid = np.asarray(Image.open(tmp_path / "samples.png"))
    assert grid.shape == (2 * IMAGE[0] + 2, 3 * IMAGE[1] + 4, 3)
    assert servicer.requests[-1].model_spec.version_label == "canary"


def test_metadata_of_the_command_line(run, servicer, tmp_path):
    out = f"--out={tmp_path / 'samples.npy'}"
    headers = ["--metadata=authorization=Bearer a=b", "--metadata=x-tenant=faces"]
    assert run("sample", "--count=1", out, *headers)[0] == 0
    assert servicer.headers[-1]["authorization"] == "Bearer a=b"
    assert servicer.headers[-1]["x-tenant"] == "faces"


def test_a_grey_model_gives_grey_pictures(run, servicer, tmp_path):
    servicer.signatures = {"sample": (SIGNATURES["sample"][0], {"images": (4, (6, 6, 1))})}
    assert run("sample", "--seeds=7", f"--out={tmp_path / 'one.png'}")[0] == 0
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.mode == "L"


def test_errors_are_one_line_with_status_1(run, servicer, tmp_path):
    del servicer.signatures["classify"]
    good = grey_picture(tmp_path / "a.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a JPEG")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text("{}")
    np.save(tmp_path / "short.npy", np.zeros((1, 3), np.float32))
    with open(tmp_path / "vast.npy", "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**15,)}
        np.lib.format.write_array_header_1_0(file, header)
    with zipfile.ZipFile(tmp_path / "odd.npz", "w") as file:
        file.writestr("z_2.npy", "")
    packed = bytearray((tmp_path / "odd.npz").read_bytes())
    packed[8] = packed[packed.index(b"PK\x01\x02") + 10] = 99  # a method that there is not
    (tmp_path / "odd.npz").write_bytes(packed)
    (tmp_path / "folder.png").mkdir()
    out = f"--out={tmp_path / 'out.png'}"
    for arguments, message in [
        (["classify", f"--image={good}"], "exported from data without labels"),
        (["reconstruct", f"--image={tmp_path}/no.png", out], "no.png: no such file or folder"),
        (["reconstruct", f"--image={tmp_path}/broken.jpg", out], "broken.jpg: cannot be read"),
        (["reconstruct", f"--image={tmp_path}/empty", out], "no pictures in this folder"),
        (["decode", f"--latents={tmp_path}/no.json", out], "no.json: cannot be read"),
        (["decode", f"--latents={tmp_path}/broken.json", out], "not latents as encode writes them"),
        (["decode", f"--latents={tmp_path}/other.json", out], "has no z_2"),
        (["decode", f"--latents={tmp_path}/short.npy", out], r"got float32 [1, 3]"),
        (["decode", f"--latents={tmp_path}/short.npy", "--level=5", out], "levels 1 to 2"),
        (["decode", f"--latents={tmp_path}/vast.npy", out], "not latents as encode writes them"),
        (["decode", f"--latents={tmp_path}/odd.npz", out], "not latents as encode writes them"),
        (["sample", "--count=1", out, f"--version={2**63}"], "of at most 64 bits"),
        (["sample", "--count=1", f"--out={tmp_path}/folder.png"], "folder.png: Is a directory"),
    ]:
        status, printed, error = run(*arguments)
        assert (status, printed) == (1, ""), arguments
        assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


def test_wrong_usage_has_status_2_and_sends_nothing(run, servicer, tmp_path):
    for arguments, message in [
        (["sample", "--count=4", f"--out={tmp_path}/a.jpg"], "sample writes .png or .npy"),
        (["sample", "--count=4", "--out="], "sample writes .png or .npy"),
        (["sample", "--count=0", f"--out={tmp_path}/a.png"], "--count=0"),
        (["sample", "--count=100000000000", f"--out={tmp_path}/a.png"], "from 1 to 1000000"),
        (["sample", "--count=4", f"--out={tmp_path}/no/a.png"], "there is no folder"),
        (["sample", "--count=4", f"--out={tmp_path}/a.png", "--timeout=0"], "--timeout"),
        (["sample", "--count=4", f"--out={tmp_path}/a.png", "--timeout=nan"], "--timeout"),
        (["sample", "--count=4", f"--out={tmp_path}/a.png", "--timeout=inf"], "--timeout"),
        (
            ["sample", "--count=4", f"--out={tmp_path}/a.png", "--retries=5"],
            "--retries=5: must be 0 to 4",
        ),
        (["sample", "--count=4", f"--out={tmp_path}/a.png", "--retries=-1"], "--retries"),
        (["sample", "--count=4", f"--out={tmp_path}/a.png", "--max_batch=0"], "--max_batch"),
        (["sample", "--count=4", f"--out={tmp_path}/a.png", "--cert=c.pem"], "belong together"),
    ]:
        status, _, error = run(*arguments)
        assert status == 2 and message in error and error.count("\n") == 1
    assert not servicer.requests


def test_every_flag_of_the_server_reaches_the_client(monkeypatch):
    received = {}

    def client(target, model, **options):
        received.update(target=target, model=model, **options)

    monkeypatch.setattr(client_command, "HaliClient", client)
    arguments = client_command._parser().parse_args(
        ["sample", "--count=1", "--out=a.png", "--target=a:1", "--model=m", "--label=stable"]
        + ["--timeout=7", "--retries=3", "--metadata=k=v", "--tls", "--ca=ca.pem", "--cert=c.pem"]
        + ["--key=k.pem", "--max_batch=5"]
    )
    client_command._client_of(arguments)
    assert received == {
        "target": "a:1",
        "model": "m",
        "version": None,
        "label": "stable",
        "timeout": 7,
        "retries": 3,
        "metadata": {"k": "v"},
        "tls": True,
        "ca_file": "ca.pem",
        "cert_file": "c.pem",
        "key_file": "k.pem",
        "max_batch": 5,
    }


def test_celebas_crop_is_that_of_the_flag(tmp_path):
    path = tmp_path / "a.png"
    noise(218, 178, 3).save(path)
    for celeba in (False, True):
        _, (image,) = pictures.load(str(path), (16, 16, 3), celeba)
        expected = pictures.decode(path.read_bytes(), (16, 16, 3), celeba)
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["sample", "--out=a.png"], "one of the arguments --seeds --count is required"),
        (["sample", "--seeds=1,x", "--out=a.png"], "64-bit whole numbers with commas"),
        (["sample", f"--seeds={2**63}", "--out=a.png"], "64-bit whole numbers with commas"),
        (["sample", "--count=1", "--out=a.png", "--version=1", "--label=x"], "not allowed with"),
        (["reconstruct", "--image=a.png"], "required: --out"),
        (["sample", "--count=1", "--out=a.png", "--metadata=token"], "KEY=VALUE"),
        (["paint"], "invalid choice"),
    ],
)
def test_flags_that_argparse_refuses(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        client_command.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_fresh_process_answers_quietly(servicer, target, tmp_path):
    command = [
        sys.executable,
        "-m",
        "serving.client",
        "sample",
        "--seeds=1",
        f"--target={target}",
        f"--out={tmp_path / 'one.png'}",
    ]
    bare = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=bare)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size == (IMAGE[1], IMAGE[0])


def test_help_teaches(capsys):
    for arguments, words in [
        (["--help"], ["examples:", "reconstruct --image=photos/", "Exit status"]),
        (["decode", "--help"], ["--latents", "--level", "FILE.png", "--target", "default"]),
    ]:
        with pytest.raises(SystemExit) as caught:
            client_command.main(arguments)
        assert caught.value.code == 0
        text = capsys.readouterr().out
        assert all(word in text for word in words)


# Pictures.


def test_exif_orientation_is_applied(tmp_path):
    picture = Image.new("RGB", (20, 10), "white")
    picture.paste("black", (0, 0, 10, 10))  # left half black
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise: the left half is on top
    picture.save(tmp_path / "turned.png", exif=exif)
    _, images = pictures.load(str(tmp_path / "turned.png"), (20, 10, 3))
    assert images[0, :8].max() < 30 and images[0, 12:].min() > 225


@pytest.mark.parametrize(
    "mode, suffix",
    [
        ("L", "png"),
        ("1", "png"),
        ("P", "png"),
        ("RGB", "jpg"),
        ("CMYK", "jpg"),
        ("I;16", "png"),
    ],
)
def test_modes(tmp_path, mode, suffix):
    path = tmp_path / f"picture.{suffix}"
    if mode == "I;16":
        Image.fromarray(np.full((30, 40), 200 * 257, np.uint16)).save(path)
    else:
        Image.new("RGB", (40, 30), (200, 200, 200)).convert(mode).save(path)
    for channels in (1, 3):
        _, images = pictures.load(str(path), (6, 8, channels))
        assert images.shape == (1, 6, 8, channels) and images.dtype == np.uint8
        tolerance = 60 if mode == "1" else 4  # black and white are dithered
        assert abs(images.astype(float).mean() - 200) < tolerance


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_shows_white(tmp_path, mode):
    picture = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    picture.paste((10, 10, 10, 255), (0, 0, 4, 8))
    picture.convert(mode).save(tmp_path / "glass.png")
    _, images = pictures.load(str(tmp_path / "glass.png"), (8, 8, 3))
    assert images[0, :, :3].max() < 30 and images[0, :, 5:].min() > 240


def test_the_centre_is_kept(tmp_path):
    picture = Image.new("RGB", (300, 100), "black")
    picture.paste("white", (100, 0, 200, 100))
    picture.save(tmp_path / "wide.png")
    _, images = pictures.load(str(tmp_path / "wide.png"), (10, 10, 3))
    assert images.min() > 200


def test_a_picture_bomb_is_refused_in_one_line(tmp_path):
    for side in (9000, 20_000):  # Pillow refuses the second itself
        Image.new("1", (side, side)).save(tmp_path / "huge.png")
        with pytest.raises(pictures.PictureError, match="huge.png: .*pixels") as caught:
            pictures.load(str(tmp_path / "huge.png"), IMAGE)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("celeba", [False, True])
def test_pictures_are_those_of_training(celeba):
    crop = crops.crop_of_any("celeba" if celeba else "folder")
    face = {"aligned face": encoded(noise(218, 178, 3))}
    for name, data in {**AWKWARD, **face}.items():
        for size, channels in ((16, 3), (32, 1), (64, 3)):
            ours = pictures.decode(data, (size, size, channels), celeba)
            trained_on = images.decode(data, size, channels, crop)
            np.testing.assert_array_equal(ours, trained_on, err_msg=name)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(pictures.PictureError, match="pipe.png: not a file"):
        pictures.load(str(tmp_path), IMAGE)


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = tmp_path / "kept.json"
    path.write_text("old")

    def save(file):
        file.write(b"half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        pictures.write(str(path), save)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["kept.json"]
    mask = os.umask(0o022)
    try:
        pictures.write(str(path), lambda file: file.write(b"new"))
    finally:
        os.umask(mask)
    assert path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (OSError("64 requested and 0 written"), "64 requested and 0 written"),  # as NumPy's own
    ],
)
def test_a_full_disk_is_told_with_the_file(run, tmp_path, monkeypatch, error, words):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(np.lib.format, "write_array", full)
    picture, out = grey_picture(tmp_path / "a.png"), tmp_path / "latents.npz"
    status, _, err = run("encode", f"--image={picture}", f"--out={out}")
    assert (status, err) == (1, f"error: {out}: {words}\n")


def test_images_in_another_order_are_written_as_they_are(tmp_path):
    images = np.asfortranarray(np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3))
    files.write_images(str(tmp_path / "images.npy"), images)
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), images)


def test_a_folder_of_all_formats_that_are_read(tmp_path):
    names = [f"{number}{suffix}" for number, suffix in enumerate(sorted(pictures.SUFFIXES))]
    for name in names:
        Image.new("L", (8, 8)).save(tmp_path / name)
    found, images = pictures.load(str(tmp_path), (8, 8, 1))
    assert found == sorted(names) and images.shape == (len(names), 8, 8, 1)
    assert set(pictures.SUFFIXES) == set(folder._ENDINGS)  # those of training
