"""Tables by hand."""

from hali_tf.evaluation.report import markdown


def test_table():
    assert markdown.table(["", "rmse", "n"], [["z_1", 0.012345, 12], ["z_2", None, 0]]) == (
        "|  | rmse | n |\n| --- | ---: | ---: |\n| z_1 | 0.01235 | 12 |\n| z_2 | – | 0 |"
    )


def test_columns_of_words_are_aligned_to_the_left():
    rows = [["z_1", "–", "-0.1 [-0.2, 0.1]"], ["z_2", "holds", "+1"]]
    rule = markdown.table(["", "verdict", "value"], rows).splitlines()[1]
    assert rule == "| --- | --- | ---: |"
    assert markdown.table(["", "value"], []) == "|  | value |\n| --- | ---: |"


def test_names_of_the_data_are_no_markup():
    assert markdown.plain("5_o_Clock (late)") == "5_o_Clock (late)"
    assert markdown.plain("![a](b.png)") == r"!\[a\](b.png)"
    assert markdown.plain(r"*`<b>\ ") == r"\*\`\<b>\\ "


def test_a_bar_in_a_name_is_no_new_column():
    rows = markdown.table(["", "a|b"], [["x|y", 1]]).splitlines()
    assert rows[0] == r"|  | a\|b |" and rows[2] == r"| x\|y | 1 |"
