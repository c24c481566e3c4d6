"""Accounts as people write them: the id, or the name of the account's database."""

from typing import Any

import click

from callboard.webhooks.hooks.arguments import BadArgument, account_argument


class Account(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """An account's id, also from its database's name."""

    name = "account"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """The id."""
        try:
            return account_argument(value)
        except BadArgument as problem:
            self.fail(str(problem), param, ctx)


ACCOUNT = Account()
