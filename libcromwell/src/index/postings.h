/* postings.h: which files hold a term and how often, sorted by the hash of the term and cut into blocks. */
#ifndef CW_INDEX_POSTINGS_H
#define CW_INDEX_POSTINGS_H

#include "cromwell.h"

typedef struct {
  uint64_t hash;
  uint32_t doc, count;
} cw_posting;

typedef struct {
  cw_posting *all;
  size_t count, room;
} cw_posting_list;

cw_status cw_posting_add(cw_posting_list *list, uint64_t hash, uint32_t doc, uint32_t count);
/* Sorts the lists [lists] by hash and file, and writes them as one. */
cw_status cw_postings_write(const cw_posting_list *lists, size_t count, cw_postings **out);

#endif
