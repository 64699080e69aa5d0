/* Checksums.  CRC-32C locates damage; SHA-256 identifies content. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct pool;

/* CRC-32C (Castagnoli), reflected; start with crc = 0 and chain the results. */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);

struct sha256 {
	uint32_t state[8];
	uint64_t bytes;
	uint8_t block[64];
};
void sha256_init(struct sha256 *sha);
void sha256_update(struct sha256 *sha, const void *data, size_t n);
void sha256_final(struct sha256 *sha, uint8_t digest[32]);
void sha256_final_hex(struct sha256 *sha, char hex[65]);
void sha256_hex(const void *data, size_t n, char hex[65]);

/* 64-bit FNV-1a, for hash tables. */
uint64_t hash64(const void *data, size_t n);
/* Of much data, by the threads of a pool, whose number does not matter: FNV-1a of the CRC-32C
 * of each MiB, as 32 bits of little endian.  A flipped bit is always seen. */
uint64_t hash64_large(const void *data, size_t n, struct pool *pool);
