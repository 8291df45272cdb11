"""`mover-ray serve`: scores over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from .console import print_json, print_note
from .options import Assignments, ConfigFile, Json, RequireSandbox

app = typer.Typer(
    help="Answers requests for scores over HTTP.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _group() -> None:
    """Answer requests for scores over HTTP."""


@app.command()
def run(
    model: Annotated[
        str | None, typer.Option(help="Folder of a model bundle.", metavar="BUNDLE")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="File of API keys, as `keys create` makes it.", metavar="FILE"),
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port to listen at.", metavar="PORT")
    ] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen at.", metavar="HOST")] = "127.0.0.1",
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate, for https.", metavar="PEM")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key.", metavar="PEM")] = None,
    insecure_bind: Annotated[
        bool,
        typer.Option("--insecure-bind", help="Listen to other machines without TLS."),
    ] = False,
    config: ConfigFile = None,
    assignments: Assignments = None,
    allow_untrained: Annotated[
        bool,
        typer.Option("--allow-untrained", help="Accept a model whose scores mean nothing."),
    ] = False,
    require_sandbox: RequireSandbox = False,
) -> None:
    """Serve on this machine until Ctrl-C or SIGTERM.

    Starts Ray Serve on 127.0.0.1. Requests under way are finished at the end.
    """
    from mover_ray.config import gather
    from mover_ray.serving.launch import Listener, run_here
    from mover_ray.serving.settings import resolve

    listener = Listener(
        host=host, port=port, tls_cert=tls_cert, tls_key=tls_key, insecure_bind=insecure_bind
    )
    service, ray = resolve(
        gather(config, assignments or ()),
        model=model,
        keys=keys,
        allow_untrained=allow_untrained,
        require_sandbox=require_sandbox,
    )
    run_here(service, listener, ray, print_note)


@app.command()
def deploy(
    config: Annotated[
        Path, typer.Argument(help="A serve.yaml; cluster/serve.yaml is one.", metavar="CONFIG")
    ],
    address: Annotated[
        str,
        typer.Option(
            help="Dashboard of the Ray cluster.", envvar="RAY_DASHBOARD_ADDRESS", metavar="URL"
        ),
    ] = "http://127.0.0.1:8265",
    insecure_bind: Annotated[
        bool,
        typer.Option("--insecure-bind", help="Accept that other machines reach it without TLS."),
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds to wait until it runs.", metavar="S")
    ] = 600.0,
    as_json: Json = False,
) -> None:
    """Deploy to a Ray cluster that runs, or change what is deployed.

    A new version answers before the old one ends: no request is lost.
    """
    from mover_ray.serving.deploy import deploy_file

    found = deploy_file(config, address, insecure_bind=insecure_bind, timeout_s=timeout)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"running: {', '.join(sorted(found))}")
