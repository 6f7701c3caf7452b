"""`bankmlops data`: tables, from a file to an immutable version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bankmlops.cli.command import command, group
from bankmlops.cli.drawing import draw_dataset, draw_datasets
from bankmlops.cli.hints import after_dataset
from bankmlops.cli.session import Session
from bankmlops.types import Dataset, DataSource, StreamDrift

application = group("data", "Register tables, and generate one.")

Label = Annotated[str | None, typer.Option("--label", metavar="COLUMN", help="The column to predict: y, or else the last.")]


@command(
    application,
    "register",
    "bankmlops data register bank.csv --name bank --label y",
    "bankmlops data register customers.parquet --label churned",
)
def register(
    session: Session,
    file: Annotated[Path, typer.Argument(help="A CSV or Parquet file; delimiter and encoding are detected.")],
    name: Annotated[str | None, typer.Option("--name", help="The dataset's name: the file's, if left out.")] = None,
    label: Label = None,
    description: Annotated[str, typer.Option("--description", help="A line for those who come later.")] = "",
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Mark it as generated data in every report.")] = False,
) -> None:
    """Make a table an immutable version, named by its content: the same content twice is the same version."""
    source = DataSource(file, synthetic, description)
    dataset = register_source(session, source, name or file.stem, label)
    session.show(dataset, draw_dataset)
    session.hint(after_dataset(session, dataset, file))


def register_source(session: Session, source: DataSource, name: str, label: str | None) -> Dataset:
    """Register a table whose label may have to be guessed, which is said."""
    with session.busy(f"reading {source.path}"):
        return session.backend.register_dataset(name, source, label or guessed_label(session, source.path))


def guessed_label(session: Session, file: Path) -> str:
    """The label of a table where nobody named one."""
    from bankmlops.datasets import guess_label, read_table

    label = guess_label(read_table(file).column_names) or ""
    session.note(f"the label is {label!r}, since no --label names another")
    return label


@command(application, "list", "bankmlops data list")
def list_datasets(session: Session) -> None:
    """List the newest version of each dataset."""
    session.show(session.backend.list_datasets(), draw_datasets)


Name = Annotated[str, typer.Argument(metavar="NAME", help="The dataset's name.")]
Version = Annotated[str | None, typer.Option("--version", help="One version: the newest, if left out.")]


@command(application, "show", "bankmlops data show bank", "bankmlops data show bank --json")
def show(session: Session, name: Name, version: Version = None) -> None:
    """Show one version of a dataset."""
    session.show(session.backend.get_dataset(name, version), draw_dataset)


@command(
    application,
    "synthesize",
    "bankmlops data synthesize --rows 3000 --seed 1 bank.csv",
    "bankmlops data synthesize --rows 10000000 big.parquet",
    "bankmlops data synthesize --rows 20000 --drift sudden stream.csv",
)
def synthesize(
    session: Session,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: .csv or .parquet.")],
    rows: Annotated[int, typer.Option("--rows", help="How many rows.")] = 32_950,
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same rows.")] = 42,
    drift: Annotated[
        StreamDrift | None, typer.Option("--drift", help="Make a stream, with times and request ids, whose world changes so.")
    ] = None,
    label_delay: Annotated[
        float, typer.Option("--label-delay", metavar="ROWS", help="How many rows later a stream's label arrives, in the mean.")
    ] = 500.0,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="The file of a stream's labels: OUT with .labels, if left out."),
    ] = None,
) -> None:
    """Write a stand-in for the Bank Marketing table: the same columns, categories and marginals, but no real person."""
    from bankmlops.cli.progress import counting
    from bankmlops.datasets import synthesize as write
    from bankmlops.datasets import synthesize_stream

    made = {"file": str(out), "rows": rows, "seed": seed, "synthetic": True}
    with counting(f"writing {out}", "rows") as on_progress:
        if drift is None:
            write(out, rows, seed, on_progress=on_progress)
        else:
            apart = labels or out.with_name(f"{out.stem}.labels{out.suffix}")
            synthesize_stream(out, apart, rows, seed, drift, label_delay, on_progress=on_progress)
            made |= {"labels": str(apart), "drift": str(drift), "label_delay": label_delay}
    session.show(made, lambda made: f"{rows:,} rows in {made['file']}" + (f", labels in {made['labels']}" if drift else ""))
