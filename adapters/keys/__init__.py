"""Keys in files, and what is encrypted or signed with them.

Offers `SecretBox` for the secrets in hooks' documents, `Signer` for the headers of deliveries, and
the files of keys and of the API's token.
"""
