"""The contact sheet samples.png: each drawing above its true picture, trained and unseen concepts apart."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgraph.evaluation.showing import decode, readable

COLUMNS = 12
ROWS = 3
CELL = 104
"""Width of a column in pixels; captions of 16 letters fit."""
PICTURE = 80
TITLES = {
    "trained": "Trained concepts",
    "unseen": "Unseen concepts",
}
_INK, _FAINT, _PAPER, _FRAME = "#1c1b19", "#6b6963", "#ffffff", "#dedbd3"
_CAPTION_LINES, _LETTERS = 3, 16
_MARGIN, _HEADER = 16, 44


def render(drawings: Mapping[str, Sequence[Mapping[str, Any]]], above: str = "drawn") -> bytes:
    """Return a PNG of the first drawings of each population, above the true pictures.

    Args:
        drawings: As samples.json holds them.
        above: How the upper pictures were made.
    """
    from PIL import Image, ImageDraw

    blocks = [(_title(name), rows[: COLUMNS * ROWS]) for name, rows in drawings.items() if rows]
    columns = min(COLUMNS, max(len(rows) for _, rows in blocks))
    row_height = 2 * PICTURE + 2 + 14 * _CAPTION_LINES + 16
    heights = [_HEADER + -(-len(rows) // columns) * row_height for _, rows in blocks]
    width = max(columns * CELL + 2 * _MARGIN, 480)
    sheet = Image.new("RGB", (width, sum(heights) + 2 * _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    top = _MARGIN
    for (title, rows), height in zip(blocks, heights, strict=True):
        pen.text((_MARGIN + 4, top + 6), title, fill=_INK, font=_font(20, bold=True))
        end = _MARGIN + 4 + pen.textlength(title, font=_font(20, bold=True))
        pen.text((end + 12, top + 13), f"above: {above}    below: true", fill=_FAINT, font=_font(13))
        for index, row in enumerate(rows):
            x = _MARGIN + (index % columns) * CELL + (CELL - PICTURE) // 2
            y = top + _HEADER + (index // columns) * row_height
            for offset, which in ((0, "drawn"), (PICTURE + 2, "true")):
                picture = Image.open(io.BytesIO(decode(row[which]))).convert("RGB")
                sheet.paste(picture.resize((PICTURE, PICTURE), Image.Resampling.NEAREST), (x, y + offset))
                pen.rectangle((x - 1, y + offset - 1, x + PICTURE, y + offset + PICTURE), outline=_FRAME)
            for number, line in enumerate(caption_lines(readable(row["caption"]))):
                centre = (x + PICTURE / 2, y + 2 * PICTURE + 6 + 14 * number)
                pen.text(centre, line, fill=_INK, font=_font(11), anchor="ma")
        top += height
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _title(name: str) -> str:
    """Return the title of a population, or of one of a task (`move.unseen`)."""
    task, _, population = name.rpartition(".")
    title = TITLES.get(population, population)
    return f"{title}, task {task}" if task else title


def caption_lines(caption: str) -> list[str]:
    """Return a caption in at most three lines; what does not fit ends in an ellipsis."""
    return textwrap.wrap(caption, _LETTERS, max_lines=_CAPTION_LINES, placeholder=" …", break_long_words=True) or [
        "(empty)"
    ]


def _font(size: int, *, bold: bool = False) -> Any:
    import matplotlib
    from PIL import ImageFont

    # the font that matplotlib ships has more scripts than the one built into Pillow
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)
