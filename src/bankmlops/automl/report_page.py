"""The report's page: its style sheet for light and dark, wide and narrow, its few lines of script, and what is around them."""

from __future__ import annotations

from string import Template

STYLE = """
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#15202e;--soft:#56657a;--line:#e3e7ed;--faint:#eef1f5;
--s0:#2563eb;--s1:#d9480f;--s2:#0f8a6d;--s3:#9333ea;--s4:#b7791f;--good:#0b7a53;--good-b:#dff5ea;--warn:#9a4a00;--warn-b:#ffeed6;
--done:#1d4fb8;--done-b:#e2ecff;--low:#2f7de1;--high:#e8590c}
@media (prefers-color-scheme:dark){:root{--page:#0d1219;--card:#151c26;--ink:#e8eef6;--soft:#9dacc0;--line:#273242;
--faint:#1c2531;--s0:#6ea8ff;--s1:#ff9a5c;--s2:#4fd1a5;--s3:#c792ff;--s4:#f0c24b;--good:#6fe0b0;--good-b:#12372b;--warn:#ffc27a;--warn-b:#42290c;
--done:#a9c7ff;--done-b:#1a2f55;--low:#5aa2ff;--high:#ff8a3d}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main,header,footer{max-width:1240px;margin:0 auto;padding:0 24px}
header{padding-top:36px}
h1,h2,h3{line-height:1.2;margin:0;text-wrap:balance}
h1{font-size:clamp(26px,4vw,40px);letter-spacing:-.02em;font-weight:700}
h2{font-size:21px;letter-spacing:-.01em;margin:44px 0 14px}
h3{font-size:15px;font-weight:650}
p{margin:0}
.eyebrow{color:var(--soft);font-size:13px;margin-bottom:8px}
.soft{color:var(--soft)}
.small{font-size:13px}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:18px 20px;min-width:0}
.grid{display:grid;gap:16px;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr))}
.two{display:grid;gap:16px;align-items:start;grid-template-columns:minmax(0,1.35fr) minmax(0,1fr)}
.banner{margin:18px 0 0;padding:12px 18px;border-radius:12px;font-weight:650;color:#3b2500;border:2px solid #b45309;
background:repeating-linear-gradient(-45deg,#ffd166 0 14px,#ffdf94 14px 28px)}
.hero{display:grid;grid-template-columns:minmax(0,1.35fr) minmax(0,1fr);gap:16px;margin-top:22px}
.hero>.card:first-child{display:flex;flex-direction:column;justify-content:center}
.number{font-size:clamp(46px,8vw,76px);font-weight:750;letter-spacing:-.04em;line-height:1;font-variant-numeric:tabular-nums}
.track{position:relative;height:14px;border-radius:7px;background:var(--faint);
margin:20px 0 8px;overflow:hidden;border:1px solid var(--line)}
.track i{position:absolute;top:0;bottom:0;background:var(--s0)}
.track i.base{background:var(--soft);opacity:.45}
.ends{display:flex;justify-content:space-between;gap:12px;font-size:13px;color:var(--soft)}
.tiles{display:grid;grid-template-columns:1fr 1fr;gap:1px;background:var(--line);padding:0;overflow:hidden}
.tiles div{background:var(--card);padding:14px 18px}
.tiles b{display:block;font-size:24px;font-weight:680;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);font-size:13px;padding-bottom:8px}
th,td{text-align:left;padding:7px 10px 7px 0;border-bottom:1px solid var(--line);vertical-align:top;font-weight:400}
thead th{color:var(--soft);font-size:12.5px;white-space:nowrap}
tr:last-child>*{border-bottom:0}
.tight th,.tight td{padding:5px 8px 5px 0}
dl.small{gap:3px 16px}
dl.small dd{text-align:right;font-variant-numeric:tabular-nums}
.n{text-align:right;white-space:nowrap}
tr.best th,tr.best td{font-weight:680}
.bar{display:block;height:8px;border-radius:4px;background:var(--faint);min-width:90px;margin-top:7px;overflow:hidden}
.bar i{display:block;height:100%;border-radius:4px;background:var(--s0)}
.bar i.quiet{background:var(--soft);opacity:.55}
details code{color:var(--soft);font-weight:400;display:block;padding:4px 0 4px 14px}
summary{cursor:pointer;list-style-position:outside;margin-left:14px}
summary::marker{color:var(--soft);font-size:11px}
.score{display:flex;align-items:center;gap:12px}
.score .bar{flex:1;margin:0;min-width:44px}
.stack{display:grid;gap:16px;align-content:start}
code{font:12px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto}
figure{margin:0}
.span{grid-column:span 2}
.grid-s{margin-top:10px}
svg .grid{stroke:var(--line);stroke-width:1}
svg .axis{stroke:var(--soft);stroke-width:1}
svg text{font-size:11.5px;fill:var(--soft);font-family:inherit}
svg .note{font-size:11px}
svg .line{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}
svg .area{stroke:none;opacity:.1}
svg .pillar.faint{fill:var(--soft);opacity:.22}
svg .rule{fill:none;stroke:var(--soft);stroke-width:1.2;stroke-dasharray:3 4}
svg .marker{stroke:var(--ink);stroke-width:1.5}
svg .dot{stroke:var(--card);stroke-width:1.2}
.line.s0{stroke:var(--s0)}.line.s1{stroke:var(--s1)}.line.s2{stroke:var(--s2)}.line.s3{stroke:var(--s3)}.line.s4{stroke:var(--s4)}
.dot.s0,.area.s0{fill:var(--s0)}.dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}.dot.s3{fill:var(--s3)}.dot.s4{fill:var(--s4)}
.legend{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:12.5px;color:var(--soft);margin-top:4px}
.legend i{display:inline-block;width:14px;height:3px;border-radius:2px;vertical-align:middle;margin-right:6px}
i.s0{background:var(--s0)}i.s1{background:var(--s1)}i.s2{background:var(--s2)}i.s3{background:var(--s3)}i.s4{background:var(--s4)}
.drivers{display:grid;grid-template-columns:minmax(90px,170px) minmax(110px,1fr) minmax(0,2.2fr);gap:3px 16px;align-items:center}
.drivers .head{font-size:12.5px;color:var(--soft);padding-bottom:4px}
.drivers .name{font-weight:600;overflow-wrap:anywhere}
.drivers .size{display:flex;align-items:center;gap:8px;font-size:12.5px;color:var(--soft);font-variant-numeric:tabular-nums}
.drivers .bar{margin:0;flex:1;min-width:40px}
.strip circle{opacity:.75}
.strip .zero{stroke:var(--line);stroke-width:1.5}
.strip .h0{fill:var(--low)}.strip .h1{fill:color-mix(in oklab,var(--low),var(--high) 33%)}
.strip .h2{fill:color-mix(in oklab,var(--low),var(--high) 67%)}.strip .h3{fill:var(--high)}.strip .ht{fill:var(--soft)}
.key i{display:inline-block;width:10px;height:10px;border-radius:50%;margin:0 5px 0 12px;vertical-align:-1px}
.sum{display:grid;grid-template-columns:minmax(0,1.5fr) minmax(0,1fr) 52px;
gap:5px 10px;align-items:center;font-size:13px;margin-top:12px}
.sum span:nth-child(3n+1){overflow-wrap:anywhere}
.sum .pull{position:relative;height:12px;
background:linear-gradient(90deg,transparent calc(50% - .5px),var(--line) 0 calc(50% + .5px),transparent 0)}
.pull i{position:absolute;top:0;bottom:0;border-radius:3px;background:var(--high)}
.pull i.down{background:var(--low)}
.matrix td,.matrix tbody th,.matrix thead th{border:0;padding:3px}
.matrix th{vertical-align:middle;text-align:center}
.matrix tbody th{text-align:right;padding-right:8px}
.matrix td div{border-radius:9px;padding:12px 10px;text-align:center}
.matrix td b{display:block;font-size:19px;letter-spacing:-.01em}
.matrix.many td div{padding:5px 3px;font-size:12px;min-width:30px}
.matrix.many td b{font-size:12px;font-weight:500}
input[type=range]{width:100%;accent-color:var(--s0);margin:6px 0 0}
.rail{display:flex;gap:10px;padding:12px 0;border-bottom:1px solid var(--line)}
.rail:last-child{border-bottom:0}
.chip{flex:none;width:82px;height:25px;border-radius:13px;font-size:12px;font-weight:650;text-align:center;line-height:25px}
.chip.passed{color:var(--good);background:var(--good-b)}
.chip.done{color:var(--done);background:var(--done-b)}
.chip.alerted{color:var(--warn);background:var(--warn-b)}
.shares{display:flex;gap:2px;height:22px;border-radius:8px;overflow:hidden;margin:14px 0 6px}
.shares i{min-width:3px}
dl{display:grid;grid-template-columns:auto minmax(0,1fr);gap:5px 16px;margin:12px 0 0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
footer{padding-top:34px;padding-bottom:44px;color:var(--soft);font-size:13px}
@media (max-width:780px){.span{grid-column:auto}}
@media (max-width:900px){.hero,.two{grid-template-columns:minmax(0,1fr)}}
@media (max-width:620px){main,header,footer{padding-left:14px;padding-right:14px}header{padding-top:22px}.card{padding:15px 15px}
.tiles{padding:0}.drivers{grid-template-columns:minmax(0,1fr) minmax(0,1.2fr)}.drivers .head{display:none}
.drivers .strip{grid-column:1/-1;margin-bottom:8px}.wide{display:none}.rail{flex-direction:column;gap:6px}h2{margin-top:34px}}
@media print{body{background:#fff}.card{break-inside:avoid}}
"""

# Moves the threshold of the confusion matrix; without it the matrix stands at the endpoint's own threshold.
SCRIPT = """
const data=JSON.parse(document.getElementById('threshold-data').textContent);
const slider=document.getElementById('threshold'),marker=document.getElementById('threshold-marker');
const say=(id,text)=>{document.getElementById(id).textContent=text};
const share=(part,whole)=>whole?(100*part/whole).toFixed(1)+'%':'none';
function move(){
 const t=+slider.value,tp=data.true[t],fp=data.false[t],fn=data.actual-tp,tn=data.rows-data.actual-fp;
 [['m11',tp,data.actual],['m01',fp,data.rows-data.actual],['m10',fn,data.actual],['m00',tn,data.rows-data.actual]].forEach(([id,n,of])=>{
  say(id,n.toLocaleString('en'));say(id+'s',share(n,of));
  document.getElementById(id).parentNode.style.setProperty('--part',(of?n/of*45:0)+'%')});
 say('threshold-value',(t/100).toFixed(2));
 say('threshold-scores','accuracy '+share(tp+tn,data.rows)+', precision '+share(tp,tp+fp)+', recall '+share(tp,data.actual));
 const left=+marker.dataset.left,x=left+(marker.dataset.right-left)*t/100;
 marker.setAttribute('x1',x);marker.setAttribute('x2',x);
}
document.getElementById('threshold-control').hidden=false;
slider.addEventListener('input',move);move();
"""

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<link rel="icon" href="data:,">
<style>$style</style>
</head>
<body>
<header>$header</header>
<main>
$sections
</main>
<footer>$footer</footer>
$script
</body>
</html>
""")


def page(title: str, header: str, sections: str, footer: str, script: str) -> str:
    """The whole document; all but the title are HTML already, as is the title's text."""
    return PAGE.substitute(title=title, style=STYLE.strip(), header=header, sections=sections, footer=footer, script=script)
