/* rope.h: rotary position tables. */
#ifndef CW_MODEL_ROPE_H
#define CW_MODEL_ROPE_H

#include <stddef.h>
#include <stdint.h>

/* cosine and sine of t * base^(-2i/head_dim), [positions, head_dim/2] each. */
typedef struct {
  float *cosine, *sine;
  uint32_t half; /* head_dim / 2 */
} cw_rope;

/* Fills positions first .. end-1 of tables whose arrays are taken. */
void cw_rope_fill(const cw_rope *rope, uint32_t first, uint32_t end, float base);
/* Rotates one head in place: y[i] = x[i] cos - x[i+half] sin, y[i+half] = x[i+half] cos + x[i] sin. */
void cw_rope_turn(const cw_rope *rope, uint32_t position, float *head);

#endif
