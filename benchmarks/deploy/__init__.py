"""From `deploy` to the first answer: what a user waits for."""
