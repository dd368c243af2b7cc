"""Valid payloads pass the schema and invalid ones never do, by a second opinion too; neither leaves a kind out."""

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample, Unsatisfiable

from stagecall.engines.mock.payload import PAYLOAD_SCHEMA as MOCK
from stagecall.plugins.artifacts.entries import PAYLOAD_SCHEMA as ARTIFACTS
from stagecall.plugins.env import EnvPlugin
from stagecall.specs._schema_lint import RULES
from stagecall.specs.schema_export import json_schema
from stagecall.specs.schemas import MergedSchema
from stagecall.testing.doubles import ScriptedPlugin
from stagecall.testing.strategies import invalid_payloads, payloads


def no_odd_number(field: str, value: Any, error: Any) -> None:
    if value % 2:
        error(field, "must be even")


EVERY_RULE: dict[str, dict[str, Any]] = {
    "count": {"type": "integer", "min": 1, "max": 5, "required": True, "meta": {"title": "Count"}},
    "ratio": {"type": "number", "min": 0.5, "max": 0.75},
    "above": {"type": "float", "min": -1.5},
    "even": {
        "type": "integer",
        "check_with": no_odd_number,
        "meta": {"json_schema": {"multipleOf": 2}},
    },
    "flag": {"type": "boolean", "nullable": True},
    "name": {"type": "string", "minlength": 2, "maxlength": 4},
    "code": {"type": "string", "regex": "[A-C]{2}[0-9]"},
    "color": {"type": ["string", "integer"], "allowed": ["red", "green", 7]},
    "colors": {"type": "list", "allowed": ["red", "green"], "minlength": 1, "maxlength": 2},
    "limit": {"type": ["number", "string"], "check_with": "duration"},
    "until": {"type": ["datetime", "string"], "check_with": ["instant"]},
    "slug": {"type": "string", "check_with": "slug"},
    "words": {"type": "list", "empty": False, "schema": {"type": "string", "empty": False}},
    "pair": {"type": "list", "items": [{"type": "string"}, {"type": "boolean"}]},
    "box": {"type": "dict", "schema": {"in": {"type": "integer", "required": True}, "or": {"type": "list"}}},
    "map": {
        "type": "dict",
        "minlength": 1,
        "keysrules": {"regex": "[a-z]+"},
        "valuesrules": {"type": "integer", "min": 0},
    },
    "either": {"anyof": [{"type": "boolean"}, {"type": "string", "minlength": 3}]},
    "inner": {"type": "string", "anyof": [{"regex": "a+"}, {"anyof": [{"regex": "b+"}, {"allowed": ["c"]}]}]},
    "anything": {},
}
SCHEMAS: dict[str, MergedSchema] = {
    "every rule": MergedSchema.merge({"test": EVERY_RULE}),
    "mock": MergedSchema.merge({"mock": MOCK, "artifacts": ARTIFACTS, "env": EnvPlugin({}).payload_schema()}),
    "nothing": MergedSchema.merge({}),
}
EVERY, ALIKE = SCHEMAS["every rule"], pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
SOME = settings(
    max_examples=max(60, settings().max_examples // 4),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ANY = settings(
    phases=[Phase.generate],
    max_examples=5000,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
"""The first example will do, and need not be the simplest."""


def test_every_rule_is_tried():
    """The schema of this test uses all rules there are."""
    used: set[str] = set()

    def collect(rules: dict[str, Any]) -> None:
        used.update(rules)
        for nested in rules.get("anyof", ()):
            collect(nested)

    for rules in EVERY_RULE.values():
        collect(rules)

    assert used == RULES


def by_json_schema(schema: MergedSchema) -> Any:
    """The judge of the second opinion."""
    return jsonschema.Draft202012Validator(json_schema(schema, "Payload"))


@ALIKE
def test_valid_payloads_pass(schema):
    """The schema has nothing against them, the JSON Schema that is exported from it neither, and they are JSON."""
    judge = by_json_schema(schema)

    @SOME
    @given(payloads(schema))
    def passes(payload: Any) -> None:
        assert schema.violations(payload) == ()
        assert judge.is_valid(payload)
        assert json.loads(json.dumps(payload)) == payload

    passes()


@ALIKE
def test_invalid_payloads_never_pass(schema):
    """The schema refuses each, and they are JSON objects too."""

    @SOME
    @given(invalid_payloads(schema))
    def is_refused(payload: Any) -> None:
        assert schema.violations(payload) != ()
        assert isinstance(json.loads(json.dumps(payload)), dict)

    is_refused()


@pytest.mark.parametrize("name", EVERY_RULE)
def test_every_property_is_drawn_and_left_out(name):
    """A valid payload may have each property, and lacks it where it may."""
    own = payloads({name: EVERY_RULE[name]})

    assert name in find(own, lambda payload: name in payload, settings=ANY)
    if not EVERY_RULE[name].get("required"):
        assert (
            find(own, lambda payload: True, settings=ANY) == {}
            or find(own, lambda p: p == {}, settings=ANY) == {}
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flag", None),
        ("count", 1),
        ("count", 5),
        ("color", 7),
        ("color", "green"),
        ("colors", ["red", "red"]),
        ("either", True),
        ("inner", "c"),
        ("inner", "b"),
        ("limit", "0s"),
        ("pair", ["", False]),
        ("box", {"in": 0, "or": []}),
        ("map", {"a": 0}),
    ],
)
def test_valid_values_of_each_kind_are_drawn(name, value):
    """The edges, every alternative, null, and each of several types come up."""
    found = find(
        payloads({name: EVERY_RULE[name]}), lambda payload: payload.get(name, "absent") == value, settings=ANY
    )

    assert found == {name: value}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("count", "is missing"),
        ("count", "must be an integer, not a string"),
        ("count", "must be an integer, not null"),
        ("count", "must be at least 1"),
        ("count", "must be at most 5"),
        ("even", "must be even"),
        ("name", "must have at least 2 characters"),
        ("name", "must have at most 4 characters"),
        ("code", "must match"),
        ("color", "must be one of"),
        ("colors", "must have at most 2 items"),
        ("limit", "must be seconds, or"),
        ("until", "must be an ISO 8601 instant"),
        ("slug", "must be a 22-character slug"),
        ("words", "must not be empty"),
        ("words", "words[1]: must be a string"),
        ("pair", "pair[1]: must be true or false"),
        ("pair", "must have exactly 2 items"),
        ("box", "box.in: is missing"),
        ("box", "box.in: must be an integer"),
        ("box", "box.ins: unknown property"),
        ("map", "must match"),
        ("map", "map.a: must be at least 0"),
        ("either", "must be true or false or a string"),
        ("either", "must have at least 3 characters"),
        ("inner", "inner: "),
    ],
)
def test_invalid_payloads_of_each_kind_are_drawn(name, problem):
    """Every way in which a payload can be wrong comes up, at the top and within."""
    schema = MergedSchema.merge({"test": {name: EVERY_RULE[name]}})

    found = find(
        invalid_payloads(schema),
        lambda payload: any(problem in f"{one.path}: {one.message}" for one in schema.violations(payload)),
        settings=ANY,
    )

    assert schema.violations(found)


def test_unknown_properties_are_drawn_near_the_known_ones():
    """A misspelt name is the mistake that people make."""
    schema = MergedSchema.merge({"test": {"name": EVERY_RULE["name"]}})

    found = find(invalid_payloads(schema), lambda payload: "names" in payload, settings=ANY)

    assert 'payload.names: unknown property; did you mean "name"?' in map(str, schema.violations(found))


def test_only_one_property_is_wrong():
    """So that what refuses it is what is tested."""

    @SOME
    @given(invalid_payloads(EVERY))
    def one_is(payload: Any) -> None:
        wrong = {re.split(r"[.[]", one.path)[1] for one in EVERY.violations(payload)}
        assert len(wrong) == 1

    one_is()


def test_values_are_drawn_from_elsewhere():
    """What a plugin judges by more than its schema is given, and what the schema refuses of that is left out."""
    given_values = {"count": st.sampled_from([2, 4, 6])}

    with pytest.raises(NoSuchExample):
        find(
            payloads(EVERY, values=given_values),
            lambda payload: payload["count"] not in (2, 4),
            settings=settings(max_examples=100),
        )
    with pytest.raises(NoSuchExample):
        find(
            invalid_payloads(EVERY, values=given_values),
            lambda payload: "unknown" in payload and payload["count"] not in (2, 4),
            settings=settings(max_examples=100),
        )


def test_value_of_no_property_is_refused():
    """A misspelt property would be drawn by nobody."""
    with pytest.raises(ValueError, match="the schema has no property cuont; its properties: count"):
        payloads({"count": EVERY_RULE["count"]}, values={"cuont": st.just(1)})


def test_schema_that_nothing_satisfies_is_told():
    """A required property without any value leaves nothing to draw, an optional one is left out."""
    impossible = {"type": "integer", "min": 2, "max": 1}

    assert find(payloads({"x": impossible}), lambda payload: True) == {}
    with pytest.raises(Unsatisfiable):
        find(payloads({"x": {**impossible, "required": True}}), lambda payload: True)


async def test_run_is_malformed_just_when_the_payload_is(make_run):
    """What the strategies call valid and invalid is what a run does."""
    schema = {name: rules for name, rules in EVERY_RULE.items() if name in ("count", "words", "map")}
    plugin = ScriptedPlugin("own", schema=schema)
    merged = make_run.runtime(plugin).schema
    good = find(payloads(merged), lambda payload: len(payload) > 2, settings=ANY)
    bad = find(invalid_payloads(merged), lambda payload: len(payload) > 2, settings=ANY)

    resolutions = [await make_run(plugin, payload=payload).wait() for payload in (good, bad)]

    assert [str(one.reason) for one in resolutions] == ["None", "malformed-payload"]
