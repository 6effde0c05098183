/* numeric.h: the arithmetic of sampling that is no kernel. Every function gives the same bits on every machine: plain IEEE operations
 * in a fixed order, no libm, no fused multiply-add. */
#ifndef CW_SAMPLE_NUMERIC_H
#define CW_SAMPLE_NUMERIC_H

#include <stdint.h>

/* Natural logarithm of a positive normal number, within 2 ulp. */
double cw_log(double x);

/* Number `index` of stream `seed`, uniform over [0, 1) in steps of 2^-53. Counter-based: mix(mix(seed) + (index + 1) * golden),
 * where mix is the 64-bit finaliser of SplitMix64 (Steele, Lea, Flood 2014) and golden is 2^64 / the golden ratio. */
double cw_uniform(uint64_t seed, uint64_t index);

#endif
