"""The emulator's image, built and run by a real engine: the SDK runs in it against an emulator of its own, without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import Engine

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
IMAGE = "bankmlops-test-emulator:latest"
SCRIPT = """
import json, os
from pathlib import Path
import pandas as pd
from azureml.core import Dataset, Experiment, Model, Workspace
ws = Workspace.from_config()
run = Experiment(ws, "in-a-container").start_logging(snapshot_directory=None)
run.log("accuracy", 0.9)
run.complete()
frame = pd.DataFrame({"a": [1, 2], "y": ["no", "yes"]})
dataset = Dataset.Tabular.register_pandas_dataframe(frame, (ws.get_default_datastore(), "t"), "table", show_progress=False)
Path("/tmp/model.txt").write_text("a model")
os.chdir("/tmp")
model = Model.register(ws, "model.txt", "plain")
print(json.dumps([run.get_metrics(), len(dataset.to_pandas_dataframe()), model.version, os.getuid()]))
"""


@pytest.fixture(scope="module")
def emulator_image(engine: Engine, base: str) -> Iterator[str]:
    """The image, built anew."""
    yield engine.script(ROOT / "docker" / "build-emulator-image", base, IMAGE).splitlines()[-1]
    engine("rmi", "--force", IMAGE)


def test_a_script_runs_in_the_image(engine: Engine, emulator_image: str, tmp_path: Path) -> None:
    """A script of the SDK runs as a user without rights, with no network at all, and its exit code is the container's."""
    (tmp_path / "script.py").write_text(SCRIPT)
    tmp_path.chmod(0o755)
    options = ("--rm", "--network=none", "--cap-drop=ALL", "--memory=2g", "--volume", f"{tmp_path}:/project:ro")
    config = ("sh", "-c", 'cd /tmp && bankmlops emulator config > config.json && python "$OLDPWD/script.py"')
    said = engine("run", *options, emulator_image, *config)
    assert json.loads(said.splitlines()[-1]) == [{"accuracy": 0.9}, 2, 1, 10001]
    with pytest.raises(AssertionError):
        engine("run", *options, emulator_image, "sh", "-c", "exit 3")
