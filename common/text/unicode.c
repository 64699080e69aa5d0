/* UTF-8 and character classes.
 *
 * One function, scan, knows the shape of UTF-8: how far a byte sequence is a
 * prefix of a valid character, and whether it is a whole one.  Everything else
 * is built on it.  Classes come from utf8proc's tables and from those of
 * unicode_tables.h where the reference's differ. */
#include "common/text/unicode.h"

#include <string.h>
#include <utf8proc.h>

#include "common/text/unicode_tables.h"

enum { REPLACEMENT = 0xFFFD, ALPHABET_END = 0x144 };

/* Bytes of text[0, n), n > 0, that belong together: a valid character (*valid),
 * or the longest prefix of one, at least one byte. */
static size_t scan(const uint8_t *s, size_t n, uint32_t *c, bool *valid)
{
	uint8_t low = 0x80, high = 0xBF;
	size_t need;

	*valid = false;
	if (s[0] < 0x80) {
		*c = s[0];
		*valid = true;
		return 1;
	}
	if (s[0] < 0xC2 || s[0] > 0xF4)
		return 1;
	need = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
	*c = s[0] & (0x7Fu >> need);
	if (s[0] == 0xE0)
		low = 0xA0;
	else if (s[0] == 0xED)
		high = 0x9F;
	else if (s[0] == 0xF0)
		low = 0x90;
	else if (s[0] == 0xF4)
		high = 0x8F;
	for (size_t i = 1; i < need; i++) {
		if (i >= n || s[i] < low || s[i] > high)
			return i;
		*c = *c << 6 | (s[i] & 0x3Fu);
		low = 0x80;
		high = 0xBF;
	}
	*valid = true;
	return need;
}

size_t utf8_next(const char *text, size_t n, uint32_t *c)
{
	bool valid;
	size_t length;

	if (n == 0)
		return 0;
	length = scan((const uint8_t *)text, n, c, &valid);
	return valid ? length : 0;
}

size_t utf8_previous(const char *text, size_t n, uint32_t *c)
{
	for (size_t back = 1; back <= 4 && back <= n; back++)
		if ((text[n - back] & 0xC0) != 0x80)
			return utf8_next(text + n - back, back, c) == back ? back : 0;
	return 0;
}

size_t utf8_put(char out[4], uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3F));
		out[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3F));
	out[2] = (char)(0x80 | (c >> 6 & 0x3F));
	out[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

void utf8_append(struct buf *out, uint32_t c)
{
	char bytes[4];

	buf_append(out, bytes, utf8_put(bytes, c));
}

/* Bytes of ASCII at the front of text, counted by eights. */
static size_t ascii_run(const char *text, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		uint64_t word;
		memcpy(&word, text + i, 8);
		if (word & 0x8080808080808080u)
			break;
	}
	return i;
}

bool utf8_is_valid(const char *text, size_t n)
{
	size_t i = 0;

	while (i < n) {
		uint32_t c;
		size_t length = ascii_run(text + i, n - i);
		if (length == 0)
			length = utf8_next(text + i, n - i, &c);
		if (length == 0)
			return false;
		i += length;
	}
	return true;
}

void utf8_repair(const char *text, size_t n, struct buf *out)
{
	size_t i = 0;

	while (i < n) {
		uint32_t c;
		bool valid = true;
		size_t length = ascii_run(text + i, n - i);
		if (length == 0)
			length = scan((const uint8_t *)text + i, n - i, &c, &valid);
		if (valid)
			buf_append(out, text + i, length);
		else
			utf8_append(out, REPLACEMENT);
		i += length;
	}
}

bool unicode_is_space(uint32_t c)
{
	if (c < 0x80)
		return c == ' ' || (c >= 9 && c <= 13);
	return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
	       c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static bool is_in(uint32_t c, const struct unicode_range *ranges, size_t n)
{
	size_t low = 0;

	while (low < n) {
		size_t middle = low + (n - low) / 2;
		if (c > ranges[middle].last)
			low = middle + 1;
		else if (c < ranges[middle].first)
			n = middle;
		else
			return true;
	}
	return false;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NEWS(name, NAME)                                                                           \
	{                                                                                          \
#name, UTF8PROC_CATEGORY_##NAME, NEW_##NAME, COUNT(NEW_##NAME)                     \
	}

static const struct unicode_news NEWS_OF[] = {
	NEWS(Lu, LU),
	NEWS(Ll, LL),
	NEWS(Lm, LM),
	NEWS(Lo, LO),
	NEWS(Mn, MN),
	NEWS(Mc, MC),
	NEWS(Nd, ND),
	NEWS(No, NO),
	NEWS(Pd, PD),
	NEWS(Po, PO),
	NEWS(Sm, SM),
	NEWS(So, SO),
	{"Han", -1, NEW_HAN, COUNT(NEW_HAN)},
};

const struct unicode_news *unicode_news(size_t *n)
{
	*n = COUNT(NEWS_OF);
	return NEWS_OF;
}

static utf8proc_category_t category_of(uint32_t c)
{
	utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);

	for (size_t i = 0; category == UTF8PROC_CATEGORY_CN && i < COUNT(NEWS_OF); i++)
		if (NEWS_OF[i].category >= 0 && is_in(c, NEWS_OF[i].ranges, NEWS_OF[i].n))
			return (utf8proc_category_t)NEWS_OF[i].category;
	return category;
}

bool unicode_is_numeric(uint32_t c)
{
	utf8proc_category_t category;

	if (c < 0x80)
		return c >= '0' && c <= '9';
	category = category_of(c);
	return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
	       category == UTF8PROC_CATEGORY_NO || is_in(c, NEWER_NUMERIC, COUNT(NEWER_NUMERIC));
}

bool unicode_is_word(uint32_t c)
{
	switch (category_of(c)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO:
	case UTF8PROC_CATEGORY_MN:
	case UTF8PROC_CATEGORY_MC:
	case UTF8PROC_CATEGORY_ME:
	case UTF8PROC_CATEGORY_ND:
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_PC:
		return true;
	default:
		/* Join_Control, and the circled letters, which are Alphabetic symbols. */
		return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
		       (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
		       (c >= 0x1F170 && c <= 0x1F189);
	}
}

bool unicode_is_punctuation(uint32_t c)
{
	utf8proc_category_t category;

	if (c < 0x80)
		return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
		       (c >= '{' && c <= '~');
	category = category_of(c);
	if (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO)
		return !is_in(c, NOT_PUNCTUATION, COUNT(NOT_PUNCTUATION));
	return is_in(c, MORE_PUNCTUATION, COUNT(MORE_PUNCTUATION));
}

bool unicode_is_mark(uint32_t c)
{
	utf8proc_category_t category = category_of(c);

	if (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME)
		return !is_in(c, NOT_MARKS, COUNT(NOT_MARKS));
	return is_in(c, MORE_MARKS, COUNT(MORE_MARKS));
}

bool unicode_is_indecomposable(uint32_t c)
{
	return is_in(c, NOT_DECOMPOSED, COUNT(NOT_DECOMPOSED));
}

uint32_t unicode_lower(uint32_t c)
{
	utf8proc_int32_t lower = utf8proc_tolower((utf8proc_int32_t)c);

	if (c == 0x130)
		return 'i';
	for (size_t i = 0; c >= 0x1C89 && i < COUNT(NEW_CAPITALS); i++)
		if (is_in(c, &NEW_CAPITALS[i].capitals, 1))
			return NEW_CAPITALS[i].small + (c - NEW_CAPITALS[i].capitals.first);
	return (uint32_t)lower;
}

/* Printable Latin-1 stands for itself; the 68 other bytes, in order, are
 * U+0100 and up: 0x00-0x20, 0x7F-0xA0, 0xAD. */
uint32_t byte_alphabet_char(uint8_t byte)
{
	if (byte <= 0x20)
		return 0x100u + byte;
	if (byte >= 0x7F && byte <= 0xA0)
		return 0x121u + byte - 0x7F;
	if (byte == 0xAD)
		return 0x143;
	return byte;
}

int byte_alphabet_byte(uint32_t c)
{
	if (c >= ALPHABET_END)
		return -1;
	if (c == 0x143)
		return 0xAD;
	if (c >= 0x121)
		return (int)(c - 0x121 + 0x7F);
	if (c >= 0x100)
		return (int)(c - 0x100);
	return byte_alphabet_char((uint8_t)c) == c ? (int)c : -1;
}

void byte_alphabet_append(struct buf *out, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		utf8_append(out, byte_alphabet_char((uint8_t)text[i]));
}

bool byte_alphabet_decode(struct buf *out, const char *text, size_t n)
{
	size_t before = out->length;

	for (size_t i = 0; i < n;) {
		uint32_t c;
		size_t length = utf8_next(text + i, n - i, &c);
		int byte = length ? byte_alphabet_byte(c) : -1;
		if (byte < 0) {
			if (out->data)
				out->data[before] = '\0';
			out->length = before;
			return false;
		}
		buf_append_char(out, (char)byte);
		i += length;
	}
	return true;
}
