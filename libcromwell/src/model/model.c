/* model.c: opens a model pack and says what is in it. */
#include "model/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text/vocabulary.h"

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
    void *map = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (map == MAP_FAILED) {
      result = cw_fault_set(fault, CW_E_IO, "%s", strerror(errno));
    } else {
      /* Read from disk like this, the file lies in large pages, for as long as it stays in memory. */
      (void)madvise(map, (size_t)status.st_size, MADV_HUGEPAGE);
      *bytes = map;
    }
  }
  *size = result == CW_OK ? (size_t)status.st_size : 0;
  close(file);
  return result;
}

/* The special tokens by which a model is aligned. */
static cw_status find_align_ids(cw_model *model, cw_fault *fault) {
  cw_align_ids *ids = &model->align_ids;
  const struct {
    const char *name;
    int32_t *id;
  } wanted[] = {{"<PAD>", &ids->none},        {"<EDIT>", &ids->edit},         {"</EDIT>", &ids->edit_close},
                {"<INS>", &ids->instruction}, {"<EDIT_START>", &ids->answer}, {"<EDIT_END>", &ids->answer_end}};
  for (size_t i = 0; model->config.aligned && i < sizeof(wanted) / sizeof(wanted[0]); i++) {
    *wanted[i].id = cw_tokenizer_special(model->tokenizer, wanted[i].name);
    if (*wanted[i].id < 0) return cw_fault_set(fault, CW_E_FORMAT, "the model is aligned and its tokenizer has no %s", wanted[i].name);
  }
  return CW_OK;
}

static void take_forms(cw_model *model, cw_arena *arena) {
  if (!model->config.aligned) return;
  model->first_forms = cw_arena_take(arena, model->config.vocab_size, sizeof *model->first_forms);
  model->next_forms = cw_arena_take(arena, model->config.vocab_size, sizeof *model->next_forms);
}

/* Lists of the tokens of each word. A word is named by a token; whatever the file holds, names stay in range. */
static void find_forms(cw_model *model) {
  uint32_t V = model->config.vocab_size;
  const cw_weights *w = &model->weights;
  int32_t *last = model->first_forms; /* of each word, by the token that names it; then, by each token */
  for (uint32_t id = 0; id < V; id++) last[id] = -1;
  for (uint32_t id = V; id-- > 0;) {
    float name = w->words[id];
    uint32_t word = name >= 0 && name < (float)V ? (uint32_t)name : id;
    model->next_forms[id] = w->leads[id] > 0 ? last[word] : -1;
    if (w->leads[id] > 0) last[word] = (int32_t)id;
  }
  for (uint32_t id = V; id-- > 0;) { /* from the last on: a word is named by its first token */
    float name = w->words[id];
    uint32_t word = name >= 0 && name < (float)V ? (uint32_t)name : id;
    last[id] = w->leads[id] > 0 ? last[word] : -1;
  }
}

static cw_status read_model(cw_model *model, cw_fault *fault) {
  cw_pack *pack = &model->pack;
  CW_TRY(cw_pack_read(model->bytes, model->size, pack, fault));
  model->config = pack->config;
  model->fingerprint = pack->fingerprint;
  cw_arena measured = {0};
  cw_weights_take(&model->weights, &model->config, &measured);
  take_forms(model, &measured);
  CW_TRY(cw_arena_open(&measured, &model->arena));
  cw_weights_take(&model->weights, &model->config, &model->arena);
  take_forms(model, &model->arena);
  CW_TRY(cw_pack_tensors(model->bytes, model->size, pack, &model->weights, &model->parameters, fault));
  if (model->config.aligned) find_forms(model);
  model->layout = cw_block_layout_of(&model->config, &model->weights);
  CW_TRY(cw_tokenizer_open_incomplete(pack->tokenizer, pack->tokenizer_size, &model->tokenizer, fault));
  int32_t tokens = cw_tokenizer_size(model->tokenizer);
  if ((uint32_t)tokens != model->config.vocab_size)
    return cw_fault_set(fault, CW_E_FORMAT, "the tokenizer has %d tokens, the configuration %u", tokens, model->config.vocab_size);
  model->image_token = cw_tokenizer_special(model->tokenizer, "<IMAGE>");
  return find_align_ids(model, fault);
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

cw_status cw_model_verify(const cw_model *model, cw_fault *fault) {
  if (model == NULL) return cw_fault_set(fault, CW_E_ARGUMENT, "no model");
  CW_TRY(cw_vocabulary_complete(model->tokenizer, fault));
  return cw_pack_check(model->bytes, &model->pack, fault);
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
  *size = model->pack.json_size;
  return model->pack.json;
}

const cw_tokenizer *cw_model_tokenizer(const cw_model *model) { return model->tokenizer; }

uint32_t cw_model_tensor_count(const cw_model *model) { return model->pack.tensor_count; }

cw_status cw_model_tensor(const cw_model *model, uint32_t index, cw_tensor_info *out) {
  static const char *const formats[] = {[CW_PACK_TABLE] = "f32", [CW_PACK_F32] = "f32", [CW_PACK_Q8] = "q8", [CW_PACK_Q4] = "q4"};
  if (model == NULL || out == NULL || index >= model->pack.tensor_count) return CW_E_ARGUMENT;
  cw_pack_entry entry = cw_pack_entry_at(&model->pack, index);
  *out = (cw_tensor_info){.rank = entry.rank, .shape = {entry.shape[0], entry.shape[1], entry.shape[2]}, .size_bytes = entry.size};
  memcpy(out->name, entry.name, sizeof out->name);
  strncpy(out->format, formats[entry.type], sizeof out->format - 1);
  return CW_OK;
}
