"""Pages of listings: their sizes, their keys, and where they end."""

import base64
import json

import pytest

from callboard.web.envelopes.envelope import Page
from callboard.web.envelopes.paging import Paging, key_of, page_of, paging_of
from callboard.web.errors import ApiError


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, Paging(50)),
        ({"page_size": "1"}, Paging(1)),
        ({"page_size": "5000"}, Paging(5000)),
        ({"page_size": "5001"}, Paging(5000)),
        ({"paginate": "false"}, Paging(None)),
        ({"paginate": "false", "page_size": "0"}, Paging(None)),
        ({"paginate": "true"}, Paging(50)),
        ({"ascending": "true"}, Paging(50, ascending=True)),
        ({"ascending": "1"}, Paging(50, ascending=True)),
        ({"ascending": "true", "descending": "true"}, Paging(50)),
        ({"descending": "false"}, Paging(50)),
        ({"descending": "true"}, Paging(50)),
        ({"ascending": "false", "descending": "false"}, Paging(50)),
        ({"paginate": "false", "ascending": "true"}, Paging(None, ascending=True)),
        ({"start_key": ""}, Paging(50)),
        ({"start_key": "WzEsIngiXQ"}, Paging(50, [1, "x"], "WzEsIngiXQ")),
    ],
)
def test_the_paging_of_a_query(query, expected):
    assert paging_of(query, 50) == expected


@pytest.mark.parametrize("size", ["0", "-1", "many"])
def test_a_size_that_is_none(size):
    with pytest.raises(ApiError) as refused:
        paging_of({"page_size": size}, 50)
    assert refused.value.data == {
        "page_size": {
            "minimum": {"message": "Value must be at least 1", "target": 1, "value": size}
        }
    }


@pytest.mark.parametrize(
    "position", [5, {"a": 1}, "x", None, json.loads("[" * 101 + "]" * 101), ["\ud800"]]
)
def test_a_key_that_is_none(position):
    key = base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")
    for wrong in (key, "%", "é"):
        with pytest.raises(ApiError) as refused:
            paging_of({"start_key": wrong}, 50)
        assert refused.value.data == {
            "start_key": {
                "error": {"message": "is no next_start_key of an earlier page", "value": wrong}
            }
        }


@pytest.mark.parametrize("position", [[], [1], [12, "é"], ["account", 63_900_000_000, None]])
def test_a_key_is_opaque_and_leads_back(position):
    key = key_of(position)
    assert key.isascii()
    assert not {"=", "+", "/"} & {*key}
    assert paging_of({"start_key": key}, 1).start == position


def paged(rows, paging, wanted=lambda _row: True, **options):
    return page_of(rows, paging, wanted, lambda row: [row], **options)


def test_a_page_names_the_element_after_it():
    assert paged([1, 2, 3], Paging(2)) == ([1, 2], Page(2, None, key_of([3])))
    assert paged([1, 2, 3], Paging(3)) == ([1, 2, 3], Page(3, None, None))
    assert paged([3], Paging(2, [3], "key")) == ([3], Page(1, "key", None))
    assert paged([1, 2, 3], Paging(None)) == ([1, 2, 3], None)


def test_only_what_is_wanted_counts():
    assert paged(range(10), Paging(2), lambda row: row % 3 == 0) == (
        [0, 3],
        Page(2, None, key_of([4])),
    )


def test_so_many_are_looked_at_and_no_more():
    def nothing(_row):
        return False

    assert paged(range(20_000), Paging(5), nothing) == ([], Page(0, None, None))
    assert paged(range(20_001), Paging(5), nothing) == ([], Page(0, None, key_of([20_000])))
    assert paged(range(20_000), Paging(None), nothing) == ([], None)
    with pytest.raises(ApiError) as refused:
        paged(range(20_001), Paging(None), nothing)
    assert refused.value.data == {
        "paginate": {"maximum": {"message": "there are more than 20000: ask for pages"}}
    }


def test_heavy_elements_end_a_page_earlier():
    def weight(row):
        return row

    heavy = [16_000_001, 8_000_000, 8_000_000, 1]
    assert paged(heavy, Paging(5), weight=weight)[0] == [16_000_001]
    assert paged(heavy[1:], Paging(5), weight=weight) == (
        [8_000_000, 8_000_000],
        Page(2, None, key_of([1])),
    )
    with pytest.raises(ApiError) as refused:
        paged(heavy, Paging(None), weight=weight)
    message = "there are more than 16000000 bytes: ask for pages"
    assert refused.value.data == {"paginate": {"maximum": {"message": message}}}
