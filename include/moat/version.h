/* SPDX-License-Identifier: MIT */
/*
 * version: which Moat these headers are of.
 *
 * The one place that says so: the build, the packages and the name of the shared library read it
 * here. While the major version is 0, each minor version is an interface of its own: a program runs
 * with every patch of the minor version that it was compiled with, and with no other.
 */
#ifndef MOAT_VERSION_H
#define MOAT_VERSION_H

#define MOAT_VERSION_MAJOR 0
#define MOAT_VERSION_MINOR 6
#define MOAT_VERSION_PATCH 0

#endif
