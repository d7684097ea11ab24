"""The options of commands that transfer: by which mode, what of stale checksums, how fast."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

import typer

from cryptolake.transfer.options import PRESETS, TransferOptions


class Mode(StrEnum):
    """How files come: ``auto`` chooses."""

    AUTO = "auto"
    DOWNLOAD = "download"
    DIRECT = "direct"
    RELAY = "relay"
    TRADITIONAL = "traditional"


class Checksums(StrEnum):
    """What becomes of a file whose bytes are right by the listing and wrong by their CHECKSUM."""

    QUARANTINE = "quarantine"
    ACCEPT = "accept"
    RAISE = "raise"


def way(
    *,
    mode: Annotated[Mode, typer.Option(help="How files come.")] = Mode.AUTO,
    checksums: Annotated[
        Checksums, typer.Option(help="What to do with a file whose CHECKSUM is stale.")
    ] = Checksums.QUARANTINE,
    profile: Annotated[
        str, typer.Option(metavar="NAME", help=f"Transfer options by name: {', '.join(PRESETS)}.")
    ] = "default",
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="One transfer option, instead of the profile's; may be repeated. "
            f"Of: {', '.join(TransferOptions.model_fields)}.",
        ),
    ] = None,
) -> dict[str, Any]:
    """Return what ``lake.transfer`` takes: mode, policy and options, checked."""
    return {
        "mode": mode.value,
        "checksum_policy": checksums.value,
        "options": TransferOptions.preset(profile, **said(option or ())),
    }


def said(options: Iterable[str]) -> dict[str, Any]:
    """Read options as they are typed; nothing after the ``=`` unsets one, flags for s5cmd add up.

    Examples
    --------
    >>> said(["workers=8", "storage_class="])
    {'workers': '8', 'storage_class': None}
    >>> said(["s5cmd_args=--request-payer requester", "s5cmd_args=--no-verify-ssl"])
    {'s5cmd_args': ['--request-payer', 'requester', '--no-verify-ssl']}
    """
    found: dict[str, Any] = {}
    for text in options:
        name, separator, value = text.partition("=")
        if not separator:
            message = f"--option takes NAME=VALUE, such as workers=8; {text!r} has no '='"
            raise typer.BadParameter(message)
        if name == "s5cmd_args":
            found[name] = [*found.get(name, ()), *value.split()]
        else:
            found[name] = value or None
    return found
