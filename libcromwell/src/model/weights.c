/* weights.c: the list of tensors, in the order of the pack. training/export.py holds the same list. */
#include "model/weights.h"

#include <stdio.h>

enum { PREFIX_SIZE = 40, NAME_SIZE = 64 };

void cw_weights_take(cw_weights *weights, const cw_config *config, cw_arena *arena) {
  weights->language.layers = cw_arena_take(arena, config->language.layers, sizeof(cw_text_layer));
  weights->jepa.layers = cw_arena_take(arena, config->jepa.layers, sizeof(cw_text_layer));
  weights->ar.layers = cw_arena_take(arena, config->ar.layers, sizeof(cw_text_layer));
  weights->fusion = cw_arena_take(arena, config->fusion.layers, sizeof(cw_fusion_layer));
  weights->predict = cw_arena_take(arena, config->jepa_steps, sizeof(cw_predictor));
  weights->vision = cw_arena_take(arena, config->vision.layers, sizeof(cw_vision_layer));
}

typedef struct {
  cw_tensor_fn visit;
  void *user;
  char prefix[PREFIX_SIZE]; /* "language.layers.3." */
} visitor;

static cw_status matrix(const visitor *v, const char *name, cw_matrix *slot, uint32_t outputs, uint32_t depth) {
  char full[NAME_SIZE];
  snprintf(full, sizeof full, "%s%.20s", v->prefix, name);
  cw_tensor tensor = {.name = full, .rank = 2, .shape = {outputs, depth, 1}, .matrix = slot};
  return v->visit(v->user, &tensor);
}

static cw_status table(const visitor *v, const char *name, const float **slot, uint32_t rank, uint32_t a, uint32_t b, uint32_t c) {
  char full[NAME_SIZE];
  snprintf(full, sizeof full, "%s%.20s", v->prefix, name);
  cw_tensor tensor = {.name = full, .rank = rank, .shape = {a, b, c}, .vector = slot};
  return v->visit(v->user, &tensor);
}

static cw_status vector(const visitor *v, const char *name, const float **slot, uint32_t size) {
  return table(v, name, slot, 1, size, 1, 1);
}

static void enter(visitor *v, const char *part, uint32_t layer) { snprintf(v->prefix, sizeof v->prefix, "%s.%u.", part, layer); }

static void leave(visitor *v) { v->prefix[0] = '\0'; }

static cw_status swiglu(const visitor *v, cw_matrix *gate, cw_matrix *up, cw_matrix *down, uint32_t hidden, uint32_t mlp) {
  CW_TRY(matrix(v, "w_gate", gate, mlp, hidden));
  CW_TRY(matrix(v, "w_up", up, mlp, hidden));
  return matrix(v, "w_down", down, hidden, mlp);
}

static cw_status text_stack(visitor *v, const char *part, const char *norm, cw_text_stack *stack, const cw_stack_config *shape, int qk_norm) {
  uint32_t hidden = shape->hidden, head_dim = hidden / shape->heads, kv = shape->kv_heads * head_dim;
  for (uint32_t i = 0; i < shape->layers; i++) {
    cw_text_layer *layer = &stack->layers[i];
    enter(v, part, i);
    CW_TRY(vector(v, "attn_norm", &layer->attn_norm, hidden));
    CW_TRY(vector(v, "mlp_norm", &layer->mlp_norm, hidden));
    CW_TRY(matrix(v, "wq", &layer->wq, hidden, hidden));
    CW_TRY(matrix(v, "wk", &layer->wk, kv, hidden));
    CW_TRY(matrix(v, "wv", &layer->wv, kv, hidden));
    CW_TRY(matrix(v, "wo", &layer->wo, hidden, hidden));
    if (qk_norm) {
      CW_TRY(vector(v, "q_norm", &layer->q_norm, head_dim));
      CW_TRY(vector(v, "k_norm", &layer->k_norm, head_dim));
    }
    CW_TRY(swiglu(v, &layer->w_gate, &layer->w_up, &layer->w_down, hidden, shape->mlp));
  }
  leave(v);
  return vector(v, norm, &stack->norm, hidden);
}

static cw_status fusion_layers(visitor *v, cw_weights *w, const cw_config *config) {
  uint32_t J = config->fusion.hidden;
  for (uint32_t i = 0; i < config->fusion.layers; i++) {
    cw_fusion_layer *layer = &w->fusion[i];
    enter(v, "fusion.layers", i);
    CW_TRY(vector(v, "vision_norm", &layer->vision_norm, J));
    CW_TRY(vector(v, "text_norm", &layer->text_norm, J));
    CW_TRY(vector(v, "mlp_norm", &layer->mlp_norm, J));
    CW_TRY(vector(v, "text_null_k", &layer->text_null_k, J));
    CW_TRY(vector(v, "text_gate", &layer->text_gate, J));
    CW_TRY(matrix(v, "vision_wq", &layer->vision_wq, J, J));
    CW_TRY(matrix(v, "vision_wk", &layer->vision_wk, J, J));
    CW_TRY(matrix(v, "vision_wv", &layer->vision_wv, J, J));
    CW_TRY(matrix(v, "vision_wo", &layer->vision_wo, J, J));
    CW_TRY(matrix(v, "text_wq", &layer->text_wq, J, J));
    CW_TRY(matrix(v, "text_wk", &layer->text_wk, J, J));
    CW_TRY(matrix(v, "text_wv", &layer->text_wv, J, J));
    CW_TRY(matrix(v, "text_wo", &layer->text_wo, J, J));
    CW_TRY(swiglu(v, &layer->w_gate, &layer->w_up, &layer->w_down, J, config->fusion.mlp));
  }
  leave(v);
  return vector(v, "fusion.norm", &w->fusion_norm, J);
}

static cw_status vision_tensors(visitor *v, cw_weights *w, const cw_config *config) {
  uint32_t P = config->vision.hidden;
  CW_TRY(matrix(v, "vision.stem.weight", &w->stem, config->vision.stem_channels, 48));
  CW_TRY(vector(v, "vision.stem.bias", &w->stem_bias, config->vision.stem_channels));
  for (uint32_t i = 0; i < CW_CNN_BLOCKS; i++) {
    cw_cnn_block *block = &w->cnn[i];
    cw_cnn_shape shape = cw_config_cnn(config, i);
    enter(v, "vision.cnn", i);
    CW_TRY(vector(v, "norm", &block->norm, shape.in));
    CW_TRY(matrix(v, "expand", &block->expand, shape.expanded, shape.in));
    CW_TRY(table(v, "dw", &block->dw, 3, 3, 3, shape.expanded));
    CW_TRY(vector(v, "dw_bias", &block->dw_bias, shape.expanded));
    CW_TRY(matrix(v, "se_w1", &block->se_w1, shape.squeezed, shape.expanded));
    CW_TRY(vector(v, "se_b1", &block->se_b1, shape.squeezed));
    CW_TRY(matrix(v, "se_w2", &block->se_w2, shape.expanded, shape.squeezed));
    CW_TRY(vector(v, "se_b2", &block->se_b2, shape.expanded));
    CW_TRY(matrix(v, "project", &block->project, shape.out, shape.expanded));
  }
  leave(v);
  CW_TRY(matrix(v, "vision.proj", &w->proj, P, config->vision.cnn_channels));
  CW_TRY(table(v, "vision.pos", &w->pos, 2, CW_GRID_SIDE * CW_GRID_SIDE, P, 1));
  CW_TRY(table(v, "vision.tile_row", &w->tile_row, 2, CW_GRID_LIMIT, P, 1));
  CW_TRY(table(v, "vision.tile_col", &w->tile_col, 2, CW_GRID_LIMIT, P, 1));
  for (uint32_t i = 0; i < config->vision.layers; i++) {
    cw_vision_layer *layer = &w->vision[i];
    enter(v, "vision.layers", i);
    CW_TRY(vector(v, "attn_norm", &layer->attn_norm, P));
    CW_TRY(vector(v, "mlp_norm", &layer->mlp_norm, P));
    CW_TRY(matrix(v, "wq", &layer->wq, P, P));
    CW_TRY(matrix(v, "wk", &layer->wk, P, P));
    CW_TRY(matrix(v, "wv", &layer->wv, P, P));
    CW_TRY(matrix(v, "wo", &layer->wo, P, P));
    CW_TRY(matrix(v, "w1", &layer->w1, config->vision.mlp, P));
    CW_TRY(matrix(v, "w2", &layer->w2, P, config->vision.mlp));
  }
  leave(v);
  return vector(v, "vision.norm", &w->vision_norm, P);
}

cw_status cw_weights_each(cw_weights *w, const cw_config *config, cw_tensor_fn visit, void *user) {
  visitor v = {.visit = visit, .user = user, .prefix = ""};
  uint32_t D = config->language.hidden, J = config->fusion.hidden, A = config->ar.hidden;
  CW_TRY(matrix(&v, "embed.weight", &w->embed, config->vocab_size, D));
  if (config->places > 0) {
    CW_TRY(vector(&v, "embed.breaks", &w->breaks, config->vocab_size));
    CW_TRY(table(&v, "embed.line", &w->line, 2, config->places, D, 1));
    CW_TRY(table(&v, "embed.column", &w->column, 2, config->places, D, 1));
    CW_TRY(table(&v, "embed.part", &w->part, 2, config->places, D, 1));
  }
  if (config->aligned) {
    CW_TRY(vector(&v, "embed.words", &w->words, config->vocab_size));
    CW_TRY(vector(&v, "embed.leads", &w->leads, config->vocab_size));
    CW_TRY(table(&v, "embed.mention", &w->mention, 2, 3 * CW_MENTION_RUNS, D, 1));
    CW_TRY(matrix(&v, "embed.aligned", &w->aligned, D, D));
  }
  if (config->token_shift) CW_TRY(vector(&v, "embed.shift", &w->shift, D));
  CW_TRY(text_stack(&v, "language.layers", "language.norm", &w->language, &config->language, (int)config->qk_norm));
  CW_TRY(matrix(&v, "fusion.text_proj", &w->text_proj, J, D));
  CW_TRY(matrix(&v, "fusion.vision_proj", &w->vision_proj, J, cw_vision_token_size(config)));
  CW_TRY(fusion_layers(&v, w, config));
  CW_TRY(text_stack(&v, "jepa.layers", "jepa.norm", &w->jepa, &config->jepa, (int)config->qk_norm));
  for (uint32_t k = 0; k < config->jepa_steps; k++) {
    enter(&v, "jepa.predict", k);
    CW_TRY(matrix(&v, "w1", &w->predict[k].w1, J, J));
    CW_TRY(matrix(&v, "w2", &w->predict[k].w2, J, J));
  }
  leave(&v);
  CW_TRY(vector(&v, "ar.guide_gate", &w->guide_gate, J));
  CW_TRY(matrix(&v, "ar.in_proj", &w->in_proj, A, J));
  if (config->aligned) {
    static const char *const names[CW_CANDIDATES] = {"ar.aligned.0", "ar.aligned.1", "ar.aligned.2", "ar.aligned.3"};
    for (int c = 0; c < CW_CANDIDATES; c++) CW_TRY(matrix(&v, names[c], &w->candidates[c], A, D));
    CW_TRY(matrix(&v, "ar.choose", &w->choose, CW_CANDIDATES + 1, A));
    CW_TRY(table(&v, "ar.choose_bias", &w->choose_bias, 2, 3 * CW_MENTION_RUNS, CW_CANDIDATES + 1, 1));
    CW_TRY(matrix(&v, "ar.point_q", &w->point_q, CW_POINT, A));
    CW_TRY(matrix(&v, "ar.point_k", &w->point_k, CW_POINT, J));
    CW_TRY(vector(&v, "ar.point_bias", &w->point_bias, CW_MENTION_RUNS));
  }
  CW_TRY(text_stack(&v, "ar.layers", "ar.norm", &w->ar, &config->ar, (int)config->qk_norm));
  if (config->tie_embeddings)
    w->head = w->embed;
  else
    CW_TRY(matrix(&v, "ar.head", &w->head, config->vocab_size, A));
  return vision_tensors(&v, w, config);
}
