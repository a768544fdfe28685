"""Tables by hand."""

from hali_tf.evaluation.report import markdown


def test_table():
    assert markdown.table(["", "rmse", "n"], [["z_1", 0.012345, 12], ["z_2", None, 0]]) == (
        "|  | rmse | n |\n| --- | ---: | ---: |\n| z_1 | 0.01235 | 12 |\n| z_2 | – | 0 |"
    )
