/* text.c: the text path of docs/model.md for a few rows: embedding, language, fusion, JEPA, AR. Twin: training/model/. */
#include <string.h>

#include "model/session.h"

/* Which session and position a row belongs to. */
typedef struct {
  cw_session *session;
  uint32_t position;
} place;

/* What the steps below share: the rows at hand, and whose buffers and threads they use. */
typedef struct {
  cw_session *host;
  const cw_feed *feeds;
  uint32_t feed_count, rows;
  place places[CW_ROWS];
} text_rows;

typedef struct {
  const text_rows *t;
  float *x;
} embed_job;

/* Where a token stands (docs/model.md), each at most the last row of its table. */
typedef struct {
  uint32_t line, column, part;
} spot;

/* Line feeds since the last special token, tokens since the last one that is special or holds one, id of that special token + 1. `breaks`
 * come from the file: whatever they hold, sums stay in range. */
static spot find_spot(const float *breaks, uint32_t most, const int32_t *ids, uint32_t t) {
  uint32_t lines = 0, begin = 0, part = 0;
  int begun = 0;
  for (uint32_t i = t;; i--) {
    float count = breaks[ids[i]];
    if (!begun && count != 0) {
      begun = 1;
      begin = i;
    }
    if (count < 0) {
      part = (uint32_t)ids[i] + 1;
      break;
    }
    if (lines < most) lines += count < (float)most ? (uint32_t)count : most;
    if (i == 0) break;
  }
  uint32_t column = t - begin;
  return (spot){.line = lines < most ? lines : most, .column = column < most ? column : most, .part = part < most ? part : most};
}

/* e[t] = E[id_t], and the rows of its place where the model has places. */
static void token_row(const cw_session *session, uint32_t t, float *e) {
  const cw_weights *w = &session->model->weights;
  uint32_t D = w->embed.depth, places = session->model->config.places;
  cw_matrix_row(&w->embed, (uint32_t)session->ids[t], e);
  if (places == 0) return;
  spot at = find_spot(w->breaks, places - 1, session->ids, t);
  const cw_aligned *known = session->alignment.tokens;
  if (known != NULL && known[t].place >= 0) { /* a token of an answer stands where the region's token before the next one does */
    uint32_t part_of_answer = at.part;
    at = find_spot(w->breaks, places - 1, session->ids, (uint32_t)known[t].place - 1);
    at.part = part_of_answer;
  }
  const float *line = w->line + (size_t)at.line * D, *column = w->column + (size_t)at.column * D, *part = w->part + (size_t)at.part * D;
  for (uint32_t i = 0; i < D; i++) e[i] += line[i] + column[i] + part[i];
}

/* x[t] = e[t] + shift * e[t-1] + mention */
static void embed_row(const void *context, uint32_t row) {
  const embed_job *job = context;
  const place *at = &job->t->places[row];
  const float *shift = job->t->host->model->weights.shift;
  uint32_t D = job->t->host->model->weights.embed.depth;
  float *x = job->x + (size_t)row * D;
  token_row(at->session, at->position, x);
  if (shift != NULL && at->position > 0) {
    float before[8192]; /* the largest hidden size of a configuration */
    token_row(at->session, at->position - 1, before);
    for (uint32_t i = 0; i < D; i++) x[i] += shift[i] * before[i];
  }
  const cw_aligned *known = at->session->alignment.tokens;
  if (known == NULL || known[at->position].mention < 0) return;
  const float *mention = at->session->model->weights.mention + (size_t)known[at->position].mention * D;
  for (uint32_t i = 0; i < D; i++) x[i] += mention[i];
}

static const cw_aligned *aligned_at(const text_rows *t, uint32_t row) {
  const place *at = &t->places[row];
  return &at->session->alignment.tokens[at->position];
}

static int has_answer(const text_rows *t) {
  if (!t->host->model->config.aligned) return 0;
  for (uint32_t row = 0; row < t->rows; row++)
    if (aligned_at(t, row)->place >= 0) return 1;
  return 0;
}

/* buffers.x += rows of candidate `number` times the matrix; zero outside answers. */
static void add_candidate(const text_rows *t, uint32_t number, const cw_matrix *matrix) {
  const cw_weights *w = &t->host->model->weights;
  uint32_t D = w->embed.depth;
  float *h = t->host->buffers.h;
  for (uint32_t row = 0; row < t->rows; row++) {
    const cw_aligned *at = aligned_at(t, row);
    if (at->place >= 0)
      cw_matrix_row(&w->embed, (uint32_t)at->candidates[number], h + (size_t)row * D);
    else
      memset(h + (size_t)row * D, 0, D * sizeof(float));
  }
  cw_matmul(&t->host->run, t->rows, h, matrix, t->host->buffers.x, 1);
}

/* One layer of a stack, and where sessions keep its states. */
typedef struct {
  const cw_text_layer *layer;
  const cw_stack_config *shape;
  const cw_rope *rope;
  size_t caches; /* offset of the stack's caches in cw_session */
  uint32_t index;
} layer_at;

static const cw_cache *cache_of(const cw_session *s, const layer_at *at) {
  cw_cache *const *caches = (cw_cache *const *)(const void *)((const char *)s + at->caches);
  return &(*caches)[at->index];
}

typedef struct {
  const text_rows *t;
  const layer_at *at;
} turn_job;

/* q and k of one row: norm per head where trained so, rotation; k and v into the cache. */
static void turn_row(const void *context, uint32_t row) {
  const turn_job *job = context;
  const cw_session *host = job->t->host;
  const cw_kernels *kernels = host->run.kernels;
  const layer_at *at = job->at;
  uint32_t head_dim = at->shape->hidden / at->shape->heads, position = job->t->places[row].position;
  float eps = host->model->config.norm_eps;
  float *q = host->buffers.q + (size_t)row * at->shape->hidden, *k = host->buffers.k + (size_t)row * at->shape->kv_heads * head_dim;
  for (uint32_t head = 0; head < at->shape->heads; head++, q += head_dim) {
    if (at->layer->q_norm != NULL) kernels->rms(q, at->layer->q_norm, eps, head_dim, q);
    cw_rope_turn(at->rope, position, q);
  }
  for (uint32_t head = 0; head < at->shape->kv_heads; head++) {
    if (at->layer->k_norm != NULL) kernels->rms(k + head * head_dim, at->layer->k_norm, eps, head_dim, k + head * head_dim);
    cw_rope_turn(at->rope, position, k + head * head_dim);
  }
  cw_cache_put(cache_of(job->t->places[row].session, at), position, k, host->buffers.v + (size_t)row * at->shape->kv_heads * head_dim);
}

/* One text block over buffers.x. */
static void text_block(const text_rows *t, const layer_at *at) {
  const cw_run *run = &t->host->run;
  const cw_buffers *b = &t->host->buffers;
  const cw_text_layer *layer = at->layer;
  float eps = t->host->model->config.norm_eps;
  cw_rms_rows(run, t->rows, b->x, layer->attn_norm, eps, at->shape->hidden, b->h);
  const cw_product qkv[3] = {{.w = &layer->wq, .y = b->q}, {.w = &layer->wk, .y = b->k}, {.w = &layer->wv, .y = b->v}};
  cw_products(run, t->rows, b->h, qkv, 3, 0);
  turn_job turn = {.t = t, .at = at};
  cw_run_rows(run, t->rows, turn_row, &turn);
  cw_attention parts[CW_SESSIONS_MOST];
  for (uint32_t i = 0, row = 0; i < t->feed_count; row += t->feeds[i].rows, i++)
    parts[i] = (cw_attention){.row = row, .rows = t->feeds[i].rows, .span_count = 1, .causal = 1,
                              .spans = {{.cache = cache_of(t->feeds[i].session, at), .count = t->feeds[i].position + 1}}};
  cw_attend(run, b->q, b->h, at->shape->heads, NULL, parts, t->feed_count);
  cw_matmul(run, t->rows, b->h, &layer->wo, b->x, 1);
  cw_rms_rows(run, t->rows, b->x, layer->mlp_norm, eps, at->shape->hidden, b->h);
  cw_swiglu(run, t->rows, b->h, &layer->w_gate, &layer->w_up, &layer->w_down, b->wide, b->x);
}

static void text_blocks(const text_rows *t, const char *name, const cw_text_stack *stack, const cw_stack_config *shape, const cw_rope *rope,
                        size_t caches) {
  for (uint32_t i = 0; i < shape->layers; i++) {
    layer_at at = {.layer = &stack->layers[i], .shape = shape, .rope = rope, .caches = caches, .index = i};
    text_block(t, &at);
    cw_trace(&t->host->run, name, (int32_t)i, t->host->buffers.x, t->rows, shape->hidden);
  }
}

/* z = silu(c w1) w2, from buffers.h (c) to buffers.k by way of buffers.q. */
static void predict(const text_rows *t, uint32_t step) {
  const cw_run *run = &t->host->run;
  const cw_predictor *predictor = &t->host->model->weights.predict[step];
  const cw_buffers *b = &t->host->buffers;
  uint32_t J = predictor->w1.outputs;
  cw_matmul(run, t->rows, b->h, &predictor->w1, b->q, 0);
  run->kernels->silu(b->q, (size_t)t->rows * J);
  cw_matmul(run, t->rows, b->q, &predictor->w2, b->k, 0);
  cw_trace(run, "jepa.predict", (int32_t)step, b->k, t->rows, J);
}

/* JEPA over f; leaves f + guide_gate * rms(z_1) in buffers.h. */
static void guide(const text_rows *t) {
  const cw_session *host = t->host;
  const cw_model *model = host->model;
  const cw_weights *w = &model->weights;
  const cw_buffers *b = &host->buffers;
  uint32_t J = model->config.fusion.hidden;
  memcpy(b->x, b->f, (size_t)t->rows * J * sizeof(float));
  text_blocks(t, "jepa.layers", &w->jepa, &model->config.jepa, &host->rope_jepa, offsetof(cw_session, jepa));
  cw_rms_rows(&host->run, t->rows, b->x, w->jepa.norm, model->config.norm_eps, J, b->h);
  cw_trace(&host->run, "jepa.norm", -1, b->h, t->rows, J);
  for (uint32_t step = host->run.trace == NULL ? 1 : model->config.jepa_steps; step-- > 0;) predict(t, step); /* z_1 last: it is used */
  cw_rms_rows(&host->run, t->rows, b->k, NULL, model->config.norm_eps, J, b->k);
  for (size_t i = 0; i < (size_t)t->rows * J; i++) b->h[i] = b->f[i] + w->guide_gate[i % J] * b->k[i];
}

/* Keeps f of every row. */
static void keep_joint(const text_rows *t) {
  size_t J = t->host->model->config.fusion.hidden;
  for (uint32_t row = 0; row < t->rows; row++) {
    const place *at = &t->places[row];
    float *kept = cw_block_floats(at->session->blocks[at->position / CW_BLOCK], t->host->model->layout.joint);
    memcpy(kept + at->position % CW_BLOCK * J, t->host->buffers.f + row * J, J * sizeof(float));
  }
}

/* Keeps rms(AR output) of one row as the head reads it. */
static void keep_last_row(const void *context, uint32_t row) {
  const text_rows *t = context;
  const cw_model *model = t->host->model;
  const cw_kernels *kernels = t->host->run.kernels;
  const place *at = &t->places[row];
  uint32_t A = model->config.ar.hidden, slot = at->position % CW_BLOCK;
  uint8_t *block = at->session->blocks[at->position / CW_BLOCK];
  float *h = t->host->buffers.h + (size_t)row * A;
  kernels->rms(t->host->buffers.x + (size_t)row * A, model->weights.ar.norm, model->config.norm_eps, A, h);
  if (model->layout.last_quantised) {
    cw_block_put_row(block, model->layout.last, slot, kernels, h, A);
  } else {
    memcpy(cw_block_floats(block, model->layout.last) + (size_t)slot * A, h, A * sizeof(float));
  }
}

/* Row of floats of a token's block. */
static float *kept_row(const place *at, size_t offset, uint32_t size) {
  return cw_block_floats(at->session->blocks[at->position / CW_BLOCK], offset) + (size_t)(at->position % CW_BLOCK) * size;
}

static int is_mentioning(const text_rows *t, uint32_t row) {
  const cw_aligned *at = aligned_at(t, row);
  return at->mention >= 0 && at->mention < CW_MENTION_RUNS;
}

/* Keeps by what answers may point at the instruction's tokens among the rows; f is in its buffer. */
static void keep_point_keys(const text_rows *t) {
  const cw_model *model = t->host->model;
  const cw_buffers *b = &t->host->buffers;
  uint32_t found = 0;
  for (uint32_t row = 0; model->config.aligned && row < t->rows; row++) found += is_mentioning(t, row) != 0;
  if (found == 0) return;
  cw_matmul(&t->host->run, t->rows, b->f, &model->weights.point_k, b->k, 0);
  cw_rms_rows(&t->host->run, t->rows, b->k, NULL, model->config.norm_eps, CW_POINT, b->k);
  for (uint32_t row = 0; row < t->rows; row++)
    if (is_mentioning(t, row))
      memcpy(kept_row(&t->places[row], model->layout.point_k, CW_POINT), b->k + (size_t)row * CW_POINT, CW_POINT * sizeof(float));
}

/* Keeps what the rows of answers say of their candidates; rms(AR output) is in buffers.h. */
static void keep_scores(const text_rows *t) {
  const cw_model *model = t->host->model;
  const cw_buffers *b = &t->host->buffers;
  enum { SCORES = CW_CANDIDATES + 1 };
  cw_matmul(&t->host->run, t->rows, b->h, &model->weights.choose, b->k, 0);
  cw_matmul(&t->host->run, t->rows, b->h, &model->weights.point_q, b->q, 0);
  cw_rms_rows(&t->host->run, t->rows, b->q, NULL, model->config.norm_eps, CW_POINT, b->q);
  for (uint32_t row = 0; row < t->rows; row++) {
    const cw_aligned *at = aligned_at(t, row);
    if (at->place < 0) continue;
    const float *bias = model->weights.choose_bias + (size_t)at->mention * SCORES;
    float *scores = kept_row(&t->places[row], model->layout.scores, SCORES);
    for (uint32_t c = 0; c < SCORES; c++) scores[c] = b->k[(size_t)row * SCORES + c] + bias[c];
    memcpy(kept_row(&t->places[row], model->layout.point_q, CW_POINT), b->q + (size_t)row * CW_POINT, CW_POINT * sizeof(float));
  }
}

static void text_path(const text_rows *t) {
  cw_session *host = t->host;
  const cw_model *model = host->model;
  const cw_config *config = &model->config;
  const cw_weights *w = &model->weights;
  const cw_run *run = &host->run;
  const cw_buffers *b = &host->buffers;
  uint32_t rows = t->rows, D = config->language.hidden, J = config->fusion.hidden, A = config->ar.hidden;
  embed_job embed = {.t = t, .x = b->x};
  int answers = has_answer(t);
  cw_run_rows(run, rows, embed_row, &embed);
  if (answers) add_candidate(t, 0, &w->aligned);
  cw_trace(run, "embed", -1, b->x, rows, D);
  text_blocks(t, "language.layers", &w->language, &config->language, &host->rope_language, offsetof(cw_session, language));
  cw_rms_rows(run, rows, b->x, w->language.norm, config->norm_eps, D, b->h);
  cw_trace(run, "language.norm", -1, b->h, rows, D);

  cw_matmul(run, rows, b->h, &w->text_proj, b->x, 0);
  for (uint32_t i = 0; i < config->fusion.layers; i++) {
    cw_fusion_text(host, i, t->feeds, t->feed_count);
    cw_trace(run, "fusion.layers.text", (int32_t)i, b->x, rows, J);
  }
  cw_rms_rows(run, rows, b->x, w->fusion_norm, config->norm_eps, J, b->f);
  cw_trace(run, "fusion.norm", -1, b->f, rows, J);
  keep_joint(t);
  keep_point_keys(t);

  if (host->guidance) guide(t);
  cw_matmul(run, rows, host->guidance ? b->h : b->f, &w->in_proj, b->x, 0);
  for (uint32_t c = 0; answers && c < CW_CANDIDATES; c++) add_candidate(t, c, &w->candidates[c]);
  cw_trace(run, "ar.in_proj", -1, b->x, rows, A);
  text_blocks(t, "ar.layers", &w->ar, &config->ar, &host->rope_ar, offsetof(cw_session, ar));
  cw_run_rows(run, rows, keep_last_row, t);
  if (answers) keep_scores(t);
  cw_trace(run, "ar.norm", -1, b->h, rows, A);
}

void cw_text_forward(cw_session *host, const cw_feed *feeds, uint32_t count) {
  text_rows t = {.host = host, .feeds = feeds, .feed_count = count};
  for (uint32_t i = 0; i < count; i++) {
    cw_align_to(feeds[i].session, feeds[i].position + feeds[i].rows);
    for (uint32_t row = 0; row < feeds[i].rows; row++)
      t.places[t.rows++] = (place){.session = feeds[i].session, .position = feeds[i].position + row};
  }
  text_path(&t);
}
