"""Callboard makes the requests that Kazoo's own code made, or differs on purpose.

tests/data/kazoo/README.md describes the cases, and deviations.toml lists the intended differences.
"""

from collections import Counter

import pytest

from support.building import PROJECT
from support.kazoo_answers import Answers, cases, deviations, expected

CASES = {case["name"]: case for case in cases()}
INTENDED = {name: kind for kind in deviations() for name in kind["cases"]}
DOCUMENT = (PROJECT / "docs" / "kazoo.md").read_text()


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    answers = Answers(tmp_path_factory.mktemp("answers"))
    yield answers
    answers.close()


def test_every_case_agrees_or_deviates_on_purpose(answers):
    others, counts = {}, Counter()
    for case in cases():
        ours, kazoos = answers.requests(case), expected(case)
        intended = case["name"] in INTENDED
        if (ours == kazoos) is intended:
            others[case["name"]] = {"ours": ours, "kazoo's": kazoos}
        counts["on purpose" if intended else "agree"] += 1
    assert others == {}
    print(f"{counts['agree']} agree, {counts['on purpose']} deviate on purpose, 0 else")
    sentence = f"Of {counts.total()} recorded cases {counts['agree']} agree"
    assert sentence in " ".join(DOCUMENT.split())


@pytest.mark.parametrize("kind", deviations(), ids=lambda kind: kind["kind"])
def test_a_deviation_has_a_line_in_the_documentation(kind):
    assert kind["reason"]
    assert f"\n| {kind['row']} |" in DOCUMENT


@pytest.mark.parametrize("name", INTENDED)
def test_a_case_deviates_only_in_the_intended_way(name, answers):
    case, kind = CASES[name], INTENDED[name]
    ours, kazoos = answers.requests(case, kind.get("adds", ())), expected(case)
    if "adds" in kind:
        assert ours == kazoos
    elif not kind.get("differs"):
        assert (bool(ours), kazoos) == (True, [])
