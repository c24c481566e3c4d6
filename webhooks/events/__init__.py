"""Events of the bus: their messages, what makes one valid, what they may look up."""
