"""Key files, encryption and signatures.

Offers `SecretBox` for the secrets in hook documents, `Signer` for the headers of deliveries, and
the files of keys and of the API's token.
"""
