"""Acknowledgement: who is responsible for which event until it is settled."""
