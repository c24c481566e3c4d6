"""What docs/signatures.md tells receivers to do, done."""

import base64
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from callboard.webhooks.deliveries.signing import ED25519, new_secret, signature_headers
from support.patience import patient

DOCUMENT = Path(__file__).parent.parent / "docs" / "signatures.md"

ID, BODY = "ab" * 16, '{"né": 1}'.encode()


def block(language):
    return re.search(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]


def in_python(_folder, cases):
    namespace = {}
    exec(block("python"), namespace)
    return [
        namespace["is_signed"](key, headers, base64.b64decode(body)) for key, headers, body in cases
    ]


def in_node(folder, cases):
    if shutil.which("node") is None:
        pytest.skip("needs node")
    (folder / "verify.mjs").write_text(block("js"))
    (folder / "cases.json").write_text(json.dumps(cases))
    (folder / "run.mjs").write_text(
        'import { readFileSync } from "node:fs"; import { isSigned } from "./verify.mjs";\n'
        'const cases = JSON.parse(readFileSync("cases.json"));\n'
        "console.log(JSON.stringify(cases.map(([key, headers, body]) =>"
        ' isSigned(key, headers, Buffer.from(body, "base64")))));\n'
    )
    done = subprocess.run(
        ["node", "run.mjs"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("verify", [in_python, in_node])
def test_a_receiver_that_does_as_told_tells_good_from_bad(verify, tmp_path):
    shared, pair = new_secret(), new_secret(ED25519)
    others = new_secret(), new_secret(ED25519)

    def case(key, secrets=(shared, pair), age_s=0, body=BODY, **changed):
        headers = dict(signature_headers(secrets, ID, time.time() - age_s, BODY))
        changed = {name.replace("_", "-"): value for name, value in changed.items()}
        return key, {"webhook-id": ID} | headers | changed, base64.b64encode(body).decode()

    good = [
        case(key, secrets, age_s)
        for key in (shared.text, pair.public_text)
        for secrets in [(shared, pair), (pair, shared), (*others, shared, pair)]
        for age_s in (0, 200, -200)
    ]
    bad = [
        case(key, **wrong)
        for key in (shared.text, pair.public_text)
        for wrong in (
            {"secrets": others},
            {"age_s": 400},
            {"age_s": -400},
            {"body": BODY + b" "},
            {"webhook_id": "other"},
            {"webhook_timestamp": ""},
            {"webhook_timestamp": "soon"},
            {"webhook_signature": ""},
            {"webhook_signature": "v1"},
            {"webhook_signature": "v1,x v1a,x v2, ,"},
        )
    ]
    assert verify(tmp_path, good) == [True] * len(good)
    assert verify(tmp_path, bad) == [False] * len(bad)
