/* Functions of libm asked for by version.

   program KIND NAME VERSION                          what one gives for the edges of the number range
   program KIND NAME VERSION NAME VERSION COUNT       how many of COUNT random numbers and of the edges two disagree on

   KIND is d, f or l for one argument, dd or ff for two, nf for a whole number and a float, fp for a float and the place
   of a sign. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef double (*one_double)(double);
typedef double (*two_doubles)(double, double);
typedef float (*one_float)(float);
typedef float (*two_floats)(float, float);
typedef float (*order_and_float)(int, float);
typedef float (*float_and_sign)(float, int *);
typedef long double (*one_long)(long double);

struct answer {
    long double value;
    int error, exceptions, sign;
};

static const double edges[] = {
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 10.0, -10.0, 0.9999999999999999, 1.0000000000000002,
    /* where exp, exp2, exp10 and their float ones overflow and underflow */
    709.0, 709.9, 710.0, -745.0, -745.2, -746.0, 1023.0, 1024.0, -1074.0, -1075.0, -1076.0, 88.0, 89.0, -103.0, -104.0,
    127.0, 128.0, -149.0, -150.0, -151.0, 308.0, 309.0, -323.0, -324.0, 38.0, 39.0, -45.0, -46.0,
    /* where lgamma has poles and zeros, and numbers with no half */
    170.0, 171.7, 172.0, -170.5, -2.457024738220801, 4503599627370496.5, 9007199254740993.0,
    /* the ends of both formats */
    1e300, -1e300, 1e-300, 1e308, 1.7976931348623157e308, -1.7976931348623157e308, 2.2250738585072014e-308,
    2.2250738585072009e-308, 5e-324, -5e-324, 3.4028234663852886e38, 1.1754943508222875e-38, 1.1754942106924411e-38,
    1.401298464324817e-45, INFINITY, -INFINITY, NAN, -NAN,
};
enum { EDGES = sizeof edges / sizeof *edges };

static uint64_t random_state = 88172645463325252u;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static double random_number(int is_narrow)
{
    uint64_t bits = random_bits();
    uint32_t half = (uint32_t)bits;
    double value;
    float narrow;
    switch (random_bits() % 3) {
    case 0: /* any bits at all */
        memcpy(&value, &bits, sizeof value);
        memcpy(&narrow, &half, sizeof narrow);
        return is_narrow ? narrow : value;
    case 1:
        return (double)(int64_t)bits / 9.2e18 * 1000;
    default:
        return (double)(int64_t)bits / 9.2e18 * 4;
    }
}

static struct answer ask(const char *kind, void *function, int *sign, double a, double b)
{
    struct answer answer = {0};
    *sign = 7;
    errno = 0;
    feclearexcept(FE_ALL_EXCEPT);
    if (!strcmp(kind, "d"))
        answer.value = ((one_double)function)(a);
    else if (!strcmp(kind, "dd"))
        answer.value = ((two_doubles)function)(a, b);
    else if (!strcmp(kind, "f"))
        answer.value = ((one_float)function)((float)a);
    else if (!strcmp(kind, "ff"))
        answer.value = ((two_floats)function)((float)a, (float)b);
    else if (!strcmp(kind, "nf"))
        answer.value = ((order_and_float)function)(a > -30 && a < 30 ? (int)a : 4, (float)b);
    else if (!strcmp(kind, "fp"))
        answer.value = ((float_and_sign)function)((float)a, sign);
    else
        answer.value = ((one_long)function)(a);
    /* Any function may raise this one without need (C11 F.10). */
    answer.exceptions = fetestexcept(FE_ALL_EXCEPT & ~FE_INEXACT);
    answer.error = errno;
    answer.sign = *sign;
    return answer;
}

static long compared, different, signs_of_nan;

static void compare(const char *kind, void *const functions[2], int *sign, double a, double b)
{
    struct answer one = ask(kind, functions[0], sign, a, b), two = ask(kind, functions[1], sign, a, b);
    int is_nan = isnan(one.value) && isnan(two.value), has_sign = !signbit(one.value) == !signbit(two.value);
    compared++;
    signs_of_nan += is_nan && !has_sign;
    if (is_nan || (one.value == two.value && has_sign))
        if (one.error == two.error && one.exceptions == two.exceptions && one.sign == two.sign)
            return;
    if (different++ < 5)
        printf("(%a, %a): %La errno %d exceptions %#x sign %d, and %La errno %d exceptions %#x sign %d\n", a, b, one.value,
               one.error, one.exceptions, one.sign, two.value, two.error, two.exceptions, two.sign);
}

int main(int count, char **words)
{
    void *math = dlopen("libm.so.6", RTLD_NOW), *functions[2] = {0};
    int *sign = math ? dlsym(math, "signgam") : NULL;
    const char *kind = words[1];
    int is_narrow = strchr(kind, 'f') != NULL, has_two = !strcmp(kind, "dd") || !strcmp(kind, "ff") || !strcmp(kind, "nf");
    for (int i = 0; sign && i < (count > 4 ? 2 : 1); i++) {
        functions[i] = dlvsym(math, words[2 + 2 * i], words[3 + 2 * i]);
        if (!functions[i])
            return 2;
    }
    if (functions[0] == functions[1])
        return 3;
    for (int i = 0; i < EDGES; i++)
        for (int j = 0; j < (has_two ? EDGES : 1); j++)
            if (functions[1])
                compare(kind, functions, sign, edges[i], edges[j]);
            else {
                struct answer answer = ask(kind, functions[0], sign, edges[i], edges[j]);
                printf("%a %a %.20Lg %d\n", edges[i], edges[j], answer.value, answer.error);
            }
    for (long i = 0; functions[1] && i < atol(words[6]); i++)
        compare(kind, functions, sign, random_number(is_narrow), random_number(is_narrow));
    if (functions[1])
        printf("%ld %ld %ld\n", compared, different, signs_of_nan);
    return 0;
}
