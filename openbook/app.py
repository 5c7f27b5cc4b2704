"""The commands of the packages under one name."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

import api.calibrate_cli
import api.chat_cli
import api.cli
import api.code_cli
import api.keys_cli
import api.mcp.cli
import api.page_cli
import api.plan_cli
import api.target_cli
import api.warm_cli
import evals.cli
import evals.simulator.cli
import ingest.backup_cli
import ingest.cli
import ingest.job_cli
import ingest.refresh_cli
import ingest.watch
from rag.terminal import out

app = typer.Typer(
    name="openbook",
    help="Long-context question answering over your documents and code, with citations that can be checked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        out.print(f"openbook {version('openbook')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


for command in (
    api.cli.serve,
    ingest.cli.ingest,
    ingest.refresh_cli.refresh,
    ingest.watch.watch,
    ingest.job_cli.jobs,
    api.cli.ask,
    api.chat_cli.chat,
    api.cli.search,
    api.cli.status,
    api.target_cli.target,
    ingest.cli.documents,
    ingest.cli.rm,
    ingest.cli.reindex,
    ingest.backup_cli.backup,
    ingest.backup_cli.restore,
    api.cli.doctor,
    api.page_cli.page,
    api.plan_cli.models,
    api.calibrate_cli.calibrate,
    api.warm_cli.pin,
    api.warm_cli.unpin,
    api.warm_cli.warm,
    api.code_cli.symbols,
    api.code_cli.refs,
    evals.cli.verify,
    evals.simulator.cli.simulate,
):
    app.command()(command)
app.command("map")(api.code_cli.map_)
app.command("export")(ingest.backup_cli.export_command)
app.command("plan")(api.plan_cli.plan_command)
app.add_typer(evals.cli.evaluation)
app.add_typer(api.mcp.cli.app)
app.add_typer(api.keys_cli.app)
