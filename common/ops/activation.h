/* Activations, plain and gated, elementwise. */
#pragma once

#include <stddef.h>

#include "common/base/pool.h"

enum activation {
	ACTIVATION_GELU,       /* x/2 (1 + erf(x / sqrt 2)) */
	ACTIVATION_GELU_TANH,  /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
	ACTIVATION_SILU,       /* x / (1 + exp(-x)) */
	ACTIVATION_QUICK_GELU, /* x / (1 + exp(-1.702 x)) */
	ACTIVATION_SIGMOID,    /* 1 / (1 + exp(-x)) */
	ACTIVATION_TANH,
	ACTIVATION_RELU,
	ACTIVATION_RELU_SQUARED,
};

/* y[i] = f(x[i]); y may be x. */
void activation_forward(float *y, const float *x, size_t n, enum activation f, struct pool *pool);
/* dx[i] = dy[i] f'(x[i]); dx may be dy. */
void activation_backward(float *dx, const float *dy, const float *x, size_t n, enum activation f,
			 struct pool *pool);

/* Rows of gate_up [T, 2F] hold gate | up:  y[t,i] = f(gate[t,i]) * up[t,i]. */
void gated_forward(float *y, const float *gate_up, int t, int f_dim, enum activation f,
		   struct pool *pool);
/* dgate_up [T, 2F] is overwritten; dy [T, F]. */
void gated_backward(float *dgate_up, const float *dy, const float *gate_up, int t, int f_dim,
		    enum activation f, struct pool *pool);
