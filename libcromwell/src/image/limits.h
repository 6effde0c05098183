/* limits.h: the sizes of pictures and tiles. */
#ifndef CW_IMAGE_LIMITS_H
#define CW_IMAGE_LIMITS_H

#include "cromwell.h"

enum {
  CW_TILE = 256,              /* pixels along a tile's side (docs/model.md) */
  CW_GRID_MOST = 8,           /* tiles along a picture's side */
  CW_SIDE_MOST = 65535,       /* pixels along a picture's side; documented at cw_image_layout */
  CW_PIXELS_MOST = 1 << 28    /* pixels of a picture: 768 MiB of RGB; documented at cw_image_layout */
};

static inline cw_status cw_image_check(uint32_t width, uint32_t height) {
  if (width < 1 || height < 1 || width > CW_SIDE_MOST || height > CW_SIDE_MOST) return CW_E_ARGUMENT;
  return (uint64_t)width * height > CW_PIXELS_MOST ? CW_E_ARGUMENT : CW_OK;
}

#endif
