/* text.c: putting together one line of text without the C library's printf (which knows locales), and
 * without the rest of it: the process may have let go of it (raw.h). */
#include "last_stage.h"

#define QUOTED 400u             /* the most bytes that are quoted of a name */

struct line line_in(char *buffer, size_t size)
{
    *buffer = 0;
    return (struct line){ buffer, buffer + size };
}

static void put(struct line *line, char c)
{
    if (line->end - line->at > 1) {
        *line->at++ = c;
        *line->at = 0;
    }
}

static int is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

void say(struct line *line, const char *text)
{
    for (; *text; text++)
        put(line, is_control(*text) ? ' ' : *text);
}

void say_quoted(struct line *line, const char *text)
{
    static const char digits[] = "0123456789abcdef", from[] = "\a\b\t\n\v\f\r\"\\", to[] = "abtnvfr\"\\";
    put(line, '"');
    for (unsigned length = 0; *text; text++, length++) {
        if (length >= QUOTED && (*text & 0xc0) != 0x80) {      /* what is wrong with it has to fit in behind it */
            say(line, "...");
            break;
        }
        unsigned known = 0;
        while (from[known] && from[known] != *text)
            known++;
        if (from[known]) {
            put(line, '\\');
            put(line, to[known]);
        } else if (is_control(*text)) {
            say(line, "\\x");
            put(line, digits[(unsigned char)*text >> 4]);
            put(line, digits[*text & 15]);
        } else {
            put(line, *text);
        }
    }
    put(line, '"');
}

void say_number(struct line *line, uint64_t number, unsigned base)
{
    char digits[24], *at = digits + sizeof digits;
    *--at = 0;
    do
        *--at = "0123456789abcdef"[number % base];
    while (number /= base);
    say(line, base == 16 ? "0x" : "");
    say(line, at);
}
