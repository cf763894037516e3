from __future__ import annotations

import pytest

from mmgraph.demo.requests import DrawRequest, TellRequest, parse
from mmgraph.errors import UsageError


def test_what_is_not_given_is_the_models_default():
    assert DrawRequest.read({"caption": "  red fox "}) == DrawRequest("red fox", None, None, 0, 1)
    given = {"caption": "fox", "guidance": 2, "steps": 5, "seed": 7, "count": 3}
    assert DrawRequest.read(given) == DrawRequest("fox", 2.0, 5, 7, 3)
    assert TellRequest.read({"picture": "abc"}).question is None
    assert TellRequest.read({"picture": "abc", "question": "is it red ?"}).question == "is it red ?"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"caption": ""}, "write a caption"),
        ({"caption": 3}, "write a caption"),
        ({"caption": "x" * 401}, "at most 400"),
        ({"caption": "red\nfox"}, "cannot be printed"),
        ({"caption": "\ud800"}, "cannot be printed"),
        ({"guidance": "2"}, "guidance must be a number from 0 to 20"),
        ({"guidance": float("nan")}, "guidance must be"),
        ({"guidance": float("inf")}, "guidance must be"),
        ({"guidance": 10**400}, "guidance must be"),
        ({"guidance": True}, "guidance must be"),
        ({"steps": 0}, "steps must be a whole number from 1 to 200"),
        ({"steps": 2.5}, "steps must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 2**31}, "seed must be"),
        ({"count": 9}, "count must be a whole number from 1 to 8"),
        ({"path": "/etc"}, "unknown field 'path'"),
    ],
)
def test_each_field_has_limits(change, message):
    with pytest.raises(UsageError, match=message):
        DrawRequest.read({"caption": "red fox", **change})


def test_a_picture_is_needed_and_limited():
    for fields, message in (
        ({}, "no picture yet"),
        ({"picture": 3}, "no picture yet"),
        ({"picture": "x" * 700_001}, "larger than what the model reads"),
        ({"picture": "abc", "question": " "}, "write a question"),
    ):
        with pytest.raises(UsageError, match=message):
            TellRequest.read(fields)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_only_json_objects_are_read(body):
    with pytest.raises(UsageError, match="no JSON"):
        parse(body)
