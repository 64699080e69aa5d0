/* Elementwise kernels, one table per ISA level; private to common/ops.
 *
 * Every element is computed by itself with the same operations wherever it
 * lies, so arrays may be cut anywhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/ops/activation.h"

/* An AdamW step with everything that does not depend on the element folded. */
struct adamw_coefficients {
	float beta1, one_minus_beta1;
	float beta2, one_minus_beta2;
	float decay;	   /* lr * wd */
	float step;	   /* lr / (1 - beta1^t) */
	float root_factor; /* 1 / sqrt(1 - beta2^t) */
	float eps;
	float grad_scale;
};

struct sgd_coefficients {
	float learning_rate, momentum, weight_decay, grad_scale;
};

struct element_kernels {
	void (*add)(float *y, const float *x, size_t n);
	void (*scale)(float *y, float factor, size_t n);
	/* y = cap tanh(y / cap); dy *= 1 - (y / cap)^2 */
	void (*softcap)(float *y, float cap, size_t n);
	void (*softcap_backward)(float *dy, const float *y, float cap, size_t n);
	/* y = the bfloat16 nearest to x */
	void (*round_bf16)(float *y, const float *x, size_t n);
	bool (*is_finite)(const float *x, size_t n);
	double (*sum_of_squares)(const float *x, size_t n);
	void (*adamw)(float *w, float *m, float *v, const float *g, size_t n,
		      const struct adamw_coefficients *k);
	void (*sgd)(float *w, float *m, const float *g, size_t n, const struct sgd_coefficients *k);
	/* up may be NULL, which stands for ones. */
	void (*gate)(float *y, const float *x, const float *up, size_t n, enum activation f);
	/* up and dup may both be NULL. */
	void (*gate_backward)(float *dx, float *dup, const float *dy, const float *x,
			      const float *up, size_t n, enum activation f);
	/* One row of heads; angles holds cos[half] | sin[half], sign is +1 or -1. */
	void (*rope)(float *x, const float *angles, int n_heads, int head_dim, int half,
		     float sign);
};

/* The table of the current ISA level. */
const struct element_kernels *element_kernels(void);
