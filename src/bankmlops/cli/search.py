"""The options of a search, which `automl run` and the pipelines share, and the table that it is for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bankmlops.cli.data import Label, register_source
from bankmlops.cli.session import Session
from bankmlops.cli.words import Minutes, names_of
from bankmlops.errors import InvalidRequestError
from bankmlops.types import AutoMLConfig, ColumnPurpose, Dataset, DataSource, Device, Engine, Featurization, FeaturizationMode

DatasetVersion = Annotated[
    str | None, typer.Option("--dataset-version", metavar="VERSION", help="One version of it: the newest, if left out.")
]

_QUOTED = "; '\"A, B\",C' quotes a name with a comma"


@dataclass(frozen=True, slots=True)
class Table:
    """What to train on."""

    dataset: Annotated[str | None, typer.Option("--dataset", metavar="NAME", help="A registered dataset.")] = None
    dataset_version: DatasetVersion = None
    data: Annotated[Path | None, typer.Option("--data", metavar="FILE", help="A table to register first.")] = None
    label: Label = None


@dataclass(frozen=True, slots=True)
class Search:
    """How to search."""

    minutes: Minutes = 1.0
    metric: Annotated[str, typer.Option("--metric", help="The primary metric: accuracy, AUC_weighted, ...")] = "accuracy"
    experiment: Annotated[str, typer.Option("--experiment", help="The experiment that it belongs to.")] = "bankmarketing-automl"
    allowed_models: Annotated[str, typer.Option("--allowed-models", metavar="A,B", help="Search these algorithms alone.")] = ""
    blocked_models: Annotated[str, typer.Option("--blocked-models", metavar="A,B", help="Leave these algorithms out.")] = ""
    cv: Annotated[int | None, typer.Option("--cv", help="How many folds cross-validation has: by the rows, if left out.")] = None
    validation_size: Annotated[
        float | None, typer.Option("--validation-size", metavar="SHARE", help="Hold out this share instead, such as 0.1.")
    ] = None
    validation_dataset: Annotated[
        str | None,
        typer.Option("--validation-dataset", metavar="NAME", help="Score on this dataset instead (NAME, NAME:VERSION)."),
    ] = None
    iterations: Annotated[int | None, typer.Option("--iterations", help="Try so many configurations at most.")] = None
    iteration_minutes: Annotated[
        float | None, typer.Option("--iteration-minutes", help="End a trial that takes longer than this.")
    ] = None
    exit_score: Annotated[
        float | None, typer.Option("--exit-score", help="Stop when a trial's primary metric is as good as this.")
    ] = None
    early_stopping: Annotated[
        bool, typer.Option("--early-stopping/--no-early-stopping", help="Stop when many trials in a row bring nothing better.")
    ] = True
    featurization: Annotated[
        FeaturizationMode, typer.Option("--featurization", help="Make features of the columns, or take numbers as they are.")
    ] = FeaturizationMode.AUTO
    drop_columns: Annotated[str, typer.Option("--drop-columns", metavar="A,B", help=f"Leave these columns out{_QUOTED}.")] = ""
    numeric_columns: Annotated[
        str, typer.Option("--numeric-columns", metavar="A,B", help=f"Take these for numbers, though they hold text{_QUOTED}.")
    ] = ""
    categorical_columns: Annotated[
        str,
        typer.Option(
            "--categorical-columns", metavar="A,B", help=f"Take these for categories, though they hold numbers{_QUOTED}."
        ),
    ] = ""
    text_columns: Annotated[
        str,
        typer.Option("--text-columns", metavar="A,B", help=f"Read these for their words, though each text may differ{_QUOTED}."),
    ] = ""
    positive_label: Annotated[
        str | None, typer.Option("--positive-label", metavar="CLASS", help="The class that binary metrics and curves are of.")
    ] = None
    concurrent: Annotated[int | None, typer.Option("--concurrent", help="Trials at once: what fits, if left out.")] = None
    seed: Annotated[int, typer.Option("--seed", help="The random seed.")] = 42
    device: Annotated[Device, typer.Option("--device", help="What learners fit on; auto is what they can use.")] = Device.AUTO
    engine: Annotated[Engine, typer.Option("--engine", help="Fit trials here, or on a Ray cluster.")] = Engine.LOCAL
    address: Annotated[
        str, typer.Option("--address", help="The Ray cluster's: HOST:PORT, ray://HOST:PORT or auto ($RAY_ADDRESS, if left out).")
    ] = ""
    voting_ensemble: Annotated[
        bool, typer.Option("--voting-ensemble/--no-voting-ensemble", help="Blend the best trials in the end.")
    ] = True
    stack_ensemble: Annotated[
        bool, typer.Option("--stack-ensemble/--no-stack-ensemble", help="Stack the best trials in the end.")
    ] = False
    dnn: Annotated[
        bool, typer.Option("--enable-dnn", help="A network among the learners (PyTorch: install bankmlops\\[deep]).")
    ] = False
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Explain the winner (Azure's model_explainability).")
    ] = True

    def config(self, session: Session, dataset: Dataset) -> AutoMLConfig:
        """The same in Azure ML's words. Raises `NotFoundError` where there is no such validation dataset."""
        return AutoMLConfig(
            dataset=dataset,
            experiment_name=self.experiment,
            primary_metric=self.metric,
            experiment_timeout_minutes=self.minutes,
            experiment_exit_score=self.exit_score,
            iterations=self.iterations,
            iteration_timeout_minutes=self.iteration_minutes,
            enable_early_stopping=self.early_stopping,
            n_cross_validations=self.cv,
            validation_size=self.validation_size,
            validation_dataset=_named_dataset(session, self.validation_dataset),
            max_concurrent_iterations=self.concurrent,
            allowed_models=names_of(self.allowed_models),
            blocked_models=names_of(self.blocked_models),
            featurization=self._featurization,
            positive_label=self.positive_label,
            enable_voting_ensemble=self.voting_ensemble,
            enable_stack_ensemble=self.stack_ensemble,
            enable_dnn=self.dnn,
            model_explainability=self.explain,
            random_seed=self.seed,
            device=self.device,
            engine=self.engine,
            address=self.address,
        )

    @property
    def _featurization(self) -> Featurization:
        options = {
            "--numeric-columns": (self.numeric_columns, ColumnPurpose.NUMERIC),
            "--categorical-columns": (self.categorical_columns, ColumnPurpose.CATEGORICAL),
            "--text-columns": (self.text_columns, ColumnPurpose.TEXT),
        }
        purposes: dict[str, ColumnPurpose] = {}
        asked: dict[str, str] = {}
        for option, (names, purpose) in options.items():
            for name in names_of(names):
                if name in purposes and purposes[name] is not purpose:
                    raise InvalidRequestError(f"column {name!r} is in {asked[name]} and {option}; give one of both")
                purposes[name], asked[name] = purpose, option
        return Featurization(self.featurization, names_of(self.drop_columns), purposes)


def _named_dataset(session: Session, name: str | None) -> Dataset | None:
    if name is None:
        return None
    before, colon, version = name.rpartition(":")
    return session.backend.get_dataset(before, version) if colon else session.backend.get_dataset(name)


def registered(session: Session, table: Table) -> Dataset:
    """The dataset to train on, registered now where it is a file. Raises `InvalidRequestError` where nothing is named."""
    if table.data is not None:
        return register_source(session, DataSource(table.data), table.dataset or table.data.stem, table.label)
    if table.dataset is None:
        raise InvalidRequestError("name what to train on: --dataset NAME, or --data FILE")
    return session.backend.get_dataset(table.dataset, table.dataset_version)
