/* One level of kernels for a whole job. */
#pragma once

#include "common/base/status.h"
#include "common/ops/isa.h"
#include "proto/comm.h"

/* The highest level that every rank's CPU has, or `wanted` ("portable", "avx2",
 * "avx512") if it is not "auto"; refused if a rank cannot run it.  Does not select
 * it.  Collective; the result is the same on all ranks. */
enum status kernels_agree(struct comm *comm, const char *wanted, enum isa *isa, struct error *err);

/* Leaves the library of portable kernels (gemm.h) out where the ranks have not all the same one.
 * The level has been selected.  Collective. */
void kernels_share_library(struct comm *comm);
