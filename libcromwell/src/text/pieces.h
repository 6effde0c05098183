/* pieces.h: the parts of a text that byte pair encoding never crosses (docs/tokenizer.md, "Pieces"). */
#ifndef CW_TEXT_PIECES_H
#define CW_TEXT_PIECES_H

#include <stddef.h>
#include <stdint.h>

/* End of the piece that starts at text[at], for at < size: in (at, size]. Bytes before `at` do not matter. */
size_t cw_piece_end(const uint8_t *text, size_t size, size_t at);

#endif
