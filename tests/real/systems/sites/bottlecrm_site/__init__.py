"""What a BottleCRM needs to be set up quickly."""
