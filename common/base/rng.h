/* Random numbers without state: Philox 4x32-10 (Salmon et al. 2011).
 *
 * A number is a function of (seed, stream, key), so it belongs to no process
 * and no order of calls.  Streams keep the uses of one seed apart. */
#pragma once

#include <stdint.h>

enum rng_stream {
	RNG_SAMPLE = 1,	   /* key: step, row, sample, position */
	RNG_SHUFFLE = 2,   /* key: epoch, round */
	RNG_INIT = 3,	   /* key: tensor, element */
	RNG_DATA = 4,	   /* generators of data */
	RNG_MINIBATCH = 5, /* key: step, epoch */
	RNG_ADAPTER = 7,   /* key: tensor, element */
};

/* The generator itself: ten rounds on a counter under a key. */
void rng_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);
/* Four 32-bit words for a key of four 32-bit numbers. */
void rng_block(uint64_t seed, enum rng_stream stream, const uint32_t key[4], uint32_t out[4]);
/* Uniform in [0, 1), 53 bits. */
double rng_uniform(uint64_t seed, enum rng_stream stream, uint32_t a, uint32_t b, uint32_t c,
		   uint32_t d);
/* Standard normal (Box-Muller on the same block). */
double rng_normal(uint64_t seed, enum rng_stream stream, uint32_t a, uint32_t b, uint32_t c,
		  uint32_t d);
/* The place of index i, 0 <= i < n, in a keyed permutation of n: a bijection on
 * [0, n), computed in constant memory (Feistel network with cycle walking). */
uint64_t rng_permute(uint64_t seed, enum rng_stream stream, uint32_t a, uint32_t b, uint64_t i,
		     uint64_t n);
