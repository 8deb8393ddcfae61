/*
 * elementary - logarithm, exponential, sine and cosine that give the same bits on every
 * processor and with every C library.
 *
 * libm's results differ in the last place between its versions and between processors
 * with and without fused multiply-add. These use only additions, multiplications,
 * divisions and the square root, each rounded once, in a fixed order; errors stay below
 * 2e-15 of the result, which is far below what float32 can show.
 *
 * Threads: pure. Ownership: none.
 */
#ifndef SLUICE_BASE_ELEMENTARY_H
#define SLUICE_BASE_ELEMENTARY_H

/* Natural logarithm of a normal x > 0. */
double elementary_log(double x);

/* e^x for |x| <= 700. */
double elementary_exp(double x);

/* For |x| <= 1e6. */
double elementary_sin(double x);
double elementary_cos(double x);

#endif
