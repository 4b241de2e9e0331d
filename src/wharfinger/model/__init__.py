"""The nouns: what a user describes and what a server holds."""
