"""What the reports of this room share: a page that stands alone, light or dark, wide or narrow, and its tables and tiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from string import Template

from bankmlops.insights.charts import Series

STYLE = """
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#15202e;--soft:#56657a;--line:#e3e7ed;
--s0:#2563eb;--s1:#c2410c;--s2:#0f8a6d;--s3:#9333ea;--s4:#d99a1c;--good:#0b7a53;--bad:#b42318;--bad-b:#fde8e6;--good-b:#dff5ea}
@media (prefers-color-scheme:dark){:root{--page:#0d1219;--card:#151c26;--ink:#e8eef6;--soft:#9dacc0;--line:#273242;
--s0:#6ea8ff;--s1:#ff8a5c;--s2:#4fd1a5;--s3:#c792ff;--s4:#f0c24b;--good:#6fe0b0;--bad:#ff9d92;--bad-b:#45201d;--good-b:#12372b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1000px;margin:0 auto;padding:32px 24px 48px}
h1{font-size:clamp(24px,4vw,34px);letter-spacing:-.02em;line-height:1.2;margin:0 0 4px}
h2{font-size:18px;margin:36px 0 12px}
p{margin:0}
.soft{color:var(--soft);font-size:13px}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:16px 18px;margin-top:14px;overflow-x:auto}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:1px;background:var(--line);
border:1px solid var(--line);border-radius:14px;overflow:hidden;margin-top:20px}
.tiles div{background:var(--card);padding:14px 18px;font-size:13px;color:var(--soft)}
.tiles b{display:block;color:var(--ink);font-size:24px;font-weight:680;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:top;font-weight:400}
thead th{color:var(--soft);font-size:12.5px;white-space:nowrap}
tr:last-child>*{border-bottom:0}
.n{text-align:right;white-space:nowrap}
.chip{border-radius:11px;padding:2px 10px;font-size:12px;font-weight:650;white-space:nowrap}
.chip.bad{color:var(--bad);background:var(--bad-b)}.chip.good{color:var(--good);background:var(--good-b)}
svg{display:block;width:100%;min-width:560px;height:auto}
svg .grid{stroke:var(--line)}svg .axis{stroke:var(--soft)}
svg text{font-size:11.5px;fill:var(--soft);font-family:inherit}
svg .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
svg .dot{stroke:var(--card);stroke-width:1}
rect.s0,.dot.s0{fill:var(--s0)}rect.s1,.dot.s1{fill:var(--s1)}rect.s2,.dot.s2{fill:var(--s2)}
rect.s3,.dot.s3{fill:var(--s3)}rect.s4,.dot.s4{fill:var(--s4)}rect.quiet{fill:var(--soft);opacity:.45}
.line.s0{stroke:var(--s0)}.line.s1{stroke:var(--s1)}.line.s2{stroke:var(--s2)}.line.s3{stroke:var(--s3)}.line.s4{stroke:var(--s4)}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:12.5px;color:var(--soft);margin-top:6px}
.legend i{display:inline-block;width:12px;height:12px;border-radius:3px;vertical-align:-1px;margin-right:6px}
i.s0{background:var(--s0)}i.s1{background:var(--s1)}i.s2{background:var(--s2)}i.s3{background:var(--s3)}i.s4{background:var(--s4)}
i.quiet{background:var(--soft);opacity:.45}
.small svg{min-width:0}
.grid2{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr))}
.grid2 .card{margin:0}
h3{font-size:14px;margin:0 0 6px;display:flex;justify-content:space-between;gap:10px;align-items:center;overflow-wrap:anywhere}
pre{margin:6px 0 0;font:12px/1.45 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
summary{cursor:pointer}
@media (max-width:620px){main{padding:20px 14px 36px}}
@media print{body{background:#fff}.card{break-inside:avoid}}
"""
_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,"><title>$title</title><style>$style</style></head>
<body><main><h1>$title</h1><p class="soft">$subtitle</p>
$body
</main></body></html>
""")


def page(title: str, subtitle: str, parts: Iterable[str]) -> str:
    """The whole document; `parts` are HTML, title and subtitle are text."""
    return _PAGE.substitute(title=escape(title), subtitle=escape(subtitle), style=STYLE, body="\n".join(parts))


def tiles(named: Iterable[tuple[str, str]]) -> str:
    """Figures that are read first, each above its name."""
    return f'<div class="tiles">{"".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in named)}</div>'


def chart(title: str, svg: str, series: Sequence[Series] = ()) -> str:
    """A chart under its heading, with a legend where there is more than one series."""
    named = "".join(f'<span><i class="{each.style}"></i>{escape(each.name)}</span>' for each in series)
    legend = f'<div class="legend">{named}</div>' if len(series) > 1 else ""
    return f'<h2>{escape(title)}</h2><div class="card">{svg}{legend}</div>'


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table under its heading; numbers stand at the right. A cell that is `Html` stays as it is."""
    numeric = [bool(rows) and all(isinstance(row[index], int | float) for row in rows) for index in range(len(header))]
    style = ["n" if each else "" for each in numeric]
    head = "".join(f'<th class="{each}">{escape(name)}</th>' for each, name in zip(style, header, strict=True))
    lines = ["".join(f'<td class="{each}">{_cell(value)}</td>' for each, value in zip(style, row, strict=True)) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<h2>{escape(title)}</h2><div class="card"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def _cell(value: object) -> str:
    if isinstance(value, Html):
        return value
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else escape(str(value))
