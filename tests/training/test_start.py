"""What a start of training imports: nothing that it does not use."""

import subprocess
import sys

_START = """
import sys
import hali_tf
from hali_tf import command
command.import_tensorflow()
theirs = set(sys.modules)
from hali_tf import data
from hali_tf.runs import run_folder
from hali_tf.training import callbacks, devices, fit
data.open_source("digits").load("train")
print(*{name.partition(".")[0] for name in set(sys.modules) - theirs})
"""


def test_training_on_digits_imports_no_library_that_it_does_not_use():
    done = subprocess.run(
        [sys.executable, "-c", _START], capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert "hali_tf" in imported
    unused = {"sklearn", "tensorflow_datasets", "tensorflow_addons", "pyarrow"}
    assert not unused & imported
