"""A function that a pipeline calls as a step: see scoring.yaml beside it."""

from pathlib import Path

from pyarrow import parquet


def count_answers(predictions: Path, answer: str) -> dict[str, object]:
    """How many rows were scored, the share of one answer, and a table of all answers as a file."""
    answers = parquet.read_table(predictions, columns=["prediction"])["prediction"].to_pylist()
    counts = {name: answers.count(name) for name in sorted(set(answers))}
    table = Path("answers.csv")
    table.write_text("answer,rows\n" + "".join(f"{name},{count}\n" for name, count in counts.items()))
    return {"rows": len(answers), "share": counts.get(answer, 0) / len(answers), "table": table}
