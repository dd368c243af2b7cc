"""Payload and configuration schemas: a part for each engine and plugin, merged once, then checked as one.

A schema is a cerberus one: property -> rules. It may use the rules that JSON Schema has as well: `type`
(boolean, dict, float, integer, list, number, string, and datetime beside string), `required`, `nullable`,
`empty`, `allowed`, `min`, `max`, `minlength`, `maxlength`, `regex`, `schema`, `items`, `anyof`, `keysrules`,
`valuesrules`. Beside them stand `check_with` (a name of `specs/schema_checks.py` or a function `(field,
value, error)`) and, for readers, `meta` (`title`, `description`, `default`).

Defaults live in the attrs classes that documents are structured into, so a document is checked as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import attrs

Rules: TypeAlias = Mapping[str, Any]
Schema: TypeAlias = Mapping[str, Rules]

T = TypeVar("T")


class SchemaError(ValueError):
    """A schema that cannot be used; the message names its owner, the property and what is allowed."""


class SchemaConflictError(SchemaError):
    """Two owners declare one property differently: `property` and both `owners`."""

    def __init__(self, property: str, owners: tuple[str, str]) -> None:
        self.property = property
        self.owners = owners
        first, second = owners
        super().__init__(
            f'the property "{property}" is declared differently by {first} and {second}; '
            "give it one declaration, or two names"
        )


class StructureError(ValueError):
    """A document that does not fit the class it is structured into, although the schema let it pass."""


@attrs.frozen
class Violation:
    """One thing wrong with a document: `path` says where, `message` what, in one sentence.

    `owner` is the engine or plugin whose part it is, None if nobody's (an unknown property); `owners` are all
    of them, as a property may be shared. Messages do not quote texts of the document, which may be secret.

    >>> print(Violation("payload.command", "must not be empty", "engine process"))
    payload.command: must not be empty
    """

    path: str
    message: str
    owner: str | None = None
    owners: tuple[str, ...] = attrs.Factory(
        lambda self: () if self.owner is None else (self.owner,), takes_self=True
    )

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@attrs.frozen(eq=False)
class MergedSchema:
    """The schemas of several owners as one; made by `merge`, then shared by all threads.

    `properties` are all properties with their rules, in order of declaration.

    >>> merged = MergedSchema.merge({
    ...     "engine process": {"command": {"type": "list", "required": True, "schema": {"type": "string"}}},
    ...     "plugin env": {"env": {"type": "dict", "valuesrules": {"type": "string"}}},
    ... })
    >>> for violation in merged.violations({"comand": ["true"], "env": {"HOME": 1}}):
    ...     print(violation)
    payload.comand: unknown property; did you mean "command"?
    payload.env.HOME: must be a string, not a number; put it in quotes
    payload.command: is missing; it must be a list
    >>> merged.part("plugin env", {"command": ["true"], "env": {"HOME": "/"}})
    {'env': {'HOME': '/'}}
    """

    properties: Mapping[str, Rules]
    _owners: Mapping[str, tuple[str, ...]]
    _parts: Mapping[str, tuple[str, ...]]
    _definition: Any
    # A validator holds the state of one check, so each is used by one caller at a time.
    _idle: deque[Any] = attrs.field(factory=deque, init=False)

    @classmethod
    def merge(cls, schemas: Mapping[str, Schema]) -> MergedSchema:
        """Return the schemas of all owners as one; a property that two declare alike is shared.

        Raises: SchemaError for a schema that cannot be used, SchemaConflictError for a property that two
        owners declare differently.
        """
        from ._schema_lint import check_schema, plain
        from ._schema_validator import Validator

        properties: dict[str, Rules] = {}
        owners: dict[str, tuple[str, ...]] = {}
        for owner, schema in schemas.items():
            check_schema(owner, schema)
            for name, rules in schema.items():
                if properties.setdefault(name, plain(rules)) != plain(rules):
                    raise SchemaConflictError(name, (owners[name][0], owner))
                owners[name] = (*owners.get(name, ()), owner)
        parts = {owner: tuple(schema) for owner, schema in schemas.items()}
        return cls(MappingProxyType(properties), owners, parts, Validator(plain(properties)).schema)

    def owners(self, property: str) -> tuple[str, ...]:
        """Return who declares a property, in order; nobody declares an unknown one.

        >>> MergedSchema.merge({"plugin env": {"env": {"type": "dict"}}}).owners("env")
        ('plugin env',)
        """
        return self._owners.get(property, ())

    def violations(self, document: Any, *, root: str = "payload") -> tuple[Violation, ...]:
        """Return all that is wrong with a document, in its order; what is missing comes last in its object.

        `root` is what paths begin with. A document that is no object has one violation, for all owners.
        """
        if not isinstance(document, Mapping):
            from ._schema_wording import kind

            return (Violation(root, f"must be an object, not {kind(document)}", owners=tuple(self._parts)),)
        validator = self._borrow()
        try:
            if validator.validate(document, normalize=False):
                return ()
            from ._schema_violations import explain

            return tuple(explain(validator.findings, document, root, self._owners))
        finally:
            validator.forget()
            self._idle.append(validator)

    def part(self, owner: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return those properties of a document that `owner` declares.

        Raises: KeyError that lists the owners there are.
        """
        try:
            names = self._parts[owner]
        except KeyError:
            raise KeyError(
                f"{owner!r} has no part in this schema; owners: {', '.join(self._parts)}"
            ) from None
        return {name: document[name] for name in names if name in document}

    def _borrow(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            from ._schema_validator import Validator

            return Validator(self._definition)


def structure(cls: type[T], document: Any) -> T:
    """Return a checked document as an instance of an attrs class.

    Attributes in snake_case are properties in camelCase; instants become aware datetimes in UTC, lists tuples
    where the class says so, texts enum members. An attribute's own attrs converter comes first. Properties
    that the class does not have are ignored.

    Raises: StructureError.

    >>> @attrs.frozen
    ... class Limits:
    ...     max_run_time: float = 60.0
    >>> structure(Limits, {"maxRunTime": 3.5})
    Limits(max_run_time=3.5)
    """
    from ._schema_structure import structured

    return structured(cls, document)


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return the end of a sentence that says a name is unknown: the nearest known one, else all of them.

    >>> did_you_mean("comand", ["command", "env"])
    'did you mean "command"?'
    >>> did_you_mean("x", ["command", "env"])
    'allowed are "command", "env"'
    """
    import difflib

    names = sorted(known)
    # The time this takes grows with the square of the length, and a payload may hold anything.
    near = difflib.get_close_matches(name, names, 1) if isinstance(name, str) and len(name) <= 64 else []
    if near:
        return f'did you mean "{near[0]}"?'
    return "allowed are " + ", ".join(f'"{known}"' for known in names) if names else "none is allowed"
