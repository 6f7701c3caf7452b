"""The steps that look at data: prepare, which may hold rows out for a test, and guardrails.

Which rows are held out follows from each row's content alone, so a row that is in the test once is in it in every later version
of the dataset, and no model that such a pipeline trained has seen it. Equal rows are on the same side.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from bankmlops.errors import InvalidRequestError, RunFailedError
from bankmlops.local.datasets import Datasets
from bankmlops.local.disk import disk_errors
from bankmlops.local.pipelines.documents import from_document
from bankmlops.local.pipelines.files import file_output
from bankmlops.local.pipelines.steps import Outputs, StepContext
from bankmlops.local.pipelines.training import dataset_of
from bankmlops.types import AutoMLConfig, Dataset, DataSource

if TYPE_CHECKING:
    import pyarrow as pa

_SHARES = 1_000_000
_SEPARATOR, _MISSING = "\x1f", "\x00"


def prepare(context: StepContext, _outputs: Outputs) -> Outputs:
    """See that the dataset is there as it was when the pipeline was made; divide it where `test_share` asks for it."""
    found = dataset_of(context.backend, context.inputs["dataset"])
    wanted = context.inputs.get("sha256", found.sha256)
    if found.sha256 != wanted:
        raise InvalidRequestError(f"{_named(found)} has other content than when the pipeline was made")
    share = context.inputs.get("test_share")
    if share is None:
        return _described(found)
    check_share(share)
    return _divided(context, found, share)


def check_share(share: float) -> None:
    """Raises `InvalidRequestError` for what is no share of the rows."""
    if not 0 < share < 1:
        raise InvalidRequestError(f"test_share {share} can't serve; a share between 0 and 1, such as 0.2, would")


def held_out(table: pa.Table, share: float) -> Sequence[bool]:
    """Whether each row belongs to the test."""
    import pyarrow.compute as pc

    texts = [pc.fill_null(column.cast("string"), _MISSING) for column in table.columns]
    rows = pc.binary_join_element_wise(*texts, _SEPARATOR) if len(texts) > 1 else texts[0]
    bound = share * _SHARES
    return [int.from_bytes(blake2b(row.encode(), digest_size=8).digest()) % _SHARES < bound for row in rows.to_pylist()]


def examine_table(context: StepContext, _outputs: Outputs) -> Outputs:
    """Examine the table, write what was found, and stop the run at an alert that `refuse` names ("*" is any)."""
    from bankmlops.automl.findings import Status
    from bankmlops.automl.guardrails import examine
    from bankmlops.automl.guardrails_page import HTML_FILE, JSON_FILE, write_guardrails
    from bankmlops.automl.table import prepare as fit
    from bankmlops.automl.validation import validate_config

    dataset = dataset_of(context.backend, context.inputs["dataset"])
    config = from_document(AutoMLConfig, {"dataset": dataset, "featurization": context.inputs.get("featurization", {})})
    validate_config(config)
    table = fit(Datasets(context.workspace).read(dataset), config)
    found = examine(table.columns, table.specification, table.labels)
    folder = context.folder.outputs()
    with disk_errors(folder):
        write_guardrails(folder, found, table, dataset)
    alerts = {finding.name: finding.description for finding in found.findings if finding.status is Status.ALERTED}
    for name, description in alerts.items():
        context.log(f"{name}: {description}")
    _refuse(alerts, context.inputs.get("refuse", ()))
    return {
        "dataset": context.inputs["dataset"],
        "alerts": ", ".join(alerts),
        "report": str(file_output(context.workspace, folder / JSON_FILE)),
        "page": str(file_output(context.workspace, folder / HTML_FILE)),
    }


def _refuse(alerts: dict[str, str], names: Sequence[str]) -> None:
    refused = next((name for name in alerts if name in names or "*" in names), None)
    if refused is not None:
        raise RunFailedError(f"guardrail {refused!r}: {alerts[refused]}")


def _described(dataset: Dataset) -> dict[str, str]:
    return {"dataset": f"{dataset.name}:{dataset.version}", "rows": str(dataset.rows)}


def _divided(context: StepContext, dataset: Dataset, share: float) -> Outputs:
    """Each part as a dataset of its own; the same rows are the same version, so this may happen twice."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    from bankmlops.datasets import check_for_test, check_for_training

    datasets = Datasets(context.workspace)
    table = parquet.read_table(datasets.parquet(dataset))
    is_test = pa.array(held_out(table, share), pa.bool_())
    parts = {"train": table.filter(pc.invert(is_test)), "test": table.filter(is_test)}
    for part, check in (("train", check_for_training), ("test", check_for_test)):
        check(parts[part], dataset.label_column, f"{part} part of {_named(dataset)} with test_share {share:g}")
    training, test = (_keep(datasets, dataset, part, rows) for part, rows in parts.items())
    return {**_described(training), "test_dataset": f"{test.name}:{test.version}", "test_rows": str(test.rows)}


def _keep(datasets: Datasets, dataset: Dataset, part: str, table: pa.Table) -> Dataset:
    source = DataSource(datasets.parquet(dataset), dataset.synthetic, f"the {part} part of {_named(dataset)}")
    return datasets.keep(f"{dataset.name}-{part}", table, source, dataset.label_column)


def _named(dataset: Dataset) -> str:
    return f"dataset {dataset.name} version {dataset.version}"
