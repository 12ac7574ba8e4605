"""Options of the commands about layers on AWS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from layerkit.cli.options import with_options

PATH = click.Path(path_type=Path)
PROJECT = click.option("--project", default=".", type=PATH, help="The project whose layers these are.")
REGION = click.option("--region", multiple=True, metavar="REGION", help="Where; several times for several.")
ACCOUNTS = (
    click.option(
        "--profile", multiple=True, metavar="NAME", help="As whom; several times for several accounts."
    ),
    click.option("--role-arn", multiple=True, metavar="ARN", help="A role to take on first."),
)
NAME = click.option(
    "--name-template", metavar="TEXT", help="Name on AWS, such as {py}-{project}-{version}-{layer}."
)
WORDS = (
    NAME,
    click.option("--description", metavar="TEXT", help="Description; {sha256} is the digest."),
    click.option("--licence", metavar="TEXT", help="In place of the packages' licences."),
)
BUCKET = (
    click.option("--s3-bucket", metavar="NAME", help="For large zips; may have {region}, {account}."),
    click.option("--s3-prefix", metavar="TEXT", help="What the keys in the bucket begin with."),
)
RECORD = click.option("--record", type=PATH, metavar="FILE", help="Where it is noted what is where.")


def account_options(command: Any) -> Any:
    """Add the options that say as whom AWS is asked."""
    return with_options(command, *ACCOUNTS)
