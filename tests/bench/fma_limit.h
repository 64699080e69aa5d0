/* The most multiply-adds that a pool's cores do: chains in registers, at the
 * width of the current ISA level. */
#pragma once

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "common/base/clock.h"
#include "common/base/pool.h"
#include "common/ops/isa.h"

/* Enough independent chains for the latency of a multiply-add. */
enum { FMA_CHAINS = 12, FMA_STEPS = 1 << 18 };

typedef float fma_lanes __attribute__((vector_size(16)));
static volatile float fma_drain; /* keeps results alive */

#ifdef __clang__
#define FMA_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FMA_UNROLL _Pragma("GCC unroll 16")
#endif
#ifdef __x86_64__
#define FMA_REGISTER "+v"
#else
#define FMA_REGISTER "+w"
#endif
#define FMA_DEFINE(name, target, vector, zero, step)                                               \
	target static float name(void)                                                             \
	{                                                                                          \
		vector c[FMA_CHAINS], x = zero, sum = zero;                                        \
		for (int j = 0; j < FMA_CHAINS; j++)                                               \
			c[j] = zero;                                                               \
		for (int i = 0; i < FMA_STEPS; i++) {                                              \
			__asm__ volatile("" : FMA_REGISTER(x));                                    \
			FMA_UNROLL                                                                 \
			for (int j = 0; j < FMA_CHAINS; j++)                                       \
				c[j] = step(x, x, c[j]);                                           \
		}                                                                                  \
		for (int j = 0; j < FMA_CHAINS; j++)                                               \
			sum += c[j];                                                               \
		return sum[0];                                                                     \
	}
#define FMA_TWO_STEPS(a, b, c) ((a) * (b) + (c))
FMA_DEFINE(fma_chains_portable, , fma_lanes, (fma_lanes){0}, FMA_TWO_STEPS)
#ifdef __x86_64__
FMA_DEFINE(fma_chains_avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_setzero_ps(),
	   _mm256_fmadd_ps)
FMA_DEFINE(fma_chains_avx512, __attribute__((target("avx512f"))), __m512, _mm512_setzero_ps(),
	   _mm512_fmadd_ps)
#endif

static void fma_task(void *args, int i, int thread)
{
	(void)args;
	(void)i;
	(void)thread;
#ifdef __x86_64__
	if (isa_current() == ISA_AVX512)
		fma_drain = fma_chains_avx512();
	else if (isa_current() == ISA_AVX2)
		fma_drain = fma_chains_avx2();
	else
#endif
		fma_drain = fma_chains_portable();
}

/* One run on all threads of the pool, and its flop. */
static void fma_run(struct pool *pool)
{
	pool_run(pool, pool_threads(pool), fma_task, NULL);
}

static double fma_flop(const struct pool *pool)
{
	static const int lanes[ISA_COUNT] = {4, 8, 16};

	return 2.0 * FMA_CHAINS * FMA_STEPS * lanes[isa_current()] * pool_threads(pool);
}

/* Flop/s of all threads of the pool, the best of n tries. */
static inline double fma_limit(struct pool *pool, int n)
{
	double best = 0;

	for (int i = 0; i < n; i++) {
		double start = clock_now(), flops;
		fma_run(pool);
		flops = fma_flop(pool) / (clock_now() - start);
		best = flops > best ? flops : best;
	}
	return best;
}
