"""Plugins, engines and stores broken on purpose, each in one way, and the check of the kit that must find it out.

They show that no check of a kit passes whatever it is given, and what each is there for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ..conformance import Conformance


@attrs.frozen
class Mutant:
    """Something broken: `make` makes it, as the kit's fixture does, `rejected_by` is the one check that must fail.

    `settings` are the attributes of the class that uses the kit, such as the payloads of a plugin.
    """

    make: Any
    rejected_by: str
    settings: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def name(self) -> str:
        """What the mutant is called: the name of what makes it, as a class would have it."""
        return "".join(word[:1].upper() + word[1:] for word in self.make.__name__.split("_"))

    def given(self) -> Any:
        """Return what the kit's fixture gives: what makes the mutant, as plugins and engines are made by the kit."""
        return self.make

    def put_to(self, kit: type[Conformance], fixture: str) -> type[Conformance]:
        """Return a test class that puts the mutant to a kit, whose fixture of this name makes what is tested."""
        import pytest

        def made(_: object) -> Any:
            return self.given()

        return type(
            f"Test{self.name}", (kit,), {fixture: pytest.fixture(name=fixture)(made), **self.settings}
        )
