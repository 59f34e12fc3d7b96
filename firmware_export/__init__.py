"""From a bundle to C99 that runs on a microcontroller. Needs neither TensorFlow nor an interpreter."""
