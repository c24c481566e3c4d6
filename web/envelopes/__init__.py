"""Requests and responses in Crossbar's form: envelopes, filters, pages."""
