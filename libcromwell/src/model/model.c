/* model.c: opens a model pack and says what is in it. */
#include "model/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/pack.h"

/* Maps a regular file; *bytes is NULL for an empty one. */
static cw_status map_file(const char *path, const uint8_t **bytes, size_t *size, cw_fault *fault) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return cw_fault_set(fault, CW_E_IO, "%s", strerror(errno));
  struct stat status;
  cw_status result = CW_OK;
  if (fstat(file, &status) != 0) {
    result = cw_fault_set(fault, CW_E_IO, "%s", strerror(errno));
  } else if (!S_ISREG(status.st_mode)) {
    result = cw_fault_set(fault, CW_E_IO, "not a regular file");
  } else if (status.st_size > 0) {
    void *map = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (map == MAP_FAILED)
      result = cw_fault_set(fault, CW_E_IO, "%s", strerror(errno));
    else
      *bytes = map;
  }
  *size = result == CW_OK ? (size_t)status.st_size : 0;
  close(file);
  return result;
}

static cw_status read_model(cw_model *model, cw_fault *fault) {
  cw_pack pack;
  CW_TRY(cw_pack_read(model->bytes, model->size, &pack, fault));
  model->config = pack.config;
  model->json = pack.json;
  model->json_size = pack.json_size;
  model->fingerprint = pack.fingerprint;
  cw_arena measured = {0};
  cw_weights_take(&model->weights, &model->config, &measured);
  CW_TRY(cw_arena_open(&measured, &model->arena));
  cw_weights_take(&model->weights, &model->config, &model->arena);
  CW_TRY(cw_pack_tensors(model->bytes, model->size, &pack, &model->weights, &model->parameters, fault));
  model->layout = cw_block_layout_of(&model->config, &model->weights);
  CW_TRY(cw_tokenizer_open(pack.tokenizer, pack.tokenizer_size, &model->tokenizer, fault));
  int32_t tokens = cw_tokenizer_size(model->tokenizer);
  if ((uint32_t)tokens != model->config.vocab_size)
    return cw_fault_set(fault, CW_E_FORMAT, "the tokenizer has %d tokens, the configuration %u", tokens, model->config.vocab_size);
  model->image_token = cw_tokenizer_special(model->tokenizer, "<IMAGE>");
  return CW_OK;
}

cw_status cw_model_open(const char *path, cw_model **out, cw_fault *fault) {
  if (path == NULL || out == NULL) return cw_fault_set(fault, CW_E_ARGUMENT, "no path or nowhere to put the model");
  cw_model *model = calloc(1, sizeof *model);
  if (model == NULL) return cw_fault_set(fault, CW_E_MEMORY, "no memory for a model");
  cw_status status = map_file(path, &model->bytes, &model->size, fault);
  if (status == CW_OK) status = read_model(model, fault);
  if (status != CW_OK) {
    cw_model_close(model);
    return status;
  }
  *out = model;
  return CW_OK;
}

void cw_model_close(cw_model *model) {
  if (model == NULL) return;
  cw_tokenizer_close(model->tokenizer);
  cw_arena_close(&model->arena);
  if (model->bytes != NULL) munmap((void *)model->bytes, model->size);
  free(model);
}

void cw_model_describe(const cw_model *model, cw_model_info *out) {
  const cw_config *config = &model->config;
  *out = (cw_model_info){
      .vocab_size = config->vocab_size,
      .max_positions = config->max_positions,
      .joint_size = config->fusion.hidden,
      .max_tiles = config->vision.max_tiles,
      .vision_tokens_per_tile = cw_vision_tokens_per_tile(config),
      .jepa_steps = config->jepa_steps,
      .parameter_count = model->parameters,
      .fingerprint = model->fingerprint,
      .block_tokens = CW_BLOCK,
      .block_bytes = model->layout.bytes,
  };
}

const char *cw_model_config(const cw_model *model, size_t *size) {
  *size = model->json_size;
  return model->json;
}

const cw_tokenizer *cw_model_tokenizer(const cw_model *model) { return model->tokenizer; }
