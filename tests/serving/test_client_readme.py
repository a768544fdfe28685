"""The Python examples of serving/README.md run against the embedded server."""

import pathlib
import re

from serving.embedded.server import one_model

README = pathlib.Path(__file__).parents[2] / "serving" / "README.md"


def test_the_python_examples_run(embed, toy_base, capsys):
    server = embed(one_model("hali", toy_base))
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= 2
    names = {}
    for example in examples:
        assert "localhost:8500" in example
        exec(example.replace("localhost:8500", server.grpc), names)
    assert names["again"].shape == names["rough"].shape == names["images"].shape
    assert [r.shape for r in names["one_of_each"]] == [names["images"].shape] * 2
    assert len(names["pictures"]) == 16
    printed = capsys.readouterr().out
    assert printed.startswith("INVALID_ARGUMENT encode: images must be uint8 [B, ")
