"""The cluster's settings for the API: as in Crossbar's documents, else Crossbar's defaults."""

from types import SimpleNamespace

import pytest

from callboard.web.documents.system_settings import maximum_range_s, page_size

NODE = SimpleNamespace(name="apps@one", zone="east")


def backend(document):
    documents = {("system_config", "crossbar"): document}
    return SimpleNamespace(
        node=NODE, store=SimpleNamespace(get=lambda *place: documents.get(place))
    )


@pytest.mark.parametrize(
    ("read", "key", "default"),
    [(page_size, "pagination_page_size", 50), (maximum_range_s, "maximum_range", 2_682_000)],
)
def test_a_setting_is_a_positive_integer_or_the_default(read, key, default):
    assert read(backend(None)) == default
    for value, expected in ((7, 7), ("7", 7), (1, 1), (0, default), (-1, default), ("x", default)):
        assert read(backend({"default": {key: value}})) == expected
    assert read(backend({"default": {key: 7}, "apps@one": {key: 8}})) == 8
    assert read(backend({"default": {key: 7}, "east": {key: 9}})) == 9
    assert read(backend({"default": {key: 7}, "west": {key: 9}})) == 7
