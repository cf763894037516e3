from __future__ import annotations

import re

import pytest

from mmgraph import citations, registry

CORE = ("mmgraph.models.UnifiedModel", "mmgraph.models.Optimization", "mmgraph.models.EMA", "mmgraph.models.Stage")
FIRST_PARTY = [
    f"mmgraph.{entry.kind}.{entry.name}"
    for kind in registry.CLASS_KINDS
    for entry in registry.declared(kind)
    if entry.distribution == "mmgraph"
]


def test_a_section_ends_where_the_next_begins_and_joins_what_runs_over_a_line() -> None:
    text = "A head.\n\nReference:\n    One, 2020 (arXiv\n        2001.00001).\n    Two, 2021.\n\nRaises:\n    E: If."
    assert citations.section(text) == ["One, 2020 (arXiv 2001.00001).", "Two, 2021."]
    assert citations.section("Reference: One, 2020,\n    and more.\nArgs:\n    x: y") == ["One, 2020, and more."]
    assert citations.section("No section.") == []


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("Zhou et al., 2024 (arXiv 2408.11039; more).", ["2408.11039"]),
        ("Young, 1936 (doi 10.1007/BF02288367).", ["10.1007/bf02288367"]),
        ("Twemoji, https://github.com/jdecked/twemoji.", ["github.com/jdecked/twemoji"]),
        ("Liu et al. (arXiv 2209.03003) and Lipman et al. (arXiv:2210.02747)", ["2209.03003", "2210.02747"]),
        ("Somebody, 1999.", []),
    ],
)
def test_identifiers(reference: str, found: list[str]) -> None:
    assert citations.identifiers(reference) == found


@pytest.mark.parametrize("path", [*FIRST_PARTY, *CORE, "mmgraph.evaluation.features"])
def test_every_reference_of_a_first_party_part_has_its_entry(path: str) -> None:
    part = citations.locate(path)
    assert part is not None
    for reference in part.references:
        missing = f"{path}: '{reference}' has no entry in {part.package}/references.bib"
        assert citations.resolve(reference, part.package), missing


def test_entries_are_well_formed_and_each_is_referred_to_where_it_stands() -> None:
    entries = [entry for kind in registry.KINDS for entry in registry.declared(kind)]
    packages = {entry.target.split(":")[0].split(".")[0] for entry in entries if entry.distribution == "mmgraph"}
    seen: dict[str, str] = {}
    for package in sorted({*packages, "mmgraph"}):
        file = registry.source(package)
        folder = file.parent if file else None
        if folder is None or not (folder / citations.FILE).is_file():
            continue
        text = (folder / citations.FILE).read_text(encoding="utf-8")
        known = citations.parse(text)
        assert len(known) == len(re.findall(r"^@", text, re.MULTILINE)), package
        sources = " ".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.py")).lower()
        for entry in known:
            assert entry.text.count("{") == entry.text.count("}"), entry.key
            assert {"title", "author"} <= {name for name, _ in citations._FIELD.findall(entry.text)}, entry.key
            assert any(identifier in sources for identifier in entry.identifiers), f"{entry.key}: nobody refers to it"
            assert seen.setdefault(entry.key, entry.text) == entry.text, f"{entry.key} differs from package to package"
    assert "zhou2024transfusion" in seen


def test_a_plugin_is_found_without_importing_it() -> None:
    part = citations.locate("mmgraph.metrics.retrieval")
    assert part is not None
    assert part.path == "mmgraph_metrics.retrieval.RetrievalMetric"
    assert citations.gives(part, "recall_at_10")
    assert not citations.gives(part, "kid")


def test_a_class_that_a_package_passes_on_is_followed_to_its_home() -> None:
    part = citations.locate("mmgraph.models.EMA")
    assert part is not None
    assert part.path == "mmgraph.models.averaging.EMA"
    assert citations.locate("no_such_package.Thing") is None


def test_options_written_as_plain_mappings_count_as_parts() -> None:
    config = {
        "class_path": "mmgraph.models.UnifiedModel",
        "init_args": {"optimization": {"learning_rate": 1e-3}, "heads": {"text": {"class_path": "mmgraph.heads.flow"}}},
    }
    assert list(citations.parts(config)) == [
        "mmgraph.models.UnifiedModel",
        "mmgraph.models.optimization.Optimization",
        "mmgraph.heads.flow",
    ]


def test_mmgraph_and_the_survey_come_from_the_citation_file() -> None:
    own, survey = citations.own()
    assert own.startswith("@software{mmgraph,")
    assert "eprint = {2409.14993}" in survey
    assert "Wang, Xin and" in survey
