"""Access of an account's users to the dashboard: its links."""
