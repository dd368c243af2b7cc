"""Task definitions: read with defaults, refused with every violation, and written back as they came."""

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta, timezone

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagecall.specs.instants import INSTANT_FORM, format_instant
from stagecall.specs.task import (
    Metadata,
    Priority,
    Requires,
    TaskDefinition,
    TaskDefinitionError,
    TaskInfo,
    is_slug,
    new_slug,
)

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
TASK_ID, OTHER_ID = "VRzKBhTiQ0-FuPzN5AAWUA", "A_bcdefgQA-AAAAAAAAAAA"

FULL = {
    "taskId": TASK_ID,
    "runId": 2,
    "taskQueueId": "some-provisioner/some_worker",
    "schedulerId": "scheduler",
    "projectId": "project/x.y",
    "taskGroupId": TASK_ID,
    "dependencies": [OTHER_ID],
    "requires": "all-resolved",
    "routes": ["index.a b"],
    "priority": "very-high",
    "retries": 0,
    "created": "2030-01-31T12:00:00.000Z",
    "deadline": "2030-01-31T13:00:00.000Z",
    "expires": "2030-02-28T12:00:00.000Z",
    "scopes": ["queue:*"],
    "payload": {"command": ["true"], "nested": {"a": [1, None]}},
    "metadata": {"name": "n", "description": "d", "owner": "o@x", "source": "http://x"},
    "tags": {"kind": "test"},
    "extra": {"anything": [1]},
}


def messages(document, now=NOW):
    """Everything that a document is refused for."""
    with pytest.raises(TaskDefinitionError) as refusal:
        TaskDefinition.parse(document, now=now)
    assert str(refusal.value) == "; ".join(map(str, refusal.value.violations))
    return [str(violation) for violation in refusal.value.violations]


def test_only_the_payload_is_required():
    """All else has a default: the task begins now, has a day, and is kept a year."""
    definition = TaskDefinition.parse({"payload": {"command": ["true"]}}, now=NOW)

    assert definition == TaskDefinition(
        payload={"command": ["true"]},
        created=NOW,
        deadline=NOW + timedelta(days=1),
        expires=NOW + timedelta(days=365),
        task_id=None,
        run_id=None,
        task_queue_id=None,
        scheduler_id=None,
        project_id=None,
        task_group_id=None,
        dependencies=(),
        requires=Requires.ALL_COMPLETED,
        routes=(),
        priority=Priority.LOWEST,
        retries=5,
        scopes=(),
        metadata=Metadata(None, None, None, None),
        tags={},
        extra={},
    )


def test_now_is_the_time_of_the_call():
    """Without `now` a task is created when it is parsed."""
    before = datetime.now(UTC)

    created = TaskDefinition.parse({"payload": {}}).created

    assert before <= created <= datetime.now(UTC)


def test_every_property_is_read():
    """A definition from the queue has all it had."""
    definition = TaskDefinition.parse(FULL, now=NOW + timedelta(days=5))

    assert definition == TaskDefinition(
        payload={"command": ["true"], "nested": {"a": [1, None]}},
        created=NOW,
        deadline=NOW + timedelta(hours=1),
        expires=NOW + timedelta(days=28),
        task_id=TASK_ID,
        run_id=2,
        task_queue_id="some-provisioner/some_worker",
        scheduler_id="scheduler",
        project_id="project/x.y",
        task_group_id=TASK_ID,
        dependencies=(OTHER_ID,),
        requires=Requires.ALL_RESOLVED,
        routes=("index.a b",),
        priority=Priority.VERY_HIGH,
        retries=0,
        scopes=("queue:*",),
        metadata=Metadata("n", "d", "o@x", "http://x"),
        tags={"kind": "test"},
        extra={"anything": [1]},
    )
    assert definition.to_document() == FULL


def test_a_late_deadline_moves_the_default_of_expires():
    """A task is kept at least until its deadline."""
    definition = TaskDefinition.parse({"payload": {}, "deadline": "2035-01-01T00:00:00Z"}, now=NOW)

    assert definition.expires == definition.deadline == datetime(2035, 1, 1, tzinfo=UTC)


def test_both_ways_to_name_a_queue_are_one():
    """`provisionerId` and `workerType` are the halves of `taskQueueId`, and may stand beside it."""
    halves = {"provisionerId": "a", "workerType": "b"}
    documents = [
        {"payload": {}, **halves},
        {"payload": {}, "taskQueueId": "a/b"},
        {"payload": {}, "taskQueueId": "a/b", **halves},
    ]

    assert [TaskDefinition.parse(document).task_queue_id for document in documents] == ["a/b"] * 3


def test_instants_may_be_datetimes_of_any_zone():
    """A document made in Python holds aware datetimes, and the definition has them in UTC."""
    noon = datetime(2030, 1, 31, 14, tzinfo=timezone(timedelta(hours=2)))

    created = TaskDefinition.parse({"payload": {}, "created": noon}).created

    assert (created, created.tzinfo) == (NOW, UTC)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"payload": None}, "task.payload: must be an object, not null"),
        ({"payload": []}, "task.payload: must be an object, not a list"),
        ({"deadlin": 1}, 'task.deadlin: unknown property; did you mean "deadline"?'),
        ({"metadata": {"nam": "n"}}, 'task.metadata.nam: unknown property; did you mean "name"?'),
        ({"tags": {"a": 1}}, "task.tags.a: must be a string, not a number; put it in quotes"),
        ({"scopes": ["a\n"]}, "task.scopes[0]: must match the pattern [ -~]*"),
        ({"taskId": "hello"}, f'task.taskId: must be a 22-character slug, such as "{TASK_ID}"'),
        ({"dependencies": ["x"]}, f'task.dependencies[0]: must be a 22-character slug, such as "{TASK_ID}"'),
        ({"runId": -1}, "task.runId: must be at least 0, not -1"),
        (
            {"priority": "hihg"},
            'task.priority: must be one of "highest", "very-high", "high", "medium", "low", "very-low", '
            '"lowest", "normal"; did you mean "high"?',
        ),
        (
            {"taskQueueId": "a"},
            "task.taskQueueId: must match the pattern [A-Za-z0-9_-]{1,38}/[A-Za-z0-9_-]{1,38}",
        ),
        (
            {"provisionerId": "a"},
            "task.workerType: is missing; it must stand beside provisionerId, or taskQueueId alone",
        ),
        (
            {"workerType": "a"},
            "task.provisionerId: is missing; it must stand beside workerType, or taskQueueId alone",
        ),
        (
            {"provisionerId": "a", "workerType": "b", "taskQueueId": "a/c"},
            "task.taskQueueId: must be provisionerId/workerType, or the two must be left out",
        ),
        (
            {"created": "2030-01-31"},
            f"task.created: must be {INSTANT_FORM}",
        ),
        (
            {"deadline": "2030-01-31T12:00:00Z"},
            "task.deadline: must be after created, which is 2030-01-31T12:00:00.000Z",
        ),
        (
            {"expires": "2030-01-31T12:00:00Z"},
            "task.expires: must not be before deadline, which is 2030-02-01T12:00:00.000Z",
        ),
        (
            {"created": "9000-01-01T00:00:00Z"},
            f"task.expires: must be {INSTANT_FORM}",
        ),
    ],
)
def test_what_cannot_be_is_refused(change, expected):
    """A property that is unknown, wrong or at odds with another is named with what is allowed."""
    assert messages({"payload": {}, **change}) == [expected]


def test_every_violation_is_reported_in_order():
    """One look at a definition finds all that is wrong with it."""
    document = {"retries": 50, "metadata": {"owner": 1}, "paylod": {}}

    assert messages(document) == [
        "task.retries: must be at most 49, not 50",
        "task.metadata.owner: must be a string, not a number; put it in quotes",
        'task.paylod: unknown property; did you mean "payload"?',
        "task.payload: is missing; it must be an object",
    ]


@pytest.mark.parametrize("document", [None, [], "payload"])
def test_a_document_that_is_no_object_is_refused(document):
    """A list or a text is no task."""
    (message,) = messages(document)

    assert message.startswith("task: must be an object, not ")


TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=5)
IDENTIFIERS = st.from_regex("[A-Za-z0-9_-]{1,38}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
SLUGS = st.builds(new_slug)


@st.composite
def written_instants(draw):
    """Three instants in order, as texts of any zone or as datetimes."""
    start = draw(st.datetimes(datetime(1970, 1, 2), datetime(8900, 1, 1)))
    steps = [timedelta(microseconds=draw(st.integers(least, 10**15))) for least in (1, 0)]
    instants = [start, start + steps[0], start + steps[0] + steps[1]]
    zones = [timezone(timedelta(minutes=draw(st.integers(-1439, 1439)))) for _ in instants]
    aware = [
        instant.replace(tzinfo=UTC).astimezone(zone) for instant, zone in zip(instants, zones, strict=True)
    ]
    return [instant.isoformat() if draw(st.booleans()) else instant for instant in aware]


@st.composite
def documents(draw):
    """Any task definition."""
    created, deadline, expires = draw(written_instants())
    optional = {
        "taskId": SLUGS,
        "runId": st.integers(0, 1000),
        "taskQueueId": st.builds("{}/{}".format, IDENTIFIERS, IDENTIFIERS),
        "schedulerId": IDENTIFIERS,
        "projectId": IDENTIFIERS,
        "taskGroupId": SLUGS,
        "dependencies": st.lists(SLUGS, max_size=2),
        "requires": st.sampled_from(list(map(str, Requires))),
        "routes": st.lists(TEXTS, max_size=2),
        "priority": st.sampled_from(list(map(str, Priority))),
        "retries": st.integers(0, 49),
        "scopes": st.lists(TEXTS, max_size=2),
        "metadata": st.dictionaries(st.sampled_from(["name", "description", "owner", "source"]), TEXTS),
        "tags": st.dictionaries(TEXTS, TEXTS, max_size=2),
        "extra": st.dictionaries(TEXTS, JSON, max_size=2),
    }
    document = draw(
        st.fixed_dictionaries({"payload": st.dictionaries(TEXTS, JSON, max_size=2)}, optional=optional)
    )
    return document | {"created": created, "deadline": deadline, "expires": expires}


@given(documents())
def test_definitions_survive_the_wire(document):
    """A definition, written as JSON and read again, is the same, and nothing it was read from is lost."""
    definition = TaskDefinition.parse(document)

    written = json.loads(json.dumps(definition.to_document()))

    assert TaskDefinition.parse(written, now=NOW) == definition
    instants = {
        name: format_instant(getattr(definition, name)) for name in ("created", "deadline", "expires")
    }
    assert written == written | document | instants


@given(st.dictionaries(st.sampled_from([*FULL, "deadlin"]), JSON))
def test_any_document_is_read_or_refused(document):
    """Whatever a task file holds, there is a definition or a TaskDefinitionError with paths from `task`."""
    try:
        definition = TaskDefinition.parse(document)
    except TaskDefinitionError as error:
        paths = [violation.path for violation in error.violations]
    else:
        paths = []
        assert TaskDefinition.parse(definition.to_document()) == definition

    assert all(path.startswith("task.") for path in paths)


def test_info_has_the_facts_of_the_run():
    """What engines and plugins are told of a task is what its definition says."""
    definition = TaskDefinition.parse(FULL)

    info = TaskInfo.from_definition(definition)

    assert attrs.asdict(info, recurse=False) == {
        "task_id": TASK_ID,
        "run_id": 2,
        "created": definition.created,
        "deadline": definition.deadline,
        "expires": definition.expires,
        "scopes": ("queue:*",),
        "task": definition,
    }


def test_info_makes_up_what_a_definition_leaves_out():
    """A task without an id gets a fresh slug; runs count from 0, unless the caller says otherwise."""
    definition = TaskDefinition.parse({"payload": {}})

    infos = [TaskInfo.from_definition(definition), TaskInfo.from_definition(definition, run_id=3)]

    assert [info.run_id for info in infos] == [0, 3]
    assert all(is_slug(info.task_id) for info in infos)
    assert infos[0].task_id != infos[1].task_id


def test_slugs_are_random_uuids_that_begin_with_a_letter():
    """A slug is a version 4 UUID in 22 URL-safe characters, the first never `-`, no two alike."""
    slugs = [new_slug() for _ in range(2_000)]

    uuids = [uuid.UUID(bytes=base64.urlsafe_b64decode(f"{slug}==")) for slug in slugs]
    assert {(one.version, one.variant) for one in uuids} == {(4, uuid.RFC_4122)}
    assert all(is_slug(slug) and slug[0].isalpha() for slug in slugs)
    assert len(set(slugs)) == len(slugs)


@given(st.uuids(version=4))
def test_every_random_uuid_is_a_slug(random):
    """Slugs that others made may begin with any character."""
    assert is_slug(base64.urlsafe_b64encode(random.bytes)[:22].decode())


@given(st.uuids(version=1) | st.uuids(version=5))
def test_other_uuids_are_no_slugs(named):
    """A UUID that is not random is no slug."""
    assert not is_slug(base64.urlsafe_b64encode(named.bytes)[:22].decode())


@pytest.mark.parametrize("text", ["", TASK_ID[:-1], f"{TASK_ID}A", f"{TASK_ID}\n", TASK_ID.replace("-", "+")])
def test_other_texts_are_no_slugs(text):
    """A slug has 22 characters of the URL-safe alphabet."""
    assert not is_slug(text)
