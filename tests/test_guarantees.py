"""`docs/guarantees.md` says what is so: the rules' sentences, code that exists, tests that exist, numbers that hold."""

import ast
import pkgutil
import re
from functools import cache
from pathlib import Path

import attrs
import pytest

from stagecall.lifecycle import Limits
from stagecall.specs.rules import RULES, Rule

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "guarantees.md"

QUOTED = re.findall(r"`([^`\n]+)`", PAGE.read_text(encoding="utf-8"))
CODE = sorted({text for text in QUOTED if re.fullmatch(r"stagecall(\.\w+)+", text)})
TESTS = sorted({text for text in QUOTED if text.startswith("tests/") and "::" in text})


def section(rule: Rule) -> str:
    """What the page says of a rule."""
    text = PAGE.read_text(encoding="utf-8")
    _, heading, rest = text.partition(f"### Rule {rule.number}: {rule.name}\n")
    assert heading, f"no section for rule {rule.number}"
    return re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]


@cache
def names_in(file: Path) -> frozenset[str]:
    """What pytest may collect in a file: functions, classes, their methods, and what is assigned."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                found.add(name)
            case ast.ClassDef(name=name, body=body):
                found |= {name, *(f"{name}::{one.name}" for one in body if isinstance(one, ast.FunctionDef))}
    return frozenset(found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_sentence_of_a_rule_is_the_rules(rule):
    """Each rule is quoted as it stands in the code, and says what enforces it and what proves it."""
    told = section(rule)

    quoted = " ".join(line.removeprefix("> ") for line in told.splitlines() if line.startswith("> "))
    enforced, _, proved = told.partition("- **Proved by**")
    assert quoted == rule.sentence
    assert re.search(r"- \*\*Enforced by\*\*(.|\n)*`stagecall\.", enforced)
    assert re.search(r"`tests/\S+::\w+`", proved)


def test_every_rule_and_no_other_has_a_section():
    """The page has the rules in their order."""
    headings = re.findall(r"^### Rule (\d+): (\S+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert headings == [(str(rule.number), rule.name) for rule in RULES]


@pytest.mark.parametrize("name", CODE)
def test_what_enforces_exists(name):
    """Each dotted name is that of a module, a class, a function or a method that there is."""
    assert pkgutil.resolve_name(name) is not None


@pytest.mark.parametrize("node", TESTS)
def test_what_proves_exists(node):
    """Each test that is named can be collected under that name."""
    file, _, name = node.partition("::")

    assert name in names_in(ROOT / file)
    assert name.rpartition("::")[2].lower().startswith("test")


def test_bounds_are_the_defaults():
    """The table of bounds has every limit, with the default that it has."""
    rows = re.findall(r"^\|[^|]*\| `(\w+)` \| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert {name: float(default) for name, default in rows} == {
        field.name: field.default for field in attrs.fields(Limits)
    }


def test_links_lead_somewhere():
    """Each relative link of the page, and each path of tests, is to something that there is."""
    links = re.findall(r"\]\((?!http)([^)#]+)", PAGE.read_text(encoding="utf-8"))

    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
    paths = [text for text in QUOTED if text.startswith("tests/") and "::" not in text]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_page_names_code_and_tests():
    """The patterns above find what they are for."""
    assert len(CODE) > 15
    assert len(TESTS) > 40
