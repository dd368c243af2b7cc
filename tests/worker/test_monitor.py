"""The logging monitor tells the operator everything, through handlers that are the embedder's."""

import logging
import subprocess
import sys
import threading

from stagecall.specs.slugs import is_slug
from stagecall.worker.monitor import LogMonitor

LOGGER = "stagecall"


def told(caplog) -> list[tuple[str, str, dict]]:
    return [(record.levelname, record.getMessage(), record.fields) for record in caplog.records]


def test_tags_are_with_everything(caplog):
    """Bound tags, the outer ones first, are in the text and in the fields of each record."""
    caplog.set_level(logging.DEBUG, LOGGER)
    monitor = LogMonitor().bind(task_id="t", run_id=0).bind(plugin="env")

    monitor.log("it works", seconds=1.5)
    monitor.measure("waited", 0.25)

    tags = {"task_id": "t", "run_id": 0, "plugin": "env"}
    assert told(caplog) == [
        ("INFO", "it works task_id=t run_id=0 plugin=env seconds=1.5", {**tags, "seconds": 1.5}),
        ("DEBUG", "waited task_id=t run_id=0 plugin=env value=0.25", {**tags, "value": 0.25}),
    ]


def test_binding_leaves_the_outer_monitor_as_it_was(caplog):
    """A monitor for one run does not mark the messages of the worker."""
    caplog.set_level(logging.INFO, LOGGER)
    outer = LogMonitor()
    outer.bind(task_id="t")

    outer.log("100% done", name="x")

    assert told(caplog) == [("INFO", "100% done name=x", {"name": "x"})]


def test_error_has_its_traceback_and_an_incident(caplog):
    """Whoever is given the incident id finds the error, with its traceback, in the log."""
    try:
        raise ValueError("no such thing")
    except ValueError as error:
        incident = LogMonitor().bind(task_id="t").report_error(error, where="stopped of plugin env")

    (record,) = caplog.records
    fields = {"task_id": "t", "incident": incident, "where": "stopped of plugin env"}
    assert is_slug(incident)
    assert told(caplog) == [
        (
            "ERROR",
            f"ValueError: no such thing task_id=t incident={incident} where=stopped of plugin env",
            fields,
        )
    ]
    assert "test_error_has_its_traceback" in record.exc_text


def test_error_without_words_is_told_by_its_type(caplog):
    """There is always something to read."""
    incident = LogMonitor().report_error(KeyboardInterrupt())

    assert told(caplog) == [("ERROR", f"KeyboardInterrupt incident={incident}", {"incident": incident})]


def test_each_error_is_an_incident_of_its_own():
    """The same error reported twice is found under two ids."""
    monitor, error = LogMonitor(), ValueError()

    assert monitor.report_error(error) != monitor.report_error(error)


def test_counts_are_shared_and_lose_nothing():
    """Monitors bound from one another count together, from any thread."""
    monitor = LogMonitor()
    bound = [monitor.bind(number=number) for number in range(4)]

    threads = [
        threading.Thread(target=lambda one=one: [one.count("runs") for _ in range(1000)]) for one in bound
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    monitor.count("bytes", 512)

    assert monitor.counts == {"runs": 4000, "bytes": 512}


def test_messages_point_to_who_wrote_them(caplog):
    """A record names the caller's file, not the monitor's."""
    caplog.set_level(logging.INFO, LOGGER)

    LogMonitor().log("here")

    assert caplog.records[0].filename == "test_monitor.py"


def test_library_alone_writes_nothing():
    """Without a handler of the embedder's nothing is printed, not even by logging's last resort."""
    code = (
        "from stagecall.worker.monitor import LogMonitor; monitor = LogMonitor();"
        "monitor.log('a'); monitor.report_error(ValueError());"
        "import logging; print(logging.getLogger().handlers)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("[]\n", "")


class UnshowableError(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_error_that_cannot_be_shown_is_reported_all_the_same(caplog):
    """An error of a plugin's making must not break whoever reports it."""
    incident = LogMonitor().report_error(UnshowableError())

    assert [level for level, _, _ in told(caplog)] == ["ERROR"]
    assert told(caplog)[0][1] == f"UnshowableError: (it cannot be shown) incident={incident}"
