"""URLs of stores, as they may be printed."""


def mask_url(url: str) -> str:
    """The URL with its password, if it has one, as `***`: fit for logs and errors."""
    authority_start = url.find("//") + 2 if "//" in url else 0
    userinfo, at, rest = url[authority_start:].rpartition("@")
    user, colon, _password = userinfo.partition(":")
    if not colon:
        return url
    return f"{url[:authority_start]}{user}:***{at}{rest}"
