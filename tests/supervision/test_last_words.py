"""The reason that a process leaves to its supervisor, in memory that both have."""

import pytest

from callboard.supervision.last_words import LastWords, inherited, own, spoken


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no\n  such thing"), "ValueError: no such thing"),
        (KeyError("a"), "KeyError: 'a'"),
        (OSError(), "OSError:"),
        (ValueError("\udcff"), "ValueError: \\udcff"),
        (ValueError("x" * 600), "ValueError: " + "x" * 500),
        (ValueError("ü" * 300), "ValueError: " + "ü" * 250),
        (ValueError("aü" * 300), "ValueError: " + "aü" * 166 + "a"),  # half a letter is left out
    ],
)
def test_an_exception_is_one_line_of_at_most_512_bytes(error, text):
    words = LastWords()
    assert words.read() == ""
    words.write(error)
    assert words.read() == text


def test_the_first_reason_counts():
    words = LastWords()
    words.write(ValueError("first"))
    words.write(ValueError("second"))
    assert words.read() == "ValueError: first"


def test_each_actor_has_its_own_while_it_is_created():
    outer, inner = LastWords(), LastWords()
    assert own() is None
    with inherited(outer):
        with pytest.raises(KeyError), inherited(inner):
            assert own() is inner
            raise KeyError
        assert own() is outer
    assert own() is None


def test_what_ends_the_creation_is_written_and_raised():
    words = LastWords()
    with inherited(words):
        with spoken():
            pass
        assert words.read() == ""
        with pytest.raises(ValueError, match="why"), spoken():
            raise ValueError("why")
    assert words.read() == "ValueError: why"


def test_without_a_supervisor_it_is_raised_only():
    with pytest.raises(ValueError, match="why"), spoken():
        raise ValueError("why")


def test_a_sign_of_life_is_beside_the_words():
    words = LastWords()
    assert words.alive_at == 0
    words.write(ValueError("x" * 600))
    words.alive(12.25)
    assert (words.alive_at, len(words.read())) == (12.25, 512)
