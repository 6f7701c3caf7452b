"""A run as a piece of HTML that stands anywhere: in a notebook's theme, in an exported page, in the dark, without a script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from bankmlops.run_graph import lasted, layers, readable, waits_for
from bankmlops.types import PipelineRun, Run, RunStatus, StepRun

AnyRun = PipelineRun | Run
_WIDTH, _HEIGHT, _ALONG, _BESIDE = 150, 46, 34, 14
_LETTERS = 17
_WORDS = {
    RunStatus.NOT_STARTED: "waiting",
    RunStatus.RUNNING: "running",
    RunStatus.COMPLETED: "completed",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELED: "canceled",
}
# JupyterLab's own colours where they are there, so that it follows the theme; colours that can be read on both elsewhere.
_STYLE = """<style>
.bankmlops-run{--ink:var(--jp-ui-font-color1,CanvasText);--line:var(--jp-border-color1,#8b95a3);
--soft:var(--jp-ui-font-color2,color-mix(in srgb,CanvasText 70%,Canvas));
color:var(--ink);font:13px/1.45 var(--jp-ui-font-family,system-ui,sans-serif);max-width:960px;padding:4px 0}
.bankmlops-run h4{margin:0 0 2px;font-size:16px}
.bankmlops-run p{margin:2px 0}
.bankmlops-run .soft{color:var(--soft)}
.bankmlops-run .graph{overflow-x:auto;margin:8px 0}
.bankmlops-run table{border-collapse:collapse;font-size:13px;width:100%}
.bankmlops-run th,.bankmlops-run td{text-align:left;padding:4px 14px 4px 0;border-bottom:1px solid var(--line);
font-weight:400;vertical-align:top;background:none;overflow-wrap:anywhere}
.bankmlops-run thead th{font-weight:600}
.bankmlops-run svg text{fill:currentColor;font-size:12.5px;font-weight:600}
.bankmlops-run svg .note{font-size:11px;font-weight:400}
.bankmlops-run .box{fill:none;stroke:var(--line);stroke-width:1.5}
.bankmlops-run .edge{fill:none;stroke:var(--line);stroke-width:1.5}
.bankmlops-run .Completed .dot{fill:#1a8f63}.bankmlops-run .Completed .box{stroke:#1a8f63}
.bankmlops-run .Running .dot{fill:#2f74e8}.bankmlops-run .Running .box{stroke:#2f74e8;stroke-width:2.5}
.bankmlops-run .Failed .dot{fill:#d0382b}.bankmlops-run .Failed .box{stroke:#d0382b;stroke-width:2.5}
.bankmlops-run .Canceled .dot{fill:#b7791f}.bankmlops-run .NotStarted .dot{fill:none;stroke:var(--line);stroke-width:1.5}
.bankmlops-run .NotStarted .box{stroke-dasharray:4 4}
</style>"""


def draw(run: AnyRun, note: str = "") -> str:
    """The run; `note` is a line below it. Whatever is in it is escaped."""
    parts = [_heading(run), _pipeline(run) if isinstance(run, PipelineRun) else _training(run)]
    if run.error:
        parts.append(f'<p role="note"><b>Error:</b> {escape(run.error)}</p>')
    if note:
        parts.append(f'<p class="soft">{escape(note)}</p>')
    return f'<div class="bankmlops-run">{_STYLE}{"".join(parts)}</div>'


def _heading(run: AnyRun) -> str:
    name = (run.name if isinstance(run, PipelineRun) else "") or run.experiment_name or run.id
    facts = [f"run {run.id}", run.experiment_name, _lasting(run.started, run.ended)]
    said = " · ".join(escape(fact) for fact in facts if fact)
    return f"<h4>{escape(name)}: {_WORDS[run.status]}</h4><p class='soft'>{said}</p>"


def _training(run: Run) -> str:
    score = run.metrics.get(run.primary_metric)
    found = f"{run.best_algorithm}, {run.primary_metric} {score:.4f}" if run.best_algorithm and score is not None else ""
    said = found if run.status.is_final else run.progress
    bar = (
        ""
        if run.status.is_final
        else f'<progress max="1" value="{run.fraction:.3f}" aria-label="Share of the budget"></progress>'
    )
    return f"<p>{escape(said)}</p>{bar}" if said or bar else ""


def _pipeline(run: PipelineRun) -> str:
    if not run.steps:
        return ""
    outputs = " · ".join(f"{escape(name)}: {escape(readable(value))}" for name, value in run.outputs.items())
    ended = f'<p class="soft">{outputs}</p>' if outputs and run.status.is_final else ""
    return f'<div class="graph">{_graph(run.steps)}</div>{_table(run.steps)}{ended}'


def _table(steps: Sequence[StepRun]) -> str:
    head = "".join(f'<th scope="col">{title}</th>' for title in ("Step", "State", "After", "Took", "It says"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, steps))}</tbody></table>"


def _row(step: StepRun) -> str:
    cells = (_word(step), ", ".join(step.depends_on), _took(step), _saying(step))
    told = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    name = escape(step.name)
    return f'<tr data-step="{name}" data-state="{_word(step)}"><th scope="row">{name}</th>{told}</tr>'


def _word(step: StepRun) -> str:
    return "not run" if step.status is RunStatus.NOT_STARTED and step.reason else _WORDS[step.status]


def _saying(step: StepRun) -> str:
    if step.error:
        return step.error
    if step.status is RunStatus.RUNNING:
        return step.progress
    return ", ".join(part for part in (step.outputs.get("best_algorithm", ""), step.reason) if part)


def _graph(steps: Sequence[StepRun]) -> str:
    """The steps from left to right; the table says the same in words."""
    found = layers(steps)
    widest = max(map(len, found))
    places = {
        step.name: _place(depth, row, len(layer), widest) for depth, layer in enumerate(found) for row, step in enumerate(layer)
    }
    width, height = len(found) * (_WIDTH + _ALONG) - _ALONG + 4, widest * (_HEIGHT + _BESIDE) - _BESIDE + 4
    edges = "".join(_edge(places[name], places[step]) for step, names in waits_for(steps).items() for name in names)
    nodes = "".join(_node(step, places[step.name]) for step in steps)
    said = ", ".join(f"{step.name} {_word(step)}" for step in steps)
    return (
        f'<svg role="img" aria-label="{escape(said)}" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"{edges}{nodes}</svg>"
    )


def _place(depth: int, row: int, rows: int, widest: int) -> tuple[float, float]:
    return 2 + depth * (_WIDTH + _ALONG), 2 + (row + (widest - rows) / 2) * (_HEIGHT + _BESIDE)


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0] + _WIDTH, start[1] + _HEIGHT / 2, end[0], end[1] + _HEIGHT / 2
    half = (x2 - x1) / 2
    return f'<path class="edge" d="M{x1:g} {y1:g} C{x1 + half:g} {y1:g} {x2 - half:g} {y2:g} {x2:g} {y2:g}"/>'


def _node(step: StepRun, place: tuple[float, float]) -> str:
    note = step.progress if step.status is RunStatus.RUNNING and step.progress else _word(step)
    took = _took(step)
    words = note if step.status is RunStatus.RUNNING or not took else f"{note}, {took}"
    title = escape(f"{step.name}: {words}")
    return (
        f'<g class="{step.status}" transform="translate({place[0]:g} {place[1]:g})"><title>{title}</title>'
        f'<rect class="box" width="{_WIDTH}" height="{_HEIGHT}" rx="9"/><circle class="dot" cx="17" cy="{_HEIGHT // 2}" r="6"/>'
        f'<text x="32" y="20">{escape(_cut(step.name, _LETTERS - 2))}</text>'
        f'<text class="note" x="32" y="36">{escape(_cut(words, _LETTERS + 3))}</text></g>'
    )


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


def _took(step: StepRun) -> str:
    if step.status is RunStatus.RUNNING:
        return _lasting(step.started, None)
    return f"{step.seconds:.1f} s" if step.seconds else ""


def _lasting(started: datetime | None, ended: datetime | None) -> str:
    seconds = lasted(started, ended)
    if seconds is None:
        return ""
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
