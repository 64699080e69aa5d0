/* Philox 4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011.
 *
 * The caller's four numbers are the counter; seed and stream make the key. */
#include "common/base/rng.h"

#include <math.h>

#include "common/base/die.h"

void rng_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
	uint32_t k0 = key[0], k1 = key[1];
	uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
	for (int round = 0; round < 10; round++) {
		uint64_t p0 = (uint64_t)0xD2511F53 * c0;
		uint64_t p1 = (uint64_t)0xCD9E8D57 * c2;
		c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
		c1 = (uint32_t)p1;
		c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
		c3 = (uint32_t)p0;
		k0 += 0x9E3779B9; /* the golden ratio */
		k1 += 0xBB67AE85; /* the square root of 3, less 1 */
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

/* A bijection that spreads every bit: the finaliser of MurmurHash3. */
static uint64_t mix64(uint64_t x)
{
	x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD;
	x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53;
	return x ^ x >> 33;
}

void rng_block(uint64_t seed, enum rng_stream stream, const uint32_t key[4], uint32_t out[4])
{
	uint64_t mixed = mix64(mix64(seed) + (uint64_t)stream);
	uint32_t philox_key[2] = {(uint32_t)mixed, (uint32_t)(mixed >> 32)};
	rng_philox(philox_key, key, out);
}

/* An integer in [0, 2^53) of two words. */
static double bits53(uint32_t high, uint32_t low)
{
	return (double)((uint64_t)(high >> 5) << 26 | low >> 6);
}

double rng_uniform(uint64_t seed, enum rng_stream stream, uint32_t a, uint32_t b, uint32_t c,
		   uint32_t d)
{
	uint32_t words[4];
	rng_block(seed, stream, (const uint32_t[4]){a, b, c, d}, words);
	return bits53(words[0], words[1]) * 0x1p-53;
}

double rng_normal(uint64_t seed, enum rng_stream stream, uint32_t a, uint32_t b, uint32_t c,
		  uint32_t d)
{
	uint32_t words[4];
	rng_block(seed, stream, (const uint32_t[4]){a, b, c, d}, words);
	double radius = (bits53(words[0], words[1]) + 1) * 0x1p-53; /* (0, 1]: log is finite */
	double angle = bits53(words[2], words[3]) * 0x1p-53;
	return sqrt(-2 * log(radius)) * cos(2 * M_PI * angle);
}

enum { FEISTEL_ROUNDS = 6 };

/* One pass of the network over numbers of two halves of half_bits each. */
static uint64_t feistel(const uint64_t keys[FEISTEL_ROUNDS], int half_bits, uint64_t x)
{
	uint64_t mask = ((uint64_t)1 << half_bits) - 1;
	uint64_t left = x >> half_bits, right = x & mask;
	for (int round = 0; round < FEISTEL_ROUNDS; round++) {
		uint64_t next = left ^ (mix64(right ^ keys[round]) & mask);
		left = right;
		right = next;
	}
	return left << half_bits | right;
}

uint64_t rng_permute(uint64_t seed, enum rng_stream stream, uint32_t a, uint32_t b, uint64_t i,
		     uint64_t n)
{
	if (i >= n)
		die("index %llu of a permutation of %llu", (unsigned long long)i,
		    (unsigned long long)n);
	uint64_t keys[FEISTEL_ROUNDS];
	for (uint32_t pair = 0; pair < FEISTEL_ROUNDS / 2; pair++) {
		uint32_t words[4];
		rng_block(seed, stream, (const uint32_t[4]){a, b, pair, 0}, words);
		keys[2 * pair] = (uint64_t)words[0] << 32 | words[1];
		keys[2 * pair + 1] = (uint64_t)words[2] << 32 | words[3];
	}
	int half_bits = 1;
	while (half_bits < 32 && (uint64_t)1 << 2 * half_bits < n)
		half_bits++;
	/* The network permutes 4^half_bits numbers, fewer than 4n.  Walking its
	 * cycle until it is back below n gives a permutation of n. */
	do
		i = feistel(keys, half_bits, i);
	while (i >= n);
	return i;
}
