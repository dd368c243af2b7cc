"""The exported JSON Schema judges as the schema itself does, and the page shows every property."""

from typing import Any

import attrs
import jsonschema
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from stagecall.specs._schema_lint import RULES
from stagecall.specs.schema_checks import CHECKS
from stagecall.specs.schema_export import json_schema, markdown
from stagecall.specs.schemas import MergedSchema, SchemaError
from stagecall.specs.task_schema import task_schema

TYPES = ["boolean", "dict", "float", "integer", "list", "number", "string"]
NAMES = st.sampled_from(["a", "b", "ab", "c"])
# Neither 1.0, an integer to JSON Schema only, nor a final newline, before which Python's `$` matches.
NUMBERS = st.integers(-2, 4) | st.sampled_from([-0.5, 0.5, 2.5])
TEXTS = st.sampled_from(["", "a", "b", "ab", "aab", "1", "1 s", "5m", "VRzKBhTiQ0-FuPzN5AAWUA"]) | st.text(
    "ab1", max_size=4
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
NOTHING: dict[str, Any] = {}


@st.composite
def rules_for(draw, depth=2, inherited=()):
    """Any rules that a schema may use for one property."""
    types = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True) | st.just([]))
    rules: dict[str, Any] = {"type": types[0] if len(types) == 1 else types} if types else {}
    types = types or list(inherited)
    optional: dict[str, st.SearchStrategy[Any]] = {
        "required": st.booleans(),
        "nullable": st.booleans(),
        "empty": st.booleans(),
        "min": NUMBERS,
        "max": NUMBERS,
        "minlength": st.integers(0, 3),
        "maxlength": st.integers(0, 3),
        "regex": st.sampled_from(["a*", "a|b", "[ab]+", "^ab?$", "1?"]),
    }
    if types and "dict" not in types and ("list" not in types or types == ["list"]):
        optional["allowed"] = st.lists(st.booleans() | NUMBERS | TEXTS, min_size=1, max_size=4)
    if checks := [
        name for name in CHECKS if types and CHECKS[name].types.issuperset(types) and name != "instant"
    ]:
        optional["check_with"] = st.sampled_from([*checks, checks])
    if depth:
        inner = rules_for(depth - 1)
        optional["items"] = st.lists(inner, min_size=1, max_size=2)
        optional["anyof"] = st.lists(rules_for(depth - 1, tuple(types)), min_size=1, max_size=3)
        optional["valuesrules"] = inner
        optional["keysrules"] = inner
        if ("dict" in types) != ("list" in types):
            optional["schema"] = schemas(depth - 1) if "dict" in types else inner
    for name in draw(st.lists(st.sampled_from(sorted(optional)), max_size=3, unique=True)):
        rules[name] = draw(optional[name])
    return rules


def schemas(depth=2):
    """Any schema."""
    return st.dictionaries(NAMES, rules_for(depth), max_size=3)


@st.composite
def values_for(draw, rules):
    """Any value, more often than not one of the type that the rules ask for, and so for its parts."""
    if draw(st.integers(0, 9)) == 0:
        return draw(JSON)
    alternative = draw(st.sampled_from(rules.get("anyof", [NOTHING])))
    merged = {**rules, **alternative}
    types = merged.get("type", TYPES)
    kind = draw(st.sampled_from([types] if isinstance(types, str) else types))
    if "allowed" in rules and draw(st.booleans()):
        value = draw(st.sampled_from(rules["allowed"]))
        return [value] if kind == "list" else value
    if kind == "dict":
        names = draw(st.lists(NAMES, max_size=3, unique=True))
        properties = merged.get("schema") if "dict" in merged.get("type", ()) else None
        return {
            name: draw(values_for((properties or NOTHING).get(name, merged.get("valuesrules", NOTHING))))
            for name in ({*names, *properties} if properties and draw(st.booleans()) else names)
        }
    if kind == "list":
        if "items" in merged:
            return [draw(values_for(item)) for item in merged["items"]]
        item = merged["schema"] if "schema" in merged and "list" in merged.get("type", ()) else NOTHING
        return draw(st.lists(values_for(item), max_size=3))
    of_kind = {"boolean": st.booleans(), "string": TEXTS, "integer": st.integers(-2, 4)}
    return draw(of_kind.get(kind, NUMBERS))


@st.composite
def documents_for(draw, schema):
    """Any document, most of its properties as the schema has them."""
    names = [name for name in schema if draw(st.integers(0, 5))]
    if draw(st.integers(0, 9)) == 0:
        names.append(draw(NAMES))
    return {name: draw(values_for(schema.get(name, NOTHING))) for name in names}


@settings(
    max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None
)
@given(st.data())
def test_both_judge_alike(data):
    """The exported JSON Schema accepts what the schema accepts, whatever the document, and nothing else."""
    schema = data.draw(schemas())
    merged = MergedSchema.merge({"plugin x": schema})
    exported = json_schema(merged, "Payload")
    document = data.draw(documents_for(schema))

    jsonschema.Draft202012Validator.check_schema(exported)
    accepted = jsonschema.Draft202012Validator(exported).is_valid(document)

    event(f"accepted: {accepted}")
    assert (merged.violations(document) == ()) == accepted


def accepted_by_export(rules: dict[str, Any], value: object) -> bool:
    exported = json_schema(MergedSchema.merge({"plugin x": {"x": rules}}), "Payload")
    return bool(jsonschema.Draft202012Validator(exported).is_valid({"x": value}))


@pytest.mark.parametrize(
    ("rules", "good", "bad"),
    [
        ({}, [0, "", [], {}, False], [None]),
        ({"type": "integer"}, [1], [True, 0.5, "1"]),
        ({"type": ["float", "number"]}, [1, 0.5], [True]),
        ({"type": "string", "nullable": True, "minlength": 1}, [None, "a"], ["", 1]),
        (
            {"type": ["string", "dict", "list"], "maxlength": 1},
            ["a", {"a": 1}, [1]],
            ["ab", {"a": 1, "b": 1}, [1, 1]],
        ),
        ({"maxlength": 0}, ["", [], {}, 5], ["a", [1], {"a": 1}]),
        ({"empty": False}, ["a", 0], ["", [], {}]),
        ({"empty": True, "minlength": 2, "regex": "a+"}, ["", [], "aa"], ["a", "bb"]),
        ({"empty": False, "minlength": 2}, ["aa"], ["", "a"]),
        ({"regex": "a|b"}, ["a", "b", 5], ["ab", "ca", ""]),
        ({"type": "string", "allowed": ["a", "b"]}, ["a"], ["c"]),
        ({"type": ["integer", "boolean"], "allowed": [1]}, [1], [True, 2]),
        ({"type": "list", "allowed": ["a"]}, [[], ["a", "a"]], [["b"], "a"]),
        ({"items": [{"min": 1}, {}]}, [[1, 1], 5], [[0, 1], [1], [1, 1, 1]]),
        ({"type": "list", "items": [{"min": 1}], "schema": {"max": 3}}, [[1]], [[0], [4], []]),
        (
            {"type": "dict", "schema": {"a": {"required": True}}},
            [{"a": 1}],
            [{}, {"a": 1, "b": 1}, {"a": None}],
        ),
        ({"type": "dict", "schema": {"a": {}}, "valuesrules": {"min": 1}}, [{"a": 1}], [{"a": 0}, {"b": 1}]),
        ({"valuesrules": {"min": 1}, "keysrules": {"regex": "a+"}}, [{"aa": 1}], [{"aa": 0}, {"b": 1}]),
        ({"type": ["string", "integer"], "anyof": [{"min": 3}, {"max": 1}]}, [3, 1, "a"], [2, True]),
        ({"nullable": True, "anyof": [{"type": "string"}, {"type": "list"}]}, [None, "", []], [5, {}]),
        (
            {"type": ["number", "string"], "check_with": "duration"},
            [0, "1 s", "2h 5m"],
            [-1, "", "1", "5 x", " "],
        ),
        ({"type": "string", "check_with": "slug"}, ["VRzKBhTiQ0-FuPzN5AAWUA"], ["", "x"]),
        ({"min": 1, "anyof": [{"max": 5}], "allowed": [1, 9], "type": "integer"}, [1], [0, 9, 5]),
    ],
)
def test_both_judge_alike_by_rule(rules, good, bad):
    """Each rule, alone and beside others that use the same keywords, means the same in both."""
    merged = MergedSchema.merge({"plugin x": {"x": rules}})

    verdicts = [
        (value, merged.violations({"x": value}) == (), accepted_by_export(rules, value))
        for value in [*good, *bad]
    ]

    assert verdicts == [(value, True, True) for value in good] + [(value, False, False) for value in bad]


def whole(field, value, error):
    """A check that nothing fails."""


def test_every_rule_that_a_schema_may_use_is_exported():
    """No rule is dropped in silence: whatever the lint lets pass, the export knows."""
    rules = {
        "type": ["string", "dict"],
        "required": True,
        "nullable": False,
        "empty": False,
        "min": 1,
        "max": 2,
        "minlength": 1,
        "maxlength": 2,
        "regex": "a",
        "schema": {},
        "items": [{}],
        "anyof": [{}],
        "keysrules": {},
        "valuesrules": {},
        "check_with": [],
        "meta": {},
    }
    allowed = {"type": "string", "allowed": ["a"]}

    exported = json_schema(MergedSchema.merge({"plugin x": {"x": rules, "y": allowed}}), "Payload")

    assert {*rules, *allowed} == RULES
    jsonschema.Draft202012Validator.check_schema(exported)


def test_a_rule_that_the_export_does_not_know_is_an_error():
    """A rule that came past the lint is not dropped either."""
    merged = attrs.evolve(MergedSchema.merge({}), properties={"x": {"contains": 1}})

    with pytest.raises(SchemaError, match='x: the rule "contains" cannot be exported'):
        json_schema(merged, "Payload")


def test_a_function_must_say_what_it_checks():
    """A `check_with` function without its JSON Schema is an error that names both, not left out."""

    merged = MergedSchema.merge(
        {"plugin x": {"x": {"type": "list", "schema": {"type": "integer", "check_with": [whole]}}}}
    )

    with pytest.raises(
        SchemaError, match=r'x\[\]: say in meta: \{"json_schema": \.\.\.\} what the function whole checks'
    ):
        json_schema(merged, "Payload")


EXAMPLE = MergedSchema.merge(
    {
        "engine mock": {
            "delay": {
                "type": "integer",
                "min": 0,
                "max": 300000,
                "check_with": whole,
                "meta": {
                    "title": "Delay.",
                    "description": "Milliseconds | before\nit ends.",
                    "default": 0,
                    "json_schema": {"multipleOf": 2},
                },
            },
            "function": {"type": "string", "required": True, "allowed": ["true", "false"]},
        },
        "plugin artifacts": {
            "artifacts": {
                "type": "list",
                "nullable": True,
                "schema": {
                    "type": "dict",
                    "schema": {
                        "path": {"type": "string", "required": True, "empty": False, "regex": "[^`|]+"},
                        "expires": {"type": ["string", "datetime"], "check_with": "instant"},
                    },
                },
            },
            "env": {
                "type": "dict",
                "maxlength": 1,
                "keysrules": {"minlength": 2},
                "valuesrules": {"type": "string"},
            },
            "either": {"anyof": [{"type": "boolean"}, {"items": [{"type": "list"}]}]},
        },
    }
)


def test_json_schema_of_an_example():
    """The export is what a person would write."""
    assert json_schema(EXAMPLE, "Payload of a task") == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Payload of a task",
        "type": "object",
        "properties": {
            "delay": {
                "title": "Delay.",
                "description": "Milliseconds | before\nit ends.",
                "default": 0,
                "type": "integer",
                "minimum": 0,
                "maximum": 300000,
                "allOf": [{"multipleOf": 2}],
            },
            "function": {"type": "string", "enum": ["true", "false"]},
            "artifacts": {
                "anyOf": [
                    {"type": "null"},
                    {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "path": {"type": "string", "minLength": 1, "pattern": "^(?:[^`|]+)$"},
                                "expires": {"type": "string", "format": "date-time"},
                            },
                            "required": ["path"],
                            "additionalProperties": False,
                        },
                    },
                ]
            },
            "env": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "propertyNames": {
                    "type": ["array", "boolean", "number", "object", "string"],
                    "minItems": 2,
                    "minLength": 2,
                    "minProperties": 2,
                },
                "maxProperties": 1,
            },
            "either": {
                "type": ["array", "boolean", "number", "object", "string"],
                "anyOf": [
                    {"type": "boolean"},
                    {
                        "type": ["array", "boolean", "number", "object", "string"],
                        "prefixItems": [{"type": "array"}],
                        "items": False,
                        "minItems": 1,
                    },
                ],
            },
        },
        "required": ["function"],
        "additionalProperties": False,
    }


def test_page_of_an_example():
    """The page has a line for each property and for each part with rules, and no cell breaks the table."""
    instants = 'an ISO 8601 instant with a time zone, from 1970 to 9000, such as "2030-01-31T12:00:00Z"'

    assert markdown(EXAMPLE, "Payload of a task") == (
        "# Payload of a task\n"
        "\n"
        "| Property | Type | Required | Allowed | Description | Owner |\n"
        "|---|---|---|---|---|---|\n"
        "| `delay` | an integer | no | at least 0; at most 300000 "
        "| Delay. Milliseconds \\| before it ends. Default: 0. | engine mock |\n"
        '| `function` | a string | yes | `"true", "false"` |  | engine mock |\n'
        "| `artifacts` | a list or null | no |  |  | plugin artifacts |\n"
        "| `artifacts[]` | an object |  |  |  | plugin artifacts |\n"
        "| `artifacts[].path` | a string | yes | matches `` [^`\\|]+ ``; not empty |  | plugin artifacts |\n"
        f"| `artifacts[].expires` | a string or an instant | no | {instants} |  | plugin artifacts |\n"
        "| `env` | an object | no | at most 1 property |  | plugin artifacts |\n"
        "| `env.* (name)` | anything |  | at least 2 items |  | plugin artifacts |\n"
        "| `env.*` | a string |  |  |  | plugin artifacts |\n"
        "| `either` | one of the alternatives | no |  |  | plugin artifacts |\n"
        "| `either (1)` | true or false |  |  |  | plugin artifacts |\n"
        "| `either (2)` | anything |  |  |  | plugin artifacts |\n"
        "| `either (2)[0]` | a list |  |  |  | plugin artifacts |\n"
    )


def test_task_definitions_are_exported_too():
    """The schema of the task definition is one like the others."""
    exported = json_schema(task_schema(), "Task definition")

    jsonschema.Draft202012Validator.check_schema(exported)
    assert exported["required"] == ["payload"]
    assert markdown(task_schema(), "Task definition").count("\n| `") == len(task_schema().properties) + 8
