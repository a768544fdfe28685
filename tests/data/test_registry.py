"""The door: what no source should have to check again."""

import dataclasses

import pytest

from hali_tf.data import open_source
from hali_tf.errors import UsageError, UserError


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(UsageError, match="--data=digit:.*digits, celeba, folder, npz, mnist"):
        open_source("digit")


@pytest.mark.parametrize(
    "arguments, message", [({"image_size": -1}, "--image_size=-1"), ({"channels": 2}, "channels=2")]
)
def test_numbers_out_of_range(arguments, message):
    with pytest.raises(UsageError, match=message):
        open_source("digits", **arguments)


def test_a_split_by_another_name_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="train, validation, test; received 'val'"):
        open_source("digits").load("val")


def test_a_folder_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(UserError, match="cannot be read .Permission denied") as caught:
        open_source("folder", str(tmp_path), image_size=8)
    assert str(tmp_path) in str(caught.value)


def test_a_tilde_means_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=str(tmp_path)):
        open_source("folder", "~/pictures", image_size=8)


@pytest.mark.parametrize("flag", ["data_dir", "cache_dir"])
def test_a_tilde_of_nobody_is_named(flag):
    with pytest.raises(UsageError, match=f"--{flag}=~nobody_here/x.*no home folder for ~"):
        open_source("digits", **{flag: "~nobody_here/x"})


def test_images_that_cannot_be_read_later_are_of_the_data():
    """And not of the folder that a command writes into."""
    source = open_source("digits")

    def fail(_):
        raise OSError(5, "Input/output error")

    with pytest.raises(UserError, match="^--data=digits: its test images .*Input/output error"):
        dataclasses.replace(source, loader=fail).load("test")
