import requests
from callboard.webhooks.outcome import ClientError, Response

class RequestsTransport:
    def __init__(self, connect_timeout_s, request_timeout_s, allow_networks, pool_size):
        self._adapter = requests.adapters.HTTPAdapter(pool_connections=100, pool_maxsize=pool_size)
        self._timeout = (connect_timeout_s, request_timeout_s)

    def send(self, method, url, headers, body):
        try:
            request = requests.Request(method, url, headers=dict(headers), data=body or None).prepare()
            response = self._adapter.send(request, timeout=self._timeout)
            return Response(response.status_code, dict(response.headers), response.content)
        except requests.Timeout:
            return ClientError("timeout")
        except requests.RequestException as problem:
            return ClientError("failed_connect: econnrefused", str(problem))
