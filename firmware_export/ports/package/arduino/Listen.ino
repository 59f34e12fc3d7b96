/* Names the scene once a second.

   The samples come over the serial port, little-endian 16-bit at $sample_rate_hz Hz mono, so that the sketch runs on any
   board; put the microphone's own library in place of nextSample(), which may not wait for a sample. */
#include <asc.h>

static AscState state;
static int16_t block[256];

static bool nextSample(int16_t *sample) {
  if (Serial.available() < 2) {
    return false;
  }
  const uint16_t low = (uint16_t)Serial.read(), high = (uint16_t)Serial.read();
  *sample = (int16_t)(low | (high << 8));
  return true;
}

void setup() {
  Serial.begin(1000000);
  asc_init(&state);
}

void loop() {
  size_t n = 0;
  while (n < sizeof block / sizeof *block && nextSample(&block[n])) {
    n++;
  }
  asc_push(&state, block, n);
  if (asc_busy(&state) || asc_ready(&state) >= ASC_FRAMES_PER_SECOND) {
    if (asc_step(&state, 100000) == ASC_DONE) {
      Serial.println(asc_label(&state));
    }
  }
}
