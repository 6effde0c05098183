/* draft.h: guesses the next tokens of an answer that mostly repeats a source: the text under edit, what else was in the prompt, and the
 * answer itself. Guesses are checked by the model, so they cost time when wrong and nothing else.
 *
 * While the answer follows the source, a cursor follows in the source, and guesses double in length. When it turns away, the longest
 * run of last tokens that occurs in source or answer says where to go on; of equals the place nearest to where the answer left the
 * source. Far away one token is too little to go by. Every guess of which not even the first token was right makes the next one wait
 * for a longer run, so that a source that is never repeated costs next to nothing. */
#ifndef CW_SAMPLE_DRAFT_H
#define CW_SAMPLE_DRAFT_H

#include <stddef.h>
#include <stdint.h>

enum { CW_DRAFT_MOST = 32 /* tokens of a guess: more are rarely all right, and a row more costs a tenth of a pass or so */ };

typedef struct {
  const int32_t *source; /* [source_count] the answer is expected to begin as it begins */
  size_t source_count;
  const int32_t *answer; /* [count] the tokens so far */
  size_t count;
  int following;      /* whether there is a place to go on at, */
  int in_answer;      /* whether it is in the answer itself, */
  size_t cursor;      /* and which: that of the next token */
  size_t left_source; /* where the answer left the source */
  size_t length;      /* of the next guess */
  size_t needed;      /* tokens that must match before a place is guessed */
  size_t guessed;     /* length of the last guess; who uses less of it writes here how much */
} cw_draft;

/* `answer` is where the caller collects the tokens of the answer, the first of which comes before the first guess. */
void cw_draft_begin(cw_draft *draft, const int32_t *source, size_t source_count, const int32_t *answer);

/* Writes a guess at the tokens that follow answer[0..count), count > 0, at most `most` and CW_DRAFT_MOST, to out; returns how many, 0
 * for no idea. Since the last guess, `right` tokens were as guessed and exactly one followed that was not guessed, or guessed wrong. */
size_t cw_draft_guess(cw_draft *draft, size_t count, size_t right, size_t most, int32_t *out);

#endif
