/* starts.h: where pieces start among 64 bytes, all at once. The twin of cw_piece_end in pieces.c, as arithmetic on bits.
 *
 * Bit i of a word stands for text[i], so `x << 1` is "the byte before is in x" and `x >> 1` "the byte after is". A piece start needs no
 * more of its past than the start of any piece before it, and one byte of its future: a window that begins at the start of a piece
 * knows all of its own but for the last bit, and nothing is carried from window to window. */
#ifndef CW_TEXT_STARTS_H
#define CW_TEXT_STARTS_H

#include <emmintrin.h>
#include <stdint.h>

#define CW_WINDOW 64 /* bytes read */

/* The classes of docs/tokenizer.md, one bit a byte; what is in none is a symbol. */
typedef struct {
  uint64_t letters, digits, spaces, blanks /* spaces and tabs */, newlines;
} cw_classes;

/* Bytes from `low` to `high`, both below 0x80. */
static inline __m128i cw_between(__m128i bytes, char low, char high) {
  return _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8((char)(low - 1))), _mm_cmplt_epi8(bytes, _mm_set1_epi8((char)(high + 1))));
}

static inline uint64_t cw_mask(__m128i bytes, int part) { return (uint64_t)(uint32_t)_mm_movemask_epi8(bytes) << 16 * part; }

/* SSE2, so every x86-64 has it. */
static inline cw_classes cw_classify(const uint8_t *text) {
  cw_classes of = {0, 0, 0, 0, 0};
  for (int part = 0; part < CW_WINDOW / 16; part++) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(text + 16 * part));
    __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20)); /* capitals to small letters */
    __m128i spaces = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(' ')), tabs = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    __m128i feeds = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n')), returns = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r'));
    of.letters |= cw_mask(_mm_or_si128(cw_between(folded, 'a', 'z'), bytes), part); /* the mask is the top bit: from 0x80 on */
    of.digits |= cw_mask(cw_between(bytes, '0', '9'), part);
    of.spaces |= cw_mask(spaces, part);
    of.blanks |= cw_mask(_mm_or_si128(spaces, tabs), part);
    of.newlines |= cw_mask(_mm_or_si128(feeds, returns), part);
  }
  return of;
}

/* Bit i: a piece starts at text[i], for i < 63; a piece must start at text[0]. Reads CW_WINDOW bytes. */
static inline uint64_t cw_piece_starts(const uint8_t *text) {
  cw_classes of = cw_classify(text);
  uint64_t symbols = ~(of.letters | of.digits | of.blanks | of.newlines);
  /* Adding the first bit of a run to the run carries through it: what stays set did not belong to such a run. */
  uint64_t indents = of.blanks & of.newlines << 1;
  uint64_t free = of.blanks & (of.blanks + indents); /* blanks that no newline before them has taken */
  uint64_t lead = free & (of.letters | symbols) >> 1;  /* the last of a run, which goes to the word or symbols after it */
  uint64_t taken = free & of.spaces & symbols << 1 & of.digits >> 1; /* the single space between symbols and a number */
  uint64_t symbol_runs = symbols & ~(symbols << 1 | lead << 1);
  uint64_t prefix = lead | (symbol_runs & of.letters >> 1); /* what may stand before a word in its piece */
  uint64_t words = of.letters & ~(of.letters << 1 | prefix << 1);
  uint64_t lines = of.newlines & ~(of.newlines << 1 | symbols << 1 | free << 1);
  uint64_t numbers = of.digits & ~(of.digits << 1), even = 0x5555555555555555u;
  uint64_t late = of.digits & (of.digits + (numbers & even)); /* runs that start at an odd place */
  uint64_t pairs = (late & ~even) | (of.digits & ~late & even);
  return ((free & ~(free << 1) & ~taken) | lead | symbol_runs | words | lines | pairs | 1) & ~((uint64_t)1 << 63);
}

#endif
