/* CRC-32C by the SSE4.2 instruction and SHA-256 by the SHA extensions. */
#include "common/base/hash_x86.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

bool crc32c_x86_supported(void)
{
	unsigned a, b, c, d;
	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2);
}

bool sha256_x86_supported(void)
{
	unsigned a, b, c, d;
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

__attribute__((target("sse4.2"))) uint32_t crc32c_x86(uint32_t crc, const uint8_t *data, size_t n)
{
	uint64_t sum = ~crc;
	for (; n >= 8; data += 8, n -= 8) {
		uint64_t word;
		memcpy(&word, data, 8);
		sum = _mm_crc32_u64(sum, word);
	}
	uint32_t rest = (uint32_t)sum;
	for (; n > 0; data++, n--)
		rest = _mm_crc32_u8(rest, *data);
	return ~rest;
}

/* The instructions hold the state as (a b e f) and (c d g h). */
__attribute__((target("sha,sse4.1,ssse3"))) void
sha256_blocks_x86(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
	__m128i dcba = _mm_loadu_si128((const __m128i *)state);
	__m128i hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
	__m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
	__m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
	__m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
	__m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
	for (; n_blocks > 0; n_blocks--, data += 64) {
		__m128i abef_before = abef, cdgh_before = cdgh;
		__m128i w[4]; /* the last 16 words of the message schedule */
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			__m128i *now = &w[i & 3];
			__m128i last = w[(i + 3) & 3];
			if (i < 4) {
				*now = _mm_loadu_si128((const __m128i *)(data + 16 * i));
				*now = _mm_shuffle_epi8(*now, big_endian);
			} else {
				__m128i sum = _mm_sha256msg1_epu32(*now, w[(i + 1) & 3]);
				__m128i back7 = _mm_alignr_epi8(last, w[(i + 2) & 3], 4);
				*now = _mm_sha256msg2_epu32(_mm_add_epi32(sum, back7), last);
			}
			__m128i k = _mm_loadu_si128((const __m128i *)&sha256_constants[4 * i]);
			__m128i wk = _mm_add_epi32(*now, k);
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
		}
		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}
	__m128i feba = _mm_shuffle_epi32(abef, 0x1b);
	__m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#endif
