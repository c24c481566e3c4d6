"""What operators ask for: set-up, maintenance, dead letters, test deliveries."""
