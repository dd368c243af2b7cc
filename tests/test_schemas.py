"""Schemas: merged once with their owners, then documents judged, with path and owner of every violation."""

import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagecall.specs.durations import parse_duration
from stagecall.specs.schemas import (
    MergedSchema,
    Schema,
    SchemaConflictError,
    SchemaError,
    StructureError,
    Violation,
    did_you_mean,
    structure,
)

PROCESS = {
    "command": {
        "type": "list",
        "required": True,
        "minlength": 1,
        "schema": {"type": "string"},
    },
}
ARTIFACTS = {
    "artifacts": {
        "type": "list",
        "schema": {
            "type": "dict",
            "schema": {
                "type": {"type": "string", "required": True, "allowed": ["file", "directory"]},
                "path": {"type": "string", "required": True, "empty": False, "maxlength": 9},
                "expires": {"type": ["string", "datetime"], "check_with": "instant"},
            },
        },
    },
}
ENV = {
    "env": {
        "type": "dict",
        "keysrules": {"type": "string", "regex": "[A-Z_]+"},
        "valuesrules": {"type": "string"},
    },
}
LIMITS = {"maxRunTime": {"type": ["number", "string"], "check_with": "duration"}}

PAYLOAD: dict[str, Schema] = {
    "engine process": PROCESS,
    "plugin artifacts": ARTIFACTS,
    "plugin env": ENV,
    "plugin maxruntime": LIMITS,
}


@pytest.fixture(scope="module")
def payload_schema():
    return MergedSchema.merge(PAYLOAD)


def violations(rules, value):
    """The violations, as text, of a property `x` that has these rules."""
    found = MergedSchema.merge({"plugin x": {"x": rules}}).violations({"x": value})
    return [str(violation) for violation in found]


def test_merged_schema_knows_properties_and_owners(payload_schema):
    """The whole has every property in order of declaration, and knows whose each is."""
    assert dict(payload_schema.properties) == PROCESS | ARTIFACTS | ENV | LIMITS
    assert list(payload_schema.properties) == ["command", "artifacts", "env", "maxRunTime"]
    assert payload_schema.owners("env") == ("plugin env",)
    assert payload_schema.owners("nothing") == ()


def test_each_owner_is_given_its_part(payload_schema):
    """An owner's part has the properties that it declares, as far as the document has them, and no other."""
    document = {"env": {"A": "b"}, "command": ["true"], "nobodys": 1}

    parts = {owner: payload_schema.part(owner, document) for owner in PAYLOAD}

    assert parts == {
        "engine process": {"command": ["true"]},
        "plugin artifacts": {},
        "plugin env": {"env": {"A": "b"}},
        "plugin maxruntime": {},
    }


def test_unknown_owner_has_no_part(payload_schema):
    """A misspelt owner is an error that names the owners there are."""
    with pytest.raises(
        KeyError, match="'plugin envy' has no part in this schema; owners: engine process, plugin art"
    ):
        payload_schema.part("plugin envy", {})


def test_a_property_declared_twice_differently_names_both_owners():
    """Two owners that mean different things by one property are told at once."""
    schemas = {"engine mock": {"delay": {"type": "integer"}}, "plugin slow": {"delay": {"type": "number"}}}

    with pytest.raises(SchemaConflictError) as conflict:
        MergedSchema.merge(schemas)

    assert (conflict.value.property, conflict.value.owners) == ("delay", ("engine mock", "plugin slow"))
    assert str(conflict.value) == (
        'the property "delay" is declared differently by engine mock and plugin slow; '
        "give it one declaration, or two names"
    )


def test_a_property_declared_twice_alike_is_shared():
    """Both owners get a property that they declare alike, and both are named in its violations."""
    shared = {"delay": {"type": "integer", "allowed": (1, 2)}}
    merged = MergedSchema.merge(
        {"engine mock": shared, "plugin slow": {"delay": {"type": "integer", "allowed": [1, 2]}}}
    )

    (violation,) = merged.violations({"delay": "1"})

    both = ("engine mock", "plugin slow")
    assert violation == Violation("payload.delay", "must be an integer, not a string", "engine mock", both)
    assert merged.owners("delay") == both
    assert [merged.part(owner, {"delay": 1}) for owner in both] == [{"delay": 1}] * 2


def test_a_later_change_of_a_declaration_changes_nothing():
    """What was merged is a copy, and cannot be changed through the merged schema either."""
    declared: dict[str, Any] = {"x": {"type": "list", "schema": {"type": "integer"}}}
    merged = MergedSchema.merge({"plugin x": declared})

    declared["x"]["schema"]["type"] = "string"
    merged.properties["x"]["schema"]["type"] = "string"

    assert merged.violations({"x": [1]}) == ()


def test_read_only_mappings_are_schemas():
    """A schema need not be made of dicts."""
    schema = MappingProxyType({"x": MappingProxyType({"type": ("integer", "string")})})

    assert MergedSchema.merge({"plugin x": schema}).violations({"x": "1"}) == ()


@pytest.mark.parametrize(
    "rule", ["default", "default_setter", "coerce", "rename", "rename_handler", "purge_unknown"]
)
def test_rules_that_would_change_a_document_are_refused(rule):
    """Defaults and converters live in attrs classes, and whoever writes one into a schema is told so."""
    with pytest.raises(SchemaError) as refusal:
        MergedSchema.merge({"plugin x": {"a": {"type": "dict", "schema": {"b": {rule: 1}}}}})

    assert str(refusal.value) == (
        f'the schema of plugin x cannot be used: a.b: the rule "{rule}" is not supported, since documents '
        "are checked as they are; put defaults and converters into the attrs class"
    )


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        (5, "it must be a mapping from property to rules"),
        ({5: {}}, "it has a property 5 that is no string"),
        ({"a": "string"}, "a: the rules must be a mapping"),
        ({"a": {"requird": True}}, 'a: unknown rule "requird"; did you mean "required"?'),
        (
            {"a": {"dependencies": "b"}},
            'a: unknown rule "dependencies"; allowed are "allowed", "anyof", "check_with", ',
        ),
        ({"a": {5: True}}, 'a: unknown rule "5"; allowed are '),
        ({"a": {"type": "strnig"}}, 'a: unknown type "strnig"; did you mean "string"?'),
        ({"a": {"type": 5}}, "a: a type must be a string or a list of strings"),
        ({"a": {"type": []}}, "a: a type must be a string or a list of strings"),
        ({"a": {"type": [["list"]]}}, "a: a type must be a string or a list of strings"),
        (
            {"a": {"type": "datetime"}},
            'a: the type "datetime" needs "string" beside it: JSON has no instants',
        ),
        ({"a": {"required": 1}}, "a: required, nullable and empty must be true or false"),
        ({"a": {"valuesrules": "b"}}, "a: keysrules and valuesrules must be rules"),
        ({"a": {"min": "1"}}, "a: min and max must be finite numbers"),
        ({"a": {"max": float("nan")}}, "a: min and max must be finite numbers"),
        ({"a": {"minlength": -1}}, "a: lengths must be integers that are not negative"),
        ({"a": {"type": "string", "allowed": "ab"}}, "a: allowed must be a list with at least one value"),
        ({"a": {"type": "string", "allowed": []}}, "a: allowed must be a list with at least one value"),
        ({"a": {"type": "string", "allowed": [None]}}, "a: allowed may hold strings, numbers and booleans"),
        (
            {"a": {"allowed": ["b"]}},
            'a: allowed needs a type: "list", whose items it names, or types that are neither',
        ),
        (
            {"a": {"type": ["list", "string"], "allowed": ["b"]}},
            'a: allowed needs a type: "list", whose items',
        ),
        (
            {"a": {"regex": "("}},
            "a: the regex cannot be compiled: missing ), unterminated subpattern at position 0",
        ),
        ({"a": {"regex": b"b"}}, "a: a regex must be a string"),
        (
            {"a": {"regex": "(?i)b"}},
            "a: the regex has (?i, which other programs that read JSON Schema do not know",
        ),
        ({"a": {"schema": {}}}, 'a: schema needs a type that includes either "dict" or "list"'),
        (
            {"a": {"type": ["dict", "list"], "schema": {}}},
            'a: schema needs a type that includes either "dict" or "li',
        ),
        ({"a": {"type": "dict", "schema": 5}}, "a must be a mapping from property to rules"),
        ({"a": {"type": "dict", "schema": {"b": {"c": 1}}}}, 'a.b: unknown rule "c"; '),
        ({"a": {"type": "list", "schema": {"c": 1}}}, 'a[]: unknown rule "c"; '),
        ({"a": {"valuesrules": {"c": 1}}}, 'a.*: unknown rule "c"; '),
        ({"a": {"items": [{"type": "list"}, {"c": 1}]}}, 'a[1]: unknown rule "c"; '),
        ({"a": {"items": 5}}, "a: anyof and items must be lists of rules, and not empty"),
        ({"a": {"anyof": []}}, "a: anyof and items must be lists of rules, and not empty"),
        ({"a": {"anyof": [{"type": "list"}, {"c": 1}]}}, 'a (alternative 2): unknown rule "c"; '),
        ({"a": {"type": "string", "check_with": "slugs"}}, 'a: unknown check "slugs"; did you mean "slug"?'),
        ({"a": {"check_with": "slug"}}, 'a: the check "slug" needs a type, of string'),
        ({"a": {"type": "list", "check_with": ["slug"]}}, 'a: the check "slug" needs a type, of string'),
        (
            {"a": {"check_with": 5}},
            "a: check_with must be the name of a check, a function, or a list of them",
        ),
        ({"a": {"meta": 5}}, "a: meta must be a mapping"),
        (
            {"a": {"min": "1"}, "b": {"max": "1"}},
            "a: min and max must be finite numbers; b: min and max must be fin",
        ),
    ],
)
def test_an_unusable_schema_names_owner_property_and_what_is_allowed(schema, fault):
    """A schema that could not be checked or exported as it is meant fails when it is merged."""
    with pytest.raises(SchemaError) as refusal:
        MergedSchema.merge({"plugin good": ENV, "plugin x": schema})

    assert str(refusal.value).startswith(f"the schema of plugin x cannot be used: {fault}")


def test_every_violation_is_reported_in_document_order_with_path_and_owner(payload_schema):
    """One look at a document finds all that is wrong with it; what is missing comes last in its object."""
    document = {
        "env": {"PATH": 1, "lower": "x"},
        "comand": ["true"],
        "artifacts": [
            {"type": "file", "path": "out"},
            {"path": "", "typ": "file", "expires": "soon"},
            {"type": "fil", "path": "a-long-path"},
            "out",
        ],
        "maxRunTime": "5 parsecs",
    }

    found = payload_schema.violations(document)

    assert [(violation.path, violation.message, violation.owner) for violation in found] == [
        ("payload.env.PATH", "must be a string, not a number; put it in quotes", "plugin env"),
        ("payload.env.lower", "the property's name must match the pattern [A-Z_]+", "plugin env"),
        ("payload.comand", 'unknown property; did you mean "command"?', None),
        ("payload.artifacts[1].path", "must not be empty", "plugin artifacts"),
        ("payload.artifacts[1].typ", 'unknown property; did you mean "type"?', "plugin artifacts"),
        (
            "payload.artifacts[1].expires",
            "must be an ISO 8601 instant with a time zone, from 1970 to 9000, such as "
            + '"2030-01-31T12:00:00Z"',
            "plugin artifacts",
        ),
        ("payload.artifacts[1].type", "is missing; it must be a string", "plugin artifacts"),
        (
            "payload.artifacts[2].type",
            'must be one of "file", "directory"; did you mean "file"?',
            "plugin artifacts",
        ),
        ("payload.artifacts[2].path", "must have at most 9 characters, not 11", "plugin artifacts"),
        ("payload.artifacts[3]", "must be an object, not a string", "plugin artifacts"),
        (
            "payload.maxRunTime",
            "must be seconds, or numbers with units from weeks to ms, largest first, such as "
            '"1 day 2 hours 3 minutes" or "90 s"',
            "plugin maxruntime",
        ),
        ("payload.command", "is missing; it must be a list", "engine process"),
    ]


@pytest.mark.parametrize(
    ("rules", "value", "message"),
    [
        ({"type": "integer"}, True, "x: must be an integer, not a boolean"),
        ({"type": "integer"}, 1.5, "x: must be an integer, not a number"),
        ({"type": "number"}, False, "x: must be a number, not a boolean"),
        ({"type": "boolean"}, 1, "x: must be true or false, not a number"),
        ({"type": ["float", "number"]}, "1", "x: must be a number, not a string"),
        ({"type": ["dict", "list"]}, "1", "x: must be an object or a list, not a string"),
        ({"type": "string"}, datetime(2030, 1, 1), "x: must be a string, not an instant; put it in quotes"),
        ({"type": "list"}, b"ab", "x: must be a list, not a bytes"),
        ({"type": "string"}, None, "x: must be a string, not null"),
        ({}, None, "x: must not be null"),
        ({"min": 1}, 0, "x: must be at least 1, not 0"),
        ({"max": 1.5}, 2, "x: must be at most 1.5, not 2"),
        ({"minlength": 1}, {}, "x: must have at least 1 property, not 0"),
        ({"minlength": 2}, [1], "x: must have at least 2 items, not 1"),
        ({"maxlength": 1}, "ab", "x: must have at most 1 character, not 2"),
        ({"regex": "a|b"}, "ac", "x: must match the pattern a|b"),
        ({"regex": "^ab$"}, "ab\n", "x: must match the pattern ^ab$"),
        ({"type": "integer", "allowed": [0, 1]}, 2, "x: must be one of 0, 1"),
        ({"type": ["boolean", "integer"], "allowed": [1]}, True, "x: must be one of 1"),
        ({"type": "list", "allowed": ["a"]}, ["a", {}], 'x: every item must be one of "a"'),
        ({"type": "dict", "schema": {}}, {"a": 1}, "x.a: unknown property; none is allowed"),
        ({"type": "dict", "schema": {"b": {"required": True}}}, {}, "x.b: is missing"),
        ({"items": [{}, {}]}, [1], "x: must have exactly 2 items, not 1"),
        (
            {"items": [{}, {"type": "string"}]},
            [1, 2],
            "x[1]: must be a string, not a number; put it in quotes",
        ),
        (
            {"valuesrules": {"type": "list", "schema": {"min": 3}}},
            {"a b": [4, 2]},
            'x["a b"][1]: must be at least 3, not 2',
        ),
        (
            {"keysrules": {"type": "string"}},
            {1: 1},
            "x[1]: the property's name must be a string, not a number; put it in quotes",
        ),
        (
            {"type": "string", "check_with": "slug"},
            "x",
            'x: must be a 22-character slug, such as "VRzKBhTiQ0-FuPzN5AAWUA"',
        ),
    ],
)
def test_every_rule_has_a_sentence(rules, value, message):
    """Each rule that a value breaks says what is allowed there."""
    assert violations(rules, value) == [f"payload.{message}"]


@pytest.mark.parametrize(
    ("rules", "value"),
    [
        ({"nullable": True, "type": "string", "minlength": 1, "check_with": "slug"}, None),
        ({"type": ["number", "string"], "min": 5}, "1"),
        ({"min": 5}, True),
        ({"minlength": 5}, 1),
        ({"items": [{}]}, "ab"),
        ({"items": [{}]}, 1),
        ({"empty": True, "minlength": 2, "regex": "a+"}, ""),
        ({"type": ["string", "datetime"], "check_with": "instant"}, datetime(2030, 1, 1, tzinfo=UTC)),
        ({"type": ["string", "list"], "schema": {"type": "string"}}, "ab"),
        ({"meta": {"description": "anything"}}, [1]),
    ],
)
def test_rules_pass_over_what_they_do_not_concern(rules, value):
    """A rule about numbers says nothing about texts, and null where it is allowed is subject to none."""
    assert violations(rules, value) == []


def test_the_alternative_that_is_meant_is_explained():
    """If the value's type fits one alternative of `anyof`, its violations are reported, with full paths."""
    rules = {
        "anyof": [
            {"type": "string"},
            {"type": "list", "schema": {"type": "dict", "schema": {"a": {"min": 3}}}},
        ]
    }

    found = violations(rules, [{"a": 2, "b": 1}])

    assert found == [
        "payload.x[0].a: must be at least 3, not 2",
        'payload.x[0].b: unknown property; allowed are "a"',
    ]


def test_alternatives_of_other_types_are_one_sentence():
    """If the value's type fits no alternative, the types that would are named."""
    assert violations({"anyof": [{"type": "string"}, {"type": "list"}]}, 5) == [
        "payload.x: must be a string or a list, not a number; put it in quotes"
    ]


def test_several_alternatives_that_could_be_meant_are_all_named():
    """If the value's type fits several alternatives, all that would have to change is in one sentence."""
    rules = {
        "type": "dict",
        "anyof": [{"schema": {"a": {"required": True}}}, {"schema": {"b": {"max": 1}, "c": {}}}],
    }

    assert violations(rules, {"b": 2}) == [
        'payload.x: fits none of the alternatives: .b unknown property; allowed are "a" and .a is missing, '
        "or .b must be at most 1, not 2"
    ]


@pytest.mark.parametrize("around", ["list", "values", "items"])
def test_unknown_properties_are_refused_below_alternatives(around):
    """An unknown property is refused wherever it stands: cerberus lets it pass below `anyof`."""
    part = {"type": "dict", "schema": {"a": {}}}
    rules, value = {
        "list": ({"type": "list", "schema": part}, [{"b": 1}]),
        "values": ({"type": "dict", "valuesrules": part}, {"k": {"b": 1}}),
        "items": ({"type": "list", "items": [part]}, [{"b": 1}]),
    }[around]

    (found,) = violations({"anyof": [rules]}, value)

    assert found == f'payload.x{".k" if around == "values" else "[0]"}.b: unknown property; allowed are "a"'


def test_a_function_can_check(payload_schema):
    """A `check_with` function reports through the function it is given, in its own sentence."""

    def even(field, value, error):
        if value % 2:
            error(field, f"must be even, and {field} is odd")

    assert violations({"type": "list", "schema": {"type": "integer", "check_with": even}}, [2, 3, None]) == [
        "payload.x[1]: must be even, and 1 is odd",
        "payload.x[2]: must be an integer, not null",
    ]


@pytest.mark.parametrize("document", [None, [], "command", 5])
def test_a_document_that_is_no_object_has_one_violation(payload_schema, document):
    """It belongs to no owner, and spoils the part of each."""
    (violation,) = payload_schema.violations(document, root="plugins.env")

    assert (violation.path, violation.owner, violation.owners) == ("plugins.env", None, tuple(PAYLOAD))
    assert violation.message.startswith("must be an object, not ")


def test_messages_do_not_repeat_texts_of_the_document(payload_schema):
    """A payload can hold secrets, and violations are logged."""
    secret = "hunter2 hunter2"
    document = {
        "command": secret,
        "env": secret,
        "maxRunTime": secret,
        "artifacts": [{"type": secret, "path": secret, "expires": secret}, secret],
    }

    found = payload_schema.violations(document)

    assert len(found) == 7
    assert not any("hunter2" in str(violation) for violation in found)


def test_long_and_strange_names_are_shortened_in_paths():
    """The name of a property is quoted where it is none, and cut where it is long."""
    merged = MergedSchema.merge({"plugin x": {}})

    found = merged.violations({"a.b\n": 1, "x" * 500: 1, 5: 1, ("a",): 1})

    assert [violation.path for violation in found] == [
        'payload["a.b\\n"]',
        'payload["' + "x" * 79 + "...]",
        "payload[5]",
        "payload[('a',)]",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "path", "expires", "A", "b"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*PROCESS, *ARTIFACTS, *ENV, *LIMITS, "x"]), JSON))
def test_any_document_is_judged(payload_schema, document):
    """Whatever a payload holds, the verdict is violations, each in somebody's part or an unknown property."""
    for violation in payload_schema.violations(document):
        name = violation.path.removeprefix("payload.").split(".")[0].split("[")[0]
        assert violation.owners == payload_schema.owners(name)
        assert (violation.owner is None) == (name == "x")


def test_time_is_in_proportion_to_the_document():
    """Thousands of violations take seconds at most: cerberus alone takes minutes."""
    merged = MergedSchema.merge({"plugin x": {"known": {"type": "integer"}}})
    document: dict[str, Any] = {f"knwon{number}": number for number in range(20_000)}

    started = time.process_time()
    found = merged.violations(document)
    seconds = time.process_time() - started

    assert len(found) == 20_000
    assert seconds < 20


def test_threads_share_a_schema():
    """Checks that overlap do not see each other's documents."""
    merged = MergedSchema.merge(PAYLOAD)

    def check(number: int) -> set[tuple[str, ...]]:
        document = {"command": [str(number)], f"unknown{number}": 1}
        return {tuple(violation.path for violation in merged.violations(document)) for _ in range(200)}

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(check, range(8)))

    assert found == [{(f"payload.unknown{number}",)} for number in range(8)]


def test_a_check_may_use_the_schema_it_is_part_of():
    """A check inside a check is a check of its own, and leaves the outer one alone."""

    def inner(field, value, error):
        if isinstance(value, dict) and merged.violations(value):
            error(field, "must fit the schema, too")

    merged = MergedSchema.merge({"plugin x": {"x": {"check_with": inner}}})
    document = {"a": 1, "x": {"x": {"y": 1}}, "z": 1}

    found = [[violation.path for violation in merged.violations(document)] for _ in range(2)]

    assert found == [["payload.a", "payload.x", "payload.z"]] * 2


def test_nothing_of_a_document_is_kept(payload_schema):
    """Once a document was judged, valid or not, the schema does not keep it alive."""

    class Payload(dict[str, Any]):
        pass

    good, bad = Payload(command=["true"]), Payload(comand=Payload())
    gone = [weakref.ref(good), weakref.ref(bad), weakref.ref(bad["comand"])]
    verdicts = [len(payload_schema.violations(document)) for document in (good, bad)]

    del good, bad
    gc.collect()

    assert verdicts == [0, 2]
    assert [reference() for reference in gone] == [None, None, None]


class Kind(Enum):
    FILE = "file"
    DIRECTORY = "directory"


@attrs.frozen
class Artifact:
    type: Kind
    path: str
    expires: datetime | None = None


@attrs.frozen
class Payload:
    command: tuple[str, ...]
    artifacts: list[Artifact] = attrs.field(factory=list)
    env: dict[str, str] = attrs.field(factory=dict)
    max_run_time: float = attrs.field(default=60.0, converter=parse_duration)
    either: int | str | None = None
    anything: Any = None


def test_a_document_becomes_attrs_objects():
    """Names, instants, enum members, nested classes and an attribute's own converter are taken care of."""
    document = {
        "command": ["true"],
        "artifacts": [{"type": "file", "path": "out", "expires": "2030-01-31T12:00:00+02:00"}],
        "maxRunTime": "2 minutes",
        "either": "5",
        "anything": {"a": [1]},
        "ignored": 1,
    }

    assert structure(Payload, document) == Payload(
        command=("true",),
        artifacts=[Artifact(Kind.FILE, "out", datetime(2030, 1, 31, 10, tzinfo=UTC))],
        env={},
        max_run_time=120.0,
        either="5",
        anything={"a": [1]},
    )


def test_defaults_are_those_of_the_class():
    """What a document leaves out has the attrs class's default."""
    assert structure(Payload, {"command": []}) == Payload(command=())


def test_an_aware_datetime_is_an_instant():
    """A document made in Python may hold datetimes."""
    now = datetime(2030, 1, 31, tzinfo=UTC)

    assert structure(Artifact, {"type": "file", "path": "a", "expires": now}).expires == now


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({}, "required field missing @ Payload.command"),
        ({"command": [], "artifacts": [{"type": "fil", "path": ""}]}, "@ Payload.artifacts[0].type"),
        ({"command": [], "maxRunTime": "soon"}, "'soon' is no duration"),
        (
            {"command": [], "artifacts": [{"type": "file", "path": "", "expires": "soon"}]},
            "an instant must be an ISO 8601",
        ),
        (5, "the document does not fit Payload: "),
    ],
)
def test_a_document_that_does_not_fit_says_where(document, fault):
    """What the schema let pass and the class refuses is a StructureError that names class and attribute."""
    with pytest.raises(StructureError) as refusal:
        structure(Payload, document)

    assert str(refusal.value).startswith("the document does not fit Payload: ")
    assert fault in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("comand", ["command"], 'did you mean "command"?'),
        ("x", [], "none is allowed"),
        (5, ["command"], 'allowed are "command"'),
        ("c" * 100_000, ["command"], 'allowed are "command"'),
    ],
)
def test_hints_name_the_nearest_or_all(name, known, hint):
    """A name that is nearly right is put right; otherwise all are listed."""
    assert did_you_mean(name, known) == hint
