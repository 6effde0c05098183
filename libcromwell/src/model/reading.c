/* reading.c: rows as the matrices of the vision encoder read them. */
#include <string.h>

#include "model/vision.h"

cw_reading cw_vision_reading(const cw_session *s, const cw_matrix *const *matrices, uint32_t count, uint32_t rows) {
  cw_reading reading = {.depth = matrices[0]->depth};
  for (uint32_t i = 0; i < count; i++)
    if (matrices[i]->format == CW_FORMAT_F32)
      reading.f32 = s->vision.floats;
    else
      reading.q8 = cw_q8_shaped(s->run.input, rows);
  return reading;
}

enum { GROUP_FLOATS = CW_GROUP / 4 + CW_GROUP / CW_SUB + 1 }; /* numbers, sums and scale of a quantised group */

size_t cw_reading_floats(uint32_t rows, uint32_t depth) {
  size_t floats = (size_t)rows * depth, quantised = rows * cw_q8_groups(depth) * GROUP_FLOATS;
  return cw_rounded(floats > quantised ? floats : quantised);
}

cw_reading cw_reading_take(float **scratch, uint32_t rows, const cw_matrix *matrix) {
  cw_reading reading = {.depth = matrix->depth};
  size_t groups = rows * cw_q8_groups(matrix->depth);
  if (matrix->format == CW_FORMAT_F32) {
    reading.f32 = *scratch;
  } else {
    reading.q8 = (cw_q8_room){.q = (int8_t *)*scratch, .stride = rows};
    reading.q8.sums = (int32_t *)(reading.q8.q + groups * CW_GROUP);
    reading.q8.scales = (float *)(reading.q8.sums + groups * (CW_GROUP / CW_SUB));
  }
  *scratch += cw_reading_floats(rows, matrix->depth);
  return reading;
}

void cw_reading_put(const cw_run *run, const cw_reading *to, uint32_t index, uint32_t column, const float *values, uint32_t size) {
  if (to->q8.q != NULL) cw_q8_put(run->kernels, to->q8, index, column / CW_GROUP, values, size);
  if (to->f32 != NULL) memcpy(to->f32 + (size_t)index * to->depth + column, values, size * sizeof(float));
}

void cw_reading_norm(const cw_session *s, const cw_reading *to, const float *x, const float *norm, uint32_t first, uint32_t count, float *row) {
  for (uint32_t i = first; i < first + count; i++) {
    s->run.kernels->rms(x + (size_t)i * to->depth, norm, s->model->config.norm_eps, to->depth, row);
    cw_reading_put(&s->run, to, i, 0, row, to->depth);
  }
}

cw_input cw_reading_from(const cw_reading *reading, uint32_t first) {
  cw_input input = {.f32 = reading->f32};
  if (reading->q8.q != NULL) input.q8 = cw_q8_of(reading->q8);
  return cw_input_from(&input, first, reading->depth);
}

void cw_rows_times(const cw_run *run, const cw_reading *x, uint32_t first, uint32_t rows, const cw_matrix *w, float *y, int add) {
  cw_input input = cw_reading_from(x, first);
  cw_panels_times(run->kernels, &input, rows, w, 0, cw_matrix_panels(w), y, w->outputs, add);
}
