/* text.c: the text path of docs/model.md for a few rows: embedding, language, fusion, JEPA, AR. Twin: training/model/. */
#include <string.h>

#include "model/session.h"

typedef struct {
  const cw_session *session;
  uint32_t position;
  float *x;
} embed_job;

/* x[t] = E[id_t] + shift * E[id_{t-1}] */
static void embed_row(const void *context, uint32_t row) {
  const embed_job *job = context;
  const cw_weights *w = &job->session->model->weights;
  uint32_t D = w->embed.depth, t = job->position + row;
  float *x = job->x + (size_t)row * D;
  cw_matrix_row(&w->embed, (uint32_t)job->session->ids[t], x);
  if (w->shift == NULL || t == 0) return;
  float before[8192]; /* the largest hidden size of a configuration */
  cw_matrix_row(&w->embed, (uint32_t)job->session->ids[t - 1], before);
  for (uint32_t i = 0; i < D; i++) x[i] += w->shift[i] * before[i];
}

typedef struct {
  const cw_kernels *kernels;
  const cw_text_layer *layer;
  const cw_rope *rope;
  const cw_cache *cache;
  float *q, *k;
  const float *v;
  uint32_t position, heads, kv_heads, head_dim;
  float eps;
} turn_job;

/* q and k of one row: norm per head where trained so, rotation; k and v into the cache. */
static void turn_row(const void *context, uint32_t row) {
  const turn_job *job = context;
  uint32_t head_dim = job->head_dim, position = job->position + row;
  float *q = job->q + (size_t)row * job->heads * head_dim, *k = job->k + (size_t)row * job->kv_heads * head_dim;
  for (uint32_t head = 0; head < job->heads; head++, q += head_dim) {
    if (job->layer->q_norm != NULL) job->kernels->rms(q, job->layer->q_norm, job->eps, head_dim, q);
    cw_rope_turn(job->rope, position, q);
  }
  for (uint32_t head = 0; head < job->kv_heads; head++) {
    if (job->layer->k_norm != NULL) job->kernels->rms(k + head * head_dim, job->layer->k_norm, job->eps, head_dim, k + head * head_dim);
    cw_rope_turn(job->rope, position, k + head * head_dim);
  }
  cw_cache_put(job->cache, position, k, job->v + (size_t)row * job->kv_heads * head_dim);
}

/* One text block over buffers.x. */
static void text_block(cw_session *s, const cw_text_layer *layer, const cw_stack_config *shape, const cw_rope *rope, const cw_cache *cache,
                       uint32_t position, uint32_t rows) {
  const cw_run *run = &s->run;
  const cw_buffers *b = &s->buffers;
  float eps = s->model->config.norm_eps;
  cw_rms_rows(run, rows, b->x, layer->attn_norm, eps, shape->hidden, b->h);
  const cw_product qkv[3] = {{.x = b->h, .w = &layer->wq, .y = b->q}, {.x = b->h, .w = &layer->wk, .y = b->k}, {.x = b->h, .w = &layer->wv, .y = b->v}};
  cw_products(run, rows, qkv, 3);
  turn_job turn = {.kernels = run->kernels, .layer = layer, .rope = rope, .cache = cache, .q = b->q, .k = b->k, .v = b->v,
                   .position = position, .heads = shape->heads, .kv_heads = shape->kv_heads,
                   .head_dim = shape->hidden / shape->heads, .eps = eps};
  cw_run_rows(run, rows, turn_row, &turn);
  cw_attention attention = {.q = b->q, .out = b->h, .rows = rows, .heads = shape->heads,
                            .spans = {{.cache = cache, .first = 0, .count = position + 1}}, .span_count = 1, .causal = 1};
  cw_attend(run, &attention);
  cw_matmul(run, rows, b->h, &layer->wo, b->x, 1);
  cw_rms_rows(run, rows, b->x, layer->mlp_norm, eps, shape->hidden, b->h);
  cw_swiglu(run, rows, b->h, &layer->w_gate, &layer->w_up, b->gate, b->up);
  cw_matmul(run, rows, b->gate, &layer->w_down, b->x, 1);
}

static void text_blocks(cw_session *s, const char *name, const cw_text_stack *stack, const cw_stack_config *shape, const cw_rope *rope,
                        const cw_cache *caches, uint32_t position, uint32_t rows) {
  for (uint32_t i = 0; i < shape->layers; i++) {
    text_block(s, &stack->layers[i], shape, rope, &caches[i], position, rows);
    cw_trace(&s->run, name, (int32_t)i, s->buffers.x, rows, shape->hidden);
  }
}

/* z = silu(c w1) w2, from buffers.h (c) to buffers.k by way of buffers.q. */
static void predict(cw_session *s, uint32_t step, uint32_t rows) {
  const cw_predictor *predictor = &s->model->weights.predict[step];
  const cw_buffers *b = &s->buffers;
  uint32_t J = predictor->w1.outputs;
  cw_matmul(&s->run, rows, b->h, &predictor->w1, b->q, 0);
  s->run.kernels->silu(b->q, (size_t)rows * J);
  cw_matmul(&s->run, rows, b->q, &predictor->w2, b->k, 0);
  cw_trace(&s->run, "jepa.predict", (int32_t)step, b->k, rows, J);
}

/* JEPA over f; leaves f + guide_gate * rms(z_1) in buffers.h. */
static void guide(cw_session *s, uint32_t position, uint32_t rows) {
  const cw_model *model = s->model;
  const cw_weights *w = &model->weights;
  const cw_buffers *b = &s->buffers;
  uint32_t J = model->config.fusion.hidden;
  const float *f = s->joint + (size_t)position * J;
  memcpy(b->x, f, (size_t)rows * J * sizeof(float));
  text_blocks(s, "jepa.layers", &w->jepa, &model->config.jepa, &s->rope_jepa, s->jepa, position, rows);
  cw_rms_rows(&s->run, rows, b->x, w->jepa.norm, model->config.norm_eps, J, b->h);
  cw_trace(&s->run, "jepa.norm", -1, b->h, rows, J);
  for (uint32_t step = s->run.trace == NULL ? 1 : model->config.jepa_steps; step-- > 0;) predict(s, step, rows); /* z_1 last: it is used */
  cw_rms_rows(&s->run, rows, b->k, NULL, model->config.norm_eps, J, b->k);
  for (size_t i = 0; i < (size_t)rows * J; i++) b->h[i] = f[i] + w->guide_gate[i % J] * b->k[i];
}

void cw_text_forward(cw_session *s, uint32_t position, uint32_t rows) {
  const cw_model *model = s->model;
  const cw_config *config = &model->config;
  const cw_weights *w = &model->weights;
  const cw_buffers *b = &s->buffers;
  uint32_t D = config->language.hidden, J = config->fusion.hidden, A = config->ar.hidden;
  embed_job embed = {.session = s, .position = position, .x = b->x};
  cw_run_rows(&s->run, rows, embed_row, &embed);
  cw_trace(&s->run, "embed", -1, b->x, rows, D);
  text_blocks(s, "language.layers", &w->language, &config->language, &s->rope_language, s->language, position, rows);
  cw_rms_rows(&s->run, rows, b->x, w->language.norm, config->norm_eps, D, b->h);
  cw_trace(&s->run, "language.norm", -1, b->h, rows, D);

  cw_matmul(&s->run, rows, b->h, &w->text_proj, b->x, 0);
  for (uint32_t i = 0; i < config->fusion.layers; i++) {
    memcpy(s->joint_input[i] + (size_t)position * J, b->x, (size_t)rows * J * sizeof(float));
    cw_fusion_text(s, i, rows);
    cw_trace(&s->run, "fusion.layers.text", (int32_t)i, b->x, rows, J);
  }
  float *f = s->joint + (size_t)position * J;
  cw_rms_rows(&s->run, rows, b->x, w->fusion_norm, config->norm_eps, J, f);
  cw_trace(&s->run, "fusion.norm", -1, f, rows, J);

  const float *guided = f;
  if (s->guidance) {
    guide(s, position, rows);
    guided = b->h;
  }
  cw_matmul(&s->run, rows, guided, &w->in_proj, b->x, 0);
  cw_trace(&s->run, "ar.in_proj", -1, b->x, rows, A);
  text_blocks(s, "ar.layers", &w->ar, &config->ar, &s->rope_ar, s->ar, position, rows);
  memcpy(s->ar_out + (size_t)position * A, b->x, (size_t)rows * A * sizeof(float));
  if (s->run.trace != NULL) {
    cw_rms_rows(&s->run, rows, b->x, w->ar.norm, config->norm_eps, A, b->h);
    cw_trace(&s->run, "ar.norm", -1, b->h, rows, A);
  }
}
