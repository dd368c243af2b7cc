"""The commands and their options; what they do is in the other modules."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from ...specs.schemas import did_you_mean
from .errors import guarded, reader_may_go
from .exits import Problem
from .installed import installed, worker_config
from .logs import Logs
from .tasks import load_jobs, prepare_folders

F = TypeVar("F", bound=Callable[..., Any])


@attrs.define
class Settings:
    """What may be said before or after the command."""

    verbose: bool = False
    debug: bool = False

    def logs(self) -> Logs:
        """Return where the worker's log goes."""
        return Logs(self.verbose, self.debug)


def run_command(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    settings = Settings()

    def call() -> int:
        code = stagecall.main(list(arguments), prog_name="stagecall", standalone_mode=False, obj=settings)
        if sys.stdout is not None:  # closed before the start
            sys.stdout.flush()
        return int(code or 0)

    return guarded(call, lambda: settings.debug)


class _Group(click.Group):
    """Commands; an unknown one is answered with the nearest, a reader who is gone is not click's to judge."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f'unknown command "{args[0]}"; {did_you_mean(args[0], self.commands)}')
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with reader_may_go():  # of --help and --version
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with reader_may_go():
            return super().invoke(ctx)


class _Run(click.Command):
    """`run`, whose `--serve` may stand before a task: only what is an address is taken for one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from .serving import is_address

        for place, argument in enumerate(args):
            if argument == "--":
                break
            if argument == "--serve" and not (args[place + 1 :] and is_address(args[place + 1])):
                args[place] = "--serve="
        return super().parse_args(ctx, args)


def _common(function: F) -> F:
    """Add the options that every command takes."""

    def keep(ctx: click.Context, option: click.Parameter, value: bool) -> None:
        if value:
            setattr(ctx.ensure_object(Settings), str(option.name), True)

    for names, text in (
        (("--debug",), "Show tracebacks."),
        (("-v", "--verbose"), "Show everything the worker itself has to say."),
    ):
        function = click.option(*names, is_flag=True, expose_value=False, callback=keep, help=text)(function)
    return function


_engine = click.option(
    "--engine", "-e", metavar="NAME", help="The engine that runs the tasks; see `stagecall engines`."
)
_journal = click.option(
    "--journal",
    metavar="FILE",
    help="What must survive a kill is kept here; by default in your state folder.",
)
_config = click.option(
    "--config", "-c", metavar="FILE", help="Worker configuration; see `stagecall schema --what config`."
)
_output = click.option("--output", "-o", metavar="FILE", help="Write here instead of to standard output.")


def _lifecycle(text: str) -> Callable[[F], F]:
    """Return the option that names a lifecycle's file."""
    return click.option("--lifecycle", "-l", "lifecycle_file", metavar="FILE", help=text)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
First steps:
  stagecall run examples/hello.yml
  stagecall explain stagecall-out/.../run.json
  stagecall diagram --format html --run stagecall-out/.../run.json --output run.html
  stagecall plugins

\b
Exit code of `run`: 0 completed, 1 failed, 2 usage, 3 malformed payload,
4 any other exception; of several tasks the worst. Everything else: 0 fine,
1 `check` found something broken or `recover` could not undo it, 2 usage, 4 an error nobody foresaw.""",
)
@click.version_option(package_name="stagecall", message="%(prog)s %(version)s")
@_common
def stagecall() -> None:
    """Take tasks through an explicit, declared lifecycle.

    Plugins are called at each stage, an engine runs the task in a sandbox, and dispose always comes last.
    """


@stagecall.command(
    cls=_Run,
    epilog="""\b
Examples:
  stagecall run hello.yml                      # see it run; results in stagecall-out/
  stagecall run hello.yml --out out            # out/run.json, out/artifacts/...
  stagecall run a.yml b.yml --concurrency 2    # out/a-1/..., out/b-2/...
  stagecall run hello.yml --serve              # watch it in a browser
  stagecall run hello.yml --json 2>log | jq .resolution
  echo 'payload: {command: [echo, hello]}' | stagecall run -

\b
The task log goes to standard output, everything about the run to standard
error; with --json the log goes to standard error too. Without --config the
plugins success, env, artifacts, tasklog, maxruntime and logprefix are enabled.
Ctrl-C aborts cleanly, a second one hurries, a third ends the program at once.
What a killed command left behind, the next one cleans up: see stagecall recover.

\b
Exit code: 0 completed, 1 failed, 2 usage (a file that is no task definition
included), 3 malformed payload, 4 any other exception; of several the worst.""",
)
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@_engine
@_config
@click.option(
    "--out", "-o", metavar="DIR", help="Where run.json and artifacts/ go; stagecall-out/<taskId> if absent."
)
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON, one object a task and line.")
@click.option(
    "--concurrency", "-j", type=click.IntRange(min=1), metavar="N", help="How many tasks run at once."
)
@_journal
@click.option("--no-journal", is_flag=True, help="Keep none: what a kill leaves behind stays.")
@click.option(
    "--serve",
    is_flag=False,
    flag_value="",
    metavar="[HOST:PORT]",
    help="Serve pages that show the runs while they happen; on a free port of this host if no address is given.",
)
@_common
@click.pass_obj
def run(
    settings: Settings,
    tasks: tuple[str, ...],
    engine: str | None,
    config: str | None,
    out: str | None,
    as_json: bool,
    concurrency: int | None,
    journal: str | None,
    no_journal: bool,
    serve: str | None,
) -> int:
    """Run tasks: each TASK is a YAML or JSON file with a task definition, `-` is standard input.

    While a task runs, its log appears, and at the bottom of a terminal the stage it is in; then a summary.
    """
    from .output import Streams
    from .recover import chosen_journal, recover_first
    from .run import run_batch
    from .serving import with_pages

    if out == "":  # an unset variable of a script, which does not mean the current folder
        raise Problem("--out: is empty; name a folder, `.` for the current one")
    jobs = load_jobs(tasks, None if out is None else Path(out))
    worker = worker_config(config, engine)
    if serve is not None:
        worker = with_pages(worker, serve)
    path = chosen_journal(journal, no_journal, worker.journal)
    if path is not None:
        recover_first(path, jobs, lambda line: click.echo(line, err=True))
    prepare_folders(jobs)
    with settings.logs().installed() as logs:
        streams = Streams.of_process(as_json)
        batch = run_batch(
            jobs,
            worker,
            concurrency=concurrency,
            streams=streams,
            as_json=as_json,
            logs=logs,
            journal=path,
            serve=serve is not None,
        )
        return asyncio.run(batch)


@stagecall.command(
    epilog="""\b
Examples:
  stagecall diagram                                      # mermaid, for a README
  stagecall diagram --format svg > lifecycle.svg
  stagecall diagram --run out/run.json --output run.html # the path that a run took
  stagecall diagram --lifecycle mine.yml --format dot"""
)
@click.option(
    "--format",
    "-f",
    "format_",
    type=click.Choice(["mermaid", "dot", "svg", "html"]),
    help="By default that of --output's name, else mermaid.",
)
@click.option("--run", "run_file", metavar="FILE", help="Draw this run: a run.json.")
@_lifecycle("Draw this lifecycle instead of that of task runs.")
@_output
@_common
def diagram(
    format_: str | None, run_file: str | None, lifecycle_file: str | None, output: str | None
) -> None:
    """Draw a lifecycle, or one run of it."""
    from .inspect import SUFFIXES
    from .inspect import diagram as draw

    by_name = SUFFIXES.get(Path(output).suffix.lower()) if output else None
    picture = draw(format_ or by_name or "mermaid", lifecycle_file, run_file)
    _deliver(picture, output)


@stagecall.command(
    epilog="""\b
Examples:
  stagecall check                  # the lifecycle of task runs
  stagecall check mine.yml         # a lifecycle of your own
  stagecall check out/run.json     # did this run keep every rule?
  stagecall check --states         # what a run can be in: stage, outcome, abort
  stagecall check --paths          # every way there is, one a line; takes a while
  stagecall check mine.yml --counterexample bad.json
  stagecall diagram --lifecycle mine.yml --run bad.json --output bad.html

\b
A lifecycle is linted, then every way through it is taken: whatever goes wrong
in each stage, and an abort at every moment, decided by the functions that
decide in a real run. Each way is a trace that the ordering rules judge; the
shortest that breaks one is shown.

\b
Exit code: 0 everything holds, 1 something is broken, 2 usage."""
)
@click.argument("file", required=False, metavar="[LIFECYCLE.yml | run.json]")
@_lifecycle("The lifecycle that a run.json is judged by.")
@click.option("--states", is_flag=True, help="List every combination of stage, outcome and abort.")
@click.option("--paths", is_flag=True, help="Judge and list every path, not only one for each transition.")
@click.option(
    "--counterexample", metavar="FILE", help="Write the shortest path that breaks a rule as a run.json."
)
@_common
def check(
    file: str | None, lifecycle_file: str | None, states: bool, paths: bool, counterexample: str | None
) -> int:
    """Check a lifecycle in every way a run can take, or judge a stored run by the ordering rules."""
    from .check import Wanted
    from .check import check as verdicts

    lines, code = verdicts(file, lifecycle_file, Wanted(paths, states, counterexample))
    click.echo("\n".join(lines))
    return code


@stagecall.command(
    epilog="""\b
Examples:
  stagecall schema                           # what a payload may hold
  stagecall schema --engine mock --json
  stagecall schema --what config             # the file for --config"""
)
@click.option("--json", "as_json", flag_value=True, default=False, help="JSON Schema 2020-12.")
@click.option("--markdown", "as_json", flag_value=False, help="A Markdown page (the default).")
@click.option(
    "--what",
    type=click.Choice(["payload", "config", "task", "lifecycle"]),
    default="payload",
    show_default=True,
)
@_engine
@_config
@_common
def schema(as_json: bool, what: str, engine: str | None, config: str | None) -> None:
    """Tell what a payload, a configuration, a task definition or a lifecycle may hold."""
    from .inspect import schema_of, schema_text

    merged, title = asyncio.run(schema_of(what, worker_config(config, engine), installed()))
    click.echo(schema_text(merged, title, as_json), nl=False)


@stagecall.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_common
def engines(names: tuple[str, ...]) -> None:
    """List the engines, or tell everything about those called NAME."""
    from .listing import engine_entries

    _list(asyncio.run(engine_entries(names)), bool(names))


@stagecall.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_common
def plugins(names: tuple[str, ...]) -> None:
    """List the plugins, or tell everything about those called NAME."""
    from .listing import plugin_entries

    _list(asyncio.run(plugin_entries(names)), bool(names))


def _list(entries: Sequence[Any], in_full: bool) -> None:
    from .listing import overview, page
    from .output import printed

    click.echo("\n".join(map(page, entries)) if in_full else printed(overview(entries)), nl=False)


@stagecall.command(
    epilog="""\b
Examples:
  stagecall explain stagecall-out/VRzKBhTiQ0-FuPzN5AAWUA/run.json
  stagecall run task.yml --out out || stagecall explain out/run.json
  stagecall explain - < run.json
  stagecall explain run.json --lifecycle mine.yml    # a run of a lifecycle of your own

\b
It tells what the run was and how long each stage took, what went wrong first and
what that led to, what decided and what was overruled, which hooks overran their
time, were abandoned or came back late, what dispose did, what recovery did, and
which rules were broken. A trace that stops in the middle is told as far as it goes.
`stagecall check run.json` lists the verdict on every rule, `stagecall diagram --run
run.json` draws the run.

\b
Exit code: 0 explained, 2 usage (a file that is no run.json included)."""
)
@click.argument("file", metavar="run.json")
@_lifecycle("The lifecycle that it is a run of, if not that of task runs.")
@_common
def explain(file: str, lifecycle_file: str | None) -> None:
    """Tell a run in sentences: why it became what it did."""
    from .inspect import explanation

    click.echo("\n".join(explanation(file, lifecycle_file)))


@stagecall.command(
    epilog="""\b
Examples:
  stagecall page stagecall-out/VRzKBhTiQ0-FuPzN5AAWUA/run.json --output run.html
  stagecall page out/run.json > out/index.html

\b
The page is one file that opens from disk: the stages a run went through, its time line,
its log, its artifacts with previews, and why it became what it did. Artifacts lie where
they are, beside run.json; the page leads to them. `stagecall run` leaves the page of each
run in its output folder as index.html.

\b
Exit code: 0 written, 2 usage (a file that is no run.json included)."""
)
@click.argument("file", metavar="run.json")
@_lifecycle("The lifecycle that it is a run of, if not that of task runs.")
@_output
@_common
def page(file: str, lifecycle_file: str | None, output: str | None) -> None:
    """Make a web page of a run: one file, with its stages, time line, log, artifacts and explanation."""
    from .page import page as made

    _deliver(made(file, lifecycle_file, output), output)


@stagecall.command(
    epilog="""\b
Examples:
  stagecall recover                      # what killed commands left behind
  stagecall recover --dry-run            # only tell
  stagecall recover --journal worker.db --json

\b
Exit code: 0 fine or nothing to do, 1 something could not be undone (it is kept
for the next time), 2 usage, or a journal that cannot be used."""
)
@_journal
@click.option("--dry-run", "-n", is_flag=True, help="Tell what would be done, and do none of it.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as one JSON object.")
@_config
@_common
def recover(journal: str | None, dry_run: bool, as_json: bool, config: str | None) -> int:
    """End what killed commands and workers left behind: processes, folders, unfinished uploads.

    Their runs are resolved worker-shutdown, their logs and traces kept. Those that still live are left alone.
    """
    from .recover import chosen_journal
    from .recover import recover as end

    path = chosen_journal(journal, False, worker_config(config, None).journal or True)
    assert path is not None
    lines, code = end(path, dry_run=dry_run, as_json=as_json)
    click.echo("\n".join(lines))
    return code


@stagecall.command(
    epilog="""\b
Examples:
  stagecall export --format scxml                 # a state chart for other tools
  stagecall export --output lifecycle.pml         # a model for Spin; its head says how to verify it
  stagecall export --lifecycle mine.yml --format promela"""
)
@click.option(
    "--format",
    "-f",
    "format_",
    type=click.Choice(["promela", "scxml"]),
    help="By default that of --output's name.",
)
@_lifecycle("Export this lifecycle instead of that of task runs.")
@_output
@_common
def export(format_: str | None, lifecycle_file: str | None, output: str | None) -> None:
    """Write a lifecycle down for other tools: as a state chart, or as a model with the rules to verify on it."""
    from .export import SUFFIXES
    from .export import export as written

    by_name = SUFFIXES.get(Path(output).suffix.lower()) if output else None
    if (chosen := format_ or by_name) is None:
        raise Problem("--format: is missing, and --output names none; allowed are promela, scxml")
    _deliver(written(chosen, lifecycle_file), output)


@stagecall.command(
    epilog="""\b
Examples:
  stagecall verify stagecall-out/VRzKBhTiQ0-FuPzN5AAWUA --key signing.pub.pem
  stagecall verify downloaded --key 'signing.pub' --json

\b
DIR holds artifacts under their names, as `stagecall run` leaves them, and among them
public/chainOfTrust.json with its signature: what the plugin chainoftrust has stored.
The key is the public half: PEM, or its 32 bytes in Base64. Make a pair with
  openssl genpkey -algorithm ed25519 -out signing.pem
  openssl pkey -in signing.pem -pubout -out signing.pub.pem

\b
Exit code: 0 everything is as the worker has signed it, 1 something is not, 2 usage."""
)
@click.argument("folder", metavar="DIR")
@click.option("--key", required=True, metavar="PUB", help="The file with the public key.")
@click.option("--allow-unlisted", is_flag=True, help="Let DIR hold files that the signed list does not name.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as one JSON object.")
@_common
def verify(folder: str, key: str, allow_unlisted: bool, as_json: bool) -> int:
    """Verify that the artifacts in DIR are, byte by byte, those that the worker with this key has stored."""
    from .verify import verify as verdict

    lines, code = verdict(Path(folder), Path(key), unlisted=allow_unlisted, as_json=as_json)
    click.echo("\n".join(lines))
    return code


def _deliver(text: str, output: str | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Problem(f"--output {output}: {error.strerror or error}") from error
