"""Requests to actors on a client's behalf, and replays that go on after their response."""
