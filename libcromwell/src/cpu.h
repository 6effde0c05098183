/* cpu.h: what the machine can do, and the kernels chosen for it. */
#ifndef CW_CPU_H
#define CW_CPU_H

#include "kernels/kernels.h"

/* The selected kernels; chosen on first use unless cw_isa_select came before. Never NULL. */
const cw_kernels *cw_kernels_selected(void);

#endif
