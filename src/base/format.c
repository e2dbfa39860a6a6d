/* SPDX-License-Identifier: MIT */
/*
 * format: the interpreter of the formats that format.h promises.
 *
 * One pass; every character goes through put, which counts what does not fit. The output never
 * decides what is read, so a NULL buffer of size 0 measures.
 */
#include "base/format.h"

#include <stdbool.h>
#include <stdint.h>

/* Octal digits of 64 bits would be 22; decimal needs 20. */
enum { DIGITS_MAX = 24 };

struct output {
    char *text;
    size_t size;
    size_t length;
};

/* One conversion: %[0#][width][.precision][length]kind */
struct conversion {
    bool zero;
    bool prefix;
    size_t width;
    size_t precision; /* SIZE_MAX when there is none */
    enum { AS_CHAR, AS_SHORT, AS_INT, AS_LONG, AS_LONG_LONG, AS_MAX, AS_SIZE, AS_DIFF } length;
    char kind;
};

/* Where the arguments stand: a struct, because a va_list parameter may be an array. */
struct arguments {
    va_list list;
};

static void put(struct output *output, char character) {
    if (output->size > 0 && output->length < output->size - 1)
        output->text[output->length] = character;
    output->length++;
}

static void put_padding(struct output *output, char character, size_t width, size_t used) {
    for (; used < width; used++)
        put(output, character);
}

static void put_text(struct output *output, const struct conversion *conversion, const char *text) {
    if (text == NULL)
        text = "(null)";
    size_t length = 0;
    while (length < conversion->precision && text[length] != '\0')
        length++;
    put_padding(output, ' ', conversion->width, length);
    for (size_t i = 0; i < length; i++)
        put(output, text[i]);
}

static void put_number(struct output *output, const struct conversion *conversion, uintmax_t value,
                       unsigned radix, const char *prefix) {
    const char *all = conversion->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char digits[DIGITS_MAX];
    size_t count = 0;
    do {
        digits[count++] = all[value % radix];
        value /= radix;
    } while (value != 0);
    size_t used = count;
    for (const char *p = prefix; *p != '\0'; p++)
        used++;
    if (!conversion->zero)
        put_padding(output, ' ', conversion->width, used);
    for (; *prefix != '\0'; prefix++)
        put(output, *prefix);
    if (conversion->zero)
        put_padding(output, '0', conversion->width, used);
    while (count > 0)
        put(output, digits[--count]);
}

static intmax_t take_signed(const struct conversion *conversion, struct arguments *arguments) {
    switch (conversion->length) {
    case AS_CHAR:
        return (signed char)va_arg(arguments->list, int);
    case AS_SHORT:
        return (short)va_arg(arguments->list, int);
    case AS_INT:
        return va_arg(arguments->list, int);
    case AS_LONG:
        return va_arg(arguments->list, long);
    case AS_LONG_LONG:
        return va_arg(arguments->list, long long);
    case AS_MAX:
        return va_arg(arguments->list, intmax_t);
    case AS_SIZE:
    case AS_DIFF:
        return va_arg(arguments->list, ptrdiff_t);
    }
    return 0;
}

static uintmax_t take_unsigned(const struct conversion *conversion, struct arguments *arguments) {
    switch (conversion->length) {
    case AS_CHAR:
        return (unsigned char)va_arg(arguments->list, unsigned);
    case AS_SHORT:
        return (unsigned short)va_arg(arguments->list, unsigned);
    case AS_INT:
        return va_arg(arguments->list, unsigned);
    case AS_LONG:
        return va_arg(arguments->list, unsigned long);
    case AS_LONG_LONG:
        return va_arg(arguments->list, unsigned long long);
    case AS_MAX:
        return va_arg(arguments->list, uintmax_t);
    case AS_SIZE:
    case AS_DIFF:
        return va_arg(arguments->list, size_t);
    }
    return 0;
}

/* A count written in the format or, as `*`, given as an int; a negative one counts as 0. */
static size_t parse_count(const char **at, struct arguments *arguments) {
    if (**at == '*') {
        (*at)++;
        int count = va_arg(arguments->list, int);
        return count > 0 ? (size_t)count : 0;
    }
    size_t count = 0;
    for (; **at >= '0' && **at <= '9' && count < 1000000; (*at)++)
        count = count * 10 + (size_t)(**at - '0');
    return count;
}

static void parse_length(const char **at, struct conversion *conversion) {
    conversion->length = AS_INT;
    char first = **at;
    if (first == 'h' || first == 'l') {
        (*at)++;
        bool twice = **at == first;
        *at += twice;
        if (first == 'h')
            conversion->length = twice ? AS_CHAR : AS_SHORT;
        else
            conversion->length = twice ? AS_LONG_LONG : AS_LONG;
    } else if (first == 'j' || first == 'z' || first == 't') {
        (*at)++;
        conversion->length = first == 'j' ? AS_MAX : first == 'z' ? AS_SIZE : AS_DIFF;
    }
}

/* From behind the % to behind the conversion. */
static void parse(const char **at, struct conversion *conversion, struct arguments *arguments) {
    *conversion = (struct conversion){.precision = SIZE_MAX};
    for (; **at == '0' || **at == '#'; (*at)++) {
        conversion->zero = conversion->zero || **at == '0';
        conversion->prefix = conversion->prefix || **at == '#';
    }
    conversion->width = parse_count(at, arguments);
    if (**at == '.') {
        (*at)++;
        conversion->precision = parse_count(at, arguments);
    }
    parse_length(at, conversion);
    conversion->kind = **at;
    *at += **at != '\0';
}

/* False: a conversion that is not known here. */
static bool put_conversion(struct output *output, const struct conversion *conversion,
                           struct arguments *arguments) {
    switch (conversion->kind) {
    case '%':
        put(output, '%');
        return true;
    case 'c':
        put(output, (char)va_arg(arguments->list, int));
        return true;
    case 's':
        put_text(output, conversion, va_arg(arguments->list, const char *));
        return true;
    case 'p':
        put_number(output, conversion, (uintptr_t)va_arg(arguments->list, void *), 16, "0x");
        return true;
    case 'd':
    case 'i': {
        intmax_t value = take_signed(conversion, arguments);
        uintmax_t magnitude = value < 0 ? 0 - (uintmax_t)value : (uintmax_t)value;
        put_number(output, conversion, magnitude, 10, value < 0 ? "-" : "");
        return true;
    }
    case 'u':
        put_number(output, conversion, take_unsigned(conversion, arguments), 10, "");
        return true;
    case 'x':
    case 'X': {
        uintmax_t value = take_unsigned(conversion, arguments);
        const char *prefix = conversion->kind == 'x' ? "0x" : "0X";
        put_number(output, conversion, value, 16, conversion->prefix && value != 0 ? prefix : "");
        return true;
    }
    default:
        return false;
    }
}

size_t moat_format_list(char *text, size_t size, const char *format, va_list list) {
    struct output output = {text, size, 0};
    struct arguments arguments;
    va_copy(arguments.list, list);
    for (const char *at = format; *at != '\0';) {
        const char *start = at++;
        if (*start != '%') {
            put(&output, *start);
            continue;
        }
        struct conversion conversion;
        parse(&at, &conversion, &arguments);
        if (!put_conversion(&output, &conversion, &arguments)) {
            /* What its argument is nobody knows, so nothing behind it can be right either. */
            for (; *start != '\0'; start++)
                put(&output, *start);
            break;
        }
    }
    va_end(arguments.list);
    if (size > 0)
        text[output.length < size ? output.length : size - 1] = '\0';
    return output.length;
}

size_t moat_format(char *text, size_t size, const char *format, ...) {
    va_list list;
    va_start(list, format);
    size_t length = moat_format_list(text, size, format, list);
    va_end(list);
    return length;
}
