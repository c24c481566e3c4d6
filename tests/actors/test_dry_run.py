"""The senders of a dry run: nothing is sent, and what would be refused is refused."""

import select

import pytest

from callboard.actors.delivery.transports import sending
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.keys.signer import Signer
from callboard.config.settings import DataSettings, DeliverySettings, Settings
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.retries.outcome import ClientError, Unsent
from callboard.webhooks.values.endpoint_options import EndpointOptions
from support.descriptors import open_descriptors
from support.sending import to_send


@pytest.fixture
def sender(tmp_path):
    settings = Settings(
        data=DataSettings(dir=tmp_path),
        delivery=DeliverySettings(dry_run=True, transport="requests"),
    )
    sender = sending(settings, 2, Signer(SecretBox("", settings.secrets_key_file)))
    yield sender
    sender.close()


def is_readable(sender):
    return bool(select.select([sender], (), (), 0)[0])


def test_each_ends_at_once_and_makes_room_when_it_is_taken(sender):
    first, second = to_send("https://a.example/"), to_send("https://b.example/")
    assert (sender.count, sender.free, is_readable(sender)) == (2, 2, False)
    sender.send(first)
    assert (sender.free, is_readable(sender)) == (1, True)
    sender.send(second)
    assert sender.free == 0
    ended = list(sender.ended())
    assert [(sent.work, sent.outcome) for sent in ended] == [(first, Unsent()), (second, Unsent())]
    assert [(sent.headers, sent.took_s) for sent in ended] == [((("X-A", "b"),), None)] * 2
    assert (sender.free, is_readable(sender)) == (2, False)
    assert list(sender.ended()) == []
    sender.send(first)
    assert is_readable(sender)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1/", "refused: address"),
        ("http://[::1]/", "refused: address"),
        ("http://2130706433/", "refused: address"),
        ("http://a.example:25/", "refused: port"),
        ("http://user:secret@a.example/", "refused: credentials"),
        ("ftp://a.example/", "refused: scheme"),
    ],
)
def test_what_needs_no_network_to_be_refused_is_refused(sender, url, kind):
    sender.send(to_send(url))
    (sent,) = sender.ended()
    assert isinstance(sent.outcome, ClientError)
    assert sent.outcome.kind == kind
    assert (sender.free, sent.headers) == (2, (("X-A", "b"),))


def test_a_hook_with_networks_of_its_own_may_call_them(sender):
    options = Options(endpoint=EndpointOptions(allow_networks=("127.0.0.0/8",)))
    sender.send(to_send("http://127.0.0.1/", options=options))
    assert [sent.outcome for sent in sender.ended()] == [Unsent()]


def test_a_delivery_that_cannot_be_signed_is_refused(sender):
    sender.send(to_send("https://a.example/", options=Options(secrets=("not sealed",))))
    (sent,) = sender.ended()
    assert isinstance(sent.outcome, ClientError)
    assert (sent.outcome.kind, sender.free) == ("refused: signature", 2)
    assert "hook h" in sent.outcome.detail


def test_its_end_leaves_no_descriptor_open(tmp_path):
    before = open_descriptors()
    settings = Settings(data=DataSettings(dir=tmp_path), delivery=DeliverySettings(dry_run=True))
    made = sending(settings, 2, Signer(SecretBox("", settings.secrets_key_file)))
    made.close()
    assert open_descriptors() <= before
