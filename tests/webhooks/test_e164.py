import pytest

from callboard.webhooks.values.e164 import e164


@pytest.mark.parametrize(
    ("dialled", "number"),
    [
        ("+4930123456", "+4930123456"),
        ("4155550100", "+14155550100"),
        ("14155550100", "+14155550100"),
        ("0114930123456", "+4930123456"),
        ("004930123456", "+4930123456"),
        ("4930123456789", "+4930123456789"),
        ("1001", "1001"),
    ],
)
def test_numbers_are_brought_into_e164_form(dialled, number):
    assert e164(dialled) == number


def test_converters_may_be_configured():
    converters = {r"^0(\d+)$": {"prefix": "+49"}, r"^1\d{2}$": {"suffix": "#"}}
    assert e164("030123", converters) == "+4930123"
    assert e164("110", converters) == "110#"
    assert e164("+110", {r"1\d{2}$": {"suffix": "#"}}) == "+110"
