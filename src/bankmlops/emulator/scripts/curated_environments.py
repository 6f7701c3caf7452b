"""Microsoft's curated environments. Nothing is built from an environment here, so one of any such name will do.

All have what an AutoML run's model needs; `AUTOML` is the one that a trial says it ran in.
"""

from __future__ import annotations

from bankmlops.emulator.automl.automl_files import conda_dependencies
from bankmlops.emulator.state import Document

AUTOML = "AzureML-AutoML"
VERSION = "1"
_PREFIX = "AzureML-"
_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"


def find_curated(name: str, version: str = VERSION) -> Document | None:
    """The curated environment of this name, of which there is one version; None for a name that Microsoft's do not have."""
    if not name.startswith(_PREFIX) or version != VERSION:
        return None
    return {
        "name": name,
        "version": VERSION,
        "environmentVariables": {},
        "python": {
            "userManagedDependencies": False,
            "interpreterPath": "python",
            "condaDependenciesFile": None,
            "baseCondaEnvironment": None,
            "condaDependencies": conda_dependencies(),
        },
        "docker": {
            "enabled": True,
            "baseImage": _IMAGE,
            "baseDockerfile": None,
            "arguments": [],
            "platform": {"os": "Linux", "architecture": "amd64"},
        },
        "inferencingStackVersion": None,
    }
