"""`edge-asc bundle`: one file for the air, put in place safely at the other end, and back if need be."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from edge_asc.cli.options import note, public_key_option
from edge_asc.errors import VerificationError

if TYPE_CHECKING:
    from edge_asc.bundle import Bundle

_RESTART = "a listener that runs takes it when it is started again"
_replay = click.option("--replay/--no-replay", default=True, show_default=True, help="Before anything is replaced, run "
                       "the golden clip through every member and compare, as `edge-asc verify` does.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, short_help="Pack, unpack, roll back and sign.")
def command() -> None:
    """Carry a bundle to a node as one small file, put it in place in one step, and go back if need be."""


@command.command(short_help="One compressed, hashed, perhaps signed file.")
@click.argument("bundle_path", type=click.Path(), metavar="BUNDLE", required=False)
@click.option("-o", "--out", required=True, type=click.Path(), metavar="FILE", help="The file to write.")
@click.option("--variant", metavar="NAME", help="The one to pack, such as int8-sparse; the bundle's default otherwise.")
@click.option("--golden", type=click.Choice(["made", "recorded"]), default="made", show_default=True,
              help="recorded: take the bundle's own golden clip along, about a megabyte. made: one that takes 5 KB.")
@click.option("--audit/--no-audit", "keep_audit", default=False, show_default=True, help="Take audit.json along.")
@click.option("--sign", "private_key", type=click.Path(), metavar="KEY", help="Sign with this key, from "
              "`edge-asc bundle keygen`.")
def pack(bundle_path: str | None, out: str, variant: str | None, golden: str, keep_audit: bool,
         private_key: str | None) -> None:
    """Pack one variant of BUNDLE (the one in the box otherwise) for the air."""
    from edge_asc.bundle import Bundle, shipped_bundle
    from edge_asc.bundle.packing import pack_bundle
    from edge_asc.runtime import record_self_test

    bundle = Bundle.load(bundle_path or shipped_bundle())
    n_bytes = pack_bundle(bundle, out, variant=variant, keep_audit=keep_audit, private_key=private_key,
                          golden=record_self_test if golden == "made" else None)
    click.echo(f"{out}: {n_bytes / 1024:.1f} KB, {len(bundle.members)} members, {variant or bundle.default_variant}, "
               f"{'signed' if private_key else 'not signed'}")


@command.command(short_help="Check a packed file and put it in place.")
@click.argument("file", type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(), metavar="DIR", help="Where the bundle shall stand. What "
              "stands there becomes DIR.previous.")
@public_key_option
@_replay
def unpack(file: str, out: str, public_key: str | None, replay: bool) -> None:
    """Check FILE completely, unpack it beside DIR, and put it in DIR's place in one step.

    Whatever is wrong, and whenever this is killed: DIR holds the old bundle or the new one, whole.
    """
    from edge_asc.bundle.updating import unpack_bundle

    done = unpack_bundle(file, out, public_key=public_key, check=_check if replay else None)
    bundle = done.bundle
    click.echo(f"{out}: {len(bundle.members)} members, {bundle.default_variant}, {bundle.fingerprint}"
               + ("" if done.is_new else "; it was there already")
               + (f"; go back with: edge-asc bundle rollback {shlex.quote(out)}; {_RESTART}"
                  if done.is_new and done.previous else ""))
    if public_key is None:
        note("nobody's signature was asked for (--public-key)")


@command.command(short_help="Put the previous bundle back.")
@click.argument("path", type=click.Path(), metavar="DIR")
@public_key_option
@_replay
def rollback(path: str, public_key: str | None, replay: bool) -> None:
    """Swap the bundle in DIR with DIR.previous, in one step. Once more, and the newer one is back."""
    from edge_asc.bundle.updating import rollback_bundle

    bundle = rollback_bundle(path, public_key=public_key, check=_check if replay else None)
    click.echo(f"{path}: {len(bundle.members)} members, {bundle.default_variant}, {bundle.fingerprint}; the other one "
               f"is in {path}.previous; {_RESTART}")


@command.command(short_help="A key pair to sign with.")
@click.argument("file", type=click.Path())
def keygen(file: str) -> None:
    """Make an Ed25519 key in FILE, which stays with whoever makes bundles, and FILE.pub for every node.

    FILE has no passphrase: who can read it can sign.
    """
    from edge_asc.bundle.signing import new_key_pair

    private, public = new_key_pair(file)
    click.echo(f"{private}: keep it to yourself. {public}: give it to every node "
               f"(edge-asc listen --public-key {public}).")


def _check(bundle: Bundle) -> None:
    from edge_asc.runtime import verify_bundle

    if failed := [check for check in verify_bundle(bundle, notify=note) if not check.ok]:
        raise VerificationError("the new bundle does not compute here what it computed where it was packed; nothing "
                                "was replaced", found="; ".join(f"{each.name} differs by {each.difference:.2g}"
                                                                for each in failed[:3]),
                                fix="Pack another variant, or use --no-replay if you know why.")
