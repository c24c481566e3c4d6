"""Where a value comes from, which wins, and what an operator reads when something is wrong."""

from functools import partial
from pathlib import Path

import pytest

from callboard.config import ConfigError, Settings, effective
from callboard.config import load as load_from
from callboard.config.rules import mask

# Not the file of the machine that runs the tests.
load = partial(load_from, system_file=Path("/nonexistent/callboard.toml"))


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "callboard.toml") -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    return write


def error(*arguments, **named) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*arguments, **named)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def test_nothing_written_gives_the_defaults():
    loaded = load(None, {"HOME": "/root"})
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.file is None


def test_file_then_environment_then_command_line(write):
    file = write('[amqp]\nprefetch = 1\nqueue = "of-file"\n\n[log]\nlevel = "debug"\n')
    environ = {"CALLBOARD_AMQP_PREFETCH": "2", "CALLBOARD_LOG_LEVEL": "error"}
    loaded = load(file, environ, {"amqp.prefetch": 3, "amqp.queue": None})
    assert loaded.settings.amqp.prefetch == 3
    assert loaded.settings.amqp.queue == "of-file"
    assert loaded.settings.log.level == "error"
    assert loaded.origins["amqp.prefetch"] == "option --amqp-prefetch"
    assert loaded.origins["amqp.queue"] == f"{file}:3"
    assert loaded.origins["log.level"] == "environment variable CALLBOARD_LOG_LEVEL"
    assert loaded.origins["log.format"] == "default"


def test_the_file_is_the_named_one_or_the_systems(write):
    named = write("[amqp]\nprefetch = 1\n", "named.toml")
    variable = write("[amqp]\nprefetch = 2\n", "variable.toml")
    environ = {"CALLBOARD_CONFIG": str(variable)}
    system_file = write("[amqp]\nprefetch = 3\n", "etc/callboard.toml")
    load = partial(load_from, system_file=system_file)
    assert load(named, environ).settings.amqp.prefetch == 1
    assert load(None, environ).settings.amqp.prefetch == 2
    assert load(None, {}).settings.amqp.prefetch == 3
    assert load(None, {}).file == system_file


def test_variables_that_are_no_settings_are_let_through():
    environ = {
        "CALLBOARD_REQUIRE_SERVICES": "1",
        "CALLBOARD_SERVICES_DIR": "/x",
        "CALLBOARD_TEST_COUCHDB_URL": "http://db.example",
        "CALLBOARDS": "x",
    }
    assert load(None, environ).settings == Settings()


def test_an_unknown_key_names_its_line_and_the_one_meant(write):
    file = write("[amqp]\n# a comment\nprefetchh = 1\n")
    assert error(file, {}) == (
        f"{file}:3: no key is called amqp.prefetchh; did you mean amqp.prefetch?"
    )


def test_of_an_unknown_key_the_one_meant_is_a_key_not_its_section(write):
    assert error(write("[amqp]\np = 1\n"), {}).endswith("; did you mean amqp.url?")
    assert error(write("[amqp]\nzzzzzzzzzz = 1\n"), {}).endswith(" is called amqp.zzzzzzzzzz")


def test_a_key_in_the_wrong_section_names_the_right_one(write):
    file = write("[couchdb]\nheartbeat_ms = 1\n")
    assert error(file, {}).endswith("did you mean actors.heartbeat_ms?")
    # Rather than node.zone, which is more like it in all.
    assert error(write("[node]\nqueue = 1\n"), {}).endswith("did you mean amqp.queue?")


def test_an_unknown_section(write):
    file = write("# a comment\n[ampq]\nurl = 1\n")
    assert error(file, {}).startswith(f"{file}:2: no section is called ampq; did you mean amqp?")
    assert "there are node, amqp, couchdb," in error(write("[zzz]\n"), {})


def test_a_key_outside_of_any_section(write):
    file = write("prefetch = 3\n")
    assert error(file, {}).startswith(f"{file}:1: no section is called prefetch; did you mean")
    assert "log is a section, write [log]" in error(write('log = "info"\n'), {})


def test_an_unknown_variable_and_option():
    assert error(None, {"CALLBOARD_AMQP_ULR": "x"}) == (
        "environment variable CALLBOARD_AMQP_ULR names no key; did you mean CALLBOARD_AMQP_URL?"
    )
    assert "no key is called amqp.ulr" in error(None, {}, {"amqp.ulr": "x"})


def test_a_bad_value_names_key_value_place_and_what_is_allowed(write):
    file = write("[amqp]\n\nprefetch = 0\n")
    assert error(file, {}) == (
        f"{file}:3: amqp.prefetch = 0: must be a whole number from 1 to 65535"
    )
    assert error(None, {"CALLBOARD_LOG_LEVEL": "loud"}) == (
        "environment variable CALLBOARD_LOG_LEVEL: log.level = 'loud': "
        "must be one of debug, info, warning, error, critical"
    )
    assert error(None, {}, {"disabler.enabled": "x"}).startswith("option --disabler-enabled: ")


def test_values_that_contradict_each_other_name_their_places():
    text = error(None, {"CALLBOARD_ACTORS_HEARTBEAT_MS": "20000"})
    assert text.startswith("environment variable CALLBOARD_ACTORS_HEARTBEAT_MS: ")
    assert "actors.hang_timeout_ms (12000) must be more than" in text


@pytest.mark.parametrize("url", ["http://u:pa55@h", "amqp:/u:pa55@h", "amqp://u:pa/55@h"])
def test_an_error_shows_no_password(url):
    text = error(None, {"CALLBOARD_AMQP_URL": url})
    assert "55" not in text.replace("65535", "")
    assert "amqp.url = ***" in text


def test_an_error_in_a_list_of_urls_shows_no_password_either():
    text = error(None, {"CALLBOARD_AMQP_ZONES": "amqp://ada:s3al@rabbit /vhost"})
    assert "s3al" not in text
    assert "amqp.zones = ***: must be a list of URLs" in text


def test_an_error_shows_no_secret(write):
    assert "s3al" not in error(write('[actors]\nkey = ["s3al"]\n'), {})


def test_files_that_cannot_be_read(tmp_path, write):
    assert "No such file" in error_of_file(tmp_path / "none.toml")
    assert "Is a directory" in error_of_file(tmp_path)
    assert "is not TOML" in error_of_file(write("[amqp\n"))
    assert "nested too deep" in error_of_file(write(f"a = {'[' * 100_000}"))
    assert "line 1" in error_of_file(write("[amqp\n"))
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# caf\xe9\n")
    assert "is not UTF-8" in error_of_file(latin)


def error_of_file(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(None, {"CALLBOARD_CONFIG": str(file)})
    assert str(file) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("amqp://u:pw@h/v", "amqp://u:***@h/v"),
        ("amqp://u:p/w@h/v", "amqp://u:***@h/v"),
        ("amqp://u/x:p/w@h/v", "amqp://u/x:***@h/v"),
        ("amqp://u:p@/w:@h/v", "amqp://u:***@h/v"),
        ("amqp://u:p,w@h/v", "amqp://u:***@h/v"),
        ("amqp://u:a://b@h/v", "amqp://u:***@h/v"),
        ("amqp://u:a/b@h1/v,amqps://x:c/d@h2", "amqp://u:***@h1/v,amqps://x:***@h2"),
        ("amqp://u:a@h1/v, amqp://h2", "amqp://u:***@h1/v, amqp://h2"),
        ("from http://u:p/w@h to a@b", "from http://u:***@h to a@b"),
        ("http://h:80/a and b@c", "http://h:80/a and b@c"),
        ("amqp://u@h/v", "amqp://u@h/v"),
    ],
)
def test_passwords_are_masked_whatever_is_in_them(text, masked):
    assert mask(text) == masked


def test_effective_shows_each_key_with_secrets_hidden():
    environ = {
        "CALLBOARD_AMQP_URL": "amqp://guest:p@ss@bus.example:5672/%2f",
        "CALLBOARD_ACTORS_KEY": "s3al",
        "CALLBOARD_DELIVERY_ALLOW_NETWORKS": "10.0.0.0/8,fd00::/8",
    }
    rows = {row.key: row for row in effective(load(None, environ))}
    assert rows["amqp.url"].value == "amqp://guest:***@bus.example:5672/%2f"
    assert rows["amqp.url"].origin == "environment variable CALLBOARD_AMQP_URL"
    assert rows["actors.key"].value == "***"
    assert rows["actors.key_file"].value == ""
    assert rows["delivery.allow_networks"].value == "10.0.0.0/8, fd00::/8"
    assert rows["disabler.enabled"].value == "true"
    assert rows["amqp.prefetch"].value == "1000"
