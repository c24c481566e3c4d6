"""What a node tells a machine that joins it, and what that machine keeps of its own."""

from pathlib import Path

from attrs import evolve

from callboard.config import AmqpSettings, DataSettings, DeliverySettings, Settings, TracingSettings
from callboard.config.redacted import with_own, without_secrets
from callboard.config.settings import (
    ActorsSettings,
    ApiSettings,
    CouchdbSettings,
    SecretsSettings,
)

SECRET = "s3same-s3same-s3same"
KEY = "A" * 43 + "="
NODE = Settings(
    amqp=AmqpSettings(
        url=f"amqps://u:{SECRET}@bus.example:5671/%2f",
        zones=(f"amqp://u:{SECRET}@zone.example",),
        prefetch=7,
    ),
    couchdb=CouchdbSettings(url=f"http://u:{SECRET}@db.example:5984"),
    actors=ActorsSettings(key=SECRET),
    secrets=SecretsSettings(key=KEY),
    api=ApiSettings(admin_token=SECRET, metrics_token=SECRET),
    tracing=TracingSettings(headers=f"Authorization={SECRET}", sample_ratio=0.5),
    delivery=DeliverySettings(proxy=f"http://u:{SECRET}@proxy.example:3128", workers=3),
)


def test_a_machine_gets_settings_without_secrets_and_servers():
    told = without_secrets(NODE)
    assert (told.amqp.url, told.amqp.zones) == ("amqps://withheld", ())
    assert told.couchdb.url == "http://withheld"
    assert told.delivery.proxy == "http://proxy.example:3128"
    assert (told.actors.key, told.secrets.key, told.api.admin_token) == ("", "", "")
    assert (told.api.metrics_token, told.tracing.headers) == ("", "")
    assert (told.amqp.prefetch, told.delivery.workers, told.tracing.sample_ratio) == (7, 3, 0.5)
    assert without_secrets(Settings()).delivery.proxy == ""


def test_a_machine_uses_its_own_secrets_and_proxy():
    own = Settings(
        data=DataSettings(dir=Path("/srv/own")),
        tracing=TracingSettings(headers="x-a=1"),
        delivery=DeliverySettings(proxy="http://own.example:3128"),
    )
    told = without_secrets(NODE)
    used = with_own(told, own)
    assert used.secrets.key_file == own.secrets_key_file.absolute()
    assert used.tracing == evolve(NODE.tracing, headers="x-a=1")
    assert used.delivery == evolve(told.delivery, proxy="http://own.example:3128")
    assert with_own(told, Settings()).delivery.proxy == "http://proxy.example:3128"
