/* stop.c: see stop.h. */
#include "sample/stop.h"

cw_status cw_stop_begin(cw_stop *stop, const uint8_t *const *strings, const size_t *sizes, size_t count) {
  if (count > CW_STOP_STRINGS_MOST || (count > 0 && (strings == NULL || sizes == NULL))) return CW_E_ARGUMENT;
  for (size_t i = 0; i < count; i++) {
    if (strings[i] == NULL || sizes[i] < 1 || sizes[i] > CW_STOP_SIZE_MOST) return CW_E_ARGUMENT;
  }
  stop->strings = strings;
  stop->sizes = sizes;
  stop->count = count;
  stop->text_size = 0;
  return CW_OK;
}

/* Whether the text so far ends in these bytes. */
static int ends_in(const cw_stop *stop, const uint8_t *string, size_t size) {
  if (size > stop->text_size) return 0;
  for (size_t back = 1; back <= size; back++) {
    if (stop->last[(stop->text_size - back) % CW_STOP_SIZE_MOST] != string[size - back]) return 0;
  }
  return 1;
}

int cw_stop_push(cw_stop *stop, const uint8_t *text, size_t size) {
  if (stop->count == 0) {
    stop->text_size += size;
    return 0;
  }
  for (size_t i = 0; i < size; i++) {
    stop->last[stop->text_size++ % CW_STOP_SIZE_MOST] = text[i];
    size_t longest = 0;
    for (size_t s = 0; s < stop->count; s++) {
      if (stop->sizes[s] > longest && ends_in(stop, stop->strings[s], stop->sizes[s])) longest = stop->sizes[s];
    }
    if (longest > 0) {
      stop->text_size -= longest;
      return 1;
    }
  }
  return 0;
}
