/* CRC-32C (RFC 3720, appendix B.4), SHA-256 (FIPS 180-4) and FNV-1a, in plain C,
 * with the processor's instructions for the first two where it has them. */
#include "common/base/hash.h"

#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/hash_x86.h"
#include "common/base/pool.h"

enum { PIECE = 1 << 20 }; /* of hash64_large */

static pthread_once_t hash_once = PTHREAD_ONCE_INIT;
static uint32_t crc_table[8][256]; /* [k][b]: byte b followed by k zero bytes */
static uint32_t (*crc_function)(uint32_t crc, const uint8_t *data, size_t n);
static void (*sha_function)(uint32_t state[8], const uint8_t *data, size_t n_blocks);

const uint32_t sha256_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static void make_crc_table(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78 : 0);
		crc_table[0][byte] = crc;
	}
	for (int k = 1; k < 8; k++)
		for (int byte = 0; byte < 256; byte++) {
			uint32_t crc = crc_table[k - 1][byte];
			crc_table[k][byte] = crc >> 8 ^ crc_table[0][crc & 0xff];
		}
}

static void choose_functions(void)
{
	make_crc_table();
	crc_function = crc32c_portable;
	sha_function = sha256_blocks_portable;
#if defined(__x86_64__)
	if (crc32c_x86_supported())
		crc_function = crc32c_x86;
	if (sha256_x86_supported())
		sha_function = sha256_blocks_x86;
#endif
}

uint32_t crc32c_portable(uint32_t crc, const uint8_t *data, size_t n)
{
	pthread_once(&hash_once, choose_functions);
	crc = ~crc;
	for (; n >= 8; data += 8, n -= 8) {
		uint64_t word;
		memcpy(&word, data, 8);
		word = le64toh(word) ^ crc;
		crc = 0;
		for (int k = 0; k < 8; k++)
			crc ^= crc_table[7 - k][word >> 8 * k & 0xff];
	}
	for (; n > 0; data++, n--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *data) & 0xff];
	return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
	pthread_once(&hash_once, choose_functions);
	return crc_function(crc, data, n);
}

static uint32_t rotate_right(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static void expand_schedule(uint32_t w[64], const uint8_t *block)
{
	for (int i = 0; i < 16; i++) {
		uint32_t word;
		memcpy(&word, block + 4 * i, 4);
		w[i] = be32toh(word);
	}
	for (int i = 16; i < 64; i++) {
		uint32_t x = w[i - 15], y = w[i - 2];
		uint32_t s0 = rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3;
		uint32_t s1 = rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10;
		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
}

void sha256_blocks_portable(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
	uint32_t w[64];
	for (; n_blocks > 0; n_blocks--, data += 64) {
		expand_schedule(w, data);
		uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
		uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
		for (int i = 0; i < 64; i++) {
			uint32_t s1 =
				rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
			uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + sha256_constants[i] + w[i];
			uint32_t s0 =
				rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
			uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
			h = g, g = f, f = e, e = d + t1;
			d = c, c = b, b = a, a = t1 + t2;
		}
		state[0] += a, state[1] += b, state[2] += c, state[3] += d;
		state[4] += e, state[5] += f, state[6] += g, state[7] += h;
	}
}

void sha256_init(struct sha256 *sha)
{
	pthread_once(&hash_once, choose_functions);
	*sha = (struct sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
					 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_update(struct sha256 *sha, const void *data, size_t n)
{
	const uint8_t *bytes = data;
	size_t held = sha->bytes % 64;
	sha->bytes += n;
	if (held) {
		size_t taken = n < 64 - held ? n : 64 - held;
		if (taken)
			memcpy(sha->block + held, bytes, taken);
		bytes += taken;
		n -= taken;
		if (held + taken < 64)
			return;
		sha_function(sha->state, sha->block, 1);
	}
	sha_function(sha->state, bytes, n / 64);
	if (n % 64)
		memcpy(sha->block, bytes + n / 64 * 64, n % 64);
}

void sha256_final(struct sha256 *sha, uint8_t digest[32])
{
	static const uint8_t padding[64] = {0x80};
	uint64_t bits = htobe64(sha->bytes * 8);
	size_t held = sha->bytes % 64;
	sha256_update(sha, padding, held < 56 ? 56 - held : 120 - held);
	sha256_update(sha, &bits, 8);
	for (int i = 0; i < 8; i++) {
		uint32_t word = htobe32(sha->state[i]);
		memcpy(digest + 4 * i, &word, 4);
	}
}

void sha256_final_hex(struct sha256 *sha, char hex[65])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t digest[32];

	sha256_final(sha, digest);
	for (int i = 0; i < 32; i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
	hex[64] = '\0';
}

void sha256_hex(const void *data, size_t n, char hex[65])
{
	struct sha256 sha;

	sha256_init(&sha);
	sha256_update(&sha, data, n);
	sha256_final_hex(&sha, hex);
}

uint64_t hash64(const void *data, size_t n)
{
	const uint8_t *bytes = data;
	uint64_t hash = 0xcbf29ce484222325;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

/* Large data and the checksums of its pieces. */
struct pieces {
	const uint8_t *data;
	size_t n;
	uint32_t *sums;
};

static void sum_piece(void *args, int i, int thread)
{
	const struct pieces *pieces = args;
	size_t begin = (size_t)i * PIECE, left = pieces->n - begin;

	(void)thread;
	pieces->sums[i] = htole32(crc32c(0, pieces->data + begin, left < PIECE ? left : PIECE));
}

uint64_t hash64_large(const void *data, size_t n, struct pool *pool)
{
	size_t n_pieces = (n + PIECE - 1) / PIECE;
	struct pieces pieces = {data, n, xcalloc(n_pieces, sizeof(uint32_t))};
	uint64_t hash;

	pool_run(pool, (int)n_pieces, sum_piece, &pieces);
	hash = hash64(pieces.sums, n_pieces * sizeof *pieces.sums);
	free(pieces.sums);
	return hash;
}
