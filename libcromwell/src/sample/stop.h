/* stop.h: finds stop strings in a text that comes in pieces. */
#ifndef CW_SAMPLE_STOP_H
#define CW_SAMPLE_STOP_H

#include "fault.h"

enum { CW_STOP_STRINGS_MOST = 32, CW_STOP_SIZE_MOST = 256 }; /* documented at cw_generate */

typedef struct {
  const uint8_t *const *strings; /* [count] */
  const size_t *sizes;           /* [count] */
  size_t count;
  size_t text_size;              /* bytes pushed; after a match, bytes before the stop string */
  uint8_t last[CW_STOP_SIZE_MOST]; /* ring: byte number i of the text is last[i % CW_STOP_SIZE_MOST] */
} cw_stop;

/* CW_E_ARGUMENT for more than CW_STOP_STRINGS_MOST strings, or one that is empty or above CW_STOP_SIZE_MOST bytes. */
cw_status cw_stop_begin(cw_stop *stop, const uint8_t *const *strings, const size_t *sizes, size_t count);

/* Takes the next piece of text; true when it ends a stop string. The match that ends first counts; of several that end at
 * the same byte, the longest. Push nothing after a match. */
int cw_stop_push(cw_stop *stop, const uint8_t *text, size_t size);

#endif
