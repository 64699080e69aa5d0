/* Matrix products with one summation order for each output element.
 *
 * Row i of Y = X W^T has the same bits whatever the other rows are, whatever
 * their number and whatever the number of threads: each element is one chain of
 * fused multiply-adds over k = 0, 1, 2, ..., then the bias.  Weights that stay as
 * they are get packed once into panels of columns that stream from memory in order.
 *
 * Letters: M rows, N output columns, K the summed dimension.  All arrays are
 * row-major without gaps.  pool may be NULL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/pool.h"

/* Numbers that gemm_pack fills for W [N, K] at the current ISA level. */
size_t gemm_packed_floats(int n, int k);
/* panels: 64-byte aligned; w [N, K]. */
void gemm_pack(float *panels, const float *w, int n, int k, struct pool *pool);
/* Row n of the packed W back into out [K]. */
void gemm_unpack_row(float *out, const float *panels, int n_columns, int k, int row);

/* y [M, N] = x [M, K] W^T + bias.  bias [N] or NULL. */
void gemm_forward(float *y, const float *x, const float *panels, const float *bias, int m, int n,
		  int k, struct pool *pool);

/* The same with weights held in half the memory, each the bfloat16 nearest to it (the
 * even one of two).  Arithmetic is that of floats: y has the bits that gemm_forward
 * gives for weights rounded so. */
void gemm_pack_bf16(uint16_t *panels, const float *w, int n, int k, struct pool *pool);
void gemm_unpack_row_bf16(float *out, const uint16_t *panels, int n_columns, int k, int row);
void gemm_forward_bf16(float *y, const float *x, const uint16_t *panels, const float *bias, int m,
		       int n, int k, struct pool *pool);

/* The bits of gemm_forward from w [N, K] that is not packed, for weights that change.  Takes 1.05 to
 * 1.2 times as long from 64 rows on, and up to twice as long at few. */
void gemm_forward_flat(float *y, const float *x, const float *w, const float *bias, int m, int n,
		       int k, struct pool *pool);

/* y += x W^T for y [M, N] whose rows are y_stride floats apart: some columns of a wider
 * matrix.  Each element's chain goes on from what it was. */
void gemm_forward_add(float *y, int y_stride, const float *x, const float *panels, int m, int n,
		      int k, struct pool *pool);

/* What makes the backward products of portable kernels: OpenBLAS, where it is there, by its
 * version and the CPU whose kernels it has chosen, as its bits differ with both; "": the
 * kernels here, as at all other levels. */
const char *gemm_library(void);
/* Whether OpenBLAS is used where it is there, as it is at first.  Not while a product runs. */
void gemm_use_library(bool is_used);

/* dx [M, K] = dy [M, N] W, or += if accumulate; w [N, K] not packed. */
void gemm_backward_input(float *dx, const float *dy, const float *w, int m, int n, int k,
			 bool accumulate, struct pool *pool);

/* dw [N, K] += dy^T x; dy [M, N], x [M, K].  Same bits for any number of
 * threads; the order over M is fixed for a given M. */
void gemm_backward_weight(float *dw, const float *dy, const float *x, int m, int n, int k,
			  struct pool *pool);

/* db [N] += sum over rows of dy [M, N], in row order. */
void gemm_backward_bias(float *db, const float *dy, int m, int n, struct pool *pool);
