"""What shells complete."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from callboard.cli import main
from support.patience import patient

PROGRAM = Path(sys.executable).parent / "callboard"


def run(*arguments, **environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CALLBOARD_")}
    return subprocess.run(
        [PROGRAM, *arguments],
        env=kept | {"CALLBOARD_CONFIG": os.devnull} | environment,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )


def asked(line):
    """The environment in which bash asks what it may offer behind this line."""
    words = str(len(line.split(" ")) - 1)
    return {"_CALLBOARD_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": words}


def offers(output):
    return [offer.partition(",")[2] for offer in output.splitlines()]


def completed(line, **variables):
    """What it would offer; in this process, as to import Callboard takes a second."""
    environment = {"CALLBOARD_CONFIG": os.devnull} | asked(line) | variables
    return offers(CliRunner().invoke(main, prog_name="callboard", env=environment).stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_that_shell(shell):
    ran = run("completion", shell)
    assert ran.returncode == 0, ran.stderr
    assert "_CALLBOARD_COMPLETE" in ran.stdout
    assert shell in ran.stdout
    if shutil.which(shell):
        read = subprocess.run([shell, "-n"], input=ran.stdout, capture_output=True, text=True)
        assert read.returncode == 0, read.stderr


def test_commands_options_and_event_types_are_completed():
    assert offers(run(**asked("callboard ")).stdout) == completed("callboard ")
    assert {"hooks", "listen", "doctor"} <= set(completed("callboard "))
    assert {"add", "edit", "show"} <= set(completed("callboard hooks "))
    assert "--retry-policy" in completed("callboard hooks add --re")
    assert completed("callboard hooks add --event channel_c") == ["channel_create"]
    assert "all" in completed("callboard hooks list --event ")
    assert completed("callboard maintenance reset_hook_definition no") == ["notifications"]


def test_modules_of_the_configuration_are_completed(tmp_path):
    shop = tmp_path / "shop.toml"
    shop.write_text("""
[[modules]]
id = "shop_order"
exchange = "shop"
bindings = ["order.*"]
account_id = "shop"
""")
    line = "callboard hooks add --event shop"
    assert completed(line) == [""]
    assert completed(line, CALLBOARD_CONFIG=str(shop)) == ["shop_order"]
    assert completed(f"callboard hooks add --config {shop} --event shop") == ["shop_order"]
    shop.write_text("odd")
    assert completed("callboard hooks add --event channel_c", CALLBOARD_CONFIG=str(shop)) == [
        "channel_create"
    ]


def test_another_shell_is_refused():
    ran = run("completion", "tcsh")
    assert ran.returncode == 2
    assert "fish" in ran.stderr
