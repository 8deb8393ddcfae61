# The libraries the service stands on, each linked by the one folder that includes it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
foreach(name libmicrohttpd jansson libuv libpng zlib libpcre2-8 libutf8proc libsodium)
  string(MAKE_C_IDENTIFIER ${name} id)
  pkg_check_modules(${id} REQUIRED IMPORTED_TARGET ${name})
endforeach()
pkg_search_module(blas REQUIRED IMPORTED_TARGET openblas)
