/* weights.h: the tensors of a model, and the one list that names them (docs/model.md, Tensors). */
#ifndef CW_MODEL_WEIGHTS_H
#define CW_MODEL_WEIGHTS_H

#include "arena.h"
#include "model/align.h"
#include "model/config.h"

typedef enum { CW_FORMAT_F32, CW_FORMAT_Q8, CW_FORMAT_Q4 } cw_format;

/* A matrix [outputs, depth] in panels of 16 outputs; the layouts are those of kernels/kernels.h. */
typedef struct {
  cw_format format;
  uint32_t outputs, depth;
  const float *f32;           /* f32 only */
  const uint8_t *weights;     /* q8 and q4 */
  const uint8_t *multipliers; /* q4 only */
  const uint16_t *scales;     /* q8 and q4 */
} cw_matrix;

typedef struct {
  const float *attn_norm, *mlp_norm; /* [hidden] */
  const float *q_norm, *k_norm;      /* [head_dim], NULL without qk_norm */
  cw_matrix wq, wk, wv, wo;          /* [hidden, hidden], [kv_heads*head_dim, hidden] twice, [hidden, hidden] */
  cw_matrix w_gate, w_up, w_down;    /* [mlp, hidden] twice, [hidden, mlp] */
} cw_text_layer;

typedef struct {
  cw_text_layer *layers;
  const float *norm; /* [hidden] */
} cw_text_stack;

typedef struct {
  const float *vision_norm, *text_norm, *mlp_norm, *text_null_k, *text_gate; /* [J] */
  cw_matrix vision_wq, vision_wk, vision_wv, vision_wo;                      /* [J, J] */
  cw_matrix text_wq, text_wk, text_wv, text_wo;                              /* [J, J] */
  cw_matrix w_gate, w_up, w_down;                                            /* [mlp, J] twice, [J, mlp] */
} cw_fusion_layer;

typedef struct {
  cw_matrix w1, w2; /* [J, J] */
} cw_predictor;

typedef struct {
  const float *norm, *dw, *dw_bias;       /* [in], [3, 3, expanded], [expanded] */
  const float *se_b1, *se_b2;             /* [squeezed], [expanded] */
  cw_matrix expand, project;              /* [expanded, in], [out, expanded] */
  cw_matrix se_w1, se_w2;                 /* [squeezed, expanded], [expanded, squeezed] */
} cw_cnn_block;

typedef struct {
  const float *attn_norm, *mlp_norm; /* [P] */
  cw_matrix wq, wk, wv, wo, w1, w2;  /* [P, P] four times, [mlp, P], [P, mlp] */
} cw_vision_layer;

typedef struct {
  cw_matrix embed;    /* [V, D] */
  const float *breaks;        /* [V] line feeds in a token, -1 for a special one; this and the next three only with places */
  const float *line, *column, *part; /* [places, D] each */
  const float *words, *leads; /* [V] the word of a token, and how it begins; this and the next two only when aligned */
  const float *mention;       /* [3 CW_MENTION_RUNS, D] */
  cw_matrix aligned;          /* [D, D] */
  const float *shift;         /* [D], NULL without token_shift */
  cw_text_stack language, jepa, ar;
  cw_matrix text_proj, vision_proj; /* [J, D], [J, shuffle^2 P] */
  cw_fusion_layer *fusion;
  const float *fusion_norm; /* [J] */
  cw_predictor *predict;    /* [steps] */
  const float *guide_gate;  /* [J] */
  cw_matrix in_proj, head;  /* [A, J], [V, A]: embed itself when tied */
  cw_matrix candidates[CW_CANDIDATES];  /* [A, D] each; these and the rest of the head's only when aligned */
  cw_matrix choose, point_q, point_k;   /* [CW_CANDIDATES + 1, A], [CW_POINT, A], [CW_POINT, J] */
  const float *choose_bias, *point_bias; /* [3 CW_MENTION_RUNS, CW_CANDIDATES + 1], [CW_MENTION_RUNS] */
  cw_matrix stem;           /* [S, 48] */
  const float *stem_bias;   /* [S] */
  cw_cnn_block cnn[CW_CNN_BLOCKS];
  cw_matrix proj;                           /* [P, C] */
  const float *pos, *tile_row, *tile_col;   /* [1024, P], [8, P], [8, P] */
  cw_vision_layer *vision;
  const float *vision_norm; /* [P] */
} cw_weights;

/* One tensor of the list: exactly one of `vector` and `matrix` says where its pointers go. */
typedef struct {
  const char *name;
  uint32_t rank, shape[3];
  const float **vector;
  cw_matrix *matrix;
} cw_tensor;

typedef cw_status (*cw_tensor_fn)(void *user, const cw_tensor *tensor);

/* Takes the arrays of layers from the arena. */
void cw_weights_take(cw_weights *weights, const cw_config *config, cw_arena *arena);
/* Calls `visit` for every tensor that `config` requires, in the order of the pack; stops at the first status but CW_OK. */
cw_status cw_weights_each(cw_weights *weights, const cw_config *config, cw_tensor_fn visit, void *user);

#endif
