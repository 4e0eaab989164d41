"""Functions on arrays, without engine or store: photos to pixels, pixels to features, features to components."""
