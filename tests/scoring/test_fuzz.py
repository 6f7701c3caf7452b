"""Schemathesis against the service's own OpenAPI: whatever is sent, the answer is one of those that the document describes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.bundles import OLD, PRIMARY, YOUNG
from support.scoring_server import ScoringProcess

pytestmark = pytest.mark.slow
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,"
    "positive_data_acceptance,ignored_auth,unsupported_method,missing_required_header"
)
OPTIONS = ["--phases=coverage,fuzzing", "--max-examples=12", "--seed=5", "--request-timeout=10", "--max-response-time=5"]


@pytest.mark.parametrize("settings", [{}, {"plain_json": True, "unknown_categories": "refuse"}], ids=["default", "strict"])
def test_every_answer_is_described(tmp_path: Path, settings: dict[str, object]) -> None:
    """Valid requests are answered, invalid ones refused, and none fails, hangs or is let in without a key."""
    with ScoringProcess.start(tmp_path, **settings) as server:
        done = _schemathesis(server.url, tmp_path)
        assert done.returncode == 0, done.stdout[-5000:]
        generated = re.search(r"(\d+) generated", done.stdout)
        assert generated
        assert int(generated[1]) > 50
        assert server.score({"data": [YOUNG, OLD]}).status_code == 200
        assert "Traceback" not in server.log


def _schemathesis(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program
    command = [
        program,
        "run",
        f"{url}/openapi.json",
        f"--header=Authorization: Bearer {PRIMARY}",
        f"--checks={CHECKS}",
        "--no-color",
    ]
    environment = {**os.environ, "NO_PROXY": "*"}
    return subprocess.run(
        [*command, *OPTIONS], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
