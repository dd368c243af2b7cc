"""Stores broken on purpose, at least one for each check of `StoreConformance`: each does one thing wrong in memory."""

from __future__ import annotations

from typing import Any

import attrs

from .. import Mutant
from .putting import (
    BeginsAtTheBeginning,
    DigestsTheBeginning,
    ExplainsRedirects,
    ForgetsTheEncoding,
    HasOneAddress,
    IgnoresCase,
    IgnoresTheRun,
    ReadsOnTheLoop,
    TakesOneAtATime,
)
from .reading import FindsFolders, GivesAllAtOnce, RefusesTheEnd, RemembersRedirects
from .refusing import (
    BearsAGrudge,
    KeepsHalves,
    LetsTheThreadGoOn,
    LooksAway,
    MendsErrors,
    SwallowsCancellation,
    TakesHalves,
    TrustsNames,
)

__all__ = ["MUTANTS"]


@attrs.frozen
class StoreMutant(Mutant):
    """A store that is broken: the kit's fixture gives the store itself."""

    def given(self) -> Any:
        """Return a store made afresh."""
        return self.make()


MUTANTS = (
    StoreMutant(ForgetsTheEncoding, "test_object_is_completed_with_size_and_digest"),
    StoreMutant(DigestsTheBeginning, "test_object_is_completed_with_size_and_digest"),
    StoreMutant(BeginsAtTheBeginning, "test_content_is_read_from_where_it_stands_and_left_open"),
    StoreMutant(ExplainsRedirects, "test_what_has_no_content_is_returned_as_it_is"),
    StoreMutant(TakesOneAtATime, "test_uploads_side_by_side_are_all_whole"),
    StoreMutant(ReadsOnTheLoop, "test_content_is_read_in_threads"),
    StoreMutant(IgnoresCase, "test_names_are_kept_apart"),
    StoreMutant(IgnoresTheRun, "test_runs_do_not_meet"),
    StoreMutant(HasOneAddress, "test_an_address_is_of_one_artifact"),
    StoreMutant(TrustsNames, "test_bad_names_are_refused"),
    StoreMutant(MendsErrors, "test_only_a_redirect_is_replaced_by_something_else"),
    StoreMutant(TakesHalves, "test_content_that_cannot_be_read_is_an_error"),
    StoreMutant(BearsAGrudge, "test_content_that_cannot_be_read_is_an_error"),
    StoreMutant(LooksAway, "test_content_that_changes_while_it_is_read_is_an_error"),
    StoreMutant(KeepsHalves, "test_nothing_is_left_of_what_was_refused"),
    StoreMutant(SwallowsCancellation, "test_cancelled_upload_lets_go_of_its_content"),
    StoreMutant(LetsTheThreadGoOn, "test_cancelled_upload_lets_go_of_its_content"),
    StoreMutant(RefusesTheEnd, "test_objects_are_given_back_from_any_byte_on"),
    StoreMutant(GivesAllAtOnce, "test_large_objects_are_given_back_in_pieces"),
    StoreMutant(FindsFolders, "test_only_objects_can_be_read"),
    StoreMutant(RemembersRedirects, "test_an_object_in_place_of_a_redirect_can_be_read"),
)
"""Each mutant with the one check that must reject it."""
