/* libm.c: the mathematical library, loaded when one of its functions is first called.
 *
 * No command calls one of them, and a start takes a tenth less when the loader need not map that library and look for
 * names in it. What converts times and what reads the first decimal number is made here, for commands do call that. What
 * CPython calls besides all these comes from the library itself, as in any other program: then it is loaded at each start.
 *
 * In a process that becomes a container's nothing is loaded any more: its files may be the container's. */
#define _GNU_SOURCE
#include "launcher.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/lib-names.h>
#include <math.h>
#include <stdio.h>

extern bool pr_cloned;          /* clone.c */

/* For this program alone: a library that is loaded later has its own mathematics. */
#pragma GCC visibility push(hidden)

/* From here on a double has no bits behind the point. (An infinity has none either, and what is no number stays so.) */
#define NO_FRACTION 0x1p52

/* The whole number next to x on the way to zero. */
static double towards_zero(double x)
{
    return (double)(long long)x;
}

/* C17, 7.12.9: a result of zero has the sign of x. */
double floor(double x)
{
    if (!(fabs(x) < NO_FRACTION))
        return x;
    double whole = towards_zero(x);
    return copysign(whole > x ? whole - 1 : whole, x);
}

double ceil(double x)
{
    if (!(fabs(x) < NO_FRACTION))
        return x;
    double whole = towards_zero(x);
    return copysign(whole < x ? whole + 1 : whole, x);
}

double round(double x)
{
    if (!(fabs(x) < NO_FRACTION))
        return x;
    double whole = towards_zero(x);
    return copysign(fabs(x - whole) < 0.5 ? whole : whole + copysign(1, x), x);
}

double (fabs)(double x)
{
    return __builtin_fabs(x);           /* (an instruction) */
}

/* Its address is not kept: a snapshot may not have one of a library (snapshot_write.c). */
static void *find(const char *name)
{
    char why[128];
    errno = 0;
    if (pr_cloned) {
        snprintf(why, sizeof why, "%s() is needed where no library may be loaded", name);
        die(why);
    }
    void *library = dlopen(LIBM_SO, RTLD_NOW), *function = library ? dlsym(library, name) : NULL;
    if (!function) {
        const char *error = dlerror();
        errno = 0;                      /* (it is in these words already) */
        die(error);
    }
    return function;
}

#define OF_ONE(name) double name(double x) { return ((double (*)(double))find(#name))(x); }
#define OF_TWO(name) double name(double x, double y) { return ((double (*)(double, double))find(#name))(x, y); }

OF_ONE(acos) OF_ONE(acosh) OF_ONE(asin) OF_ONE(asinh) OF_ONE(atan) OF_ONE(atanh) OF_ONE(cbrt) OF_ONE(cos) OF_ONE(cosh)
OF_ONE(erf) OF_ONE(erfc) OF_ONE(exp) OF_ONE(exp2) OF_ONE(expm1) OF_ONE(log10) OF_ONE(log1p) OF_ONE(log2) OF_ONE(sin)
OF_ONE(sinh) OF_ONE(sqrt) OF_ONE(tan) OF_ONE(tanh)
OF_TWO(atan2) OF_TWO(fmod) OF_TWO(hypot) OF_TWO(nextafter) OF_TWO(pow)

/* Up to CPython 3.13, the first text that is read as a decimal number asks for these: the base, and that of a digit. */
double log(double x)
{
    return x == 10 ? __builtin_log(10) : x == 0x1p30 ? __builtin_log(0x1p30) : x == 0x1p15 ? __builtin_log(0x1p15)
         : ((double (*)(double))find("log"))(x);
}

double fma(double x, double y, double z)
{
    return ((double (*)(double, double, double))find("fma"))(x, y, z);
}

void sincos(double x, double *sine, double *cosine)
{
    ((void (*)(double, double *, double *))find("sincos"))(x, sine, cosine);
}
