"""The page and its files: what they are made of, and what they are allowed."""

import hashlib
import json
import re
from pathlib import Path

import pytest

DASHBOARD = Path(__file__).parents[2] / "web" / "dashboard"
VENDOR = DASHBOARD / "vendor"
LIBRARIES = json.loads((VENDOR / "libraries.json").read_text())
OURS = [
    path
    for path in sorted(DASHBOARD.rglob("*"))
    if path.suffix in (".js", ".html", ".css", ".svg") and VENDOR not in path.parents
]


SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-cache",
}
"""docs/security.md, and the OWASP Secure Headers Project."""


def name(path):
    return path.relative_to(DASHBOARD).as_posix()


def test_what_is_vendored_is_what_the_manifest_says():
    told = {file["to"]: file["sha256"] for library in LIBRARIES for file in library["files"]}
    there = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name != "libraries.json"
    }
    assert there == told


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library["name"])
def test_every_library_brings_its_licence(library):
    assert any(file["to"].startswith("LICENSE.") for file in library["files"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", library["version"])


@pytest.mark.parametrize("path", OURS, ids=name)
def test_our_files_make_no_markup_of_texts_and_name_no_other_host(path):
    text = path.read_text()
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
        assert forbidden not in text
    assert not re.search(r"\bFunction\(|javascript:|\bstyle=|<style|\son\w+=\"", text)
    assert not re.search(r"//[a-z]", text.replace("http://www.w3.org/2000/svg", ""))


def test_the_page_has_no_script_or_style_of_its_own():
    page = (DASHBOARD / "index.html").read_text()
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == ["", ""]
    assert "<style" not in page


def test_the_page_is_open_and_allowed_only_its_own_files(api):
    answer = api.call("GET", "/", token=None)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert {name: answer.headers[name] for name in SECURITY} == SECURITY
    assert "set-cookie" not in answer.headers


def test_every_file_that_the_page_names_is_served(api):
    page = (DASHBOARD / "index.html").read_text()
    named = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert "dashboard/app.js" in named
    for path in named:
        answer = api.call("GET", f"/{path}", token=None)
        assert answer.status_code == 200, path
        assert "content-security-policy" in answer.headers
    script = api.call("GET", "/dashboard/app.js", token=None)
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"


def test_every_import_leads_to_a_file():
    for path in OURS:
        if path.suffix == ".js":
            for target in re.findall(r'from "([^"]+)"', path.read_text()):
                assert (path.parent / target).is_file(), f"{name(path)}: {target}"


def test_a_file_that_has_not_changed_is_not_sent_again(api):
    first = api.call("GET", "/dashboard/style.css", token=None)
    again = api.call(
        "GET", "/dashboard/style.css", token=None, headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["../app.py", "%2e%2e/app.py", "vendor/libraries.json", "", "/etc/passwd", "parts"]
)
def test_nothing_else_is_served(api, path):
    answer = api.call("GET", f"/dashboard/{path}", token=None)
    assert answer.status_code == 404
