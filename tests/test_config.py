"""A node's configuration: what is wrong with it is said by name and line, and it reads back what it shows."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.errors import EdgeAscError, InputError
from edge_asc.listen.checking import check_config
from edge_asc.listen.config import (
    Command,
    Config,
    Listen,
    LogFile,
    Metrics,
    Mqtt,
    Node,
    load_config,
    show_config,
)
from edge_asc.listen.decide import DecisionRules
from edge_asc.listen.toml_tree import parse_settings
from tests.program import BUNDLE, assert_one_error, edge_asc

WRONG = [
    ("[mqtt]\nhost = 'a'\n\nhots = 'b'", "line 4: unknown setting mqtt.hots. Did you mean host?"),
    ("[mqqt]\nhost = 'a'", "line 1: unknown setting mqqt. Did you mean mqtt?"),
    ("[mqtt]\nhost = 'a'\npassword = 'secret'", "Did you mean password_file?"),
    ("[zebra]\n", "wanted node, listen, microphone, decide, terminal, file, mqtt, metrics, command"),
    ("[mqtt]\nport = 1883", "[mqtt] lacks host"),
    ("[listen]\nhop_s = '1'", "line 2: wrong kind of value for listen.hop_s; found '1'; wanted a number"),
    ("[listen]\nhop_s = 0.01", "impossible value for listen.hop_s; found 0.01; wanted 0.1 to 60"),
    ("[listen]\nhop_s = nan", "impossible value for listen.hop_s"),
    ("[listen]\nn_threads = true", "found True; wanted a whole number"),
    ("[listen]\nn_threads = 1.5", "wanted a whole number"),
    ("listen = 3", "wanted a table [listen]"),
    ("[decide]\nenter = 2", "impossible decision setting enter"),
    ("[decide]\nsmooth_s = inf", "impossible decision setting smooth_s"),
    ("[command]\nrun = 'rm -rf /'", "wanted a list of texts"),
    ("[command]\nrun = []", "impossible value for command.run"),
    ("[command]\nrun = ['a', 1]", "wanted a list of texts"),
    ("[node]\nname = 'a/b#'", "impossible value for node.name"),
    ("[mqtt]\nhost = 'a'\nbase_topic = 'a/+'", "a topic without + and #"),
    ("[mqtt]\nhost = 'a'\nbase_topic = '$SYS'", "without / at its ends or $"),
    ("[mqtt]\nhost = 'mqtt://a'", "wanted a name or address and no more"),
    ("[mqtt]\nhost = 'a:1883'", "the port is `mqtt.port`"),
    ("[mqtt]\nhost = 'a'\ntls = true\nclient_key_file = 'k'", "mqtt.client_certificate_file beside it"),
    ("[microphone]\ndevice = ''", "a number or a part of a name"),
    ("[file]\npath = '~no-such-user/x'", "line 2: no home folder for file.path; found ~no-such-user/x"),
    ("[file]\npath = \"a\\u0000b\"", "line 2: a NUL character in file.path"),
    ("[command]\nrun = [\"a\", \"\\u0000\"]", "a NUL character in command.run"),
    ("[mqtt]\nhost = 'a'\nca_file = 'ca.pem'", "true where certificates are given"),
    ("[mqtt]\nhost = 'a'\nport = 70000", "wanted 1 to 65535"),
    ("[terminal]\nformat = 'xml'", "wanted text or json or view or none"),
    ("[file]\npath = ''", "wanted a path in quotes"),
    ("[file", "is not TOML"),
    ("a = 1\na = 2", "is not TOML"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text.replace("\n", " ") for text, _ in WRONG])
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=message):
            load_config(path)
    path = tmp_path / "node.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        load_config(path)
    path.write_text("#" * (1 << 20) + "\n")
    with pytest.raises(InputError, match="too long"):
        load_config(path)


@given(st.binary(max_size=200) | st.text(alphabet="[]=.'\"#\n abcmqtthosfile0123-{},", max_size=120))
def test_hostile_configurations_give_an_error_and_no_crash(tmp_path_factory: pytest.TempPathFactory,
                                                           data: bytes | str) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.toml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with contextlib.suppress(EdgeAscError):
        load_config(path)


def test_empty_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("")
    assert load_config(path) == load_config() == Config()
    assert (Config().mqtt, Config().metrics, Config().file, Config().command) == (None, None, None, None)


def test_what_is_shown_reads_back(tmp_path: Path) -> None:
    full = Config(mqtt=Mqtt(host="broker", username='wei"rd\\\u007f', password_file=Path("/etc/secret"), tls=True),
                  metrics=Metrics(port=0), file=LogFile(path=Path("/var/log/a b.jsonl")),
                  command=Command(run=("/bin/echo", "$(x)")), decide=DecisionRules(smooth_s=3.5, each_hop=False))
    for config in (full, Config()):
        path = tmp_path / "node.toml"
        path.write_text(show_config(config))
        assert load_config(path) == config


def test_every_setting_of_every_section_is_shown() -> None:
    text = show_config(Config())
    for section in (Config().node, Config().listen, Config().decide, Mqtt(host="x"), Metrics(), Command(run=("x",))):
        for field in dataclasses.fields(section):
            assert f"\n{field.name} =" in text or f"\n#{field.name} =" in text, field.name


def test_paths_are_relative_to_the_file_and_settings_override_it(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("[file]\npath = 'log/events.jsonl'\n[listen]\nhop_s = 2\n[microphone]\ndevice = 3")
    config = load_config(path, parse_settings(["listen.hop_s=0.5", "mqtt.host=localhost", "microphone.device=USB"]))
    assert config.file
    assert config.mqtt
    assert config.file.path == tmp_path / "log" / "events.jsonl"
    assert (config.listen.hop_s, config.mqtt.host, config.microphone.device) == (0.5, "localhost", "USB")
    with pytest.raises(InputError, match="the command line: unknown setting mqtt"):
        load_config(path, {"mqtt.host": "a", "mqtt.hots": "b"})
    with pytest.raises(InputError, match="not a setting"):
        parse_settings(["hop"])
    with pytest.raises(InputError, match=r"the command line: listen\.hop_s\.x cannot be set"):
        load_config(path, parse_settings(["listen.hop_s=2", "listen.hop_s.x=2"]))
    given = load_config(path, parse_settings(["file.path=here"])).file
    assert given
    assert given.path == Path.cwd() / "here", "on the command line: relative to where we are"


@pytest.mark.parametrize("host", ["broker", "broker.example", "127.0.0.1", "::1", "fe80::1%eth0"])
def test_hosts_and_the_mark_of_an_editor_on_windows(tmp_path: Path, host: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(f"[mqtt]\nhost = '{host}'\n", encoding="utf-8-sig")
    mqtt = load_config(path).mqtt
    assert mqtt
    assert mqtt.host == host


def test_what_belongs_to_this_machine_is_shown_as_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two hundred nodes get one file: each has the name of its own host, or the broker throws all out but one.
    for name in ("one", "two"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        assert f'\n#name = "{name}"\n' in show_config(Config())
    assert '\nname = "else"\n' in show_config(Config(node=Node(name="else")))


def test_a_user_without_a_home_can_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError

    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert Config().node.state_folder == Path("/var/lib/edge-asc")


def test_unwise_settings_are_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_config(Config()) == []
    assert "0.0.0.0" in check_config(Config(metrics=Metrics(host="0.0.0.0")))[0]
    monkeypatch.setenv("EDGE_ASC_MQTT_PASSWORD", "secret")
    assert "in the clear" in check_config(Config(mqtt=Mqtt(host="broker.example", username="u")))[0]
    assert check_config(Config(mqtt=Mqtt(host="127.0.0.1", username="u"))) == []
    assert check_config(Config(mqtt=Mqtt(host="broker.example", username="u", tls=True))) == []


def test_what_a_configuration_names_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ASC_MQTT_PASSWORD", "secret")
    for config, message in (
            (Config(command=Command(run=("/no/such",))), "/no/such"),
            (Config(mqtt=Mqtt(host="x", username="u", tls=True, ca_file=tmp_path / "none")), "none for MQTT; found No"),
            (Config(mqtt=Mqtt(host="x")), "without a user name"),
            (Config(file=LogFile(path=tmp_path)), "is no file"),
            (Config(listen=Listen(bundle=BUNDLE, variant="int4")), "has no variant int4; wanted "),
            (Config(listen=Listen(public_key=tmp_path / "none")), "cannot read the key")):
        with pytest.raises(EdgeAscError, match=re.escape(message)):
            check_config(config)


def test_config_verbs(tmp_path: Path) -> None:
    shown = edge_asc("config", "show")
    path = tmp_path / "node.toml"
    path.write_text(shown.stdout.replace("#bundle =", f'bundle = "{BUNDLE}"'))
    checked = edge_asc("config", "check", path)
    assert (checked.returncode, checked.stdout) == (0, f"{path}: good\n"), checked.stderr
    secret = tmp_path / "password"
    secret.write_text("secret")
    secret.chmod(0o644)
    path.write_text("[mqtt]\nhost = 'localhost'\npassword_file = 'password'")
    assert_one_error(edge_asc("config", "check", path), "everybody", "chmod o=")
    # The listener itself refuses it too, before it listens.
    assert_one_error(edge_asc("listen", "--wav", "x.wav", "--bundle", BUNDLE, "--config", path), "everybody")
