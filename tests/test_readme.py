"""The README tells the truth about the command line: every verb is there, and every command in it would parse."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edge_asc.cli import VERBS, group
from edge_asc.train.recipes import load_recipe, override

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks() -> Iterator[str]:
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL):
        yield from re.sub(r"\\\n\s*", " ", block).splitlines()


def _commands() -> Iterator[list[str]]:
    for line in _blocks():
        for part in re.split(r"\||&&|;", line.partition(" #")[0]):
            words = shlex.split(part.strip().removeprefix("sudo "))
            if words and Path(words[0]).name == "edge-asc":
                yield words[1:]


COMMANDS = list(_commands())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_readme_and_has_help(verb: str) -> None:
    assert f"`edge-asc {verb}" in README or any(words[:1] == [verb] for words in COMMANDS)
    command = group.get_command(click.Context(group), verb)
    assert command is not None
    assert command.help


def test_the_table_of_verbs_is_what_the_program_says() -> None:
    rows = re.findall(r"^\| `edge-asc (\w+)` \| (.*) \|$", README, flags=re.MULTILINE)
    assert dict(rows) == VERBS


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_parses(words: list[str]) -> None:
    command: click.Command | None = group
    while isinstance(command, click.Group):
        context = click.Context(command)
        if "export" in command.list_commands(context) and words[0] not in command.list_commands(context):
            words = ["export", *words]  # `edge-asc firmware BUNDLE` is short for `edge-asc firmware export BUNDLE`
        _, command, words = command.resolve_command(context, words)
    assert command is not None
    # The parser alone: unknown options raise, files that the README names need not be here.
    command.make_parser(click.Context(command)).parse_args(list(words))


def test_an_unknown_option_would_be_seen() -> None:
    listen = group.get_command(click.Context(group), "listen")
    assert listen is not None
    with pytest.raises(click.NoSuchOption):
        listen.make_parser(click.Context(listen)).parse_args(["--no-such-option"])


def test_every_section_of_a_recipe_is_explained_and_every_setting_is_one() -> None:
    sections = [name for name, value in load_recipe("demo").to_json().items() if isinstance(value, dict)]
    assert "quantization" in sections
    for section in sections:
        assert f"| `[{section}]` |" in README
    settings = [setting for setting in re.findall(r"--set ([^\s`]+)", README) if setting.split(".")[0] in sections]
    assert len(settings) > 5
    override(load_recipe("demo"), settings)


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = {words[1] for line in _blocks() if (words := line.split()) and words[0] == "make" and len(words) > 1}
    assert {"demo", "test"} <= named
    assert named <= targets
