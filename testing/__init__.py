"""What ships for testing plugins and engines of your own."""
