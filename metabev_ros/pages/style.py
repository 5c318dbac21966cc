"""The look of the pages: a style sheet that also fits a telephone of 400 pixels."""

from __future__ import annotations

STYLE = """
:root { --ink: #22262c; --soft: #5b6470; --line: #e2e5e9; --good: #1f7a43; --bad: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 40px 24px 96px; background: #fff;
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -.01em; }
h2 { font-size: 20px; margin: 52px 0 4px; letter-spacing: -.005em; }
h3 { font-size: 16px; margin: 22px 0 4px; }
p { margin: 6px 0 14px; max-width: 76ch; }
p.soft, figcaption, .meta { color: var(--soft); font-size: 14px; }
.verdict { display: inline-block; font-weight: 600; padding: 3px 12px; border-radius: 14px;
  margin: 6px 0 10px; color: #fff; background: var(--good); }
.verdict.bad { background: var(--bad); }
.wide { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; width: 100%; font-size: 14px; margin: 10px 0 6px; }
th { text-align: left; font-weight: 600; color: var(--soft); }
th, td { border-bottom: 1px solid var(--line); padding: 6px 14px 6px 0; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
td.good { color: var(--good); font-weight: 600; } td.bad { color: var(--bad); font-weight: 600; }
tr.stated td { color: var(--soft); }
tbody th { border-bottom: 0; color: var(--ink); white-space: nowrap; }
tr.begins > * { border-top: 1px solid #aeb4bc; }
tbody tr:first-child > * { border-top: 0; }
figure { margin: 18px 0 22px; } figcaption { margin-top: 6px; overflow-wrap: anywhere; }
img, video { width: 100%; height: auto; display: block; border-radius: 4px; }
video { background: #14161b; }
img.plot { border-radius: 0; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; }
.three { display: grid; grid-template-columns: repeat(3, 1fr); gap: 14px; }
.four { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; }
.two > *, .three > *, .four > * { min-width: 0; }
.two figure, .three figure, .four figure { margin: 10px 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { font: 13px/1.4 ui-monospace, SFMono-Regular, Menlo, monospace; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px; color: var(--soft);
  margin: 8px 0 14px; padding: 0; list-style: none; }
.legend li { display: flex; align-items: center; gap: 6px; min-width: 0; }
.legend b { font-weight: 600; color: var(--ink); }
.swatch { width: 13px; height: 13px; border-radius: 2px; flex: none;
  box-shadow: 0 0 0 1px #b9c0c8; }
.swatch.line { background: #14161b !important; border: 3px solid; }
.pill { display: inline-block; font-weight: 600; color: #fff; padding: 1px 10px;
  border-radius: 11px; font-size: 14px; }
.state { font-weight: 600; white-space: nowrap; }
.state::before { content: ''; display: inline-block; width: 9px; height: 9px; border-radius: 5px;
  background: currentColor; margin-right: 7px; }
.bar { display: flex; height: 12px; border-radius: 3px; overflow: hidden; min-width: 120px; }
.bar i { display: block; }
button { font: inherit; font-size: 14px; text-align: left; color: #1c5fb8; background: none;
  border: 0; padding: 3px 0; cursor: pointer; text-decoration: underline; }
@media (max-width: 760px) {
  body { padding: 20px 14px 64px; }
  h1 { font-size: 24px; } h2 { margin-top: 36px; }
  .two, .three, .four { grid-template-columns: minmax(0, 1fr); }
  dl { gap: 2px 12px; grid-template-columns: fit-content(42%) minmax(0, 1fr); }
  tbody th { white-space: normal; } th, td { padding-right: 10px; }
}
"""
