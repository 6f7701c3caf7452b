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
from bankmlops.types import AutoMLConfig, Dataset, DataSource

DatasetVersion = Annotated[
    str | None, typer.Option("--dataset-version", metavar="VERSION", help="One version of it: the newest, if left out.")
]


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
    cv: Annotated[int, typer.Option("--cv", help="How many folds cross-validation has.")] = 5
    concurrent: Annotated[int | None, typer.Option("--concurrent", help="Trials at once: what fits, if left out.")] = None
    seed: Annotated[int, typer.Option("--seed", help="The random seed.")] = 42
    voting_ensemble: Annotated[
        bool, typer.Option("--voting-ensemble/--no-voting-ensemble", help="Blend the best trials in the end.")
    ] = True

    def config(self, dataset: Dataset) -> AutoMLConfig:
        """The same in Azure ML's words."""
        return AutoMLConfig(
            dataset=dataset,
            experiment_name=self.experiment,
            primary_metric=self.metric,
            experiment_timeout_minutes=self.minutes,
            n_cross_validations=self.cv,
            max_concurrent_iterations=self.concurrent,
            allowed_models=names_of(self.allowed_models),
            blocked_models=names_of(self.blocked_models),
            enable_voting_ensemble=self.voting_ensemble,
            random_seed=self.seed,
        )


def registered(session: Session, table: Table) -> Dataset:
    """The dataset to train on, registered now where it is a file. Raises `InvalidRequestError` where nothing is named."""
    if table.data is not None:
        return register_source(session, DataSource(table.data), table.dataset or table.data.stem, table.label)
    if table.dataset is None:
        raise InvalidRequestError("name what to train on: --dataset NAME, or --data FILE")
    return session.backend.get_dataset(table.dataset, table.dataset_version)
