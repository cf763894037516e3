"""Writes small sets of coloured cards, and data sets of this project, in the formats of real benchmarks."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

COLOURS = ("red", "green", "blue", "orange", "purple", "black", "white", "yellow")


def card(number: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Return a card of one colour, with a corner that tells cards of one colour apart."""
    picture = Image.new("RGB", size, COLOURS[number % 8])
    picture.paste((7 * number % 256, 60, 90), (0, 0, 10, 10))
    return picture


def colour(number: int) -> str:
    return COLOURS[number % 8]


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_pictures(folder: Path, names: Iterable[str], draw: Callable[[int], Image.Image] = card) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        draw(number).save(folder / name, quality=95)


def people(answer: str, other: str, agree: int = 8) -> list[dict[str, Any]]:
    """Return ten answers, `agree` of them `answer`."""
    said = [answer] * agree + [other] * (10 - agree)
    return [{"answer": text, "answer_confidence": "yes", "answer_id": n} for n, text in enumerate(said, start=1)]


def vqav2(root: Path, *, train: int = 24, test: int = 8, draw: Callable[[int], Image.Image] = card) -> Path:
    """Write VQA v2: three questions a picture, of each kind of answer."""
    for part, first, count in (("train2014", 0, train), ("val2014", train, test)):
        numbers = range(first, first + count)
        names = [f"COCO_{part}_{number + 1:012d}.jpg" for number in numbers]
        write_pictures(root / part, names, lambda place, first=first: draw(first + place))
        questions, annotations = [], []
        for number in numbers:
            said = (
                ("What color is the card?", colour(number), "grey", "other"),
                ("Is the card red?", "yes" if colour(number) == "red" else "no", "maybe", "yes/no"),
                ("How many cards?", "1", "2", "number"),
            )
            for place, (question, answer, other, kind) in enumerate(said):
                key = {"image_id": number + 1, "question_id": 10 * (number + 1) + place}
                questions.append({**key, "question": question})
                told = {"question_type": "what", "answer_type": kind, "multiple_choice_answer": answer}
                annotations.append({**key, **told, "answers": people(answer, other)})
        about = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": part}
        write_json(root / f"v2_OpenEnded_mscoco_{part}_questions.json", {**about, "questions": questions})
        write_json(root / f"v2_mscoco_{part}_annotations.json", {**about, "annotations": annotations})
    return root


def coco_captions(
    root: Path, shown: Sequence[tuple[Image.Image, Sequence[str]]] | None = None, *, test: int = 8, year: int = 2017
) -> Path:
    """Write COCO captions, of coloured cards unless pictures with captions are given."""
    if shown is None:
        shown = [
            (card(n), [f"A {colour(n)} card.", f"There is a {colour(n)} card on the table", f"one {colour(n)} card"])
            for n in range(24 + test)
        ]
    for part, own in (("train", shown[:-test]), ("val", shown[-test:])):
        images, annotations = [], []
        for place, (picture, texts) in enumerate(own):
            number = place + (10_000 if part == "val" else 1)
            name = f"{number:012d}.jpg"
            (root / f"{part}{year}").mkdir(parents=True, exist_ok=True)
            picture.convert("RGB").save(root / f"{part}{year}" / name, quality=95)
            images.append({"id": number, "file_name": name, "height": picture.height, "width": picture.width})
            for text in texts:
                annotations.append({"id": len(annotations) + 100, "image_id": number, "caption": text})
        write_json(root / "annotations" / f"captions_{part}{year}.json", {"images": images, "annotations": annotations})
    return root


def gqa(root: Path, *, train: int = 24, test: int = 8) -> Path:
    """Write GQA: two questions a picture, of two structural types."""
    write_pictures(root / "images", [f"{2_300_000 + n}.jpg" for n in range(train + test)])
    for name, numbers in (("train", range(train)), ("testdev", range(train, train + test))):
        questions = {}
        for n in numbers:
            asked = (
                ("What color is the card?", colour(n), f"The card is {colour(n)}.", "query"),
                ("Is the card red?", "yes" if n % 8 == 0 else "no", "It is.", "verify"),
            )
            for place, (question, answer, full, kind) in enumerate(asked):
                entry = {"question": question, "answer": answer, "fullAnswer": full, "imageId": str(2_300_000 + n)}
                questions[f"{n:06d}{place}"] = {**entry, "types": {"structural": kind, "semantic": "attr"}}
        write_json(root / f"{name}_balanced_questions.json", questions)
    return root


def llava_instruct(root: Path, count: int = 40) -> Path:
    """Write conversations of one to three turns."""
    write_pictures(root, [f"{n:012d}.jpg" for n in range(count)])
    found = []
    for n in range(count):
        turns = [("<image>\nWhat color is it?", colour(n)), ("Is it red?", "yes" if n % 8 == 0 else "no")]
        turns = [*turns, ("What is it?", "a card")][: 1 + n % 3]
        said = [p for q, a in turns for p in ({"from": "human", "value": q}, {"from": "gpt", "value": a})]
        found.append({"id": f"{n:012d}", "image": f"{n:012d}.jpg", "conversations": said})
    write_json(root / "llava_instruct_150k.json", found)
    return root


def encoded(picture: Image.Image, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=95)
    return buffer.getvalue()


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def shards(root: Path, count: int = 3, each: int = 10) -> Path:
    """Write tar shards of cards with captions."""
    for shard in range(count):
        members: list[tuple[str, bytes]] = []
        for n in range(shard * each, (shard + 1) * each):
            members += [(f"{n:06d}.jpg", encoded(card(n))), (f"{n:06d}.txt", f"a {colour(n)} card {n}".encode())]
        write_tar(root / f"train-{shard:04d}.tar", members)
    return root
