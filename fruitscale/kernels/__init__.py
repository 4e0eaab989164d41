"""Pure functions on arrays: pictures in, features and components out. No engine, no store."""
