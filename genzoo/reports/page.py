"""Parts of a self-contained HTML page."""

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #2f6fdb; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0.2rem; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.15rem 1rem 0.15rem 0; vertical-align: top; }
th { font-weight: 600; } td code { overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure img { max-width: 100%; background: #fff; border-radius: 4px; }
figcaption, .soft { color: #777; font-size: 0.9rem; }
.columns { display: flex; flex-wrap: wrap; gap: 1.5rem; }
"""


def page(title: str, *parts: str, style: str = "") -> str:
    """Return a whole page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """Return a section under a heading."""
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


def table(rows: Sequence[Sequence[Any]], header: Sequence[str] = ()) -> str:
    """Return a table; the first cell of a row names it."""
    lines = ["<table>"]
    if header:
        lines.append("<tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in header) + "</tr>")
    for name, *cells in rows:
        shown = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
        lines.append(f"<tr><th>{html.escape(str(name))}</th>{shown}</tr>")
    return "\n".join([*lines, "</table>"])


def picture(axes: Any, caption: str) -> str:
    """Return a figure with the picture of Matplotlib axes inside."""
    buffer = io.BytesIO()
    axes.figure.savefig(buffer, format="png", bbox_inches="tight")
    source = base64.b64encode(buffer.getvalue()).decode()
    text = html.escape(caption)
    return (
        f'<figure><img src="data:image/png;base64,{source}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def png(image: np.ndarray, low: float, high: float) -> str:
    """Return one image as a data URL; `low` is black and `high` white."""
    from PIL import Image

    scaled = (np.asarray(image, np.float64) - low) / max(high - low, 1e-12)
    pixels = np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
