"""Requests and responses in Crossbar's format: envelopes, filters, pages, time windows.

Offers `success`, the middleware for all requests, and their OpenAPI description.
"""
