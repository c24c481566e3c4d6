"""From a delivery to its outcome: deliverers, the retry queue, the attempt log."""
