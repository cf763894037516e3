from __future__ import annotations

import io

import torch
from PIL import Image

from mmgraph.evaluation import sheet, showing
from mmgraph.evaluation.drawing import Drawings
from mmgraph.evaluation.examples import Caption, Question
from mmgraph.evaluation.understanding import Answer
from mmgraph.testing.stand_ins import pictures


def rows(count):
    shown = pictures(2 * count, 8)
    captions = [Caption(f"number {n}", shown[n], str(n)) for n in range(count)]
    drawn = Drawings(captions, torch.stack(shown[count:]), per_picture={"hit": torch.ones(count)})
    return shown, showing.choose({"trained": drawn}, {})["drawings"]


def test_each_drawing_stands_above_its_true_picture():
    shown, drawings = rows(3)
    image = Image.open(io.BytesIO(sheet.render(drawings))).convert("RGB")
    x = sheet._MARGIN + sheet.CELL + (sheet.CELL - sheet.PICTURE) // 2  # the second column
    y = sheet._MARGIN + sheet._HEADER
    scale = sheet.PICTURE // 8
    for row, picture in ((0, shown[4]), (1, shown[1])):
        top = y + row * (sheet.PICTURE + 2)
        for i in range(8):
            pixel = image.getpixel((x + scale * i + 2, top + scale * 3 + 2))
            assert pixel == tuple(picture[:, 3, i].tolist())


def test_both_populations_have_their_block_and_many_rows_are_cut():
    _, drawings = rows(50)
    assert len(drawings["trained"]) == showing.DRAWINGS
    one = Image.open(io.BytesIO(sheet.render(drawings)))
    two = Image.open(io.BytesIO(sheet.render({**drawings, "unseen": drawings["trained"]})))
    assert one.width == two.width == 2 * sheet._MARGIN + sheet.COLUMNS * sheet.CELL
    assert two.height - 2 * sheet._MARGIN == 2 * (one.height - 2 * sheet._MARGIN)


def test_long_captions_are_cut_with_an_ellipsis():
    lines = sheet.caption_lines("woman and man holding hands with medium skin tone and a very long rest")
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert all(len(line) <= 16 for line in lines)
    assert sheet.caption_lines("") == ["(empty)"]


def test_marks_that_are_set_apart_for_tokenizers_are_joined_for_readers():
    assert showing.readable("red fox , animal") == "red fox, animal"
    assert showing.readable("is it a fox ?") == "is it a fox?"


def test_pictures_pass_through_data_uris_unharmed():
    for channels in (1, 3):
        picture = pictures(1, 8, channels=channels)[0]
        image = Image.open(io.BytesIO(showing.decode(showing.data_uri(picture))))
        assert torch.equal(torch.tensor(list(image.tobytes())).view(8, 8, channels).permute(2, 0, 1), picture)


def test_answers_are_gathered_by_picture_and_cut():
    shown = pictures(30, 8)
    answers = [
        Answer(Question(kind, kind, picture, "a", (), str(n)), "a")
        for kind in ("name", "size")
        for n, picture in enumerate(shown)
    ]
    found = showing.choose({}, {"unseen": answers, "trained": answers})["answers"]
    assert {name: len(rows) for name, rows in found.items()} == {
        "unseen": showing.PICTURES["unseen"],
        "trained": showing.PICTURES["trained"],
    }
    assert all([item["kind"] for item in row["answers"]] == ["name", "size"] for row in found["unseen"])


def test_the_examples_of_a_report_are_read_back(tmp_path):
    assert showing.read(tmp_path / "samples.json") == {"drawings": {}, "answers": {}, "neighbourhoods": []}
