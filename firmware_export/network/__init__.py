"""TFLite files -> plain layers and arrays."""
