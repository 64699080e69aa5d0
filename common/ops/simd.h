/* One vector vocabulary for kernels that are compiled once per ISA level.
 *
 * A file named *_kernel.c is compiled three times, with KERNEL_LEVEL 0
 * (portable), 1 (AVX2 with FMA) and 2 (AVX-512F), and writes its names as
 * LEVELED(name).  Only exact operations are offered here: what a lane computes
 * never depends on the lane, the vector width or its neighbours.  At levels 1
 * and 2 vf_fma rounds once; the portable level multiplies and then adds, which
 * rounds twice, so its results differ from theirs in the last bits. */
#pragma once

#include <stdint.h>
#include <string.h>

#if KERNEL_LEVEL > 0
#include <immintrin.h>
#endif

#define SIMD_JOIN2(a, b) a##b
#define SIMD_JOIN(a, b) SIMD_JOIN2(a, b)
#if KERNEL_LEVEL == 2
#define LEVELED(name) SIMD_JOIN(name, _avx512)
#define VL 16
#elif KERNEL_LEVEL == 1
#define LEVELED(name) SIMD_JOIN(name, _avx2)
#define VL 8
#else
#define LEVELED(name) SIMD_JOIN(name, _portable)
#ifndef VL /* a test tries a wider level's geometry on any CPU */
#define VL 4
#endif
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline, unused))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vf __attribute__((vector_size(4 * VL)));
typedef int32_t vi __attribute__((vector_size(4 * VL)));
typedef uint32_t vu __attribute__((vector_size(4 * VL)));
typedef uint16_t vh __attribute__((vector_size(2 * VL), aligned(2), may_alias));
typedef float vf_unaligned __attribute__((vector_size(4 * VL), aligned(4), may_alias));

ALWAYS_INLINE vf vf_set1(float x)
{
#if KERNEL_LEVEL == 2
	return (vf)_mm512_set1_ps(x);
#elif KERNEL_LEVEL == 1
	return (vf)_mm256_set1_ps(x);
#else
	return x - (vf){0};
#endif
}
ALWAYS_INLINE vf vf_load(const float *p) /* any alignment */
{
	return *(const vf_unaligned *)p;
}
ALWAYS_INLINE void vf_store(float *p, vf x)
{
	*(vf_unaligned *)p = x;
}
/* VL bfloat16 numbers, the upper halves of floats; any alignment. */
ALWAYS_INLINE vf vf_load_bf16(const uint16_t *p)
{
	/* gcc 12 makes two halves of a conversion, and puts them together again. */
#if KERNEL_LEVEL == 2
	vu x = (vu)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u *)p));
#elif KERNEL_LEVEL == 1
	vu x = (vu)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u *)p));
#else
	vu x = __builtin_convertvector(*(const vh *)p, vu);
#endif
	return (vf)(x << 16);
}
/* To the nearest of them, to the even one of two; a NaN stays one. */
ALWAYS_INLINE vf vf_round_bf16(vf x)
{
	vu bits = (vu)x, up = bits + 0x7fff + (bits >> 16 & 1);
	vu is_nan = (vu)((bits & 0x7fffffff) > 0x7f800000);

	return (vf)(((is_nan & (bits | 0x400000)) | (~is_nan & up)) & 0xffff0000);
}
ALWAYS_INLINE void vf_store_bf16(uint16_t *p, vf x)
{
	*(vh *)p = __builtin_convertvector((vu)vf_round_bf16(x) >> 16, vh);
}
#if KERNEL_LEVEL == 1
/* All ones in the first n lanes. */
ALWAYS_INLINE __m256i simd_first_mask(int n)
{
	const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
}
#endif
/* The first n lanes, 0 <= n <= VL; the others read as 0 and are not written. */
ALWAYS_INLINE vf vf_load_first(const float *p, int n)
{
#if KERNEL_LEVEL == 2
	return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif KERNEL_LEVEL == 1
	return (vf)_mm256_maskload_ps(p, simd_first_mask(n));
#else
	float lanes[VL] = {0};
	memcpy(lanes, p, (size_t)n * sizeof *lanes);
	return vf_load(lanes);
#endif
}
ALWAYS_INLINE void vf_store_first(float *p, vf x, int n)
{
#if KERNEL_LEVEL == 2
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x);
#elif KERNEL_LEVEL == 1
	_mm256_maskstore_ps(p, simd_first_mask(n), (__m256)x);
#else
	float lanes[VL];
	vf_store(lanes, x);
	memcpy(p, lanes, (size_t)n * sizeof *lanes);
#endif
}
/* a * b + c */
ALWAYS_INLINE vf vf_fma(vf a, vf b, vf c)
{
#if KERNEL_LEVEL == 2
	return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif KERNEL_LEVEL == 1
	return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
	return a * b + c;
#endif
}
/* The larger of each pair; b where either is NaN. */
ALWAYS_INLINE vf vf_max(vf a, vf b)
{
#if KERNEL_LEVEL == 2
	return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif KERNEL_LEVEL == 1
	return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
	vi take = a > b;
	return (vf)((take & (vi)a) | (~take & (vi)b));
#endif
}
