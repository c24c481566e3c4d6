"""Fixtures that more than one area uses; servers live in `services`, one module each."""

pytest_plugins = ("services.rabbitmq", "services.couchdb")
