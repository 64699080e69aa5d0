/* Checksums by the instructions that x86 has for them.  Private to hash.c and its
 * test; call only what the processor supports. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The same as the portable functions of hash.c, which the test compares. */
uint32_t crc32c_portable(uint32_t crc, const uint8_t *data, size_t n);
void sha256_blocks_portable(uint32_t state[8], const uint8_t *data, size_t n_blocks);
extern const uint32_t sha256_constants[64];

#if defined(__x86_64__)
bool crc32c_x86_supported(void);
bool sha256_x86_supported(void);
uint32_t crc32c_x86(uint32_t crc, const uint8_t *data, size_t n);
void sha256_blocks_x86(uint32_t state[8], const uint8_t *data, size_t n_blocks);
#endif
