"""The style of the report, and its figures as HTML."""

from __future__ import annotations

import base64
import html

import cv2
import numpy as np

from metabev_ros.errors import BackendError
from metabev_ros.lab.demo.pictures import Picture

JPEG_QUALITY = 84
STYLE = """
:root { --ink: #22262c; --soft: #5b6470; --line: #e2e5e9; --good: #1f7a43; --bad: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 48px 24px 96px; background: #fff;
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -.01em; }
h2 { font-size: 20px; margin: 56px 0 4px; letter-spacing: -.005em; }
p { margin: 6px 0 14px; max-width: 76ch; }
p.soft, figcaption, .meta { color: var(--soft); font-size: 14px; }
.verdict { display: inline-block; font-weight: 600; padding: 3px 12px; border-radius: 14px;
  margin: 6px 0 10px; color: #fff; background: var(--good); }
.verdict.bad { background: var(--bad); }
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
figure { margin: 18px 0 22px; } figcaption { margin-top: 6px; }
img, video { width: 100%; height: auto; display: block; border-radius: 4px; }
img.plot { border-radius: 0; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; }
.three { display: grid; grid-template-columns: repeat(3, 1fr); gap: 14px; }
.four { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; }
.two figure, .three figure, .four figure { margin: 10px 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { font: 13px/1.4 ui-monospace, SFMono-Regular, Menlo, monospace; }
@media (max-width: 760px) { .two, .three, .four { grid-template-columns: 1fr; } }
"""


def plot(svg: str, caption: str) -> str:
    """A plot with its caption."""
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img class="plot" alt="{html.escape(caption)}" '
        f'src="data:image/svg+xml;base64,{data}">'
        f'<figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def figure(picture: Picture) -> str:
    """A picture with its caption."""
    caption = html.escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/jpeg;base64,{_jpeg(picture.pixels)}">'
        f'<figcaption>{caption}</figcaption></figure>'
    )


def _jpeg(pixels: np.ndarray) -> str:
    done, data = cv2.imencode(
        '.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise BackendError(
            'demo report', 'a picture that OpenCV can encode', f'shape {pixels.shape}'
        )
    return base64.b64encode(data.tobytes()).decode()
