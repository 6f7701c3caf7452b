"""Words become calls on the backend, and what the calls answer becomes words again."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bankmlops.errors import BackendUnavailableError, NotFoundError
from bankmlops.types import (
    ColumnPurpose,
    DataSource,
    Device,
    Endpoint,
    EndpointState,
    Featurization,
    KeyName,
    PipelineRun,
    PublishedPipeline,
    Run,
    RunStatus,
    StreamDrift,
    UnknownCategories,
)
from support.http_server import Answer, Asked, LocalServer, serving
from support.memory_backend import DONE, MemoryBackend

Command = Callable[..., Any]


def test_register(command: Command, backend: MemoryBackend) -> None:
    """A file becomes a dataset with a name and a label, and is marked synthetic where it is said to be."""
    done = command("data", "register", "bank.csv", "--name", "bank", "--label", "y", "--synthetic")
    assert done.code == 0, done.err
    assert backend.calls == [("bank", DataSource(Path("bank.csv"), synthetic=True), "y")]
    assert "3,000" in done.out
    assert "on" in done.out


def test_register_guesses(command: Command, backend: MemoryBackend) -> None:
    """Without names the file's own and its last column serve, and the guess is said on stderr."""
    Path("loans.csv").write_text("age,paid\n1,no\n2,yes\n")
    done = command("data", "register", "loans.csv", "--json")
    assert backend.calls == [("loans", DataSource(Path("loans.csv")), "paid")]
    assert done.document["label_column"] == "paid"
    assert "'paid'" in done.err


def test_synthesize(command: Command) -> None:
    """A table is written without a backend."""
    done = command("data", "synthesize", "--rows", "60", "--seed", "1", "bank.csv")
    assert done.code == 0, done.err
    assert len(Path("bank.csv").read_text().splitlines()) == 61


@pytest.mark.parametrize("drift", list(StreamDrift))
def test_synthesize_a_stream(command: Command, drift: StreamDrift) -> None:
    """Rows and labels go to two files, which have the same ids; how the world changes, and how late labels are, is said."""
    done = command("data", "synthesize", "--rows", 60, "--seed", 1, "--drift", drift, "--label-delay", 5, "s.csv", "--json")
    assert done.code == 0, done.err
    expected = {"file": "s.csv", "rows": 60, "seed": 1, "synthetic": True, "labels": "s.labels.csv"}
    assert done.document == {**expected, "drift": str(drift), "label_delay": 5.0}
    rows, labels = ([line.split(",") for line in Path(name).read_text().splitlines()] for name in ("s.csv", "s.labels.csv"))
    assert labels[0] == ["request_id", "time", "y"]
    assert len(rows) == len(labels) == 61
    assert "y" not in rows[0]
    place = rows[0].index("request_id")
    assert {row[place] for row in rows[1:]} == {row[0] for row in labels[1:]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--drift", "sideways", "s.csv"), "sideways"),
        (("--drift", "sudden", "--labels", "s.csv", "s.csv"), "can't be one file"),
        (("--drift", "sudden", "--label-delay", "-1", "s.csv"), "label delay -1"),
        (("--drift", "sudden", "--rows", "0", "s.csv"), "rows"),
        (("--drift", "sudden", "s.xlsx"), "s.xlsx"),
    ],
)
def test_a_stream_that_can_not_be_made(command: Command, words: tuple[str, ...], message: str) -> None:
    """It is refused in a line, and no file is left."""
    done = command("data", "synthesize", *words)
    assert done.code == 2, done.err
    assert message in done.err
    assert list(Path().iterdir()) == []


def test_automl_run(command: Command, backend: MemoryBackend) -> None:
    """Every option of a search reaches the configuration; the winner is printed with its metrics, best known by Azure's names."""
    done = command(
        *("automl", "run", "--dataset", "bank", "--dataset-version", "7", "--minutes", "2.5", "--metric", "AUC_weighted"),
        *("--experiment", "mine", "--allowed-models", "LightGBM, XGBoostClassifier", "--blocked-models", "RandomForest"),
        *("--cv", "3", "--concurrent", "2", "--seed", "9", "--no-voting-ensemble", "--device", "cpu", "--enable-dnn"),
    )
    assert done.code == 0, done.err
    (config,) = backend.calls
    assert (config.dataset.name, config.dataset.version, config.experiment_timeout_minutes) == ("bank", "7", 2.5)
    assert (config.primary_metric, config.experiment_name, config.n_cross_validations) == ("AUC_weighted", "mine", 3)
    assert (config.allowed_models, config.blocked_models) == (("LightGBM", "XGBoostClassifier"), ("RandomForest",))
    assert (config.max_concurrent_iterations, config.random_seed, config.enable_voting_ensemble) == (2, 9, False)
    assert (config.device, config.enable_dnn) == (Device.CPU, True)
    assert "VotingEnsemble" in done.out
    assert "AUC_weighted" in done.out
    assert "0.9161" in done.out


def test_automl_settings(command: Command, backend: MemoryBackend) -> None:
    """Each of Azure's settings has an option."""
    done = command(
        *("automl", "run", "--dataset", "bank", "--no-wait", "--iterations", "9", "--iteration-minutes", "0.5"),
        *("--exit-score", "0.92", "--no-early-stopping", "--validation-dataset", "other:3", "--drop-columns", "id,when"),
        *(
            "--numeric-columns",
            "age",
            "--categorical-columns",
            "day",
            "--text-columns",
            "note",
            "--positive-label",
            "no",
            "--stack-ensemble",
            "--enable-dnn",
            "--no-explain",
        ),
    )
    assert done.code == 0, done.err
    (config,) = backend.calls
    assert (config.iterations, config.iteration_timeout_minutes, config.experiment_exit_score) == (9, 0.5, 0.92)
    assert (config.enable_early_stopping, config.positive_label, config.model_explainability) == (False, "no", False)
    assert (config.validation_dataset.name, config.validation_dataset.version) == ("other", "3")
    purposes = {"age": ColumnPurpose.NUMERIC, "day": ColumnPurpose.CATEGORICAL, "note": ColumnPurpose.TEXT}
    assert config.featurization == Featurization(drop_columns=("id", "when"), column_purposes=purposes)
    assert config.enable_stack_ensemble
    assert config.enable_dnn
    assert config.n_cross_validations is None


def test_a_column_of_two_purposes(command: Command, backend: MemoryBackend) -> None:
    """A column that is asked to be numbers and categories is refused, and nothing starts."""
    done = command("automl", "run", "--dataset", "bank", "--numeric-columns", "age,day", "--categorical-columns", "day")
    assert done.code != 0
    assert "column 'day' is in --numeric-columns and --categorical-columns; give one of both" in done.err
    assert not backend.calls


def test_names_with_commas(command: Command, backend: MemoryBackend) -> None:
    """Columns are named as a line of CSV names them, so that quotation marks keep a comma; open ones are refused in a line."""
    words = ("automl", "run", "--dataset", "bank", "--no-wait")
    options = ("--drop-columns", 'id, "Preis, netto"', "--text-columns", '"A ""B"", C"', "--numeric-columns", "age", "--json")
    assert command(*words, *options, "--categorical-columns", '"x,y",day').code == 0
    (config,) = backend.calls
    assert config.featurization.drop_columns == ("id", "Preis, netto")
    assert list(config.featurization.column_purposes) == ["age", "x,y", "day", 'A "B", C']
    done = command(*words, "--drop-columns", 'id,"Preis')
    assert (done.code, len(done.errors), len(backend.calls)) == (2, 1, 1)
    assert "A,B would serve" in done.err


def test_a_cluster(command: Command, backend: MemoryBackend) -> None:
    """The engine and its address reach the configuration; left out, trials run here."""
    for words in (("--engine", "ray", "--address", "ray://head:10001"), ()):
        assert command("automl", "run", "--dataset", "bank", "--no-wait", *words).code == 0
    assert [(config.engine, config.address) for config in backend.calls] == [("ray", "ray://head:10001"), ("local", "")]


@pytest.mark.parametrize("words", [("--featurization", "off"), ("--validation-size", "0.25")])
def test_automl_settings_that_stand_alone(command: Command, backend: MemoryBackend, words: tuple[str, str]) -> None:
    """A setting that excludes others reaches the configuration alone."""
    assert command("automl", "run", "--dataset", "bank", "--no-wait", *words).code == 0
    (config,) = backend.calls
    assert words[1] in (str(config.featurization), str(config.validation_size))


def test_automl_resume(command: Command, backend: MemoryBackend) -> None:
    """A run is gone on with by its id; with --no-wait the answer comes at once."""
    assert command("automl", "resume", "AutoML_7").code == 0
    assert backend.calls == [("resume", "AutoML_7")]
    done = command("automl", "resume", "AutoML_7", "--no-wait", "--json")
    assert done.document["status"] == "NotStarted"


@pytest.mark.parametrize("word", ["resume", "watch"])
def test_waiting_that_ends_leaves_the_run(command: Command, backend: MemoryBackend, word: str) -> None:
    """Who waits for some minutes and no longer leaves the run as it is, and is told its id."""
    backend.changes = [replace(DONE, id="AutoML_7", status=RunStatus.RUNNING)] * 10_000
    done = command("automl", word, "AutoML_7", "--minutes", "0.0001")
    assert done.code == 7
    assert "run AutoML_7 did not end within 0 s" in done.errors[-1]
    assert ("cancel", "AutoML_7") not in backend.calls


def test_a_resumed_run_is_waited_for_to_its_end(
    command: Command, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --minutes a run of hours is seen to its end, and so is one that Azure gave more minutes than were asked for."""
    clock = itertools.count(step=600.0)
    monkeypatch.setattr("bankmlops.runs.time.monotonic", lambda: next(clock))
    for words, looks in ((("resume", "AutoML_7"), 30), (("watch", "AutoML_7"), 30), (("run", "--dataset", "bank"), 5)):
        backend.changes = [replace(DONE, id="AutoML_7", status=RunStatus.RUNNING)] * looks
        done = command("automl", *words)
        assert done.code == 0, done.err


def test_a_backend_that_is_away_costs_no_run(command: Command, backend: MemoryBackend) -> None:
    """A run whose backend does not answer any more is left to go on, as one of a cloud that this machine lost sight of does."""
    backend.changes = [BackendUnavailableError("gone")] * 4
    done = command("automl", "run", "--dataset", "bank")
    assert (done.code, len(backend.calls)) == (7, 1)
    assert done.errors[-1] == "error: gone; run AutoML_1 is left to go on, look at it again by its id"


def test_automl_trials(command: Command, backend: MemoryBackend) -> None:
    """Every trial that ended is shown, with why one has no score."""
    done = command("automl", "trials", "AutoML_7", "--json")
    assert [(trial["iteration"], trial["score"], trial["error"]) for trial in done.document] == [
        (3, 0.9161, ""),
        (4, None, "given up: worse"),
    ]
    assert "given up: worse" in command("automl", "trials", "AutoML_7").out


def test_automl_continue(command: Command, backend: MemoryBackend) -> None:
    """A run is continued for some minutes, on its own data or on a dataset that is named."""
    done = command("automl", "continue", "AutoML_7", "--minutes", "10", "--no-wait", "--json")
    assert done.document["tags"] == {"continues": "AutoML_7"}
    assert command("automl", "continue", "AutoML_7", "--minutes", "5", "--dataset", "june").code == 0
    assert backend.calls == [("continue", "AutoML_7", 10.0, None), ("continue", "AutoML_7", 5.0, "june")]


def test_automl_progress_is_no_result(command: Command, backend: MemoryBackend) -> None:
    """How a run goes on is said on stderr, and stdout is the JSON of the result alone; a number that JSON lacks is null."""
    backend.changes = [replace(DONE, status=RunStatus.RUNNING, progress="trial 3, best accuracy 0.9", fraction=0.3)]
    done = command("automl", "run", "--dataset", "bank", "--json")
    assert done.code == 0, done.err
    assert "trial 3, best accuracy 0.9" in done.err
    assert done.document["metrics"] == {"accuracy": 0.9161, "AUC_weighted": 0.9502, "log_loss": None}
    assert done.document["started"] == "2026-03-01T12:00:00+00:00"


def test_automl_run_on_a_file(command: Command, backend: MemoryBackend) -> None:
    """With --data the table is registered first."""
    assert command("automl", "run", "--data", "bank.csv", "--label", "y", "--no-wait").code == 0
    registered, config = backend.calls
    assert registered == ("bank", DataSource(Path("bank.csv")), "y")
    assert config.dataset.name == "bank"


def test_no_wait(command: Command, backend: MemoryBackend) -> None:
    """With --no-wait the run is not looked at again."""
    backend.changes = [AssertionError("looked at")]
    done = command("automl", "run", "--dataset", "bank", "--no-wait")
    assert done.code == 0, done.err
    assert "NotStarted" in done.out


def test_a_run_that_fails(command: Command, backend: MemoryBackend) -> None:
    """A run that ends without a model is exit code 6 and its reason, one line."""
    backend.changes = [replace(DONE, status=RunStatus.FAILED, error="no trial finished")]
    done = command("automl", "run", "--dataset", "bank")
    assert (done.code, done.out) == (6, "")
    assert done.errors[-1] == "error: run AutoML_1 ended Failed: no trial finished"


def test_ctrl_c_cancels_what_was_started(command: Command, backend: MemoryBackend) -> None:
    """Ctrl-C while waiting cancels the run that the command started, and ends with 130 and one line."""
    backend.changes = [KeyboardInterrupt()]
    done = command("automl", "run", "--dataset", "bank")
    assert done.code == 130
    assert backend.calls[1:] == [("cancel", "AutoML_1")]
    assert len(done.errors) == 1
    assert "interrupted" in done.err


def test_ctrl_c_leaves_what_was_watched(command: Command, backend: MemoryBackend) -> None:
    """Ctrl-C while watching a run that another command started ends the watching alone."""
    backend.changes = [KeyboardInterrupt()]
    assert command("automl", "watch", "AutoML_5").code == 130
    assert backend.calls == []


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("automl", "list"), "AutoML_8"),
        (("automl", "show", "latest"), "AutoML_8"),
        (("automl", "children", "latest"), "AutoML_8"),
        (("automl", "cancel", "latest"), "AutoML_8"),
        (("automl", "artifacts", "latest"), "outputs/AutoML_8.json"),
        (("automl", "download", "latest", "outputs/leaderboard.csv", "--to", "reports"), "reports/leaderboard.csv"),
        (("automl", "show", "AutoML_3"), "AutoML_3"),
    ],
)
def test_runs_by_id_or_latest(command: Command, backend: MemoryBackend, words: tuple[str, ...], shown: str) -> None:
    """A run is named by its id, or `latest` names the newest."""
    backend.runs = [replace(DONE, id="AutoML_8"), replace(DONE, id="AutoML_7")]
    done = command(*words)
    assert done.code == 0, done.err
    assert shown in done.out + str(backend.calls)
    assert "AutoML_7" not in str(backend.calls)


def test_no_latest(command: Command, backend: MemoryBackend) -> None:
    """Where there is no run, `latest` is not found, and the line says how to make one."""
    for words in (("automl", "show", "latest"), ("pipelines", "watch", "latest")):
        done = command(*words)
        assert done.code == 3
        assert "makes one" in done.err


def test_models(command: Command, backend: MemoryBackend) -> None:
    """A run's best model is registered, and what the gate measured is shown."""
    done = command("models", "register", "AutoML_1", "--name", "bank")
    assert backend.calls == [("AutoML_1", "bank")]
    assert "champion" in done.out
    assert "1.5e-07 on 3,000 rows" in done.out
    assert command("models", "show", "bank", "--version", "1", "--json").document["version"] == "1"
    assert command("models", "list", "--json").document[0]["name"] == "bank"


def test_deploy(command: Command, backend: MemoryBackend) -> None:
    """Every option of a deployment reaches its configuration."""
    done = command(
        *("endpoints", "deploy", "bank-endpoint", "--model", "bank", "--version", "3", "--port", "8080", "--no-auth"),
        *("--app-insights", "--cpu-cores", "2", "--memory-gb", "4", "--timeout", "30", "--tag", "team=risk", "--tag", "a=b=c"),
        *("--workers", "2"),
        *("--cors-origin", "https://a.example", "--cors-origin", "*", "--plain-json", "--unknown-categories", "refuse"),
    )
    assert done.code == 0, done.err
    ((model, config),) = backend.calls
    assert (model.name, model.version) == ("bank", "3")
    assert (config.name, config.port, config.auth_enabled, config.app_insights) == ("bank-endpoint", 8080, False, True)
    assert (config.cpu_cores, config.memory_gb, config.timeout_seconds) == (2.0, 4.0, 30.0)
    assert config.tags == {"team": "risk", "a": "b=c"}
    assert config.workers == 2
    assert (config.cors_origins, config.plain_json) == (("https://a.example", "*"), True)
    assert config.unknown_categories is UnknownCategories.REFUSE
    assert "Healthy" in done.out


def test_a_tag_that_is_none(command: Command, backend: MemoryBackend) -> None:
    """A tag without a value is refused before anything is deployed."""
    done = command("endpoints", "deploy", "bank-endpoint", "--model", "bank", "--tag", "risk")
    assert (done.code, backend.calls) == (2, [])
    assert "NAME=VALUE" in done.err


@pytest.fixture
def scoring(backend: MemoryBackend) -> Iterator[LocalServer]:
    """A real endpoint that says "yes" to whoever is older than 40, deployed as bank-endpoint."""
    properties = {"age": {"type": "integer"}, "job": {"type": "string"}}
    rows = {"type": "array", "items": {"type": "object", "properties": properties}}
    example = {"data": [{"age": 20, "job": "student"}]}
    swagger = {
        "swagger": "2.0",
        "paths": {"/score": {}},
        "definitions": {"ServiceInput": {"type": "object", "properties": {"data": rows}, "example": example}},
    }

    def answer(asked: Asked) -> Answer:
        if asked.path == "/swagger.json":
            return Answer(swagger)
        return Answer(json.dumps({"result": ["yes" if row["age"] > 40 else "no" for row in asked.document["data"]]}))

    with serving(answer) as server:
        backend.endpoints["bank-endpoint"] = Endpoint(
            *(
                "bank-endpoint",
                EndpointState.HEALTHY,
                f"{server.url}/score",
                f"{server.url}/swagger.json",
                "process",
                "bank",
                "1",
            ),
        )
        yield server


def test_score_a_table(command: Command, scoring: LocalServer) -> None:
    """Rows of a CSV file are sent as the endpoint describes them: typed, and without the label."""
    Path("rows.csv").write_text("age;job;y\n20;student;no\n70;;yes\n")
    done = command("score", "bank-endpoint", "rows.csv", "--json")
    assert done.document == {"result": ["no", "yes"]}
    asked = scoring.asked[-1]
    assert asked.document == {"data": [{"age": 20, "job": "student"}, {"age": 70, "job": None}]}
    assert asked.headers["authorization"] == "Bearer primary-1"


def test_score_what_training_reads(command: Command, scoring: LocalServer) -> None:
    """Encoding, delimiter and the words for a missing value are found as training finds them."""
    Path("rows.csv").write_bytes("age;job, long;job\n20;x;Schüler\n70;y;NA\n".encode("cp1252"))
    done = command("score", "bank-endpoint", "rows.csv")
    assert (done.code, done.out) == (0, "no\nyes\n"), done.err
    assert scoring.asked[-1].document == {"data": [{"age": 20, "job": "Schüler"}, {"age": 70, "job": None}]}


def test_score_for_a_person(command: Command, scoring: LocalServer) -> None:
    """A person sees a label a line."""
    Path("rows.json").write_text('{"data": [{"age": 20, "job": "x"}, {"age": 41, "job": "x"}]}')
    assert command("score", "bank-endpoint", "rows.json").out == "no\nyes\n"


def test_score_many_rows(command: Command, scoring: LocalServer) -> None:
    """More rows than an endpoint takes at once go in several requests, and the labels keep their order."""
    ages = [20 if index % 3 else 70 for index in range(12_001)]
    Path("rows.csv").write_text("age\n" + "".join(f"{age}\n" for age in ages))
    assert command("score", "bank-endpoint", "rows.csv").out.splitlines() == ["no" if age == 20 else "yes" for age in ages]
    assert [len(asked.document["data"]) for asked in scoring.asked if asked.path == "/score"] == [5000, 5000, 2001]


@pytest.mark.parametrize(
    "words", [("score", "bank-endpoint", "-"), ("benchmark", "bank-endpoint"), ("endpoints", "docs", "bank-endpoint")]
)
def test_an_endpoint_that_is_dead(command: Command, backend: MemoryBackend, words: tuple[str, ...]) -> None:
    """An endpoint whose process died has no address: its state is said, and what can be done."""
    backend.endpoints["bank-endpoint"] = Endpoint("bank-endpoint", EndpointState.FAILED, "", "", "process", "bank", "1")
    done = command(*words)
    assert (done.code, done.out) == (4, "")
    (line,) = done.errors
    assert "'bank-endpoint' is Failed" in line
    assert "bankmlops endpoints logs bank-endpoint" in line


def test_benchmark(
    command: Command, backend: MemoryBackend, scoring: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load test sends the swagger's example with the secondary key, which is replaced, and prints what ApacheBench prints."""
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("benchmark", "bank-endpoint", "--requests", "20", "--concurrency", "2")
    assert done.code == 0, done.err
    assert "Tool:                   httpx" in done.out
    assert "Complete requests:      20" in done.out
    assert "Failed requests:        0" in done.out
    assert "[#/sec] (mean)" in done.out
    assert " 100% " in done.out
    assert backend.calls == [("bank-endpoint", KeyName.SECONDARY)]
    assert scoring.asked[-1].document == {"data": [{"age": 20, "job": "student"}]}
    assert scoring.asked[-1].headers["authorization"] == "Bearer secondary-1"


def test_benchmark_that_fails_replaces_the_key(command: Command, backend: MemoryBackend, scoring: LocalServer) -> None:
    """The key that a program showed is replaced also where the load test fails."""
    done = command("benchmark", "bank-endpoint", "--requests", "0")
    assert done.code == 2
    assert "--requests 0" in done.err
    assert backend.calls == [("bank-endpoint", KeyName.SECONDARY)]


def test_keys(command: Command, backend: MemoryBackend) -> None:
    """Both keys are printed for who asks for them, and one is replaced by its name."""
    assert command("endpoints", "keys", "bank-endpoint", "--json").document == {
        "primary": "primary-1",
        "secondary": "secondary-1",
    }
    done = command("endpoints", "regenerate-key", "bank-endpoint", "secondary")
    assert backend.calls == [("bank-endpoint", KeyName.SECONDARY)]
    assert "fresh" in done.out
    assert command("endpoints", "regenerate-key", "bank-endpoint", "third").code == 2


def test_endpoints(command: Command, backend: MemoryBackend, scoring: LocalServer) -> None:
    """Endpoints are listed, shown, updated and deleted."""
    assert "Healthy" in command("endpoints", "list").out
    assert command("endpoints", "show", "bank-endpoint", "--json").document["state"] == "Healthy"
    assert command("endpoints", "update", "bank-endpoint", "--app-insights", "--json").document["app_insights"] is True
    assert command("endpoints", "update", "bank-endpoint", "--no-app-insights", "--json").document["app_insights"] is False
    switched = command("endpoints", "update", "bank-endpoint", "--collect-model-data", "--json").document
    assert switched["collect_model_data"] is True
    assert command("endpoints", "update", "bank-endpoint").code == 2
    assert command("endpoints", "rollback", "bank-endpoint").code == 4
    assert command("endpoints", "update", "bank-endpoint", "--model", "bank:7", "--json").document["model_version"] == "7"
    assert command("endpoints", "update", "bank-endpoint", "--model", "bank", "--json").document["model_version"] == "2"
    assert command("endpoints", "rollback", "bank-endpoint", "--json").document["model_version"] == "7"
    assert command("endpoints", "rollback", "nobody").code == 3
    assert command("endpoints", "show", "nobody").code == 3
    assert command("endpoints", "delete", "nobody").code == 0
    assert backend.calls == [("delete", "nobody")]


def test_logs(command: Command, backend: MemoryBackend) -> None:
    """Log lines are printed as they are, but can't steer the terminal; --lines prints the newest."""
    backend.logs = [["first", "second \x1b[2J[bold]", "third"]]
    assert command("endpoints", "logs", "bank-endpoint").out == "first\nsecond \N{REPLACEMENT CHARACTER}[2J[bold]\nthird\n"
    assert command("endpoints", "logs", "bank-endpoint", "-n", "1").out == "third\n"
    assert command("endpoints", "logs", "bank-endpoint", "--json").document[0] == "first"


def test_logs_followed(command: Command, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Following prints each line once, until Ctrl-C."""
    monkeypatch.setattr("bankmlops.cli.endpoints.FOLLOW_SECONDS", 0)
    backend.logs = [["a", "b"], ["a", "b"], ["a", "b", "c"], ["b", "c", "d"]]
    backend.changes = [KeyboardInterrupt()]
    done = command("endpoints", "logs", "bank-endpoint", "--follow")
    assert (done.code, done.out) == (130, "a\nb\nc\n")
    assert done.errors == ["error: interrupted; what this command had started is taken down"]


def test_logs_followed_of_an_endpoint_that_goes(
    command: Command, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Following ends with one line when the endpoint is deleted meanwhile, after what it had logged."""
    monkeypatch.setattr("bankmlops.cli.endpoints.FOLLOW_SECONDS", 0)
    backend.logs = [["a"], ["a", "b"], ["a", "b"]]
    backend.changes = [NotFoundError("no endpoint is called 'bank-endpoint'")]
    done = command("endpoints", "logs", "bank-endpoint", "--follow")
    assert (done.code, done.out, done.errors) == (3, "a\nb\n", ["error: no endpoint is called 'bank-endpoint'"])


ACTIVE = PublishedPipeline("id-2", "training", "2", "", "Active")


@pytest.mark.parametrize(
    ("words", "pipeline_id"),
    [
        (("training",), "id-2"),
        (("training", "--version", "1"), "id-1"),
        (("id-1",), "id-1"),
    ],
)
def test_pipelines_by_name_or_id(command: Command, backend: MemoryBackend, words: tuple[str, ...], pipeline_id: str) -> None:
    """A published pipeline is named by its id, or by its name: then the newest version that is active, or the one asked for."""
    backend.pipelines = [
        replace(ACTIVE, id="id-3", version="3", status="Disabled"),
        ACTIVE,
        replace(ACTIVE, id="id-1", version="1"),
    ]
    assert command("pipelines", "show", *words, "--json").document["id"] == pipeline_id
    assert command("pipelines", "disable", *words).code == 0
    assert backend.calls == [("disable", pipeline_id)]


def test_pipeline_not_there(command: Command, backend: MemoryBackend) -> None:
    """An unknown pipeline or version is not found, by name."""
    backend.pipelines = [ACTIVE]
    assert command("pipelines", "show", "nobody").code == 3
    done = command("pipelines", "show", "training", "--version", "9")
    assert done.code == 3
    assert "'9'" in done.err


def test_publish(command: Command, backend: MemoryBackend) -> None:
    """Every option of a pipeline reaches its configuration; the model is called as the pipeline where nothing is said."""
    words = ("--dataset", "bank", "--minutes", "0.5", "--minimum-score", "0.9", "--version", "4", "--description", "nightly")
    assert command("pipelines", "publish", "training", *words, "--metric", "AUC_weighted").code == 0
    ((config, version, description),) = backend.calls
    assert (config.name, config.model_name, config.minimum_score) == ("training", "training", 0.9)
    assert (config.automl.experiment_timeout_minutes, config.automl.primary_metric) == (0.5, "AUC_weighted")
    assert (version, description) == ("4", "nightly")


@pytest.fixture
def triggered(backend: MemoryBackend) -> Iterator[LocalServer]:
    """The REST endpoint of a published pipeline."""
    with serving(lambda _: Answer({"Id": "run-1"})) as server:
        backend.pipelines = [replace(ACTIVE, endpoint=f"{server.url}/submit")]
        yield server


def test_trigger(command: Command, backend: MemoryBackend, triggered: LocalServer) -> None:
    """A trigger is a POST with the bearer token, and the run is watched to its end, step by step."""
    done = command("pipelines", "trigger", "training", "--experiment", "nightly")
    assert done.code == 0, done.err
    (asked,) = triggered.asked
    assert (asked.document, asked.headers["authorization"]) == ({"ExperimentName": "nightly"}, "Bearer token")
    assert "run-1" in done.out
    assert "step automl" in done.out


def test_trigger_where_nothing_serves(command: Command, backend: MemoryBackend) -> None:
    """Where nothing answers at the pipeline's address, the line names the command that starts it."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    backend.pipelines = [replace(ACTIVE, endpoint=f"http://127.0.0.1:{port}/submit")]
    done = command("pipelines", "trigger", "training")
    assert (done.code, done.out) == (7, "")
    assert "`bankmlops up`" in done.errors[-1]


def test_ctrl_c_cancels_what_was_triggered(command: Command, backend: MemoryBackend, triggered: LocalServer) -> None:
    """Ctrl-C while watching a run that this command triggered cancels it."""
    backend.changes = [KeyboardInterrupt()]
    assert command("pipelines", "trigger", "training").code == 130
    assert backend.calls == [("cancel", "run-1")]


def test_pipeline_runs(command: Command, backend: MemoryBackend) -> None:
    """Pipeline runs are started without publishing, listed, watched and cancelled."""
    done = command("pipelines", "run", "once", "--dataset", "bank", "--json")
    assert (done.code, done.document["id"], backend.calls[0].name) == (0, "run-9", "once")
    backend.pipeline_runs = [PipelineRun("run-5", "nightly", RunStatus.RUNNING)]
    assert "run-5" in command("pipelines", "runs").out
    assert command("pipelines", "watch", "latest", "--json").document["id"] == "run-5"
    assert command("pipelines", "cancel", "latest").code == 0
    assert backend.calls[-1] == ("cancel", "run-5")
    backend.changes = [PipelineRun("run-5", "nightly", RunStatus.FAILED, error="the score is too low")]
    done = command("pipelines", "watch", "run-5")
    assert done.code == 6
    assert "the score is too low" in done.err


def test_operating(command: Command, backend: MemoryBackend) -> None:
    """The workspace's services go up and down, and its status tells what costs money and what runs."""
    backend.runs = [Run("AutoML_4", "e", RunStatus.RUNNING, progress="trial 2")]
    assert "http://127.0.0.1:1" in command("up").out
    assert command("down").code == 0
    assert backend.calls == ["down"]
    done = command("status")
    for shown in ("memory in nowhere", "bank (3,000 rows)", "AutoML_4: trial 2", "compute cluster automl-cluster"):
        assert shown in done.out
    assert command("status", "--json").document["costs_money"] == [{"kind": "compute cluster", "name": "automl-cluster"}]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("data", "list"), "bank"),
        (("automl", "list"), "no runs yet"),
        (("endpoints", "list"), "no endpoints yet"),
        (("pipelines", "list"), "no published pipelines yet"),
    ],
)
def test_lists(command: Command, backend: MemoryBackend, words: tuple[str, ...], line: str) -> None:
    """An empty list says so to a person, and is an empty list to a machine."""
    assert line in command(*words).out
    assert isinstance(command(*words, "--json").document, list)


def test_where_to_work(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backend and workspace are taken from the words before or after the command, or else from the environment."""
    asked: list[tuple[str, Path]] = []

    def connected(name: str, workspace: Path) -> MemoryBackend:
        asked.append((name, workspace))
        return MemoryBackend()

    monkeypatch.setattr("bankmlops.connect.connect", connected)
    command("data", "list")
    command("--backend", "azure", "--workspace", "here", "data", "list")
    command("--backend", "azure", "data", "list", "--backend", "local", "--workspace", "there")
    monkeypatch.setenv("BANKMLOPS_BACKEND", "azure")
    monkeypatch.setenv("BANKMLOPS_WORKSPACE", "elsewhere")
    command("data", "list")
    assert asked == [
        ("local", Path(".bankmlops")),
        ("azure", Path("here")),
        ("local", Path("there")),
        ("azure", Path("elsewhere")),
    ]
