/* fusion.c: the fusion blocks: text attends the pictures before it, pictures attend pictures and the text before them. */
#include <string.h>

#include "model/session.h"

/* x += swiglu(rms(x, mlp_norm)), the same weights for both streams. */
static void fusion_mlp(cw_session *s, const cw_fusion_layer *layer, float *x, uint32_t rows) {
  const cw_buffers *b = &s->buffers;
  cw_rms_rows(&s->run, rows, x, layer->mlp_norm, s->model->config.norm_eps, s->model->config.fusion.hidden, b->h);
  cw_swiglu(&s->run, rows, b->h, &layer->w_gate, &layer->w_up, &layer->w_down, b->wide, x);
}

/* Keeps rows of buffers.h, rms(x, text_norm), for pictures that follow. */
static void keep_text(cw_session *host, uint32_t index, const cw_feed *feed, uint32_t row) {
  const cw_block_layout *layout = &host->model->layout;
  uint32_t J = host->model->config.fusion.hidden;
  for (uint32_t i = 0; i < feed->rows; i++) {
    uint32_t position = feed->position + i, place = position % CW_BLOCK;
    uint8_t *block = feed->session->blocks[position / CW_BLOCK];
    size_t offset = layout->text + index * layout->text_layer;
    const float *h = host->buffers.h + (size_t)(row + i) * J;
    if (layout->text_quantised) {
      cw_block_put_row(block, offset, place, host->run.kernels, h, J);
    } else {
      memcpy(cw_block_floats(block, offset) + (size_t)place * J, h, J * sizeof(float));
    }
  }
}

/* Text attends pictures: consecutive feeds of sessions that have some, whose rows begin at `row`. */
static void attend_pictures(cw_session *host, uint32_t index, const cw_feed *feeds, uint32_t count, uint32_t row) {
  const cw_fusion_layer *layer = &host->model->weights.fusion[index];
  const cw_buffers *b = &host->buffers;
  uint32_t J = host->model->config.fusion.hidden, rows = 0;
  cw_attention parts[CW_SESSIONS_MOST];
  for (uint32_t i = 0; i < count; rows += feeds[i].rows, i++)
    parts[i] = (cw_attention){.row = rows, .rows = feeds[i].rows, .span_count = 1,
                              .spans = {{.cache = &feeds[i].session->cross[index], .count = 1 + feeds[i].session->vision_count}}};
  cw_matmul(&host->run, rows, b->h + (size_t)row * J, &layer->text_wq, b->q, 0);
  cw_attend(&host->run, b->q, b->v, host->model->config.fusion.heads, NULL, parts, count);
  cw_matmul(&host->run, rows, b->v, &layer->text_wo, b->k, 0);
  float *x = b->x + (size_t)row * J;
  for (size_t i = 0; i < (size_t)rows * J; i++) x[i] += layer->text_gate[i % J] * b->k[i];
}

void cw_fusion_text(cw_session *host, uint32_t index, const cw_feed *feeds, uint32_t count) {
  const cw_config *config = &host->model->config;
  const cw_fusion_layer *layer = &host->model->weights.fusion[index];
  uint32_t rows = 0;
  for (uint32_t i = 0; i < count; i++) rows += feeds[i].rows;
  cw_rms_rows(&host->run, rows, host->buffers.x, layer->text_norm, config->norm_eps, config->fusion.hidden, host->buffers.h);
  for (uint32_t i = 0, row = 0; i < count; row += feeds[i].rows, i++) keep_text(host, index, &feeds[i], row);
  for (uint32_t i = 0, row = 0; i < count;) { /* without a picture there is only the null key, whose value is zero */
    uint32_t first = i, begin = row;
    for (; i < count && feeds[i].session->vision_count > 0; i++) row += feeds[i].rows;
    if (i > first) attend_pictures(host, index, feeds + first, i - first, begin);
    for (; i < count && feeds[i].session->vision_count == 0; i++) row += feeds[i].rows;
  }
  fusion_mlp(host, layer, host->buffers.x, rows);
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

/* Keys and values in buffers.k and .v into a cache. */
static void put_rows(cw_session *s, const cw_cache *cache, uint32_t position, uint32_t rows) {
  put_job put = {.cache = cache, .k = s->buffers.k, .v = s->buffers.v, .position = position, .size = s->model->config.fusion.hidden};
  cw_run_rows(&s->run, rows, put_row, &put);
}

/* Keys and values of rows in buffers.h through wk and wv, into a cache. */
static void project_rows(cw_session *s, const cw_matrix *wk, const cw_matrix *wv, const cw_cache *cache, uint32_t position, uint32_t rows) {
  const cw_product products[2] = {{.w = wk, .y = s->buffers.k}, {.w = wv, .y = s->buffers.v}};
  cw_products(&s->run, rows, s->buffers.h, products, 2, 0);
  put_rows(s, cache, position, rows);
}

/* The text before, as vision reads it in this block. */
static void text_keys(cw_session *s, uint32_t index, const cw_fusion_layer *layer) {
  const cw_block_layout *layout = &s->model->layout;
  const cw_product products[2] = {{.w = &layer->vision_wk, .y = s->buffers.k}, {.w = &layer->vision_wv, .y = s->buffers.v}};
  size_t offset = layout->text + index * layout->text_layer;
  uint32_t J = s->model->config.fusion.hidden;
  for (uint32_t at = 0; at < s->length; at += CW_BLOCK) {
    uint32_t rows = s->length - at < CW_BLOCK ? s->length - at : CW_BLOCK;
    if (layout->text_quantised) {
      cw_q8_room room = cw_q8_shaped(s->run.input, rows);
      cw_q8_rows text = cw_q8_of(room);
      for (uint32_t row = 0; row < rows; row++) cw_block_take_row(s->blocks[at / CW_BLOCK], offset, row, J, room, row);
      cw_products_q8(&s->run, rows, &text, products, 2, 0);
    } else {
      cw_products(&s->run, rows, cw_block_floats(s->blocks[at / CW_BLOCK], offset), products, 2, 0);
    }
    put_rows(s, &s->vision_text, at, rows);
  }
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* What text and vision will see of vision tokens first .. first+count-1 in this block, and what vision sees of the text. */
static void vision_keys(cw_session *s, uint32_t index, const cw_fusion_layer *layer, uint32_t first, uint32_t count) {
  const cw_config *config = &s->model->config;
  uint32_t J = config->fusion.hidden;
  for (uint32_t at = 0; at < count; at += CW_ROWS) {
    uint32_t rows = least(CW_ROWS, count - at);
    cw_rms_rows(&s->run, rows, s->vision_x + (size_t)at * J, layer->vision_norm, config->norm_eps, J, s->buffers.h);
    project_rows(s, &layer->vision_wk, &layer->vision_wv, &s->vision_self[index], first + at, rows);
    project_rows(s, &layer->text_wk, &layer->text_wv, &s->cross[index], 1 + first + at, rows);
  }
  text_keys(s, index, layer);
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
      cw_attention part = {.rows = rows, .span_count = s->length > 0 ? 2 : 1,
                           .spans = {{.cache = &s->vision_self[i], .count = first + count}, {.cache = &s->vision_text, .count = s->length}}};
      cw_attend(&s->run, b->q, b->h, config->fusion.heads, NULL, &part, 1);
      cw_matmul(&s->run, rows, b->h, &layer->vision_wo, x, 1);
      fusion_mlp(s, layer, x, rows);
    }
    cw_trace(&s->run, "fusion.layers.vision", (int32_t)i, s->vision_x, count, J);
  }
}
