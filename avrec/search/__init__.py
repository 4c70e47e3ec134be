"""Finding items, and moments in them, by words, picture, sound or voice."""
