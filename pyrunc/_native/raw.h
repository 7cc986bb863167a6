/* raw.h: system calls and strings without the C library, for what runs when the process has let go of it.
 *
 * A file that includes this calls nothing else: no function of the C library, no errno. A test looks at the objects.
 * The fuzzer, and processors for which the calls are not written down here, use the library and do not let go of it. */
#ifndef PYRUNC_RAW_H
#define PYRUNC_RAW_H
#include "system.h"

#if defined PYRUNC_FUZZ || !(defined __x86_64__ || defined __aarch64__)
#define LETS_GO 0
static inline long raw_call(long number, long a, long b, long c, long d, long e, long f)
{
    long result = syscall(number, a, b, c, d, e, f);
    return result < 0 ? -errno : result;
}
#elif defined __x86_64__
#define LETS_GO 1
static inline long raw_call(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#else
#define LETS_GO 1
static inline long raw_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
#endif

/* Each returns what the kernel does: -errno when it fails. */
#define RAW(name, ...) RAW_(SYS_##name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define RAW_(number, a, b, c, d, e, f, ...) \
    raw_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline void __attribute__((noreturn)) raw_exit(int status)
{
    for (;;) {                  /* a filter may refuse either; then a trap ends it */
        RAW(exit_group, status);
        RAW(exit, status);
        __builtin_trap();
    }
}

static inline size_t raw_length(const char *text)
{
    size_t length = 0;
    while (((volatile const char *)text)[length])       /* volatile: the compiler would make a call of strlen of it */
        length++;
    return length;
}

static inline int raw_begins(const char *text, const char *with)
{
    while (*with && *text == *with)
        text++, with++;
    return !*with;
}
#endif
