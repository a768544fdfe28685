"""Files that are written as a whole or not at all."""

import threading

from hali_tf.files import replacing


def test_threads_that_write_one_file_at_once_do_not_disturb_each_other(tmp_path):
    path, barrier, errors = tmp_path / "picture.png", threading.Barrier(2, timeout=60), []

    def write():
        try:
            with replacing(path) as partial, open(partial, "w") as file:
                file.write("whole")
                barrier.wait()  # both are writing
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and path.read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]
