/* fusion.c: the fusion blocks: text attends the pictures before it, pictures attend pictures and the text before them. */
#include "model/session.h"

/* x += swiglu(rms(x, mlp_norm)), the same weights for both streams. */
static void fusion_mlp(cw_session *s, const cw_fusion_layer *layer, float *x, uint32_t rows) {
  const cw_buffers *b = &s->buffers;
  cw_rms_rows(&s->run, rows, x, layer->mlp_norm, s->model->config.norm_eps, s->model->config.fusion.hidden, b->h);
  cw_swiglu(&s->run, rows, b->h, &layer->w_gate, &layer->w_up, b->gate, b->up);
  cw_matmul(&s->run, rows, b->gate, &layer->w_down, x, 1);
}

void cw_fusion_text(cw_session *s, uint32_t index, uint32_t rows) {
  const cw_config *config = &s->model->config;
  const cw_fusion_layer *layer = &s->model->weights.fusion[index];
  const cw_buffers *b = &s->buffers;
  uint32_t J = config->fusion.hidden;
  if (s->vision_count > 0) { /* without a picture there is only the null key, whose value is zero */
    cw_rms_rows(&s->run, rows, b->x, layer->text_norm, config->norm_eps, J, b->h);
    cw_matmul(&s->run, rows, b->h, &layer->text_wq, b->q, 0);
    cw_attention attention = {.q = b->q, .out = b->h, .rows = rows, .heads = config->fusion.heads,
                              .spans = {{.cache = &s->cross[index], .first = 0, .count = 1 + s->vision_count}}, .span_count = 1};
    cw_attend(&s->run, &attention);
    cw_matmul(&s->run, rows, b->h, &layer->text_wo, b->k, 0);
    for (size_t i = 0; i < (size_t)rows * J; i++) b->x[i] += layer->text_gate[i % J] * b->k[i];
  }
  fusion_mlp(s, layer, b->x, rows);
}

typedef struct {
  const cw_cache *cache;
  const float *k, *v;
  uint32_t position, size; /* size: floats a row */
} put_job;

static void put_row(const void *context, uint32_t row) {
  const put_job *job = context;
  cw_cache_put(job->cache, job->position + row, job->k + (size_t)row * job->size, job->v + (size_t)row * job->size);
}

/* Keys and values of rows in buffers.h through wk and wv, into a cache. */
static void put_rows(cw_session *s, const cw_matrix *wk, const cw_matrix *wv, const cw_cache *cache, uint32_t position, uint32_t rows) {
  const cw_buffers *b = &s->buffers;
  const cw_product products[2] = {{.x = b->h, .w = wk, .y = b->k}, {.x = b->h, .w = wv, .y = b->v}};
  cw_products(&s->run, rows, products, 2);
  put_job put = {.cache = cache, .k = b->k, .v = b->v, .position = position, .size = wk->outputs};
  cw_run_rows(&s->run, rows, put_row, &put);
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* What text and vision will see of vision tokens first .. first+count-1 in this block, and what vision sees of the text. */
static void vision_keys(cw_session *s, uint32_t index, const cw_fusion_layer *layer, uint32_t first, uint32_t count) {
  const cw_config *config = &s->model->config;
  uint32_t J = config->fusion.hidden;
  for (uint32_t at = 0; at < count; at += CW_ROWS) {
    uint32_t rows = least(CW_ROWS, count - at);
    cw_rms_rows(&s->run, rows, s->vision_x + (size_t)at * J, layer->vision_norm, config->norm_eps, J, s->buffers.h);
    put_rows(s, &layer->vision_wk, &layer->vision_wv, &s->vision_self[index], first + at, rows);
    put_rows(s, &layer->text_wk, &layer->text_wv, &s->cross[index], 1 + first + at, rows);
  }
  for (uint32_t at = 0; at < s->length; at += CW_ROWS) {
    uint32_t rows = least(CW_ROWS, s->length - at);
    cw_rms_rows(&s->run, rows, s->joint_input[index] + (size_t)at * J, layer->text_norm, config->norm_eps, J, s->buffers.h);
    put_rows(s, &layer->vision_wk, &layer->vision_wv, &s->vision_text, at, rows);
  }
}

void cw_fusion_vision(cw_session *s, uint32_t first, uint32_t count) {
  const cw_config *config = &s->model->config;
  const cw_weights *w = &s->model->weights;
  const cw_buffers *b = &s->buffers;
  uint32_t J = config->fusion.hidden;
  cw_matmul(&s->run, count, s->vision.tokens, &w->vision_proj, s->vision_x, 0);
  for (uint32_t i = 0; i < config->fusion.layers; i++) {
    const cw_fusion_layer *layer = &w->fusion[i];
    vision_keys(s, i, layer, first, count);
    if (i + 1 == config->fusion.layers && s->run.trace == NULL) break; /* nothing reads the last block's vision output */
    for (uint32_t at = 0; at < count; at += CW_ROWS) {
      uint32_t rows = least(CW_ROWS, count - at);
      float *x = s->vision_x + (size_t)at * J;
      cw_rms_rows(&s->run, rows, x, layer->vision_norm, config->norm_eps, J, b->h);
      cw_matmul(&s->run, rows, b->h, &layer->vision_wq, b->q, 0);
      cw_attention attention = {.q = b->q, .out = b->h, .rows = rows, .heads = config->fusion.heads,
                                .spans = {{.cache = &s->vision_self[i], .count = first + count}, {.cache = &s->vision_text, .count = s->length}},
                                .span_count = s->length > 0 ? 2 : 1};
      cw_attend(&s->run, &attention);
      cw_matmul(&s->run, rows, b->h, &layer->vision_wo, x, 1);
      fusion_mlp(s, layer, x, rows);
    }
    cw_trace(&s->run, "fusion.layers.vision", (int32_t)i, s->vision_x, count, J);
  }
}
