"""`edge-asc verify`: is this bundle what was made, and does it compute here what it computed there?"""

from __future__ import annotations

import dataclasses
import json

import click

from edge_asc.cli.options import engine_option, note, public_key_option
from edge_asc.errors import VerificationError


@click.command(short_help="Check a bundle's hashes and replay its golden clip.")
@click.argument("bundle_path", type=click.Path(), metavar="BUNDLE", required=False)
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="A variant to replay; may be repeated. The "
              "bundle's default otherwise.")
@click.option("--all-variants", is_flag=True, help="Replay every variant.")
@public_key_option
@engine_option
@click.option("--json", "as_json", is_flag=True, help="A JSON list of the checks, for a program.")
def command(bundle_path: str | None, variants: tuple[str, ...], all_variants: bool, engine: str,
            public_key: str | None, as_json: bool) -> None:
    """Check every file of BUNDLE (the one in the box otherwise) against its hash, then replay the golden clip.

    The clip goes from its samples through the front end and every member. What comes out must agree with what was
    recorded when the bundle was made: features within 0.001 dB; on an interpreter's built-in kernels or the native
    engine, float members within 1e-5, int8 members within what two steps of their logits can do to a probability and
    a step of their output more; and the whole ensemble as it runs here: with a delegate, int8 within 0.1. The list
    shows what that is for each. The exit status is 1 if anything does not.
    """
    from edge_asc.bundle import Bundle, shipped_bundle
    from edge_asc.runtime import verify_bundle

    bundle = Bundle.load(bundle_path or shipped_bundle(), public_key=public_key)
    checks = verify_bundle(bundle, variants=bundle.variants if all_variants else variants or None, engine=engine,
                           notify=note)
    if as_json:
        click.echo(json.dumps([{**dataclasses.asdict(check), "ok": check.ok} for check in checks], indent=1))
    else:
        click.echo(f"{bundle.path}: {len(bundle.all_files())} files are as the manifest says, "
                   f"{bundle.fingerprint}")
        width = max(len(check.name) for check in checks)
        for check in checks:
            click.echo(f"  {'ok      ' if check.ok else 'MISMATCH'}  {check.name:{width}}  differs by "
                       f"{check.difference:.2g}{check.unit}, at most {check.tolerance:.2g}{check.unit} allowed")
    if failed := [check for check in checks if not check.ok]:
        raise VerificationError(f"{bundle.path} does not compute what it computed where it was made",
                                found="; ".join(f"{c.name} differs by {c.difference:.2g}" for c in failed[:3])
                                + (f" and {len(failed) - 3} more" if len(failed) > 3 else ""),
                                wanted="the differences that the list above allows",
                                fix="Copy the bundle again; if that does not help, try --engine or another variant.")
