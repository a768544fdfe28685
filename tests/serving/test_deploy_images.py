"""The images of the deployment files: one tag everywhere, and how the README pins them."""

import re
import shutil
import subprocess

import pytest
import yaml

from tests.serving.test_deploy import DEPLOY, only

DIGEST = "0123456789abcdef" * 4


def image_of(compose_file):
    return yaml.safe_load((DEPLOY / compose_file).read_text())["services"]["serving"]["image"]


def test_the_image_is_pinned_to_one_tag_everywhere():
    deployment = only("base/deployment.yaml", "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    kustomization = only("gpu/kustomization.yaml", "Kustomization")
    name, tag = container["image"].split(":")
    assert name == "tensorflow/serving" and re.fullmatch(r"\d+\.\d+\.\d+", tag)
    assert image_of("compose.yaml") == container["image"]
    assert image_of("compose.gpu.yaml") == f"{name}:{tag}-gpu"
    assert kustomization["images"] == [{"name": name, "newTag": f"{tag}-gpu"}]
    readme = (DEPLOY.parent / "README.md").read_text()
    assert set(re.findall(r"tensorflow/serving:([\w.-]+)", readme)) <= {tag, f"{tag}-gpu"}


def pinned(resource):
    """The text of the README's YAML block that names a resource, with a digest."""
    readme = (DEPLOY.parent / "README.md").read_text()
    (block,) = [b for b in re.findall(r"```yaml\n(.*?)```", readme, re.S) if resource in b]
    assert yaml.safe_load(block)
    return block.replace("DIGEST", DIGEST)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", ["base", "gpu", "tls"])
def test_the_readme_pins_the_image_of_kubernetes(overlay, tmp_path):
    tree = tmp_path / "deploy"
    shutil.copytree(DEPLOY, tree)
    (tree / "tls/ssl.config").write_text("")
    (tree / "pinned").mkdir()
    (tree / "pinned/kustomization.yaml").write_text(pinned("../base").replace("base", overlay))
    done = subprocess.run(["kubectl", "kustomize", tree / "pinned"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    images = re.findall(r"image: (\S+)", done.stdout)
    assert len(images) == 1
    assert re.fullmatch(f"tensorflow/serving(:[^@]*)?@sha256:{DIGEST}", images[0])


def test_the_readme_pins_the_image_of_compose():
    image = yaml.safe_load(pinned("serving:\n"))["services"]["serving"]["image"]
    assert image == f"{image_of('compose.yaml').split(':')[0]}@sha256:{DIGEST}"
