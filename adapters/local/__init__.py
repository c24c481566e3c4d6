"""This machine: its service manager, the actors' ports, a file that deliverers share.

Offers the notification of systemd, the sealed transport of Thespian's actors, and `DeliveredIds`.
"""
