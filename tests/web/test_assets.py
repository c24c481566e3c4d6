"""The dashboard's files as they are held: their headers, and those of a portal's own."""

import pytest

from callboard.web.assets import DashboardFiles
from callboard.web.backend import Portal

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors {}; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}
"""docs/security.md, and the OWASP Secure Headers Project."""


def test_the_headers_of_all_files():
    own = {"Content-Security-Policy": POLICY.format("'none'"), "X-Frame-Options": "DENY"}
    assert DashboardFiles(Portal()).headers == HEADERS | own
    shown = DashboardFiles(Portal(), ["https://a.example", "https://b.example"]).headers
    ancestors = POLICY.format("https://a.example https://b.example")
    assert shown == HEADERS | {"Content-Security-Policy": ancestors}


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("parts/dialog.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("brand.json", "application/json"),
        ("brand.css", "text/css; charset=utf-8"),
        ("logo", "image/svg+xml"),
    ],
)
def test_a_file_has_its_type_and_a_tag_of_its_content(path, media_type):
    files = DashboardFiles(Portal(colours=("#111111", "")))
    file, others = files.get(path), DashboardFiles(Portal(name="x", colours=("", "#222222")))
    assert file.media_type == media_type
    assert (file.etag[0], file.etag[-1], len(file.etag)) == ('"', '"', 34)
    changes = path.startswith("brand")
    assert (others.get(path) == file, others.get(path).etag == file.etag) == (not changes,) * 2


@pytest.mark.parametrize("path", ["vendor/libraries.json", "parts", "app", "none.js", ""])
def test_there_are_no_others(path):
    assert DashboardFiles(Portal()).get(path) is None


LIGHT = ":root { --accent: #111111; --on-accent: #ffffff; }"
DARK = (
    '@media (prefers-color-scheme: dark) { :root:not([data-theme="light"]) '
    "{ --accent: #222222; --on-accent: #191c20; } }\n"
    ':root[data-theme="dark"] { --accent: #222222; --on-accent: #191c20; }'
)


@pytest.mark.parametrize(
    ("colours", "css"),
    [
        (("", ""), ""),
        (("#111111", ""), LIGHT),
        (("", "#222222"), DARK),
        (("#111111", "#222222"), f"{LIGHT}\n{DARK}"),
    ],
)
def test_the_colours_of_a_portal(colours, css):
    assert DashboardFiles(Portal(colours=colours)).get("brand.css").content.decode() == css


@pytest.mark.parametrize(
    ("name", "media_type"), [("a.svg", "image/svg+xml"), ("a.PNG", "image/png")]
)
def test_a_logo_has_up_to_256_kilobytes(tmp_path, name, media_type):
    file = tmp_path / name
    file.write_bytes(b"x" * 262_144)
    logo = DashboardFiles(Portal(logo=file)).get("logo")
    assert (len(logo.content), logo.media_type) == (262_144, media_type)


@pytest.mark.parametrize(("name", "size"), [("a.svg", 262_145), ("a.gif", 1), ("a", 1)])
def test_another_logo_is_not_shown(tmp_path, host_logs, name, size):
    file = tmp_path / name
    file.write_bytes(b"x" * size)
    files = DashboardFiles(Portal(logo=file))
    assert files.get("logo") == files.get("icon.svg")
    assert [(r.getMessage(), r.file, r.reason) for r in host_logs.records] == [
        (
            "portal_logo_not_shown",
            str(file),
            "it must be a file .svg or .png of at most 262144 bytes",
        )
    ]


def test_a_host_gets_the_line_of_a_missing_logo_under_our_name(tmp_path, host_logs):
    files = DashboardFiles(Portal(logo=tmp_path / "logo.svg"))
    assert files.get("logo") == files.get("icon.svg")
    (record,) = host_logs.records
    assert (record.name, record.getMessage()) == ("callboard", "portal_logo_not_shown")
    assert (record.file, record.reason) == (
        str(tmp_path / "logo.svg"),
        "No such file or directory",
    )
