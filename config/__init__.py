"""Settings and logs. Independent of actors and webhooks.

loaded = load(None, os.environ)
configure_logs(loaded.settings.log)
"""

from callboard.config.loader import ConfigError, Loaded, load
from callboard.config.logs import configure_logs, log_definitions
from callboard.config.options import Option, options
from callboard.config.rules import mask
from callboard.config.settings import (
    ActorsSettings,
    AmqpSettings,
    AttemptsSettings,
    CouchdbSettings,
    DataSettings,
    DeliverySettings,
    DisablerSettings,
    LogSettings,
    ModuleSettings,
    NodeSettings,
    SecretsSettings,
    Settings,
    TracingSettings,
)
from callboard.config.show import Row, effective

__all__ = [
    "ActorsSettings",
    "AmqpSettings",
    "AttemptsSettings",
    "ConfigError",
    "CouchdbSettings",
    "DataSettings",
    "DeliverySettings",
    "DisablerSettings",
    "Loaded",
    "LogSettings",
    "ModuleSettings",
    "NodeSettings",
    "Option",
    "Row",
    "SecretsSettings",
    "Settings",
    "TracingSettings",
    "configure_logs",
    "effective",
    "load",
    "log_definitions",
    "mask",
    "options",
]
