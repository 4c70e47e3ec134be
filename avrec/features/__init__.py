"""What an item looks, sounds and reads like: extractors, their weights, and the store that keeps what they found."""
