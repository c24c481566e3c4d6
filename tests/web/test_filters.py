"""Crossbar's generic filters: which documents of a listing they pass (crossbar_filter)."""

import pytest
from starlette.datastructures import QueryParams

from callboard.web.envelopes.filters import filters_in
from support.api import PARENT

DOCUMENTS = {
    "full": {"_id": "full", "group": "red", "data": {"to": "x"}, "pvt_modified": 300},
    "empty": {"_id": "empty", "group": "", "data": {}, "codes": [], "pvt_modified": 200},
    "null": {"_id": "null", "group": None, "codes": [500, 502], "pvt_modified": 100},
    "false": {"_id": "false", "group": False, "codes": 0, "pvt_modified": "250"},
    "bare": {"_id": "bare"},
}


def passed(*query):
    passes = filters_in(QueryParams(query))
    return [id for id, document in DOCUMENTS.items() if passes(document)]


@pytest.mark.parametrize(
    ("name", "value", "ids"),
    [
        ("has_key", "group", "full empty null false"),
        ("has_key", "data.to", "full"),
        ("has_key", "codes.1", "null"),
        ("has_key", "id", "full empty null false bare"),
        ("key_missing", "group", "bare"),
        ("key_missing", "data.to", "empty null false bare"),
        ("key_missing", "codes.2", "full empty null false bare"),
        ("has_value", "group", "full false"),
        ("has_value", "data", "full"),
        ("has_value", "codes", "null false"),
        ("value_missing", "group", "empty null bare"),
        ("value_missing", "data", "empty null false bare"),
        ("value_missing", "codes", "full empty bare"),
        ("modified_from", "200", "full empty false"),
        ("modified_from", "201", "full false"),
        ("modified_from", "yesterday", ""),
        ("modified_to", "200", "empty null"),
        ("modified_to", "199", "null"),
        ("modified_to", "", ""),
        ("filter_group", "red", "full"),
        ("filter_group", '["red", null]', "full"),
        ("filter_group", "[red", ""),
        ("filter_group", "false", "false"),
        ("filter_codes.0", "500", "null"),
        ("filter_id", "bare", "bare"),
        ("filter_not_group", "red", "empty null false bare"),
        ("filter_not_group", '["red", false]', "empty null false bare"),
        ("filter_group", "", "empty bare"),
        ("filter_group", '"red"', ""),
        ("group", "red", "full empty null false bare"),
    ],
)
def test_a_filter_passes_these(name, value, ids):
    assert passed((name, value)) == ids.split()


def test_all_filters_must_pass():
    assert passed(("modified_from", "150"), ("modified_to", "250")) == ["empty", "false"]
    assert passed(("has_key", "group"), ("has_value", "codes"), ("value_missing", "data")) == [
        "null",
        "false",
    ]
    assert passed(("filter_group", "red"), ("filter_group", "blue")) == []


LONG = "1" * 5000


@pytest.mark.parametrize(
    "query",
    [
        {"has_key": f"codes.{LONG}"},
        {f"filter_codes.{LONG}": "500"},
        {"filter_codes": "[" * 20_000},
        {"filter_codes": f"[{LONG}]"},
        {"modified_from": LONG},
    ],
)
def test_filters_that_can_match_nothing_are_no_errors(query):
    assert isinstance(passed(*query.items()), list)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"has_value": "custom_data"}, ["with"]),
        ({"value_missing": "custom_data"}, ["without"]),
        ({"modified_to": "1"}, []),
        ({"modified_from": "1"}, ["with", "without"]),
    ],
)
def test_the_listing_of_hooks_takes_them(api, query, ids):
    api.add_hook(name="with", custom_data={"to": "x"})
    api.add_hook(name="without")
    listed = api.data("GET", f"/v2/accounts/{PARENT}/webhooks", params=query)
    assert sorted(hook["name"] for hook in listed) == ids
