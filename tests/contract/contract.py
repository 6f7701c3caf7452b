"""What every Backend keeps, whatever carries it out: one suite, joined by a subclass with a `backend` fixture.

The things that take long (a trained run, a model, an endpoint, a pipeline run) are made once a class and shared; a test that
changes one makes it as it was.
"""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from bankmlops import client
from bankmlops.backend import Backend
from bankmlops.datasets import synthesize
from bankmlops.errors import (
    AuthenticationError,
    ConflictError,
    DeploymentFailedError,
    InvalidRequestError,
    NotFoundError,
)
from bankmlops.runs import wait
from bankmlops.types import (
    AutoMLConfig,
    Cron,
    Dataset,
    DataSource,
    DeploymentConfig,
    Endpoint,
    EndpointState,
    Frequency,
    KeyName,
    Model,
    Outcome,
    Parity,
    PipelineConfig,
    PipelineRun,
    PublishedPipeline,
    Recurrence,
    Run,
    RunStatus,
    ScheduleConfig,
    ScheduleStatus,
    TrainedModel,
    WeekDay,
)

ROWS = 1000
Beyond = Callable[[], AbstractContextManager[object]]
METRICS = ("accuracy", "AUC_weighted", "log_loss", "f1_score_weighted")


class BackendContract(ABC):
    """Subclass it, give it `backend`, and every backend behaves alike."""

    minutes = 0.1  # what each AutoML run is asked to keep within
    timeout_seconds = 400.0  # what any run is waited for

    @pytest.fixture(scope="class")
    @abstractmethod
    def backend(self) -> Iterator[Backend]:
        """The backend under test, with an empty workspace."""

    @pytest.fixture(scope="class")
    def faulty_model(self, model: Model) -> Model:
        """A model that no endpoint can serve."""
        return replace(model, version="999")

    @pytest.fixture
    def beyond_azure(self) -> Beyond:
        """What becomes of a call that Azure has nothing for: here it does its work."""
        return nullcontext

    @pytest.fixture(scope="class")
    def table(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("data") / "bank.csv"
        synthesize(path, ROWS, 7)
        return path

    @pytest.fixture(scope="class")
    def rows(self, table: Path) -> Sequence[Mapping[str, object]]:
        with table.open(newline="") as lines:
            first = list(islice(csv.DictReader(lines), 2))
        return [{name: _value(text) for name, text in row.items() if name != "y"} for row in first]

    @pytest.fixture(scope="class")
    def dataset(self, backend: Backend, table: Path) -> Dataset:
        backend.authenticate()
        return backend.register_dataset("bank", DataSource(table, synthetic=True), "y")

    @pytest.fixture(scope="class")
    def config(self, dataset: Dataset) -> AutoMLConfig:
        return AutoMLConfig(dataset=dataset, experiment_name="contract", experiment_timeout_minutes=self.minutes)

    @pytest.fixture(scope="class")
    def run(self, backend: Backend, config: AutoMLConfig) -> Run:
        submitted = backend.submit_automl(config)
        assert submitted.status in (RunStatus.NOT_STARTED, RunStatus.RUNNING)
        run = wait(backend.get_run, submitted.id, timeout_seconds=self.timeout_seconds)
        assert run.status is RunStatus.COMPLETED, run.error
        return run

    @pytest.fixture(scope="class")
    def model(self, backend: Backend, run: Run) -> Model:
        return backend.register_model(run.id, "bank-model")

    @pytest.fixture(scope="class")
    def endpoint(self, backend: Backend, model: Model) -> Iterator[Endpoint]:
        yield backend.deploy_model(model, DeploymentConfig(name="bank-endpoint", tags={"team": "risk"}))
        backend.delete_endpoint("bank-endpoint")

    @pytest.fixture(scope="class")
    def pipelines_up(self, backend: Backend) -> Iterator[None]:
        backend.up()
        yield
        backend.down()

    @pytest.fixture(scope="class")
    def pipeline_config(self, config: AutoMLConfig) -> PipelineConfig:
        return PipelineConfig(name="bank-training", automl=config, model_name="bank-pipeline-model")

    @pytest.fixture(scope="class")
    def published(self, backend: Backend, pipelines_up: None, pipeline_config: PipelineConfig) -> PublishedPipeline:
        return backend.publish_pipeline(pipeline_config, "1", "for the contract")

    @pytest.fixture(scope="class")
    def pipeline_run(self, backend: Backend, published: PublishedPipeline) -> PipelineRun:
        run_id = client.trigger(published.endpoint, backend.authorization_header(), "triggered")
        return wait(backend.get_pipeline_run, run_id, timeout_seconds=self.timeout_seconds)

    # Identity and data

    def test_authenticate(self, backend: Backend) -> None:
        """The workspace has a name and a location, again and again."""
        first = backend.authenticate()
        assert first.name
        assert first.location
        assert backend.authenticate() == first

    def test_dataset_is_described(self, dataset: Dataset) -> None:
        """A registered dataset knows its rows, columns, label and content, and that it is synthetic."""
        assert (dataset.name, dataset.rows, dataset.label_column) == ("bank", ROWS, "y")
        assert len(dataset.columns) == 21
        assert len(dataset.sha256) == 64
        assert dataset.synthetic

    def test_dataset_is_found(self, backend: Backend, dataset: Dataset) -> None:
        """A dataset is found by name, by name and version, and in the list."""
        assert backend.get_dataset("bank").version == dataset.version
        assert backend.get_dataset("bank", dataset.version).sha256 == dataset.sha256
        assert "bank" in [found.name for found in backend.list_datasets()]

    def test_same_content_is_the_same_version(self, backend: Backend, dataset: Dataset, table: Path) -> None:
        """Registering the same content again makes no new version."""
        again = backend.register_dataset("bank", DataSource(table, synthetic=True), "y")
        assert (again.version, again.sha256) == (dataset.version, dataset.sha256)

    def test_dataset_not_there(self, backend: Backend, dataset: Dataset) -> None:
        """An unknown name or version is NotFoundError."""
        with pytest.raises(NotFoundError, match="nobody"):
            backend.get_dataset("nobody")
        with pytest.raises(NotFoundError, match="bank"):
            backend.get_dataset("bank", "999999")

    def test_dataset_without_its_label(self, backend: Backend, table: Path) -> None:
        """A label column that the table does not have is refused, and nothing is registered."""
        with pytest.raises(InvalidRequestError, match="deposit"):
            backend.register_dataset("half", DataSource(table), "deposit")
        with pytest.raises(NotFoundError):
            backend.get_dataset("half")

    # Training

    @pytest.mark.parametrize(
        "field", [{"experiment_timeout_minutes": 0.0}, {"primary_metric": "beauty"}, {"allowed_models": ("Oracle",)}]
    )
    def test_automl_refuses(self, backend: Backend, config: AutoMLConfig, field: dict[str, object]) -> None:
        """A field that can't serve is refused before anything starts."""
        with pytest.raises(InvalidRequestError):
            backend.submit_automl(replace(config, **field))  # type: ignore[arg-type]

    def test_run_has_a_winner(self, run: Run) -> None:
        """A completed run tells its best algorithm and its metrics under Azure's names."""
        assert run.best_algorithm
        assert run.best_child_id
        assert run.primary_metric == "accuracy"
        assert set(METRICS) <= set(run.metrics)
        assert run.metrics["accuracy"] > 0.7
        assert run.trials >= 1
        assert run.seconds > 0

    def test_run_is_found(self, backend: Backend, run: Run) -> None:
        """A run is found by its id, and in the list."""
        assert backend.get_run(run.id).status is RunStatus.COMPLETED
        assert run.id in [found.id for found in backend.list_runs()]

    def test_run_is_found_by_its_tags(self, backend: Backend, run: Run) -> None:
        """A run is in the list of those that bear some of its tags, and not in one of other tags."""
        assert run.id in [found.id for found in backend.list_runs({"synthetic": "true"})]
        assert run.id not in [found.id for found in backend.list_runs({"synthetic": "false"})]
        assert not backend.list_runs({"synthetic": "true", "nobody": "true"})

    def test_run_not_there(self, backend: Backend, run: Run) -> None:
        """An unknown run is NotFoundError, whatever is asked of it."""
        for ask in (backend.get_run, backend.list_children, backend.cancel_run, backend.resume_run, backend.list_artifacts):
            with pytest.raises(NotFoundError, match="AutoML_nobody"):
                ask("AutoML_nobody")

    def test_leaderboard(self, backend: Backend, run: Run) -> None:
        """The leaderboard is sorted best first, has a VotingEnsemble, and its head is the run's winner."""
        children = backend.list_children(run.id)
        scores = [child.score for child in children]
        assert scores == sorted(scores, reverse=True)
        assert "VotingEnsemble" in [child.algorithm for child in children]
        assert children[0].score == pytest.approx(run.metrics["accuracy"])
        assert children[0].id == run.best_child_id

    def test_children_are_documented(self, backend: Backend, run: Run) -> None:
        """Each finished trial has its metrics."""
        for child in backend.list_children(run.id):
            assert child.status is RunStatus.COMPLETED
            assert set(METRICS) <= set(child.metrics), child

    def test_trials(self, backend: Backend, run: Run) -> None:
        """Every trial that ended is listed by number: those of the leaderboard, and those that have no score."""
        trials = backend.list_trials(run.id)
        assert [trial.iteration for trial in trials] == sorted(trial.iteration for trial in trials)
        assert {child.id for child in backend.list_children(run.id)} <= {trial.id for trial in trials}
        assert all(trial.status.is_final for trial in trials)

    def test_artifacts(self, backend: Backend, run: Run, tmp_path: Path) -> None:
        """The run's files are listed, and each can be downloaded; one that is not there is NotFoundError."""
        paths = backend.list_artifacts(run.id)
        model = next(path for path in paths if path.endswith("model.pkl"))
        file = backend.download_artifact(run.id, model, tmp_path)
        assert file.stat().st_size > 1000
        assert tmp_path in file.parents
        with pytest.raises(NotFoundError, match="nothing-here"):
            backend.download_artifact(run.id, "nothing-here.txt", tmp_path)

    def test_cancel_finished(self, backend: Backend, run: Run) -> None:
        """Cancelling a finished run leaves it as it is."""
        backend.cancel_run(run.id)
        assert backend.get_run(run.id).status is RunStatus.COMPLETED

    def test_resume_finished(self, backend: Backend, run: Run) -> None:
        """A completed run needs no resuming."""
        with pytest.raises(ConflictError, match="Completed"):
            backend.resume_run(run.id)

    def test_continue_not_there(self, backend: Backend) -> None:
        """A run that is not there can't be continued."""
        with pytest.raises(NotFoundError, match="AutoML_nobody"):
            backend.continue_run("AutoML_nobody", 1.0)

    def test_continue(self, backend: Backend, run: Run, beyond_azure: Beyond) -> None:
        """A run that has ended is the start of another, or the refusal leaves nothing behind."""
        before = len(backend.list_runs())
        with beyond_azure():
            more = backend.continue_run(run.id, self.minutes)
            before += 1
            assert more.tags["continues"] == run.id
            backend.cancel_run(more.id)
        assert len(backend.list_runs()) == before
        assert backend.get_run(run.id).status is RunStatus.COMPLETED

    def test_record_run(
        self,
        backend: Backend,
        run: Run,
        config: AutoMLConfig,
        rows: Sequence[Mapping[str, object]],
        beyond_azure: Beyond,
        tmp_path: Path,
    ) -> None:
        """A model that was trained elsewhere becomes a completed run, or the refusal leaves nothing behind."""
        for path in backend.list_artifacts(run.id):
            backend.download_artifact(run.id, path, (tmp_path / path).parent)
        trained = TrainedModel(config, tmp_path / "outputs", "LightGBM", run.metrics, {}, Parity(0.0, 0, ROWS), rows[0])
        before = len(backend.list_runs())
        with beyond_azure():
            recorded = backend.record_run(trained)
            before += 1
            assert (recorded.status, recorded.best_algorithm) == (RunStatus.COMPLETED, "LightGBM")
        assert len(backend.list_runs()) == before

    def test_cancel(self, backend: Backend, config: AutoMLConfig) -> None:
        """A running run ends as Canceled, and makes no model."""
        submitted = backend.submit_automl(replace(config, experiment_timeout_minutes=10.0))
        backend.cancel_run(submitted.id)
        run = wait(backend.get_run, submitted.id, timeout_seconds=self.timeout_seconds)
        assert run.status is RunStatus.CANCELED
        with pytest.raises(ConflictError):
            backend.register_model(run.id, "never")

    # Models

    def test_model(self, backend: Backend, run: Run, model: Model) -> None:
        """A registered model has a version, comes from its run, and is found by name and version."""
        assert model.name == "bank-model"
        assert model.run_id == run.id
        assert backend.get_model("bank-model").version == model.version
        assert backend.get_model("bank-model", model.version).run_id == run.id
        assert "bank-model" in [found.name for found in backend.list_models()]

    def test_champion(self, backend: Backend, model: Model) -> None:
        """The newest registered version is the champion."""
        assert "champion" in backend.get_model(model.name, model.version).aliases

    def test_model_not_there(self, backend: Backend, model: Model) -> None:
        """An unknown model or version is NotFoundError."""
        with pytest.raises(NotFoundError, match="nobody"):
            backend.get_model("nobody")
        with pytest.raises(NotFoundError, match=model.name):
            backend.get_model(model.name, "999")

    # Endpoints

    def test_endpoint_is_healthy(self, backend: Backend, model: Model, endpoint: Endpoint) -> None:
        """A deployed endpoint is healthy, knows its model and tags, and is found by name."""
        found = backend.get_endpoint("bank-endpoint")
        assert endpoint.state is found.state is EndpointState.HEALTHY
        assert (found.model_name, found.model_version) == (model.name, model.version)
        assert found.scoring_uri == endpoint.scoring_uri
        assert found.tags["team"] == "risk"
        assert "bank-endpoint" in [each.name for each in backend.list_endpoints()]

    def test_score(self, backend: Backend, endpoint: Endpoint, rows: Sequence[Mapping[str, object]]) -> None:
        """Either key scores rows; the answer has a label for each."""
        keys = backend.get_keys(endpoint.name)
        for key in (keys.primary, keys.secondary):
            result = client.score(endpoint.scoring_uri, key, rows)
            assert len(result) == len(rows)
            assert set(result) <= {"yes", "no"}

    def test_score_refuses_a_wrong_key(self, endpoint: Endpoint, rows: Sequence[Mapping[str, object]]) -> None:
        """No key and a wrong key are AuthenticationError."""
        for key in (None, "wrong"):
            with pytest.raises(AuthenticationError):
                client.score(endpoint.scoring_uri, key, rows)

    def test_keys_stay_out_of_sight(self, backend: Backend, endpoint: Endpoint) -> None:
        """A key shows in no repr."""
        keys = backend.get_keys(endpoint.name)
        assert keys.primary not in repr(keys)
        assert keys.primary not in repr(backend.get_endpoint(endpoint.name))

    @pytest.mark.parametrize("which", list(KeyName))
    def test_regenerate_key(
        self, backend: Backend, endpoint: Endpoint, rows: Sequence[Mapping[str, object]], which: KeyName
    ) -> None:
        """A regenerated key counts at once, the old one no more, and the other goes on working."""
        before = backend.get_keys(endpoint.name)
        after = backend.regenerate_key(endpoint.name, which)
        changed, kept = (after.primary, after.secondary) if which is KeyName.PRIMARY else (after.secondary, after.primary)
        old = before.primary if which is KeyName.PRIMARY else before.secondary
        assert changed != old
        assert kept in (before.primary, before.secondary)
        assert backend.get_keys(endpoint.name) == after
        for key in (changed, kept):
            assert len(client.score(endpoint.scoring_uri, key, rows)) == len(rows)
        with pytest.raises(AuthenticationError):
            client.score(endpoint.scoring_uri, old, rows)

    def test_swagger(self, endpoint: Endpoint) -> None:
        """The endpoint describes itself as Azure's do."""
        document = client.swagger(endpoint.swagger_uri)
        assert document["swagger"] == "2.0"
        operations = [entry["operationId"] for path in document["paths"].values() for entry in path.values()]
        assert sorted(operations) == ["RunMLService", "ServiceHealthCheck"]
        assert {"ServiceInput", "ServiceOutput", "ErrorResponse"} <= set(document["definitions"])

    def test_logs(self, backend: Backend, endpoint: Endpoint, rows: Sequence[Mapping[str, object]]) -> None:
        """The logs are lines, and hold no key."""
        keys = backend.get_keys(endpoint.name)
        client.score(endpoint.scoring_uri, keys.primary, rows)
        lines = backend.get_logs(endpoint.name)
        assert lines
        assert not [line for line in lines if keys.primary in line or keys.secondary in line]

    def test_app_insights(self, backend: Backend, endpoint: Endpoint) -> None:
        """Telemetry is turned on and off again."""
        assert backend.set_app_insights(endpoint.name, True).app_insights
        assert backend.get_endpoint(endpoint.name).app_insights
        assert not backend.set_app_insights(endpoint.name, False).app_insights

    def test_update_and_rollback(
        self,
        backend: Backend,
        run: Run,
        model: Model,
        endpoint: Endpoint,
        faulty_model: Model,
        rows: Sequence[Mapping[str, object]],
    ) -> None:
        """Another version is served under the same address and keys, one that can't serve is not, and there is a way back."""
        keys = backend.get_keys(endpoint.name)
        with pytest.raises(ConflictError, match="no other model before"):
            backend.rollback_endpoint(endpoint.name)
        with pytest.raises(ConflictError, match=f"serves version {model.version}"):
            backend.update_endpoint(endpoint.name, model)
        newer = backend.register_model(run.id, "bank-challenger")
        updated = backend.update_endpoint(endpoint.name, newer)
        assert (updated.model_name, updated.model_version, updated.tags) == (newer.name, newer.version, endpoint.tags)
        assert len(client.score(endpoint.scoring_uri, keys.primary, rows)) == len(rows)
        with pytest.raises((NotFoundError, DeploymentFailedError)):
            backend.update_endpoint(endpoint.name, faulty_model)
        found = backend.get_endpoint(endpoint.name)
        assert (found.model_name, found.state) == (newer.name, EndpointState.HEALTHY)
        back = backend.rollback_endpoint(endpoint.name)
        assert (back.model_name, back.model_version, back.scoring_uri) == (model.name, model.version, endpoint.scoring_uri)
        assert len(client.score(endpoint.scoring_uri, keys.secondary, rows)) == len(rows)
        assert backend.get_keys(endpoint.name) == keys

    def test_name_taken(self, backend: Backend, model: Model, endpoint: Endpoint) -> None:
        """A second endpoint of the same name is a ConflictError, and the first goes on."""
        with pytest.raises(ConflictError, match="bank-endpoint"):
            backend.deploy_model(model, DeploymentConfig(name="bank-endpoint"))
        assert backend.get_endpoint("bank-endpoint").state is EndpointState.HEALTHY

    def test_bad_endpoint_name(self, backend: Backend, model: Model) -> None:
        """A name that Azure would not take is refused."""
        with pytest.raises(InvalidRequestError, match="Not A Name"):
            backend.deploy_model(model, DeploymentConfig(name="Not A Name"))

    def test_deployment_of_nothing(self, backend: Backend, faulty_model: Model) -> None:
        """A model that can't be served is an error, and leaves no endpoint."""
        with pytest.raises((NotFoundError, DeploymentFailedError)):
            backend.deploy_model(faulty_model, DeploymentConfig(name="broken"))
        with pytest.raises(NotFoundError):
            backend.get_endpoint("broken")

    def test_endpoint_without_keys(self, backend: Backend, model: Model, rows: Sequence[Mapping[str, object]]) -> None:
        """Without key authentication an endpoint answers everyone, has no keys, and is deleted as often as one likes."""
        endpoint = backend.deploy_model(model, DeploymentConfig(name="open-endpoint", auth_enabled=False))
        try:
            assert not endpoint.auth_enabled
            assert len(client.score(endpoint.scoring_uri, None, rows)) == len(rows)
            with pytest.raises(ConflictError):
                backend.get_keys("open-endpoint")
        finally:
            backend.delete_endpoint("open-endpoint")
        backend.delete_endpoint("open-endpoint")
        with pytest.raises(NotFoundError):
            backend.get_endpoint("open-endpoint")

    def test_endpoint_not_there(self, backend: Backend, dataset: Dataset, tmp_path: Path) -> None:
        """An unknown endpoint is NotFoundError, whatever is asked of it."""
        for ask in (backend.get_endpoint, backend.get_keys, backend.get_logs, backend.rollback_endpoint):
            with pytest.raises(NotFoundError, match="nobody"):
                ask("nobody")
        with pytest.raises(NotFoundError, match="nobody"):
            backend.download_telemetry("nobody", tmp_path)
        with pytest.raises(NotFoundError, match="nobody"):
            backend.record_outcomes("nobody", [Outcome("id", "yes")])
        with pytest.raises(NotFoundError, match="nobody"):
            backend.list_outcomes("nobody")

    def test_outcomes(self, backend: Backend, endpoint: Endpoint, beyond_azure: Beyond) -> None:
        """A label of a request that was not collected is refused, and nothing is kept of it."""
        with beyond_azure():
            assert backend.record_outcomes(endpoint.name, [Outcome("nobody-asked", "yes")]).refused == 1
        with beyond_azure():
            assert not backend.list_outcomes(endpoint.name)

    # Pipelines

    def test_published(self, backend: Backend, published: PublishedPipeline) -> None:
        """A published pipeline has an id, a version and a REST endpoint, and is found again."""
        assert (published.name, published.version, published.status) == ("bank-training", "1", "Active")
        assert published.endpoint.startswith("http")
        assert backend.get_published_pipeline(published.id) == published
        assert published.id in [each.id for each in backend.list_published_pipelines()]

    def test_publish_is_immutable(self, backend: Backend, published: PublishedPipeline, pipeline_config: PipelineConfig) -> None:
        """Publishing the same again answers the same pipeline; other content under the version is a ConflictError."""
        assert backend.publish_pipeline(pipeline_config, "1", "for the contract").id == published.id
        with pytest.raises(ConflictError, match="bank-training"):
            backend.publish_pipeline(replace(pipeline_config, model_name="other"), "1", "for the contract")

    def test_triggered_run(self, backend: Backend, pipeline_run: PipelineRun) -> None:
        """A run triggered over REST completes, step by step, and belongs to its experiment."""
        assert pipeline_run.status is RunStatus.COMPLETED, pipeline_run.error
        assert pipeline_run.experiment_name == "triggered"
        assert pipeline_run.steps
        assert {step.status for step in pipeline_run.steps} == {RunStatus.COMPLETED}
        assert pipeline_run.id in [each.id for each in backend.list_pipeline_runs()]

    def test_trigger_wants_a_token(self, published: PublishedPipeline) -> None:
        """A trigger without the bearer token, or with a wrong one, is AuthenticationError."""
        for header in ({}, {"Authorization": "Bearer wrong"}):
            with pytest.raises(AuthenticationError):
                client.trigger(published.endpoint, header, "triggered")

    def test_disabled(self, backend: Backend, pipelines_up: None, pipeline_config: PipelineConfig) -> None:
        """A disabled pipeline refuses triggers, and says so when it is looked at."""
        other = backend.publish_pipeline(pipeline_config, "2", "to be disabled")
        backend.disable_pipeline(other.id)
        backend.disable_pipeline(other.id)
        assert backend.get_published_pipeline(other.id).status == "Disabled"
        with pytest.raises(ConflictError):
            client.trigger(other.endpoint, backend.authorization_header(), "triggered")
        for _ in range(2):
            backend.enable_pipeline(other.id)
        assert backend.get_published_pipeline(other.id).status == "Active"

    def test_pipeline_endpoint(self, backend: Backend, published: PublishedPipeline, pipeline_config: PipelineConfig) -> None:
        """A pipeline endpoint keeps its address while its default is moved, and runs the default, unless it is disabled."""
        other = backend.publish_pipeline(pipeline_config, "3", "to be the default")
        made = backend.create_pipeline_endpoint("retraining", published.id, "for the contract")
        assert (made.name, made.versions[made.default_version], made.status) == ("retraining", published.id, "Active")
        moved = backend.set_default_pipeline(made.id, other.id)
        assert (moved.id, moved.endpoint, moved.versions[moved.default_version]) == (made.id, made.endpoint, other.id)
        back = backend.set_default_pipeline(made.id, published.id)
        assert (back.default_version, len(back.versions)) == (made.default_version, 2)
        backend.set_default_pipeline(made.id, other.id)
        assert backend.get_pipeline_endpoint(made.id) == moved
        assert moved in backend.list_pipeline_endpoints()
        run_id = client.trigger(made.endpoint, backend.authorization_header(), "triggered")
        backend.cancel_pipeline_run(run_id)
        assert backend.get_pipeline_run(run_id).pipeline_id == other.id
        with pytest.raises(ConflictError, match="retraining"):
            backend.create_pipeline_endpoint("retraining", published.id)
        backend.disable_pipeline_endpoint(made.id)
        assert backend.get_pipeline_endpoint(made.id).status == "Disabled"
        with pytest.raises(ConflictError):
            client.trigger(made.endpoint, backend.authorization_header(), "triggered")
        backend.enable_pipeline_endpoint(made.id)
        assert backend.get_pipeline_endpoint(made.id).status == "Active"

    def test_schedule(self, backend: Backend, published: PublishedPipeline) -> None:
        """A schedule says when it fires, is found again, and is paused and resumed."""
        when = Recurrence(Frequency.WEEK, 2, (WeekDay.MONDAY,), (3,), (30,))
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=300)
        config = ScheduleConfig("fortnightly", published.id, when, "scheduled", start)
        made = backend.schedule_pipeline(config)
        assert (made.config.name, made.config.pipeline_id, made.config.when) == ("fortnightly", published.id, when)
        assert (made.config.start, made.status) == (start, ScheduleStatus.ACTIVE)
        assert backend.get_schedule(made.id) == made
        assert made in backend.list_schedules()
        with pytest.raises(ConflictError, match="fortnightly"):
            backend.schedule_pipeline(config)
        for _ in range(2):
            assert backend.pause_schedule(made.id).status is ScheduleStatus.PAUSED
        assert made.id in [each.id for each in backend.list_schedules()]
        for _ in range(2):
            assert backend.resume_schedule(made.id).status is ScheduleStatus.ACTIVE
        backend.pause_schedule(made.id)

    def test_a_schedule_that_can_not_be(self, backend: Backend, published: PublishedPipeline) -> None:
        """A schedule of an unknown pipeline is NotFoundError, one that can't fire InvalidRequestError."""
        config = ScheduleConfig("never", "00000000-0000-4000-8000-000000000000", Recurrence(Frequency.DAY), "scheduled")
        with pytest.raises(NotFoundError):
            backend.schedule_pipeline(config)
        for when in (Recurrence(Frequency.DAY, 0), Recurrence(Frequency.MONTH, hours=(1,)), Cron("never")):
            with pytest.raises(InvalidRequestError):
                backend.schedule_pipeline(replace(config, pipeline_id=published.id, when=when))
        assert "never" not in [each.config.name for each in backend.list_schedules()]

    def test_cancelled_pipeline_run(self, backend: Backend, pipelines_up: None, pipeline_config: PipelineConfig) -> None:
        """A submitted pipeline run can be cancelled, and ends as Canceled."""
        longer = replace(pipeline_config, automl=replace(pipeline_config.automl, experiment_timeout_minutes=10.0))
        submitted = backend.submit_pipeline(longer)
        backend.cancel_pipeline_run(submitted.id)
        run = wait(backend.get_pipeline_run, submitted.id, timeout_seconds=self.timeout_seconds)
        assert run.status is RunStatus.CANCELED

    def test_resubmit_what_completed(self, backend: Backend, pipeline_run: PipelineRun) -> None:
        """A completed run is not run again where nobody says from which step."""
        with pytest.raises(InvalidRequestError, match=pipeline_run.id):
            backend.resubmit_pipeline_run(pipeline_run.id)

    def test_pipeline_not_there(self, backend: Backend, pipelines_up: None, tmp_path: Path) -> None:
        """An unknown pipeline or pipeline run is NotFoundError."""
        missing = "00000000-0000-4000-8000-000000000000"
        asked: tuple[Callable[[str], object], ...] = (
            backend.get_published_pipeline,
            backend.enable_pipeline,
            backend.disable_pipeline,
            backend.get_pipeline_endpoint,
            backend.enable_pipeline_endpoint,
            backend.disable_pipeline_endpoint,
            backend.get_schedule,
            backend.pause_schedule,
            backend.resume_schedule,
            backend.delete_schedule,
            backend.get_pipeline_run,
        )
        for ask in asked:
            with pytest.raises(NotFoundError):
                ask(missing)
        for look in (
            lambda: backend.resubmit_pipeline_run(missing),
            lambda: backend.get_step_log(missing, "automl"),
            lambda: backend.download_step_output(missing, "automl", "model", tmp_path),
        ):
            with pytest.raises(NotFoundError):
                look()

    # Costs

    def test_release(self, backend: Backend, endpoint: Endpoint) -> None:
        """What costs money has a kind and a name; releasing what is not there is no error."""
        for resource in backend.costly_resources():
            assert resource.kind
            assert resource.name
            backend.release(replace(resource, name="not-there"))


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
