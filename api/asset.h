/*
 * asset - files that are part of the program: the page and the description of the API.
 * cmake/embed.cmake makes their definitions at build time.
 *
 * Threads: constants. Ownership: static.
 */
#ifndef SLUICE_API_ASSET_H
#define SLUICE_API_ASSET_H

#include <stddef.h>

struct asset {
    const unsigned char *data;
    size_t length;
    const char *content_type;
};

extern const struct asset asset_page;         /* api/page.html */
extern const struct asset asset_openapi_yaml; /* api/openapi.yaml */
extern const struct asset asset_openapi_json; /* api/openapi.json */

#endif
