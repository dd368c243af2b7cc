"""A conformance kit for artifact stores: subclass `StoreConformance` in a test module, and say how your store is made.

    class TestMine(StoreConformance):
        @pytest.fixture
        def store(self, tmp_path):
            return MyStore(tmp_path)

The checks are grouped: what a store takes (`putting`), what it refuses and lets go of (`refusing`), and what it gives
back (`reading`).
"""

from .kit import an_object, new_task, read_all
from .putting import PuttingChecks
from .reading import ReadingChecks
from .refusing import RefusingChecks

__all__ = ["StoreConformance", "an_object", "new_task", "read_all"]


class StoreConformance(PuttingChecks, RefusingChecks, ReadingChecks, kit=True):
    """All checks of artifact stores. Subclass it, with the fixture `store`, which returns one that is empty.

    `capabilities` says what the store can do beside `put` (see `flags`), `departures` which checks it replaces or
    leaves out, and why; `large` is how many bytes do not go into the store in one piece.
    """
