/* UTF-8 and the few character classes that tokenisation asks for.
 *
 * Strings are bytes with a length: they may hold NUL.  "Valid" is the strict
 * sense of Unicode 3.9: no surrogates, no overlong forms, nothing above U+10FFFF. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

/* Bytes of the valid character at text[0, n), its value in *c; 0 if there is none. */
size_t utf8_next(const char *text, size_t n, uint32_t *c);
/* Bytes of the valid character that ends at text[n]; 0 if there is none. */
size_t utf8_previous(const char *text, size_t n, uint32_t *c);
/* Writes c, a scalar value, as 1 to 4 bytes and returns their number. */
size_t utf8_put(char out[4], uint32_t c);
void utf8_append(struct buf *out, uint32_t c);
bool utf8_is_valid(const char *text, size_t n);
/* Appends text with each maximal invalid part replaced by one U+FFFD (Unicode
 * 3.9, "substitution of maximal subparts"). */
void utf8_repair(const char *text, size_t n, struct buf *out);

/* Classes as the tokenizers library knows them: partly by newer tables than PCRE2 and
 * utf8proc have, partly by older ones (unicode_tables.h). */
bool unicode_is_space(uint32_t c);	    /* White_Space */
bool unicode_is_numeric(uint32_t c);	    /* Nd, Nl, No */
bool unicode_is_word(uint32_t c);	    /* \w of UTS 18: letters, marks, digits, connectors */
bool unicode_is_punctuation(uint32_t c);    /* P*, and ASCII's symbols */
bool unicode_is_mark(uint32_t c);	    /* M* */
bool unicode_is_indecomposable(uint32_t c); /* whatever utf8proc says */
uint32_t unicode_lower(uint32_t c);	    /* of one character */

struct unicode_range {
	uint32_t first, last;
};
/* The characters of a general category, or Han, that are newer than Unicode 14. */
struct unicode_news {
	const char *property; /* "Lu" */
	int category;	      /* of utf8proc, -1 for Han */
	const struct unicode_range *ranges;
	size_t n;
};
const struct unicode_news *unicode_news(size_t *n);

/* GPT-2's byte alphabet: every byte has a printable character that stands for it. */
uint32_t byte_alphabet_char(uint8_t byte);
int byte_alphabet_byte(uint32_t c); /* -1 if c stands for no byte */
/* Appends the characters that stand for text's bytes. */
void byte_alphabet_append(struct buf *out, const char *text, size_t n);
/* Appends the bytes that text stands for; false, and nothing appended, if some
 * character stands for none. */
bool byte_alphabet_decode(struct buf *out, const char *text, size_t n);
