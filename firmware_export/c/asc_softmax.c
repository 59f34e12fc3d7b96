/* TFLite's int8 softmax in fixed point: no table, no float. Numbers are named by their integer bits: q0 is a fraction
   of 31 bits, q5 has 5 bits before the point. Method: exp(-x) for x below 1/4 as a Taylor polynomial around 1/8, times
   exp(-2^k) for every higher bit of x; 1 / (1 + x) by three Newton steps. */
#include "asc_piece.h"

#include "asc_requant.h"

enum { Q5_FRACTION = 26, SUM_BITS = 12 };

/* x * 2^bits, held at the ends. */
static int32_t shift_left_saturating(int32_t x, int bits)
{
    const int64_t wide = (int64_t)x * (1 << bits);
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* Product of two fractions; the only one that does not fit is held at the end. */
static int32_t multiply(int32_t a, int32_t b)
{
    return a == INT32_MIN && b == INT32_MIN ? INT32_MAX : asc_multiply_high(a, b);
}

/* exp(a), q0, for a in [-1/4, 0), q0. */
static int32_t exp_of_small(int32_t a)
{
    const int32_t exp_of_minus_eighth = 1895147668;
    const int32_t third = 715827883;
    const int32_t x = a + (1 << 28);
    const int32_t x2 = multiply(x, x);
    const int32_t x3 = multiply(x2, x);
    const int32_t x4 = multiply(x2, x2);
    const int32_t sixths = multiply(asc_shift_right(x4, 2) + x3, third);
    const int32_t series = x + asc_shift_right(sixths + x2, 1);
    return exp_of_minus_eighth + multiply(exp_of_minus_eighth, series);
}

/* exp(a), q0, for a <= 0, q5. */
static int32_t exp_of_negative(int32_t a)
{
    static const int32_t exp_of_minus_power[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    if (a == 0) {
        return INT32_MAX;
    }
    const int32_t quarter = 1 << (Q5_FRACTION - 2);
    const int32_t small = (a & (quarter - 1)) - quarter;
    int32_t result = exp_of_small(shift_left_saturating(small, 5));
    const int32_t rest = small - a;
    for (int k = 0; k < 7; k++) {
        if (rest & (int32_t)(1u << (Q5_FRACTION - 2 + k))) {
            result = multiply(result, exp_of_minus_power[k]);
        }
    }
    return result;
}

/* 1 / (1 + x), q0, for x in [0, 1), q0. */
static int32_t reciprocal_of_one_plus(int32_t x)
{
    const int32_t q2_one = 1 << 29;
    const int32_t q2_48_by_17 = 1515870810;
    const int32_t q2_minus_32_by_17 = -1010580540;
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t guess = q2_48_by_17 + multiply(half, q2_minus_32_by_17);
    for (int i = 0; i < 3; i++) {
        const int32_t error = q2_one - multiply(half, guess);
        guess += shift_left_saturating(multiply(guess, error), 2);
    }
    return shift_left_saturating(guess, 1);
}

static int leading_zeros(uint32_t x)
{
    int n = 0;
    for (; n < 32 && !(x & 0x80000000u); n++) {
        x <<= 1;
    }
    return n;
}

/* bias[0]: differences to the largest input below this count as 0. */
void asc_run_softmax(const AscPiece *piece)
{
    const AscLayer *layer = piece->layer;
    const uint8_t *from = asc_input_at(piece, 0, 0);
    uint8_t *to = asc_output_at(piece, 0, 0);
    const uint32_t n = piece->step->n_rows;
    uint8_t largest = 0;
    for (uint32_t i = 0; i < n; i++) {
        largest = from[i] > largest ? from[i] : largest;
    }
    int32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t difference = (int32_t)from[i] - largest;
        if (difference >= layer->bias[0]) {
            const int32_t scaled = asc_rescale(difference, layer->multipliers[0], layer->shifts[0]);
            sum += asc_shift_right(exp_of_negative(scaled), SUM_BITS);
        }
    }
    const int headroom = leading_zeros((uint32_t)sum);
    const int32_t scale = reciprocal_of_one_plus((int32_t)(((uint32_t)sum << headroom) - 0x80000000u));
    for (uint32_t i = 0; i < n; i++) {
        const int32_t difference = (int32_t)from[i] - largest;
        int32_t value = 0;
        if (difference >= layer->bias[0]) {
            const int32_t scaled = asc_rescale(difference, layer->multipliers[0], layer->shifts[0]);
            value = asc_shift_right(multiply(scale, exp_of_negative(scaled)), SUM_BITS - headroom + 31 - 8);
        }
        to[i] = (uint8_t)asc_clamp(value, 0, 255);
    }
}
