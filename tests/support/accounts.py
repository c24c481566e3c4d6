"""A directory for tests that are not about accounts."""

from callboard.webhooks.events.directory import Account


class Accounts:
    """A directory in which every account exists and has no ancestor."""

    def account(self, account_id):
        return Account(account_id)

    def reseller_id(self, _account_id):
        return None

    def account_by_number(self, _number):
        return None

    def setting(self, _category, _key, default):
        return default
