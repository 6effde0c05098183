/* config.c: is a configuration one that this library can run? */
#include "model/config.h"

typedef struct {
  const char *name;
  uint32_t value, low, high;
} range;

static cw_status check_ranges(const range *ranges, size_t count, cw_fault *fault) {
  for (size_t i = 0; i < count; i++)
    if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high)
      return cw_fault_set(fault, CW_E_FORMAT, "configuration: %s is %u, expected %u to %u", ranges[i].name, ranges[i].value, ranges[i].low,
                          ranges[i].high);
  return CW_OK;
}

#define CHECK_RANGES(ranges) CW_TRY(check_ranges(ranges, sizeof(ranges) / sizeof((ranges)[0]), fault))

static cw_status check_heads(const char *part, uint32_t hidden, uint32_t heads, uint32_t kv_heads, cw_fault *fault) {
  if (hidden % heads != 0 || hidden / heads % 2 != 0 || hidden / heads > 256)
    return cw_fault_set(fault, CW_E_FORMAT, "configuration: %s: hidden %u over %u heads is no even head size up to 256", part, hidden, heads);
  if (heads % kv_heads != 0 || heads / kv_heads > 32)
    return cw_fault_set(fault, CW_E_FORMAT, "configuration: %s: %u heads cannot share %u key heads", part, heads, kv_heads);
  return CW_OK;
}

static cw_status check_stack(const char *part, const cw_stack_config *stack, cw_fault *fault) {
  const range ranges[] = {
      {"hidden", stack->hidden, 2, 8192}, {"mlp", stack->mlp, 1, 32768},         {"layers", stack->layers, 1, CW_MAX_LAYERS},
      {"heads", stack->heads, 1, 256},    {"kv_heads", stack->kv_heads, 1, 256},
  };
  CHECK_RANGES(ranges);
  return check_heads(part, stack->hidden, stack->heads, stack->kv_heads, fault);
}

cw_status cw_config_check(const cw_config *config, cw_fault *fault) {
  const range ranges[] = {
      {"vocab_size", config->vocab_size, 1, 1u << 20},
      {"max_positions", config->max_positions, 1, 1u << 17},
      {"tie_embeddings", config->tie_embeddings, 0, 1},
      {"qk_norm", config->qk_norm, 0, 1},
      {"token_shift", config->token_shift, 0, 1},
      {"vision.stem_channels", config->vision.stem_channels, 1, 1024},
      {"vision.cnn_channels", config->vision.cnn_channels, 1, 1024},
      {"vision.expansion", config->vision.expansion, 1, 16},
      {"vision.hidden", config->vision.hidden, 2, 4096},
      {"vision.mlp", config->vision.mlp, 1, 32768},
      {"vision.layers", config->vision.layers, 1, CW_MAX_VISION_LAYERS},
      {"vision.heads", config->vision.heads, 1, 256},
      {"vision.window", config->vision.window, 4, CW_GRID_SIDE},
      {"vision.shuffle", config->vision.shuffle, 1, 8},
      {"vision.max_tiles", config->vision.max_tiles, 1, CW_GRID_LIMIT * CW_GRID_LIMIT},
      {"fusion.hidden", config->fusion.hidden, 2, 8192},
      {"fusion.mlp", config->fusion.mlp, 1, 32768},
      {"fusion.layers", config->fusion.layers, 1, CW_MAX_LAYERS},
      {"fusion.heads", config->fusion.heads, 1, 256},
      {"jepa.steps", config->jepa_steps, 1, 8},
      {"places", config->places, 0, 4096},
      {"aligned", config->aligned, 0, config->places > 0}, /* which say what a line is */
  };
  CHECK_RANGES(ranges);
  if (!(config->norm_eps > 0 && config->norm_eps < 1)) return cw_fault_set(fault, CW_E_FORMAT, "configuration: norm_eps is not in (0, 1)");
  if (!(config->rope_base >= 1 && config->rope_base <= 1e9f))
    return cw_fault_set(fault, CW_E_FORMAT, "configuration: rope_base is not in [1, 1e9]");
  if (!(config->logit_softcap >= 0 && config->logit_softcap <= 1e6f))
    return cw_fault_set(fault, CW_E_FORMAT, "configuration: logit_softcap is not in [0, 1e6]");
  CW_TRY(check_stack("language", &config->language, fault));
  CW_TRY(check_stack("jepa", &config->jepa, fault));
  CW_TRY(check_stack("ar", &config->ar, fault));
  CW_TRY(check_heads("fusion", config->fusion.hidden, config->fusion.heads, config->fusion.heads, fault));
  CW_TRY(check_heads("vision", config->vision.hidden, config->vision.heads, config->vision.heads, fault));
  if (config->jepa.hidden != config->fusion.hidden)
    return cw_fault_set(fault, CW_E_FORMAT, "configuration: jepa.hidden %u differs from fusion.hidden %u", config->jepa.hidden,
                        config->fusion.hidden);
  if (config->tie_embeddings && config->ar.hidden != config->language.hidden)
    return cw_fault_set(fault, CW_E_FORMAT, "configuration: tied embeddings need ar.hidden = language.hidden");
  if (CW_GRID_SIDE % config->vision.window != 0 || CW_GRID_SIDE % config->vision.shuffle != 0)
    return cw_fault_set(fault, CW_E_FORMAT, "configuration: vision.window and vision.shuffle must divide %d", CW_GRID_SIDE);
  if (config->vision.layers < 32 && config->vision.global_layers >> config->vision.layers != 0)
    return cw_fault_set(fault, CW_E_FORMAT, "configuration: vision.global_layers names a layer above %u", config->vision.layers - 1);
  return CW_OK;
}

cw_cnn_shape cw_config_cnn(const cw_config *config, uint32_t block) {
  uint32_t stem = config->vision.stem_channels, wide = config->vision.cnn_channels;
  cw_cnn_shape shape = {.in = block < 2 ? stem : wide, .out = block < 1 ? stem : wide, .stride = block == 1 ? 2 : 1};
  shape.expanded = config->vision.expansion * shape.in;
  shape.squeezed = shape.in / 4 > 8 ? shape.in / 4 : 8;
  shape.side_in = block < 2 ? CW_STEM_SIDE : CW_GRID_SIDE;
  return shape;
}
