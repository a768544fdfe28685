"""What a start of training or encoding imports: nothing that it does not use."""

import subprocess
import sys

import pytest

# What main() imports, and the data of a first step.
_TRAIN = """
from hali_tf import data, train
from hali_tf.measures import labels, reconstruction
from hali_tf.runs import lock, reopening, run_folder
from hali_tf.training import callbacks, cluster, devices, fit, memory
data.open_source("digits").load("train")
"""
_ENCODE = """
from hali_tf import data, encode
from hali_tf.bulk import images, running, tasks
data.open_source("digits").load("test")
"""
_USED = {"hali_tf", "keras", "PIL", "tqdm"}
# TensorBoard's plug-ins write what it shows of a run, and import the other two.
_TENSORBOARD = {"tensorboard", "google", "fsspec"}


@pytest.mark.skipif(sys.version_info < (3, 10), reason="the standard library is not listed")
@pytest.mark.parametrize("start, used", [(_TRAIN, _USED | _TENSORBOARD), (_ENCODE, _USED)])
def test_a_start_imports_no_library_that_it_does_not_use(start, used):
    code = f"""
import sys
import hali_tf
from hali_tf import command
command.import_tensorflow()
before = set(sys.modules)
{start}
names = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(*names - set(sys.stdlib_module_names))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "hali_tf" in imported
    assert imported <= used
