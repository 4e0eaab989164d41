"""One run from listing to record, on the driver."""
