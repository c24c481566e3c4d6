"""Requests to actors on a client's behalf, and replays."""
