"""Requests and responses in Crossbar's form: envelopes, filters, pages, spans of time.

Offers `success`, the middleware that every request passes, and their description in OpenAPI.
"""
