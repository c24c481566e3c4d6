"""Sends webhooks over HTTP; whatever an endpoint does comes back as a value.

The way of a request: checked here, then `requests.adapters.HTTPAdapter.send`, then the guarded
connections of `callboard.adapters.http_connection`. A requests Session is left out: it looks up
proxies and passwords in the environment for every request, keeps cookies, follows redirects, and
takes a third of the throughput.
"""

import re
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Protocol

import certifi
from attrs import frozen
from requests import PreparedRequest, RequestException
from requests import Response as RequestsResponse
from urllib3 import HTTPHeaderDict
from urllib3.exceptions import HTTPError, TimeoutError as UrllibTimeout

from callboard.adapters.address_guard import AddressGuard, IPNetwork, Resolver
from callboard.adapters.http_connection import (
    EXCHANGE,
    Exchange,
    GuardedAdapter,
    NotConnected,
    StaleConnection,
    TooMuchReceived,
    tls_context,
)
from callboard.adapters.http_target import UrlRefused, target_of
from callboard.webhooks.outcome import ClientError, Response
