"""This machine: its service manager, the actors' ports, files that actors share."""
