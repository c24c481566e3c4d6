"""Hooks as a file declares them: its form, its text, and the difference to the stored hooks."""

import itertools
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.webhooks.declarations.form import (
    InvalidDeclaration,
    read_declarations,
    secrets_shown,
    table_of,
)
from callboard.webhooks.declarations.plan import GivenSecret, PutHook, plan
from callboard.webhooks.declarations.toml_text import toml_text
from callboard.webhooks.hooks.hook import disabling, new_hook, with_changes
from callboard.webhooks.hooks.secrets import StoredSecret, replacing
from support.fuzz import examples

URI = "https://x.example/"


def stored(id="h1", account="a", rev="1-a", **members):
    document = {"name": "n", "uri": URI, "hook": "shop", "pvt_account_id": account, **members}
    return {**new_hook(document, 0, id, "node"), "_rev": rev}


def table(**members):
    return {"account": "a", "name": "n", "uri": URI, "hook": "shop", **members}


def planned(tables, documents=(), quotas=None, has=None, *, prune=False):
    numbers = itertools.count(1)
    content = {"hooks": tables, "accounts": quotas or {}}
    secrets = {"env:ONE": "f1", "env:TWO": "f2", "file:one": "f1"}

    def resolve(reference):
        if reference not in secrets:
            raise InvalidDeclaration(f"{reference}: is not set")
        return GivenSecret(secrets[reference], reference, "whsec_…")

    return plan(
        read_declarations(content),
        documents,
        has or {},
        prune=prune,
        new_id=lambda: f"new{next(numbers)}",
        resolve=resolve,
    )


def signed(document, *secrets):
    made = [StoredSecret(f, "hmac-sha256", 1, "sealed", reference=r) for f, r in secrets]
    return with_changes(document, replacing(made))


# The difference


def test_a_hook_that_is_as_declared_is_no_change():
    for one in (table(), table(id="h1"), table(enabled=True, retries=2, http_verb="post")):
        found = planned([one], [stored()])
        assert not found
        assert found.unchanged == 1


def test_new_hooks_get_an_id_or_have_one():
    found = planned([table(id="mine", name="x"), table(name="y")], [stored()])
    assert [(one.put.id, one.put.rev) for one in found.added] == [("mine", None), ("new1", None)]
    assert found.added[0].put.members["http_verb"] == "post"


def test_a_changed_hook_is_put_with_its_revision_and_says_what_differs():
    (changed,) = planned([table(id="h1", retries=3, custom_data={"a": 1})], [stored()]).changed
    assert changed.members == ("custom_data", "retries")
    assert (changed.put.id, changed.put.rev) == ("h1", "1-a")


def test_members_that_the_file_lacks_are_removed():
    (changed,) = planned([table()], [stored(headers={"X": "1"})]).changed
    assert changed.members == ("headers",)
    assert "headers" not in changed.put.members


def test_a_disabled_hook_stays_so_unless_the_file_says_otherwise():
    disabled = with_changes(stored(), disabling(stored(), "too many failed attempts"))
    assert not planned([table()], [disabled])
    (changed,) = planned([table(enabled=True)], [disabled]).changed
    assert changed.members == ("enabled",)


def test_hooks_are_pruned_only_if_asked():
    documents = [stored(), stored("h2", name="old")]
    assert not planned([table()], documents)
    (removed,) = planned([table()], documents, prune=True).removed
    assert (removed.id, removed.rev, removed.name) == ("h2", "1-a", "old")
    assert removed.account_id == "a"


def test_names_that_are_not_unique_need_an_id():
    documents = [stored(), stored("h2")]
    with pytest.raises(InvalidDeclaration, match="2 hooks of this name"):
        planned([table()], documents)
    assert not planned([table(id="h1"), table(id="h2")], documents)
    assert planned([table()], [stored(account="b")]).added


def test_a_hook_of_another_account_is_not_taken():
    with pytest.raises(InvalidDeclaration, match="belongs to another account"):
        planned([table(id="h1")], [stored(account="b")])


def test_secrets_are_compared_by_fingerprint_and_reference():
    has = signed(stored(), ("f1", "env:ONE"))
    assert not planned([table(secrets=["env:ONE"])], [has])
    assert not planned([table()], [has])
    assert not planned([table(secrets=["stored:f1"])], [has])
    for names in (["env:TWO"], ["env:TWO", "env:ONE"], [], ["file:one"]):
        (changed,) = planned([table(secrets=names)], [has]).changed
        assert changed.members == ("secrets",)
        assert [one.reference for one in changed.put.secrets] == names
    for name in ("stored:f9", "env:NONE"):
        with pytest.raises(InvalidDeclaration, match=r"hook 1 \(n\)"):
            planned([table(secrets=[name])], [has])


def test_quotas_are_set_where_they_differ():
    wanted = {"a": {"quotas": {"hooks": 5}}, "b": {"quotas": {"hooks": 6}}, "c": {"quotas": {}}}
    found = planned([], quotas=wanted, has={"a": {"hooks": 5}, "c": {"hooks": 1}})
    assert found.quotas == {"b": {"hooks": 6}, "c": {}}
    least = {"a": {"quotas": {"hooks": 1}}}
    assert planned([], quotas=least, has={}).quotas == {"a": {"hooks": 1}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"hook": []}, "hook: there are only"),
        ({"hooks": {}}, "tables"),
        ({"hooks": ["x"]}, "hook 1 is no table"),
        ({"hooks": [{"name": "n"}]}, "account is missing"),
        ({"hooks": [table(account="")]}, "account is missing"),
        ({"hooks": [table(account=5)]}, "account is missing"),
        ({"hooks": [{"account": "a"}]}, "give it an id or a name"),
        ({"hooks": [table(_id="h")]}, "_id is no member"),
        ({"hooks": [table(id="a/b")]}, "id is no text"),
        ({"hooks": [table(pvt_secrets=[])]}, "pvt_secrets is no member"),
        ({"hooks": [table(secrets="env:X")]}, "no list of references"),
        ({"hooks": [table(json="{}")]}, "json is no table"),
        ({"hooks": [table(json={"custom_data": "{"})]}, "json: "),
        ({"hooks": [table(), table()]}, r"hook 2 \(n\) and hook 1 \(n\) are the same"),
        ({"hooks": [table(id="h"), table(id="h", account="b")]}, "are the same"),
        ({"accounts": {"a": {"quotas": {"hook": 1}}}}, "no quota hook"),
        ({"accounts": {"a": {"quotas": {"hooks": True}}}}, "hooks is no number"),
        ({"accounts": {"a": {"quotas": {"hooks": 0}}}}, "hooks is no number of 1 or more"),
        ({"accounts": {"a": {"hooks": 1}}}, "only quotas"),
        ({"accounts": {"a": 1}}, "only quotas"),
    ],
)
def test_what_is_no_declaration(content, words):
    with pytest.raises(InvalidDeclaration, match=words):
        read_declarations(content)


def test_a_change_of_any_kind_is_one():
    kinds = (
        planned([table(name="x")]),
        planned([table(id="h1", retries=3)], [stored()]),
        planned([], [stored()], prune=True),
        planned([], quotas={"a": {"quotas": {"hooks": 1}}}),
    )
    assert [(len(k.added), len(k.changed), len(k.removed), len(k.quotas)) for k in kinds] == [
        (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1),
    ]  # fmt: skip
    assert all(kinds)


def test_a_hook_in_a_message_is_as_large_as_its_values():
    assert PutHook("h", "a", {"name": "abc", "retries": 3}).size == 204


# The text


def test_texts_and_keys_of_any_kind_are_toml():
    table = {"a-b": {}, "aZ_9": {"c-d": []}, "ä": "é\x7f", "a b": "\ud800", "": True}
    text = "".join(toml_text([table], {})).partition("[[hooks]]\n")[2]
    assert text == ('a-b = {}\naZ_9 = { c-d = [] }\n"ä" = "é\\u007f"\n"a b" = "?"\n"" = true\n')
    assert tomllib.loads(text)["ä"] == "é\x7f"


def test_the_text_names_what_differs_from_a_new_hook():
    document = signed(stored(custom_data={"a b": [1, None]}, retries=3), ("f1", None))
    text = "".join(toml_text([table_of(document)], {"a": {"hooks": 5}}))
    assert text.partition("\n\n")[2] == (
        '[accounts."a".quotas]\n'
        "hooks = 5\n"
        "\n"
        "[[hooks]]\n"
        'id = "h1"\n'
        'account = "a"\n'
        'hook = "shop"\n'
        'name = "n"\n'
        "retries = 3\n"
        f'uri = "{URI}"\n'
        'secrets = ["stored:f1"]\n'
        'json = { custom_data = "{\\"a b\\": [1, null]}" }\n'
    )


def test_secrets_are_shown_without_the_encrypted_texts():
    shown = secrets_shown(signed(stored(), ("f1", "env:ONE")))
    assert "sealed" not in str(shown)
    assert table_of(shown)["secrets"] == ["env:ONE"]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"name": texts, "custom_data": st.dictionaries(texts, values, max_size=4)},
            optional={
                "enabled": st.booleans(),
                "retries": st.integers(1, 5),
                "headers": st.dictionaries(texts, texts, max_size=2),
                "format": st.sampled_from(["json", "form-data"]),
            },
        ),
        max_size=4,
    )
)
@settings(max_examples=examples(3), deadline=None)
def test_what_is_exported_is_read_as_the_same(members):
    documents = [stored(f"h{n}", **more) for n, more in enumerate(members)]
    text = "".join(toml_text(map(table_of, documents), {}))
    content = tomllib.loads(text)
    assert not planned(content.get("hooks", []), documents, prune=True)
    made = planned(content.get("hooks", [])).added
    again = [stored(one.put.id, **one.put.members) for one in made]
    assert "".join(toml_text(map(table_of, again), {})) == text
